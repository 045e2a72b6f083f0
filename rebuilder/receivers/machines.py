"""CloudEvents over HTTPS: to a receiver with a signature or a token, or to a topic of Event Grid's.

Source: the HTTP binding of CloudEvents 1.0.2, structured mode; learn.microsoft.com, "CloudEvents
v1.0 schema with Azure Event Grid" for topics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from rebuilder._net.addresses import authority
from rebuilder._net.deadlines import Deadline
from rebuilder._net.guard import Guard
from rebuilder._net.http import Answer, Http
from rebuilder.core.acr.registries import host_matches
from rebuilder.core.messages.destinations import Destination, Kind
from rebuilder.core.messages.events import CONTENT_TYPE, SIGNATURE, signature
from rebuilder.core.waits import retry_after
from rebuilder.errors import Refused, SourceUnavailable, Throttled, TransientError
from rebuilder.settings.table import DESTINATIONS

_SECONDS = 10.0
_LONGEST = timedelta(hours=1)
_TOPICS = "https://eventgrid.azure.net"
_VERSION = "api-version=2018-01-01"

# What the same body would be answered with the next time, too.
_NEVER = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class Machines:
    """Sends events to machines.

    Args:
        private: Hosts whose addresses may be private.
        token: Gives the identity's token for an audience.
        connect: Makes what asks one host; for tests, whose hosts are on this machine.
        seconds: How long a receiver may take.
    """

    def __init__(
        self,
        private: Sequence[str],
        token: Callable[[str], str],
        connect: Callable[[Guard], Http] = Http,
        seconds: float = _SECONDS,
    ) -> None:
        self._private = private
        self._token = token
        self._connect = connect
        self._seconds = seconds
        self._hosts: dict[str, Http] = {}

    def close(self) -> None:
        """Close the connections."""
        for http in self._hosts.values():
            http.close()
        self._hosts.clear()

    def send(self, to: Destination, body: bytes) -> None:
        """Send an event; see Receivers."""
        what = f"tell {to.name}"
        url, headers, bearer = to.address, {"Content-Type": CONTENT_TYPE}, ""
        match to.kind:
            case Kind.SIGNED:
                headers[SIGNATURE] = signature(to.key, body)
            case Kind.BEARER:
                bearer = f"Bearer {self._token(to.key)}"
            case _:
                bearer = f"Bearer {self._token(_TOPICS)}"
                url = url if "?" in url else f"{url}?{_VERSION}"
        try:
            with (
                Deadline(self._seconds, what) as deadline,
                self._http(url).ask(
                    url,
                    deadline,
                    what,
                    headers=headers,
                    authorization=bearer,
                    data=body,
                    redirects=False,
                ) as answer,
            ):
                _judge(answer, what)
        except SourceUnavailable as error:
            # A name that does not exist, or a certificate, may be put right meanwhile.
            raise TransientError(f"{what}: {error}") from None

    def _http(self, url: str) -> Http:
        """Return what asks the host of an address, and no other."""
        host = authority(url)
        if host not in self._hosts:
            private = [host] if any(host_matches(host, p) for p in self._private) else []
            self._hosts[host] = self._connect(Guard([host], private, setting=DESTINATIONS))
        return self._hosts[host]


def _judge(answer: Answer, what: str) -> None:
    status = answer.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if status in _BUSY:
        wait = retry_after(answer.headers, datetime.now(UTC), _LONGEST)
        raise Throttled(f"{what}: HTTP {status}", wait)
    if status in _NEVER:
        raise Refused(f"HTTP{status}", f"{what}: it does not take this message")
    if status < HTTPStatus.BAD_REQUEST:
        raise TransientError(f"{what}: HTTP {status}; redirects are not followed")
    raise TransientError(f"{what}: HTTP {status}")
