"""Values that hold secrets: what of them is shown, and how a setting of them is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Self

from msgspec import Struct

from rebuilder.core.foreign_json import read_object
from rebuilder.errors import InvalidJson


class SecretValue(Struct, frozen=True):
    """A value whose text leaves its secrets out, wherever it is logged or raised.

    Attributes:
        HIDDEN: The names of the fields that are secret.
    """

    HIDDEN: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        """Return the fields that may be shown."""
        shown = (name for name in self.__struct_fields__ if name not in self.HIDDEN)
        told = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__name__}({told})"


# Azure alone answers under these, so a token shown there goes to nobody else.
_VAULTS = r"vault\.(?:azure\.net|azure\.cn|usgovcloudapi\.net)"
_ADDRESS = re.compile(
    rf"https://[a-z0-9](?:[a-z0-9-]{{1,22}})\.({_VAULTS})/secrets/[a-z0-9-]{{1,127}}(?:/[0-9a-f]{{32}})?",
    re.IGNORECASE,
)


class SecretAddress(Struct, frozen=True):
    """Where a secret of Key Vault is.

    Attributes:
        text: Its address, without a slash at the end: of its newest version, or of one.
        audience: For whom a token must be that the vault takes.
    """

    text: str
    audience: str

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the address that a setting is instead of a value; None if it is none."""
        given = text.strip().rstrip("/")
        match = _ADDRESS.fullmatch(given)
        return cls(given, f"https://{match[1].lower()}") if match else None


def read_secrets(text: str, setting: str, form: str, problems: list[str]) -> Mapping[str, object]:
    """Read a setting that is a JSON object of secrets by name; no problem holds any of it.

    Args:
        text: Its value.
        setting: Its name.
        form: How it is to be written.
        problems: What is wrong with it is added here.

    Returns:
        Nothing if there is none, or it is wrong.
    """
    if text.startswith("@Microsoft.KeyVault("):
        # What Azure leaves in place of a secret that it could not read.
        problems.append(f"{setting} is a Key Vault reference that was not resolved")
        return {}
    if SecretAddress.read(text):
        return {}  # whoever composes the app reads it
    try:
        return read_object(text) if text else {}
    except InvalidJson as error:
        problems.append(f"{setting}: {form}; it is {error}")
        return {}
