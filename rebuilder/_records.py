"""Rebuilds as text, the same for every ledger."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from typing import Any

from rebuilder.core.rebuilds import Rebuild, State
from rebuilder.core.registries import TaskId

_TIMES = ("claimed_at", "lease_until", "finished_at")
_LISTS = ("bases", "output_images", "dependencies")


def rebuild_to_text(rebuild: Rebuild) -> str:
    """Write a rebuild as JSON."""
    values: dict[str, Any] = {f.name: getattr(rebuild, f.name) for f in fields(rebuild)}
    values["task"] = str(rebuild.task)
    for name in _TIMES:
        values[name] = values[name].isoformat() if values[name] else None
    return json.dumps(values, sort_keys=True)


def rebuild_from_text(text: str) -> Rebuild:
    """Read a rebuild that `rebuild_to_text` wrote."""
    values: dict[str, Any] = json.loads(text)
    values["task"] = TaskId.parse(values["task"])
    values["state"] = State(values["state"])
    for name in _TIMES:
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    for name in _LISTS:
        values[name] = tuple(values[name])
    return Rebuild(**values)
