"""The ends of run logs, from the blobs where ACR keeps them."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from rebuilder._net.addresses import authority
from rebuilder._net.deadlines import Deadline
from rebuilder._net.guard import Guard
from rebuilder._net.http import Http
from rebuilder.core.acr.registries import host_matches
from rebuilder.errors import NotFound, SourceUnavailable, TransientError

HOSTS = (
    "*.blob.core.windows.net",
    "*.blob.storage.azure.net",  # accounts of Azure DNS zones
    "*.blob.core.usgovcloudapi.net",
    "*.blob.core.chinacloudapi.cn",
)
"""Where Azure's clouds keep blobs; a signed address is sent to no other host."""

BYTES = 64 * 1024
"""How much of a log is read, from its end."""

_SECONDS = 20.0


class LogEnds:
    """Reads the end of a blob by an address that is its own permission.

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
            with self._http.ask(address, deadline, what, head=True, redirects=False) as head:
                _expect(head.status, (HTTPStatus.OK,), what)
                size = _length(head.headers.get("Content-Length", ""), what)
            if size == 0:
                return ""
            # Blobs know no range that is counted from the end.
            first = max(0, size - BYTES)
            wanted = {"Range": f"bytes={first}-{size - 1}"}
            with self._http.ask(address, deadline, what, headers=wanted, redirects=False) as answer:
                _expect(answer.status, (HTTPStatus.PARTIAL_CONTENT, HTTPStatus.OK), what)
                text = answer.body(BYTES).decode("utf-8", "replace")
        # Half a line may hold half a secret, which nobody would know for one.
        return text if first == 0 else text.partition("\n")[2]


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
    if status == HTTPStatus.NOT_FOUND:
        raise NotFound(f"{what}: it is not there")
    if status not in wanted:
        raise TransientError(f"{what}: HTTP {status}")


def _length(text: str, what: str) -> int:
    if not text.isdecimal() or len(text) > 18:  # noqa: PLR2004 - no blob is that long
        raise SourceUnavailable(f"{what}: its length is not told")
    return int(text)
