"""Whether an address that Azure names is where the identity's token may be sent to."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

_PORTS = {"https": 443, "http": 80}


def is_of(address: str, service: str) -> bool:
    """Tell whether an address is of a service: scheme, host and port are the same.

    ARM's next pages name the port, or write the host in another case, at times. A user in front of
    the host is never ARM's.
    """
    try:
        here, there = urlsplit(address), urlsplit(service)
        return here.username is None and _place(here) == _place(there)
    except ValueError:
        return False


def host_of(address: str) -> str:
    """Return the host of an address, for a person."""
    try:
        return urlsplit(address).hostname or "an address without a host"
    except ValueError:
        return "an address that is none"


def _place(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
