"""What a finding is, and how the commands that fix it are written."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

SITE = "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Web/sites/FUNCTION_APP"
"""Stands for the function app's resource id where that is not known."""


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # something is not rebuilt
    WARNING = "warning"  # something will be missed one day, is done twice, or is open too wide
    NOTE = "note"  # to know


class Finding(Struct, frozen=True):
    """A mistake in a set-up. Each kind is a subclass."""

    code: ClassVar[str]
    severity: ClassVar[Severity] = Severity.ERROR
    wrong: ClassVar[str] = ""
    matters: ClassVar[str] = ""
    """What is wrong, and why it matters; fields of `self` are filled in."""

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return self.wrong.format(self=self)

    def why(self) -> str:
        """Why it matters."""
        return self.matters.format(self=self)

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order; empty if no command does."""
        return ()


class Unchecked(Struct, frozen=True):
    """Something that could not be looked at.

    Attributes:
        what: What was to be looked at.
        reason: Why it was not, in Azure's words.
        right: What the caller needs to look at it; "" if that is not known.
    """

    what: str
    reason: str
    right: str = ""


def az(*words: str) -> str:
    return " ".join(["az", *(shlex.quote(word) for word in words)])


def assign(principal: str, role: str, scope: str) -> str:
    return az(
        *("role", "assignment", "create", "--assignee-object-id", principal),
        *("--assignee-principal-type", "ServicePrincipal", "--role", role, "--scope", scope),
    )


def short(resource_id: str) -> str:
    return resource_id.rpartition("/")[2]
