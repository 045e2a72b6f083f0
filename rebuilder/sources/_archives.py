"""One file of a tar archive, however it is compressed, without unpacking the others.

An archive may be made to harm: a few bytes that unpack to millions, a member as large as a disk,
names that lead outside, links in circles. Nothing is written but the archive itself, nothing is
held in memory but names and the one file.
"""

from __future__ import annotations

import bz2
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from rebuilder.errors import SourceUnavailable
from rebuilder.sources._tools import Limits

_CHUNK = 64 * 1024
_HEADER = 64 * 1024
_LINKS = 40
_NAMES = 32 * 1024 * 1024
_LZMA_MEMORY = 128 * 1024 * 1024


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
    """A file that tarfile reads from front to back, and that counts what it unpacks.

    Args:
        source: The archive as it was sent.
        limits: What may be unpacked, in all and in one piece.
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
        self._ready = b""
        self._position = 0

    def tell(self) -> int:
        """Return how far it was read."""
        return self._position

    def seek(self, position: int) -> int:
        """Go on, as far as there is anything.

        Raises:
            SourceUnavailable: A member's size leads backwards.
        """
        if position < self._position:
            raise SourceUnavailable("the archive leads backwards")
        while self._position < position:
            if not self._some(min(position - self._position, _CHUNK)):
                break
        return self._position

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes, or fewer at the end.

        Raises:
            SourceUnavailable: That is more than any header or build file has.
        """
        # tarfile reads headers of any length that they say they have.
        if size > self._limits.file + _HEADER:
            raise SourceUnavailable(
                f"a part of the archive is longer than {self._limits.file} bytes"
            )
        parts = []
        while size and (part := self._some(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _some(self, size: int) -> bytes:
        while not self._ready:
            self._check()
            if self._decoder.eof:
                # What follows a gzip stream is another of the same file, or padding.
                rest = self._decoder.unused_data or self._source.read(_CHUNK)
                if not rest.strip(b"\x00"):
                    return b""
                self._decoder = self._start()
                self._ready = self._decoder.decompress(rest, _CHUNK)
                continue
            given = self._source.read(_CHUNK) if self._decoder.needs_input else b""
            if not given and self._decoder.needs_input:
                if isinstance(self._decoder, _Plain):
                    return b""
                raise SourceUnavailable("the archive breaks off")
            self._ready = self._decoder.decompress(given, _CHUNK)
        part, self._ready = self._ready[:size], self._ready[size:]
        self._position += len(part)
        if self._position > self._limits.unpacked:
            raise SourceUnavailable(f"the archive unpacks to over {self._limits.unpacked} bytes")
        return part


@dataclass(frozen=True, slots=True)
class _Entry:
    """A name of an archive: a file at a place, or a link to another name."""

    place: int = -1
    size: int = 0
    link: str = ""
    hard: bool = False


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
        entries = _entries(source, limits, check)
        entry = _resolve(entries, path)
        if entry.size > limits.file:
            raise SourceUnavailable(f"{path} is longer than {limits.file} bytes")
        forward = _Forward(source, limits, check)
        forward.seek(entry.place)
        content = forward.read(entry.size)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
        name = type(error).__name__
        raise SourceUnavailable(f"the archive cannot be read ({name})") from None
    return content


def _entries(source: IO[bytes], limits: Limits, check: Callable[[], object]) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    names = 0
    forward = _Forward(source, limits, check)
    with tarfile.open(fileobj=forward, mode="r:", errorlevel=2) as archive:  # type: ignore[call-overload] # only read, seek and tell are asked for
        for count, member in enumerate(archive, 1):
            names += len(member.name) + len(member.linkname)
            if count > limits.entries or names > _NAMES:
                raise SourceUnavailable(f"the archive has more than {limits.entries} entries")
            # tarfile keeps every member that it has seen.
            archive.members.clear()
            name = _inside(member.name)
            if not name:
                continue
            if member.issym() or member.islnk():
                entries[name] = _Entry(link=member.linkname, hard=member.islnk())
            elif member.isreg() and not member.issparse():
                entries[name] = _Entry(member.offset_data, member.size)
            else:
                entries.pop(name, None)
    return entries


def _inside(name: str) -> str:
    """Return a member's name from the archive's root; "" for one that is outside."""
    clean = posixpath.normpath(name.lstrip("/"))
    return "" if clean == "." or clean.split("/")[0] == ".." else clean


def _resolve(entries: dict[str, _Entry], path: str) -> _Entry:
    """Return the file that a path leads to, through links of files and of folders."""
    for _ in range(_LINKS):
        entry = entries.get(path)
        if entry is not None and not entry.link:
            return entry
        if entry is not None:
            base = "" if entry.hard else posixpath.dirname(path)
            path = _target(base, entry.link, "")
            continue
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            link = entries[folder].link if folder in entries else ""
            if link:
                path = _target(posixpath.dirname(folder), link, "/".join(parts[depth:]))
                break
        else:
            raise SourceUnavailable(f"there is no file {path} in the archive")
    raise SourceUnavailable(f"{path}: too many links")


def _target(base: str, link: str, rest: str) -> str:
    path = posixpath.normpath(posixpath.join(base, link, rest)) if rest else ""
    path = path or posixpath.normpath(posixpath.join(base, link))
    if posixpath.isabs(link) or path.split("/")[0] == "..":
        raise SourceUnavailable("a link of the archive leads outside of it")
    return path
