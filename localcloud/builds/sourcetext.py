"""A text that knows from which lines of a file it was made, however often it was rewritten."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """A text made from a file.

    Attributes:
        text: What it is now.
        lines: Of each of its lines, the number of the file's line that it began on, from 1.
    """

    text: str
    lines: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Source:
        """Return a file's own text."""
        return cls(text, tuple(range(1, text.count("\n") + 2)))

    def line(self, index: int) -> int:
        """Return the number in the file of a line of the text, counted from 0."""
        return self.lines[min(index, len(self.lines) - 1)]

    def line_at(self, position: int) -> int:
        """Return the number in the file of the line that a position of the text is on."""
        return self.line(self.text.count("\n", 0, position))


class Writer:
    """Writes a new text from pieces of an old one."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._lines: list[int] = []
        self._fresh = True  # whether the line so far has nothing on it

    def copy(self, old: Source, start: int, end: int) -> None:
        """Write a piece of the old text, from one position to another."""
        for number, part in enumerate(old.text[start:end].split("\n")):
            index = old.text.count("\n", 0, start) + number
            self._write(part, old.line(index), begins=number > 0)

    def put(self, text: str, line: int) -> None:
        """Write what is not in the old text, on behalf of one of the file's lines."""
        for number, part in enumerate(text.split("\n")):
            self._write(part, line, begins=number > 0)

    def _write(self, part: str, line: int, *, begins: bool) -> None:
        if begins:
            self._parts.append("\n")
            self._fresh = True
            self._lines.append(line)
        elif self._fresh:
            self._lines[-1:] = [line]
        if part:
            self._parts.append(part)
            self._fresh = False

    def source(self) -> Source:
        """Return the new text."""
        return Source("".join(self._parts), tuple(self._lines) or (1,))
