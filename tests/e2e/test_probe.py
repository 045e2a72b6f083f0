"""`rebuilder probe`, end to end: the push is seen, a sample is made once, rebuilt each time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.core.acr.registries import RegistryId
from tests.e2e.conftest import World
from tests.e2e.test_index import listen

type Probe = Callable[..., tuple[int, str, str]]

SCRATCH = "mybase.azurecr.io/acr-rebuilder/scratch:latest"


@pytest.fixture(name="probe")
def _probe(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Probe:
    """The command, with the app's settings and the developer's rights."""
    for name, value in {**world.settings, **world.cloud.environment(world.cloud.developer)}.items():
        monkeypatch.setenv(name, value)
    # The functions are in this process, and may go on when the command has seen what it waits for:
    # it may not close what they share with it.
    monkeypatch.setattr(composition, "release", lambda: None)
    world.subscribe()
    listen(world, "EventGridSchema")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["probe", *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_a_push_is_seen(world: World, probe: Probe) -> None:
    """Each time with a digest of its own, and nothing is started by it."""
    code, out, err = probe()
    assert code == 0, out + err
    again, more, _ = probe()

    assert again == 0
    assert f"pushed {SCRATCH}@sha256:" in out
    assert "seen by the app " in out
    assert out.splitlines()[0] != more.splitlines()[0]
    pushes = world.context.ledger.pushes(
        RegistryId.parse(world.base.id), "acr-rebuilder/scratch", "latest"
    )
    assert len(pushes) == 2
    assert not world.apps.runs


def test_a_sample_is_rebuilt(world: World, probe: Probe) -> None:
    """It is made ready the first time; the second time only the push is new; then it goes again."""
    code, out, err = probe("--sample", "myapps")
    assert code == 0, out + err
    assert "made the task myapps/acr-rebuilder-sample, its triggers off" in out
    assert "gave the task's identity the role AcrPull on mybase" in out
    assert "by hand: Succeeded" in out
    assert "myapps/acr-rebuilder-sample was rebuilt by run " in out
    assert "myapps.azurecr.io/acr-rebuilder/sample:latest@sha256:" in out

    assignments = len(world.cloud.roles.assignments())
    runs = len(world.apps.runs)
    code, out, err = probe("--sample", "myapps")
    assert code == 0, out + err
    assert [line.split()[0] for line in out.splitlines()[:-1]] == [
        *("pushed", "seen"),
        "myapps/acr-rebuilder-sample",
    ]
    assert len(world.apps.runs) == runs + 1
    assert len(world.cloud.roles.assignments()) == assignments

    code, out, err = probe("--sample", "myapps", "--remove")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "deleted the role AcrPull of the sample's identity on mybase",
        "deleted the task myapps/acr-rebuilder-sample",
        "deleted mybase.azurecr.io/acr-rebuilder/scratch",
        "deleted mybase.azurecr.io/acr-rebuilder/sample-context",
        "deleted myapps.azurecr.io/acr-rebuilder/sample",
    ]
    assert probe("--sample", "myapps", "--remove") == (0, "There is nothing to delete.\n", "")
    assert not world.failed()
