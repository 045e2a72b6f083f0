"""One file of a tar archive, however it is compressed, without unpacking the others.

An archive may be made to harm: a few bytes that unpack to millions, a member as large as a disk,
names that lead outside, links in circles. Nothing is written but the archive itself, nothing is
held in memory but names and the one file.
"""

from __future__ import annotations

import bz2
import lzma
import posixpath
import zlib
from collections.abc import Callable
from copy import replace
from typing import IO

from rebuilder.errors import SourceUnavailable
from rebuilder.sources._tar import Member, members
from rebuilder.sources._tools import Limits

_CHUNK = 64 * 1024
_LINKS = 40
_NAMES = 16 * 1024 * 1024
_PATH = 4096  # bytes, as everywhere
_HEADERS = 4  # for each member: what describes it, and itself
_STREAMS = 16 * 1024  # of an archive packed by several threads at once
_LZMA_MEMORY = 72 * 1024 * 1024  # what `xz -9` needs, and a little


class _Gzip:
    """A gzip decoder with bz2's way of handing over what it has not taken yet."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


class _Plain:
    """No compression."""

    eof = False
    unused_data = b""
    needs_input = True

    def decompress(self, data: bytes, _: int) -> bytes:
        return data


type _AnyDecoder = _Gzip | _Plain | bz2.BZ2Decompressor | lzma.LZMADecompressor

_MAGIC: tuple[tuple[bytes, Callable[[], _AnyDecoder]], ...] = (
    (b"\x1f\x8b\x08", _Gzip),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
)


class _Forward:
    """A file that is read from front to back, and that counts what it unpacks.

    Args:
        source: The archive as it was sent.
        limits: What may be unpacked.
        check: Is asked now and then whether there is time left.
    """

    def __init__(self, source: IO[bytes], limits: Limits, check: Callable[[], object]) -> None:
        self._source = source
        self._limits = limits
        self._check = check
        source.seek(0)
        head = source.read(8)
        source.seek(0)
        self._start = next((made for magic, made in _MAGIC if head.startswith(magic)), _Plain)
        self._decoder: _AnyDecoder = self._start()
        self._streams = 1
        self._ready = b""
        self._taken = 0
        self._position = 0

    def tell(self) -> int:
        """Return how far it was read."""
        return self._position

    def seek(self, position: int) -> int:
        """Go on, as far as there is anything; return how far."""
        while self._position < position and self._fill():
            self._take(position - self._position)
        return self._position

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes, or fewer at the end."""
        parts = []
        while size and self._fill():
            start = self._taken
            taken = self._take(size)
            parts.append(self._ready[start : start + taken])
            size -= taken
        return b"".join(parts)

    def _take(self, size: int) -> int:
        """Pass over what is ready, up to so many bytes; return how many."""
        taken = min(size, len(self._ready) - self._taken)
        self._taken += taken
        self._position += taken
        if self._position > self._limits.unpacked:
            raise SourceUnavailable(f"the archive unpacks to over {self._limits.unpacked} bytes")
        return taken

    def _fill(self) -> bool:
        """Make something ready; tell whether there was anything."""
        while self._taken == len(self._ready):
            self._check()
            self._taken = 0
            if self._decoder.eof:
                # What follows a gzip stream is another of the same file, or padding.
                rest = self._decoder.unused_data or self._source.read(_CHUNK)
                if not rest.strip(b"\x00"):
                    self._ready = b""
                    return False
                self._streams += 1
                if self._streams > _STREAMS:
                    raise SourceUnavailable(f"the archive has more than {_STREAMS} streams")
                self._decoder = self._start()
                self._ready = self._decoder.decompress(rest, _CHUNK)
                continue
            given = self._source.read(_CHUNK) if self._decoder.needs_input else b""
            if not given and self._decoder.needs_input:
                self._ready = b""
                if isinstance(self._decoder, _Plain):
                    return False
                raise SourceUnavailable("the archive breaks off")
            self._ready = self._decoder.decompress(given, _CHUNK)
        return True


def read_member(source: IO[bytes], path: str, limits: Limits, check: Callable[[], object]) -> bytes:
    """Return a file of an archive.

    Args:
        source: The archive, which can be read twice.
        path: The file, without `.` and `..`.
        limits: What may be unpacked.
        check: Raises if the time is over.

    Raises:
        SourceUnavailable: It is not there, or the archive is none, or beyond the limits.
    """
    try:
        found = _resolve(_entries(source, limits, check), path.encode())
        if found.size > limits.file:
            raise SourceUnavailable(f"{path} is longer than {limits.file} bytes")
        forward = _Forward(source, limits, check)
        forward.seek(found.place)
        return forward.read(found.size)
    except (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, MemoryError) as error:
        name = type(error).__name__
        raise SourceUnavailable(f"the archive cannot be read ({name})") from None


def _entries(source: IO[bytes], limits: Limits, check: Callable[[], object]) -> dict[bytes, Member]:
    entries: dict[bytes, Member] = {}
    names = 0
    forward = _Forward(source, limits, check)
    for count, member in enumerate(members(forward, limits.entries * _HEADERS), 1):
        names += len(member.name) + len(member.link)
        if count > limits.entries or names > _NAMES:
            raise SourceUnavailable(f"the archive has more than {limits.entries} entries")
        name = _inside(member.name)
        if name and (member.link or member.place >= 0):
            # By one and the same name: they are what fills the memory.
            entries[name] = replace(member, name=name)
        else:
            entries.pop(name, None)
    return entries


def _inside(name: bytes) -> bytes:
    """Return a member's name from the archive's root; b"" for the root and what is outside."""
    clean = posixpath.normpath(name.lstrip(b"/"))
    return b"" if clean == b"." or clean.split(b"/")[0] == b".." else clean


def _resolve(entries: dict[bytes, Member], path: bytes) -> Member:
    """Return the file that a path leads to, through links of files and of folders."""
    for _ in range(_LINKS):
        if len(path) > _PATH:
            raise SourceUnavailable(f"{_shown(path)}: a path that is none")
        entry = entries.get(path)
        if entry is not None and not entry.link:
            return entry
        if entry is not None:
            base = b"" if entry.hard else posixpath.dirname(path)
            path = _target(base, entry.link, b"")
            continue
        parts = path.split(b"/")
        for depth in range(1, len(parts)):
            folder = b"/".join(parts[:depth])
            link = entries[folder].link if folder in entries else b""
            if link:
                path = _target(posixpath.dirname(folder), link, b"/".join(parts[depth:]))
                break
        else:
            raise SourceUnavailable(f"there is no file {_shown(path)} in the archive")
    raise SourceUnavailable(f"{_shown(path)}: too many links")


def _target(base: bytes, link: bytes, rest: bytes) -> bytes:
    path = posixpath.normpath(posixpath.join(base, link, *([rest] if rest else [])))
    if posixpath.isabs(link) or path.split(b"/")[0] == b"..":
        raise SourceUnavailable("a link of the archive leads outside of it")
    return path


def _shown(path: bytes) -> str:
    return path[:300].decode(errors="replace")
