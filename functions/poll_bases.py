"""Timer: look at the images of registries that send no events."""

from __future__ import annotations

import os
from uuid import uuid4

import azure.functions as func

from rebuilder.settings.tuning import POLL_SCHEDULE, schedule

blueprint = func.Blueprint()


# As in refresh_index: the value and not %NAME%.
@blueprint.timer_trigger(arg_name="timer", schedule=schedule(os.environ, POLL_SCHEDULE))
def poll_bases(timer: func.TimerRequest) -> None:
    """Poll, unless another instance has it in progress."""
    from rebuilder.composition import compose
    from rebuilder.telemetry.signals import span
    from rebuilder.usecases.catch_up import poll_bases as usecase

    del timer
    context = compose()
    with span("poll_bases"):
        usecase.poll_bases(context, uuid4().hex)
