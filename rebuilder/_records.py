"""Rebuilds as text, the same for every ledger."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from typing import Any

from rebuilder.core import causes
from rebuilder.core.rebuilds import Check, Failure, Hold, Likely, Native, Rebuild, State
from rebuilder.core.registries import TaskId

_TIMES = ("claimed_at", "lease_until", "finished_at", "due")
_LISTS = ("bases", "output_images", "dependencies", "chain")
_WORDS = {
    "failure": Failure,
    "native": Native,
    "check": Check,
    "hold": Hold,
    "stale_by": Likely,
}
_NEWER = frozenset({"hold", "cause", "log", "repair", "stale_by"})


def rebuild_to_text(rebuild: Rebuild) -> str:
    """Write a rebuild as JSON."""
    # An older version, gone back to, knows nothing of the newer fields: most records need none.
    values: dict[str, Any] = {
        f.name: value
        for f in fields(rebuild)
        if (value := getattr(rebuild, f.name)) != f.default or f.name not in _NEWER
    }
    values["task"] = str(rebuild.task)
    for name in _TIMES:
        values[name] = values[name].isoformat() if values[name] else None
    if rebuild.cause is not None:
        values["cause"] = causes.to_record(rebuild.cause)
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
        if word := values.pop(name, None):
            values[name] = words(word)
    if cause := values.pop("cause", None):
        values["cause"] = causes.from_record(cause)
    return Rebuild(**values)
