"""Flags of command lines, in the forms of github.com/spf13/pflag, which docker's tools share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from rebuilder.errors import InvalidBuildFile


class Grammar(Struct, frozen=True):
    """The flags that a command knows.

    Attributes:
        valued: The names of those that take a value.
        switches: The names of those that take none.
        short: The names of the letters.
        others_valued: Whether a flag that is not known is taken for one with a value.
    """

    valued: frozenset[str]
    switches: frozenset[str] = frozenset()
    short: Mapping[str, str] = field(default_factory=dict)
    others_valued: bool = False


def grammar(
    valued: str, switches: str = "", short: str = "", *, others_valued: bool = False
) -> Grammar:
    """Make a grammar of names, and of letters as `l=name`, separated by white space."""
    letters = dict(pair.split("=", 1) for pair in short.split())
    return Grammar(frozenset(valued.split()), frozenset(switches.split()), letters, others_valued)


class Asked(Struct):
    """What a command line asks for.

    Attributes:
        flags: The values of each flag, in order; of a switch "true" or what it is set to.
        words: The words that are no flags.
        unknown: The flags that are not known, of which it cannot be told whether they take the
            word that follows.
    """

    flags: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def all(self, name: str) -> Sequence[str]:
        """Return every value of a flag."""
        return self.flags.get(name, ())

    def last(self, name: str) -> str:
        """Return what counts of a flag that is meant once; "" if it is not there."""
        return "".join(self.flags.get(name, ())[-1:])

    def on(self, name: str) -> bool:
        """Tell whether a switch is on."""
        return self.last(name).lower() in ("true", "1", "t")


def read(words: Iterable[str], known: Grammar, line: int, *, until_word: bool = False) -> Asked:
    """Take the words behind a command apart.

    Args:
        words: The words.
        known: The flags of the command.
        line: The line of the file, for messages.
        until_word: Whether the first word that is no flag ends them, as it does where a command
            follows; that word and all behind it are then `words`.

    Raises:
        InvalidBuildFile: A flag at the end lacks its value.
    """
    asked = Asked()
    left = list(words)[::-1]
    while left:
        word = left.pop()
        if word == "--":
            asked.words += reversed(left)
            break
        if word.startswith("--"):
            _long(word[2:], left, line, known, asked)
        elif word.startswith("-") and word != "-":
            _short(word[1:], left, line, known, asked)
        else:
            asked.words.append(word)
            if until_word:
                asked.words += reversed(left)
                break
    return asked


def _long(flag: str, left: list[str], line: int, known: Grammar, asked: Asked) -> None:
    name, equals, value = flag.partition("=")
    if name in known.switches:
        value = value if equals else "true"
    elif name in known.valued or known.others_valued:
        value = value if equals else _next(f"--{name}", left, line)
    else:
        asked.unknown.append(f"--{name}")
    asked.flags.setdefault(name, []).append(value)


def _short(letters: str, left: list[str], line: int, known: Grammar, asked: Asked) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        name = known.short.get(letter, "")
        if not name:
            asked.unknown.append(f"-{letter}")
            return
        if name in known.switches:
            asked.flags.setdefault(name, []).append("true")
            continue
        value = letters.removeprefix("=") if letters else _next(f"-{letter}", left, line)
        asked.flags.setdefault(name, []).append(value)
        return


def _next(flag: str, left: list[str], line: int) -> str:
    if not left:
        raise InvalidBuildFile(line, f"flag needs an argument: {flag}")
    return left.pop()
