"""A look at a git pack before anybody unpacks it.

Source of the format: git-scm.com, gitformat-pack. Every object says how long it is, and a delta
how long its result is; an unpacker believes that and fills its memory.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO

from rebuilder.errors import SourceUnavailable

_HEADER = struct.Struct(">4sII")
_OFFSET_DELTA, _REFERENCE_DELTA = 6, 7
_MORE = 0x80
# Small, because what follows an object is handed back by copying it.
_CHUNK = 4 * 1024
_SIZES = 20
_PIECE = 64 * 1024


def check_pack(pack: IO[bytes], *, object_limit: int, unpacked_limit: int, entries: int) -> None:
    """Look through a pack.

    Args:
        pack: The pack; left at its end.
        object_limit: The most bytes of one object.
        unpacked_limit: The most bytes of all objects.
        entries: The most objects.

    Raises:
        SourceUnavailable: It is none, or beyond a limit.
    """
    pack.seek(0)
    reader = _Reader(pack)
    signature, version, count = _HEADER.unpack(reader.take(_HEADER.size))
    if signature != b"PACK" or version not in (2, 3):
        raise SourceUnavailable("what the git host sends is no pack")
    if count > entries:
        raise SourceUnavailable(f"the git pack has more than {entries} objects")
    total = 0
    for _ in range(count):
        kind, size = reader.kind_and_size()
        if kind == _OFFSET_DELTA:
            reader.number()
        elif kind == _REFERENCE_DELTA:
            reader.take(20)
        delta = kind in (_OFFSET_DELTA, _REFERENCE_DELTA)
        result = max(size, reader.inflate(size, delta=delta, limit=object_limit))
        total += result
        if result > object_limit or total > unpacked_limit:
            raise SourceUnavailable("the git pack unpacks to more than is read")


class _Reader:
    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._ready = b""

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        while len(self._ready) < size:
            more = self._source.read(_CHUNK)
            if not more:
                raise SourceUnavailable("the git pack breaks off")
            self._ready += more
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken

    def kind_and_size(self) -> tuple[int, int]:
        """Return an object's kind and the size that it says it has."""
        byte = self.take(1)[0]
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & _MORE:
            byte = self.take(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if shift > 7 * 8:
                raise SourceUnavailable("the git pack has an object of a size that is none")
        return kind, size

    def number(self) -> None:
        """Pass over an offset."""
        for _ in range(_SIZES):
            if not self.take(1)[0] & _MORE:
                return
        raise SourceUnavailable("the git pack has an offset that is none")

    def inflate(self, size: int, *, delta: bool, limit: int) -> int:
        """Pass over an object's data; return the size of what a delta makes."""
        if size > limit:
            return size
        decoder = zlib.decompressobj()
        found, head = 0, b""
        try:
            while not decoder.eof:
                given = decoder.unconsumed_tail or self.take(1) + self._ready
                if not decoder.unconsumed_tail:
                    self._ready = b""
                piece = decoder.decompress(given, _PIECE)
                found += len(piece)
                head = (head + piece)[:_SIZES] if len(head) < _SIZES else head
                if found > size:
                    raise SourceUnavailable("the git pack has an object longer than it says")
        except zlib.error:
            raise SourceUnavailable("the git pack cannot be unpacked") from None
        self._ready = decoder.unused_data + self._ready
        return _result(head) if delta else found


def _result(head: bytes) -> int:
    """Return the second of the two sizes that a delta begins with."""
    sizes = []
    position = 0
    for _ in range(2):
        size, shift = 0, 0
        while position < len(head):
            byte = head[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & _MORE:
                break
        sizes.append(size)
    return sizes[1]
