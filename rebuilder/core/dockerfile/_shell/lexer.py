"""Words: quotes, escapes and every form of `${...}` that BuildKit's shell lexer knows.

Source of the rules: BuildKit, `shell/lex.go`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct, field

from rebuilder.core.dockerfile._frontends import NEWEST, Frontend
from rebuilder.core.dockerfile._shell.patterns import MARK, Pattern, turned_round
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
# Without quotes, escapes and variables, words are what stands between white space; ASCII, so that
# Python and Go agree on it.
_SIMPLE = re.compile(r"[\t\n\v\f\r !#%&(-\[\]^_`a-~]*\Z").match
_WORDS = re.compile(f"[^{SPACE}]+")
_SPACED_WORDS = re.compile(f"(?:<<[\t\r ]*|[^{SPACE}])+")
_ASKS = re.compile(r"\$\{\w+:?\?")
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


class Lexer(Struct):
    """Expands the words of one file.

    Attributes:
        escape: The escape character.
        frontend: What reads the file.
        characters: How many characters the expansions of the file may still make.
        comparisons: How many comparisons its patterns may still need.
        used: The variables that the last word named and that are set.
        lacking: The names in the last word that are not set, or empty, and that it needs.
        unknown: Whether the last word depends on a variable of which nothing is known.
    """

    escape: str
    frontend: Frontend = NEWEST
    characters: int = EXPANSION_LIMIT
    comparisons: int = PATTERN_LIMIT
    used: list[Variable] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    unknown: bool = False
    _lenient: bool = False
    _beside: Lexer | None = None

    @property
    def beside(self) -> Lexer:
        """Another one for the same file, always the same, to try things out within its limits."""
        if self._beside is None:
            self._beside = Lexer(self.escape, self.frontend)
        return self._beside

    def expand(self, word: str, variables: Mapping[str, Variable]) -> str:
        """A word with its quotes and escapes resolved and its variables replaced.

        Raises:
            WordError: For what BuildKit refuses, and when the limits are reached.
        """
        self.used = []
        self.lacking = []
        self.unknown = False
        if word.isascii() and _PLAIN[self.escape].fullmatch(word):
            if "$" not in word:
                return word
            return _REFERENCE.sub(
                lambda match: self.replaced(match[1] or match[2], variables), word
            )
        return _Scan(word, self.escape, variables, self).whole()

    def replaced(self, name: str, variables: Mapping[str, Variable]) -> str:
        """What stands for a variable in a word that needs it."""
        variable = variables.get(name)
        if variable is not None and variable.value and len(variable.value) <= self.characters:
            # Nearly all are of this kind.
            self.used.append(variable)
            self.characters -= len(variable.value)
            return variable.value
        self.variable(name, variables)
        self.lacking.append(name)
        return ""

    def known(
        self, word: str, variables: Variables = NOTHING, *, quotes: bool = True
    ) -> str | None:
        """The same where not every variable is known: what is sure to come of a word.

        What goes beyond the limits is not known either.

        Args:
            word: The word.
            variables: What is known.
            quotes: Whether quotes mean anything; they do not in the text of a heredoc.

        Returns:
            The expanded word, or None if it depends on what is not known.

        Raises:
            WordError: For what BuildKit refuses whatever the unknown variables are.
        """
        self.used = []
        self.lacking = []
        escape = self.escape if quotes else "\\"
        if "$" not in word and escape not in word and "'" not in word and '"' not in word:
            return word
        scan = self._scan(word, escape, variables, quotes=quotes)
        return None if self.unknown else scan[0]

    def known_words(self, text: str, variables: Variables = NOTHING) -> list[str] | None:
        """The words that are sure to come of a text; None if they depend on what is not known.

        Raises:
            WordError: For what BuildKit refuses whatever the unknown variables are.
        """
        self.used = []
        self.lacking = []
        scan = self._scan(text, self.escape, variables, quotes=True)
        return None if self.unknown else scan[1]

    def _scan(
        self, word: str, escape: str, variables: Variables, *, quotes: bool
    ) -> tuple[str, list[str]]:
        self.unknown = False
        self._lenient = True
        try:
            scan = _Scan(word, escape, variables, self, quotes=quotes)
            return scan.whole(), scan.words
        finally:
            self._lenient = False

    def variable(self, name: str, variables: Variables) -> Variable | None:
        """A variable that a word names; None if it is not set.

        Raises:
            WordError: When the limit of the file is reached.
        """
        variable = variables.get(name)
        if variable is None:
            return None
        if variable is not UNKNOWN:
            self.used.append(variable)
            self.characters -= len(variable.value)
            if self.characters < 0:
                if not self._lenient:
                    limit = f"{EXPANSION_LIMIT} characters"
                    raise WordError(f"the file's expansions make more than {limit}")
                variable = UNKNOWN
        if variable is UNKNOWN:
            self.unknown = True
        return variable

    def compare(self, value: str, pattern: str) -> bool:
        """Count the work of a pattern; tell whether it may be done.

        Raises:
            WordError: When the limit of the file is reached.
        """
        self.comparisons -= PATTERN_COST + len(value) * len(pattern)
        if self.comparisons >= 0:
            return True
        if not self._lenient:
            raise WordError(f"the file's patterns need more than {PATTERN_LIMIT} comparisons")
        self.unknown = True
        return False


def asks(*words: str | None) -> bool:
    """Whether any of some words is refused if a variable has no value: `${v:?}`."""
    return any(word is not None and _ASKS.search(word) for word in words)


def split_raw(line: str, frontend: Frontend = NEWEST) -> Sequence[str]:
    """The words of a line with their quotes and escapes, for finding heredocs in it.

    Variables stay as they are. A line that the lexer refuses has no words.
    """
    if _SIMPLE(line):
        return (_SPACED_WORDS if frontend.spaced_heredocs else _WORDS).findall(line)
    scan = _Scan(line, "\\", _NO_VARIABLES, Lexer("\\", frontend), raw=True)
    try:
        scan.whole()
    except WordError:
        return ()
    return scan.words


def unquote_word(text: str, frontend: Frontend = NEWEST) -> str | None:
    """The one word that a text is, without quotes and escapes; None if it is not one word.

    Raises:
        WordError: If the lexer refuses it.
    """
    if _SIMPLE(text):
        words = _WORDS.findall(text)
        return words[0] if len(words) == 1 else None
    scan = _Scan(text, "\\", _NO_VARIABLES, Lexer("\\", frontend), keep_unset=True)
    scan.whole()
    return scan.words[0] if len(scan.words) == 1 else None


_NO_VARIABLES: Mapping[str, Variable] = {}


class _Scan:
    """One walk over a word."""

    __slots__ = (
        "_at", "_depth", "_escape", "_heredocs", "_keep_unset", "_lexer", "_quotes",
        "_raw_escapes", "_raw_quotes", "_text", "_variables", "_words",
    )  # fmt: skip

    def __init__(
        self,
        text: str,
        escape: str,
        variables: Variables,
        lexer: Lexer,
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
        self._lexer = lexer
        self._raw_quotes = raw
        self._raw_escapes = raw
        self._keep_unset = raw or keep_unset
        self._quotes = quotes
        # Elsewhere a `<` is a character like any other: words with blanks are not looked at.
        self._heredocs = raw and lexer.frontend.spaced_heredocs
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
        if words is None and self._lexer.frontend.forgetful_words:
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
        variable = self._lexer.variable(name, self._variables)
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
            self._lexer.lacking.append(name)
            rule = "unset" if variable is None else "empty"
            raise WordError(f"{name}: {word or f'is not allowed to be {rule}'}")
        return value

    def _trimmed(self, name: str, value: str, modifier: str, word: str) -> str:
        if not value:
            self._lexer.lacking.append(name)
        longest = word.startswith(modifier)
        text = word[1:] if longest else word
        if not self._lexer.compare(value, word):
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
        variable = self._lexer.variable(name, self._variables)
        if variable is None and self._keep_unset:
            return f"${{{name}/{text}/{replacement}}}"
        value = variable.value if variable is not None else ""
        if not value:
            self._lexer.lacking.append(name)
        if not self._lexer.compare(value, text + replacement):
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
        variable = self._lexer.variable(name, self._variables)
        if variable is None and self._keep_unset:
            return spelled
        if variable is None or not variable.value:
            self._lexer.lacking.append(name)
            return ""
        return variable.value

    def _name(self) -> str:
        start = self._at
        plain = _NAME.match(self._text, start)
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
