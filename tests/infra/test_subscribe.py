"""The hook that deploys the event subscriptions, with a stand-in for the Azure CLI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.templates import INFRA

PARAMETERS = {
    "functionAppName": {"value": "app"},
    "functionAppResourceGroupName": {"value": "group"},
    "storageAccountResourceId": {"value": "/s"},
    "deadLetterContainerName": {"value": "dead-letters"},
    "pushTopics": {"value": []},
    "taskTopics": {"value": []},
}
_AZ = """#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
args = sys.argv[1:]
with (folder / "said").open("a") as said:
    said.write(json.dumps(args) + "\\n")
if args[0] == "rest":
    if (folder / "no-sync").exists():
        sys.exit("no right")
elif args[:2] == ["functionapp", "function"]:
    print((folder / "functions").read_text())
elif args[:3] == ["deployment", "sub", "show"]:
    print((folder / "outputs").read_text())
elif args[:3] == ["deployment", "sub", "create"]:
    file = args[args.index("--parameters") + 1].removeprefix("@")
    (folder / "given").write_text(pathlib.Path(file).read_text())
    if (folder / "refusal").exists():
        sys.exit((folder / "refusal").read_text())
    print("{{}}")
"""


def _run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    az = folder / "az"
    az.write_text(_AZ.format(python=sys.executable, folder=str(folder)))
    az.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AZURE_")}
    return subprocess.run(
        [sys.executable, str(INFRA / "hooks" / "subscribe.py"), *arguments],
        env={**kept, "PATH": f"{folder}:{os.environ['PATH']}", **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "functions").write_text('["app/image_pushed", "app/task_changed", "app/sweep"]')
    (tmp_path / "outputs").write_text(json.dumps(PARAMETERS))
    return tmp_path


def _said(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "said").read_text().splitlines()]


def test_azd_gives_the_parameters_by_its_environment(folder: Path) -> None:
    """What main.bicep put out is what event-subscriptions.json is given."""
    done = _run(
        folder,
        AZURE_LOCATION="westeurope",
        AZURE_SUBSCRIPTION_ID="sub",
        EVENT_SUBSCRIPTION_PARAMETERS=json.dumps(PARAMETERS),
    )

    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "given").read_text()) == PARAMETERS
    synced, listed, created = _said(folder)
    assert synced[:4] == ["rest", "--method", "post", "--url"]
    assert synced[4].startswith("/subscriptions/sub/resourceGroups/group/providers/")
    assert synced[4].endswith("/sites/app/host/default/sync?api-version=2024-11-01")
    assert listed[:3] == ["functionapp", "function", "list"]
    assert created[:3] == ["deployment", "sub", "create"]
    assert str(INFRA / "event-subscriptions.json") in created
    assert created[created.index("--subscription") + 1] == "sub"


def test_by_hand_they_come_from_the_deployment(folder: Path) -> None:
    """Without azd, the deployment of main.bicep is asked."""
    done = _run(folder, "--deployment", "acr-rebuilder", "--location", "westeurope")

    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "given").read_text()) == PARAMETERS
    assert _said(folder)[0][:5] == ["deployment", "sub", "show", "--name", "acr-rebuilder"]


def test_missing_functions_are_named(folder: Path) -> None:
    """Nothing is subscribed to a function that did not come."""
    (folder / "functions").write_text('["app/image_pushed"]')
    done = _run(folder, "--deployment", "d", "--location", "westeurope", "--minutes", "0")

    assert done.returncode == 1
    assert "did not come: not there yet: task_changed" in done.stderr
    assert not (folder / "given").exists()


def test_a_refusal_is_told(folder: Path) -> None:
    """What ARM refuses for good is not tried again."""
    (folder / "refusal").write_text("AuthorizationFailed: no")
    done = _run(folder, "--deployment", "d", "--location", "westeurope")

    assert done.returncode == 1
    assert "AuthorizationFailed: no" in done.stderr


def test_a_deployment_without_outputs_is_told(folder: Path) -> None:
    """The message says what to deploy first."""
    (folder / "outputs").write_text("null")
    done = _run(folder, "--deployment", "d", "--location", "westeurope")

    assert done.returncode == 1
    assert "the deployment d has no EVENT_SUBSCRIPTION_PARAMETERS" in done.stderr


def test_whoever_may_not_sync_triggers_waits_for_the_platform(folder: Path) -> None:
    """It is told, and the functions are waited for all the same."""
    (folder / "no-sync").touch()
    done = _run(folder, "--deployment", "d", "--location", "westeurope")

    assert done.returncode == 0, done.stderr
    assert "triggers were not synced: no right" in done.stderr
    sync = next(args for args in _said(folder) if args[0] == "rest")
    assert sync[4].startswith("/subscriptions/{subscriptionId}/resourceGroups/group/")
