"""What of the past is kept, and what may be forgotten.

Each task's newest rebuilds are kept, and of everything else what is younger than a limit. What is
unsettled, a dead letter that nobody has replayed, and a task's newest success are never forgotten:
the last keeps the same digests from being built twice.
"""

from __future__ import annotations

from datetime import datetime

from rebuilder.core.rebuilds.rebuild import Rebuild

KEPT = 20
"""How many rebuilds of a task are kept, however old they are."""


def may_go(rebuild: Rebuild, newer: int, newest_success: int | None, before: datetime) -> bool:
    """Whether a rebuild may be forgotten.

    Args:
        rebuild: The rebuild.
        newer: How many newer ones its task has.
        newest_success: The sequence of the newest one that succeeded, if any.
        before: What was over before that is old enough.
    """
    return (
        newer >= KEPT
        and not rebuild.unsettled
        and rebuild.sequence != newest_success
        and (rebuild.finished_at or rebuild.claimed_at) < before
    )
