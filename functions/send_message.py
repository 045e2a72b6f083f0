"""Something is to be told: work out whom, and send it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func

from functions._messages import text
from rebuilder.core.rebuilds.messages import MESSAGES
from rebuilder.settings.table import STORAGE

if TYPE_CHECKING:
    from rebuilder.usecases.context import Context

blueprint = func.Blueprint()


@blueprint.queue_trigger(arg_name="message", queue_name=MESSAGES, connection=STORAGE)
def send_message(message: func.QueueMessage) -> None:
    """Work off one message."""
    from rebuilder.composition import compose
    from rebuilder.usecases.recovery.delivery import deliver

    deliver(compose(), MESSAGES, text(message), _work)


def _work(context: Context, body: str) -> None:
    from rebuilder.core.messages import queued
    from rebuilder.usecases.messages import send as usecase

    usecase.send_message(context, queued.decode(body), body)
