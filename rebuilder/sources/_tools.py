"""What every kind of source is given."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from msgspec import Struct

from rebuilder._net.http import Http
from rebuilder.errors import TransientError
from rebuilder.source_credentials import SourceCredential


class Limits(Struct, frozen=True):
    """How much may be read, and for how long.

    Attributes:
        file: Bytes of a build file.
        download: Bytes of an archive, a layer or a git pack, as they are sent.
        unpacked: Bytes of all of that, unpacked.
        entries: Files of an archive, objects of a pack.
        seconds: For everything that reads one file.
    """

    file: int = 1024 * 1024
    download: int = 64 * 1024 * 1024
    unpacked: int = 512 * 1024 * 1024
    entries: int = 100_000
    seconds: float = 60


class Found(Struct, frozen=True):
    """A file and the state that it was read from."""

    content: bytes
    revision: str


class Credentials:
    """What hosts are shown.

    Args:
        given: From the settings.
        unread: Why nobody knows what there is to show; "" if it is known.
    """

    def __init__(self, given: Iterable[SourceCredential], unread: str = "") -> None:
        self._unread = unread
        self._by_host = {credential.host: credential for credential in given}

    def get(self, host: str) -> SourceCredential | None:
        """Return the credential of a host.

        Raises:
            TransientError: It is not known whether there is one: a host that is shown nothing
                says of what is private that it is not there.
        """
        if self._unread:
            raise TransientError(self._unread)
        return self._by_host.get(host)


def basic(username: str, secret: str) -> str:
    """Return the header of a user and a password."""
    return "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode("ascii")


def bearer(secret: str) -> str:
    """Return the header of a token."""
    return f"Bearer {secret}"


class Tools(Struct, frozen=True):
    """What every kind of source is given."""

    http: Http
    limits: Limits
    credentials: Credentials

    def authorization(self, host: str) -> str:
        """Return the header that shows a host its credential; "" if there is none."""
        shown = self.credentials.get(host)
        if shown is None:
            return ""
        return basic(shown.username, shown.secret) if shown.username else bearer(shown.secret)
