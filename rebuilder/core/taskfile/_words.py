"""A command line, taken apart as the agent's shell does it.

The agent hands the text of a step to `/bin/sh -c` (builder/docker_run_args.go), so quotes and
variables are the shell's. Variables are the agent's own and are not known here.
"""

from __future__ import annotations

import re

from rebuilder.core.taskfile._text import Unknowns
from rebuilder.errors import InvalidBuildFile

_EXPANSION = re.compile(
    r"\$(?:[A-Za-z_]\w*|[0-9@*#?!$-]|\{[^}]*\}|\((?:[^()]|\([^()]*\))*\))|`[^`]*`"
)
_ENDS = ";&|\n"
_REDIRECTS = "<>()"


def split(text: str, line: int, unknowns: Unknowns, *, windows: bool = False) -> list[str]:
    """Return the words of the first command of a text.

    Args:
        text: The text.
        line: Its line in the file, for messages.
        unknowns: Makes the stand-ins for what the shell fills in.
        windows: The shell is PowerShell, to which a backslash is a letter.

    Raises:
        InvalidBuildFile: A quote is not closed.
    """
    words: list[str] = []
    word: list[str] | None = None
    text = text.strip()
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char in " \t" or char in _ENDS:
            if word is not None:
                words.append("".join(word))
                word = None
            if char in _ENDS:
                break
            continue
        if char == "#" and word is None:
            break
        if char == "\\" and not windows and text[position : position + 1] == "\n":
            # A line that goes on is one line.
            position += 1
            continue
        if word is None:
            word = []
        if char == "'":
            end = text.find("'", position)
            if end < 0:
                raise InvalidBuildFile(line, "a quote of the command is not closed")
            word.append(text[position:end])
            position = end + 1
        elif char == '"':
            inside, position = _double(text, position, line, unknowns, windows=windows)
            word.append(inside)
        elif char == "\\" and not windows:
            word.append(text[position : position + 1])
            position += 1
        elif char in "$`":
            found, position = _expansion(text, position - 1, unknowns)
            word.append(found)
        elif char in _REDIRECTS:
            word.append(unknowns.word(char, "what the shell does with the command is not followed"))
            break
        else:
            word.append(char)
    if word is not None:
        words.append("".join(word))
    return words


def _double(
    text: str, position: int, line: int, unknowns: Unknowns, *, windows: bool
) -> tuple[str, int]:
    """Return what is inside of double quotes, and where they end."""
    inside: list[str] = []
    while position < len(text):
        char = text[position]
        if char == '"':
            return "".join(inside), position + 1
        if char == "\\" and not windows and text[position + 1 : position + 2] in tuple('$`"\\\n'):
            inside.append(text[position + 1].replace("\n", ""))
            position += 2
        elif char in "$`":
            found, position = _expansion(text, position, unknowns)
            inside.append(found)
        else:
            inside.append(char)
            position += 1
    raise InvalidBuildFile(line, "a quote of the command is not closed")


def _expansion(text: str, position: int, unknowns: Unknowns) -> tuple[str, int]:
    """Return the stand-in for what the shell fills in at a place, and where that ends."""
    found = _EXPANSION.match(text, position)
    if found is None:
        if text[position] == "$" and text[position + 1 : position + 2] not in tuple("({"):
            return "$", position + 1
        word = unknowns.word(text[position:], "what the shell does with it is not followed")
        return word, len(text)
    reason = f"the agent's shell fills in {found[0]}; an alias needs version v1.1.0"
    return unknowns.word(found[0], reason, may_be_empty=True), found.end()
