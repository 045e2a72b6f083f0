"""What waits, and for what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from rebuilder.core.rebuilds.rebuild import Hold, Rebuild, State
from rebuilder.usecases.context import Context

_TITLES = {
    Hold.NATIVE: "waiting for ACR's own trigger",
    Hold.ARM: "waiting for ARM",
}


class Waits(Struct, frozen=True):
    """A rebuild that waits, for one of its reasons.

    Attributes:
        rebuild: The rebuild.
        sentence: The reason, with its evidence.
        ender: What ends it.
        until: When it is over; None if somebody has to end it.
    """

    rebuild: Rebuild
    sentence: str
    ender: str
    until: datetime | None


def holds(context: Context) -> Mapping[str, list[Waits]]:
    """Return the rebuilds that are held, by the title of the reason; each under every reason.

    Nothing is changed.

    Raises:
        TransientError: The store cannot be reached.
    """
    registries = set(context.settings.task_registries)
    found: dict[str, list[Waits]] = {}
    for rebuild in context.ledger.unsettled():
        if rebuild.state is not State.HELD or rebuild.task.registry not in registries:
            continue
        if rebuild.gated is not None:
            for reason in rebuild.gated.reasons:
                entry = Waits(rebuild, reason.sentence(), reason.ender(), reason.ends)
                found.setdefault(reason.title, []).append(entry)
        else:
            title = _TITLES.get(rebuild.hold, rebuild.hold.value)
            entry = Waits(rebuild, rebuild.outcome or title, "by itself", rebuild.due)
            found.setdefault(title, []).append(entry)
    return dict(sorted(found.items()))
