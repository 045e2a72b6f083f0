"""What functions of templates take: values of Go's kinds, and how Go prints them."""

from __future__ import annotations

import re

from rebuilder.core.taskfile import _yaml


class Refused(Exception):
    """Go fails the template."""


class NotUnderstood(Exception):
    """The arguments are of a kind that is not followed."""


def is_empty(found: object) -> bool:
    """Tell whether a value counts as nothing: no, zero, no text, no items."""
    return isinstance(found, str | int | float | bool | list | dict | None) and not found


def printed(found: object) -> str | None:
    """Return a value as Go prints it; None if that is not worked out."""
    if found is None:
        return ""
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, float):
        return _yaml.go_float(found)
    if isinstance(found, str | int):
        return str(found)
    if isinstance(found, list):
        texts = ["<nil>" if item is None else printed(item) for item in found]
        if all(text is not None for text in texts):
            return f"[{' '.join(map(str, texts))}]"
    return None


def as_text(found: object) -> str:
    if not isinstance(found, str):
        raise TypeError
    return found


def shown(found: object) -> str:
    # Only where it is the whole of an action's output, nothing is left out.
    text = "<nil>" if found is None else printed(found)
    if text is None:
        raise NotUnderstood
    return text


def as_number(found: object) -> int:
    if isinstance(found, bool) or not isinstance(found, int):
        raise TypeError
    return found


def to_int(found: object) -> int:
    if isinstance(found, bool):
        return int(found)
    if isinstance(found, int):
        return found
    if isinstance(found, str):
        return int(found) if re.fullmatch(r"[-+]?[0-9]{1,18}", found) else 0
    raise NotUnderstood


def as_items(found: object) -> list[object]:
    if not isinstance(found, list):
        raise TypeError
    return found


def as_ascii(found: object) -> str:
    # Go counts bytes.
    text = as_text(found)
    if not text.isascii():
        raise NotUnderstood
    return text


def as_fields(found: object) -> dict[str, object]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise TypeError
    return found


def compared_by(found: object) -> tuple[type, object]:
    """Return what two values are compared by: to Go, 1 is not true."""
    if isinstance(found, list | dict):
        raise NotUnderstood
    return type(found), found
