"""What msgspec reads into, looked into before threads share it."""

from __future__ import annotations

import msgspec


def prepared[Kind](kind: Kind) -> Kind:
    """Return a type that is read into, once msgspec knows it; to be called where a module begins.

    msgspec looks into a type when something is first read into it, and notes what it has found
    before it has found all of it: a second thread that comes in the middle ends the process by a
    segmentation fault. A module is imported by one thread.
    """
    msgspec.json.Decoder(kind)
    return kind
