"""One walk over a word, as BuildKit's shell lexer takes it.

Source of the rules: BuildKit, `shell/lex.go`.
"""

from __future__ import annotations

import re

from rebuilder.core.dockerfile._shell.expansion import Expansion
from rebuilder.core.dockerfile._shell.patterns import MARK, Pattern, turned_round
from rebuilder.core.dockerfile._shell.variables import UNKNOWN, Variables, WordError
from rebuilder.core.dockerfile._text import DEPTH_LIMIT, SPACE, quoted

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPECIAL_NAMES = frozenset("@*#?-$!0")


class Scan:
    """One walk over a word."""

    __slots__ = (
        "_at",
        "_depth",
        "_escape",
        "_expansion",
        "_heredocs",
        "_keep_unset",
        "_quotes",
        "_raw_escapes",
        "_raw_quotes",
        "_text",
        "_variables",
        "_words",
    )  # fmt: skip

    def __init__(
        self,
        text: str,
        escape: str,
        variables: Variables,
        expansion: Expansion,
        *,
        raw: bool = False,
        keep_unset: bool = False,
        quotes: bool = True,
    ) -> None:
        self._text = text.removeprefix(MARK)
        self._at = 0
        self._depth = 0
        self._escape = escape
        self._variables = variables
        self._expansion = expansion
        self._raw_quotes = raw
        self._raw_escapes = raw
        self._keep_unset = raw or keep_unset
        self._quotes = quotes
        # Elsewhere a `<` is a character like any other: words with blanks are not looked at.
        self._heredocs = raw and expansion.frontend.spaced_heredocs
        self._words = _Words()

    @property
    def words(self) -> list[str]:
        """The words, once all of it has been walked over."""
        return self._words.all()

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
        words = self._words if stop is None else None
        if words is None and self._expansion.frontend.forgetful_words:
            # BuildKit's lexer has but one buffer for the word that it is in.
            self._words.forget()
        while (character := self._peek()) and character != stop:
            piece, splits = self._piece(character, stop, raw_escapes=raw_escapes)
            if words is not None:
                words.add(piece) if splits else words.add_raw(piece)
            result.append(piece)
        if stop is not None:
            if not character:
                raise WordError(f"unexpected end of statement while looking for matching {stop}")
            self._at += 1
        self._raw_escapes = outer
        self._depth -= 1
        return "".join(result)

    def _piece(self, character: str, stop: str | None, *, raw_escapes: bool) -> tuple[str, bool]:
        """What begins with a character, and whether white space in it ends a word."""
        if character == "$":
            return self._dollar(), True
        if self._quotes and character in "'\"":
            return (self._single_quotes() if character == "'" else self._double_quotes()), False
        if character == self._escape:
            self._at += 1
            return (character if raw_escapes else "") + self._next(), False
        if self._heredocs and character == "<":
            return self._less_than(), False
        return self._plain(stop), True

    def _less_than(self) -> str:
        match = _LESS_THAN.match(self._text, self._at)
        assert match is not None  # noqa: S101 - it stands at a `<`
        self._at = match.end()
        return match[0]

    def _plain(self, stop: str | None) -> str:
        start = self._at
        special = "$" + self._escape + (stop or "") + ("'\"" if self._quotes else "")
        special += "<" if self._heredocs else ""
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
        variable = self._expansion.variable(name, self._variables)
        if variable is None and self._keep_unset:
            return f"${{{name}{spelled}{word}}}"
        value = variable.value if variable is not None else ""
        if trims:
            return self._trimmed(name, value, modifier, word)
        if variable is UNKNOWN:
            return word
        absent = variable is None or (empty_is_unset and not value)
        if modifier == "-":
            return word if absent else value
        if modifier == "+":
            return "" if absent else word
        if absent:
            self._expansion.lacking.append(name)
            rule = "unset" if variable is None else "empty"
            raise WordError(f"{name}: {word or f'is not allowed to be {rule}'}")
        return value

    def _trimmed(self, name: str, value: str, modifier: str, word: str) -> str:
        if not value:
            self._expansion.lacking.append(name)
        longest = word.startswith(modifier)
        text = word[1:] if longest else word
        if not self._expansion.compare(value, word):
            return ""
        # The shortest suffix is found from behind.
        behind = modifier == "%"
        if behind:
            text, value = turned_round(text), value[::-1]
        try:
            rest = Pattern(text).without_prefix(value, longest=longest)
        except ValueError as error:
            raise _invalid(text, error) from None
        return rest[::-1] if behind else rest

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        self._at += 1 if every else 0
        text = self._inner("/", "/' in ${}", raw_escapes=True)
        replacement = self._inner("}", "}'", raw_escapes=True)
        variable = self._expansion.variable(name, self._variables)
        if variable is None and self._keep_unset:
            return f"${{{name}/{text}/{replacement}}}"
        value = variable.value if variable is not None else ""
        if not value:
            self._expansion.lacking.append(name)
        if not self._expansion.compare(value, text + replacement):
            return ""
        try:
            return Pattern(text).replaced(value, replacement, every=every)
        except ValueError as error:
            raise _invalid(text, error) from None

    def _inner(self, stop: str, missing: str, *, raw_escapes: bool) -> str:
        try:
            return self._until(stop, raw_escapes)
        except WordError:
            if self._peek():
                raise
            raise WordError(f"syntax error: missing '{missing}") from None

    def _plain_value(self, name: str, spelled: str) -> str:
        variable = self._expansion.variable(name, self._variables)
        if variable is None and self._keep_unset:
            return spelled
        if variable is None or not variable.value:
            self._expansion.lacking.append(name)
            return ""
        return variable.value

    def _name(self) -> str:
        start = self._at
        plain = NAME.match(self._text, start)
        if plain is not None:
            self._at = plain.end()
            if self._peek().isascii():
                return plain[0]
        first = self._text[start : start + 1]
        if first.isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif first in _SPECIAL_NAMES:
            self._at += 1
        else:
            while (c := self._peek()) and (c.isalpha() or c.isdecimal() or c == "_"):
                self._at += 1
        return self._text[start : self._at]


def _invalid(pattern: str, error: ValueError) -> WordError:
    return WordError(f"invalid pattern ({pattern}) in substitution: {error}")


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

    def forget(self) -> None:
        """Forget the word that has begun."""
        self._buffer.clear()

    def _flush(self) -> None:
        word = "".join(self._buffer)
        if word:
            self._words.append(word)
        self._buffer.clear()

    def all(self) -> list[str]:
        self._flush()
        return self._words


_SPACES = re.compile(f"[{SPACE}]+")
_LESS_THAN = re.compile("<<[\t\r ]*|<")
