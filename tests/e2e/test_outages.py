"""Services that are out of order while a push comes: everything comes through afterwards.

How long they are is not the point here: `python -m tests.soak --outages` plays a minute without
storage and ten without ARM on a clock of its own. Here every part is the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from localcloud.arm import Fault
from localcloud.cloud import LocalCloud
from rebuilder.composition import release
from rebuilder.core.rebuilds.rebuild import State
from tests.azurite import Azurite
from tests.e2e.conftest import World
from tests.patience import until

BASE = "mybase.azurecr.io/images/node:9"

type Outage = Callable[[LocalCloud, Azurite], AbstractContextManager[None]]


@contextmanager
def no_storage(_cloud: LocalCloud, azurite: Azurite) -> Iterator[None]:
    """Let storage take connections and answer nothing."""
    with azurite.silent():
        yield


@contextmanager
def no_arm(cloud: LocalCloud, _azurite: Azurite) -> Iterator[None]:
    """Let ARM cut every connection, before or after the request had its effect."""
    faults = [Fault("GET", ".", 0, times=None), Fault("POST", ".", 0, after=True, times=None)]
    cloud.arm.faults += faults
    yield
    for fault in faults:
        cloud.arm.faults.remove(fault)


@contextmanager
def no_identity(cloud: LocalCloud, _azurite: Azurite) -> Iterator[None]:
    """Let the identity endpoint answer 500."""
    cloud.identity_behaviour.status = 500
    yield
    cloud.identity_behaviour.status = None


@pytest.fixture(name="apart")
def _apart(cloud: LocalCloud, storage: str, tmp_path: Path) -> Iterator[World]:
    """A world whose host is not started yet, so that it has no token."""
    world = World(cloud, storage, tmp_path)
    yield world
    world.host.stop()
    release()


def _felt(world: World, outage: Outage) -> bool:
    """Tell whether a function was called in vain; without storage none comes to its end."""
    if outage is no_storage:
        return bool(world.host._active)
    # Whoever accepts the event goes on to plan.
    return any(invocation.function == "image_pushed" for invocation in world.invocations)


@pytest.mark.parametrize("storage", ["azurite"], indirect=True)
@pytest.mark.parametrize("outage", [no_storage, no_arm, no_identity])
def test_what_is_pushed_meanwhile_is_rebuilt_once(
    apart: World, azurite: Azurite, outage: Outage
) -> None:
    """Two pushes while a service is out of order, one before it: the last one counts, once."""
    old = apart.push("one")
    task = apart.task(apart.apps, "build-app", old)
    if outage is no_identity:
        apart.cloud.identity_behaviour.status = 500  # before anybody has a token
    apart.host.start()
    apart.subscribe()
    with outage(apart.cloud, azurite):
        apart.push("two")
        new = apart.push("three")
        until(lambda: _felt(apart, outage), "an invocation that feels it")
        assert apart.apps.runs == {} or outage is no_arm

    def succeeded() -> bool:
        return any(r.properties["status"] == "Succeeded" for r in apart.apps.runs.values())

    until(succeeded, "a run that comes through")
    apart.settle()
    rebuilds = apart.context.ledger.rebuilds(task)
    assert rebuilds[0].bases == (f"{BASE}@{new}",)
    assert [r.state for r in rebuilds if r.run_id is not None] == [State.SUCCEEDED]
    assert len(apart.apps.runs) == 1
    assert apart.context.dead_letters.all() == []
