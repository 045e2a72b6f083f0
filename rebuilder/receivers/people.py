"""People, by whatever Apprise knows to reach them: chats, mail, pagers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from rebuilder._net.addresses import HTTPS
from rebuilder._net.guard import Guard
from rebuilder.core.acr.registries import host_matches
from rebuilder.core.messages.destinations import Destination
from rebuilder.errors import RebuilderError, Refused, SourceUnavailable, TransientError
from rebuilder.isolation import attempt
from rebuilder.settings.table import DESTINATIONS

# Its lines tell addresses, which are secrets; what went wrong, nobody but it knows.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)

# Programs and machines' own services: none of them is a place where people read.
_NOT_HERE = frozenset({"dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows", "file"})


def tell(to: Destination, title: str, text: str, private: Sequence[str] = ()) -> None:
    """Tell people something; see Receivers.

    Args:
        to: Whom.
        title: A few words.
        text: Some lines.
        private: Hosts whose addresses may be private.
    """
    try:
        import apprise  # noqa: PLC0415 - imported when something is sent
    except ImportError:
        raise Refused("NoApprise", f"tell {to.name}: install rebuilder[messages]") from None
    _check(to, private)
    asset = apprise.AppriseAsset(http_redirects=False, app_id="ACR Rebuilder", async_mode=False)
    line = apprise.Apprise(asset=asset)
    if not line.add(to.address) or len(line) != 1:
        raise Refused("NoAddress", f"tell {to.name}: its address is none that Apprise knows")
    taken = attempt(lambda body: line.notify(body=body, title=title), text)
    if isinstance(taken, RebuilderError) or not taken:
        raise TransientError(f"tell {to.name}: it was not taken")


def _check(to: Destination, private: Sequence[str]) -> None:
    """See that an address leads outside: of many services a name stands where a host would.

    Apprise makes the connection by itself, so a name that changes in between is not noticed.
    """
    parts = urlsplit(to.address)
    host = (parts.hostname or "").lower()
    if parts.scheme in _NOT_HERE:
        raise Refused("NotHere", f"tell {to.name}: {parts.scheme} is of this machine")
    if "." not in host and ":" not in host and host != "localhost":
        return  # a token, or a name that no public host has
    trusted = [host] if any(host_matches(host, pattern) for pattern in private) else []
    guard = Guard([host], trusted, socket.getaddrinfo, DESTINATIONS)
    try:
        guard.check_host(f"[{host}]" if ":" in host else host)
        guard.addresses(host, HTTPS)
    except SourceUnavailable as error:
        if "does not exist" not in str(error):
            raise Refused("PrivateAddress", f"tell {to.name}: it leads inside") from None
