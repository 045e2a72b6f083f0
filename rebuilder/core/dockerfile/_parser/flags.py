"""The flags at the head of an instruction.

Source of the rules: BuildKit, `parser/split_command.go`.
"""

from __future__ import annotations

import re

from rebuilder.core.dockerfile._text import SPACE

# A flag without quotes, escapes and bytes that Go takes for white space; by the escape character.
_FLAGS = {
    "\\": re.compile(r"(--[!#-&(-\[\]-~]+)[\t\v\f\r ]+"),
    "`": re.compile(r"(--[!#-&(-_a-~]+)[\t\v\f\r ]+"),
}


def split_flags(rest: str, escape: str = "\\") -> tuple[tuple[str, ...], str]:
    """Take the flags from the head of an instruction's arguments, without their quotes."""
    flags: list[str] = []
    at = 0
    flag = _FLAGS[escape]
    while match := flag.match(rest, at):
        flags.append(match[1])
        at = match.end()
    if not rest.startswith("--", at):
        return tuple(flags), rest[at:].lstrip()
    return _split_odd_flags(flags, rest[at:], escape)


def _split_odd_flags(flags: list[str], rest: str, escape: str) -> tuple[tuple[str, ...], str]:
    # BuildKit walks over bytes here, each a character of its own.
    line = rest.encode().decode("latin-1")
    word: list[str] = []
    quote = ""
    was_quoted = False
    at = 0
    while at < len(line):
        character = line[at]
        at += 1
        if not quote and character in SPACE:
            if word == ["-", "-"]:
                return tuple(flags), _from_bytes(line[at:])
            if word or was_quoted:
                flags.append("".join(word))
            word, was_quoted = [], False
            while at < len(line) and line[at] in SPACE:
                at += 1
            if not line.startswith("--", at):
                return tuple(flags), _from_bytes(line[at:])
        elif not quote and character in "'\"":
            quote, was_quoted = character, True
        elif character == quote:
            quote = ""
        elif character == escape:
            if at < len(line):
                word.append(line[at])
                at += 1
            else:
                quote = ""
        else:
            word.append(character)
    if word != ["-", "-"] and (word or was_quoted):
        flags.append("".join(word))
    return tuple(flags), ""


def _from_bytes(text: str) -> str:
    return text.encode("latin-1").decode(errors="replace").strip()
