"""A push waits in the queue: decide for every task and enqueue the builds."""

from __future__ import annotations

import azure.functions as func

from functions._messages import text
from functions._work import deliver_at_once, plan
from rebuilder.core.rebuilds.messages import PUSHES
from rebuilder.settings.table import STORAGE

blueprint = func.Blueprint()


@blueprint.queue_trigger(arg_name="message", queue_name=PUSHES, connection=STORAGE)
def plan_rebuilds(message: func.QueueMessage) -> None:
    """Plan for one push."""
    deliver_at_once(PUSHES, text(message), plan)
