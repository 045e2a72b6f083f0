"""What every Steering must do; run beside SQLite and on Azure Storage (Azurite)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from copy import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient, ContainerClient

from rebuilder._unconfigured import NoSteering
from rebuilder.azure.storage.steering import BLOB, BlobSteering
from rebuilder.azure.storage.tables.bookmarks import TableBookmarks
from rebuilder.core.policies.versions import PolicyVersion
from rebuilder.errors import Conflict, NotFound, StoreUnavailable
from rebuilder.ports.steering import Steering
from rebuilder.sqlite.steering import FileSteering
from tests.azurite import Azurite

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture(name="container")
def _container(azurite: Azurite) -> Iterator[ContainerClient]:
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        yield service.get_container_client(f"c-{uuid.uuid4().hex}")


@pytest.fixture(name="steering")
def _steering(
    place: Path | TableServiceClient, request: pytest.FixtureRequest
) -> Iterator[Steering]:
    made: Steering
    if isinstance(place, Path):
        made = FileSteering(place)
        yield made
        made.close()
        return
    yield BlobSteering(request.getfixturevalue("container"), TableBookmarks(place))


def applied(steering: Steering, text: str, because: str = "wäiting") -> PolicyVersion:
    """Apply a policy file in the place of the one that is there."""
    before = steering.token()
    return steering.apply(text, who="ann", at=NOW, because=because, before=before)


def test_without_a_policy_file_there_is_none(steering: Steering) -> None:
    """No token, no file, no versions."""
    assert steering.token() == ""
    assert steering.policy() is None
    assert steering.versions(5) == []


def test_versions_are_kept_with_who_when_and_why(steering: Steering) -> None:
    """The newest is in force; those before can be read."""
    first = applied(steering, "version: 1\n# ü\n")
    second = applied(steering, "version: 1\n", "again")

    assert (first.number, second.number) == (1, 2)
    assert steering.policy() == second
    assert steering.token() == second.token
    versions = steering.versions(5)
    assert [replace(v, token="") for v in versions] == [
        PolicyVersion(2, "", "version: 1\n", "ann", NOW, "again"),
        PolicyVersion(1, "", "version: 1\n# ü\n", "ann", NOW, "wäiting"),
    ]
    assert steering.versions(1) == [second]


def test_only_the_current_version_can_be_replaced(steering: Steering) -> None:
    """Who has seen another one, or none, is refused."""
    first = applied(steering, "version: 1\n")
    applied(steering, "version: 1\n# 2\n")
    for late in (first.token, ""):
        with pytest.raises(Conflict):
            steering.apply("x", who="", at=NOW, because="", before=late)
    assert [v.number for v in steering.versions(5)] == [2, 1]


def test_acts_are_kept_by_compare_and_swap(
    steering: Steering, place: Path | TableServiceClient
) -> None:
    """A change of an older version is refused; pages are others."""
    mark = steering.acts()
    if not isinstance(place, Path) and mark.version:
        mark = steering.save_acts(replace(mark, place=""))  # the account is shared
    saved = steering.save_acts(replace(mark, place="{}"))
    assert steering.acts() == saved
    with pytest.raises(Conflict):
        steering.save_acts(replace(mark, place="late"))
    steering.save_acts(replace(saved, place=""))
    assert steering.acts(987654).name == "acts/987654"


def test_what_somebody_puts_there_by_hand_is_a_version(tmp_path: Path) -> None:
    """Nobody knows who it was; a last line that is broken is a part of the file."""
    steering = FileSteering(tmp_path / "s.db")
    folder = tmp_path / "s.db.policy"
    folder.mkdir()
    (folder / "000001.yaml").write_text("version: 1\n# rebuilder: {oops\n")
    (folder / "notes.txt").write_text("none")

    assert steering.policy() == PolicyVersion(1, "1", "version: 1\n# rebuilder: {oops\n")
    assert applied(steering, "version: 1").number == 2


def test_two_who_apply_at_once_make_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of a number is made once."""
    steering = FileSteering(tmp_path / "s.db")
    applied(steering, "version: 1")
    (tmp_path / "s.db.policy" / "000002.yaml").write_text("version: 1\n")
    monkeypatch.setattr(steering, "token", lambda: "1")
    with pytest.raises(Conflict):
        steering.apply("version: 1", who="", at=NOW, because="", before="1")
    assert sorted(p.name for p in (tmp_path / "s.db.policy").iterdir()) == [
        "000001.yaml",
        "000002.yaml",
    ]


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """With what is the matter."""
    (tmp_path / "s.db.policy").write_text("a file")
    steering = FileSteering(tmp_path / "s.db")
    with pytest.raises(StoreUnavailable, match=r"s\.db\.policy cannot be read"):
        steering.token()
    (tmp_path / "s.db.policy").unlink()
    (tmp_path / "s.db.policy" / "000001.yaml").mkdir(parents=True)
    with pytest.raises(StoreUnavailable, match="cannot be read or written"):
        steering.policy()


def test_what_somebody_uploads_is_a_version(container: ContainerClient) -> None:
    """As `az storage blob upload` does it."""
    container.create_container()
    container.upload_blob(BLOB, b"version: 1\n")
    container.upload_blob("other.yaml", b"no")
    steering = BlobSteering(container, NoSteering())  # type: ignore[arg-type] # acts are not asked for

    found = steering.policy()
    assert found is not None
    assert (found.number, found.text, found.who) == (0, "version: 1\n", "")
    assert applied(steering, "version: 1\n# 1\n").number == 1
    assert [v.number for v in steering.versions(5)] == [1, 0]


def test_a_snapshot_that_nothing_came_of_is_not_shown(container: ContainerClient) -> None:
    """Whoever applied it died in between."""
    steering = BlobSteering(container, NoSteering())  # type: ignore[arg-type] # acts are not asked for
    applied(steering, "version: 1\n")
    container.get_blob_client(BLOB).create_snapshot()
    assert [v.number for v in steering.versions(5)] == [1]
    applied(steering, "version: 1\n# 2\n")
    assert [v.number for v in steering.versions(5)] == [2, 1]


def test_where_nothing_is_configured_nobody_decides() -> None:
    """There is nothing, and nothing is taken."""
    nowhere = NoSteering()
    assert (nowhere.token(), nowhere.policy(), nowhere.versions(3)) == ("", None, [])
    assert nowhere.acts().version == 0
    assert nowhere.acts(3).name == "acts/3"
    with pytest.raises(NotFound):
        nowhere.apply("", who="", at=NOW, because="", before="")
    with pytest.raises(NotFound):
        nowhere.save_acts(nowhere.acts())
    nowhere.close()
