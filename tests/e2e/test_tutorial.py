"""`make tutorial`, as a user runs it: Microsoft's own Azure CLI against the local cloud."""

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


@pytest.mark.timeout(1800)  # some sixty commands of the Azure CLI
@pytest.mark.usefixtures("az")
@pytest.mark.needs("buildah", "busybox", "skopeo")
def test_the_tutorial_comes_out_as_promised(tmp_path: Path) -> None:
    """Every command of the tutorial does what it says, and the pages show each new version."""
    done = subprocess.run(
        [sys.executable, "-m", "localcloud.tutorial"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            RECORD: str(tmp_path / "record"),
            OTHER_AZ: os.environ[OTHER_AZ],
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    exchanges = recorded(tmp_path / "record")
    assert len(exchanges) > 100
    assert differences(exchanges) == []
    pages = re.findall(r"the page says (\S+)", done.stdout)
    assert pages == ["9.11.2", "9.11.2a", "9.11.2b"]
    rebuilt = re.findall(
        r"^  c\w+ +(task\w+) +Linux +Succeeded +Image Update ", done.stdout, re.MULTILINE
    )
    assert {"taskhelloworld", "taskuser", "taskmulti"} <= set(rebuilt)
    assert "lacks the role AcrPull on /subscriptions/" in done.stdout
    assert "not played" not in done.stdout
    assert list(tmp_path.glob("rebuilder-tutorial-*")) == []
