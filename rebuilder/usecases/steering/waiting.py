"""The rebuilds that the gate holds, and how one is looked at again."""

from __future__ import annotations

from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import StartBuild
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.usecases.context import Context

_EVENT = "operator"


def held_rebuilds(context: Context) -> list[Rebuild]:
    """Return the rebuilds that the gate holds.

    Raises:
        TransientError: The store cannot be reached.
    """
    registries = set(context.settings.task_registries)
    return [
        rebuild
        for rebuild in context.ledger.unsettled()
        if rebuild.gated is not None and rebuild.task.registry in registries
    ]


def again(rebuild: Rebuild, seen: str = "") -> StartBuild:
    """Return the message that has a rebuild looked at again.

    Args:
        rebuild: The rebuild.
        seen: The version of what operators decided that it is looked at again for; "" if it is for
            something else.
    """
    return StartBuild(Push.from_key(rebuild.push, _EVENT), rebuild.task, seen=seen)
