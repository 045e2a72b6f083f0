"""Event Grid tells of a push: accept it, enqueue it, and go on with it if there is little to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import azure.functions as func

from functions._events import Together, raw
from functions._work import AT_ONCE

blueprint = func.Blueprint()


def _accept(raws: Sequence[object]) -> Callable[[], None] | None:
    """Take events over; return what goes on with one that came alone."""
    from rebuilder.composition import compose
    from rebuilder.usecases.at_once import AtOnce
    from rebuilder.usecases.events.accept import accept_events

    if len(raws) > 1:
        accept_events(compose(), raws)
        return None
    call = AtOnce(compose(), AT_ONCE)
    accept_events(call.context, raws)
    return call.go_on


_together = Together(_accept)


@blueprint.event_grid_trigger(arg_name="event")
async def image_pushed(event: func.EventGridEvent) -> None:
    """Accept one event of either schema, together with those that come at once."""
    go_on = await _together.take_over(raw(event))
    if go_on is not None:
        await asyncio.to_thread(go_on)
