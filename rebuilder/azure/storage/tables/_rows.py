"""The rows of decisions and rebuilds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rebuilder.azure.storage.tables._tables import Entity, joined, key, split, time_of, time_text
from rebuilder.core.decisions.decision import Decision, TaskDecision
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.core.rebuilds.records import (
    decision_from_text,
    decision_to_text,
    rebuild_from_text,
    rebuild_to_text,
)
from rebuilder.ports.ledger import DecisionRecord

_LAST = 10**10  # row keys sort upwards; the newest rebuild is to come first
HASH = 40  # characters of a task's hash at the beginning of the keys of its decisions
_NO_TASK = "-"


def decision_entity(push: Push, decision: Decision, at: datetime, place: int = 0) -> Entity:
    """Return the row of a decision that was made at a time, as the one at a place among others."""
    text, time = decision_to_text(decision), time_text(at)
    return {
        "PartitionKey": key(push.key),
        "RowKey": decision_row(decision, text),
        "first_at": time,
        "last_at": time,
        "place": place,
        **split(text),
    }


def decision_row(decision: Decision, text: str) -> str:
    about = key(str(decision.task))[:HASH] if isinstance(decision, TaskDecision) else _NO_TASK
    return f"{about}.{key(text)}"


def decision_of(entity: Mapping[str, object]) -> DecisionRecord:
    return DecisionRecord(
        decision_from_text(joined(entity)),
        time_of(entity["first_at"]),
        time_of(entity["last_at"]),
    )


def rebuild_entity(rebuild: Rebuild) -> Entity:
    """Return the row of a rebuild."""
    return {
        "PartitionKey": key(str(rebuild.task)),
        "RowKey": rebuild_row(rebuild.sequence),
        "task": str(rebuild.task),
        "state": rebuild.state.value,
        "version": rebuild.version,
        **split(rebuild_to_text(rebuild)),
    }


def rebuild_of(entity: Mapping[str, object]) -> Rebuild:
    return rebuild_from_text(joined(entity))


def rebuild_row(sequence: int) -> str:
    return f"{_LAST - sequence:011}"
