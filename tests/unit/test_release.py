"""The wheel is the command and no more, and its version is the tag's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.patience import SECONDS

ROOT = Path(__file__).resolve().parent.parent.parent
UV = str(ROOT / ".tools" / "uv" / "bin" / "uv")
PARTS = ("rebuilder", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE")


def run(*command: str, cwd: Path, **more: str) -> str:
    """Run a command; return what it prints."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, kind: str = "--wheel") -> Path:
    """Build with what uv.lock names, asking no index; return the file."""
    out = source.parent / f"built{kind}"
    shutil.rmtree(out, ignore_errors=True)
    options = ("--no-build-isolation", "--offline", "--python", sys.executable)
    run(UV, "build", kind, *options, "--out-dir", str(out), str(source), cwd=source)
    (made,) = (path for path in out.iterdir() if path.suffix in (".whl", ".gz"))
    return made


def version(wheel: Path) -> str:
    """Return a wheel's version."""
    return wheel.name.split("-")[1]


@pytest.fixture(name="source")
def _source(tmp_path: Path) -> Path:
    """What is released, without its history."""
    source = tmp_path / "source"
    source.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    return source


def committed(source: Path) -> None:
    """Make a clone of it, with one commit."""
    who = ("-c", "user.name=x", "-c", "user.email=x@x")
    for command in (("init", "-q"), ("add", "-A"), (*who, "commit", "-q", "-m", "x")):
        run("git", *command, cwd=source)


def test_the_wheel_is_the_command_alone(source: Path) -> None:
    """The package, its entry, its licence; nothing of the functions, and none of their packages."""
    wheel = build(source)
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        entry = opened.read(f"{info}/entry_points.txt").decode()
        about = Parser().parsestr(opened.read(f"{info}/METADATA").decode())
    modules = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "rebuilder").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    needed = [
        line.partition("<")[0].partition("=")[0] for line in about.get_all("Requires-Dist", [])
    ]

    assert {name for name in names if not name.startswith(info)} == modules
    assert "rebuilder = rebuilder.cli.main:main" in entry
    assert f"{info}/licenses/LICENSE" in names
    assert not [name for name in needed if name.startswith("azure-functions")]
    assert {"click", "msgspec"} <= set(needed)


def test_the_wheel_reads_a_dockerfile_without_azure(source: Path, tmp_path: Path) -> None:
    """As `uvx --from WHEEL rebuilder deps Dockerfile` does; the modules are the wheel's."""
    with zipfile.ZipFile(build(source)) as opened:
        opened.extractall(tmp_path / "installed")  # noqa: S202 - just built
    (tmp_path / "Dockerfile").write_text("FROM alpine:3\n")
    code = (
        "import sys; from rebuilder.cli import main; code = main.main(['deps', 'Dockerfile'])\n"
        "print(main.__file__, code, 'azure.core' in sys.modules, 'azure' in sys.modules)"
    )
    installed = {"PYTHONPATH": str(tmp_path / "installed")}
    told = run(sys.executable, "-c", code, cwd=tmp_path, **installed).splitlines()

    assert told[2].split() == ["docker.io/library/alpine:3", "runtime", "1", "FROM", "alpine:3"]
    assert told[3] == f"{tmp_path}/installed/rebuilder/cli/main.py 0 False False"


def test_the_version_is_the_tags(source: Path) -> None:
    """At a tag it is the tag's, and in a source distribution of it; after it, of what comes."""
    committed(source)
    run("git", "tag", "v7.8.9", cwd=source)
    with tarfile.open(build(source, "--sdist")) as archive:
        archive.extractall(source.parent / "unpacked", filter="data")
    (unpacked,) = (source.parent / "unpacked").iterdir()

    assert version(build(source)) == "7.8.9"
    assert version(build(unpacked)) == "7.8.9"
    (source / "README.md").write_text("changed")
    assert version(build(source)).startswith("7.8.10.dev0+")


def test_without_a_tag_there_is_a_version(source: Path) -> None:
    """In a clone without tags, and where there is no clone; tags of another form are none."""
    assert version(build(source)) == "0.0.0"
    committed(source)
    run("git", "tag", "nightly-1", cwd=source)
    assert version(build(source)).startswith("0.0.1.dev1+")


def test_the_changelog_has_room_for_what_comes() -> None:
    """Unreleased stands above the newest version, which has its day."""
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    headings = [line for line in lines if line.startswith("## ")]

    assert headings[0] == "## [Unreleased]"
    assert headings[1].startswith("## [0.2.0] - 20")
