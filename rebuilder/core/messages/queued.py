"""The queue messages by which people and machines are told; see core.rebuilds.messages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.foreign_json import read_object
from rebuilder.core.messages.happening import Happening
from rebuilder.core.messages.rules import What
from rebuilder.core.structs import prepared
from rebuilder.errors import InvalidJson, InvalidMessage, InvalidResourceId

_VERSION = 1
_OURS = f'{{"schema":{_VERSION},'


class Queued(Struct, frozen=True, tag_field="kind"):
    """What waits to be told. Each kind is a subclass."""

    def encode(self) -> str:
        """Write the message as text."""
        return _OURS + msgspec.json.encode(self).decode()[1:]


class RebuildCame(Queued, frozen=True, tag="rebuild"):
    """A rebuild is about to be recorded in a state that may be told.

    Attributes:
        task: The task.
        sequence: Which rebuild of it.
        what: What is to be told.
    """

    task: str
    sequence: int
    what: What

    @property
    def task_id(self) -> TaskId:
        """The task."""
        return TaskId.parse(self.task)


class LetterCame(Queued, frozen=True, tag="letter"):
    """A dead letter is about to be kept.

    Attributes:
        letter: Its id.
    """

    letter: str


class ToBeTold(Queued, frozen=True, tag="told"):
    """Something happened; whom to tell is to be worked out."""

    happening: Happening


class ToSend(Queued, frozen=True, tag="send"):
    """Something is to be sent to somebody.

    Attributes:
        happening: What happened.
        to: To whom.
        due: When it was to be sent.
    """

    happening: Happening
    to: str
    due: datetime


class ToSendTogether(Queued, frozen=True, tag="digest"):
    """What was collected is to be sent to somebody.

    Attributes:
        rule: The rule that it was collected for.
        to: To whom.
    """

    rule: str
    to: str


_ANY: Any = prepared(RebuildCame | LetterCame | ToBeTold | ToSend | ToSendTogether)


def decode(body: str) -> Queued:
    """Read a message.

    Raises:
        InvalidMessage: It is none of these.
    """
    shown = ascii(body[:200])
    try:
        values = read_object(body)
        if values.get("schema") != _VERSION:
            raise InvalidMessage(f"schema {values.get('schema')!a:.50} is not {_VERSION}: {shown}")
        found: Queued = msgspec.convert(values, _ANY)
        if isinstance(found, RebuildCame):
            TaskId.parse(found.task)
    except (InvalidJson, InvalidResourceId, msgspec.ValidationError) as error:
        words = f"{type(error).__name__}: {error}"[:300].encode("ascii", "backslashreplace")
        raise InvalidMessage(f"{words.decode()} in {shown}") from error
    return found
