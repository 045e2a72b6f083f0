"""Addresses that a server names: redirects, and where it says that tokens are given out.

Whoever checks an address and whoever connects to it must read the same host out of it. So a host is
plain: letters, digits, dots, dashes; nothing that one reader maps to another letter and the next
one does not.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urljoin, urlsplit

from rebuilder.errors import SourceUnavailable

HTTPS = 443

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?|[0-9a-f:.]*:[0-9a-f:.]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_LONGEST = 8192


def split_address(url: str) -> SplitResult:
    """Take an address apart.

    Raises:
        SourceUnavailable: It is none, or its host could be read in more than one way.
    """
    if len(url) > _LONGEST:
        raise SourceUnavailable(f"an address is longer than {_LONGEST} characters")
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        raise SourceUnavailable("an address cannot be read") from None
    brackets = "[" in parts.netloc
    if (
        _CONTROL.search(url)
        or (parts.netloc and not _HOST.fullmatch(host))
        or brackets != (":" in host)
    ):
        raise SourceUnavailable("an address has a host that is none")
    return parts


def authority(url: str) -> str:
    """Return an address's host, lower case, with its port unless that is 443.

    Raises:
        SourceUnavailable: See `split_address`; or the port is none.
    """
    parts = split_address(url)
    try:
        port = parts.port
    except ValueError:
        raise SourceUnavailable("an address has a port that is none") from None
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    return host if port in (None, HTTPS) else f"{host}:{port}"


def target(url: str, location: str) -> str:
    """Return where an answer from `url` sends its reader.

    Raises:
        SourceUnavailable: The place cannot be read; see `split_address`.
    """
    try:
        joined = urljoin(url, location)
    except ValueError:
        raise SourceUnavailable("an address cannot be read") from None
    split_address(joined)
    return joined
