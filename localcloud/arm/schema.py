"""What a body of ARM may hold, and in what words ARM refuses what it may not.

A schema is made once, as values of this module, and walks a body without copying it. The words are
those of the JSON reader that Azure's resource providers use (Newtonsoft.Json), as users report them
in "The request content was invalid and could not be deserialized".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from localcloud.arm.errors import ArmError

type Value = Any
type Use = Literal["put", "patch", "answer"]
"""What a body is: a whole resource, changes of one, or what ARM answers."""


class Difference(NamedTuple):
    """Where a body is not as its schema says.

    Attributes:
        path: Where: `properties.step.type`.
        words: What is wrong, as ARM says it.
    """

    path: str
    words: str


@dataclass(frozen=True, slots=True)
class Text:
    """A text.

    Attributes:
        pattern: What the whole of it matches; "" for anything.
    """

    pattern: str = ""

    def differences(self, value: Value, path: str, _: Use) -> Iterator[Difference]:
        """Yield where a value is something else."""
        if not isinstance(value, str) or (self.pattern and not re.fullmatch(self.pattern, value)):
            # Without the value, which may be a secret.
            yield Difference(path, f"Error converting value to type 'System.String'.{_at(path)}")


@dataclass(frozen=True, slots=True, init=False)
class Word:
    """One of a few words, which a client may write in any case, and ARM may give back so.

    Args:
        name: What ARM calls the enumeration.
        words: The words.
        exact: Whether case counts.
    """

    name: str
    words: frozenset[str]
    exact: bool

    def __init__(self, name: str, *words: str, exact: bool = False) -> None:
        known = frozenset(words) if exact else frozenset(word.lower() for word in words)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "words", known)
        object.__setattr__(self, "exact", exact)

    def differences(self, value: Value, path: str, _: Use) -> Iterator[Difference]:
        """Yield where a value is something else."""
        known = isinstance(value, str) and (value if self.exact else value.lower()) in self.words
        if not known:
            yield _wrong(value, self.name, path)


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number; in a request also as a text, which ARM's reader takes and the CLI sends.

    Attributes:
        least: The least that it may be.
        most: The most that it may be.
    """

    least: int = 0
    most: int = 2**63 - 1

    def differences(self, value: Value, path: str, use: Use) -> Iterator[Difference]:
        """Yield where a value is something else."""
        if use != "answer" and isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            yield _wrong(value, "System.Int32", path)
        elif not self.least <= value <= self.most:
            between = f"between '{self.least}' and '{self.most}'"
            yield Difference(path, f"The value '{value}' must be {between}.{_at(path)}")


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def differences(self, value: Value, path: str, _: Use) -> Iterator[Difference]:
        """Yield where a value is something else."""
        if not isinstance(value, bool):
            yield _wrong(value, "System.Boolean", path)


@dataclass(frozen=True, slots=True)
class Anything:
    """Whatever: what this cloud does not know, and does not judge."""

    def differences(self, _: Value, __: str, ___: Use) -> Iterator[Difference]:
        """Yield nothing."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Items:
    """A list.

    Attributes:
        of: What each of them is.
    """

    of: Kind

    def differences(self, value: Value, path: str, use: Use) -> Iterator[Difference]:
        """Yield where a value is something else."""
        if not isinstance(value, list):
            yield _wrong(value, "System.Collections.Generic.List", path)
            return
        for index, item in enumerate(value):
            yield from self.of.differences(item, f"{path}[{index}]", use)


@dataclass(frozen=True, slots=True)
class Map:
    """An object whose names are the client's: tags, settings, registries by host.

    Attributes:
        of: What each value is.
        nullable: Whether ARM tells null of a name.
    """

    of: Kind
    nullable: bool = False

    def differences(self, value: Value, path: str, use: Use) -> Iterator[Difference]:
        """Yield where a value is something else."""
        if not isinstance(value, dict):
            yield _wrong(value, "System.Collections.Generic.Dictionary", path)
            return
        for name, held in value.items():
            if held is None:
                if use == "answer" and not self.nullable:
                    yield _null(f"{path}['{name}']")
            else:
                yield from self.of.differences(held, f"{path}['{name}']", use)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object.

    Attributes:
        kind: What it is.
        required: Whether a whole resource, and an answer, must have it.
        always: Whether changes must have it, too: what tells one entry from another.
        told: Whether ARM alone sets it. What a client sends in its place is passed over, for
            clients send back what they have read.
        secret: Whether no answer shows it.
        hidden: Whether an answer may leave it out, though a request must have it.
        nullable: Whether ARM tells null of it.
    """

    kind: Kind
    required: bool = False
    always: bool = False
    told: bool = False
    secret: bool = False
    hidden: bool = False
    nullable: bool = False


def required(kind: Kind) -> Member:
    """Return a member that a resource must have, in requests and in answers."""
    return Member(kind, required=True)


def key(kind: Kind) -> Member:
    """Return a member that changes must have as well: the name of an entry, a type."""
    return Member(kind, required=True, always=True)


def told(kind: Kind) -> Member:
    """Return a member that ARM alone sets."""
    return Member(kind, told=True)


def hidden(kind: Kind) -> Member:
    """Return a member that requests must have, and answers show unless it is a secret."""
    return Member(kind, required=True, always=True, hidden=True)


def secret(kind: Kind, *, needed: bool = False) -> Member:
    """Return a member that no answer shows."""
    return Member(kind, required=needed, secret=True)


@dataclass(frozen=True, slots=True, init=False)
class Object:
    """An object with members that are known.

    Args:
        name: What ARM calls its type.
        members: Its members; a bare kind is a member that may be absent.
    """

    name: str
    members: Mapping[str, Member]
    needed: frozenset[str]

    def __init__(self, name: str, members: Mapping[str, Kind | Member]) -> None:
        made = {n: m if isinstance(m, Member) else Member(m) for n, m in members.items()}
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "members", made)
        object.__setattr__(self, "needed", frozenset(n for n, m in made.items() if m.required))

    def differences(self, value: Value, path: str, use: Use) -> Iterator[Difference]:
        """Yield where a value is something else."""
        if not isinstance(value, dict):
            yield _wrong(value, self.name, path)
            return
        for name in self.needed:
            member = self.members[name]
            asked = (use == "put") or (use == "patch" and member.always)
            shown = use == "answer" and not (member.secret or member.hidden)
            if (asked or shown) and value.get(name) is None:
                words = f"Required property '{name}' not found in JSON.{_at(path)}"
                yield Difference(f"{path}.{name}" if path else name, words)
        for name, held in value.items():
            here = f"{path}.{name}" if path else name
            known = self.members.get(name)
            if known is None:
                words = f"Could not find member '{name}' on object of type '{self.name}'."
                yield Difference(here, words + _at(here))
            elif use == "answer" and known.secret:
                yield Difference(here, f"'{name}' is a secret, and shown.{_at(here)}")
            elif held is None:
                if use == "answer" and not known.nullable:
                    yield _null(here)
            elif use == "answer" or not known.told:
                yield from known.kind.differences(held, here, use)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several objects, by the member that tells which.

    Attributes:
        name: What ARM calls what they have in common.
        tag: The member.
        kinds: The objects by its value.
    """

    name: str
    tag: str
    kinds: Mapping[str, Object]

    def differences(self, value: Value, path: str, use: Use) -> Iterator[Difference]:
        """Yield where a value is something else."""
        if not isinstance(value, dict):
            yield _wrong(value, self.name, path)
            return
        chosen = value.get(self.tag)
        here = f"{path}.{self.tag}" if path else self.tag
        if chosen is None:
            words = f"Required property '{self.tag}' not found in JSON.{_at(path)}"
            yield Difference(here, words)
        elif chosen not in self.kinds:
            yield _wrong(chosen, self.name, here)
        else:
            yield from self.kinds[chosen].differences(value, path, use)


type Kind = Text | Word | Number | Flag | Anything | Items | Map | Object | OneOf


def check(schema: Kind, body: Value, use: Use) -> None:
    """Refuse a body that is not as its schema says.

    Raises:
        ArmError: In ARM's words, of the first difference.
    """
    for difference in schema.differences(body, "", use):
        raise ArmError(
            400,
            "InvalidRequestContent",
            f"The request content was invalid and could not be deserialized: '{difference.words}'.",
        )


def _at(path: str) -> str:
    return f" Path '{path}', line 1, position 1."


def _wrong(value: Value, kind: str, path: str) -> Difference:
    shown = json.dumps(value) if isinstance(value, str | int | float | bool) else kind
    if isinstance(value, dict | list):
        begun = "object" if isinstance(value, dict) else "array"
        words = f"Cannot deserialize the current JSON {begun} into type '{kind}'."
    else:
        words = f"Error converting value {shown} to type '{kind}'."
    return Difference(path, words + _at(path))


def _null(path: str) -> Difference:
    return Difference(path, f"null, where Azure leaves a member out.{_at(path)}")
