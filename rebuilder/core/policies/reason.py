"""What a reason to wait is; `holds` has the list of them."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from msgspec import Struct


class Reason(Struct, frozen=True, tag_field="code"):
    """Why a rebuild waits. Each reason is a subclass, whose tag is its code in records."""

    title: ClassVar[str]

    @property
    def code(self) -> str:
        """The reason's name in records."""
        return str(self.__struct_config__.tag)

    @property
    def ends(self) -> datetime | None:
        """When it is over; None if somebody has to end it."""
        return None

    def ender(self) -> str:
        """What ends it, as a sentence."""
        raise NotImplementedError

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        raise NotImplementedError
