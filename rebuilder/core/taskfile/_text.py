"""Text that remembers its lines, and words for what is not known."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from rebuilder.core.taskfile._steps import Placeholder
from rebuilder.errors import InvalidBuildFile

_STAND_INS = 250
_TAKEN = re.compile("unknown(q*)")

LIMIT = 1024 * 1024
"""Characters that a file may become; values and aliases can multiply it."""


def names(text: str) -> frozenset[str]:
    """Return the words of a text, to look others up in."""
    return frozenset(text.split())


class Hidden(Exception):
    """What decides on the shape of the file is not known, or too much of it."""

    def __init__(self, text: str, line: int, reason: str) -> None:
        super().__init__(reason)
        self.text = text
        self.line = line
        self.reason = reason


class Mapped(Struct, frozen=True):
    """Text that was made of a file.

    Attributes:
        text: The text.
        lines: Of each of its lines, the line of the file, counted from 1.
    """

    text: str
    lines: tuple[int, ...]

    def line(self, index: int) -> int:
        """Return the line of the file, counted from 1, of a line of the text, counted from 0."""
        return self.lines[min(index, len(self.lines) - 1)]


class Writer:
    """Puts a Mapped together."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._lines: list[int] = [0]
        self._at_start = True
        self._size = 0

    def write(self, text: str, line: int) -> None:
        """Add text.

        Args:
            text: The text.
            line: The line of the file that it is of, whatever line breaks it holds itself.

        Raises:
            InvalidBuildFile: The text grows beyond the limit.
        """
        if not text:
            return
        self._size += len(text)
        if self._size > LIMIT:
            raise InvalidBuildFile(line, f"the file becomes longer than {LIMIT} characters")
        self._parts.append(text)
        if self._at_start:
            self._lines[-1] = line
        self._at_start = text.endswith("\n")
        self._lines += [line] * text.count("\n")

    def write_lines(self, text: str, lines: Sequence[int]) -> None:
        """Add text of several lines.

        Args:
            text: The text.
            lines: Of each of its lines, the line of the file; as many as there are.

        Raises:
            InvalidBuildFile: The text grows beyond the limit.
        """
        self._size += len(text)
        if self._size > LIMIT:
            raise InvalidBuildFile(lines[0], f"the file becomes longer than {LIMIT} characters")
        self._parts.append(text)
        if self._at_start:
            self._lines[-1] = lines[0]
        self._at_start = text.endswith("\n")
        self._lines += lines[1:]

    def mapped(self) -> Mapped:
        """Return what was written."""
        return Mapped("".join(self._parts), tuple(self._lines))


class Unknowns:
    """Makes the placeholders of one file.

    A placeholder is a word of lower-case letters and digits, so that it may stand in a tag, in a
    repository and in a path, and goes through YAML and the shell unchanged.

    Args:
        *texts: Everything that placeholders must not appear in.
    """

    def __init__(self, *texts: str) -> None:
        taken = [text for text in texts if "unknown" in text]
        longest = max((len(m) for text in taken for m in _TAKEN.findall(text)), default=0)
        self._prefix = "unknown" + "q" * (longest + 1)
        self._made: dict[str, Placeholder] = {}

    def word(
        self,
        text: str,
        reason: str,
        line: int = 0,
        *,
        may_be_empty: bool = False,
        value: str = "",
        later: bool = False,
        host: bool = False,
    ) -> str:
        """Return the word for a piece of the file; the same for the same piece.

        Args:
            text: The piece.
            reason: What would have to be known.
            line: The line of the file where it stands first, counted from 1.
            may_be_empty: Whether it may be nothing at all.
            value: The value that nobody gives, if that is why it is not known.
            later: Whether every run knows it.
            host: Whether it is a host, which has a point in it.

        Raises:
            Hidden: There are too many already.
        """
        if text not in self._made:
            if len(self._made) == _STAND_INS:
                reason = f"more than {_STAND_INS} values of the file are not known"
                raise Hidden(text, line, reason)
            stem = f"{self._prefix}{len(self._made)}"
            end = ".io" if host else ""
            self._made[text] = Placeholder(
                f"{stem}a{end}", f"{stem}b{end}", text, reason, may_be_empty, value, line, later
            )
        return self._made[text].word

    def within(self, text: str) -> tuple[Placeholder, ...]:
        """Return the placeholders of a text, in the order in which they were made."""
        if not self._made or self._prefix not in text:
            return ()
        return tuple(placeholder for placeholder in self._made.values() if placeholder.word in text)

    def reasons(self, text: str) -> tuple[str, ...]:
        """Return why a text is not known; empty if it is."""
        return tuple(dict.fromkeys(placeholder.reason for placeholder in self.within(text)))

    def readable(self, text: str) -> str:
        """Return a text with what the file says in place of the placeholders."""
        for placeholder in self.within(text):
            text = text.replace(placeholder.word, placeholder.text)
        return text

    def all(self) -> tuple[Placeholder, ...]:
        """Return every placeholder that was made."""
        return tuple(self._made.values())
