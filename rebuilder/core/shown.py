"""Texts from outside, as people may see them: on a terminal, and in the lines of a log."""

from __future__ import annotations

LONGEST = 4000
"""How many characters of a text are shown."""


def shown(text: str, most: int = LONGEST) -> str:
    """Return a text escaped, and cut to a length."""
    safe = escaped(text[: most + 1])
    return safe if len(safe) <= most else f"{safe[: most - 3]}..."


def escaped(text: str) -> str:
    """Return a text in which what a terminal would obey can be seen instead.

    That is: control characters, marks that change the order of the letters around them, half
    characters, and whatever else has no look of its own.
    """
    return text if text.isprintable() else "".join(map(_seen, text))


def _seen(character: str) -> str:
    code = ord(character)
    if character.isprintable():
        return character
    if code > 0xFFFF:  # noqa: PLR2004 - more than four digits
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - two digits
