"""Regular expressions that a template brings along.

They are somebody else's, and Python's expressions can be made to take years, so only plain ones are
tried, on short texts: letters, classes of letters and what repeats one of them, no groups. Go's
syntax (pkg.go.dev/regexp/syntax) and Python's mean the same by these.
"""

from __future__ import annotations

import re

_LETTER = r"[^\[\]\\^$.|?*+(){}\x80-\U0010ffff]"
_ESCAPED = r"\\[dDwWsS.^$|?*+(){}\[\]\\/-]"
_MEMBER = r"(?:[^\[\]\\&~|\x80-\U0010ffff]|\\[dwsDWS.\\\]\[^-])"
_PLAIN = re.compile(rf"\^?(?:(?:{_LETTER}|{_ESCAPED}|\.|\[\^?{_MEMBER}+\])[*+?]?)*\$?")
_REPEATS = re.compile(r"(?<!\\)[*+?]")
_LONGEST = (200, 200, 64)
"""How many characters a text may have, and a pattern, by how many repeats the pattern has: what is
tried grows with the text's length to the power of one more than that."""


def plain_expression(pattern: str, text: str) -> re.Pattern[str] | None:
    """Return a pattern to be tried on a text; None if it is not plain, or either is too long."""
    repeats = len(_REPEATS.findall(pattern))
    if repeats >= len(_LONGEST) or max(len(pattern), len(text)) > _LONGEST[repeats]:
        return None
    if not text.isascii() or not _PLAIN.fullmatch(pattern):
        return None
    if pattern.endswith("$") and not pattern.endswith(r"\$"):
        pattern = pattern[:-1] + r"\Z"  # Go's $ is the end, Python's also stands before a last \n
    try:
        return re.compile(pattern, re.ASCII)
    except (re.error, OverflowError):
        return None
