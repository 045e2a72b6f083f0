"""Spells of standing on an old base: from when a digest came until an image stands on it.

Digests that come while a task is behind are one spell with the first of them: it begins when the
first came, and ends with the image that stands on it or on a newer one. What nobody recorded is
unknown, and never put in the place of a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from msgspec import Struct, field

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.digests import AlreadyBuiltOn
from rebuilder.core.decisions.operators import IgnoredByPolicy, WouldRebuild
from rebuilder.core.decisions.rebuilds import RebuildFailed, RebuildUnderWay
from rebuilder.core.rebuilds.rebuild import Check, Hold, Rebuild, State
from rebuilder.core.times import CLOCKS_DIFFER


class Why(StrEnum):
    """Why a task stands on an old base, or that it does no longer."""

    CAUGHT_UP = "caught up"
    HELD = "held by policy"  # operators let it not begin
    UNDER_WAY = "under way"  # a run, or what is about to be one
    RETRY = "another attempt is due"
    GIVEN_UP = "given up"
    STILL_STALE = "rebuilt, but still stale"
    WAITING = "nothing is under way"
    LEFT = "left alone"  # for a reason that is recorded: disabled, a cycle, ignored
    OTHERWISE = "built otherwise"  # by a run of others, or it follows the tag no longer


class Move(Struct, frozen=True):
    """A tag came to name a digest.

    Attributes:
        digest: The digest.
        told: When the product was first told.
        came: When it came to its registry; None if nobody recorded that.
    """

    digest: str
    told: datetime
    came: datetime | None = None


class Follows(Struct, frozen=True):
    """A task and a tag that it follows, or followed.

    Attributes:
        task: The task.
        base: The tag, as tasks name it.
        moves: What the tag came to name, oldest first.
        decisions: What was decided for the task after each of those, last, by the digest.
        rebuilds: The task's rebuilds, oldest first.
        built_on: What the task is recorded to be built on; None if nothing is.
        now: Whether it follows the tag now.
        policy: Which policies apply to it; "" for none.
    """

    task: TaskId
    base: str
    moves: Sequence[Move]
    decisions: Mapping[str, TaskDecision] = field(default_factory=dict)
    rebuilds: Sequence[Rebuild] = ()
    built_on: str | None = None
    now: bool = True
    policy: str = ""


class Attempt(Struct, frozen=True):
    """Which rebuild ended a spell, or is to.

    Attributes:
        id: Its id.
        run_id: Its run; None if it had none.
    """

    id: str
    run_id: str | None = None


class Spell(Struct, frozen=True, array_like=True):
    """A time in which a task stood, or stands, on an old base.

    Attributes:
        task: The task.
        base: The tag that moved.
        digest: What its image is to stand on, or stands on since: the newest of the spell.
        told: When the first move of it was told.
        since: When the first digest of it came to its registry; None if nobody recorded that.
        until: When the run of the image that stands on it ended; None if it is not over, or nobody
            recorded that.
        why: Why it goes on, or that it is over.
        sentence: The evidence.
        held: How much of it operators held the rebuild.
        rebuild: The rebuild that ended it, or that is to.
        checked: Whether the image was found to stand on the digest; the record of the run alone
            says so otherwise.
        policy: Which policies apply to the task; "" for none.
        first: The digest that it began with.
        newest_told: When the newest move of it was told.
    """

    task: TaskId
    base: str
    digest: str
    told: datetime
    since: datetime | None
    until: datetime | None
    why: Why
    sentence: str = ""
    held: timedelta = timedelta()
    rebuild: Attempt | None = None
    checked: bool = False
    policy: str = ""
    first: str = ""
    newest_told: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether the task stands on the digest."""
        return self.why in (Why.CAUGHT_UP, Why.OTHERWISE)

    @property
    def name(self) -> str:
        """The task, as REGISTRY/TASK."""
        return self.task.short

    def length(self, now: datetime) -> timedelta | None:
        """How long it was, or has been so far; None if that is not known."""
        return self.lasted if self.over else self._until(now)

    @property
    def lasted(self) -> timedelta | None:
        """How long it was, if it is over; None if that is not known."""
        return self._until(self.until)

    def _until(self, end: datetime | None) -> timedelta | None:
        if self.since is None or end is None or end < self.since:
            return None
        return end - self.since


type _End = Rebuild | Why | None
"""What ended a spell: a rebuild, something else, or nothing so far."""


def spells(follows: Follows, now: datetime) -> Iterator[Spell]:
    """Yield the spells in which a task stood on an old base of a tag, oldest first."""
    ended, stands = _ended(follows), _stands(follows)
    needed = [n for n, move in enumerate(follows.moves) if _needed(follows, move)]

    def end(number: int) -> _End:
        return ended.get(number) or (Why.OTHERWISE if number <= stands else None)

    # Several digests that one image ended the waiting for are one spell.
    for done, together in groupby(needed, key=end):
        yield _spell(follows, [follows.moves[number] for number in together], done, now)


def _stands(follows: Follows) -> int:
    """Return the place of the newest move that a task is recorded to stand on; -1 for none."""
    digest = follows.built_on
    if any(r.check is Check.STALE and digest in _on(r, follows.base) for r in follows.rebuilds):
        return -1  # what is recorded is wrong
    found = (number for number, move in enumerate(follows.moves) if move.digest == digest)
    return max(found, default=-1)


def _ended(follows: Follows) -> dict[int, Rebuild]:
    """Return by the place of each move which rebuild stands on it, or on a newer one, first."""
    found: dict[int, Rebuild] = {}
    for rebuild in follows.rebuilds:
        if rebuild.state is not State.SUCCEEDED or rebuild.check is Check.STALE:
            continue
        digests = _on(rebuild, follows.base)
        over = rebuild.finished_at or rebuild.claimed_at
        # A tag may go back: what came after its run was over is not what it stands on.
        before = [n for n, m in enumerate(follows.moves) if m.told <= over + CLOCKS_DIFFER]
        newest = max((n for n in before if follows.moves[n].digest in digests), default=-1)
        for number in before:
            if number <= newest:
                found.setdefault(number, rebuild)
    return found


def _on(rebuild: Rebuild, base: str) -> list[str]:
    prefix = f"{base}@"
    return [name.removeprefix(prefix) for name in rebuild.bases if name.startswith(prefix)]


def _needed(follows: Follows, move: Move) -> bool:
    """Whether the task had to be rebuilt for a move."""
    decision = follows.decisions.get(move.digest)
    if decision is None:
        return follows.now or any(move.digest in _on(r, follows.base) for r in follows.rebuilds)
    if isinstance(decision, AlreadyBuiltOn):
        # That is what a rebuild of ours leads to, too.
        return any(
            move.digest in _on(rebuild, follows.base)
            and rebuild.claimed_at >= move.told - CLOCKS_DIFFER
            for rebuild in follows.rebuilds
        )
    return True


def _spell(follows: Follows, moves: Sequence[Move], done: _End, now: datetime) -> Spell:
    first, last = moves[0], moves[-1]
    spell = Spell(
        follows.task,
        follows.base,
        last.digest,
        first.told,
        first.came,
        None,
        Why.OTHERWISE,
        "it is recorded to stand on it by now; since when is not recorded",
        policy=follows.policy,
        first=first.digest,
        newest_told=last.told,
    )
    if isinstance(done, Rebuild):
        return replace(
            spell,
            until=done.run_ended,
            why=Why.CAUGHT_UP,
            sentence=f"run {done.run_id} stands on it",
            held=_held(follows.rebuilds, first, done, now),
            rebuild=Attempt(done.id, done.run_id),
            checked=done.check is Check.NEW,
        )
    if done is Why.OTHERWISE:
        return spell
    why, sentence, head = _why(follows, last)
    held = _held(follows.rebuilds, first, None, now)
    attempt = None if head is None else Attempt(head.id, head.run_id)
    return replace(spell, why=why, sentence=sentence, held=held, rebuild=attempt)


def _why(follows: Follows, move: Move) -> tuple[Why, str, Rebuild | None]:
    """Tell why a task does not stand on what a tag came to name."""
    decision = follows.decisions.get(move.digest)
    head = follows.rebuilds[-1] if follows.rebuilds else None
    if head is not None and move.digest in _on(head, follows.base):
        found = _of_rebuild(head)
        if found is not None:
            return *found, head
    elif head is not None and head.unsettled:
        found = _of_rebuild(head)
        if found is not None and found[0] is Why.HELD:
            return *found, head
        return Why.UNDER_WAY, f"it waits for the end of rebuild {head.id} ({head.state})", head
    if not follows.now:
        return Why.OTHERWISE, "it does not follow the tag any more", None
    if isinstance(decision, RebuildFailed):
        return Why.GIVEN_UP, decision.sentence(), head
    ours = (AlreadyBuiltOn, RebuildUnderWay)
    if decision is not None and not decision.rebuild and not isinstance(decision, ours):
        policy = isinstance(decision, IgnoredByPolicy | WouldRebuild)
        return Why.LEFT, f"{'by policy: ' if policy else ''}{decision.sentence()}", None
    stands = follows.built_on or "nobody knows which digest"
    return Why.WAITING, f"it stands on {stands}, and nothing is under way", None


def _of_rebuild(rebuild: Rebuild) -> tuple[Why, str] | None:
    outcome = rebuild.outcome or rebuild.state.value
    match rebuild.state:
        case State.HELD if rebuild.hold is Hold.GATE:
            return Why.HELD, outcome
        case State.HELD | State.CLAIMED | State.SCHEDULED | State.RUNNING:
            return Why.UNDER_WAY, f"{rebuild.state}: {rebuild.run_id or outcome}"
        case State.FAILED if rebuild.due is not None:
            return Why.RETRY, f"attempt {rebuild.attempt + 1} at {rebuild.due:%F %T}: {outcome}"
        case State.FAILED | State.GIVEN_UP:
            return Why.GIVEN_UP, f"after {rebuild.attempt} attempt(s): {outcome}"
        case State.SUCCEEDED if rebuild.check is Check.STALE:
            return Why.STILL_STALE, rebuild.check_reason or outcome
        case _:
            return None


def _held(
    rebuilds: Iterable[Rebuild], first: Move, done: Rebuild | None, now: datetime
) -> timedelta:
    """Return for how long operators held what was to end a spell."""
    total, free = timedelta(), first.told
    for rebuild in rebuilds:
        over = rebuild.finished_at
        if over is not None and over < first.told:
            continue
        if rebuild.held is not None:
            # One that was let go was claimed then, and one that moved on was over then.
            going = rebuild.state is State.HELD
            skipped = rebuild.state is State.SKIPPED and over is not None
            let_go = now if going else over if skipped else rebuild.claimed_at
            begun = max(rebuild.held.first, free)
            total += max((let_go or now) - begun, timedelta())
        free = max(free, over or free)
        if done is not None and rebuild.sequence == done.sequence:
            break
    return total
