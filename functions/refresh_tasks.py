"""A task or a registry waits in the queue: read it again for the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func

from functions._messages import text
from rebuilder.core.rebuilds.messages import REFRESH, Refresh
from rebuilder.settings.table import STORAGE

if TYPE_CHECKING:
    from rebuilder.usecases.context import Context

blueprint = func.Blueprint()


@blueprint.queue_trigger(arg_name="message", queue_name=REFRESH, connection=STORAGE)
def refresh_tasks(message: func.QueueMessage) -> None:
    """Read one task, or some of the tasks of a registry, again."""
    from rebuilder.composition import compose
    from rebuilder.usecases.recovery.delivery import deliver

    deliver(compose(), REFRESH, text(message), _work)


def _work(context: Context, body: str) -> None:
    from rebuilder.usecases.index import refresh_index as usecase

    usecase.refresh_index(context, Refresh.decode(body))
