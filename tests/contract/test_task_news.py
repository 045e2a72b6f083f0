"""How new and changed tasks come to be known, kept in SQLite and in Azure Storage tables."""

from __future__ import annotations

import uuid
from copy import replace
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient

from rebuilder.azure.storage.tables.bookmarks import TableBookmarks
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.rebuilds.messages import REFRESH, Refresh
from rebuilder.ports.bookmarks import Bookmarks
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.events.accept import accept_event
from rebuilder.usecases.index.refresh_index import refresh_index, scan_registry
from tests.unit.fakes import World, task

WRITTEN = "Microsoft.Resources.ResourceWriteSuccess"


@pytest.mark.parametrize("told", [False, True])
def test_a_new_task_is_found_either_way(
    place: Path | TableServiceClient, tmp_path: Path, *, told: bool
) -> None:
    """By its event at once, and no list is asked for any more; or within an hour by the list."""
    kept: Bookmarks = SqliteBookmarks(place) if isinstance(place, Path) else TableBookmarks(place)
    # Its own for every test: Azurite is shared.
    apps = RegistryId("s1", uuid.uuid4().hex, "myapps")
    world = World(tmp_path)
    settings = replace(world.settings, task_registries=(apps,))
    world.context = replace(world.context, settings=settings, bookmarks=kept)

    def work_off() -> int:
        messages = world.queue.take(REFRESH)
        for body, _ in messages:
            refresh_index(world.context, Refresh.decode(body))
        return len(messages)

    scan_registry(world.context, apps)
    new = TaskId(apps, "build-new")
    world.tasks.add(task("build-new", registry=apps))
    world.tasks.written[new] = world.time.now
    if told:
        uri = {"resourceUri": str(new)}
        accept_event(world.context, {"id": "1", "eventType": WRITTEN, "data": uri})
        assert work_off() == 1
    world.tasks.paged.clear()
    worked_off = []
    for _ in range(8):
        world.time.pass_(15 * 60)
        # A process that knows nothing but what is kept.
        world.context = replace(world.context, told_by_events=set())
        sweep(world.context, uuid.uuid4().hex)
        worked_off.append((work_off(), work_off()))

    assert [found.view.task for found in world.index.views(apps)] == [new]
    hourly = [(0, 0)] * 3 + [(1, 1)] + [(0, 0)] * 3 + [(1, 0)]
    assert worked_off == ([(0, 0)] * 8 if told else hourly)
    assert len(world.tasks.paged) == (0 if told else 2)
