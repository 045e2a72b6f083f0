"""What is kept, as text, and how what other versions have written is read: the same for each store.

`VERSION` counts what older code cannot live with. It stays as it is for a field that has a default
and for another word where an unknown one may be left alone: those are read here as follows.

* A field that an older version did not write has its default.
* A field that this version does not know is kept: what is saved again still has it.
* A failure, a check or a native wait of a word that this version does not know counts as none, and
  stays what it is until it is changed.
* A decision with a reason that this version does not know is shown by its name.
* A rebuild in a state that this version does not know, and anything that cannot be read at all, is
  an UnreadableRecord where it is asked for by itself; a list goes on without it, with a warning.

Versions:

1. The embedded store alone; what something is still to happen to was not kept apart.
2. Version 0.1.0 of the product. Tables of Azure Storage tell no version: none counts as this one.
3. Pushes by day, tag and digest; decisions by task; what is unplanned; chains; times until which
   bookmarks are kept. `filed` tells in Azure Storage whether all that version 2 left is there, too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from msgspec.structs import asdict

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.decisions import reasons
from rebuilder.core.decisions.decision import Decision
from rebuilder.core.decisions.reasons import REASONS
from rebuilder.core.dependencies import index
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.core.failures import causes
from rebuilder.core.policies import holds
from rebuilder.core.rebuilds.rebuild import Check, Failure, Hold, Likely, Native, Rebuild, State
from rebuilder.errors import RebuilderError, UnreadableRecord

log = logging.getLogger(__name__)

VERSION = 3
BEFORE_VERSIONS = 2
"""The version of tables that tell none."""

_TIMES = ("claimed_at", "lease_until", "finished_at", "due", "run_ended")
_LISTS = ("bases", "output_images", "dependencies", "chain")
_WORDS: dict[str, type[StrEnum]] = {
    "failure": Failure,
    "native": Native,
    "check": Check,
    "hold": Hold,
    "stale_by": Likely,
}
_NEWER = frozenset(
    {"hold", "cause", "log", "repair", "stale_by", "follower", "held", "run_ended", "wave"}
)
_UNKNOWN = "unknown"
_NAMES = frozenset(Rebuild.__struct_fields__) - {_UNKNOWN}
_DEFAULTS = dict(
    zip(reversed(Rebuild.__struct_fields__), reversed(Rebuild.__struct_defaults__), strict=False)
)

_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, RebuilderError)


class NewerDecision(Decision, frozen=True):
    """A decision whose reason only a newer version knows.

    Attributes:
        task: What it is about, as far as it tells.
        reason: The reason's name.
    """

    code = "newer-version"
    task: str
    reason: str

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return f"a newer version of this program decided so ({self.reason}); ask that one"


def rebuild_to_text(rebuild: Rebuild) -> str:
    """Write a rebuild as JSON."""
    # An older version, gone back to, knows nothing of the newer fields: most records need none.
    values: dict[str, Any] = {
        name: value
        for name, value in asdict(rebuild).items()
        if name in _NAMES and (name not in _NEWER or value != _DEFAULTS[name])
    }
    values["task"] = str(rebuild.task)
    for name in _TIMES:
        if name in values:
            values[name] = values[name].isoformat() if values[name] else None
    if rebuild.cause is not None:
        values["cause"] = causes.to_record(rebuild.cause)
    if rebuild.held is not None:
        values["held"] = holds.to_record(rebuild.held)
    # A word that was not known stays, unless it was changed.
    values = {n: value for n, value in values.items() if value or n not in rebuild.unknown}
    return json.dumps({**rebuild.unknown, **values}, sort_keys=True)


def rebuild_from_text(text: str) -> Rebuild:
    """Read a rebuild.

    Raises:
        UnreadableRecord: It is of a form that this version does not know.
    """
    try:
        return _rebuild(msgspec.json.decode(text))
    except _UNREADABLE as error:
        raise _unreadable("a rebuild", text, error) from error


def _rebuild(found: dict[str, Any]) -> Rebuild:
    unknown = {name: value for name, value in found.items() if name not in _NAMES}
    values = {n: v for n, v in found.items() if n not in unknown} if unknown else dict(found)
    values["task"] = TaskId.parse(values["task"])
    values["state"] = State(values["state"])
    for name in _TIMES:
        time = values.get(name)
        values[name] = datetime.fromisoformat(time) if time else None
    for name in _LISTS:
        values[name] = tuple(values.get(name, ()))
    for name, words in _WORDS.items():
        word = values.pop(name, None)
        if word and word in words:
            values[name] = words(word)
        elif word:
            unknown[name] = word
    if cause := values.pop("cause", None):
        values["cause"] = causes.from_record(cause)
    if held := values.pop("held", None):
        values["held"] = holds.from_record(held)
    return Rebuild(**values, unknown=unknown)


def decision_to_text(decision: Decision) -> str:
    """Write a decision as JSON; the same decision is the same text."""
    return json.dumps(reasons.to_record(decision), sort_keys=True)


def decision_from_text(text: str) -> Decision:
    """Read a decision.

    Raises:
        UnreadableRecord: It is of a form that this version does not know.
    """
    try:
        found = msgspec.json.decode(text)
        if found["code"] not in REASONS:
            about = found.get("task") or found.get("registry") or "?"
            return NewerDecision(str(about), str(found["code"]))
        return reasons.from_record(found)
    except _UNREADABLE as error:
        raise _unreadable("a decision", text, error) from error


def view_to_text(view: TaskView) -> str:
    """Write what is known of a task as JSON."""
    return json.dumps(index.to_record(view), separators=(",", ":"))


def view_from_text(text: str) -> TaskView:
    """Read what is known of a task.

    Raises:
        UnreadableRecord: It is of a form that this version does not know.
    """
    try:
        return index.from_record(msgspec.json.decode(text))
    except _UNREADABLE as error:
        raise _unreadable("what is known of a task", text, error) from error


def view_from_record(record: Mapping[str, Any]) -> TaskView:
    """Read what is known of a task from its JSON values, as `view_from_text` does."""
    try:
        return index.from_record(record)
    except _UNREADABLE as error:
        raise _unreadable("what is known of a task", str(record), error) from error


def readable[Given, Got](read: Callable[[Given], Got], records: Iterable[Given]) -> Iterator[Got]:
    """Read many records; one that cannot be read is told and left out."""
    for record in records:
        try:
            yield read(record)
        except UnreadableRecord as error:
            log.warning("left out: %s", error)


def _unreadable(what: str, text: str, error: Exception) -> UnreadableRecord:
    reason = f"{type(error).__name__}: {error}"
    return UnreadableRecord(f"{what} cannot be read by this version ({reason}): {text[:200]}")
