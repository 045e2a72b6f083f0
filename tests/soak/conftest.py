"""What the soak puts in place of the product's own, taken back after each test."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest

from tests.soak.host import FUNCTIONS


@pytest.fixture(autouse=True)
def _own_composition() -> Iterator[None]:
    """Let the functions of the next test compose what they work with themselves."""
    with pytest.MonkeyPatch.context() as patch:
        for name in FUNCTIONS:
            module = importlib.import_module(f"functions.{name}")
            patch.setattr(module, "compose", module.compose)
        yield
