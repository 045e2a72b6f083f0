"""The live checks run: on the local cloud, and not at all without a subscription."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from tests import images

ROOT = Path(__file__).resolve().parent.parent.parent
_LIVE = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "tests/live"]


def run(*more: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the suite in a process of its own."""
    given = {k: v for k, v in os.environ.items() if not k.startswith("REBUILDER_LIVE_")}
    return subprocess.run(
        [*_LIVE, *more],
        cwd=ROOT,
        env={**given, **env},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.timeout(1800)
def test_the_suite_on_the_local_cloud(cloud: LocalCloud, tmp_path: Path) -> None:
    """Every row that a program can ask is asked, answered and written down."""
    registry = images.registry(cloud, "liveregistry")
    for name in ("live/a", "live/b"):
        images.push(cloud, registry, name, "1", name, {"file": name.encode()})
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n")
    address = "https://github.com/contoso/live.git"
    cloud.map_context(address, folder)
    record = tmp_path / "answers.jsonl"
    done = run(
        **cloud.environment(cloud.developer),
        REBUILDER_LIVE_SUBSCRIPTION=registry.subscription_id,
        REBUILDER_LIVE_GROUP=registry.resource_group,
        REBUILDER_LIVE_REGISTRY=registry.name,
        REBUILDER_LIVE_CONTEXT=address,
        REBUILDER_LIVE_IMAGES="live/a:1 live/b:1",
        REBUILDER_LIVE_RECORD=str(record),
    )
    assert done.returncode == 0, done.stdout + done.stderr

    lines = record.read_text(encoding="utf-8").splitlines()
    answers = {line["row"]: line["answer"] for line in map(json.loads, lines)}
    assert sorted(answers) == [1, 2, 3, 4, 5, 10, 11, 12, 14, 15, 19]
    assert (answers[1], answers[3], answers[4], answers[5], answers[15]) == (True,) * 5
    assert not registry.tasks


def test_without_a_subscription_it_says_what_to_set() -> None:
    """Named without one, it ends at once with the names of what is missing."""
    done = run()

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "REBUILDER_LIVE_SUBSCRIPTION: the id of a subscription" in done.stderr


def test_the_gate_does_not_collect_it() -> None:
    """Neither run nor skipped: the suite is not there unless it is named."""
    others = [path for path in sorted((ROOT / "tests").iterdir()) if path.name != "live"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"),
            *(f"--ignore={path}" for path in others),
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout
