"""What people read: a title and some lines."""

from __future__ import annotations

from collections.abc import Sequence

from rebuilder.core.messages.happening import Happening
from rebuilder.core.messages.rules import What

_TITLES = {
    What.REBUILT: "rebuilt",
    What.FAILED: "failed, another attempt comes",
    What.GIVEN_UP: "given up",
    What.NEEDS_APPROVAL: "waits for approval",
    What.QUARANTINED: "held, its base is quarantined",
    What.STALE: "stands on an old base",
    What.DEAD_LETTER: "a dead letter",
}


def title(happening: Happening) -> str:
    """Return what happened in a few words."""
    about = f"{happening.task} " if happening.task else ""
    return f"ACR Rebuilder: {about}{_TITLES[happening.what]}"


def text(happening: Happening) -> str:
    """Return what happened."""
    lines = [happening.sentence]
    lines += [
        f"{image.name}: {image.before or '?'} -> {image.digest}" for image in happening.images
    ]
    return "\n".join(lines)


def line(happening: Happening) -> str:
    """Return what happened in a line of a digest."""
    return f"{_TITLES[happening.what]}: {happening.sentence}"


def digest_title(count: int) -> str:
    """Return the title of what is told together."""
    return f"ACR Rebuilder: {count} message{'' if count == 1 else 's'}"


def digest_text(lines: Sequence[str], more: int) -> str:
    """Return what is told together.

    Args:
        lines: A line for each.
        more: How many more there were.
    """
    rest = [f"... and {more} more: see `rebuilder runs` and `rebuilder stale`"] if more else []
    return "\n".join([*lines, *rest])
