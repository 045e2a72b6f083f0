"""`make deploy-local`, as a user runs it: infra/ deployed by Microsoft's own Azure CLI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.arm.record import RECORD
from localcloud.sample import OTHER_AZ
from tests.openapi.judge import differences, recorded

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.timeout(1800)  # the Azure CLI alone waits a minute after it has published
@pytest.mark.parametrize("events", ["webhook", "queue"])
@pytest.mark.usefixtures("az")
def test_the_deployed_app_rebuilds_and_nothing_changes_again(tmp_path: Path, events: str) -> None:
    """The templates deploy, the app rebuilds and sees a probe; a second time changes nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "localcloud.deploy", "--builder", "embedded"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            RECORD: str(tmp_path / "record"),
            OTHER_AZ: os.environ[OTHER_AZ],
            "EVENTS": events,
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    exchanges = recorded(tmp_path / "record")
    assert len(exchanges) > 100
    assert differences(exchanges) == []
    assert len(re.findall(r"^  Resource changes: \d+ no change\.$", done.stdout, re.MULTILINE)) == 2
    rebuilt = re.findall(
        r"^  c\w+ +taskhelloworld +Linux +Succeeded +Image Update ", done.stdout, re.MULTILINE
    )
    assert len(rebuilt) == 2  # the table is shown before and after
    assert "Application Insights was told of it, by identity" in done.stdout
    assert "seen by the app, and rebuilt; made once" in done.stdout
    assert list(tmp_path.glob("rebuilder-deployment-*")) == []


def test_another_way_of_events_is_refused() -> None:
    """Before anything is started."""
    done = subprocess.run(
        [sys.executable, "-m", "localcloud.deploy"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "EVENTS": "pigeon"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "EVENTS is one of webhook and queue, not pigeon.\n",
    )
