"""Each feature is where docs/architecture.md says that it is."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
_ROW = re.compile(r"^\| [^|]+ \| `(rebuilder[\w.]+)` \|$", re.MULTILINE)
PLACES = _ROW.findall(_PAGE.read_text(encoding="utf-8"))


def test_there_are_places() -> None:
    """Of twenty features at least."""
    assert len(PLACES) >= 20
    assert len(set(PLACES)) == len(PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_a_feature_is_where_the_page_says(place: str) -> None:
    """Its module can be imported, and has what is named."""
    module, _, name = place.rpartition(".")
    owner = import_module(module)
    if not hasattr(owner, name):
        import_module(place)
