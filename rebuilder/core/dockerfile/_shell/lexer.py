"""Words: quotes, escapes and every form of `${...}` that BuildKit's shell lexer knows.

Source of the rules: BuildKit, `shell/lex.go`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rebuilder.core.dockerfile._frontends import NEWEST, Frontend
from rebuilder.core.dockerfile._shell.expansion import Expansion
from rebuilder.core.dockerfile._shell.scan import NAME, Scan
from rebuilder.core.dockerfile._shell.variables import NOTHING, Variable, Variables, WordError
from rebuilder.core.dockerfile._text import SPACE

# Possessive, so that a word that is not plain is known to be none in one pass.
_PLAIN = {
    escape: re.compile(
        rf"(?:[^$'\"{re.escape(escape)}]++|\$\{{{NAME.pattern}+\}}|\${NAME.pattern}+)++"
    )
    for escape in ("\\", "`")
}
_REFERENCE = re.compile(rf"\$(?:\{{({NAME.pattern})\}}|({NAME.pattern}))")
# Without quotes, escapes and variables, words are what stands between white space; ASCII, so that
# Python and Go agree on it.
_SIMPLE = re.compile(r"[\t\n\v\f\r !#%&(-\[\]^_`a-~]*\Z").match
_WORDS = re.compile(f"[^{SPACE}]+")
_SPACED_WORDS = re.compile(f"(?:<<[\t\r ]*|[^{SPACE}])+")
_ASKS = re.compile(r"\$\{\w+:?\?")


class Lexer(Expansion):
    """Expands the words of one file."""

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
        return Scan(word, self.escape, variables, self).whole()

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
        self.lenient = True
        try:
            scan = Scan(word, escape, variables, self, quotes=quotes)
            return scan.whole(), scan.words
        finally:
            self.lenient = False


def asks(*words: str | None) -> bool:
    """Whether any of some words is refused if a variable has no value: `${v:?}`."""
    return any(word is not None and _ASKS.search(word) for word in words)


def split_raw(line: str, frontend: Frontend = NEWEST) -> Sequence[str]:
    """The words of a line with their quotes and escapes, for finding heredocs in it.

    Variables stay as they are. A line that the lexer refuses has no words.
    """
    if _SIMPLE(line):
        return (_SPACED_WORDS if frontend.spaced_heredocs else _WORDS).findall(line)
    scan = Scan(line, "\\", _NO_VARIABLES, Lexer("\\", frontend), raw=True)
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
    scan = Scan(text, "\\", _NO_VARIABLES, Lexer("\\", frontend), keep_unset=True)
    scan.whole()
    return scan.words[0] if len(scan.words) == 1 else None


_NO_VARIABLES: Mapping[str, Variable] = {}
