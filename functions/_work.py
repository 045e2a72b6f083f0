"""What works messages off, for the host and for whoever goes on with what it has just sent."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rebuilder.core.rebuilds.messages import BUILDS, PUSHES, PlanRebuilds, StartBuild

if TYPE_CHECKING:
    from rebuilder.usecases.at_once import Work
    from rebuilder.usecases.context import Context


def plan(context: Context, body: str) -> None:
    """Plan for one push."""
    from rebuilder.usecases.plan import plan_rebuilds as usecase

    usecase.plan_rebuilds(context, PlanRebuilds.decode(body))


def start(context: Context, body: str) -> None:
    """Start one build."""
    from rebuilder.usecases.build import start_build as usecase

    # Unique per delivery: the same message delivered twice is two who must not share a lease.
    usecase.start_build(context, StartBuild.decode(body), uuid.uuid4().hex)


AT_ONCE: Mapping[str, Work] = {PUSHES: plan, BUILDS: start}
"""What is gone on with from an event to its runs."""


def deliver_at_once(queue: str, body: str, work: Work) -> None:
    """Work a message off as `deliver` does, and go on with the first messages that it leads to."""
    from rebuilder.composition import compose
    from rebuilder.usecases.at_once import AtOnce
    from rebuilder.usecases.recovery.delivery import deliver

    call = AtOnce(compose(), AT_ONCE)
    try:
        deliver(call.context, queue, body, work)
    finally:
        call.go_on()
