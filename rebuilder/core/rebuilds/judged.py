"""Why a message of a queue is not one that the product writes."""

from __future__ import annotations

from collections.abc import Callable

from rebuilder.core.messages import queued
from rebuilder.core.rebuilds.messages import (
    ACTS,
    BUILDS,
    EVENTS,
    MESSAGES,
    PUSHES,
    REFRESH,
    RUNS,
    OperatorAct,
    PlanRebuilds,
    Refresh,
    StartBuild,
    TrackBuild,
    queued_event,
)
from rebuilder.errors import InvalidMessage


def problem(queue: str, body: str) -> str | None:
    """Tell why a message is not one that the product writes there; None if it is."""
    readers: dict[str, Callable[[str], object]] = {
        PUSHES: PlanRebuilds.decode,
        BUILDS: StartBuild.decode,
        RUNS: TrackBuild.decode,
        REFRESH: Refresh.decode,
        EVENTS: queued_event,
        ACTS: OperatorAct.decode,
        MESSAGES: queued.decode,
    }
    try:
        readers[queue](body)
    except InvalidMessage as error:
        return str(error)
    return None
