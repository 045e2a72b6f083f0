"""Flags of command lines, read as pflag reads them, which docker and acr-cli use.

Source: github.com/spf13/pflag, flag.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from localcloud.builds.job import BuildError

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def truth(text: str) -> bool:
    """Return what Go takes a text for.

    Raises:
        BuildError: It is neither true nor false.
    """
    if text not in _TRUE | _FALSE:
        raise BuildError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE


@dataclass(frozen=True, slots=True)
class Known:
    """The flags that a command has.

    Attributes:
        valued: Flags with a value, each with what it is called here; an empty name is for one
            whose value changes nothing here.
        switches: Flags without, in the same way.
    """

    valued: Mapping[str, str]
    switches: Mapping[str, str]


@dataclass(slots=True)
class Given:
    """What a command line gives.

    Attributes:
        values: The values of flags, in their order, by what they are called here.
        switches: Whether a flag is set, by what it is called here.
        arguments: The other words.
        flags: Every flag, as it was written.
    """

    values: dict[str, list[str]] = field(default_factory=dict)
    switches: dict[str, bool] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """Return every value of a flag."""
        return self.values.get(name, [])

    def last(self, name: str, default: str = "") -> str:
        """Return the value of a flag that counts once."""
        return (self.values.get(name) or [default])[-1]

    def on(self, name: str) -> bool:
        """Tell whether a flag is set."""
        return self.switches.get(name, False)


def read(command: str, words: Sequence[str], known: Known, *, mixed: bool = True) -> Given:
    """Read a command line.

    Args:
        command: What it is of, for the error.
        words: Its words.
        known: The flags that are known.
        mixed: Whether flags may follow other words.

    Raises:
        BuildError: A flag is not known, or lacks its value.
    """
    given = Given()
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            given.arguments += left
            break
        if not word.startswith("-") or word == "-":
            given.arguments.append(word)
            if not mixed:
                given.arguments += left
                break
        elif word.startswith("--"):
            flag, equals, value = word.partition("=")
            _one(command, (flag, value if equals else None), left, known, given)
        else:
            _short(command, word, left, known, given)
    return given


def _one(
    command: str, found: tuple[str, str | None], left: list[str], known: Known, given: Given
) -> None:
    flag, value = found
    given.flags.append(flag)
    if flag in known.switches:
        name = known.switches[flag]
        given.switches[name] = True if value is None else truth(value)
    elif flag in known.valued:
        if value is None:
            if not left:
                raise BuildError(f"flag needs an argument: {flag}")
            value = left.pop(0)
        given.values.setdefault(known.valued[flag], []).append(value)
    else:
        raise BuildError(f"the local cloud does not do `{command} {flag}`")


def _short(command: str, word: str, left: list[str], known: Known, given: Given) -> None:
    """Read flags of one letter, which may stand together; the last may have a value."""
    letters = word[1:]
    for place, letter in enumerate(letters, 1):
        flag, rest = f"-{letter}", letters[place:]
        if flag in known.valued:
            if not rest and not left:
                raise BuildError(f"flag needs an argument: '{letter}' in {word}")
            value = rest.removeprefix("=") if rest else None
            _one(command, (flag, value), left, known, given)
            return
        if rest.startswith("="):
            _one(command, (flag, rest[1:]), left, known, given)
            return
        _one(command, (flag, None), left, known, given)
