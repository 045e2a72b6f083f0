"""A run waits in the queue: look whether it is over, record its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func

from functions._messages import text
from rebuilder.core.rebuilds.messages import RUNS, TrackBuild
from rebuilder.settings.table import STORAGE

if TYPE_CHECKING:
    from rebuilder.usecases.context import Context

blueprint = func.Blueprint()


@blueprint.queue_trigger(arg_name="message", queue_name=RUNS, connection=STORAGE)
def track_build(message: func.QueueMessage) -> None:
    """Look at one run."""
    from rebuilder.composition import compose
    from rebuilder.usecases.recovery.delivery import deliver

    deliver(compose(), RUNS, text(message), _work)


def _work(context: Context, body: str) -> None:
    from rebuilder.usecases.build import track_build as usecase

    usecase.track_build(context, TrackBuild.decode(body))
