"""A push waits in the queue: decide for every task and enqueue the builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func

from functions._messages import text
from rebuilder.core.rebuilds.messages import PUSHES, PlanRebuilds
from rebuilder.settings.table import STORAGE

if TYPE_CHECKING:
    from rebuilder.usecases.context import Context

blueprint = func.Blueprint()


@blueprint.queue_trigger(arg_name="message", queue_name=PUSHES, connection=STORAGE)
def plan_rebuilds(message: func.QueueMessage) -> None:
    """Plan for one push."""
    from rebuilder.composition import compose
    from rebuilder.usecases.recovery.delivery import deliver

    deliver(compose(), PUSHES, text(message), _work)


def _work(context: Context, body: str) -> None:
    from rebuilder.usecases.plan import plan_rebuilds as usecase

    usecase.plan_rebuilds(context, PlanRebuilds.decode(body))
