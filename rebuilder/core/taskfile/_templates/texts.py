"""The functions of templates that make texts."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from rebuilder.core.taskfile._templates.arguments import (
    NotUnderstood,
    Refused,
    as_ascii,
    as_number,
    as_text,
    shown,
)
from rebuilder.core.taskfile._templates.expressions import plain_expression
from rebuilder.core.taskfile._text import LIMIT

_NO_QUOTES_NEEDED = re.compile(r"[ -!#-\[\]-~]*")


def quoted(*given: object) -> str:
    texts = [shown(found) for found in given if found is not None]
    if not all(map(_NO_QUOTES_NEEDED.fullmatch, texts)):
        raise NotUnderstood
    return " ".join(f'"{text}"' for text in texts)


def printf(form: object, *given: object) -> str:
    texts = iter(given)

    def filled(match: re.Match[str]) -> str:
        verb = match[0]
        if verb == "%%":
            return "%"
        try:
            found = next(texts)
        except StopIteration:
            raise NotUnderstood from None
        if verb == "%v" or (verb == "%s" and isinstance(found, str)):
            return shown(found)
        if verb == "%d":
            return str(as_number(found))
        if verb == "%q" and isinstance(found, str):
            return quoted(found)
        raise NotUnderstood

    text = re.sub(r"%.?", filled, as_text(form))
    if next(texts, texts) is not texts:
        raise NotUnderstood
    return text


def printed_together(*given: object) -> str:
    parts: list[str] = []
    before: object = ""
    for found in given:
        # fmt.Print puts a space between two of which neither is a text.
        if parts and not isinstance(found, str) and not isinstance(before, str):
            parts.append(" ")
        parts.append(shown(found) if found is not None else "<nil>")
        before = found
    return "".join(parts)


def replace(old: object, new: object, found: object) -> str:
    text, before, after = as_text(found), as_text(old), as_text(new)
    if not before or len(text) * max(1, len(after)) > LIMIT:
        raise NotUnderstood
    return text.replace(before, after)


def repeat(count: object, found: object) -> str:
    number, text = as_number(count), as_text(found)
    if number < 0 or number * len(text) > LIMIT:
        raise Refused("it makes too much text")
    return text * number


def trunc(count: object, found: object) -> str:
    number, text = as_number(count), as_ascii(found)
    if number < 0:
        raise NotUnderstood
    return text[:number]


def substring(start: object, end: object, found: object) -> str:
    first, last, text = as_number(start), as_number(end), as_ascii(found)
    if first < 0:
        return text[: max(0, last)]
    if last < 0 or last > len(text):
        return text[first:]
    if first > last:
        raise NotUnderstood
    return text[first:last]


def trim_all(cut: object, found: object) -> str:
    return as_text(found).strip(as_text(cut)) if as_text(cut) else as_text(found)


def indent(count: object, found: object) -> str:
    pad = repeat(count, " ")
    text = as_text(found)
    if (text.count("\n") + 1) * len(pad) > LIMIT:
        raise Refused("it makes too much text")
    return pad + text.replace("\n", f"\n{pad}")


def joined(separator: object, found: object) -> str:
    items = found if isinstance(found, list) else [found]
    return as_text(separator).join(shown(item) for item in items if item is not None)


def split_list(separator: object, found: object) -> list[object]:
    text, between = as_text(found), as_text(separator)
    return [*(text.split(between) if between else text)]


def split(separator: object, found: object, limit: int = -1) -> dict[str, object]:
    between = as_text(separator)
    if not between:
        raise NotUnderstood
    parts = as_text(found).split(between, limit)
    return {f"_{number}": part for number, part in enumerate(parts)}


def splitn(separator: object, count: object, found: object) -> dict[str, object]:
    number = as_number(count)
    if number < 1:
        raise NotUnderstood
    return split(separator, found, number - 1)


def _expression(pattern: object, found: object) -> re.Pattern[str]:
    plain = plain_expression(as_text(pattern), as_text(found))
    if plain is None:
        raise NotUnderstood
    return plain


def matches(pattern: object, found: object) -> bool:
    return _expression(pattern, found).search(as_text(found)) is not None


def first_match(pattern: object, found: object) -> str:
    match = _expression(pattern, found).search(as_text(found))
    return match[0] if match else ""


def replace_matches(pattern: object, found: object, instead: object) -> str:
    if "$" in as_text(instead):
        raise NotUnderstood  # it names groups, of which there are none
    return replace_matches_literally(pattern, found, instead)


def replace_matches_literally(pattern: object, found: object, instead: object) -> str:
    plain, text = _expression(pattern, found), as_text(instead)
    if plain.match("") is not None:
        raise NotUnderstood  # where nothing matches, Go and Python count differently
    return plain.sub(lambda _: text, as_text(found))


def of_path(function: Callable[[str], str]) -> Callable[[object], str]:
    def of(found: object) -> str:
        text = as_text(found)
        # Go's path functions say "." of nothing; where else they differ is not followed.
        if not text or text.endswith("/") or "//" in text:
            raise NotUnderstood
        return function(text)

    return of


def of_ascii(function: Callable[[str], str]) -> Callable[[object], str]:
    def of(found: object) -> str:
        return function(as_ascii(found))

    return of


def b64enc(found: object) -> str:
    """The agent's own, which takes anything (templating/engine.go)."""
    if found is None:
        return ""
    kind = {bool: "bool", int: "int", float: "float64"}.get(type(found), "[]interface {}")
    if isinstance(found, dict):
        raise NotUnderstood
    text = found if isinstance(found, str) else f"<{kind} Value>"
    return base64.b64encode(text.encode()).decode()


def b64dec(found: object) -> str:
    try:
        return base64.b64decode(as_text(found), validate=True).decode()
    except ValueError:
        raise NotUnderstood from None


def extension(name: str) -> str:
    return name[name.rindex(".") :] if "." in name else ""
