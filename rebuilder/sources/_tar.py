"""The members of a tar archive, by its headers alone.

The standard library's reader follows headers that describe other headers by calling itself, keeps
every global one, and reads each as long as it says it is; archives of a few kilobytes end it. This
one goes from block to block, and what describes a member is bounded in length and in number.

Sources of the format: IEEE 1003.1, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar,
"Basic Tar Format". What is doubtful there is read as Go's archive/tar reads it, with which docker
unpacks contexts: global headers mean nothing, a long name of GNU's goes before one of pax.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from rebuilder.errors import SourceUnavailable

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_PRESENT = 1 << 62

_EXTENSION = 64 * 1024
_EXTENSIONS = 32 * 1024 * 1024
_IN_A_ROW = 16
_RECORDS = 1000

_FILES = frozenset({b"0", b"\0", b"7"})
_HARD_LINK, _LINK, _SPARSE = b"1", b"2", b"S"
_LONG_NAME, _LONG_LINK, _PAX, _OLD_PAX, _GLOBAL = b"L", b"K", b"x", b"X", b"g"
_ABOUT_OTHERS = frozenset({_LONG_NAME, _LONG_LINK, _PAX, _OLD_PAX, _GLOBAL})
# They have no content, whatever size they say.
_BARE = frozenset({_HARD_LINK, _LINK, b"3", b"4", b"5", b"6"})

_OCTAL = re.compile(rb"[ \0]*([0-7]*)(?:[ \0].*)?", re.DOTALL)
_DECIMAL = re.compile(rb"[0-9]{1,18}")


class Source(Protocol):
    """An archive that is read from front to back."""

    def tell(self) -> int:
        """Return how far it was read."""

    def seek(self, position: int) -> int:
        """Go on, as far as there is anything; return how far."""

    def read(self, size: int) -> bytes:
        """Read so many bytes, or fewer at the end."""


class Member(Struct, frozen=True):
    """A member of an archive.

    Attributes:
        name: Its name, as it was written.
        place: Where its content begins; -1 if it is no file, or one whose content is not plain.
        size: The bytes of its content.
        link: What it is a link to; b"" if it is none.
        hard: Whether the link is a name in the archive, not relative to its own folder.
    """

    name: bytes
    place: int = -1
    size: int = 0
    link: bytes = b""
    hard: bool = False


def members(source: Source, headers: int) -> Iterator[Member]:
    """Go through an archive.

    Args:
        source: The archive, unpacked.
        headers: The most headers, those that describe others included.

    Raises:
        SourceUnavailable: It is none, breaks off, or is beyond a limit.
    """
    about = _About()
    described = 0
    for count, header in enumerate(_headers(source), 1):
        if count > headers:
            raise SourceUnavailable(f"the archive has more than {headers} headers")
        if header.kind in _ABOUT_OTHERS:
            described += header.size
            if header.size > _EXTENSION:
                raise SourceUnavailable(f"a header of the archive is longer than {_EXTENSION}")
            if described > _EXTENSIONS or about.count >= _IN_A_ROW:
                raise SourceUnavailable("the archive has more headers of headers than are read")
            about = about.with_(header.kind, _content(source, header.size))
            continue
        yield _member(source, header, about)
        about = _About()
    if about.count:
        raise _broken("it breaks off")


class _Header(Struct, frozen=True):
    kind: bytes
    name: bytes
    link: bytes
    size: int
    more: bool


class _About(Struct, frozen=True):
    """What headers say of the member that follows them."""

    count: int = 0
    long_name: bytes = b""
    long_link: bytes = b""
    pax: tuple[tuple[bytes, bytes], ...] = ()

    def with_(self, kind: bytes, content: bytes) -> _About:
        count = self.count + 1
        text = content.partition(b"\0")[0]
        if kind == _LONG_NAME:
            return _About(count, text, self.long_link, self.pax)
        if kind == _LONG_LINK:
            return _About(count, self.long_name, text, self.pax)
        pax = self.pax if kind == _GLOBAL else (*self.pax, *_records(content))
        return _About(count, self.long_name, self.long_link, pax)


def _headers(source: Source) -> Iterator[_Header]:
    first = True
    while block := source.read(_BLOCK):
        if len(block) < _BLOCK:
            raise _broken("it breaks off")
        if block == _ZEROS:
            return
        yield _header(block)
        first = False
    if first:
        raise _broken("it is empty")


def _header(block: bytes) -> _Header:
    if _number(block[148:156]) not in _sums(block):
        raise _broken("what follows is no header")
    kind, name = block[156:157], block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0":
        end = 476 if block[508:] == b"tar\0" else 500
        prefix = block[345:end].partition(b"\0")[0]
        name = prefix + b"/" + name if prefix else name
    link = block[157:257].partition(b"\0")[0]
    return _Header(kind, name, link, _number(block[124:136]), more=block[482] != 0)


def _sums(block: bytes) -> Iterator[int]:
    """Return a header's sum, its own field counted as spaces; then as old writers have it."""
    found = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    yield found
    # Some add bytes up as signed ones.
    yield found - 256 * sum(byte >> 7 for byte in block[:148] + block[156:])


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        bits = int.from_bytes(field) & ((1 << (8 * len(field) - 1)) - 1)
        negative = field[0] & 0x40
        number = -1 if negative else bits
    else:
        match = _OCTAL.fullmatch(field)
        number = -1 if match is None else int(match[1] or b"0", 8)
    if not 0 <= number < _PRESENT:
        raise _broken("a number that is none")
    return number


def _content(source: Source, size: int) -> bytes:
    content = source.read(size)
    source.seek(source.tell() + -size % _BLOCK)
    if len(content) < size:
        raise _broken("it breaks off")
    return content


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Return the records of a pax header that matter here."""
    at = 0
    for _ in range(_RECORDS):
        if at >= len(content) or content[at] == 0:
            return
        space = content.find(b" ", at, at + 20)
        length = content[at:space] if space > at else b""
        end = at + int(length) if _DECIMAL.fullmatch(length) else -1
        if not space < end <= len(content) or content[end - 1] != ord("\n"):
            raise _broken("a header of headers is none")
        name, _, value = content[space + 1 : end - 1].partition(b"=")
        if name in (b"path", b"linkpath", b"size") or name.startswith(b"GNU.sparse."):
            yield name, value
        at = end
    raise SourceUnavailable("the archive has more headers of headers than are read")


def _member(source: Source, header: _Header, about: _About) -> Member:
    pax = dict(about.pax)
    sparse = header.kind == _SPARSE or any(name.startswith(b"GNU.") for name in pax)
    size = header.size
    if pax.get(b"size"):
        if not _DECIMAL.fullmatch(pax[b"size"]):
            raise _broken("a number that is none")
        size = int(pax[b"size"])
    if header.kind == _SPARSE:
        _pass_map(source, more=header.more)
    name = about.long_name or pax.get(b"path") or header.name
    link = about.long_link or pax.get(b"linkpath") or header.link
    if header.kind in _BARE:
        linked = header.kind in (_HARD_LINK, _LINK)
        return Member(name, link=link if linked else b"", hard=header.kind == _HARD_LINK)
    place = source.tell()
    if source.seek(place + size) < place + size:
        raise _broken("it breaks off")
    source.seek(place + size + -size % _BLOCK)
    folder = header.kind == b"\0" and name.endswith(b"/")
    plain = header.kind in _FILES and not sparse and not folder
    return Member(name, place, size) if plain else Member(name)


def _pass_map(source: Source, *, more: bool) -> None:
    """Pass over where the pieces of a sparse file are."""
    while more:
        block = source.read(_BLOCK)
        if len(block) < _BLOCK:
            raise _broken("it breaks off")
        more = block[504] != 0


def _broken(why: str) -> SourceUnavailable:
    return SourceUnavailable(f"the archive cannot be read: {why}")
