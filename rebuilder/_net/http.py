"""HTTPS with limits: on hosts, addresses, redirects, sizes and the whole time.

`requests` and `urllib3` do the work; one method of urllib3's connection is replaced, so that it
connects to an address that was looked at.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Self

import requests
import requests.adapters
import urllib3.exceptions

from rebuilder._net.addresses import authority, split_address, target
from rebuilder._net.connections import CONNECT_SECONDS, Adapter, Session
from rebuilder._net.deadlines import Deadline
from rebuilder._net.guard import Guard
from rebuilder.errors import RebuilderError, SourceUnavailable, TransientError

log = logging.getLogger(__name__)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOPS = 5
_CHUNK = 64 * 1024
_AGENT = "acr-rebuilder"
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')


class _Queries(logging.Filter):
    """Keeps the queries of addresses out of a log: a shared access signature is one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; let it pass."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                f"{argument.partition('?')[0]}?..."
                if isinstance(argument, str) and "?" in argument
                else argument
                for argument in record.args
            )
        return True


# At level DEBUG, urllib3 logs the address of each request.
logging.getLogger("urllib3.connectionpool").addFilter(_Queries())


class Answer:
    """An answer whose body is read as far as it is allowed to go.

    Attributes:
        url: Where it came from, after redirects.
        status: The HTTP status.
        headers: The headers, in any case.
    """

    def __init__(self, response: requests.Response, deadline: Deadline, what: str) -> None:
        self.url = str(response.url)
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._deadline = deadline
        self._what = what

    @property
    def etag(self) -> str:
        """What the server calls this state of the thing; "" if it does not, or not in a few signs.

        It is kept, and shown to the server again.
        """
        found = self.headers.get("ETag", "")
        return found if _ETAG.fullmatch(found) else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._response.close()

    def chunks(self, limit: int) -> Iterator[bytes]:
        """Give the body as it is sent, piece by piece.

        Raises:
            SourceUnavailable: It is longer than `limit` bytes.
            TransientError: It breaks off, or takes too long.
        """
        size = 0
        while chunk := self.read_some(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise SourceUnavailable(f"{self._what}: longer than {limit} bytes")
            yield chunk

    def read_some(self, amount: int) -> bytes:
        """Read up to `amount` bytes; b"" at the end.

        Raises:
            TransientError: The body breaks off, or takes too long.
        """
        self._deadline.remaining()
        with _translated(self._what, self._deadline):
            piece = bytes(self._response.raw.read(amount, decode_content=False))
        # A body without a length ends where its connection is cut.
        self._deadline.remaining()
        return piece

    def body(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            SourceUnavailable: It is longer than `limit` bytes, or compressed: nobody asked for it.
            TransientError: It breaks off, or takes too long.
        """
        if self.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
            raise SourceUnavailable(f"{self._what}: the answer is compressed, unasked")
        return b"".join(self.chunks(limit))


class Http:
    """Asks hosts that the guard lets pass.

    Args:
        guard: Decides on hosts and addresses.
        ca_bundle: The certificates to trust; "" for certifi's.
    """

    def __init__(self, guard: Guard, ca_bundle: str = "") -> None:
        self._guard = guard
        bundle = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE", "")
        self._session = Session()
        # Nothing of the machine's own: a .netrc would be sent to whom it names.
        self._session.trust_env = False
        self._session.verify = bundle or True
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.adapters.clear()
        self._session.mount("https://", Adapter(guard))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def ask(
        self,
        url: str,
        deadline: Deadline,
        what: str,
        *,
        headers: Mapping[str, str] | None = None,
        authorization: str = "",
        data: bytes | None = None,
        also: Iterable[str] = (),
        redirects: bool = True,
        head: bool = False,
    ) -> Answer:
        """Send a request and follow its redirects.

        Args:
            url: The address, without credentials.
            deadline: When it must have ended.
            what: What is asked for, for messages.
            headers: More headers.
            authorization: The value of that header; sent to the first host alone.
            data: What to post; nothing is got.
            also: Hosts that redirects may lead to, besides the list.
            redirects: Whether to follow them; else a redirect is an answer like others.
            head: Whether only the headers are asked for.

        Raises:
            SourceUnavailable: A host or an address may not be asked, or its certificate is wrong.
            TransientError: There is no usable answer.
        """
        origin = authority(url)
        method = "HEAD" if head else "GET" if data is None else "POST"
        for _ in range(_HOPS + 1):
            self._check(url, also)
            sent = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **(headers or {})}
            if authorization and authority(url) == origin:
                sent["Authorization"] = authorization
            response = self._send(method, url, sent, data, deadline, what)
            location = response.headers.get("Location", "")
            if not redirects or response.status_code not in _REDIRECTS or not location:
                return Answer(response, deadline, what)
            response.close()
            if data is not None:
                raise SourceUnavailable(f"{what}: what was posted is sent elsewhere")
            url = target(url, location)
        raise SourceUnavailable(f"{what}: more than {_HOPS} redirects")

    def _check(self, url: str, also: Iterable[str]) -> None:
        parts = split_address(url)
        if parts.scheme != "https":
            raise SourceUnavailable(f"a redirect leads to {parts.scheme:.20}; only https is asked")
        if parts.username is not None or parts.password is not None:
            raise SourceUnavailable("a redirect holds credentials")
        self._guard.check_host(authority(url), also)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: bytes | None,
        deadline: Deadline,
        what: str,
    ) -> requests.Response:
        left = deadline.remaining()
        with _translated(what, deadline):
            return self._session.request(
                method,
                url,
                headers=dict(headers),
                data=data,
                stream=True,
                allow_redirects=False,
                timeout=(min(CONNECT_SECONDS, left), left),
                proxies=requests.utils.get_environ_proxies(url),
            )


@contextmanager
def _translated(what: str, deadline: Deadline) -> Iterator[None]:
    """Turn what requests and urllib3 raise into the product's errors, without their addresses."""
    try:
        yield
    except RebuilderError:
        raise
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidHeader,
        urllib3.exceptions.LocationParseError,
        UnicodeError,
    ) as error:
        # Nothing was sent, and nothing would be the next time.
        raise SourceUnavailable(f"{what}: it cannot be asked ({type(error).__name__})") from None
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        ssl.SSLError,
        HTTPException,
        OSError,
        ValueError,
        OverflowError,
    ) as error:
        deadline.remaining()
        if isinstance(error, requests.exceptions.SSLError) and _untrusted(error):
            raise SourceUnavailable(f"{what}: the host's certificate is not trusted") from None
        raise TransientError(f"{what}: no usable answer ({type(error).__name__})") from None


def _untrusted(error: BaseException) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
