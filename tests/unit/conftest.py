from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fakes import World


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path)
