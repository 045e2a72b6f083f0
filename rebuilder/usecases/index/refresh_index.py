"""Refresh: read again what tasks are built on, one task or every task of a registry.

A scan reads a registry page by page and notes after each page how far it has come, so that it
can be interrupted, and so that any number of scans of one registry do their work together.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import replace
from datetime import datetime, timedelta
from functools import partial

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Task
from rebuilder.core.dependencies.evidence import (
    Evidence,
    Source,
    TaskView,
    join,
    recorded,
    with_earlier,
)
from rebuilder.core.dependencies.index import IndexedTask, IndexScan, fitting
from rebuilder.core.rebuilds.messages import REFRESH, Refresh
from rebuilder.core.times import age, ahead
from rebuilder.errors import (
    Conflict,
    NotFound,
    PermanentError,
    RebuilderError,
    Refused,
    Throttled,
    TransientError,
)
from rebuilder.isolation import attempt, attempts
from rebuilder.ports.acr import TaskPage
from rebuilder.telemetry import metrics, signals
from rebuilder.telemetry.dimensions import REGISTRY, lines_about, lines_of_its_own, of_task
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.gather import gather
from rebuilder.usecases.index.task_news import look_for_changes
from rebuilder.usecases.leases import SLICE

log = logging.getLogger(__name__)

_ABANDONED = timedelta(hours=6)
"""A scan that began so long ago is begun again: where it was to go on may be forgotten."""


_LATER = timedelta(minutes=5)

_PAGE = SLICE
"""So long the tasks of a page are read: sources may all be slow, and a function has its time."""

_ASKED = timedelta(minutes=10)
"""For so long a scan that was asked for is not asked for again."""

_LONGEST = timedelta(hours=1)
"""Between two looks at a task that has not run yet; then the scans are often enough."""


@lines_of_its_own
def refresh_index(context: Context, message: Refresh) -> None:
    """Read a task, or every task of a registry or those that have changed, again.

    What may not be read stays in the index as it is: its age tells, and so do the plans.

    Raises:
        TransientError: Something could not be read now.
    """
    told = {REGISTRY: message.registry.name}
    signals.note(told if message.task is None else of_task(message.task))
    try:
        if message.registry not in context.settings.task_registries:
            log.info("registry %s: is no task registry any more", message.registry)
        elif message.changes:
            look_for_changes(context, message)
        elif message.task is not None:
            _look_again(context, message, refresh_task(context, message.task))
        elif _swept(context, message):
            log.info("registry %s: was swept meanwhile", message.registry)
        elif not scan_registry(context, message.registry):
            context.queue.send(REFRESH, message.encode())
    except PermanentError as error:
        log.error("%s: cannot be read: %s", message.task or message.registry, error)  # noqa: TRY400 - the message says it all
        signals.tell(metrics.UNREADABLE, by=told)


def _look_again(context: Context, message: Refresh, found: Task | None) -> None:
    """Have a task looked at again, later and later, until ACR has recorded what it is built on.

    Nobody tells when a run that somebody else started has ended.
    """
    if message.looks is None or found is None or found.dependencies or not found.has_step:
        return
    delay = context.settings.track_interval * 2**message.looks
    if delay <= _LONGEST:
        again = replace(message, looks=message.looks + 1)
        context.queue.send(REFRESH, again.encode(), delay)


def _swept(context: Context, message: Refresh) -> bool:
    refreshed = context.index.refreshed(message.registry)
    # One that seems to have begun later than now was of a clock that was wrong.
    possible = refreshed is not None and not ahead(refreshed, context.now())
    return refreshed is not None and possible and refreshed >= message.asked_at


def scan_all(context: Context) -> None:
    """Ask for a scan of every task registry."""
    now = context.now()
    asked = [Refresh(registry, None, now).encode() for registry in context.settings.task_registries]
    context.queue.send_many(REFRESH, asked)
    log.info("a scan of %d registries was asked for", len(asked))


def ask_for_refresh(context: Context, registry: RegistryId) -> None:
    """Ask for a scan of a registry, unless somebody has done so lately: a plan finds it old.

    Raises:
        TransientError: It was not asked for.
    """
    now = context.now()
    mark = context.bookmarks.read(f"refresh/{registry}")
    asked = datetime.fromisoformat(mark.place) if mark.place else None
    if asked is not None and age(asked, now) < _ASKED:
        return
    try:
        context.bookmarks.save(replace(mark, place=now.isoformat()))
    except Conflict:
        return  # another plan asks
    context.queue.send(REFRESH, Refresh(registry, None, now).encode())


def refresh_task(context: Context, task: TaskId, *, later: bool = False) -> Task | None:
    """Read a task again and store what is known of it; forget it if it is gone.

    Args:
        context: The ports.
        task: The task.
        later: Whether to have it read once more, by itself, if its files cannot be read now.

    Returns:
        The task as ARM tells of it; None if it is gone.

    Raises:
        TransientError: It could not be read now.
        Denied: It may not be read.
    """
    at = context.now()
    try:
        found = context.tasks.task(task)
    except NotFound:
        context.index.remove(task, at)
        log.info("task %s is gone from the index", task)
        return None
    refresh_known(context, found, at, later=later)
    return found


def refresh_known(context: Context, task: Task, at: datetime, *, later: bool = False) -> None:
    """Store what is known of a task that was just read.

    Args:
        context: The ports.
        task: The task as ARM tells of it.
        at: When reading it began.
        later: Whether to have it read once more, by itself, if its files cannot be read now.

    Raises:
        TransientError: Another source could not be read now; what it said before is kept.
    """
    view = attempt(partial(_gathered, context), task)
    if isinstance(view, TransientError):
        if later:  # before it counts as read
            _ask_later(context, task.id, view)
        context.index.replace(_known_before(context, task), at)
        raise view
    if isinstance(view, RebuilderError):
        with lines_about(of_task(task.id)):
            log.error("task %s: cannot be read: %s", task.id, view)
            signals.tell(metrics.UNREADABLE, by={REGISTRY: task.id.registry.name})
        view = _unreadable(context, task, view)
    context.index.replace(view, at)
    with lines_about(of_task(task.id)):
        log.info("task %s: %d dependencies known", task.id, len(view.dependencies))


def scan_registry(context: Context, registry: RegistryId) -> bool:
    """Read every task of a registry again, or go on with a scan that is not complete.

    Returns:
        Whether all is read; if not, it is to be called again.

    Raises:
        TransientError, PermanentError: The registry could not be read; what was read is stored.
    """
    began = context.now()
    scan = context.index.scan(registry)
    if scan is None or age(scan.started, began) > _ABANDONED:
        scan = IndexScan(registry, began)
    begun_anew = False
    while True:
        at = max(context.now(), scan.started)
        try:
            page = context.tasks.page(registry, scan.after)
        except Refused:
            if not scan.after or begun_anew:
                raise
            # ARM does not know the place any more.
            scan, begun_anew = IndexScan(registry, began), True
            continue
        _store(context, page, at)
        if page.after is None:
            break
        scan = IndexScan(registry, scan.started, page.after)
        context.index.save_scan(scan)
        if context.now() - began > SLICE:
            log.info("registry %s: its scan goes on in another message", registry)
            return False
    # What the list did not name is looked for before it is forgotten.
    unseen = list(context.index.unseen(registry, scan.started))
    failed = _failed(unseen, attempts(partial(refresh_task, context), unseen))
    for task, error in failed.items():
        _ask_later(context, task, error)
    context.index.mark_refreshed(registry, scan.started)
    log.info("registry %s: its index is from %s", registry, scan.started)
    return True


def _store(context: Context, page: TaskPage, at: datetime) -> None:
    """Store what is known of the tasks of a page, which was read from `at` on."""

    def read(found: Task | TaskId) -> IndexedTask | None:
        try:
            task = _brief(context, found, at) if isinstance(found, TaskId) else found
        except NotFound:
            return None  # deleted since the page was read
        return IndexedTask(_view(context, task, at), at)

    listed: list[Task | TaskId] = [*page.tasks, *page.brief]
    read_now = attempts(read, listed)
    views = [found for found in read_now if isinstance(found, IndexedTask)]
    for found, error in _failed(listed, read_now).items():
        _ask_later(context, found if isinstance(found, TaskId) else found.id, error)
        view = attempt(lambda one: _unreadable(context, one, error), found)  # noqa: B023 - called at once
        views += [] if isinstance(view, RebuilderError) else [IndexedTask(view, at)]
    context.index.replace_many(views)


def _in_time(context: Context, at: datetime) -> None:
    """See that there is time to read one more task of a page.

    Raises:
        TransientError: There is none: the task is read by itself, later.
    """
    if context.now() - at > _PAGE:
        raise TransientError(f"the tasks beside it have taken more than {_PAGE} to be read")


def _brief(context: Context, task: TaskId, at: datetime) -> Task:
    """Read a task of which the page told no more than its name."""
    _in_time(context, at)
    return context.tasks.task(task)


def _view(context: Context, task: Task, at: datetime) -> TaskView:
    """Return what is known of a task; a source that is out of order must not stop a scan."""
    try:
        _in_time(context, at)
        return _gathered(context, task)
    except TransientError as error:
        log.warning("task %s: going by what was known before: %s", task.id, error)
        _ask_later(context, task.id, error)
        return _known_before(context, task)


def _failed[Item](items: Sequence[Item], results: Sequence[object]) -> dict[Item, RebuilderError]:
    """Return the tasks that could not be read.

    Raises:
        TransientError: It is not the tasks: ARM asks to wait, or none of several could be read.
    """
    failed = {
        item: result
        for item, result in zip(items, results, strict=True)
        if isinstance(result, RebuilderError)
    }
    transient = [error for error in failed.values() if isinstance(error, TransientError)]
    for error in transient:
        if isinstance(error, Throttled) or len(transient) == len(items) > 1:
            raise error
    return failed


def _ask_later(context: Context, task: TaskId, error: RebuilderError) -> None:
    """Have a task read again by itself, if that may help."""
    if isinstance(error, TransientError):
        log.warning("task %s: cannot be read now: %s", task, error)
        context.queue.send(REFRESH, Refresh.of(task, context.now()).encode(), _LATER)
    else:
        log.error("task %s: cannot be read: %s", task, error)


def _unreadable(context: Context, found: Task | TaskId, error: RebuilderError) -> TaskView:
    """Return a task's view as one that may read more than is known, and why."""
    task = found if isinstance(found, TaskId) else found.id
    known = attempt(context.index.view, task)
    before = known.view.evidence if isinstance(known, IndexedTask) else ()
    kept = [evidence for evidence in before if evidence.source is not Source.BUILD_FILE]
    if isinstance(found, Task):
        kept = [recorded(found), *(e for e in kept if e.source is not Source.ACR_RECORD)]
    files = next((e for e in before if e.source is Source.BUILD_FILE), None)
    files = files or Evidence(Source.BUILD_FILE, ())
    output = known.view.output if isinstance(known, IndexedTask) else None
    return join(task, [*kept, replace(files, problem=f"the task cannot be read: {error}")], output)


def _gathered(context: Context, task: Task) -> TaskView:
    """Return what is known of a task, and what a source said that cannot be asked any more."""
    view = fitting(gather(context, task))
    if all(evidence.problem is None for evidence in view.evidence):
        return view
    known = context.index.view(task.id)
    return view if known is None else fitting(with_earlier(view, known.view))


def _known_before(context: Context, task: Task) -> TaskView:
    """Return ACR's record of a task, and what the index knows from other sources."""
    known = context.index.view(task.id)
    before = known.view.evidence if known is not None else ()
    others = (evidence for evidence in before if evidence.source is not Source.ACR_RECORD)
    output = known.view.output if known is not None else None
    return fitting(join(task.id, [recorded(task), *others], output))
