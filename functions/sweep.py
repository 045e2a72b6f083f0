"""Timer: find what events missed, and resume abandoned work."""

from __future__ import annotations

import os
from uuid import uuid4

import azure.functions as func

from rebuilder.settings.tuning import SWEEP_SCHEDULE, schedule

blueprint = func.Blueprint()


# As in refresh_index: the value and not %NAME%.
@blueprint.timer_trigger(arg_name="timer", schedule=schedule(os.environ, SWEEP_SCHEDULE))
def sweep(timer: func.TimerRequest) -> None:
    """Sweep, unless another instance has it in progress."""
    from rebuilder.composition import compose
    from rebuilder.telemetry.signals import span
    from rebuilder.usecases.catch_up import sweep as usecase
    from rebuilder.usecases.messages.stale import tell_stale
    from rebuilder.usecases.reports.now import tell_of_now

    del timer
    context = compose()
    with span("sweep"):
        if usecase.sweep(context, uuid4().hex).swept:
            tell_of_now(context)
            tell_stale(context)
