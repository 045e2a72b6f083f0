"""Have images built again that are older than a policy lets them be, though nothing moved.

Some at a time, so that a policy that is new leads to no storm; where one call stopped, the next
one goes on.
"""

from __future__ import annotations

import logging
from copy import replace
from datetime import datetime, timedelta

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.core.dependencies.index import moving
from rebuilder.core.policies.acts import Hand
from rebuilder.core.policies.gate import applies
from rebuilder.core.policies.matching import Moved
from rebuilder.core.policies.policy import Policies
from rebuilder.core.times import age, day_and_time
from rebuilder.errors import Conflict, RebuilderError, TransientError
from rebuilder.isolation import attempt
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.by_hand import build_now
from rebuilder.usecases.steering.places import known_policies

log = logging.getLogger(__name__)

BOOKMARK = "aged"

MOST = 20
"""How many images one call asks for."""

_LOOKED = 200
"""How many tasks one call looks at."""

_RUNS = 20
_WHO = "maxAge"


def ask_for_aged(context: Context) -> int:
    """Ask for the images that are too old; return how many were asked for.

    Raises:
        TransientError: The store cannot be reached.
    """
    policies = known_policies(context)
    # Who only observes would ask for the same again, every time.
    if policies is None or not policies.ages or context.settings.observe:
        return 0
    mark = context.bookmarks.read(BOOKMARK)
    views = sorted(
        (
            (str(indexed.view.task), indexed.view)
            for registry in context.settings.task_registries
            for indexed in context.index.views(registry)
        ),
        key=lambda named: named[0],
    )
    left = [(name, view) for name, view in views if name > mark.place]
    asked, place = 0, ""
    for looked, (name, view) in enumerate(left):
        if asked == MOST or looked == _LOOKED:
            break
        found = attempt(lambda known: _asked(context, policies, known), view)
        if isinstance(found, TransientError):
            raise found
        if isinstance(found, RebuilderError):
            log.warning("task %s: how old its image is could not be told: %s", name, found)
        elif found:
            asked += 1
        place = name
    else:
        place = ""
    try:
        context.bookmarks.save(replace(mark, place=place))
    except Conflict as error:
        log.info("%s", error)  # whoever else was at it goes on
    return asked


def _asked(context: Context, policies: Policies, view: TaskView) -> bool:
    limit = _limit(policies, view, context, ())
    if limit is None:
        return False
    head = context.ledger.head(view.task)
    if head is not None and (head.unsettled or _lately(context, head.finished_at, limit)):
        return False  # something happens to it, or nothing came of it lately
    success = context.ledger.newest_success(view.task)
    ours = None if success is None else success.finished_at
    if _lately(context, ours, limit):
        return False
    built = _built(context, view.task, ours)
    if built is None or _lately(context, built, limit):
        return False
    # What its tags say can only make it longer; they are asked for last.
    limit = _limit(policies, view, context, context.tasks.task(view.task).tags)
    if limit is None or _lately(context, built, limit):
        return False
    why = f"its image is of {day_and_time(built)}"
    after = 0 if head is None else head.sequence
    build_now(context, view.task, Hand(BOOKMARK, _WHO, why, context.now()), after)
    return True


def _limit(
    policies: Policies, view: TaskView, context: Context, tags: tuple[tuple[str, str], ...]
) -> timedelta | None:
    kinds: dict[str, set[str]] = {}
    for dependency in moving(view, context.settings.policy):
        kinds.setdefault(str(dependency.reference), set()).add(dependency.kind.value)
    moved = tuple(Moved(name, frozenset(found)) for name, found in kinds.items())
    if not moved:
        return None  # a run would read nothing that can have changed
    found = applies(policies, view.task, moved, tags)
    return None if found.ignore else found.max_age


def _lately(context: Context, at: datetime | None, limit: timedelta) -> bool:
    # The time now, and not before it was read: whoever stood still meanwhile takes it for
    # impossible, and what was built just now for very old.
    return at is not None and age(at, context.now()) < limit


def _built(context: Context, task: TaskId, ours: datetime | None) -> datetime | None:
    """Return when a task's image was built last; None if nobody knows, or it never was."""
    runs = context.tasks.runs(task.registry, task=task.name, top=_RUNS)
    times = [ours, *(run.finished for run in runs if run.status is RunStatus.SUCCEEDED)]
    return max((time for time in times if time is not None), default=None)
