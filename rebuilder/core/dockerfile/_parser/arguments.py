"""The arguments of an instruction, by its keyword.

Source of the rules: BuildKit, `parser/line_parsers.go`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from rebuilder.core.dockerfile._text import BLANKS, quoted

_ARRAY_NEEDS_STRINGS = "when using JSON array syntax, arrays must be comprised of strings only"
type _Parsed = tuple[tuple[str, ...], bool]


def ignored(_rest: str, _escape: str) -> _Parsed:
    return (), False


def _string(rest: str, _escape: str) -> _Parsed:
    return ((rest,) if rest else ()), False


def _blank_separated(rest: str, _escape: str) -> _Parsed:
    return (tuple(BLANKS.split(rest)) if rest else ()), False


def _maybe_json(rest: str, _escape: str) -> _Parsed:
    if rest[:1] == "[":
        array = _array(rest)
        if array is not None:
            return array, True
    return ((rest,) if rest else ()), False


def _maybe_json_to_list(rest: str, escape: str) -> _Parsed:
    if rest[:1] == "[":
        array = _array(rest)
        if array is not None:
            return array, True
    return _blank_separated(rest, escape)


def _array(rest: str) -> tuple[str, ...] | None:
    try:
        values = _JSON.decode(rest)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        raise ValueError(_ARRAY_NEEDS_STRINGS)
    return tuple(values)


def _no_constant(text: str) -> None:
    raise ValueError(text)


_JSON = json.JSONDecoder(parse_constant=_no_constant)


def _health(rest: str, escape: str) -> _Parsed:
    if not rest:
        return (), False
    kind, *more = rest.split(None, 1)
    args, is_json = _maybe_json(more[0] if more else "", escape)
    return (kind, *args), is_json


def _words(rest: str, escape: str) -> _Parsed:
    return tuple(split_words(rest, escape)), False


TWO_ARGUMENTS = "must have two arguments"


def _pairs(rest: str, escape: str) -> _Parsed:
    words = split_words(rest, escape)
    if not words:
        return (), False
    if "=" not in words[0]:
        parts = BLANKS.split(rest, 1)
        if len(parts) == 1:
            raise ValueError(TWO_ARGUMENTS)
        return tuple(parts), False
    pairs: list[str] = []
    for word in words:
        if "=" not in word:
            raise ValueError(
                f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value"
            )
        pairs += word.split("=", 1)
    return tuple(pairs), False


def split_words(rest: str, escape: str) -> list[str]:
    """Split at white space that is neither quoted nor escaped; quotes and escapes stay."""
    if "'" not in rest and '"' not in rest and escape not in rest:
        return rest.split()
    words: list[str] = []
    word: list[str] = []
    quote = ""
    at, end = 0, len(rest)
    while at < end:
        character = rest[at]
        at += 1
        if not quote and character.isspace():
            if word:
                words.append("".join(word))
                word = []
            continue
        if character == escape and quote != "'":
            if at == end:
                # An escape at the end counts for nothing.
                quote = ""
                continue
            word += (character, rest[at])
            at += 1
            continue
        if not quote and character in "'\"":
            quote = character
        elif character == quote:
            quote = ""
        word.append(character)
    if word:
        words.append("".join(word))
    return words


_BY_KEYWORD: dict[str, Callable[[str, str], _Parsed]] = {
    "add": _maybe_json_to_list,
    "arg": _words,
    "cmd": _maybe_json,
    "copy": _maybe_json_to_list,
    "entrypoint": _maybe_json,
    "env": _pairs,
    "expose": _blank_separated,
    "from": _blank_separated,
    "healthcheck": _health,
    "label": _pairs,
    "maintainer": _string,
    "onbuild": ignored,
    "run": _maybe_json,
    "shell": _maybe_json,
    "stopsignal": _string,
    "user": _string,
    "volume": _maybe_json_to_list,
    "workdir": _string,
}

PARSERS = _BY_KEYWORD | {name.upper(): parse for name, parse in _BY_KEYWORD.items()}
