"""Every reason to rebuild a task or not, and how a decision is written down.

Each is a small type of its own, in the module of what it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import asdict

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions import digests, operators, rebuilds, runs, unreadable, uses
from rebuilder.core.decisions.decision import Decision

_FAMILIES = (digests, operators, rebuilds, runs, unreadable, uses)

REASONS: Mapping[str, type[Decision]] = {
    reason.code: reason
    for family in _FAMILIES
    for reason in vars(family).values()
    if isinstance(reason, type) and issubclass(reason, Decision) and "code" in vars(reason)
}
"""Every reason by its code."""


def to_record(decision: Decision) -> dict[str, Any]:
    """The decision as JSON values: `code` and every field of its type."""

    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, tuple):
            return list(value)
        return str(value) if isinstance(value, TaskId) else value

    record = {name: plain(value) for name, value in asdict(decision).items()}
    return {"code": decision.code, **record}


def from_record(record: Mapping[str, Any]) -> Decision:
    """The decision of a record that `to_record` made."""
    reason = REASONS[record["code"]]
    # A record of an older version lacks the fields that have defaults.
    values: dict[str, Any] = {
        name: record[name] for name in reason.__struct_fields__ if name in record
    }
    read: dict[str, Callable[[Any], object]] = {
        "task": TaskId.parse,
        "dependencies": tuple,
        "principals": tuple,
        "chain": tuple,
        "names": tuple,
        "bases": tuple,
        "created": datetime.fromisoformat,
        "started": datetime.fromisoformat,
        "since": datetime.fromisoformat,
        "refreshed": datetime.fromisoformat,
        "at": datetime.fromisoformat,
    }
    for name in values.keys() & read.keys():
        if values[name] is not None:
            values[name] = read[name](values[name])
    return reason(**values)
