"""An operator's act waits in the queue: remember it, and look again at what it lets go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func

from functions._messages import text
from rebuilder.core.rebuilds.messages import ACTS, OperatorAct
from rebuilder.settings.table import STORAGE

if TYPE_CHECKING:
    from rebuilder.usecases.context import Context

blueprint = func.Blueprint()


@blueprint.queue_trigger(arg_name="message", queue_name=ACTS, connection=STORAGE)
def carry_out_act(message: func.QueueMessage) -> None:
    """Carry out one act."""
    from rebuilder.composition import compose
    from rebuilder.usecases.recovery.delivery import deliver

    deliver(compose(), ACTS, text(message), _work)


def _work(context: Context, body: str) -> None:
    from rebuilder.usecases.steering import acts as usecase

    usecase.carry_out(context, OperatorAct.decode(body).act)
