"""Event Grid tells of a changed resource: have it read again if it is a task of ours."""

from __future__ import annotations

from collections.abc import Sequence

import azure.functions as func

from functions._events import Together, raw

blueprint = func.Blueprint()


def _accept(raws: Sequence[object]) -> None:
    from rebuilder.composition import compose
    from rebuilder.usecases.events.accept import accept_task_events

    accept_task_events(compose(), raws)


_together = Together(_accept)


@blueprint.event_grid_trigger(arg_name="event")
async def task_changed(event: func.EventGridEvent) -> None:
    """Accept one event of either schema, together with those that come at once."""
    await _together.take_over(raw(event))
