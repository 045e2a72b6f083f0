"""What machines are sent: a CloudEvent 1.0 in JSON, and how it is signed.

Sources: CloudEvents 1.0.2 and its JSON event format; the signature is Flux's `generic-hmac`, which
GitHub's webhooks have as well: the hexadecimal HMAC-SHA256 of the body behind `sha256=`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from rebuilder.core.messages.happening import Happening, Image
from rebuilder.core.messages.rules import What

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
SIGNATURE = "X-Signature"
"""The header of the signature."""

TYPES = {
    What.REBUILT: "acr-rebuilder.image.rebuilt.v1",
    What.FAILED: "acr-rebuilder.rebuild.failed.v1",
    What.GIVEN_UP: "acr-rebuilder.rebuild.given-up.v1",
    What.NEEDS_APPROVAL: "acr-rebuilder.rebuild.needs-approval.v1",
    What.QUARANTINED: "acr-rebuilder.rebuild.quarantined.v1",
    What.STALE: "acr-rebuilder.image.stale.v1",
    What.DEAD_LETTER: "acr-rebuilder.dead-letter.v1",
}
"""The types of events. Another form of `data` is another version."""


def cloud_event(happening: Happening) -> dict[str, Any]:
    """Return what happened as a CloudEvent."""
    return {
        "specversion": "1.0",
        "id": happening.event,
        "source": happening.source,
        "type": TYPES[happening.what],
        "subject": happening.subject,
        "time": happening.at.isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "task": happening.task or None,
            "registry": happening.registry or None,
            "images": [_image(image) for image in happening.images],
            "bases": [_image(image) for image in happening.bases],
            "sentence": happening.sentence,
            **happening.facts,
        },
    }


def _image(image: Image) -> dict[str, str | None]:
    return {"image": image.name, "digest": image.digest, "previousDigest": image.before}


def body(happening: Happening) -> bytes:
    """Return the event as it is sent, and signed."""
    return json.dumps(cloud_event(happening), separators=(",", ":")).encode()


def signature(secret: str, sent: bytes) -> str:
    """Return the value of the header by which a receiver knows that a body is ours."""
    return f"sha256={hmac.new(secret.encode(), sent, hashlib.sha256).hexdigest()}"
