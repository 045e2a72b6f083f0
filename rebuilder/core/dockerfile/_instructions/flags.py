"""Which flags an instruction has, and what they take.

Source of the rules: BuildKit, `instructions/bflag.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rebuilder.core.dockerfile._instructions.commands import Bad
from rebuilder.core.dockerfile._parser.nodes import Node

# What a flag takes: one text, a boolean, or a text each time it is given.
_TEXT, _BOOLEAN, _TEXTS = "text", "boolean", "texts"

_FLAGS: dict[str, Mapping[str, str]] = {
    "add": {
        "chown": _TEXT, "chmod": _TEXT, "link": _BOOLEAN, "keep-git-dir": _BOOLEAN,
        "checksum": _TEXT, "unpack": _BOOLEAN, "exclude": _TEXTS,
    },
    "copy": {
        "chown": _TEXT, "from": _TEXT, "chmod": _TEXT, "link": _BOOLEAN, "exclude": _TEXTS,
        "parents": _BOOLEAN,
    },
    "from": {"platform": _TEXT},
    "healthcheck": {
        "interval": _TEXT, "timeout": _TEXT, "start-period": _TEXT, "start-interval": _TEXT,
        "retries": _TEXT,
    },
    "run": {"device": _TEXTS, "mount": _TEXTS, "network": _TEXT, "security": _TEXT},
}  # fmt: skip

_NO_FLAGS: Mapping[str, str] = {}


def flags_of(node: Node) -> dict[str, list[str]]:
    """The flags of an instruction, each with its values."""
    if not node.flags:
        return {}
    known = _FLAGS.get(node.keyword, _NO_FLAGS)
    found: dict[str, list[str]] = {}
    for flag in node.flags:
        spelled, equals, value = flag.partition("=")
        name = spelled[2:]
        kind = known.get(name)
        if kind is None:
            raise Bad(f"unknown flag: {spelled}")
        if name in found and kind != _TEXTS:
            raise Bad(f"duplicate flag specified: {spelled}")
        if (kind == _BOOLEAN and equals and not value) or (kind != _BOOLEAN and not equals):
            raise Bad(f"missing a value on flag: {spelled}")
        if kind == _BOOLEAN and value.lower() not in ("", "true", "false"):
            raise Bad(f"expecting boolean value for flag {spelled}, not: {value}")
        found.setdefault(name, []).append(value)
    return found


def one(flags: Mapping[str, Sequence[str]], name: str) -> str:
    return flags[name][0] if name in flags else ""
