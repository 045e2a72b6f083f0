"""Faults that are put into the product: the soak must find each of them.

Those that it once had are taken from how the code was before it was mended, as closely as today's
code allows. What operators decide is left out in turn: it has never been so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Run
from rebuilder.core.lines.line import Line
from rebuilder.core.policies import approval as approvals
from rebuilder.core.policies import gate
from rebuilder.core.policies.acts import Act
from rebuilder.core.policies.approval import Approval, Vote
from rebuilder.core.policies.gate import InForce
from rebuilder.core.policies.holds import Held
from rebuilder.core.rebuilds import messages, next_step, pace
from rebuilder.core.rebuilds.rebuild import Likely, Rebuild, State
from rebuilder.errors import TransientError
from rebuilder.ports.steering import Steering
from rebuilder.usecases import clocks
from rebuilder.usecases.build import _cycles, _schedule, start_build
from rebuilder.usecases.build._waiting import PutBack
from rebuilder.usecases.catch_up import missed
from rebuilder.usecases.context import Context
from rebuilder.usecases.plan import deciding
from rebuilder.usecases.plan.moves import Moves
from rebuilder.usecases.steering import gate as steering
from rebuilder.usecases.steering import votes
from rebuilder.usecases.steering.in_force import Known
from rebuilder.usecases.waves import canaries, wake


def _tag_goes_back() -> None:
    """What a tag named before is believed by the time its manifest came."""

    def during(moves: Moves, run: Run | None) -> datetime | None:
        came = moves._times().came
        early = came is not None and run is not None and run.started and run.started < came
        return came if early else None

    patch.object(Moves, "during", during).start()
    patch.object(Moves, "away", lambda _moves, _rebuild: None).start()
    patch.object(Moves, "away_since", lambda _moves, _rebuild: False).start()
    patch.object(deciding, "_came_before", lambda _moves, _run: True).start()
    # Nor was the image looked at for what a tag named by then.
    patch.object(deciding, "_may_have_missed", lambda _rebuild, _base: False).start()
    missed_now = vars(Rebuild)["missed"].fget

    def missed_then(rebuild: Rebuild) -> bool:
        return rebuild.stale_by is not Likely.MOVED and bool(missed_now(rebuild))

    patch.object(Rebuild, "missed", property(missed_then)).start()
    patch.object(missed, "_left_on_another", lambda *_: set()).start()


def _letters_keep_their_place() -> None:
    """A letter that is replayed stands back behind those that waited beside it."""
    patch.object(messages, "_COLLECTED", messages._COLLECTED - {"wait"}).start()


def _turns_never_expire() -> None:
    """A turn that was given long ago is as good as one of now."""
    patch.object(start_build, "expired", lambda _turn, _now: False).start()


def _refused_claims_stay() -> None:
    """A claim that ARM took no request for looks like one whose holder has died."""

    def not_sent(
        context: Context, rebuild: Rebuild, _error: TransientError, _due: datetime
    ) -> None:
        context.ledger.save(replace(rebuild, lease_until=context.now()))

    patch.object(_schedule, "_not_sent", not_sent).start()


def _claims_push_nothing() -> None:
    """What a claim may have pushed whose outcome is unknown is taken for a push from elsewhere."""
    was = _cycles._pushing

    def pushing(context: Context, other: Rebuild) -> PutBack | None:
        return was(context, other) if other.state.in_flight else None

    patch.object(_cycles, "_pushing", pushing).start()


def _cycles_go_on() -> None:
    """Only who is known by its chain to be in a cycle is waited for."""
    patch.object(_cycles, "below", lambda _context, _task: {}).start()


def _stale_for_good() -> None:
    """A rebuild whose image stands on the old base is as good as any."""
    patch.object(Rebuild, "missed", property(lambda _rebuild: False)).start()


def _times_are_believed() -> None:
    """What an instance whose clock is days ahead has written is waited for."""
    patch.object(clocks, "ahead", lambda *_: False).start()
    patch.object(next_step, "ahead", lambda *_: False).start()
    patch.object(pace, "ahead", lambda *_: False).start()


def _late_messages_free_places() -> None:
    """A message of a rebuild that is over gives up the place of the task's next one."""
    was = Line.without

    def without(line: Line, task: TaskId, *_: int) -> Line:
        return was(line, task)

    patch.object(Line, "without", without).start()


def _nobody_is_asked() -> None:
    """What needs approval begins without."""
    patch.object(gate, "lacking", lambda *_, **__: None).start()


def _votes_never_expire() -> None:
    """Whoever agreed once agrees for ever."""

    def lacking(approval: Approval | None, votes: Iterable[Vote], **of: Any) -> object:  # noqa: ANN401 - passed on
        longer = approval and replace(approval, expires=timedelta(days=99))
        return approvals.lacking(longer, votes, **of)

    patch.object(gate, "lacking", lacking).start()


def _votes_are_for_a_task() -> None:
    """Whoever agreed to some digests agreed to all that come."""
    was = steering.waited

    def waited(head: Rebuild | None, key: str) -> Held | None:
        found = was(head, key)
        before = head.held if head else None
        return replace(found, votes=before.votes) if found and before else found

    patch.object(start_build, "waited", waited).start()


def _rejected_comes_again() -> None:
    """What was rejected is asked about again, as what is skipped."""
    was = votes._reject

    def reject(context: Context, act: Act, rebuild: Rebuild) -> Rebuild:
        return context.ledger.save(replace(was(context, act, rebuild), state=State.SKIPPED))

    patch.object(votes, "_reject", reject).start()


def _nobody_goes_first() -> None:
    """The canary is not waited for."""
    patch.object(canaries, "held_by", lambda *_: None).start()


def _quarantined_is_built_on() -> None:
    """Nobody looks whether a digest is quarantined."""
    patch.object(gate, "quarantine", lambda *_: ()).start()


def _failures_are_not_counted() -> None:
    """However many tasks of a wave fail, the others are built."""
    patch.object(wake, "note", lambda *_: None).start()


def _upstream_is_not_waited_for() -> None:
    """A task is built at once, before those that it stands on."""
    patch.object(steering, "upstream", lambda *_: ()).start()
    patch.object(steering, "known_upstream", lambda *_: ()).start()


def _edits_are_not_seen() -> None:
    """The first policy file that an instance has read is in force for ever."""
    was = Known._read

    class Old:
        """Operators who decide once."""

        def __init__(self, port: Steering, token: str) -> None:
            self.token = port.token if not token else lambda: token
            self.acts, self.versions = port.acts, port.versions

    def read(known: Known, port: Steering) -> InForce:
        return was(known, Old(port, known._token))  # type: ignore[arg-type] # as much as it uses

    patch.object(Known, "_read", read).start()


def _pauses_are_not_looked_at() -> None:
    """What is paused begins."""
    patch.object(gate, "_paused", lambda *_: ()).start()


FAULTS: dict[str, Callable[[], None]] = {
    "tag-goes-back": _tag_goes_back,
    "letters-keep-their-place": _letters_keep_their_place,
    "turns-never-expire": _turns_never_expire,
    "refused-claims-stay": _refused_claims_stay,
    "claims-push-nothing": _claims_push_nothing,
    "cycles-go-on": _cycles_go_on,
    "stale-for-good": _stale_for_good,
    "times-are-believed": _times_are_believed,
    "late-messages-free-places": _late_messages_free_places,
    "nobody-is-asked": _nobody_is_asked,
    "votes-never-expire": _votes_never_expire,
    "votes-are-for-a-task": _votes_are_for_a_task,
    "rejected-comes-again": _rejected_comes_again,
    "nobody-goes-first": _nobody_goes_first,
    "quarantined-is-built-on": _quarantined_is_built_on,
    "failures-are-not-counted": _failures_are_not_counted,
    "upstream-is-not-waited-for": _upstream_is_not_waited_for,
    "edits-are-not-seen": _edits_are_not_seen,
    "pauses-are-not-looked-at": _pauses_are_not_looked_at,
}
