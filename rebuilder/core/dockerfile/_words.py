"""Words: quotes, escapes and every form of `${...}` that BuildKit's shell lexer knows.

Source of the rules: BuildKit, `shell/lex.go`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rebuilder.core.dockerfile._patterns import Pattern
from rebuilder.core.dockerfile._text import (
    DEPTH_LIMIT,
    EXPANSION_LIMIT,
    PATTERN_COST,
    PATTERN_LIMIT,
    SPACE,
    quoted,
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Possessive, so that a word that is not plain is known to be none in one pass.
_PLAIN = {
    escape: re.compile(
        rf"(?:[^$'\"{re.escape(escape)}]++|\$\{{{_NAME.pattern}+\}}|\${_NAME.pattern}+)++"
    )
    for escape in ("\\", "`")
}
_REFERENCE = re.compile(rf"\$(?:\{{({_NAME.pattern})\}}|({_NAME.pattern}))")
_SPECIAL_NAMES = frozenset("@*#?-$!0")


class WordError(Exception):
    """A word that BuildKit's lexer refuses; the message tells why."""


class Variable(NamedTuple):
    """A variable that words may name.

    Attributes:
        name: Its name.
        value: Its value.
        origin: Where the value is from, in words for a person.
        uses: The variables that its value was made of.
    """

    name: str
    value: str
    origin: str
    uses: tuple[Variable, ...] = ()


@dataclass(slots=True)
class Lexer:
    """Expands the words of one file.

    Attributes:
        escape: The escape character.
        characters: How many characters the expansions of the file may still make.
        comparisons: How many comparisons its patterns may still need.
        used: The variables that the last word named and that are set.
    """

    escape: str
    characters: int = EXPANSION_LIMIT
    comparisons: int = PATTERN_LIMIT
    used: list[Variable] = field(default_factory=list)

    def expand(self, word: str, variables: Mapping[str, Variable]) -> str:
        """A word with its quotes and escapes resolved and its variables replaced.

        Raises:
            WordError: For what BuildKit refuses, and when the limits are reached.
        """
        self.used = []
        if word.isascii() and _PLAIN[self.escape].fullmatch(word):
            if "$" not in word:
                return word
            return _REFERENCE.sub(
                lambda match: self.value(match[1] or match[2], variables) or "", word
            )
        return _Scan(word, self.escape, variables, self).whole()

    def check(self, word: str, *, quotes: bool = True) -> None:
        """See whether a word can be expanded, whatever the variables are.

        Args:
            word: The word.
            quotes: Whether quotes mean anything; they do not in the text of a heredoc.

        Raises:
            WordError: For what BuildKit refuses whatever the variables are.
        """
        if "$" in word or (quotes and ("'" in word or '"' in word)):
            escape = self.escape if quotes else "\\"
            _Scan(word, escape, None, self, quotes=quotes).whole()

    def value(self, name: str, variables: Mapping[str, Variable]) -> str | None:
        """What a variable is; None if it is not set.

        Raises:
            WordError: When the limit of the file is reached.
        """
        variable = variables.get(name)
        if variable is None:
            return None
        self.used.append(variable)
        self.characters -= len(variable.value)
        if self.characters < 0:
            raise WordError(f"the file's expansions make more than {EXPANSION_LIMIT} characters")
        return variable.value

    def compare(self, value: str, pattern: str) -> None:
        """Count the work of a pattern.

        Raises:
            WordError: When the limit of the file is reached.
        """
        self.comparisons -= PATTERN_COST + len(value) * len(pattern)
        if self.comparisons < 0:
            raise WordError(f"the file's patterns need more than {PATTERN_LIMIT} comparisons")


def split_raw(line: str) -> Sequence[str]:
    """The words of a line with their quotes and escapes, for finding heredocs in it.

    Variables stay as they are. A line that the lexer refuses has no words.
    """
    scan = _Scan(line, "\\", {}, Lexer("\\"), raw=True)
    try:
        scan.whole()
    except WordError:
        return ()
    return scan.words


def unquote_word(text: str) -> str | None:
    """The one word that a text is, without quotes and escapes; None if it is not one word.

    Raises:
        WordError: If the lexer refuses it.
    """
    scan = _Scan(text, "\\", {}, Lexer("\\"), keep_unset=True)
    scan.whole()
    return scan.words[0] if len(scan.words) == 1 else None


class _Scan:
    """One walk over a word."""

    __slots__ = (
        "_at", "_depth", "_escape", "_keep_unset", "_lexer", "_quotes", "_raw_escapes",
        "_raw_quotes", "_text", "_variables", "words",
    )  # fmt: skip

    def __init__(
        self,
        text: str,
        escape: str,
        variables: Mapping[str, Variable] | None,
        lexer: Lexer,
        *,
        raw: bool = False,
        keep_unset: bool = False,
        quotes: bool = True,
    ) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._escape = escape
        # None: nothing is known of any variable.
        self._variables = variables
        self._lexer = lexer
        self._raw_quotes = raw
        self._raw_escapes = raw
        self._keep_unset = raw or keep_unset
        self._quotes = quotes
        self.words: list[str] = []

    def whole(self) -> str:
        try:
            return self._until(None, self._raw_escapes)
        except WordError as error:
            raise WordError(f"failed to process {quoted(self._text)}: {error}") from None

    def _peek(self) -> str:
        """The next character; "" at the end."""
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._text[self._at : self._at + 1]
        self._at += 1 if character else 0
        return character

    def _until(self, stop: str | None, raw_escapes: bool) -> str:  # noqa: FBT001 - as BuildKit has it
        """Walk to a character or, for None, to the end; only that collects words."""
        if self._depth > DEPTH_LIMIT:
            raise WordError(f"it is nested more than {DEPTH_LIMIT} deep")
        self._depth += 1
        outer, self._raw_escapes = self._raw_escapes, raw_escapes
        result: list[str] = []
        words = _Words() if stop is None else None
        while character := self._peek():
            if character == stop:
                self._at += 1
                break
            if character == "$":
                piece = self._dollar()
                if words is not None:
                    words.add(piece)
            elif self._quotes and character in "'\"":
                piece = self._single_quotes() if character == "'" else self._double_quotes()
                if words is not None:
                    words.add_raw(piece)
            elif character == self._escape:
                self._at += 1
                piece = self._next()
                if raw_escapes:
                    piece = character + piece
                if words is not None:
                    words.add_raw(piece)
            else:
                piece = self._plain(stop)
                if words is not None:
                    words.add(piece)
            result.append(piece)
        else:
            if stop is not None:
                raise WordError(f"unexpected end of statement while looking for matching {stop}")
        self._raw_escapes = outer
        self._depth -= 1
        if words is not None:
            self.words = words.all()
        return "".join(result)

    def _plain(self, stop: str | None) -> str:
        start = self._at
        special = "$" + self._escape + (stop or "") + ("'\"" if self._quotes else "")
        match = _plain_run(special).match(self._text, start)
        self._at = match.end() if match else start + 1
        return self._text[start : self._at]

    def _single_quotes(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            self._at = len(self._text)
            raise WordError("unexpected end of statement while looking for matching single-quote")
        inner = self._text[self._at + 1 : end]
        self._at = end + 1
        return f"'{inner}'" if self._raw_quotes else inner

    def _double_quotes(self) -> str:
        self._at += 1
        result = ['"'] if self._raw_quotes else []
        while character := self._next():
            if character == '"':
                if self._raw_quotes:
                    result.append('"')
                return "".join(result)
            if character == "$":
                self._at -= 1
                result.append(self._dollar())
                continue
            if character == self._escape:
                if self._raw_escapes:
                    result.append(character)
                following = self._peek()
                if not following:
                    break
                if following in ('"', "$", self._escape):
                    character = self._next()
            result.append(character)
        raise WordError("unexpected end of statement while looking for matching double-quote")

    def _dollar(self) -> str:
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            return self._plain_value(name, f"${name}") if name else "$"
        self._at += 1
        following = self._peek()
        if not following:
            raise WordError("syntax error: missing '}'")
        if following in "{}:":
            raise WordError("syntax error: bad substitution")
        name = self._name()
        modifier = self._next()
        if modifier == "}":
            return self._plain_value(name, f"${{{name}}}")
        if modifier == "/":
            return self._replaced(name)
        empty_is_unset = modifier == ":"
        spelled = modifier
        if empty_is_unset:
            modifier = self._next()
            spelled += modifier
        elif not modifier or modifier not in "+-?#%":
            raise WordError(f"unsupported modifier ({modifier or '\ufffd'}) in substitution")
        return self._modified(name, modifier, spelled, empty_is_unset=empty_is_unset)

    def _modified(self, name: str, modifier: str, spelled: str, *, empty_is_unset: bool) -> str:
        trims = modifier in ("#", "%")
        if trims and empty_is_unset:
            raise WordError(f"unsupported modifier ({spelled}) in substitution")
        word = self._inner("}", "}'", raw_escapes=trims)
        if not modifier or modifier not in "+-?#%":
            raise WordError(f"unsupported modifier ({spelled}) in substitution")
        value = self._lookup(name)
        if value is None and self._keep_unset:
            return f"${{{name}{spelled}{word}}}"
        if self._variables is None:
            return word
        absent = value is None or (empty_is_unset and not value)
        if modifier == "-":
            return word if absent else value or ""
        if modifier == "+":
            return "" if absent else word
        if modifier == "?":
            if absent:
                rule = "unset" if value is None else "empty"
                raise WordError(f"{name}: {word or f'is not allowed to be {rule}'}")
            return value or ""
        longest = word.startswith(modifier)
        self._lexer.compare(value or "", word)
        pattern = self._pattern(word[1:] if longest else word)
        if modifier == "%":
            return pattern.without_suffix(value or "", longest=longest)
        return pattern.without_prefix(value or "", longest=longest)

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        self._at += 1 if every else 0
        text = self._inner("/", "/' in ${}", raw_escapes=True)
        replacement = self._inner("}", "}'", raw_escapes=True)
        value = self._lookup(name)
        if value is None and self._keep_unset:
            return f"${{{name}/{text}/{replacement}}}"
        if self._variables is None:
            return replacement
        self._lexer.compare(value or "", text + replacement)
        pattern = self._pattern(text)
        return pattern.replaced(value or "", replacement, every=every)

    def _inner(self, stop: str, missing: str, *, raw_escapes: bool) -> str:
        try:
            return self._until(stop, raw_escapes)
        except WordError:
            if self._peek():
                raise
            raise WordError(f"syntax error: missing '{missing}") from None

    def _pattern(self, text: str) -> Pattern:
        try:
            return Pattern(text)
        except ValueError as error:
            raise WordError(f"invalid pattern ({text}) in substitution: {error}") from None

    def _plain_value(self, name: str, spelled: str) -> str:
        value = self._lookup(name)
        if value is None:
            return spelled if self._keep_unset else ""
        return value

    def _lookup(self, name: str) -> str | None:
        return self._lexer.value(name, self._variables or {})

    def _name(self) -> str:
        start = self._at
        first = self._peek()
        if first.isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif first in _SPECIAL_NAMES:
            self._at += 1
        else:
            while (c := self._peek()) and (c.isalpha() or c.isdecimal() or c == "_"):
                self._at += 1
        return self._text[start : self._at]


_RUNS: dict[str, re.Pattern[str]] = {}


def _plain_run(special: str) -> re.Pattern[str]:
    run = _RUNS.get(special)
    if run is None:
        run = _RUNS[special] = re.compile(f"[^{re.escape(special)}]+")
    return run


class _Words:
    """Splits what is walked over at white space that is not quoted."""

    __slots__ = ("_buffer", "_words")

    def __init__(self) -> None:
        self._buffer: list[str] = []
        self._words: list[str] = []

    def add(self, text: str) -> None:
        pieces = _SPACES.split(text)
        self._buffer.append(pieces[0])
        for piece in pieces[1:]:
            self._flush()
            self._buffer.append(piece)

    def add_raw(self, text: str) -> None:
        self._buffer.append(text)

    def _flush(self) -> None:
        word = "".join(self._buffer)
        if word:
            self._words.append(word)
        self._buffer.clear()

    def all(self) -> list[str]:
        self._flush()
        return self._words


_SPACES = re.compile(f"[{SPACE}]+")
