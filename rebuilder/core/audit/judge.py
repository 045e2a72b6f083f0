"""Prove that each push had one effect on each task that had to be rebuilt, or name the exception.

The ledger is what was meant to happen; ARM's runs are what happened. The proof is by the digest: a
task has its effect if a rebuild on the pushed digest, or on a newer one of the same tag, succeeded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.audit.model import (
    Audit,
    AuditedPush,
    AuditFinding,
    AuditInput,
    AuditVerdict,
    DatedDecision,
    PendingLetter,
)
from rebuilder.core.audit.standing import last_of, of_attempt, of_decision, overdue
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.digests import AlreadyBuiltOn, BaseMoved, BuiltWhileMoving, StillStale
from rebuilder.core.decisions.rebuilds import RebuildUnderWay
from rebuilder.core.decisions.unreadable import RegistryUnreadable
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Check, Native, Rebuild, State


def audit(books: AuditInput) -> Audit:
    """Judge every push of a time span; see Audit."""
    findings = [finding for told in books.told for finding in _of_push(books, told)]
    findings += _untold(books)
    rebuilds = {(f.rebuild.task, f.rebuild.sequence): f.rebuild for f in findings if f.rebuild}
    native = Counter(rebuild.native for rebuild in rebuilds.values())
    verdicts = Counter(finding.verdict for finding in findings)
    return Audit(
        tuple(findings),
        len(books.told),
        {verdict: verdicts[verdict] for verdict in AuditVerdict},
        native[Native.ADOPTED],
        native[Native.MISSED],
        sum(1 for rebuild in rebuilds.values() if _native_too(books, rebuild)),
        sum(
            1
            for rebuild in rebuilds.values()
            if rebuild.state is State.SUCCEEDED and rebuild.check is Check.UNKNOWN
        ),
        books.waiting,
        books.remarks,
        books.unread,
        books.standing,
        books.tags,
    )


def _of_push(books: AuditInput, told: AuditedPush) -> Iterator[AuditFinding]:
    if not told.decisions:
        yield from _unplanned(books, told)
    by_task: dict[TaskId, list[DatedDecision]] = {}
    for made in told.decisions:
        if isinstance(made.decision, TaskDecision):
            by_task.setdefault(made.decision.task, []).append(made)
    for task, decisions in by_task.items():
        if any(made.decision.rebuild for made in decisions):
            yield _of_task(books, told, task, decisions)
        elif any(isinstance(made.decision, AlreadyBuiltOn) for made in decisions):
            sentence = decisions[-1].decision.sentence()
            yield AuditFinding(told.push, told.at, task, AuditVerdict.ALREADY, sentence)
    for made in told.decisions:
        if isinstance(made.decision, RegistryUnreadable) and not any(
            str(task.registry) == made.decision.registry and later.last_at > made.last_at
            for task, decisions in by_task.items()
            for later in decisions
        ):
            sentence = made.decision.sentence()
            yield AuditFinding(told.push, told.at, None, AuditVerdict.UNREADABLE, sentence)


def _unplanned(books: AuditInput, told: AuditedPush) -> Iterator[AuditFinding]:
    """Judge a push after which nothing was decided; usually because nobody is built on it."""
    if letter := _letter(books, told.push, None):
        yield AuditFinding(told.push, told.at, None, AuditVerdict.DEAD_LETTER, _waits(letter))
        return
    if told.planned or not told.followers:
        return
    names = ", ".join(task.short for task in told.followers)
    if newer := _newer_push(books, told, None):
        yield AuditFinding(told.push, told.at, None, AuditVerdict.SUPERSEDED, _by_push(newer))
    elif books.now - told.at <= books.patience:
        sentence = f"not planned yet; the index names {names}"
        yield AuditFinding(told.push, told.at, None, AuditVerdict.IN_PROGRESS, sentence)
    else:
        sentence = f"never planned, although the index names {names}"
        yield AuditFinding(told.push, told.at, None, AuditVerdict.LOST, sentence)


def _of_task(
    books: AuditInput, told: AuditedPush, task: TaskId, decisions: Sequence[DatedDecision]
) -> AuditFinding:
    rebuilds = books.rebuilds.get(task, ())
    wanted = {
        f"{decision.dependency}@{digest}"
        for made in decisions
        if isinstance(decision := made.decision, BaseMoved | BuiltWhileMoving | StillStale)
        for digest in (decision.new if isinstance(decision, BaseMoved) else decision.digest,)
    }
    on = [rebuild for rebuild in rebuilds if wanted & set(rebuild.bases)]

    def found(verdict: AuditVerdict, sentence: str, rebuild: Rebuild | None = None) -> AuditFinding:
        return AuditFinding(told.push, told.at, task, verdict, sentence, rebuild)

    if twice := _twice(books, told, task, on):
        return found(AuditVerdict.DOUBLED, twice, on[0])
    done = next((rebuild for rebuild in on if rebuild.state is State.SUCCEEDED), None)
    if done is not None:
        if done.check is Check.STALE:
            return found(AuditVerdict.STALE, done.check_reason or "rebuilt, but still stale", done)
        verdict = AuditVerdict.ADOPTED if done.native is Native.ADOPTED else AuditVerdict.REBUILT
        return found(verdict, f"run {done.run_id} on {', '.join(done.bases)}", done)
    if newer := _newer_rebuild(rebuilds, told, wanted, on):
        sentence = f"run {newer.run_id} is on {', '.join(newer.bases)}"
        if newer.check is Check.STALE:
            return found(AuditVerdict.STALE, newer.check_reason or sentence, newer)
        return found(AuditVerdict.SUPERSEDED, sentence, newer)
    if later := _newer_push(books, told, task):
        return found(AuditVerdict.SUPERSEDED, _by_push(later))
    if on and (finding := of_attempt(on[0], books.now, books.patience)):
        return found(*finding, on[0])
    verdict, sentence = _without_rebuild(books, told, task, decisions)
    if verdict is AuditVerdict.LOST and (why := _why_left(on, decisions)):
        verdict, sentence = AuditVerdict.LEFT, why
    return found(verdict, sentence, on[0] if on else None)


def _why_left(on: Sequence[Rebuild], decisions: Sequence[DatedDecision]) -> str:
    """Return why a rebuild on the digests was left after it was planned; "" if none was.

    One that is held is looked at again, and may find that the tag is back, which no event told.
    What the task stands on now is another question; see standing.
    """
    planned = max(made.last_at for made in decisions)
    over = on[0].finished_at if on and on[0].state is State.SKIPPED else None
    return (on[0].outcome or "") if over is not None and over >= planned else ""


def _without_rebuild(
    books: AuditInput, told: AuditedPush, task: TaskId, decisions: Sequence[DatedDecision]
) -> tuple[AuditVerdict, str]:
    """Judge a task that no attempt on the digests was made for."""
    last = last_of(decisions) or decisions[-1]
    if isinstance(last.decision, TaskDecision) and (found := of_decision(last.decision)):
        return found
    if isinstance(last.decision, RebuildUnderWay) and (
        found := _of_other(books, task, last.decision.rebuild_id)
    ):
        return found
    if letter := _letter(books, told.push, task):
        return AuditVerdict.DEAD_LETTER, _waits(letter)
    before = next((r for r in books.rebuilds.get(task, ()) if r.unsettled), None)
    if before is not None and not overdue(before, books.now, books.patience):
        return (
            AuditVerdict.IN_PROGRESS,
            f"it waits for the end of rebuild {before.id} ({before.state})",
        )
    if books.now - last.last_at <= books.patience:
        return AuditVerdict.IN_PROGRESS, "planned, not begun yet"
    if task not in told.followers:
        # Its build file was changed, or it was built otherwise, before its message came.
        return AuditVerdict.LEFT, "it is not in need of the image any more, by the index"
    if back := _went_back(books, told, task, last):
        return AuditVerdict.SUPERSEDED, f"the tag went back to {back.push.digest}"
    return AuditVerdict.LOST, f"planned, and nothing happened since {last.last_at.isoformat()}"


def _of_other(books: AuditInput, task: TaskId, rebuild: str) -> tuple[AuditVerdict, str] | None:
    """Judge a push whose tag named something else when it was decided for, by the rebuild on that.

    The tag went back to what a rebuild under way was on.
    """
    other = next((r for r in books.rebuilds.get(task, ()) if r.id == rebuild), None)
    if other is None:
        return None
    if other.state is State.SUCCEEDED:
        return AuditVerdict.SUPERSEDED, f"run {other.run_id} is on {', '.join(other.bases)}"
    return of_attempt(other, books.now, books.patience)


def _twice(books: AuditInput, told: AuditedPush, task: TaskId, on: Sequence[Rebuild]) -> str | None:
    """Tell what was built twice on the digests; None if nothing was."""
    rebuilds = books.rebuilds.get(task, ())
    succeeded = [rebuild for rebuild in rebuilds if rebuild.state is State.SUCCEEDED]
    for newer, older in pairwise(succeeded):
        same = newer.key == older.key and set(newer.bases) <= set(older.bases)
        # A later attempt, or a repair, is one that was asked for.
        same = same and newer.repair <= older.repair and newer.attempt <= older.attempt
        if newer in on and same and not _was_moved(books, told, older, newer):
            return f"runs {older.run_id} and {newer.run_id} succeeded on the same digests"
    runs = books.runs.get(task, ())
    for rebuild in on:
        carrying = sorted(run.run_id for run in runs if run.token == rebuild.token)
        if len(carrying) > 1:
            return f"runs {' and '.join(carrying)} carry the token of one rebuild, {rebuild.id}"
    return None


def _was_moved(books: AuditInput, told: AuditedPush, older: Rebuild, newer: Rebuild) -> bool:
    """Tell whether the tag named another image between two rebuilds on the same, as far as counts.

    That is while the first one's run was under way, of which then nobody knows what it has read; or
    long enough for a rebuild on the other image to be begun, whatever came of it.
    """
    rebuilds = books.rebuilds.get(older.task, ())
    if any(r.key != older.key and older.sequence < r.sequence < newer.sequence for r in rebuilds):
        return True
    ended = older.ended_at or newer.claimed_at
    return any(
        other.tag == told.tag
        and other.push.digest != told.push.digest
        and older.claimed_at <= other.at <= ended
        for other in (*books.told, *books.later)
    )


def _native_too(books: AuditInput, rebuild: Rebuild) -> bool:
    """Tell whether ACR's own trigger built on the same base, beside a rebuild of ours."""
    return (
        rebuild.state is State.SUCCEEDED
        and rebuild.native is not Native.ADOPTED
        and any(
            run.run_id != rebuild.run_id and set(run.moved) & set(rebuild.bases)
            for run in books.runs.get(rebuild.task, ())
        )
    )


def _newer_rebuild(
    rebuilds: Sequence[Rebuild], told: AuditedPush, wanted: Iterable[str], on: Sequence[Rebuild]
) -> Rebuild | None:
    """Return a rebuild that succeeded on another digest of the same tag, after the push.

    Times are those of the clocks that wrote them; that a rebuild comes after the attempts on the
    push's own digest is known by its number.
    """
    tags = {base.partition("@")[0] for base in wanted}
    tried = max((rebuild.sequence for rebuild in on), default=None)
    return next(
        (
            rebuild
            for rebuild in rebuilds
            if rebuild.state is State.SUCCEEDED
            and (rebuild.claimed_at >= told.at or (tried is not None and rebuild.sequence > tried))
            and tags & {base.partition("@")[0] for base in rebuild.bases}
        ),
        None,
    )


def _newer_push(books: AuditInput, told: AuditedPush, task: TaskId | None) -> AuditedPush | None:
    """Return a later push of the same tag, after which the task was decided for."""
    for other in (*books.told, *books.later):
        same = other.tag == told.tag and other.push.digest != told.push.digest
        if same and _came_after(other, told):
            tasks = {
                d.decision.task for d in other.decisions if isinstance(d.decision, TaskDecision)
            }
            if task is None or task in tasks:
                return other
    return None


def _went_back(
    books: AuditInput, told: AuditedPush, task: TaskId, last: DatedDecision
) -> AuditedPush | None:
    """Return an earlier push of the same tag for which the task was decided again, after the last.

    The tag named its image once more by then: messages of one task are answered together.
    """
    return next(
        (
            other
            for other in (*books.told, *books.later)
            if other.tag == told.tag
            and other.push.digest != told.push.digest
            and any(
                isinstance(made.decision, TaskDecision)
                and made.decision.task == task
                and made.last_at > last.last_at
                for made in other.decisions
            )
        ),
        None,
    )


def _came_after(other: AuditedPush, told: AuditedPush) -> bool:
    """Tell whether a push came after another of the same tag: by its registry's clock, if it tells.

    When they were told is by the clocks of our instances, of which one may have been days ahead.
    """
    came, before = other.push.pushed_at, told.push.pushed_at
    return other.at > told.at if came is None or before is None else came > before


def _by_push(newer: AuditedPush) -> str:
    return f"the tag moved on to {newer.push.digest}, told {newer.at.isoformat()}"


def _letter(books: AuditInput, push: Push, task: TaskId | None) -> PendingLetter | None:
    return next(
        (
            waiting
            for waiting in books.waiting
            if waiting.push is not None
            and waiting.push.key == push.key
            and waiting.task in (task, None)
        ),
        None,
    )


def _waits(waiting: PendingLetter) -> str:
    letter = waiting.letter
    return f"{letter.id} of {letter.source}: {letter.reason}; `rebuilder replay {letter.id}`"


def _untold(books: AuditInput) -> Iterator[AuditFinding]:
    """Return the pushes that are known from nothing but a dead letter."""
    known = {told.push.key for told in (*books.told, *books.later)}
    for waiting in books.waiting:
        push, at = waiting.push, waiting.letter.at
        if push is None or push.key in known:
            continue
        known.add(push.key)
        yield AuditFinding(push, at, waiting.task, AuditVerdict.DEAD_LETTER, _waits(waiting))
