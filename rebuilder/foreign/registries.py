"""What tags of foreign registries name, by the OCI distribution protocol."""

from __future__ import annotations

from rebuilder.core.references import ImageReference
from rebuilder.errors import Refused
from rebuilder.ports import Seen


class OciRegistries:
    """A ForeignRegistries; see rebuilder.ports."""

    def look(self, reference: ImageReference, known: Seen | None) -> Seen:
        """Return what a tag names now; see ForeignRegistries."""
        del known
        raise Refused("NotPolled", f"{reference.domain} is not polled yet")

    def close(self) -> None:
        """Close the connections."""
