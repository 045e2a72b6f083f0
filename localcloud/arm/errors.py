"""ARM's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.state import Json


class ArmError(Exception):
    """What ARM answers: a status, a code, a sentence, headers of its own, errors below it."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.details: list[dict[str, Any]] = []


def not_found(resource: str) -> ArmError:
    """Return ARM's answer to a resource that is not there."""
    return ArmError(404, "ResourceNotFound", f"The Resource '{resource}' was not found.")


def wire_error(error: ArmError) -> Json:
    """Return an error as it stands in an answer."""
    wire: Json = {"code": error.code, "message": str(error)}
    return {**wire, "details": error.details} if error.details else wire
