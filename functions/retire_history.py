"""Timer: forget what is old."""

from __future__ import annotations

from uuid import uuid4

import azure.functions as func

blueprint = func.Blueprint()

# Each call does a slice of a round that begins once a day.
_HOURLY = "0 20 * * * *"


@blueprint.timer_trigger(arg_name="timer", schedule=_HOURLY)
def retire_history(timer: func.TimerRequest) -> None:
    """Retire history, unless another instance has it in progress."""
    from rebuilder.composition import compose
    from rebuilder.telemetry.signals import span
    from rebuilder.usecases.history import retire_history as usecase

    del timer
    context = compose()
    with span("retire_history"):
        usecase.retire_history(context, uuid4().hex)
