"""Timer: have every task registry read again for the index."""

from __future__ import annotations

import os

import azure.functions as func

from rebuilder.settings.tuning import REFRESH_SCHEDULE, schedule

blueprint = func.Blueprint()


# The value and not %NAME%, which the host resolves only if the setting is there: it has a default.
@blueprint.timer_trigger(arg_name="timer", schedule=schedule(os.environ, REFRESH_SCHEDULE))
def refresh_index(timer: func.TimerRequest) -> None:
    """Ask for a sweep of every task registry."""
    from rebuilder.composition import compose
    from rebuilder.telemetry.signals import span
    from rebuilder.usecases.index.refresh_index import scan_all

    del timer
    context = compose()
    with span("refresh_index"):
        scan_all(context)
