"""The workflows hold no secret, ask for little, and run what is pinned."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.infra.templates import ROOT

FOLDER = ROOT / ".github" / "workflows"


@pytest.mark.parametrize("name", ["test", "what-if", "deploy"])
def test_workflows_are_pinned_and_modest(name: str) -> None:
    """Actions are pinned by commit, or say that they are not; the token may only read."""
    text = (FOLDER / f"{name}.yml").read_text("utf-8")
    workflow = yaml.safe_load(text)
    lines = text.splitlines()

    assert workflow["permissions"]["contents"] == "read"
    assert set(workflow["permissions"]) <= {"contents", "id-token"}
    assert "secrets." not in text
    for number, line in enumerate(lines):
        if "uses:" in line and not re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line):
            assert "pin it before use" in lines[number - 1], line
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90


def test_what_is_published_is_what_is_needed() -> None:
    """The workflow's package is the function app that .funcignore leaves."""
    text = (FOLDER / "deploy.yml").read_text("utf-8")
    found = re.search(r"zip -q -r \S+ (.+)$", text, re.MULTILINE)

    assert found is not None
    assert found[1].split() == [
        *("function_app.py", "functions", "rebuilder"),
        *("host.json", "requirements.txt"),
    ]
    assert all((ROOT / name).exists() for name in found[1].split())


def test_azd_runs_the_hook() -> None:
    """azure.yaml names a hook and a service that are there."""
    azure = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))
    hook = azure["hooks"]["postdeploy"]

    assert azure["services"]["rebuilder"] == {
        "project": ".",
        "language": "python",
        "host": "function",
    }
    for system in ("posix", "windows"):
        assert (ROOT / hook[system]["run"].split()[1]).is_file()
    assert "serviceName: 'rebuilder'" in (ROOT / "infra" / "main.bicep").read_text("utf-8")
