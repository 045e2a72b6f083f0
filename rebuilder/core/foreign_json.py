"""JSON that somebody else wrote, read within bounds.

The standard reader follows brackets as deep as they go, makes numbers of any length and halves of
characters that no store takes, and a few bytes become many objects. Whoever reads what came over a
wire, out of a queue or out of an image reads it here, and gets what it says or one error.

Source of the rules: RFC 8259; I-JSON (RFC 7493) refuses lone surrogates, too.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from rebuilder.errors import InvalidJson

LIMIT = 4 * 1024 * 1024
"""Bytes, unless the caller says otherwise: registries take no larger manifest."""

_DEPTH = 64
_VALUES = 200_000
_DIGITS = 40
_FRACTION = 400

# Neither can go back: whatever is inside of a string is taken once, closed or not.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]++")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(text: str | bytes, *, limit: int = LIMIT, repair: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Read a JSON text.

    Args:
        text: The text; bytes are UTF-8, with or without a byte order mark.
        limit: How long it may be, in bytes or characters.
        repair: Whether lone surrogates become question marks; else they are refused.

    Raises:
        InvalidJson: It is none, or longer, deeper or larger than is read. The message tells
            nothing of the text.
    """
    if len(text) > limit:
        raise InvalidJson(f"longer than {limit} bytes")
    try:
        written = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        _check_shape(written)
        found = _READER.decode(written)
    except UnicodeDecodeError:
        raise InvalidJson("not UTF-8") from None
    except ValueError as error:
        # Its words name a place, and nothing that stands there.
        raise InvalidJson(f"not JSON: {error}") from None
    # What was decoded from UTF-8 holds halves as escapes only.
    if _HALF.search(written) or (written is text and not written.isascii()):
        return _without_halves(found, repair=repair)
    return found


def read_object(text: str | bytes, *, limit: int = LIMIT) -> dict[str, Any]:
    """Read a JSON text that is an object; see `read_json`.

    Raises:
        InvalidJson: It is none, or something else.
    """
    found = read_json(text, limit=limit)
    if not isinstance(found, dict):
        raise InvalidJson(f"{type(found).__name__}, not an object")
    return found


def _check_shape(text: str) -> None:
    """Refuse what nests too deep or holds too many values, before anything is made of it."""
    openings = text.count("[") + text.count("{")
    if openings <= _DEPTH and openings + text.count(",") <= _VALUES:
        return
    many = InvalidJson(f"more than {_VALUES} values")
    # Taking the strings out costs memory for each of them, so they are counted first.
    if text.count('"') - text.count('\\"') > 4 * _VALUES:
        raise many
    bare = _STRING.sub("", text)
    if sum(map(bare.count, "[{,")) > _VALUES:
        raise many
    depth = 0
    for bracket in _NO_BRACKET.sub("", bare):
        depth += 1 if bracket in "[{" else -1
        if depth > _DEPTH:
            raise InvalidJson(f"nested deeper than {_DEPTH}")


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise InvalidJson(f"a number of more than {_DIGITS} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits) if len(digits) <= _FRACTION else math.inf
    if math.isinf(number):
        raise InvalidJson("a number that is too large or too long")
    return number


def _no_number(name: str) -> NoReturn:
    raise InvalidJson(f"{name}, which is no number of JSON")


_READER = json.JSONDecoder(parse_int=_whole, parse_float=_fraction, parse_constant=_no_number)


def _without_halves(found: object, *, repair: bool) -> Any:  # noqa: ANN401 - JSON
    text = json.dumps(found, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        if not repair:
            raise InvalidJson("a lone surrogate, which is half a character") from None
        return json.loads(text.encode(errors="replace"))
    return found
