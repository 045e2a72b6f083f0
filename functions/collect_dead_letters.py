"""Timer: keep what was given up where `rebuilder dead-letters` shows it."""

from __future__ import annotations

import os

import azure.functions as func

from rebuilder.settings.tuning import DEAD_LETTER_SCHEDULE, schedule

blueprint = func.Blueprint()


@blueprint.timer_trigger(arg_name="timer", schedule=schedule(os.environ, DEAD_LETTER_SCHEDULE))
def collect_dead_letters(timer: func.TimerRequest) -> None:
    """Collect the dead letters of every queue and of Event Grid."""
    from rebuilder.composition import compose
    from rebuilder.telemetry.signals import span
    from rebuilder.usecases.recovery import collect_dead_letters as usecase

    del timer
    context = compose()
    with span("collect_dead_letters"):
        usecase.collect_dead_letters(context)
