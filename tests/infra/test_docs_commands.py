"""Every command of docs/ is typed into a shell in front of the local cloud, or listed here.

docs/deploy.md and docs/operations.md are carried out from the first registry to the last role, with
the real Azure CLI; what is there before is there again afterwards, and nothing else.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from localcloud.sample import cli_environment, path
from localcloud.shell import Shell
from tests import images
from tests.infra.templates import ROOT
from tests.infra.test_deployments import APPS, BASE, GROUP, SUBSCRIPTION
from tests.infra.test_remove_tool import Remover

PAGES = ("deploy.md", "operations.md")
_BEGINS = re.compile(r"(?:az|azd|make|python3?|rebuilder|zip|cp|export|output|GROUP=)\b|output\(\)")
_PLACEHOLDERS = {
    "ENV": "docs",
    "LOCATION": "westeurope",
    "SUBSCRIPTION": SUBSCRIPTION,
    "PROVIDER": "EventGrid",
    "NAME": BASE,
    "BASE": BASE,
    "REGISTRY": APPS,
    "TASK": "mytask",
    "REGISTRY_ID": "$BASE_ID",
    "BASE_REGISTRY_ID": "$BASE_ID",
    "FUNCTION_APP_ID": "$SITE",
    "WORKSPACE_ID": "$WORKSPACE",
    "TOPIC": f"egst-{BASE}",
    "YOUR_IP": "127.0.0.1",
    "RESOURCE_ID": "$SITE",
}

_LISTED = (Path(__file__).parent / "docs_commands.txt").read_text("utf-8").splitlines()
_LINES = [line for line in _LISTED if line and not line.startswith("#")]

RUN = [line for line in _LINES if " ### " not in line]
"""What is typed, in this order."""

NOT_RUN = dict(line.split("  ### ") for line in _LINES if " ### " in line)
"""What cannot be typed here, or is typed elsewhere, and why."""


def _commands(page: str) -> Iterator[str]:
    """Give every command of a page; what only names a command is none."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            command = " ".join(re.sub(r"\s{2,}#.*", "", line).split())
            told = _BEGINS.match(command) and "--" in command
            if told or command.startswith(("cp ", "export ", "GROUP=")):
                yield command
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for span in re.findall(r"`([^`]+)`", outside):
        command = " ".join(span.split())
        named = "--" not in command and "=" not in command
        if _BEGINS.match(command) and not named and "..." not in command:
            yield command


def test_every_command_is_run_or_listed() -> None:
    """None is in the docs without having been tried, and none is tried that is not there."""
    found = {command for page in PAGES for command in _commands(page)}

    assert found - set(RUN) - NOT_RUN.keys() == set()
    assert (set(RUN) | NOT_RUN.keys()) - found == set()
    assert all(len(reason) > 5 for reason in NOT_RUN.values())


def _typed(command: str) -> str:
    def chosen(match: re.Match[str]) -> str:
        return _PLACEHOLDERS.get(match[0], match[0])

    # $GROUP and $APP are the shell's; GROUP by itself is the registries' group.
    text = re.sub(r"(?<![\w$@./=\"])GROUP(?!=)\b", GROUP, command)
    return re.sub(r"(?<![\w$])[A-Z]+(?:_[A-Z]+)*(?![\w=(])", chosen, text)


@pytest.mark.timeout(3000)  # some sixty starts of the Azure CLI
def test_the_docs_are_carried_out(cloud: LocalCloud, tmp_path: Path) -> None:
    """From two registries to a deployed product with a task, and back to what was before."""
    remover = Remover(cloud, tmp_path)
    folder = tmp_path / "clone"
    for name in ("infra", "tools", "functions", "rebuilder"):
        ignored = shutil.ignore_patterns("__pycache__", "azure-cli", "azurite", "checkov")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("function_app.py", "host.json", "requirements.txt"):
        shutil.copy(ROOT / name, folder / name)
    role = json.loads((folder / "infra" / "rebuilder-role.json").read_text("utf-8"))
    role["AssignableScopes"] = [f"/subscriptions/{SUBSCRIPTION}"]
    (folder / "infra" / "rebuilder-role.json").write_text(json.dumps(role), "utf-8")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {BASE}.azurecr.io/images/node:9\n", "utf-8")
    cloud.map_context("https://github.com/contoso/app.git", context)
    images.push(cloud, remover.deployer.base, "images/node", "9", "first")
    # A task of one's own, which has an identity and no credentials yet.
    task = images.task(remover.deployer.apps, "mytask", None)
    images.identify(cloud, remover.deployer.apps, task, ("AcrPull", remover.deployer.base))
    before = remover.listed()
    environment = {
        "PATH": path(),
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        **cli_environment(tmp_path / "azure"),
        **cloud.environment(cloud.developer),
        "BASE_ID": remover.deployer.base.id,
    }
    printed: list[str] = []
    with Shell(folder, environment, printed.append) as shell:
        _must(shell, "az login --identity --output none")
        for command in RUN:
            _must(shell, _typed(command))
            if "minimal.parameters.json" in command:
                _choose(folder / "main.parameters.json")
            if command.startswith("GROUP="):
                _must(shell, "SITE=$(output FUNCTION_APP_RESOURCE_ID)")
    left = remover.listed() - before

    assert {place for place in left if not place.startswith("role ")} == set()
    assert left == {f"role {role['Name']}"}  # made by hand, so it is for a hand to delete
    assert before <= remover.listed()


def _must(shell: Shell, command: str) -> None:
    code, said = shell.run(command)
    # The doctor may find that the task has not run yet: its word, and no failure of the steps.
    fine = code == 0 or (code == 1 and "Events of pushes and of changed tasks" in said)
    assert fine, f"{command}\nended with {code}:\n{said}"


def _choose(file: Path) -> None:
    """Write what a reader writes: which registries, and here a task, too."""
    given = json.loads(file.read_text("utf-8"))
    given["parameters"]["registries"]["value"] = [
        {"name": BASE, "use": "base", "resourceGroupName": GROUP},
        {"name": APPS, "use": "tasks", "resourceGroupName": GROUP},
    ]
    given["parameters"]["sampleTask"] = {
        "value": {
            "registryName": APPS,
            "baseRegistryName": BASE,
            "contextPath": "https://github.com/contoso/app.git",
            "dockerFilePath": "Dockerfile",
        }
    }
    file.write_text(json.dumps(given), "utf-8")
