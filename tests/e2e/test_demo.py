"""`make demo`, as a user runs it; nothing is left of it, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.patience import SECONDS, until

ROOT = Path(__file__).resolve().parent.parent.parent


def start(folder: Path, builder: str, **more: str) -> subprocess.Popen[str]:
    """Start the demo with a mark in its environment that its children inherit."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-m", "localcloud.demo", "--builder", builder],
        cwd=ROOT,
        env={**environment, "REBUILDER_DEMO_MARK": str(folder), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left(folder: Path) -> list[str]:
    """Return the processes that carry the demo's mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"REBUILDER_DEMO_MARK={folder}".encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    "builder", ["embedded", pytest.param("buildah", marks=pytest.mark.needs("buildah", "busybox"))]
)
def test_the_demo_plays_the_tutorial(tmp_path: Path, builder: str) -> None:
    """Two tables, the second with one more run by Image Update; the version before and after."""
    demo = start(tmp_path, builder)
    output, _ = demo.communicate(timeout=SECONDS)

    assert demo.returncode == 0, output
    rows = re.findall(r"^  (c\w+) +taskhelloworld +Linux +Succeeded +(.*?)  ", output, re.MULTILINE)
    assert rows == [("cb1", "Manual"), ("cb2", "Image Update"), ("cb1", "Manual")]
    assert "before: 9.11.2 (helloworld:cb1)" in output
    assert "after:  9.11.2a (helloworld:cb2)" in output
    assert "because its runtime base mybaseregistry.azurecr.io/baseimages/node:9-alpine" in output
    assert "stands on the new base: myappregistry.azurecr.io/helloworld:cb2" in output
    # Digests have any digits in them.
    assert not re.search(r"\b40[13]\b|[Uu]nauthorized|not known|[Dd]enied", output)
    assert "\033[" not in output
    assert left(tmp_path) == []
    assert list(tmp_path.glob("rebuilder-demo-*")) == []


def test_the_demo_keeps_its_page_open(tmp_path: Path) -> None:
    """`make demo WEB=1` prints the page's address; Ctrl-C ends the page, and the demo goes on."""
    dry = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo", "WEB=1"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert dry.stdout.rstrip().endswith("-m localcloud.demo")
    demo = start(tmp_path, "embedded", WEB="1")
    assert demo.stdout is not None
    address = ""
    for line in demo.stdout:
        if address := "".join(re.findall(r"http://127\.0\.0\.1:\d+/\?token=\S+", line)):
            break
    with httpx.Client(follow_redirects=True, timeout=SECONDS, trust_env=False) as client:
        page = client.get(address)
        assert "ACR Rebuilder" in page.text
        now = client.get(str(page.url.join("/api/now"))).json()
    assert [push["image"] for push in now["pushes"]] == ["mybaseregistry/baseimages/node:9-alpine"]
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=SECONDS)

    assert demo.returncode == 0, output
    assert "Done. Nothing is left running." in output
    until(lambda: not left(tmp_path), "the end of every process")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C in the middle ends every process and removes the files."""
    demo = start(tmp_path, "embedded")
    assert demo.stdout is not None
    for line in demo.stdout:
        if "rebuilder runs" in line:
            break
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=SECONDS)

    assert demo.returncode == 130, output
    until(lambda: not left(tmp_path), "the end of every process")
    assert list(tmp_path.glob("rebuilder-demo-*")) == []
