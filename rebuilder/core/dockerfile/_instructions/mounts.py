"""`RUN --mount=type=bind,from=IMAGE,...`.

Source of the rules: BuildKit, `instructions/commands_runmount.go`; of the values separated by
commas: github.com/tonistiigi/go-csvvalue, which reads as Go's encoding/csv.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from rebuilder.core.dockerfile._shell.lexer import asks
from rebuilder.core.dockerfile._text import boolean, cleaned, quoted, unsigned

_TYPES = frozenset({"bind", "cache", "tmpfs", "secret", "ssh"})
_OWNED = frozenset({"secret", "ssh", "cache"})
_SHARING = frozenset({"shared", "private", "locked"})
_NUMBERS = {"mode": 8, "uid": 10, "gid": 10}  # each with its base
_SIZE = re.compile(
    r"(?:([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?)"
    r"|\+?0x(?:[0-9a-f_]+\.?[0-9a-f_]*|\.[0-9a-f_]+)p[-+]?[0-9]+)"
    r" ?(?:[kmgtp](?:i?b)?|b)?",
    re.IGNORECASE | re.ASCII,
)
# What may turn out to be the root, if relative paths begin there.
_NOWHERE = re.compile(r"(?!/)(?:[./]*|.*/\.\.(?:/.*)?)", re.DOTALL)
# Which types of mounts take a key that not all of them take, or that takes only some values.
_OF_TYPES = {
    "readonly": _TYPES, "ro": _TYPES, "readwrite": _TYPES, "rw": _TYPES,
    "required": frozenset({"secret", "ssh"}), "size": frozenset({"tmpfs"}),
}  # fmt: skip
_KEYS = {
    "source": "source", "src": "source", "target": "target", "dst": "target",
    "destination": "target", "id": "id", "from": "from", "env": "env",
}  # fmt: skip


class Mount(NamedTuple):
    """A mount of a RUN, before its variables are replaced.

    Attributes:
        text: The value of the flag.
        source: What `from` names; "" if there is no `from`.
        fields: The parts of the value.
        plain: Whether it is plainly right, whatever stands before it.
    """

    text: str
    source: str
    fields: tuple[str, ...]
    plain: bool = False

    @property
    def target(self) -> str:
        """Where it is mounted, as written."""
        for field in reversed(self.fields):
            key, _, value = field.partition("=")
            if _KEYS.get(key.lower()) == "target":
                return value
        return ""

    @property
    def varies(self) -> bool:
        """Whether what BuildKit makes of it depends on what stands before it."""
        # Of secrets and agents, it does not matter where they are mounted.
        secret = self.text.startswith(("type=secret", "type=ssh"))
        if not secret and _NOWHERE.fullmatch(self.target):
            return True
        for field in self.fields if "$" in self.text else ():
            key, _, value = field.partition("=")
            if "$" not in value:
                continue
            key = key.lower()
            if secret or asks(value):
                return True
            if value.startswith("$") if _KEYS.get(key) == "target" else key not in _KEYS:
                return True
        return False


_PLAIN = "[!#%&(-+.-;=-\\[\\]^_a-~-]"
_PLAIN_FIELDS = (
    rf"(?:,id={_PLAIN}++|,sharing=(?:shared|private|locked)"
    r"|,[ug]id=[0-9]{1,9}+|,mode=[0-7]{1,6}+)*+"
)
PLAIN_CACHE_MOUNT = re.compile(
    rf"type=cache{_PLAIN_FIELDS},(?:target|dst)=/[A-Za-z0-9_]{_PLAIN}*+{_PLAIN_FIELDS}\Z"
).match
"""Sees at a glance that a mount is right and reads no image."""

CACHE_MOUNT = Mount("type=cache", "", (), plain=True)
"""What stands for such a mount."""

_BOUND = rf"(?:from|source|src|id)={_PLAIN}++|r[ow]"
_SECRET = rf"(?:target|dst|env)={_PLAIN}++|required(?:=true)?+|mode=[0-7]{{1,6}}+"
_PLAIN_MOUNT = re.compile(
    rf"(?:type=(?:bind|cache),)?+(?:(?:{_BOUND}),)*+"
    rf"(?:target|dst)=/?+[A-Za-z0-9_]{_PLAIN}*+(?:,(?:{_BOUND}))*+\Z"
    rf"|type=secret,id={_PLAIN}++(?:,(?:{_SECRET}))*+\Z"
).match


def read_mount(text: str, fields: Sequence[str]) -> Mount:
    """Read what is known before the variables are: what it mounts.

    Raises:
        ValueError: With what BuildKit refuses.
    """
    source = ""
    for field in fields:
        key, equals, value = field.partition("=")
        if equals and key.lower() == "from":
            if "$" in value[:-1]:
                raise ValueError(
                    "'from' doesn't support variable expansion, define alias stage instead"
                )
            source = value
    plain = ".." not in text and _PLAIN_MOUNT(text) is not None
    return Mount(text, source, tuple(fields), plain)


class KnownMount(Struct, frozen=True):
    """What is known of a mount once variables are replaced.

    Attributes:
        kind: Its type; None if that is not known.
        fields: The other keys, under one name each, with their values; None is not known.
    """

    kind: str | None
    fields: dict[str, str | None]

    def check_target(self, folder: str | None) -> None:
        """See whether it is mounted where something may be.

        Args:
            folder: The folder in which relative paths begin; None if that is not known.

        Raises:
            ValueError: With what BuildKit refuses.
        """
        if self.kind == "ssh" and self.fields.get("source"):
            raise ValueError("ssh does not support source")
        if self.kind not in ("bind", "cache", "tmpfs"):
            return
        target = self.fields.get("target", "")
        if target is None:
            return
        if not target.startswith("/") and folder is not None:
            target = cleaned(f"{folder}/{target}")
        if target == "/":
            raise ValueError('invalid mount target "/"')


def known_mount(mount: Mount, expand: Callable[[str], str | None]) -> KnownMount:
    """Read a mount as BuildKit does when it builds the stage.

    Args:
        mount: The mount.
        expand: Expands a word; None if what comes of it is not known. Raises what it likes.

    Raises:
        ValueError: With what BuildKit refuses, whatever the unknown values are.
    """
    kind: str | None = "bind"
    found: dict[str, str | None] = {}
    for field in mount.fields:
        key, equals, text = field.partition("=")
        key = key.lower()
        if not equals:
            if key == "required" and kind in _TYPES - _OF_TYPES[key]:
                raise ValueError(f"unexpected key '{key}' for mount type '{kind}'")
            if key not in ("readonly", "ro", "readwrite", "rw", "required"):
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            continue
        value = expand(text)
        if key == "type":
            kind = _kind(value)
        elif key in _OF_TYPES:
            if kind is not None and kind not in _OF_TYPES[key]:
                raise ValueError(f"unexpected key '{key}' for mount type '{kind}'")
            _require(value is None or _right(key, value), f"invalid value for {key}: {value}")
        elif key in _NUMBERS:
            right = value is None or unsigned(value, _NUMBERS[key]) is not None
            _require(right, f"invalid value {value} for {key}")
            found[key] = value
        elif key == "sharing":
            right = value is None or value.lower() in _SHARING
            _require(right, f"unsupported sharing value {quoted(value or '')}")
            found[key] = value
        elif key in _KEYS:
            found[_KEYS[key]] = value
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
    if kind is not None:
        _check_together(kind, found)
    return KnownMount(kind, found)


def _kind(value: str | None) -> str | None:
    if value is not None and value.lower() not in _TYPES:
        raise ValueError(f"unsupported mount type {quoted(value)}")
    return None if value is None else value.lower()


def _right(key: str, value: str) -> bool:
    if key != "size":
        return boolean(value) is not None
    match = _SIZE.fullmatch(value)
    return match is not None and 0 <= float(match[1] or 0) < math.inf


def _require(holds: bool, problem: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise ValueError(problem)


def _check_together(kind: str, found: dict[str, str | None]) -> None:
    for key in _NUMBERS:
        if key in found and kind not in _OWNED:
            raise ValueError(f"{key} not allowed for {quoted(kind)} type mounts")
    if kind == "secret":
        if found.get("from"):
            raise ValueError("secret mount should not have a from")
        if "sharing" in found:
            raise ValueError("secret mount should not define sharing")
        # What is not known may be empty, and may be not.
        if all(found.get(key, "") == "" for key in ("source", "target", "id")):
            raise ValueError("invalid secret mount. one of source, target required")
        if found.get("source") and found.get("id"):
            raise ValueError("both source and id can't be set")
    if "sharing" in found and kind != "cache":
        raise ValueError(f"invalid cache sharing set for {kind} mount")


def csv_fields(text: str) -> list[str]:
    """The fields of one line of comma-separated values.

    Raises:
        ValueError: With what is wrong, and where.
    """
    if not text:
        raise ValueError("EOF")
    if '"' not in text:
        return text.split(",")
    fields: list[str] = []
    at = 0
    while True:
        if not text.startswith('"', at):
            end = text.find(",", at)
            field = text[at:] if end < 0 else text[at:end]
            if '"' in field:
                raise _csv_error(at + field.index('"'), 'bare " in non-quoted-field')
            fields.append(field)
            if end < 0:
                return fields
            at = end + 1
            continue
        field, at = _quoted_field(text, at + 1)
        fields.append(field)
        if at == len(text):
            return fields
        at += 1


def _quoted_field(text: str, at: int) -> tuple[str, int]:
    """A field after its opening quote, and where what follows its closing quote is."""
    pieces: list[str] = []
    while True:
        end = text.find('"', at)
        if end < 0:
            raise _csv_error(at, 'extraneous or missing " in quoted-field')
        pieces.append(text[at:end])
        at = end + 1
        following = text[at : at + 1]
        if following == '"':
            pieces.append('"')
            at += 1
        elif following in ("", ","):
            return "".join(pieces), at
        else:
            raise _csv_error(end, 'extraneous or missing " in quoted-field')


def _csv_error(at: int, problem: str) -> ValueError:
    return ValueError(f"parse error on line 1, column {at + 1}: {problem}")
