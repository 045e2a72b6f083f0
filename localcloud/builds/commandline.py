"""Command lines, split as /bin/sh does: plain words, quotes, variables, `&&`, `||`, `;`.

Source: POSIX, Shell Command Language. What would run something else first, or sends text
elsewhere (`$(...)`, `|`, `>`), is not done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from localcloud.builds.job import BuildError

type Joiner = Literal["&&", "||", ";"]

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+=?])([^}]*))?\}|([A-Za-z_]\w*))")
_RESERVED = frozenset(
    {
        *("if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case"),
        *("esac", "{", "}", "!", "function", "[[", "select"),
    }
)
_NOT_DONE = {
    "|": "a pipe (|)",
    "&": "a command in the background (&)",
    "<": "a redirection (<)",
    ">": "a redirection (>)",
    "(": "a subshell ( )",
    ")": "a subshell ( )",
    "`": "a command inside of a command (`)",
}


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple command.

    Attributes:
        words: Its words; the first is what is run.
        variables: What is set for it alone, in front of it.
        joiner: What joins it to the one before: `&&`, `||` or `;`.
    """

    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    joiner: Joiner = ";"


def split(text: str, variables: Mapping[str, str]) -> list[Simple]:
    """Return the simple commands of a command line.

    Args:
        text: The command line.
        variables: The shell's variables; every other one is empty.

    Raises:
        BuildError: It is wrong, or has what is not done here.
    """
    splitter = _Splitter(text, variables)
    splitter.run()
    return splitter.found


class _Splitter:
    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._variables = dict(variables)
        self._at = 0
        self._word: list[str] | None = None
        self._plain: int | None = None  # how much of the word comes before its first quote
        self._words: list[tuple[str, int]] = []
        self._joiner: Joiner = ";"
        self.found: list[Simple] = []

    def run(self) -> None:
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in " \t\r":
                self._end_word()
                self._at += 1
            elif character == "#" and self._word is None:
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif character in "\n;" or self._text.startswith(("&&", "||"), self._at):
                self._end_command()
            elif character in _NOT_DONE:
                raise BuildError(f"the local cloud does not do {_NOT_DONE[character]} in a command")
            else:
                self._take(character)
        self._end_command()
        if self._joiner != ";":
            raise BuildError("Syntax error: end of file unexpected")

    def _take(self, character: str) -> None:
        """Add what begins here to the word, or take it as quotes."""
        if character == "'":
            end = self._text.find("'", self._at + 1)
            if end < 0:
                raise BuildError("Unterminated quoted string")
            self._add(self._text[self._at + 1 : end], quoted=True)
            self._at = end + 1
        elif character == '"':
            self._double()
        elif character == "\\":
            following = self._text[self._at + 1 : self._at + 2]
            if following != "\n":
                self._add(following or "\\", quoted=True)
            self._at += 2
        elif character == "$":
            self._spread(self._expanded())
        else:
            self._add(character)
            self._at += 1

    def _double(self) -> None:
        self._at += 1
        self._add("", quoted=True)
        while self._at < len(self._text) and self._text[self._at] != '"':
            character = self._text[self._at]
            following = self._text[self._at + 1 : self._at + 2]
            if character == "\\" and following and following in '$`"\\\n':
                self._add("" if following == "\n" else following)
                self._at += 2
            elif character == "$":
                self._add(self._expanded())
            elif character == "`":
                raise BuildError(f"the local cloud does not do {_NOT_DONE['`']} in a command")
            else:
                self._add(character)
                self._at += 1
        if self._at >= len(self._text):
            raise BuildError("Unterminated quoted string")
        self._at += 1

    def _expanded(self) -> str:
        """Return what the variable that begins here is, and go on after it."""
        match = _VARIABLE.match(self._text, self._at)
        if match is None:
            following = self._text[self._at + 1 : self._at + 2]
            if following and (following in "({@*#?$!-" or following.isdigit()):
                raise BuildError(f"the local cloud does not do ${following} in a command")
            self._at += 1
            return "$"
        self._at = match.end()
        name, how, other = match[1] or match[4], match[2] or "", match[3] or ""
        value = self._variables.get(name)
        given = bool(value) if how.startswith(":") else value is not None
        if how[-1:] in ("=", "?") or ("$" in other and not how.endswith("+") and not given):
            raise BuildError(f"the local cloud does not do {match[0]} in a command")
        if how.endswith("-"):
            return value or "" if given else other
        if how.endswith("+"):
            return other if given else ""
        return value or ""

    def _spread(self, value: str) -> None:
        """Add the value of a variable without quotes, which white space splits."""
        first, *others = re.split(r"[ \t\n]+", value)
        if first:
            self._add(first)
        for part in others:
            self._end_word()
            if part:
                self._add(part)

    def _add(self, text: str, *, quoted: bool = False) -> None:
        if quoted and self._plain is None:
            self._plain = len("".join(self._word or []))
        self._word = [*(self._word or []), text]

    def _end_word(self) -> None:
        if self._word is not None:
            word = "".join(self._word)
            self._words.append((word, len(word) if self._plain is None else self._plain))
        self._word, self._plain = None, None

    def _end_command(self) -> None:
        self._end_word()
        joiner: Joiner = ";"
        if self._text.startswith(("&&", "||"), self._at):
            joiner = "&&" if self._text[self._at] == "&" else "||"
            self._at += 1
        self._at += 1
        words, variables = list(self._words), {}
        self._words = []
        while words and _ASSIGNMENT.match(words[0][0][: words[0][1]]):
            name, _, value = words.pop(0)[0].partition("=")
            variables[name] = value
        if words:
            if words[0][0] in _RESERVED and words[0][1]:
                raise BuildError(f"the local cloud does not do `{words[0][0]}` in a command")
            texts = tuple(text for text, _ in words)
            self.found.append(Simple(texts, variables, self._joiner))
        elif variables:
            self._variables |= variables
        elif joiner != ";":
            raise BuildError(f'Syntax error: "{joiner}" unexpected')
        else:
            return  # an empty line, which keeps what joined
        self._joiner = joiner
