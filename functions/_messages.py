"""Queue messages as text."""

from __future__ import annotations

import azure.functions as func


def text(message: func.QueueMessage) -> str:
    """Return what a message says; what is no UTF-8 in it becomes U+FFFD, as the host does it."""
    return message.get_body().decode(errors="replace")
