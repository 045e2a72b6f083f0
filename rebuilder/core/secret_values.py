"""Values that hold secrets: what of them is shown, and how a setting of them is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

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
    try:
        return read_object(text) if text else {}
    except InvalidJson as error:
        problems.append(f"{setting}: {form}; it is {error}")
        return {}
