"""Patterns of names: `*` for any characters, `?` for one, and nothing else.

Regular expressions can be made to run for ever, so operators are given none.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from functools import lru_cache

type Matches = Callable[[str], object]

_WILD = re.compile(r"[*?]+")


@lru_cache(maxsize=1024)
def glob(pattern: str) -> Matches:
    """Return what tells whether a text fits a pattern as a whole."""
    # In such a pattern brackets are letters like any other.
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]"))).match


class Patterns[Of]:
    """Many patterns, each of something, that a name is compared with at once.

    A thousand of them take a part of a millisecond: most are told by what they begin with, end
    with or contain, and only few by a regular expression.

    Args:
        given: The patterns, each with what it is of.
    """

    def __init__(self, given: Iterable[tuple[str, Of]]) -> None:
        self._same: dict[str, list[Of]] = {}
        self._begin: list[tuple[str, Of]] = []
        self._end: list[tuple[str, Of]] = []
        self._within: list[tuple[str, Of]] = []
        self._others: list[tuple[str, Matches, Of]] = []
        for pattern, of in given:
            self._add(pattern, of)

    def _add(self, pattern: str, of: Of) -> None:
        literal = max(_WILD.split(pattern), key=len)
        if literal == pattern:
            self._same.setdefault(pattern, []).append(of)
        elif pattern == f"{literal}*":
            self._begin.append((literal, of))
        elif pattern == f"*{literal}":
            self._end.append((literal, of))
        elif pattern == f"*{literal}*":
            self._within.append((literal, of))
        else:
            self._others.append((literal, glob(pattern), of))

    def of(self, names: Iterable[str]) -> set[Of]:
        """Return what the patterns are of that one of some names fits."""
        found: set[Of] = set()
        for name in names:
            found.update(self._same.get(name, ()))
            found.update([of for literal, of in self._begin if name.startswith(literal)])
            found.update([of for literal, of in self._end if name.endswith(literal)])
            found.update([of for literal, of in self._within if literal in name])
            found.update([of for part, fits, of in self._others if part in name and fits(name)])
        return found


def fits(pattern: str, names: Iterable[str]) -> bool:
    """Tell whether one of some names fits a pattern."""
    matches = glob(pattern)
    return any(matches(name) for name in names)
