"""Times of other instances, not believed where they cannot be true, and told."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from rebuilder.core.times import ahead

log = logging.getLogger(__name__)


def impossible(what: str, time: datetime, now: datetime, longest: timedelta) -> bool:
    """Tell whether a time lies further ahead than it can; if it does, that is logged.

    Args:
        what: What it is the time of, for a person.
        time: The time, as it was read.
        now: The time now.
        longest: The longest wait that there can be.
    """
    if not ahead(time, now, longest):
        return False
    log.warning(
        "%s: %s lies further ahead than it can: some instance's clock was wrong; not waited for",
        what,
        time.isoformat(),
    )
    return True
