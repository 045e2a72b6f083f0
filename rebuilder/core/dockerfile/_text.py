"""Small texts as Go sees them: white space, quoting, booleans, the size of what is read."""

from __future__ import annotations

import re
from functools import lru_cache

from rebuilder.core.acr.references import ImageReference

# Go's unicode.IsSpace. Python's own strip() would also take U+001C to U+001F.
SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
# What separates an instruction from its arguments, and arguments from each other.
BLANKS = re.compile("[\t\v\f\r ]+")

FILE_LIMIT = 256 * 1024
"""The longest file that is read, in bytes. BuildKit has no limit."""

PLATFORM_LIMIT = 20
"""For how many platforms a file is read at most. BuildKit has no limit."""

TOGETHER_LIMIT = 4 * FILE_LIMIT
"""How many characters a file may have, times the number of platforms that it is read for."""

LINE_LIMIT = 65535
"""The longest line, in bytes: the same as BuildKit's."""

EXPANSION_LIMIT = 1024 * 1024
"""How many characters all expansions of a file may make together. BuildKit has no limit, and
`ARG A=$B$B`, thirty times over, is a gigabyte."""

DEPTH_LIMIT = 50
"""How deeply `${a:-${b:-...}}` may be nested. BuildKit has no limit."""

PATTERN_LIMIT = 8 * 1024 * 1024
"""How many comparisons the patterns of a file (`${v#p}`, `${v/p/r}`) may need together: for each,
the length of the value times that of pattern and replacement. BuildKit has no limit."""

PATTERN_COST = 10_000
"""What using a pattern costs at least, in comparisons."""

_NAMED = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r",
    "\t": "\\t", "\v": "\\v",
}  # fmt: skip
_INTEGER = re.compile(r"([-+]?)([0-9]+)")
_DIGITS = {8: re.compile("[0-7]+"), 10: re.compile("[0-9]+")}
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


TEXT_LIMIT = 500
"""The longest text of the file that is told, in characters; of what is longer, the middle goes."""


def short(text: str) -> str:
    """A text of the file without its middle, if it is too long for a record or a message."""
    half = TEXT_LIMIT // 2
    return text if len(text) <= TEXT_LIMIT else f"{text[:half]}…{text[-half:]}"


@lru_cache(maxsize=4096)
def parse_reference(name: str) -> ImageReference:
    """`ImageReference.parse`, which need not look twice: the same few bases stand in most files."""
    return ImageReference.parse(name)


def quoted(text: str) -> str:
    """The text in double quotes, as Go's %q writes it."""
    return f'"{"".join(map(_quoted_character, text))}"'


def _quoted_character(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:  # noqa: PLR2004 - ASCII
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def integer(text: str, bits: int = 64) -> int:
    """A whole number as Go's strconv.ParseInt reads it, to the base of ten.

    Raises:
        ValueError: With Go's words, if it is none or does not fit.
    """
    match = _INTEGER.fullmatch(text)
    if match is None:
        raise ValueError(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    number = _number(match[2], 10) * (-1 if match[1] == "-" else 1)
    if not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
        raise ValueError(f"strconv.ParseInt: parsing {quoted(text)}: value out of range")
    return number


def unsigned(text: str, base: int = 10) -> int | None:
    """A number of up to 32 bits as Go's strconv.ParseUint reads it; None if it is none."""
    if not _DIGITS[base].fullmatch(text):
        return None
    number = _number(text, base)
    return number if number < 1 << 32 else None


def _number(digits: str, base: int) -> int:
    # What has more digits fits nowhere, and Python takes time that grows with their square.
    return int(digits.lstrip("0")[:40] or "0", base)


def cleaned(path: str) -> str:
    """A path from the root on, without `.`, `..` and doubled slashes, as Go's path.Clean has it."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def boolean(text: str) -> bool | None:
    """A boolean as Go's strconv.ParseBool reads it; None if it is none."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None
