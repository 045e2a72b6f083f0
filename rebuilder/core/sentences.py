"""What is told a person by a template, with fields as its evidence."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct


class Explained(Struct, frozen=True):
    """A reason, a cause, a gap: each kind is a small type, with its code and its template.

    Attributes:
        code: Names the kind in records.
        template: The sentence; fields of `self` are its evidence.
    """

    code: ClassVar[str]
    template: ClassVar[str] = ""

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        return self.template.format(self=self)
