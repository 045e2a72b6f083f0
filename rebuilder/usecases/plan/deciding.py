"""Decide for a task with what its registry and the ledger know."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from copy import replace
from datetime import datetime

from rebuilder.core.acr.tasks import Run, RunStatus, Task
from rebuilder.core.decisions.decide import Base, decide
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.digests import (
    AlreadyBuiltOn,
    BaseMoved,
    BuiltWhileMoving,
    NeverRan,
    StillStale,
)
from rebuilder.core.decisions.policy import follows
from rebuilder.core.decisions.uses import NotAllKnown, NothingRecorded
from rebuilder.core.dependencies.outputs import Verdict
from rebuilder.core.rebuilds.rebuild import Check, Likely, Rebuild, State, still_stale
from rebuilder.errors import Denied, RebuilderError
from rebuilder.isolation import attempt, attempts
from rebuilder.usecases.build.output import look
from rebuilder.usecases.context import Context
from rebuilder.usecases.plan.access import missing_pull
from rebuilder.usecases.plan.moves import Moves

log = logging.getLogger(__name__)

# Looking for the last successful run; a task with more failures than this in a row has bigger
# problems than a base that moved during a build.
_RUNS = 15

_LEDGER = "ledger of rebuilds"


def decide_for(
    context: Context, task: Task, base: Base, moves: Moves | None = None
) -> TaskDecision:
    """Decide for one task, as `decide_all` does.

    Raises:
        TransientError, PermanentError: What the decision needs could not be read.
    """
    (decision,) = decide_all(context, [task], base, moves)
    if isinstance(decision, RebuilderError):
        raise decision
    return decision


def decide_all(
    context: Context, tasks: Sequence[Task], base: Base, moves: Moves | None = None
) -> list[TaskDecision | RebuilderError]:
    """Decide, and do not take the record's word for it if it already names the new digest.

    A BuildKit run records what the tag names when it ends. Only a rebuild of ours that succeeded
    on the digest, or a run that began when the digest was there, proves that it was used.

    Args:
        context: Where to look.
        tasks: The tasks, with every dependency that is known of them.
        base: The tag and the digest it names now.
        moves: When it came to name it, if somebody else asks for that, too.

    Returns:
        For each task its decision, or what kept it from being made.
    """
    policy = context.settings.policy
    made = [attempt(lambda task: decide(task, base, policy=policy), task) for task in tasks]
    doubtful = {
        number: decision
        for number, decision in enumerate(made)
        if isinstance(decision, AlreadyBuiltOn | NothingRecorded | NotAllKnown)
        or (isinstance(decision, BaseMoved) and decision.old is None)
    }
    if not doubtful:
        return made
    heads = context.ledger.heads([tasks[number].id for number in doubtful])
    # When the digest came is asked for once, by the first task that needs to know.
    since = moves or Moves(context, base)

    def again(number: int) -> TaskDecision:
        task, decision = tasks[number], doubtful[number]
        head = heads.get(task.id)
        if isinstance(decision, AlreadyBuiltOn):
            return _proven(context, task, decision, head, since)
        if isinstance(decision, BaseMoved):
            if proof := _succeeded_on(context, task, decision, head, since):
                return proof
            return _first(context, task, decision, since)
        if not task.dependencies and base.reference.domain in task.signs_in_to:
            # It is meant to be built on something there, and never was.
            lacking = missing_pull(context, task, base.reference.domain)
            if lacking is not None:
                return lacking
        return _with_run(context, decision)

    for number, decision in zip(doubtful, attempts(again, doubtful), strict=True):
        made[number] = decision
    return made


def _succeeded_on(
    context: Context, task: Task, decision: BaseMoved, head: Rebuild | None, moves: Moves
) -> TaskDecision | None:
    """Return that the task's newest rebuild that succeeded was on the digest, if it was."""
    newest = _newest_success(context, task, head)
    if newest is None or _proof(moves.base) not in newest.bases or newest.missed:
        return None
    if run_since(context, newest, task, moves):
        return None
    return _read_another(context, task, decision.dependency, newest, moves) or AlreadyBuiltOn(
        task.id, decision.dependency, moves.base.digest, _LEDGER
    )


def _newest_success(context: Context, task: Task, head: Rebuild | None) -> Rebuild | None:
    if head is None or head.state is State.SUCCEEDED:
        return head
    return context.ledger.newest_success(task.id)


def run_since(context: Context, rebuild: Rebuild, task: Task, moves: Moves) -> bool:
    """Tell whether another run made the task's image after a rebuild, and may have read another.

    Nobody is asked who ran the task unless the tag was written since: only then does it matter.
    That it named another digest meanwhile is told by events, by ACR's record, or by what the run
    itself was started for; a run that was under way when the tag was written is doubted.
    """
    try:
        away = _records_another(task, moves.base) or moves.away_since(rebuild)
        if not (away or moves.written_since(rebuild)):
            return False
    except Denied:
        return False
    made = _made_by(context.tasks.runs(task.id.registry, task=task.id.name, top=_RUNS))
    if made is None or made.run_id == rebuild.run_id:
        return False
    if away:
        return True
    if moves.base.image in made.moved:
        return False
    return other_digest(made.moved, moves.base) is not None or moves.during(made) is not None


def _records_another(task: Task, base: Base) -> bool:
    return any(
        follows(dependency, base.reference) and dependency.built_on not in (None, base.digest)
        for dependency in task.dependencies
    )


def was_away(context: Context, rebuild: Rebuild, task: Task, moves: Moves) -> datetime | None:
    """Return when a tag named another digest while a rebuild on the one it names was under way.

    Returns:
        None, too, if the image is found to stand on what the tag names, or nobody may look.

    Raises:
        TransientError: It cannot be told now.
    """
    try:
        away = moves.away(rebuild)
    except Denied:
        return None
    if away is None or _look(context, task, rebuild, moves.base).check is Check.NEW:
        return None
    return away


def _look(context: Context, task: Task, rebuild: Rebuild, base: Base) -> Verdict:
    """Look whether what a rebuild pushed stands on what a tag names now."""
    if rebuild.state is not State.SUCCEEDED:
        return Verdict(Check.UNKNOWN, "it has not succeeded")
    return look(context, replace(rebuild, bases=(_proof(base),)), task)


def _read_another(
    context: Context, task: Task, name: str, rebuild: Rebuild, moves: Moves
) -> BuiltWhileMoving | None:
    """Return that the tag was away and came back while a rebuild on its digest was under way."""
    away = was_away(context, rebuild, task, moves)
    if away is None:
        return None
    source = f"rebuild {rebuild.id}, while which the tag named another"
    return BuiltWhileMoving(task.id, name, moves.base.digest, rebuild.claimed_at, away, source)


def _proof(base: Base) -> str:
    return base.image


def _under_way(task: Task, base: Base, head: Rebuild) -> BaseMoved | None:
    """Return that a run under way will leave the task on another digest, if there is such a run.

    The tag went back meanwhile: what is recorded is right only until that run ends.
    """
    if head.state not in (State.CLAIMED, State.SCHEDULED, State.RUNNING):
        return None
    other = other_digest(head.bases, base)
    source = f"rebuild {head.id}, which is under way"
    return None if other is None else _moved_from(task, base, other, source)


def _proven(
    context: Context,
    task: Task,
    decision: AlreadyBuiltOn,
    head: Rebuild | None,
    moves: Moves,
) -> TaskDecision:
    """Find a proof that the image is built on what its record names, or decide to rebuild it."""
    base = moves.base
    if head is not None:
        if (moving := _under_way(task, base, head)) is not None:
            return moving
        stale = still_stale(head, base)
        if stale is not None and head.unsettled:
            return stale  # whoever begins the repair looks at who has run it since
        if stale is None and head.state is State.SUCCEEDED and _proof(base) in head.bases:
            if another := _read_another(context, task, decision.dependency, head, moves):
                return another
            if not run_since(context, head, task, moves):
                return replace(decision, known_from=_LEDGER)
    made = _made_by(context.tasks.runs(task.id.registry, task=task.id.name, top=_RUNS))
    newest = _newest_success(context, task, head)
    if newest is not None and made is not None and made.run_id != newest.run_id:
        newest = None  # somebody else has run it since
    if newest is not None and (stale := still_stale(newest, base)) is not None:
        return stale  # what was tried since on other digests has changed no image
    try:
        doubted = _doubted(context, task, newest, made, moves)
    except Denied:
        return decision
    # Who was found to have missed what it was for may have missed what came before it began, too.
    if newest is None or not (doubted.rebuild or _may_have_missed(newest, base)):
        return doubted
    found = _look(context, task, newest, base)
    if found.check is Check.NEW:
        return replace(decision, known_from=f"image of rebuild {newest.id}")
    if found.check is Check.STALE and not doubted.rebuild:
        return _missed(task, newest, base, found)
    return doubted


def _missed(task: Task, rebuild: Rebuild, base: Base, found: Verdict) -> TaskDecision:
    """Return that what a rebuild pushed is found to stand on something else than a tag names."""
    was_for = other_digest(rebuild.bases, base)
    if was_for is not None and rebuild.check is Check.NEW:
        # It got what it was for.
        return _moved_from(task, base, was_for, f"image of rebuild {rebuild.id}")
    return StillStale(
        task.id,
        str(base.reference),
        base.digest,
        rebuild.id,
        rebuild.run_id,
        found.reason,
        was_for or "",
    )


def _may_have_missed(rebuild: Rebuild, base: Base) -> bool:
    """Tell whether a rebuild left an old base in its image that another run may not leave there.

    Only what it was not for: how often that is tried again is counted elsewhere. What was for
    another digest of the tag may have got that one though it began when the tag named this one:
    from a copy of the registry that was behind.
    """
    if _proof(base) in rebuild.bases:
        return False
    was_for_another = other_digest(rebuild.bases, base) is not None
    return was_for_another or rebuild.stale_by is Likely.MOVED or rebuild.repairable


def _doubted(
    context: Context, task: Task, newest: Rebuild | None, made: Run | None, moves: Moves
) -> TaskDecision:
    """Decide by when the run that made the image began; what it has left as record may be later.

    Args:
        context: Where to look.
        task: The task.
        newest: The rebuild that made the image, if one did.
        made: The run that did, if it is known.
        moves: When the tag came to name what it names.

    Raises:
        Denied: The registry does not let us look.
    """
    other = None if newest is None else other_digest(newest.bases, moves.base)
    if newest is not None and other is not None and not _came_before(moves, made):
        source = f"rebuild {newest.id}, the last that succeeded"
        return _moved_from(task, moves.base, other, source)
    base = replace(moves.base, since=moves.during(made))
    return decide(task, base, None if made is None else made.started, context.settings.policy)


def _came_before(moves: Moves, made: Run | None) -> bool:
    """Tell whether a tag is known to have come back before a run began."""
    try:
        return made is not None and moves.proves(made)
    except Denied as error:
        log.info("%s: going by the rebuild: %s", moves.base.reference, error)
        return False


def other_digest(images: Iterable[str], base: Base) -> str | None:
    """Return which other digest of a tag is among images, if one is."""
    for image in images:
        name, _, digest = image.rpartition("@")
        if name == str(base.reference) and digest != base.digest:
            return digest
    return None


def _moved_from(task: Task, base: Base, old: str, source: str) -> BaseMoved:
    kind = next(d.kind for d in task.dependencies if follows(d, base.reference))
    name = str(base.reference)
    return BaseMoved(task.id, name, kind.value, old, base.digest, base.known_from, source)


def _first(context: Context, task: Task, decision: BaseMoved, moves: Moves) -> TaskDecision:
    """Decide for a task of which nothing is recorded that it was built on.

    Its last successful run proves what it used, if it began when the digest was there. If it never
    ran, and the base was there before it, then nothing has moved: its first run is for somebody
    else to start.
    """
    if task.created is None:
        return decision
    runs = context.tasks.runs(task.id.registry, task=task.id.name, top=_RUNS)
    try:
        came = moves.since()
    except Denied:
        came = None
    name, made = decision.dependency, _made_by(runs)
    if made is not None and made.started is not None:
        if came is not None and made.started >= came:
            return AlreadyBuiltOn(task.id, name, decision.new, "time of its last run")
        return decision
    if came is not None and came > task.created:
        return decision
    run = runs[0].run_id if runs else None
    return NeverRan(task.id, name, decision.new, task.created, came, run)


def _with_run(context: Context, decision: TaskDecision) -> TaskDecision:
    """Tell of a task of which nothing is recorded how its runs ended."""
    if not isinstance(decision, NothingRecorded) or decision.files_read:
        return decision
    task = decision.task
    try:
        runs = context.tasks.runs(task.registry, task=task.name, top=_RUNS)
    except Denied:
        return decision
    succeeded = [run for run in runs if run.status is RunStatus.SUCCEEDED]
    told = next(iter(succeeded or runs), None)
    return replace(
        decision,
        asked=True,
        run=told.run_id if told else None,
        status=told.status.value if told else None,
    )


def _made_by(runs: Iterable[Run]) -> Run | None:
    """Return the run that made the image that is there now.

    Runs may overtake each other: the one that ended last made the image, and the record.
    """
    succeeded = [
        (run.finished or run.started, run.started, run)
        for run in runs
        if run.status is RunStatus.SUCCEEDED and run.started is not None
    ]
    return max(succeeded, key=lambda found: found[:2])[2] if succeeded else None
