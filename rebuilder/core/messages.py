"""The queue messages between the functions.

The Functions host copies the top-level keys of a JSON message over the trigger's own metadata
(`id`, `popReceipt`, `dequeueCount`...), so no key here has such a name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from rebuilder.core.events import Push, storable
from rebuilder.core.registries import RegistryId, TaskId
from rebuilder.errors import InvalidMessage, InvalidResourceId, Refused

PUSHES = "rebuilder-pushes"
BUILDS = "rebuilder-builds"
RUNS = "rebuilder-runs"
REFRESH = "rebuilder-refresh"

MOST_BYTES = 48 * 1024
"""How large a message may be: a queue takes 64 KiB, of Base64.

Source: learn.microsoft.com, "Scalability and performance targets for Queue Storage".
"""

LONGEST_DELAY = timedelta(days=7)
"""How long a message can be put off at most; the same source."""

_NAME = 64  # characters of a name that tells who sent a message
_VERSION = 1


@dataclass(frozen=True, slots=True)
class PlanRebuilds:
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


@dataclass(frozen=True, slots=True)
class StartBuild:
    """A task to rebuild because of a push.

    Attributes:
        push: The push.
        task: The task.
        turn: When it is this task's turn at ARM; None if it has not asked for one.
        anew: Whether it is to be tried although it was given up: somebody asked for it.
        wait: Which of the messages that wait for the same it is, counted; 0 if it has not waited.
        waiter: Who put it back, of those who may have counted alike; "" if it has not waited.
    """

    push: Push
    task: TaskId
    turn: datetime | None = None
    anew: bool = False
    wait: int = 0
    waiter: str = field(default="", compare=False)

    def encode(self) -> str:
        """Write the message as text."""
        turn = self.turn.isoformat() if self.turn else None
        values = {"task": str(self.task), "turn": turn, "anew": self.anew, "wait": self.wait}
        return _encode({**_push(self.push), **values, "waiter": self.waiter})

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
                datetime.fromisoformat(v["turn"]) if v.get("turn") else None,
                bool(v.get("anew")),
                int(v.get("wait") or 0),
                str(v.get("waiter") or "")[:_NAME],
            ),
        )


@dataclass(frozen=True, slots=True)
class TrackBuild:
    """A rebuild whose run is to be followed.

    Attributes:
        task: The task.
        sequence: Which rebuild of the task.
        record: The version of the rebuild's record that this message was sent for; a message for
            another version has been overtaken.
        follower: Who sent it, of those who may have followed at once: the record names the one
            that goes on; "" for whichever it is.
    """

    task: TaskId
    sequence: int
    record: int
    follower: str = field(default="", compare=False)

    def encode(self) -> str:
        """Write the message as text."""
        values = {"task": str(self.task), "sequence": self.sequence, "record": self.record}
        return _encode({**values, "follower": self.follower})

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
            ),
        )


@dataclass(frozen=True, slots=True)
class Refresh:
    """A task, or every task of a registry, whose view in the index is to be made anew.

    Attributes:
        registry: The registry.
        task: The task; None for all of them.
        asked_at: When it was asked for; a sweep that began later has answered it.
        looks: How often a task was looked at that is to be looked at again until ACR has recorded
            something; None if once is enough.
    """

    registry: RegistryId
    task: TaskId | None
    asked_at: datetime
    looks: int | None = None

    @classmethod
    def of(cls, task: TaskId, at: datetime, looks: int | None = None) -> Self:
        """The message for one task."""
        return cls(task.registry, task, at, looks)

    def encode(self) -> str:
        """Write the message as text."""
        task = str(self.task) if self.task else None
        asked_at = self.asked_at.isoformat()
        values = {"registry": str(self.registry), "task": task, "askedAt": asked_at}
        return _encode({**values, "looks": self.looks})

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
                datetime.fromisoformat(v["askedAt"]),
                _number(v["looks"]) if v["looks"] is not None else None,
            ),
        )


def check_size(body: str) -> None:
    """See that a queue takes a message.

    Raises:
        Refused: It is too large.
    """
    size = len(body.encode(errors="replace"))
    if size > MOST_BYTES:
        code = "RequestBodyTooLarge"
        raise Refused(code, f"a message of {size} bytes; a queue takes {MOST_BYTES}")


def tried_since(body: str) -> tuple[int, datetime | None]:
    """Return how often a message was put back since a service failed, and since when."""
    try:
        values = json.loads(body)
        text = values.get("since")
        since = datetime.fromisoformat(text) if text else None
        tries = int(values.get("tries", 0))
    except (ValueError, TypeError, AttributeError, OverflowError):
        return 0, None
    # A time without a zone is not one of ours, and cannot be compared.
    return tries, since if since and since.tzinfo else None


def put_back(body: str, now: datetime) -> str:
    """Return a message as it is put back because a service failed: it counts that."""
    tries, since = tried_since(body)
    return json.dumps(
        {**json.loads(body), "tries": tries + 1, "since": (since or now).isoformat()},
        separators=(",", ":"),
    )


def afresh(body: str) -> str:
    """Return a message as it was before it was ever put back; one that never was stays as it is."""
    tries, since = tried_since(body)
    if not tries and since is None:
        return body
    values = json.loads(body)
    kept = {key: value for key, value in values.items() if key not in ("tries", "since")}
    return json.dumps(kept, separators=(",", ":"))


def _encode(values: Mapping[str, object]) -> str:
    return json.dumps({"schema": _VERSION, **values}, separators=(",", ":"))


def _decode[Message](body: str, read: Callable[[Mapping[str, Any]], Message]) -> Message:
    try:
        values = json.loads(body)
        if values["schema"] != _VERSION:
            raise InvalidMessage(f"schema {values['schema']!r} is not {_VERSION}: {body:.200}")
        return read(values)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        InvalidResourceId,
    ) as error:
        raise InvalidMessage(f"{type(error).__name__} {error} in {body:.200}") from error


def _number(value: object) -> int:
    """Return a count; no store takes any larger one, and none of ours comes near it."""
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
    pushed_at = values["pushedAt"]
    return replace(
        Push.from_key(values["push"]),
        pushed_at=datetime.fromisoformat(pushed_at) if pushed_at else None,
        event=storable(str(values["event"])),
    )
