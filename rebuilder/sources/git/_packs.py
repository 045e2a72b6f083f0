"""A look at a git pack before anybody unpacks it.

Source of the format: git-scm.com, gitformat-pack. Every object says how long it is, and a delta
how long its result is; an unpacker believes that and fills its memory.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Callable
from typing import IO

from rebuilder.errors import SourceUnavailable

_HEADER = struct.Struct(">4sII")
_COMMIT, _TREE, _BLOB, _TAG = 1, 2, 3, 4
_OFFSET_DELTA, _REFERENCE_DELTA = 6, 7
_MORE = 0x80
# Small, because what follows an object is handed back by copying it.
_CHUNK = 4 * 1024
_SIZES = 20
_PIECE = 64 * 1024

_CHAIN = 4095  # deltas on deltas: the most that git makes
# Of a base an unpacker keeps the content until the last delta on it is made.
_KEPT = 32 * 1024 * 1024
# An entry of a tree becomes several objects of ten times its length.
_TREE_LIMIT = 4 * 1024 * 1024
_TEXT_LIMIT = 1024 * 1024


def check_pack(
    pack: IO[bytes],
    *,
    object_limit: int,
    unpacked_limit: int,
    entries: int,
    check: Callable[[], object],
) -> None:
    """Look through a pack.

    Args:
        pack: The pack; left at its end.
        object_limit: The most bytes of one object; of a commit, a tag or a tree fewer.
        unpacked_limit: The most bytes of all objects.
        entries: The most objects.
        check: Raises if the time is over.

    Raises:
        SourceUnavailable: It is none, or beyond a limit.
    """
    pack.seek(0)
    reader = _Reader(pack, check)
    signature, version, count = _HEADER.unpack(reader.take(_HEADER.size))
    if signature != b"PACK" or version not in (2, 3):
        raise SourceUnavailable("what the git host sends is no pack")
    if count > entries:
        raise SourceUnavailable(f"the git pack has more than {entries} objects")
    found = _Found(object_limit, unpacked_limit)
    for _ in range(count):
        check()
        place = reader.place
        kind, size = reader.kind_and_size()
        base: int | bytes | None = None
        if kind == _OFFSET_DELTA:
            base = place - reader.number()
        elif kind == _REFERENCE_DELTA:
            base = reader.take(20)
        elif kind not in (_COMMIT, _TREE, _BLOB, _TAG):
            raise SourceUnavailable("the git pack has an object of a kind that is none")
        limit = found.limit(kind, base)
        if size > limit:
            raise SourceUnavailable("the git pack unpacks to more than is read")
        head, inflated = reader.inflate(size)
        if base is None:
            found.add(place, kind, inflated)
        else:
            found.add_delta(place, base, inflated, _sizes(head))


class _Found:
    """The objects so far, and what unpacking them will take."""

    def __init__(self, object_limit: int, unpacked_limit: int) -> None:
        self._object_limit = object_limit
        self._unpacked_limit = unpacked_limit
        self._kinds: dict[int, int] = {}
        self._depths: dict[int, int] = {}
        self._total = 0
        self._deltas: Counter[int | bytes] = Counter()
        self._bases: dict[int | bytes, int] = {}
        self._kept = 0
        self._references = 0

    def limit(self, kind: int, base: int | bytes | None) -> int:
        """Return the most bytes of an object, by its own kind or that of what it is a delta on."""
        if base is not None:
            # What a name of an object stands for is not known before all are unpacked.
            kind = self._kinds.get(base, _TREE) if isinstance(base, int) else _TREE
        return min(
            self._object_limit,
            {_BLOB: self._object_limit, _TREE: _TREE_LIMIT}.get(kind, _TEXT_LIMIT),
        )

    def add(self, place: int, kind: int, size: int) -> None:
        """Add an object that is whole."""
        self._kinds[place] = kind
        self._count(size)

    def add_delta(self, place: int, base: int | bytes, size: int, sizes: tuple[int, int]) -> None:
        """Add a delta."""
        before, after = sizes
        if max(before, after) > self.limit(0, base):
            raise SourceUnavailable("the git pack unpacks to more than is read")
        depth = 1
        if isinstance(base, int):
            if base in self._kinds:
                self._kinds[place] = self._kinds[base]
            depth += self._depths.get(base, 0)
        else:
            self._references += 1
        self._depths[place] = depth
        if max(depth, self._references) > _CHAIN:
            raise SourceUnavailable(f"the git pack has more than {_CHAIN} deltas on deltas")
        self._keep(base, before)
        self._count(max(size, after))

    def _keep(self, base: int | bytes, size: int) -> None:
        self._deltas[base] += 1
        known = self._bases.get(base, 0)
        self._bases[base] = max(known, size)
        if self._deltas[base] > 1:
            counted = known if self._deltas[base] > 2 else 0  # noqa: PLR2004 - the second counts both
            self._kept += self._bases[base] - counted
        if self._kept > _KEPT:
            raise SourceUnavailable("the git pack takes more memory to unpack than there is for it")

    def _count(self, size: int) -> None:
        self._total += size
        if self._total > self._unpacked_limit:
            raise SourceUnavailable("the git pack unpacks to more than is read")


class _Reader:
    def __init__(self, source: IO[bytes], check: Callable[[], object]) -> None:
        self._source = source
        self._check = check
        self._read = 0
        self._ready = b""

    @property
    def place(self) -> int:
        """Where the next byte stands in the pack."""
        return self._read - len(self._ready)

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        while len(self._ready) < size:
            more = self._source.read(_CHUNK)
            if not more:
                raise SourceUnavailable("the git pack breaks off")
            self._read += len(more)
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

    def number(self) -> int:
        """Return how far before a delta its base stands."""
        byte = self.take(1)[0]
        number = byte & 0x7F
        for _ in range(_SIZES):
            if not byte & _MORE:
                return number
            byte = self.take(1)[0]
            number = (number + 1 << 7) + (byte & 0x7F)
        raise SourceUnavailable("the git pack has an offset that is none")

    def inflate(self, size: int) -> tuple[bytes, int]:
        """Pass over an object's data; return how it begins, and its size."""
        decoder = zlib.decompressobj()
        found, head = 0, b""
        try:
            while not decoder.eof:
                self._check()
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
        return head, found


def _sizes(head: bytes) -> tuple[int, int]:
    """Return the sizes that a delta begins with: of what it is made on, and of what it makes."""
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
    return sizes[0], sizes[1]
