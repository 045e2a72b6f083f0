"""The section `messages` of the policy file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from rebuilder.core.messages.rules import MessageRule, What
from rebuilder.core.policies.windows import Window

type Path = tuple[str | int, ...]

_LEAST, _MOST = timedelta(minutes=1), timedelta(days=1)


class Reader(Protocol):
    """What reads the rest of the file."""

    def fault(self, path: Path, problem: str, *, key: bool = False) -> None:
        """Note what is wrong with a value, or with its key."""

    def duration(self, given: Mapping[str, Any], name: str, path: Path) -> timedelta | None:
        """Return a duration."""

    def window(self, given: Mapping[str, Any], path: Path) -> Window:
        """Return a window."""


def read_messages[Match](
    read: Reader, given: Sequence[Mapping[str, Any]], match: Callable[[Mapping[str, Any]], Match]
) -> Iterator[tuple[MessageRule, Match]]:
    """Yield the rules of messages, each with what it is for.

    Args:
        read: What reads the rest of the file, and notes faults.
        given: The section, which the schema allows.
        match: Reads what a rule is for.
    """
    names: set[str] = set()
    for number, values in enumerate(given):
        path: Path = ("messages", number)
        name = values["name"]
        if name in names:
            read.fault((*path, "name"), f"there are two of the name {name}: write another one")
        names.add(name)
        digest = read.duration(values, "digest", path)
        if digest is not None and not _LEAST <= digest <= _MOST:
            read.fault((*path, "digest"), f"{values['digest']}: write 1m to 1d")
        asked = values.get("match", {})
        for key in ("tags", "kinds"):
            if key in asked:
                why = "a message is told without asking ARM, which knows them"
                read.fault((*path, "match", key), f"{key}: {why}: leave it out", key=True)
        quiet = tuple(
            read.window(window, (*path, "quiet", at))
            for at, window in enumerate(values.get("quiet", ()))
        )
        what = frozenset(map(What, values.get("what", What)))
        yield (
            MessageRule(name, what, tuple(dict.fromkeys(values["to"])), quiet, digest),
            match(asked),
        )
