"""Rebuilds as text, the same for every ledger."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from typing import Any

from rebuilder.core.rebuilds import Check, Failure, Native, Rebuild, State
from rebuilder.core.registries import TaskId

_TIMES = ("claimed_at", "lease_until", "finished_at", "due")
_LISTS = ("bases", "output_images", "dependencies", "chain")
_WORDS = {"failure": Failure, "native": Native, "check": Check}


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
    # A record of an older version lacks the fields that have defaults.
    for name in _TIMES:
        values[name] = datetime.fromisoformat(values[name]) if values.get(name) else None
    for name in _LISTS:
        values[name] = tuple(values.get(name, ()))
    for name, words in _WORDS.items():
        values[name] = words(values[name]) if values.get(name) else None
    return Rebuild(**values)
