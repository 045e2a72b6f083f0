"""A build waits in the queue: claim it, schedule its run."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import azure.functions as func

from functions._messages import text
from rebuilder.core.rebuilds.messages import BUILDS, StartBuild
from rebuilder.settings.table import STORAGE

if TYPE_CHECKING:
    from rebuilder.usecases.context import Context

blueprint = func.Blueprint()


@blueprint.queue_trigger(arg_name="message", queue_name=BUILDS, connection=STORAGE)
def start_build(message: func.QueueMessage) -> None:
    """Start one build."""
    from rebuilder.composition import compose
    from rebuilder.usecases.recovery.delivery import deliver

    deliver(compose(), BUILDS, text(message), _work)


def _work(context: Context, body: str) -> None:
    # Unique per delivery: the same message delivered twice is two who must not share a lease.
    from rebuilder.usecases.build import start_build as usecase

    owner = uuid.uuid4().hex
    usecase.start_build(context, StartBuild.decode(body), owner)
