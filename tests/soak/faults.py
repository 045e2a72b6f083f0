"""Faults that the product once had, put back: the soak must find each of them.

Each is taken from how the code was before it was mended, as closely as today's code allows.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import replace
from datetime import datetime
from unittest.mock import patch

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Run
from rebuilder.core.lines.line import Line
from rebuilder.core.rebuilds import messages, next_step, pace
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.errors import TransientError
from rebuilder.usecases import clocks
from rebuilder.usecases.build import _circles, _schedule, start_build
from rebuilder.usecases.build._waiting import PutBack
from rebuilder.usecases.catch_up import missed
from rebuilder.usecases.context import Context
from rebuilder.usecases.plan import deciding
from rebuilder.usecases.plan.moves import Moves


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
    was = _circles._pushing

    def pushing(context: Context, other: Rebuild) -> PutBack | None:
        return was(context, other) if other.state.in_flight else None

    patch.object(_circles, "_pushing", pushing).start()


def _circles_go_on() -> None:
    """Only who is known by its chain to be in a circle is waited for."""
    patch.object(_circles, "below", lambda _context, _task: {}).start()


def _stale_for_good() -> None:
    """A rebuild whose image stands on the old base is as good as any."""
    patch.object(Rebuild, "repairable", property(lambda _rebuild: False)).start()


def _times_are_believed() -> None:
    """What an instance whose clock is days ahead has written is waited for."""
    patch.object(clocks, "ahead", lambda *_: False).start()
    patch.object(next_step, "ahead", lambda *_: False).start()
    patch.object(pace, "ahead", lambda *_: False).start()


def _late_messages_free_places() -> None:
    """A message of a rebuild that is over gives up the place of the task's next one."""
    was = Line.without

    def without(line: Line, task: TaskId, _last: int | None = None) -> Line:
        return was(line, task)

    patch.object(Line, "without", without).start()


FAULTS: dict[str, Callable[[], None]] = {
    "tag-goes-back": _tag_goes_back,
    "letters-keep-their-place": _letters_keep_their_place,
    "turns-never-expire": _turns_never_expire,
    "refused-claims-stay": _refused_claims_stay,
    "claims-push-nothing": _claims_push_nothing,
    "circles-go-on": _circles_go_on,
    "stale-for-good": _stale_for_good,
    "times-are-believed": _times_are_believed,
    "late-messages-free-places": _late_messages_free_places,
}
