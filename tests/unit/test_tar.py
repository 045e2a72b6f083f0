"""The reader of archives beside the standard library's, and what ends the latter."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rebuilder.errors import SourceUnavailable
from rebuilder.sources._archives import read_member
from rebuilder.sources._tar import Member, members
from rebuilder.sources._tools import Limits

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
KINDS = (
    *(tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE),
    *(tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"D"),
)


class Whole(io.BytesIO):
    """An archive that is not longer than it is."""

    def seek(self, position: int, whence: int = 0) -> int:
        """Go on, but not beyond the end."""
        return super().seek(min(position, len(self.getvalue())), whence)


def header(
    name: str = "Dockerfile", size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> bytes:
    """Return a header block, as GNU writes it."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = size, kind, link
    return entry.tobuf(tarfile.GNU_FORMAT)


def padded(content: bytes) -> bytes:
    """Return content up to the end of its block."""
    return content + bytes(-len(content) % 512)


def about(kind: bytes, content: bytes, size: int | None = None) -> bytes:
    """Return a header that describes others."""
    return header("x", len(content) if size is None else size, kind) + padded(content)


FROM = header(size=4) + padded(b"FROM")


def found(data: bytes, headers: int = 1000) -> list[Member]:
    """Return the members of an archive."""
    return list(members(Whole(data), headers))


def standard(data: bytes) -> list[Member]:
    """Return what the standard library finds, in our terms."""
    listed = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for entry in archive:
            name = entry.name.encode("utf-8", "surrogateescape")
            if entry.issym() or entry.islnk():
                link = entry.linkname.encode("utf-8", "surrogateescape")
                listed.append(Member(name, link=link, hard=entry.islnk()))
            # What ends with a slash is a folder; it is asked for before the prefix comes in front.
            elif entry.isreg() and not entry.issparse() and not name.endswith(b"/"):
                listed.append(Member(name, entry.offset_data, entry.size))
            else:
                listed.append(Member(name))
    return listed


NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=40)
LONG = NAMES | st.builds(lambda text, times: (text * times)[:400], NAMES, st.integers(1, 30))


@example([("0" * 100 + "/", tarfile.AREGTYPE, b"", "0")], tarfile.USTAR_FORMAT)
@given(
    st.lists(st.tuples(LONG, st.sampled_from(KINDS), st.binary(max_size=1500), LONG), max_size=6),
    st.sampled_from(FORMATS),
)
def test_it_finds_what_the_standard_library_finds(
    entries: list[tuple[str, bytes, bytes, str]], form: int
) -> None:
    """In every format, names and links of any length and alphabet, every kind of member."""
    made = io.BytesIO()
    try:
        with tarfile.open(fileobj=made, mode="w", format=form) as archive:
            for name, kind, content, link in entries:
                entry = tarfile.TarInfo(name)
                entry.type = kind
                if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                    entry.linkname = link
                if entry.isreg():
                    entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
    except ValueError:
        return  # the format has no room for such a name
    data = made.getvalue()
    ours = found(data)

    # The standard library takes off slashes at the end, which make a folder of an old file.
    def comparable(listed: list[Member]) -> list[tuple[bytes, int, int, bytes, bool]]:
        return [(m.name.rstrip(b"/"), m.place, m.size, m.link, m.hard) for m in listed]

    assert comparable(ours) == comparable(standard(data))


@pytest.mark.needs("tar")
@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax", "posix", "ustar", "v7"])
def test_archives_of_gnu_tar(tmp_path: Path, form: str) -> None:
    """Files with holes too, whose content is not plain: they are none, and hide no other."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ("long" * 20)).write_bytes(b"x" * 700)
    (tmp_path / "Dockerfile").write_bytes(b"FROM one\n")
    (tmp_path / "here").symlink_to("folder")
    with (tmp_path / "holes").open("wb") as file:
        for piece in range(40):
            file.seek(piece * 1 << 20)
            file.write(b"x" * 4096)
    (tmp_path / "zulu").write_bytes(b"last")
    made = tmp_path / "made.tar"
    names = ["folder", "Dockerfile", "here", "holes", "zulu"]
    sparse = [] if form in ("ustar", "v7") else ["--sparse"]
    command = ["tar", "-C", str(tmp_path), "-cf", str(made), f"--format={form}", *sparse, *names]
    subprocess.run(command, check=True)
    data = made.read_bytes()
    by_name = {member.name.rstrip(b"/"): member for member in found(data)}

    assert data[by_name[b"Dockerfile"].place :][:9] == b"FROM one\n"
    assert data[by_name[b"zulu"].place :][:4] == b"last"
    assert by_name[b"here"].link == b"folder"
    assert by_name[b"folder"].place == -1
    assert by_name[b"folder/" + b"long" * 20].size == 700
    holes = [name for name, member in by_name.items() if b"holes" in name and member.place >= 0]
    assert bool(holes) is not bool(sparse)


def record(name: str, value: str) -> bytes:
    """Return a record of a pax header."""
    length = len(f" {name}={value}\n".encode())
    total = next(n for n in range(length, length + 9) if len(str(n)) + length == n)
    return f"{total} {name}={value}\n".encode()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (FROM, [Member(b"Dockerfile", 512, 4)]),
        (about(b"x", record("path", "ü")) + FROM, [Member("ü".encode(), 1536, 4)]),
        (about(b"X", record("path", "a")) + FROM, [Member(b"a", 1536, 4)]),
        # Global headers mean nothing; a long name of GNU's goes before one of pax.
        (about(b"g", record("path", "a")) + FROM, [Member(b"Dockerfile", 1536, 4)]),
        (
            about(b"L", b"long\0") + about(b"x", record("path", "a")) + FROM,
            [Member(b"long", 2560, 4)],
        ),
        (
            about(b"x", record("linkpath", "a")) + header(kind=b"2", link="b"),
            [Member(b"Dockerfile", link=b"a")],
        ),
        (
            about(b"K", b"long\0") + header(kind=b"1", link="b"),
            [Member(b"Dockerfile", link=b"long", hard=True)],
        ),
        (
            about(b"x", record("size", "4")) + header(size=0) + padded(b"FROM"),
            [Member(b"Dockerfile", 1536, 4)],
        ),
        (about(b"x", record("path", "")) + FROM, [Member(b"Dockerfile", 1536, 4)]),
        (about(b"x", record("mtime", "1.5") + bytes(9)) + FROM, [Member(b"Dockerfile", 1536, 4)]),
        (about(b"x", record("GNU.sparse.major", "1")) + FROM, [Member(b"Dockerfile")]),
        # What describes one member says nothing of the next.
        (
            about(b"x", record("path", "a")) + FROM + FROM,
            [Member(b"a", 1536, 4), Member(b"Dockerfile", 2560, 4)],
        ),
        # Only what a folder or a device says of its size is not believed.
        (
            header(kind=b"5", size=4) + FROM,
            [Member(b"Dockerfile/"), Member(b"Dockerfile", 1024, 4)],
        ),
        (header(kind=b"Z", size=4) + padded(b"FROM"), [Member(b"Dockerfile")]),
        (FROM + bytes(512) + FROM, [Member(b"Dockerfile", 512, 4)]),
        (FROM[:516], [Member(b"Dockerfile", 512, 4)]),
    ],
)
def test_what_headers_say_of_others(data: bytes, expected: list[Member]) -> None:
    """They count for the member that follows, and for no other."""
    assert found(data) == expected


def wrong(at: int, value: bytes, block: bytes = FROM) -> bytes:
    """Return an archive whose first header holds another value, and says so."""
    changed = bytearray(block)
    changed[at : at + len(value)] = value
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


SIZE, MAGIC, MORE = 124, 257, 482


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (FROM[:100], "breaks off"),
        (FROM[:514], "breaks off"),
        (b"x" * 512, "a number that is none"),
        (header("a").replace(b"a", b"b", 1), "no header"),
        (wrong(SIZE, b"-0000000001\0"), "a number that is none"),
        (wrong(SIZE, b"\xff" * 12), "a number that is none"),
        (wrong(SIZE, b"\x80" + b"\x7f" * 11), "a number that is none"),
        (wrong(SIZE, b"9" * 12), "a number that is none"),
        (wrong(156, b"S", wrong(MORE, b"\1")), "breaks off"),
        (about(b"x", b"junk\n") + FROM, "a header of headers is none"),
        (about(b"x", b"99 path=a\n") + FROM, "a header of headers is none"),
        (about(b"x", b"0 path=a\n") + FROM, "a header of headers is none"),
        (about(b"x", b"-9 path=a\n") + FROM, "a header of headers is none"),
        (about(b"x", b"9" * 5000 + b" path=a\n") + FROM, "a header of headers is none"),
        (about(b"x", b"9 path=a\0") + FROM, "a header of headers is none"),
        (about(b"x", record("size", "-4")) + FROM, "a number that is none"),
        (about(b"x", record("size", "9" * 5000)) + FROM, "a number that is none"),
        (about(b"x", record("size", "9" * 18)) + FROM, "breaks off"),
        (about(b"x", b"5 a=\n" * 1001) + FROM, "more headers of headers"),
        (about(b"x", b"", 65_537), "longer than 65536"),
        (about(b"L", b"", 1 << 40), "longer than 65536"),
        (about(b"g", b"", 600), "breaks off"),
        (about(b"L", b"a\0") * 17 + FROM, "more headers of headers"),
        (about(b"g", b"") * 3000 + FROM, "more headers of headers"),
        (about(b"L", b"a\0"), "breaks off"),
        ((about(b"g", b"x" * 60_000) + header()) * 600, "more headers of headers"),
        (header() * 2001, "more than 2000 headers"),
    ],
)
def test_what_is_no_archive_or_too_much(data: bytes, reason: str) -> None:
    """It ends with its reason."""
    with pytest.raises(SourceUnavailable, match=reason):
        found(data, 2000)


def test_old_ways_to_write_a_header() -> None:
    """Sums of signed bytes, numbers in base 256, prefixes of two lengths, no magic at all."""
    signed = bytearray(header("\xff" * 9))
    signed[148:156] = b" " * 8
    total = sum(byte - 256 if byte > 127 else byte for byte in signed)
    signed[148:156] = b"%06o\0 " % total
    prefix = b"p" * 131 + b"q" * 9
    ustar = wrong(345, prefix, wrong(MAGIC, b"ustar\0" + b"00", header()))
    star = wrong(508, b"tar\0", ustar)

    assert [m.name for m in found(bytes(signed))] == ["\xff".encode() * 9]
    assert found(wrong(SIZE, b"\x80" + b"\0" * 10 + b"\4"))[0].size == 4
    assert found(ustar)[0].name == prefix + b"/Dockerfile"
    assert found(star)[0].name == b"p" * 131 + b"/Dockerfile"
    assert found(wrong(345, prefix, header()))[0].name == b"Dockerfile"
    assert found(wrong(MAGIC, b"\0" * 8)) == [Member(b"Dockerfile", 512, 4)]


def test_a_file_of_pieces_is_passed_over() -> None:
    """However many blocks tell where its pieces are."""
    maps = bytes(504) + b"\1" + bytes(7), bytes(512)
    sparse = wrong(156, b"S", wrong(MORE, b"\1"))[:512] + b"".join(maps) + padded(b"FROM")
    assert found(sparse + FROM) == [Member(b"Dockerfile"), Member(b"Dockerfile", 2560, 4)]


def globals_(megabytes: int) -> bytes:
    """Return global headers of so many megabytes, each name another one."""
    names = iter(range(1 << 30))
    return b"".join(
        about(b"g", b"".join(record(f"k{next(names):09}", "v" * 40) for _ in range(18_000)))
        for _ in range(megabytes)
    )


BOMBS: dict[str, Callable[[], bytes]] = {
    "global headers that stay": lambda: gzip.compress(globals_(4) + FROM),
    "headers that call each other": lambda: about(b"L", b"a\0") * 3000 + FROM,
    "global ones that call each other": lambda: about(b"g", b"") * 3000 + FROM,
    "pax ones that call each other": lambda: about(b"x", b"") * 3000 + FROM,
    "a file as large as a disk": lambda: gzip.compress(header(size=1 << 29) + bytes(1 << 26)),
    "streams of nothing": lambda: gzip.compress(b"") * 100_000,
    "many headers": lambda: gzip.compress(header() * 8_000 + FROM),
    "paths of paths": lambda: about(b"K", b"a/" * 30_000 + b"\0") + header(kind=b"2"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_archives_that_ended_the_standard_reader(name: str) -> None:
    """Each ends in an answer or an error of ours, in little memory."""
    data = BOMBS[name]()
    tracemalloc.start()
    try:
        assert read_member(io.BytesIO(data), "Dockerfile", Limits(), lambda: None) == b"FROM"
    except SourceUnavailable as error:
        assert "archive" in str(error) or "a path that is none" in str(error)  # noqa: PT017
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 32 * 1024 * 1024


def test_no_memory_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no memory left for an archive says so of this one."""

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("rebuilder.sources._archives.members", exhausted)
    with pytest.raises(SourceUnavailable, match=r"cannot be read \(MemoryError\)"):
        read_member(io.BytesIO(FROM), "Dockerfile", Limits(), lambda: None)
