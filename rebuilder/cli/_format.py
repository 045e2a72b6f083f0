"""How times and rebuilds are written for people and as JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rebuilder.core.failures.causes import to_record as to_cause
from rebuilder.core.policies.holds import to_record as to_held
from rebuilder.core.rebuilds.rebuild import Rebuild, State


def time(value: datetime | None) -> str:
    """Write a time for a person; "" for none."""
    if value is None:
        return ""
    try:
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        # At the ends of time; versions before kept what events said.
        return value.isoformat()


def json_time(value: datetime | None) -> str | None:
    """Write a time as JSON has it."""
    return value.isoformat() if value else None


def duration(value: timedelta) -> str:
    """Write how long something took."""
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def rebuild_record(rebuild: Rebuild | None) -> dict[str, Any] | None:
    """Return a rebuild as JSON values."""
    if rebuild is None:
        return None
    return {
        "id": rebuild.id,
        "state": rebuild.state.value,
        "bases": list(rebuild.bases),
        "runId": rebuild.run_id,
        "claimed": json_time(rebuild.claimed_at),
        "finished": json_time(rebuild.finished_at),
        "outcome": rebuild.outcome,
        "outputImages": list(rebuild.output_images),
        "dependencies": list(rebuild.dependencies),
        "advice": rebuild.advice,
        "attempt": rebuild.attempt,
        "due": json_time(rebuild.due) if rebuild.unsettled else None,
        "failure": rebuild.failure,
        "native": rebuild.native,
        "check": rebuild.check,
        "checkReason": rebuild.check_reason,
        "chain": list(rebuild.chain),
        "hold": rebuild.hold if rebuild.state is State.HELD else None,
        "held": None if rebuild.held is None else to_held(rebuild.held),
        "cause": _cause_record(rebuild),
        "repair": rebuild.repair,
        "staleBy": rebuild.stale_by,
    }


def _cause_record(rebuild: Rebuild) -> dict[str, Any] | None:
    cause = rebuild.cause
    if cause is None:
        return None
    return {
        **to_cause(cause),
        "sentence": cause.sentence(),
        "heals": cause.heals,
        "logEnd": rebuild.log.splitlines(),
    }
