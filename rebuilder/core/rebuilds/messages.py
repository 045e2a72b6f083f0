"""The queue messages between the functions.

The Functions host copies the top-level keys of a JSON message over the trigger's own metadata
(`id`, `popReceipt`, `dequeueCount`...), so no key here has such a name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import replace
from datetime import datetime, timedelta
from typing import Any, Self

import msgspec
from msgspec import Struct

from rebuilder.core.acr.references import digest_problem, path_problem, tag_problem
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.events.pushes import Push, storable
from rebuilder.core.foreign_json import read_object
from rebuilder.core.policies import acts
from rebuilder.core.policies.acts import Act, Hand
from rebuilder.core.times import utc_time
from rebuilder.errors import InvalidJson, InvalidMessage, InvalidResourceId, Refused

EVENTS = "rebuilder-events"
"""What Event Grid writes into, where it calls no function; the others are between functions."""

PUSHES = "rebuilder-pushes"
BUILDS = "rebuilder-builds"
RUNS = "rebuilder-runs"
REFRESH = "rebuilder-refresh"
ACTS = "rebuilder-acts"
MESSAGES = "rebuilder-messages"

QUEUES = (EVENTS, PUSHES, BUILDS, RUNS, REFRESH, ACTS, MESSAGES)
"""Every queue that functions take messages from."""

MOST_BYTES = 48 * 1024
"""How large a message may be: a queue takes 64 KiB, of Base64.

Source: learn.microsoft.com, "Scalability and performance targets for Queue Storage".
"""

LONGEST_DELAY = timedelta(days=7)
"""How long a message can be put off at most; the same source."""

_TRACE = 64  # characters of a traceparent: 55, and what later versions may add
_NAME = 64  # characters of a name that tells who sent a message
_VERSION = 1
_OURS = f'{{"schema":{_VERSION},'

TRACE = "traceparent"
"""The key of the trace that a message belongs to (W3C Trace Context), if it belongs to one."""

# What a message collects on its way: how often it was put back and since when, which of those that
# wait for the same it is, when its turn at ARM is, and its trace. None of it is what it asks for.
_COLLECTED = frozenset({"tries", "since", "wait", "waiter", "turn", TRACE})
_EVENT = frozenset({"specversion", "eventType"})  # what events of either schema have


class PlanRebuilds(Struct, frozen=True):
    """A push to plan for."""

    push: Push

    def encode(self) -> str:
        """Write the message as text."""
        return _encode(_push(self.push))

    @classmethod
    def decode(cls, body: str) -> Self:
        """Read the message.

        Raises:
            InvalidMessage: It is not one.
        """
        return _decode(body, lambda values: cls(_read_push(values)))


class StartBuild(Struct, frozen=True):
    """A task to rebuild because of a push.

    Attributes:
        push: The push.
        task: The task.
        turn: When it is this task's turn at ARM; None if it has not asked for one.
        forced: Whether it is to be tried although it was given up: somebody asked for it.
        wait: Which of the messages that wait for the same it is, counted; 0 if it has not waited.
        after: The task's newest rebuild when somebody asked for it, 0 if there was none: what was
            asked for is done once, however often the message is delivered. None if nobody did.
        waiter: Who put it back, of those who may have counted alike; "" if it has not waited.
        hand: By whom it was asked for; None if a push did.
        seen: What version of what operators decided its sender saw; "" if it did not look.
    """

    push: Push
    task: TaskId
    turn: datetime | None = None
    forced: bool = False
    wait: int = 0
    after: int | None = None
    waiter: str = ""
    hand: Hand | None = None
    seen: str = ""

    def encode(self) -> str:
        """Write the message as text."""
        turn = self.turn.isoformat() if self.turn else None
        # In the queue it is `anew`, as earlier versions wrote it, and read it after a rollback.
        values = {"task": str(self.task), "turn": turn, "anew": self.forced, "wait": self.wait}
        values |= {"after": self.after, "waiter": self.waiter}
        values |= {"hand": msgspec.to_builtins(self.hand)} if self.hand else {}
        values |= {"seen": self.seen} if self.seen else {}
        return _encode({**_push(self.push), **values})

    @classmethod
    def decode(cls, body: str) -> Self:
        """Read the message.

        Raises:
            InvalidMessage: It is not one.
        """
        return _decode(
            body,
            lambda v: cls(
                _read_push(v),
                TaskId.parse(v["task"]),
                # Messages of the versions before had not all of them.
                utc_time(v["turn"]) if v.get("turn") else None,
                bool(v.get("anew")),
                _number(v.get("wait") or 0),
                _number(v["after"]) if v.get("after") is not None else None,
                str(v.get("waiter") or "")[:_NAME],
                msgspec.convert(v.get("hand"), Hand | None),
                str(v.get("seen") or "")[: acts.LONGEST],
            ),
        )


class TrackBuild(Struct, frozen=True):
    """A rebuild whose run is to be followed.

    Attributes:
        task: The task.
        sequence: Which rebuild of the task.
        record: The version of the rebuild's record that this message was sent for; a message for
            another version has been overtaken.
        follower: Who sent it, of those who may have followed at once: the record names the one
            that goes on; "" for whichever it is.
        unread: How often the run was over by then, and what came of it could not be read.
    """

    task: TaskId
    sequence: int
    record: int
    follower: str = ""
    unread: int = 0

    def encode(self) -> str:
        """Write the message as text."""
        values = {"task": str(self.task), "sequence": self.sequence, "record": self.record}
        return _encode({**values, "follower": self.follower, "unread": self.unread})

    @classmethod
    def decode(cls, body: str) -> Self:
        """Read the message.

        Raises:
            InvalidMessage: It is not one.
        """
        return _decode(
            body,
            lambda v: cls(
                TaskId.parse(v["task"]),
                _number(v["sequence"]),
                _number(v["record"]),
                # Messages of version 0.1.0 have none.
                str(v.get("follower") or "")[:_NAME],
                _number(v.get("unread") or 0),
            ),
        )


class Refresh(Struct, frozen=True):
    """A task, or every task of a registry, whose view in the index is to be made again.

    Attributes:
        registry: The registry.
        task: The task; None for all of them.
        asked_at: When it was asked for; a sweep that began later has answered it.
        looks: How often a task was looked at that is to be looked at again until ACR has recorded
            something; None if once is enough.
        changes: Whether of all tasks only those are to be read that the list tells have changed.
    """

    registry: RegistryId
    task: TaskId | None
    asked_at: datetime
    looks: int | None = None
    changes: bool = False

    @classmethod
    def of(cls, task: TaskId, at: datetime, looks: int | None = None) -> Self:
        """The message for one task."""
        return cls(task.registry, task, at, looks)

    def encode(self) -> str:
        """Write the message as text."""
        task = str(self.task) if self.task else None
        asked_at = self.asked_at.isoformat()
        values = {"registry": str(self.registry), "task": task, "askedAt": asked_at}
        # Older versions read every task then, which is no less.
        changes = {"changes": True} if self.changes else {}
        return _encode({**values, "looks": self.looks, **changes})

    @classmethod
    def decode(cls, body: str) -> Self:
        """Read the message.

        Raises:
            InvalidMessage: It is not one.
        """
        return _decode(
            body,
            lambda v: cls(
                RegistryId.parse(v["registry"]),
                TaskId.parse(v["task"]) if v["task"] is not None else None,
                utc_time(v["askedAt"]),
                _number(v["looks"]) if v["looks"] is not None else None,
                bool(v.get("changes")),
            ),
        )


class OperatorAct(Struct, frozen=True):
    """What an operator asks for."""

    act: Act

    def encode(self) -> str:
        """Write the message as text."""
        return _encode({"act": acts.to_record(self.act)})

    @classmethod
    def decode(cls, body: str) -> Self:
        """Read the message.

        Raises:
            InvalidMessage: It is not one.
        """
        return _decode(body, lambda v: cls(acts.from_record(v["act"])))


def check_size(body: str) -> None:
    """See that a queue takes a message.

    Raises:
        Refused: It is too large.
    """
    size = len(body.encode(errors="replace"))
    if size > MOST_BYTES:
        code = "RequestBodyTooLarge"
        raise Refused(code, f"a message of {size} bytes; a queue takes {MOST_BYTES}")


def queued_event(body: str) -> Mapping[str, Any]:
    """Return the event that a message of the queue of events is, of either schema.

    Raises:
        InvalidMessage: It is no JSON object, so it is no event.
    """
    try:
        return read_object(body)
    except InvalidJson as error:
        raise InvalidMessage(f"no event: {error} in {body[:200]!a}") from error


def tried_since(body: str) -> tuple[int, datetime | None]:
    """Return how often a message was put back since a service failed, and since when."""
    try:
        values = read_object(body)
        text = values.get("since") or ""
        # The product writes no time without a zone.
        known = utc_time(text) if text and datetime.fromisoformat(text).tzinfo else None
        return _number(values.get("tries", 0)), known
    except (InvalidJson, ValueError, TypeError):
        return 0, None


def put_back(body: str, now: datetime) -> str:
    """Return a message as it is put back because a service failed: it counts that.

    Raises:
        InvalidJson: It is no message at all.
    """
    tries, since = tried_since(body)
    counted = {"tries": tries + 1, "since": (since or now).isoformat()}
    return json.dumps({**read_object(body), **counted}, separators=(",", ":"))


def trace_of(body: str) -> str:
    """Return the trace that a message belongs to; "" if it names none."""
    try:
        found = read_object(body).get(TRACE)
    except InvalidJson:
        return ""
    return found if isinstance(found, str) and len(found) <= _TRACE else ""


def in_trace(body: str, trace: str) -> str:
    """Return a message with the trace that it belongs to, unless it names one already."""
    if not trace or not body.startswith(_OURS) or f'"{TRACE}":' in body:
        return body
    return f'{body[:-1]},"{TRACE}":"{trace}"}}'


def afresh(body: str) -> str:
    """Return a message as it was first sent, without what it collected on its way.

    However often and wherever a message is given up, it is the same dead letter; and replayed, it
    does not stand back behind others that waited beside it. A foreign message stays unchanged,
    to the letter.
    """
    try:
        values = read_object(body)
    except InvalidJson:
        return body
    kept = {name: value for name, value in values.items() if name not in _COLLECTED}
    ours = values.get("schema") == _VERSION or _EVENT.intersection(values)
    if not ours or len(kept) == len(values):
        return body
    return json.dumps(kept, separators=(",", ":"))


def _encode(values: Mapping[str, object]) -> str:
    return json.dumps({"schema": _VERSION, **values}, separators=(",", ":"))


def _decode[Message](body: str, read: Callable[[Mapping[str, Any]], Message]) -> Message:
    shown = ascii(body[:200])
    try:
        values = read_object(body)
        if values["schema"] != _VERSION:
            raise InvalidMessage(f"schema {values['schema']!a:.50} is not {_VERSION}: {shown}")
        return read(values)
    except (
        InvalidJson,
        InvalidResourceId,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        words = f"{type(error).__name__}: {error}"[:300].encode("ascii", "backslashreplace")
        raise InvalidMessage(f"{words.decode()} in {shown}") from error


def _number(value: object) -> int:
    """Return a count; no store takes a larger one, and the product comes nowhere near it."""
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"{value!r} is not a count")
    return value


def _push(push: Push) -> dict[str, str | None]:
    return {
        "push": push.key,
        "pushedAt": push.pushed_at.isoformat() if push.pushed_at else None,
        "event": push.event,
    }


def _read_push(values: Mapping[str, Any]) -> Push:
    push, pushed_at = Push.from_key(values["push"]), values["pushedAt"]
    for found in (
        path_problem(push.repository),
        tag_problem(push.tag),
        digest_problem(push.digest),
    ):
        if found:
            raise ValueError(found)
    return replace(
        push,
        pushed_at=utc_time(pushed_at) if pushed_at else None,
        event=storable(str(values["event"])),
    )
