"""Events that Event Grid could not deliver, as it writes them into a blob.

Source: learn.microsoft.com, Event Grid "delivery and retry" (dead-letter events) and "dead
lettering for event subscriptions to namespace topics": the event as it was, with fields that tell
why it is there. Their names are in camel case in Event Grid's schema, in lower case in
CloudEvents, and inside `brokerProperties` for namespace topics. Of an event's data only what the
product reads is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from itertools import islice

from rebuilder.core.events.dead_letters import LONGEST_REASON, DeadLetter, Origin
from rebuilder.core.events.pushes import storable
from rebuilder.core.foreign_json import read_json
from rebuilder.core.times import utc_time
from rebuilder.errors import InvalidJson

BLOB_LIMIT = 4 * 1024 * 1024
"""Bytes of a blob that are read; Event Grid's own limit is 1 MB for what it delivers at once."""

# Not `topic` or `source`: a blob may hold neither.
_UNKNOWN_SOURCE = "event grid"

_TEXT_LIMIT = 8192
_LARGE = 64 * 1024  # characters of an event; those of registries and tasks have about a thousand
_MANY = 50
# What the product reads of an event.
_READ = ("id", "specversion", "source", "topic", "subject", "type", "eventType", "data")
_REASON = "deadletterreason"
_ATTEMPTS = "deliveryattempts"
_OUTCOMES = ("lastdeliveryoutcome", "deliveryresult", "lasthttpstatuscode")
_TIMES = ("lastdeliveryattempttime", "publishtime")
# What the product reads of an event's data; the rest tells who did it, and from where.
_DATA = frozenset({"action", "operationName", "resourceUri", "status", "target", "timestamp"})
_ADDED = frozenset({_REASON, _ATTEMPTS, *_OUTCOMES, *_TIMES, "brokerproperties"})


def read_dead_events(name: str, content: bytes, now: datetime) -> list[DeadLetter]:
    """Read a blob.

    Args:
        name: The blob's name, for a person.
        content: The blob: a JSON array of events, or one event.
        now: When the events were given up if they do not tell.

    Returns:
        One dead letter per event; one with the beginning of the text, if it is no JSON. Never
        raises.
    """
    try:
        found = read_json(content, limit=BLOB_LIMIT, repair=True)
    except InvalidJson as error:
        text = content[:_TEXT_LIMIT].decode(errors="replace")
        reason = f"blob {name} cannot be read: {error}; its text is kept"
        if len(content) > _TEXT_LIMIT:
            reason += f" up to byte {_TEXT_LIMIT} of {len(content)}"
        return [DeadLetter(Origin.EVENT, _UNKNOWN_SOURCE, text, reason, now)]
    return [_letter(event, now) for event in (found if isinstance(found, list) else [found])]


def _letter(event: object, now: datetime) -> DeadLetter:
    if not isinstance(event, Mapping):
        return DeadLetter(
            Origin.EVENT,
            _UNKNOWN_SOURCE,
            storable(json.dumps(event), _LARGE),
            f"Event Grid put {type(event).__name__} where an event should be",
            now,
        )
    added = {str(k).lower(): v for k, v in event.items() if str(k).lower() in _ADDED}
    broker = added.pop("brokerproperties", None)
    if isinstance(broker, Mapping):
        added |= {str(k).lower(): v for k, v in broker.items()}
    # Without what was added, so that an event which several subscriptions gave up is one.
    kept = {k: v for k, v in event.items() if str(k).lower() not in _ADDED}
    data = kept.get("data")
    if isinstance(data, Mapping):
        kept["data"] = {k: v for k, v in data.items() if k in _DATA}
    source = kept.get("source") if "specversion" in kept else kept.get("topic")
    return DeadLetter(
        Origin.EVENT,
        storable(source) if isinstance(source, str) and source else _UNKNOWN_SOURCE,
        _body(kept),
        storable(_reason(added), LONGEST_REASON),
        _time(added, now),
    )


def _body(kept: Mapping[str, object]) -> str:
    """Return an event as it can be kept: of a large one what the product reads, each text cut."""
    body = json.dumps(kept, separators=(",", ":"))
    if len(body) <= _LARGE:
        return body
    read = {name: _short(kept[name]) for name in _READ if name in kept}
    return json.dumps(read, separators=(",", ":"))


def _short(value: object, depth: int = 3) -> object:
    """Return a value with its texts cut, and without what is nested deeper than any event's."""
    match value:
        case str():
            return storable(value)
        case Mapping() if depth:
            some = islice(value.items(), _MANY)
            return {storable(str(name)): _short(part, depth - 1) for name, part in some}
        case bool() | int() | float() | None:
            return value
    return None


def _reason(added: Mapping[str, object]) -> str:
    attempts = added.get(_ATTEMPTS)
    words = "Event Grid could not deliver it"
    if attempts is not None:
        words += f" ({attempts!s:.20} attempts)"
    words += f": {added.get(_REASON) or 'no reason given'!s:.500}"
    outcome = next((str(added[name]) for name in _OUTCOMES if added.get(name)), "")
    return f"{words}; the last attempt ended in {outcome:.500}" if outcome else words


def _time(added: Mapping[str, object], now: datetime) -> datetime:
    for name in _TIMES:
        try:
            return utc_time(str(added.get(name)))
        except ValueError:
            continue
    return now
