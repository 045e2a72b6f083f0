"""The tasks, page by page, and one of them."""

from __future__ import annotations

from collections.abc import Iterable
from copy import replace
from datetime import datetime

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.dependencies.evidence import Evidence
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.errors import InvalidReference, InvalidResourceId, NotFound
from rebuilder.usecases.context import Context
from rebuilder.usecases.recovery.letters import waiting
from rebuilder.usecases.views._values import Attempt, TaskName, Value, attempt_of, skip_of
from rebuilder.usecases.views.bases import BaseState, Standing, Tags, bases_of, standing

MOST = 200
"""How many tasks a page holds at most."""

_SCANNED = 1000
"""How many tasks one page looks at, at most: where few fit, it says where to go on."""

_ATTEMPTS = 20


class TaskRow(Value, frozen=True):
    """A task, as a list tells of it.

    Attributes:
        task: The task.
        standing: How it is.
        bases: What it reads.
        behind_since: When the oldest of what it does not stand on came; None if it is not behind,
            or that is not known.
        last: Its newest rebuild; None if it has none. A list leaves out its log and its images.
        disagreements: How many times its sources contradict each other.
        read_at: When its sources were last read.
    """

    task: TaskName
    standing: Standing
    bases: tuple[BaseState, ...]
    behind_since: datetime | None
    last: Attempt | None
    disagreements: int
    read_at: datetime


class TaskPage(Value, frozen=True):
    """Some tasks.

    Attributes:
        tasks: The tasks.
        next: What gives the next page; "" after the last one.
        scanned: How many tasks were looked at for it.
    """

    tasks: tuple[TaskRow, ...]
    next: str
    scanned: int


class Said(Value, frozen=True):
    """An image that one source names.

    Attributes:
        image: The image.
        kind: What it is used for.
        built_on: The digest that was used, if the source tells.
        where: Where in the source it stands.
    """

    image: str
    kind: str
    built_on: str | None
    where: str


class SourceSays(Value, frozen=True):
    """What one source says of a task.

    Attributes:
        source: Who says it.
        images: The images that it names.
        problem: Why it says nothing, or not everything.
        revision: Which state of it was read.
        remark: What else is not known.
    """

    source: str
    images: tuple[Said, ...]
    problem: str | None
    revision: str
    remark: str


class TaskDetail(Value, frozen=True):
    """All that is known of a task.

    Attributes:
        row: What a list tells of it.
        sources: What each source says.
        disagreements: Where they contradict each other.
        makes: Whether its runs make an image that stays; "" if nobody has looked.
        pushes: The images that its runs push, with templates where only a run knows.
        because: How that is known.
        warnings: What makes its runs fail.
        missing: The values and arguments that it lacks.
        attempts: Its rebuilds, newest first.
        before: What gives the older ones: a sequence; None if there are none.
        letters: The ids of the dead letters about it.
        portal: Its page in Azure's portal.
    """

    row: TaskRow
    sources: tuple[SourceSays, ...]
    disagreements: tuple[str, ...]
    makes: str
    pushes: tuple[str, ...]
    because: str
    warnings: tuple[str, ...]
    missing: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    before: int | None
    letters: tuple[str, ...]
    portal: str


class Wanted(Value, frozen=True):
    """Which tasks are wanted; what is empty lets everything through.

    Attributes:
        words: What the name or one of the bases holds, in any case; every word.
        registry: The name of the registry.
        standing: How it is: any of these.
        base: An image that it reads, in full.
    """

    words: tuple[str, ...] = ()
    registry: tuple[str, ...] = ()
    standing: tuple[str, ...] = ()
    base: str = ""


def tasks(context: Context, wanted: Wanted, after: str, limit: int) -> TaskPage:
    """Return some of the tasks that are wanted.

    Args:
        context: The ports.
        wanted: Which.
        after: The `next` of the page before; "" for the first one.
        limit: How many at most.

    Raises:
        NotFound: `after` is none, or `wanted.base` is no image.
        TransientError: The store cannot be reached.
    """
    limit = max(1, min(limit, MOST))
    tags = Tags(context)
    if wanted.base or _few(wanted):
        found = _by_key(context, wanted)
        begin = skip_of(after)
        rows = _rows(context, found[begin : begin + limit], wanted, tags)
        end = begin + limit
        more = str(end) if end < len(found) else ""
        return TaskPage(tuple(rows), more, len(found[begin:end]))
    rows, scanned = [], 0
    for registry, place in _from(context, wanted, after):
        more = place
        while True:
            page = context.index.page(registry, more, limit)
            scanned += len(page.tasks)
            rows += _rows(context, page.tasks, wanted, tags)
            more = page.after
            if not more:
                break
            if len(rows) >= limit or scanned >= _SCANNED:
                return TaskPage(tuple(rows), f"{registry.name} {more}", scanned)
    return TaskPage(tuple(rows), "", scanned)


def _few(wanted: Wanted) -> bool:
    """Whether only what is unsettled can fit, which is known by key."""
    unsettled = {Standing.RUNNING, Standing.WAITING, Standing.RETRYING}
    return bool(wanted.standing) and set(wanted.standing) <= unsettled


def _by_key(context: Context, wanted: Wanted) -> list[IndexedTask]:
    if wanted.base:
        try:
            reference = ImageReference.parse(wanted.base)
        except InvalidReference as error:
            raise NotFound(str(error)) from error
        dependents = context.index.dependents(reference.repository)
        return [
            indexed
            for indexed in dependents
            if any(str(d.reference) == str(reference) for d in indexed.view.dependencies)
        ]
    names = sorted({rebuild.task for rebuild in context.ledger.unsettled()})
    found = (context.index.view(task) for task in names)
    return [indexed for indexed in found if indexed is not None]


def _from(context: Context, wanted: Wanted, after: str) -> list[tuple[RegistryId, str]]:
    """Return the registries that are left, each with where to go on in it."""
    registries = [
        registry
        for registry in context.settings.task_registries
        if not wanted.registry or registry.name in wanted.registry
    ]
    name, _, place = after.partition(" ")
    names = [registry.name for registry in registries]
    if not after:
        return [(registry, "") for registry in registries]
    if name not in names:
        raise NotFound("there is no such page")
    left = registries[names.index(name) :]
    return [(registry, place if number == 0 else "") for number, registry in enumerate(left)]


def _rows(
    context: Context, found: Iterable[IndexedTask], wanted: Wanted, tags: Tags
) -> list[TaskRow]:
    registries = set(context.settings.task_registries)
    fitting = [
        indexed
        for indexed in found
        if indexed.view.task.registry in registries
        and (not wanted.registry or indexed.view.task.registry.name in wanted.registry)
        and _named(indexed, wanted.words)
    ]
    heads = context.ledger.heads([indexed.view.task for indexed in fitting])
    rows = (row_of(indexed, heads.get(indexed.view.task), tags) for indexed in fitting)
    return [_short(row) for row in rows if not wanted.standing or row.standing in wanted.standing]


def _short(row: TaskRow) -> TaskRow:
    """Leave out what no list shows."""
    last = row.last and replace(row.last, log="", outputs=(), check_reason=None)
    return replace(row, last=last)


def _named(indexed: IndexedTask, words: tuple[str, ...]) -> bool:
    names = [indexed.view.task.short, *(str(d.reference) for d in indexed.view.dependencies)]
    text = " ".join(names).lower()
    return all(word.lower() in text for word in words)


def row_of(indexed: IndexedTask, head: Rebuild | None, tags: Tags) -> TaskRow:
    """Return what a list tells of a task."""
    view = indexed.view
    bases = bases_of(view, head, tags)
    behind = [base.since for base in bases if base.behind and base.since is not None]
    return TaskRow(
        TaskName(str(view.task), view.task.short),
        standing(bases, head),
        bases,
        min(behind, default=None),
        None if head is None else attempt_of(head),
        len(view.disagreements),
        indexed.read_at,
    )


def task_of(context: Context, name: str) -> TaskId:
    """Return a task that is told by REGISTRY/TASK.

    Raises:
        NotFound: There is no such registry, or the name is none.
    """
    registry_name, _, task = name.lower().partition("/")
    for registry in context.settings.task_registries:
        if registry.name == registry_name:
            try:
                return TaskId.parse(f"{registry}/tasks/{task}")
            except InvalidResourceId:
                break
    raise NotFound(f"there is no task {name!r:.200} here")


def task(context: Context, name: str, before: int | None = None) -> TaskDetail:
    """Return all that is known of a task.

    Args:
        context: The ports.
        name: REGISTRY/TASK.
        before: Only attempts of a lower sequence.

    Raises:
        NotFound: Nothing is known of it.
        TransientError: The store cannot be reached.
    """
    found = task_of(context, name)
    indexed = context.index.view(found)
    if indexed is None:
        raise NotFound(f"nothing is known of the task {name!r:.200}")
    rebuilds = context.ledger.rebuilds(found, _ATTEMPTS + 1, before)
    head = context.ledger.head(found) if before is not None else next(iter(rebuilds), None)
    shown, view = rebuilds[:_ATTEMPTS], indexed.view
    output = view.output
    return TaskDetail(
        row_of(indexed, head, Tags(context)),
        tuple(map(_says, view.evidence)),
        view.disagreements,
        "" if output is None else output.makes.value,
        () if output is None else output.pushes,
        "" if output is None else output.because,
        () if output is None else output.warnings,
        () if output is None else (*output.missing, *output.arguments),
        tuple(map(attempt_of, shown)),
        shown[-1].sequence if len(rebuilds) > _ATTEMPTS else None,
        tuple(letter.letter.id for letter in waiting(context) if letter.task == found),
        f"https://portal.azure.com/#@/resource{found.registry}/tasks",
    )


def _says(evidence: Evidence) -> SourceSays:
    return SourceSays(
        evidence.source.value,
        tuple(
            Said(str(said.reference), said.kind.value, said.built_on, said.where)
            for said in evidence.images
        ),
        evidence.problem,
        evidence.revision,
        evidence.remark,
    )
