"""Where adapters keep things: both kinds, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient

from tests.azurite import Azurite


@pytest.fixture(name="place", params=["sqlite", "tables"])
def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | TableServiceClient]:
    """The file of a new SQLite database, or the table service of Azurite, which is shared."""
    if request.param == "sqlite":
        yield tmp_path / "store.db"
        return
    azurite: Azurite = request.getfixturevalue("azurite")
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        yield service
