"""Timer: sum up for how long tasks stood on old bases, for whoever asks."""

from __future__ import annotations

from uuid import uuid4

import azure.functions as func

blueprint = func.Blueprint()

# Between the sweep's minutes and those of the others; where nothing happened it reads little.
_OFTEN = "40 */5 * * * *"


@blueprint.timer_trigger(arg_name="timer", schedule=_OFTEN)
def sum_staleness(timer: func.TimerRequest) -> None:
    """Sum up staleness, unless another instance has it in progress."""
    from rebuilder.composition import compose
    from rebuilder.telemetry.signals import span
    from rebuilder.usecases.staleness.sum_up import sum_up

    del timer
    context = compose()
    with span("sum_staleness"):
        sum_up(context, uuid4().hex)
