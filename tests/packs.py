"""Git packs made by hand, and a host that serves them by git's oldest protocol.

Source of the forms: git-scm.com, gitformat-pack and gitprotocol-pack.
"""

from __future__ import annotations

import hashlib
import struct
import zlib

COMMIT, TREE, BLOB, TAG, OFFSET_DELTA, REFERENCE_DELTA = 1, 2, 3, 4, 6, 7
_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
PERSON = b"A <a@example.com> 1700000000 +0000"
FIRST = 12
"""Where a pack's first object stands."""


def name_of(kind: int, content: bytes) -> bytes:
    """Return an object's name, as twenty bytes."""
    head = b"%s %d\0" % (_NAMES[kind], len(content))
    return hashlib.sha1(head + content, usedforsecurity=False).digest()


def raw_object(kind: int, size: int, data: bytes) -> bytes:
    """Return an object that says its kind and size, with what follows that."""
    head = bytearray([kind << 4 | size & 15])
    size >>= 4
    while size:
        head[-1] |= 0x80
        head.append(size & 0x7F)
        size >>= 7
    return bytes(head) + data


def whole(kind: int, content: bytes) -> bytes:
    """Return an object that is whole."""
    return raw_object(kind, len(content), zlib.compress(content))


def number(value: int) -> bytes:
    """Return a size as a delta writes it."""
    made = bytearray([value & 0x7F])
    while value := value >> 7:
        made[-1] |= 0x80
        made.append(value & 0x7F)
    return bytes(made)


def back(distance: int) -> bytes:
    """Return how far before a delta its base stands."""
    made = [distance & 0x7F]
    while distance := distance >> 7:
        distance -= 1
        made.insert(0, distance & 0x7F | 0x80)
    return bytes(made)


def delta(base: bytes | int, before: int, after: int, commands: bytes) -> bytes:
    """Return a delta on an object that stands so far before it, or has a name."""
    data = number(before) + number(after) + commands
    if isinstance(base, bytes):
        return raw_object(REFERENCE_DELTA, len(data), base + zlib.compress(data))
    return raw_object(OFFSET_DELTA, len(data), back(base) + zlib.compress(data))


def copied(start: int, length: int) -> bytes:
    """Return the command of a delta that copies from its base."""
    return b"\xff" + start.to_bytes(4, "little") + length.to_bytes(3, "little")


def pack(*objects: bytes, count: int | None = None, version: int = 2) -> bytes:
    """Return a pack without its sum."""
    amount = len(objects) if count is None else count
    return struct.pack(">4sII", b"PACK", version, amount) + b"".join(objects)


def summed(data: bytes) -> bytes:
    """Return a pack with its sum."""
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


def entry(mode: bytes, name: bytes, target: bytes) -> bytes:
    """Return an entry of a tree."""
    return mode + b" " + name + b"\0" + target


def commit_of(tree: bytes) -> bytes:
    """Return the content of a commit of a tree, by its name."""
    lines = [b"tree " + tree.hex().encode(), b"author " + PERSON, b"committer " + PERSON]
    return b"\n".join([*lines, b"", b"a change"])


def packet(content: bytes) -> bytes:
    """Return a line of the protocol."""
    return b"%04x" % (len(content) + 4) + content


def advertisement(commit: bytes) -> bytes:
    """Return what a host without filters says first."""
    first = packet(commit.hex().encode() + b" HEAD\0ofs-delta shallow no-progress\n")
    return packet(b"# service=git-upload-pack\n") + b"0000" + first + b"0000"


def upload(commit: bytes, data: bytes) -> bytes:
    """Return a pack as that host sends it."""
    shallow = packet(b"shallow " + commit.hex().encode() + b"\n")
    return shallow + b"0000" + packet(b"NAK\n") + data
