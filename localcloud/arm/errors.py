"""ARM's errors."""

from __future__ import annotations


class ArmError(Exception):
    """What ARM answers: a status, a code and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def not_found(resource: str) -> ArmError:
    """Return ARM's answer to a resource that is not there."""
    return ArmError(404, "ResourceNotFound", f"The Resource '{resource}' was not found.")
