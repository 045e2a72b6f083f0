"""When a tag came to name what it names: more than once, if it went away and came back.

A manifest has the time at which it came to its registry, whichever tag named it then. A tag may be
moved to one that is old: back to the one before, or on to one that had another tag so far.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from rebuilder.core.acr.registries import ForeignRegistry, PushedRegistry
from rebuilder.core.acr.tasks import Run
from rebuilder.core.decisions.decide import Base
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.core.times import CLOCKS_DIFFER
from rebuilder.errors import Denied, NotFound
from rebuilder.ports.ledger import PushRecord
from rebuilder.usecases.context import Context

# The newest pushes of a tag, among which one of another digest is looked for.
_PUSHES = 20
_KNOWN = 2  # of its pushes the ledger keeps the times of the first and of the last
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class _Times(Struct, frozen=True):
    """What is known of a tag and the digest that it names.

    Attributes:
        came: When the digest came to its registry, or was first seen by the poll.
        written: When the tag was last written, or last seen by the poll to have come back.
        after: When it surely was not yet: the poll sees it some time later.
        others: The newest pushes of other digests to the tag.
        told: When events told that the digest was pushed, the last time of several.
    """

    came: datetime | None = None
    written: datetime | None = None
    after: datetime | None = None
    others: Sequence[PushRecord] = ()
    told: datetime | None = None

    def stayed(self, since: datetime, until: datetime) -> bool:
        """Tell whether the tag surely named the digest from one time to another.

        Of each other digest the first and the last push are known: one that was pushed before and
        after, and more than twice, may have been pushed in between.
        """
        hidden = any(
            other.deliveries > _KNOWN and other.first_at <= until and since < other.last_at
            for other in self.others
        )
        return not hidden and self.away(since, until) is None

    def named(self, at: datetime) -> datetime | None:
        """Return the latest time until another at which the tag is known to name the digest."""
        known = (self.came, self.told)
        return max((time for time in known if time is not None and time <= at), default=None)

    def away(self, since: datetime, until: datetime) -> datetime | None:
        """Return when the tag was told to name another digest in a time, if it was."""
        told = (
            time
            for other in self.others
            for time in (
                other.push.pushed_at or other.first_at,
                other.pushed_last or other.last_at,
            )
            if since < time <= until
        )
        return max(told, default=None)


class Moves:
    """When a base's tag came to name its digest; asked for once, when it is first needed.

    Every method raises TransientError if that cannot be told now, and Denied if the registry does
    not let us look.
    """

    def __init__(self, context: Context, base: Base) -> None:
        self._context = context
        self.base = base
        self._lock = threading.Lock()
        self._found: _Times | None = None

    def since(self) -> datetime | None:
        """Return since when the tag names the digest, as far as its registry or the poll tells.

        The time of the tag counts only if it is known to have named another one since the digest
        came: pushing the same again, and locking a tag, may count as writing it, too.
        """
        times = self._times()
        if times.came is None or times.written is None or times.written <= times.came:
            return times.came
        return times.written if times.away(times.came, times.written) else times.came

    def during(self, run: Run | None) -> datetime | None:
        """Return when the tag came to name the digest, if a run may have read it before that.

        ACR's record is what the tag named when the run ended. If the tag was written later than
        that and names the same, it was away and came back, or was written again: no matter.
        """
        times = self._times()
        if run is None or run.started is None:
            return None
        if times.came is not None and run.started < times.came:
            return times.came
        if times.written is None or run.started >= times.written:
            return None
        over = (
            run.finished is not None
            and times.after is not None
            and run.finished + CLOCKS_DIFFER < times.after
        )
        return None if over else times.written

    def away(self, rebuild: Rebuild) -> datetime | None:
        """Return when the tag named another digest while a rebuild's run was under way, if it did.

        The run may have read that one, whatever the tag named before and names now.
        """
        tag, polled = f"{self.base.reference}@", self.base.known_from == "poll"
        if f"{tag}{self.base.digest}" not in rebuild.bases:
            return None
        times = self._times()
        until = rebuild.ended_at or self._context.now()
        # Whose clock said that it was claimed after it was over was wrong: then its run tells.
        claimed = rebuild.claimed_at if rebuild.claimed_at <= until else _LONG_AGO
        if not polled and (times.written is None or times.written <= claimed):
            return None  # an event of another digest came late
        recorded = {name for name in rebuild.dependencies if name.startswith(tag)}
        other = bool(recorded) and f"{tag}{self.base.digest}" not in recorded and not polled
        if not (other or times.away(claimed, until)):
            return None
        # It was over some time before anybody looked, and began some time after it was claimed.
        run = self._run(rebuild)
        if run is None or (times.written and run.started and times.written <= run.started):
            return None
        began = run.started or run.created or claimed
        told = times.away(began, run.finished or until)
        return times.written if told is None and other else told

    def away_since(self, rebuild: Rebuild) -> bool:
        """Tell whether the tag was told to name another digest since a rebuild was claimed.

        Whoever has run the task meanwhile may have read that one.
        """
        times = self._times()
        return times.written is not None and times.away(_begun(rebuild), times.written) is not None

    def written_since(self, rebuild: Rebuild) -> bool:
        """Tell whether the tag was written since a rebuild was claimed, be it the same again."""
        written = self._times().written
        return written is not None and written > _begun(rebuild)

    def _run(self, rebuild: Rebuild) -> Run | None:
        try:
            return self._context.tasks.run(rebuild.task.registry, rebuild.run_id or "")
        except NotFound:
            return None

    def proves(self, run: Run) -> bool:
        """Tell whether the tag is known to have named the digest from when a run began.

        A run that was over before the tag was written last is proven by nothing having been pushed
        to it from when the digest came, or came back, until then. What the poll has not seen proves
        nothing.
        """
        times, polled = self._times(), self.base.known_from == "poll"
        came, written = times.came, times.written
        if run.started is None or (written is None and (came is None or not polled)):
            return False
        if run.started >= max(time for time in (came, written) if time is not None):
            return True
        named = times.named(run.started)
        if polled or named is None or written is None or run.finished is None:
            return False
        over = run.finished + CLOCKS_DIFFER < written
        return over and times.stayed(named, run.finished)

    def _times(self) -> _Times:
        with self._lock:
            if self._found is None:
                self._found = self._polled() if self.base.known_from == "poll" else self._told()
            return self._found

    def _told(self) -> _Times:
        context, base, reference = self._context, self.base, self.base.reference
        host, path, tag = reference.domain, reference.path, reference.tag or ""
        came = context.images.created(host, path, base.digest)
        written = context.images.tagged(host, path, tag, base.digest)
        registry = context.base_registry(host)
        found = () if registry is None else self._pushes(registry)
        return _Times(came, written, written, self._others(found), self._told_last(found))

    def _polled(self) -> _Times:
        """Return when a foreign tag was found to have moved: its registry does not tell.

        It moved some time before that, so a run that began in between is not believed either.
        """
        reference = self.base.reference
        registry, tag = ForeignRegistry(reference.domain), reference.tag or ""
        push = Push(registry, reference.path, tag, self.base.digest, None, "")
        known = self._context.ledger.push(push.key)
        if known is None:
            return _Times()
        others = self._others(self._pushes(registry))
        left = max((other.last_at for other in others), default=None)
        back = left is not None and known.first_at < left < known.last_at
        came = known.push.pushed_at
        if came is None and any(other.first_at < known.first_at for other in others):
            # Whoever comes after a push may find it before the poll tells of it.
            came = known.first_at
        return _Times(came, known.last_at if back else None, left, others)

    def _pushes(self, registry: PushedRegistry) -> Sequence[PushRecord]:
        reference = self.base.reference
        return self._context.ledger.pushes(
            registry, reference.path, reference.tag or "", limit=_PUSHES
        )

    def _others(self, pushes: Iterable[PushRecord]) -> list[PushRecord]:
        return [record for record in pushes if record.push.digest != self.base.digest]

    def _told_last(self, pushes: Iterable[PushRecord]) -> datetime | None:
        """Return when events told that the digest was pushed; what else finds it tells no time."""
        own = (record for record in pushes if record.push.digest == self.base.digest)
        found = next(own, None)
        return None if found is None or found.push.pushed_at is None else found.pushed_last


def _begun(rebuild: Rebuild) -> datetime:
    return min(rebuild.claimed_at, rebuild.ended_at or rebuild.claimed_at)


def tag_moved_at(context: Context, base: Base) -> datetime | None:
    """Return since when a tag names a digest, as far as its registry or the poll tells."""
    try:
        return Moves(context, base).since()
    except Denied:
        return None
