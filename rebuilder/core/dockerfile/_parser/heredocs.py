"""The heredocs that a line opens.

Source of the rules: BuildKit, `parser/parser.go`.
"""

from __future__ import annotations

import re

from rebuilder.core.dockerfile._frontends import NEWEST, Frontend
from rebuilder.core.dockerfile._shell.lexer import split_raw, unquote_word
from rebuilder.core.dockerfile._text import SPACE

_HEREDOC = re.compile(r"(\d*)<<(-?)[\t\n\f\r ]*([^<]*)\Z", re.ASCII)
_MAYBE_HEREDOC = re.compile(rf"(?:\A|[{SPACE}])[0-9]*<<-?[^<]")


def heredocs_in(text: str, frontend: Frontend = NEWEST) -> list[tuple[str, bool, bool]]:
    """The heredocs that a line opens: what ends each, whether tabs go, whether it expands.

    Raises:
        WordError: If what ends one cannot be read.
    """
    if not _MAYBE_HEREDOC.search(text):
        return []
    found = (heredoc_word(word, frontend) for word in split_raw(text, frontend))
    return [heredoc for heredoc in found if heredoc is not None]


def heredoc_word(word: str, frontend: Frontend = NEWEST) -> tuple[str, bool, bool] | None:
    """A word as the opening of a heredoc; None if it is none.

    Raises:
        WordError: If what ends it cannot be read.
    """
    match = _HEREDOC.match(word)
    if match is None or not match[3]:
        return None
    name = unquote_word(match[3], frontend)
    if name is None:
        return None
    raw = split_raw(match[3], frontend)
    quotes = sum(w.count("'") + w.count('"') for w in raw[:1])
    return name, match[2] == "-", name.count("'") + name.count('"') == quotes
