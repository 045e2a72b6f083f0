"""`make cloud`, as a user runs it, with the Azure CLI typed into another shell."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from localcloud.sample import commands
from tests.patience import SECONDS, client

ROOT = Path(__file__).resolve().parent.parent.parent

type Type = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture(name="data")
def _data(tmp_path: Path) -> Path:
    """Return where the cloud keeps its files."""
    return tmp_path / "data"


@pytest.fixture(name="told")
def _told() -> list[str]:
    """Return what the cloud says when it is there."""
    return []


@pytest.fixture(name="cloud")
def _cloud(tmp_path: Path, data: Path, told: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start the cloud, and wait until it says that it is there."""
    source = tmp_path / "app"
    source.mkdir()
    (source / "Dockerfile").write_text("FROM docker.io/library/node:9-alpine\nENV APP=1\n")
    cloud = subprocess.Popen(
        [
            *(sys.executable, "-m", "localcloud", "--data", str(data)),
            *("--map", f"https://github.com/contoso/mine.git={source}"),
        ],
        cwd=tmp_path,  # where no local.settings.json of a developer is
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert cloud.stdout is not None
    for line in cloud.stdout:
        told.append(line)
        if "Ctrl-C ends it all." in line:
            break
    yield cloud
    cloud.kill()
    cloud.wait()
    cloud.stdout.close()


@pytest.fixture(name="type_in")
def _type_in(tmp_path: Path, data: Path) -> Type:
    """Return a function that types a command into a shell that has sourced what it was told to."""

    def run(command: str) -> subprocess.CompletedProcess[str]:
        # The Azure CLI of this project, whatever else the machine has.
        script = f". {data / 'environment'}\nexport PATH={commands()[-1]}:$PATH\n{command}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", script],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.usefixtures("az")
def test_commands_typed_by_hand_work_and_ctrl_c_ends_the_cloud(
    cloud: subprocess.Popen[str], data: Path, type_in: Type
) -> None:
    """The Azure CLI signs in, lists, builds from a mapped address and deletes; nothing is left."""
    environment = data / "environment"
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600

    listed = type_in(
        "set -e\n"
        "az login --identity --output none\n"
        "az acr list --query [].name --output tsv\n"
        "az acr task create --registry $ACR_NAME --name taskmine --image mine:1"
        " --context https://github.com/contoso/mine.git --file Dockerfile"
        " --commit-trigger-enabled false --output none\n"
        "az acr task list --registry $ACR_NAME --query [].name --output tsv\n"
    )
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.split() == ["mybaseregistry", "myappregistry", "taskmine"]
    ran = type_in("az acr task run --registry $ACR_NAME --name taskmine")
    assert "was successful after" in ran.stdout + ran.stderr
    deleted = type_in(
        "set -e\n"
        "az acr repository delete --name $ACR_NAME --repository mine --yes --output none\n"
        "az acr repository list --name $ACR_NAME --output tsv\n"
        "rebuilder runs | tail -n 1\n"
    )
    assert deleted.returncode == 0, deleted.stderr
    assert deleted.stdout.split()[1:5] == ["taskmine", "Linux", "Succeeded", "Manual"]

    cloud.send_signal(signal.SIGINT)
    assert cloud.wait(timeout=SECONDS) == 0
    assert not environment.exists()


def test_the_page_is_served_beside(cloud: subprocess.Popen[str], told: list[str]) -> None:
    """Its address is printed with its token; it shows the store of the host, and ends with it."""
    (line,) = [line for line in told if line.startswith("Operators' page: ")]
    address = line.partition(": ")[2].strip()
    with client(follow_redirects=True) as browser:
        assert "<title>" in browser.get(address).text
        assert browser.get(urljoin(address, "/api/now")).json()["mode"] == "act"
        cloud.send_signal(signal.SIGINT)
        assert cloud.wait(timeout=SECONDS) == 0
        with pytest.raises(httpx.ConnectError):
            browser.get(address)


def test_what_cannot_be_mapped_is_refused(tmp_path: Path) -> None:
    """A mapping without a folder ends the command with usage, before anything is started."""
    for mapping, problem in (("https://x/y.git", "is not URL=FOLDER"), ("u=/none", "not a folder")):
        done = subprocess.run(
            [sys.executable, "-m", "localcloud", "--data", str(tmp_path), "--map", mapping],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, problem in done.stderr) == (2, True)
