"""Run logs, and the ends of them, from the blobs where ACR keeps them."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from rebuilder._net.addresses import authority
from rebuilder._net.deadlines import Deadline
from rebuilder._net.guard import Guard
from rebuilder._net.http import Http
from rebuilder.core.acr.registries import host_matches
from rebuilder.errors import NotFound, SourceUnavailable, TransientError
from rebuilder.ports.acr import LogPart

HOSTS = (
    "*.blob.core.windows.net",
    "*.blob.storage.azure.net",  # accounts of Azure DNS zones
    "*.blob.core.usgovcloudapi.net",
    "*.blob.core.chinacloudapi.cn",
)
"""Where Azure's clouds keep blobs; a signed address is sent to no other host."""

BYTES = 64 * 1024
"""How much of a log is read, from its end."""

MOST = 1024 * 1024
"""How much of a log is read from its end at most, when somebody asks for all of it."""

_SECONDS = 20.0
_COMPLETE = "x-ms-meta-complete"
"""What ACR writes beside a log that is whole: azure-cli's `az acr task logs` waits for it."""

_TOO_LONG = f"(a line longer than {BYTES // 1024} KiB is left out)\n"


class LinkExpired(TransientError):
    """The address is good for nothing any more; ACR gives another one."""


class LogEnds:
    """Reads a blob, or its end, by an address that is its own permission.

    The address is a secret: it stands in no message and no log.

    Args:
        http: Asks Azure's blob hosts; made for them if left out.
        seconds: How long it may take in all.
    """

    def __init__(self, http: Http | None = None, seconds: float = _SECONDS) -> None:
        self._http = http or Http(Guard(HOSTS))
        self._seconds = seconds

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def read(self, address: str, what: str) -> str:
        """Return the last whole lines of a blob of text.

        Args:
            address: An address with a shared access signature.
            what: What it is, for messages.

        Raises:
            SourceUnavailable: The address is none of Azure's blobs, or it is answered strangely.
            NotFound: There is no such blob.
            TransientError: There is no usable answer in time.
        """
        _check(address, what)
        with Deadline(self._seconds, what) as deadline:
            size, _ = self._size(address, deadline, what)
            # Blobs know no range that is counted from the end.
            first = max(0, size - BYTES)
            text = self._bytes(address, deadline, what, first, size).decode("utf-8", "replace")
        # Half a line may hold half a secret, which nobody would know for one.
        return text if first == 0 else text.partition("\n")[2]

    def part(self, address: str, what: str, place: str) -> LogPart:
        """Return some whole lines of a blob of text that may still grow; see Tasks.log_part.

        Raises:
            LinkExpired: The address is not good any more.
            SourceUnavailable, NotFound, TransientError: As `read` does; or the place is none.
        """
        _check(address, what)
        with Deadline(self._seconds, what) as deadline:
            size, complete = self._size(address, deadline, what)
            first, within = _read_place(place, what)
            left_out = max(0, size - MOST) if not place else 0
            if left_out:
                first, within = left_out, True
            last = min(size, first + BYTES)
            found = self._bytes(address, deadline, what, first, last)
        text, read, within = _whole_lines(
            found, within=within, whole=complete and first + len(found) >= size
        )
        at = first + read
        return LogPart(
            text.decode("utf-8", "replace"),
            f"{at}{_WITHIN if within else ''}",
            more=read > 0 and at < size,
            complete=complete and at >= size,
            left_out=left_out,
        )

    def _size(self, address: str, deadline: Deadline, what: str) -> tuple[int, bool]:
        """Return how long a blob is, and whether it is whole."""
        with self._http.ask(address, deadline, what, head=True, redirects=False) as head:
            _expect(head.status, (HTTPStatus.OK,), what)
            size = _length(head.headers.get("Content-Length", ""), what)
            return size, bool(head.headers.get(_COMPLETE))

    def _bytes(self, address: str, deadline: Deadline, what: str, first: int, last: int) -> bytes:
        """Return the bytes from `first` up to `last`, which are not more than BYTES."""
        if first >= last:
            return b""
        wanted = {"Range": f"bytes={first}-{last - 1}"}
        with self._http.ask(address, deadline, what, headers=wanted, redirects=False) as answer:
            _expect(answer.status, (HTTPStatus.PARTIAL_CONTENT, HTTPStatus.OK), what)
            if answer.status == HTTPStatus.OK and first > 0:
                raise SourceUnavailable(f"{what}: a part of it was asked for, and it all came")
            return answer.body(BYTES)


_WITHIN = "~"
"""Stands behind a place that is in the middle of a line that is left out."""


def _read_place(place: str, what: str) -> tuple[int, bool]:
    number = place.removesuffix(_WITHIN)
    return (_length(number, what) if place else 0), place.endswith(_WITHIN)


def _whole_lines(found: bytes, *, within: bool, whole: bool) -> tuple[bytes, int, bool]:
    """Return whole lines of some bytes, how many bytes that takes, and whether it ends in a line.

    Half a line may hold half a secret, which nobody would know for one.

    Args:
        found: The bytes.
        within: Whether they begin in the middle of a line that is left out.
        whole: Whether nothing comes after them.
    """
    skipped = 0
    if within:
        head, newline, found = found.partition(b"\n")
        skipped = len(head) + len(newline)
        if not newline:
            return b"", skipped, not whole
    if whole:
        return found, skipped + len(found), False
    cut = found.rfind(b"\n") + 1
    if cut == 0 and skipped + len(found) == BYTES:
        return _TOO_LONG.encode(), BYTES, True
    return found[:cut], skipped + cut, False


def _check(address: str, what: str) -> None:
    try:
        parts = urlsplit(address)
        host = authority(address)
    except (ValueError, SourceUnavailable):
        raise SourceUnavailable(f"{what}: ACR names no address") from None
    if parts.scheme != "https" or parts.username is not None or parts.password is not None:
        raise SourceUnavailable(f"{what}: ACR names an address that is no blob's")
    if not any(host_matches(host, pattern) for pattern in HOSTS):
        raise SourceUnavailable(f"{what}: ACR names the host {host[:100]!r}, which is not Azure's")


def _expect(status: int, wanted: tuple[int, ...], what: str) -> None:
    if status == HTTPStatus.FORBIDDEN:
        raise LinkExpired(f"{what}: HTTP {int(status)}")
    if status == HTTPStatus.NOT_FOUND:
        raise NotFound(f"{what}: it is not there")
    if status not in wanted:
        raise TransientError(f"{what}: HTTP {status}")


def _length(text: str, what: str) -> int:
    if not text.isdecimal() or len(text) > 18:  # noqa: PLR2004 - no blob is that long
        raise SourceUnavailable(f"{what}: its length is not told")
    return int(text)
