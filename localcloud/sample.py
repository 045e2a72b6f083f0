"""The tutorial's sample and the names that its commands are typed with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "samples" / "helloworld-node"
CLI = ROOT / ".tools" / "azure-cli" / "bin"
OTHER_AZ = "LOCALCLOUD_AZ"
"""The variable that names the folder of another `az` than the project's."""

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
REPOSITORY = "https://github.com/contoso/acr-build-helloworld-node.git"
TOKEN = "ghp_of_the_tutorial"
NAMES = {
    "BASE_ACR": "mybaseregistry",
    "ACR_NAME": "myappregistry",
    "BASE_GROUP": "base-images",
    "APP_GROUP": "applications",
    "GIT_USER": "contoso",
    "GIT_PAT": TOKEN,
}
BASE_REGION, APP_REGION = "westeurope", "eastus"
_REGISTRY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{{}}"
    "/providers/Microsoft.ContainerRegistry/registries/{}"
)
BASE_ID = _REGISTRY.format(NAMES["BASE_GROUP"], NAMES["BASE_ACR"])
APP_ID = _REGISTRY.format(NAMES["APP_GROUP"], NAMES["ACR_NAME"])


def fork(folder: Path) -> Path:
    """Return what stands for the reader's fork of the sample: a new folder, a git repository.

    Where the machine has no git, it is a folder only; the local cloud takes both.
    """
    shutil.copytree(SAMPLE, folder)
    git = shutil.which("git")
    if git is None:
        return folder
    identity = ["-c", "user.name=Tutorial", "-c", "user.email=tutorial@example.com"]
    for arguments in (
        ["init", "--quiet", "--initial-branch=master"],
        ["add", "--all"],
        [*identity, "commit", "--quiet", "--message=Fork"],
    ):
        subprocess.run([git, *arguments], cwd=folder, check=True)
    return folder


def cli_environment(folder: Path) -> dict[str, str]:
    """Return the variables that keep the Azure CLI to itself.

    Args:
        folder: Where it keeps its configuration, apart from the user's own.
    """
    return {
        "AZURE_CONFIG_DIR": str(folder),
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "AZURE_CORE_NO_COLOR": "true",
        "PYTHONWARNINGS": "ignore",  # the CLI's own
    }


def commands() -> list[str]:
    """Return the folders in which `rebuilder` and this project's `az` are found."""
    cli = Path(os.environ.get(OTHER_AZ) or CLI)
    return [str(folder) for folder in (Path(sys.executable).parent, cli) if folder.is_dir()]


def path() -> str:
    """Return a PATH on which those come first."""
    return os.pathsep.join([*commands(), os.environ.get("PATH", "")])
