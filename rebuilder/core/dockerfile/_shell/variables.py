"""Variables that words may name."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class WordError(Exception):
    """A word that BuildKit's lexer refuses; the message tells why."""


class Variable(NamedTuple):
    """A variable that words may name.

    Attributes:
        name: Its name.
        value: Its value.
        origin: Where the value is from, in words for a person.
        uses: The variables that its value was made of.
        lacking: The names that its value was made of and that are not set, or empty.
        lacks: Whether there are any, here or in what it was made of.
        automatic: Whether only BuildKit gives it a value, or what it was made of.
    """

    name: str
    value: str
    origin: str
    uses: tuple[Variable, ...] = ()
    lacking: tuple[str, ...] = ()
    lacks: bool = False
    automatic: bool = False


UNKNOWN = Variable("", "", "outside the file")
"""What stands for a variable of which nothing is known, not even whether it is set."""


class Variables(Protocol):
    """What is known of variables."""

    def get(self, name: str, /) -> Variable | None:
        """A variable; None if it is not set, and `UNKNOWN` if that is not known."""
        ...


class _Nothing:
    """No variable is known."""

    def get(self, _name: str, /) -> Variable | None:
        return UNKNOWN


NOTHING: Variables = _Nothing()
"""What is known of variables in a stage of which nothing is."""
