"""A build waits in the queue: claim it, schedule its run."""

from __future__ import annotations

import azure.functions as func

from functions._messages import text
from functions._work import start
from rebuilder.core.rebuilds.messages import BUILDS
from rebuilder.settings.table import STORAGE

blueprint = func.Blueprint()


@blueprint.queue_trigger(arg_name="message", queue_name=BUILDS, connection=STORAGE)
def start_build(message: func.QueueMessage) -> None:
    """Start one build."""
    from rebuilder.composition import compose
    from rebuilder.usecases.recovery.delivery import deliver

    deliver(compose(), BUILDS, text(message), start)
