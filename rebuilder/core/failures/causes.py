"""Every cause for which a run fails, and how one is written down.

Each is a small type of its own, with what would fix it, in the module of what it is about.
`failed_runs` reads a cause out of a log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict

from rebuilder.core.failures import builds, contexts, pulls, pushes
from rebuilder.core.failures.builds import NotKnown
from rebuilder.core.failures.cause import Cause

_FAMILIES = (pulls, contexts, pushes, builds)

CAUSES: Mapping[str, type[Cause]] = {
    cause.code: cause
    for family in _FAMILIES
    for cause in vars(family).values()
    if isinstance(cause, type) and issubclass(cause, Cause) and "code" in vars(cause)
}
"""Every cause by its code."""


def to_record(cause: Cause) -> dict[str, Any]:
    """The cause as JSON values: `code` and every field of its type."""
    return {"code": cause.code, **asdict(cause)}


def from_record(record: Mapping[str, Any]) -> Cause:
    """The cause of a record that `to_record` made; one of a newer version is not known."""
    kind = CAUSES.get(record["code"])
    if kind is None:
        return NotKnown(record.get("line", ""), f"{record['code']} is of a newer version")
    return kind(**{name: record[name] for name in kind.__struct_fields__ if name in record})
