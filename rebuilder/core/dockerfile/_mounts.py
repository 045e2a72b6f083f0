"""`RUN --mount=type=bind,from=IMAGE,...`.

Source of the rules: BuildKit, `instructions/commands_runmount.go`; of the values separated by
commas: github.com/tonistiigi/go-csvvalue, which reads as Go's encoding/csv.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rebuilder.core.dockerfile._text import boolean, quoted

_TYPES = frozenset({"bind", "cache", "tmpfs", "secret", "ssh"})
_OWNED = frozenset({"secret", "ssh", "cache"})
_SHARING = frozenset({"shared", "private", "locked"})
_NUMBERS = {"mode": re.compile("[0-7]+"), "uid": re.compile("[0-9]+"), "gid": re.compile("[0-9]+")}
_SIZE = re.compile(r"[0-9]+(?:\.[0-9]*)? ?(?:[kmgtp]i?b?|b)?", re.IGNORECASE | re.ASCII)
_MOST = 2**32 - 1
# Which types of mounts take a key that not all of them take, or that takes only some values.
_OF_TYPES = {
    "readonly": _TYPES, "ro": _TYPES, "readwrite": _TYPES, "rw": _TYPES,
    "required": frozenset({"secret", "ssh"}), "size": frozenset({"tmpfs"}),
}  # fmt: skip
_KEYS = {
    "source": "source", "src": "source", "target": "target", "dst": "target",
    "destination": "target", "id": "id", "from": "from", "env": "env",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount of a RUN, before its variables are replaced.

    Attributes:
        text: The value of the flag.
        source: What `from` names; "" if there is no `from`.
        fields: The parts of the value.
    """

    text: str
    source: str
    fields: tuple[str, ...]

    @property
    def target(self) -> str:
        """Where it is mounted, as written."""
        for field in reversed(self.fields):
            key, _, value = field.partition("=")
            if _KEYS.get(key.lower()) == "target":
                return value
        return ""


PLAIN_CACHE_MOUNT = re.compile(
    r"type=cache(?:,(?:id|target|dst)=[!#%&(-+.-;=-\[\]^_a-~-]++"
    r"|,sharing=(?:shared|private|locked)|,[ug]id=[0-9]{1,9}+|,mode=[0-7]{1,6}+)*+\Z"
).match
"""Sees at a glance that a mount is right and reads no image."""

CACHE_MOUNT = Mount("type=cache", "", ())
"""What stands for such a mount."""


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
    return Mount(text, source, tuple(fields))


def check_mount(mount: Mount, check: Callable[[str], None]) -> None:
    """Check a mount as BuildKit does when it builds the stage; what depends on variables is not.

    Args:
        mount: The mount.
        check: Sees whether a word can be expanded; raises what it likes.

    Raises:
        ValueError: With what BuildKit refuses.
    """
    found = {"type": "bind"}
    for field in mount.fields:
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals:
            if key == "required" and found["type"] not in ("secret", "ssh"):
                raise ValueError(f"unexpected key '{key}' for mount type '{found['type']}'")
            if key not in ("readonly", "ro", "readwrite", "rw", "required"):
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            continue
        check(value)
        if any(sign in value for sign in "$'\"\\`"):
            # Known only when variables are; the same for a type, which decides on the others.
            if key == "type":
                return
            found[_KEYS.get(key, key)] = value
            continue
        _read_field(key, value, field, found)
    _check_together(found)


def _read_field(key: str, value: str, field: str, found: dict[str, str]) -> None:
    kind = found["type"]
    if key == "type":
        _require(value.lower() in _TYPES, f"unsupported mount type {quoted(value)}")
        found["type"] = value.lower()
    elif key == "sharing":
        _require(value.lower() in _SHARING, f"unsupported sharing value {quoted(value)}")
        found["sharing"] = value
    elif key in _NUMBERS:
        base = 8 if key == "mode" else 10
        fits = bool(_NUMBERS[key].fullmatch(value)) and int(value[:40], base) <= _MOST
        _require(fits, f"invalid value {value} for {key}")
        found[key] = value
    elif key in _KEYS:
        found[_KEYS[key]] = value
    elif key in _OF_TYPES:
        unexpected = f"unexpected key '{key}' for mount type '{kind}'"
        _require(kind in _OF_TYPES[key], unexpected)
        size = key == "size" and _SIZE.fullmatch(value) is not None
        _require(size or boolean(value) is not None, f"invalid value for {key}: {value}")
    else:
        raise ValueError(f"unexpected key '{key}' in '{field}'")


def _require(holds: bool, problem: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise ValueError(problem)


def _check_together(found: dict[str, str]) -> None:
    kind = found["type"]
    for key in _NUMBERS:
        if key in found and kind not in _OWNED:
            raise ValueError(f"{key} not allowed for {quoted(kind)} type mounts")
    if kind == "secret":
        if found.get("from"):
            raise ValueError("secret mount should not have a from")
        if found.get("sharing"):
            raise ValueError("secret mount should not define sharing")
        if not any(found.get(key) for key in ("source", "target", "id")):
            raise ValueError("invalid secret mount. one of source, target required")
        if found.get("source") and found.get("id"):
            raise ValueError("both source and id can't be set")
    if found.get("sharing") and kind != "cache":
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
