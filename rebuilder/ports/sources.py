"""The files of build contexts."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from msgspec import Struct


class SourceFile(Struct, frozen=True):
    """A file of a build context.

    Attributes:
        content: Its bytes.
        revision: The state of the context that was read: a commit, a digest, or "".
        address: The context without credentials, for a person.
    """

    content: bytes
    revision: str
    address: str


class BuildSources(Protocol):
    """The files of build contexts, wherever ACR Tasks takes them from."""

    def read(self, context: str, path: str) -> SourceFile:
        """Read a file of a context.

        Args:
            context: The context as a task names it: a git address with `#branch:folder`, a
                tarball's address, an OCI artifact, or a path of ACR's own upload store.
            path: The file, relative to the context.

        Raises:
            SourceUnavailable: It cannot be had: not there, not allowed, too large, uploaded.
            TransientError: Its host did not answer.
        """

    def expires(self, host: str) -> datetime | None:
        """Return when the token ends that a host is shown; None if the host does not tell.

        Raises:
            SourceUnavailable: It refuses the token.
            TransientError: It did not answer.
        """

    def close(self) -> None:
        """Close the connections."""
