"""The workflows hold no secret, ask for little, and run what is pinned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.infra.templates import ROOT

FOLDER = ROOT / ".github" / "workflows"


# Whoever owns an action may move its tags; a commit stays what it is. One job signs in to Azure.
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
WORKFLOWS = sorted(path for path in FOLDER.iterdir() if path.suffix in (".yml", ".yaml"))


def test_every_workflow_is_looked_at() -> None:
    """There are four, and nothing else is in their folder."""
    assert [path.name for path in WORKFLOWS] == [
        *("deploy.yml", "release.yml", "test.yml", "what-if.yml")
    ]
    assert sorted(FOLDER.iterdir()) == WORKFLOWS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_are_pinned_and_modest(path: Path) -> None:
    """Every action is pinned by its commit, with its version beside; the token may only read."""
    text = path.read_text("utf-8")
    workflow = yaml.safe_load(text)
    written = [line.partition("uses:")[2].strip() for line in text.splitlines() if "uses:" in line]
    used = [
        step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step
    ]

    assert [PINNED.fullmatch(line) is not None for line in written] == [True] * len(written)
    assert [line.partition(" #")[0] for line in written] == used
    assert not any("uses" in job for job in workflow["jobs"].values())
    assert workflow["permissions"]["contents"] == "read"
    assert set(workflow["permissions"]) <= {"contents", "id-token"}
    assert "secrets." not in text
    assert "pull_request_target" not in text
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        # Only a release is made by a workflow, and nothing but a release.
        more = {"attestations"} if path.stem == "release" else set()
        given = job.get("permissions", {})
        assert not set(given) - {"contents", "id-token"} - more
        assert given.get("contents", "read") == "read" or path.stem == "release"


def test_a_release_is_of_a_tag_and_attested() -> None:
    """Nothing else starts it; what is attested is what is released."""
    workflow = yaml.safe_load((FOLDER / "release.yml").read_text("utf-8"))
    steps = workflow["jobs"]["release"]["steps"]
    runs = "\n".join(step.get("run", "") for step in steps)

    # YAML takes `on` for a truth value.
    assert workflow[True] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}
    assert [step["with"] for step in steps if "attest" in step.get("uses", "")] == [
        {"subject-path": "dist/*"}
    ]
    assert "uv build --no-build-isolation --out-dir dist" in runs
    assert "gh release create" in runs.splitlines()[-1]


def test_one_version_of_each_action_is_used() -> None:
    """What one workflow was looked at with is what the others run."""
    found: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for line in re.findall(r"uses: (.+)", path.read_text("utf-8")):
            found.setdefault(line.partition("@")[0], set()).add(line)

    assert sorted(found) == [
        *("actions/attest-build-provenance", "actions/checkout"),
        *("actions/setup-python", "azure/login"),
    ]
    assert [len(lines) for lines in found.values()] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "line",
    [
        *("azure/login@v2", "azure/login@v3.0.1", "azure/login@main", "./local"),
        "azure/login@f5d393ae46f8fde4be8b75f32e3fc50e654ad0ca",
        "azure/login@f5d393ae46f8fde4be8b75f32e3fc50e654ad0ca # v3",
        "azure/login@f5d393a # v3.0.1",
        "docker://alpine:3 # v1.2.3",
    ],
)
def test_what_is_not_pinned(line: str) -> None:
    """A tag, a branch, a short commit, and one without its version."""
    assert not PINNED.fullmatch(line)


def test_the_workflow_deploys_as_people_do() -> None:
    """By the one script; what it publishes is the function app that .funcignore leaves."""
    workflow = yaml.safe_load((FOLDER / "deploy.yml").read_text("utf-8"))
    *_, last = workflow["jobs"]["deploy"]["steps"]
    script = (ROOT / "tools" / "deploy.py").read_text("utf-8")

    assert last["run"].startswith("python3 tools/deploy.py --environment ")
    assert "--steps check,provision,publish,page,wait,subscribe" in last["run"]
    assert set(workflow[True]["workflow_dispatch"]["inputs"]) == {"probe", "sample"}
    assert last["run"].endswith('${PROBE:+--probe} ${SAMPLE:+--sample "$SAMPLE"}\n')
    found = re.search(r"^PUBLISHED = \((.+)\)$", script, re.MULTILINE)
    assert found is not None
    names = [name.strip().strip('"') for name in found[1].split(",")]
    assert sorted(names) == [
        *("function_app.py", "functions", "host.json"),
        *("rebuilder", "requirements.txt"),
    ]
    assert all((ROOT / name).exists() for name in names)


def test_the_local_cloud_brings_what_a_deployment_needs() -> None:
    """Whoever deploys on it from a fresh clone needs storage, and so Azurite."""
    text = (ROOT / "Makefile").read_text("utf-8")

    for target in ("cloud", "deploy-local"):
        found = re.search(rf"^{target}: (.+)$", text, re.MULTILINE)
        assert found is not None
        assert ".tools/azurite/done" in found[1]


def test_azd_runs_the_hook() -> None:
    """azure.yaml names hooks and a service that are there."""
    azure = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))
    hooks = azure["hooks"]

    assert azure["services"]["rebuilder"] == {
        "project": ".",
        "language": "python",
        "host": "function",
    }
    assert set(hooks) == {"preprovision", "postdeploy"}
    for hook in hooks.values():
        assert hook["posix"]["run"] == hook["windows"]["run"].replace("python ", "python3 ")
        assert (ROOT / hook["posix"]["run"].split()[1]).is_file()
    assert "serviceName: 'rebuilder'" in (ROOT / "infra" / "main.bicep").read_text("utf-8")
