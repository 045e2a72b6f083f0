"""The files around the code agree with each other."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def test_requirements_are_the_locks() -> None:
    """requirements.txt is what `make requirements` would write now, the runtime pinned in it."""
    recipe = (ROOT / "Makefile").read_text().partition("\nrequirements: env\n\t@$(UV) ")[2]
    arguments = recipe.splitlines()[0].removesuffix(" --output-file requirements.txt").split()
    command = [str(ROOT / ".tools" / "uv" / "bin" / "uv"), *arguments]
    exported = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout

    def pins(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.strip().startswith("#")]

    kept = pins((ROOT / "requirements.txt").read_text())
    assert arguments[0] == "export"
    assert kept == pins(exported)
    assert "azure-functions-runtime==1.3.0 \\" in kept


def test_every_requirement_has_its_hashes() -> None:
    """All or nothing: with one hash pip asks for all, and without any it asks for none."""
    text = (ROOT / "requirements.txt").read_text()
    assert "://" not in re.sub(r"(?m)^ *#.*$", "", text)  # no index, no address of a file
    joined = re.sub(r"(?m)^ *#.*\n", "", text).replace("\\\n", " ")
    requirements = [line for line in joined.splitlines() if line.strip()]
    form = re.compile(r"[a-z0-9-]+==\S+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+")

    assert len(requirements) > 20
    assert [line for line in requirements if not form.fullmatch(line.strip())] == []


def test_the_lock_fits_the_project() -> None:
    """uv.lock needs no change for pyproject.toml."""
    uv = str(ROOT / ".tools" / "uv" / "bin" / "uv")
    checked = subprocess.run(
        [uv, "lock", "--check", "--offline"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert checked.returncode == 0, checked.stderr
    assert project["requires-python"] == ">=3.13"
    assert project["scripts"] == {"rebuilder": "rebuilder.cli.main:main"}


def test_what_is_deployed_is_complete() -> None:
    """.funcignore leaves out nothing that the function app imports or reads."""
    ignored = {
        line
        for line in (ROOT / ".funcignore").read_text().splitlines()
        if line and not line.startswith("#")
    }
    needed = {"function_app.py", "functions", "rebuilder", "host.json", "requirements.txt"}

    assert not needed & ignored
    assert {"localcloud", "tests", "local.settings*.json"} <= ignored


def test_host_json_gives_failed_messages_time() -> None:
    """A failed message is not tried again at once, five times."""
    host = json.loads((ROOT / "host.json").read_text())

    assert host["version"] == "2.0"
    assert host["extensions"]["queues"]["visibilityTimeout"] == "00:00:30"
    assert host["extensions"]["queues"]["messageEncoding"] == "base64"


def test_links_of_the_documents_lead_somewhere() -> None:
    """Every relative link in README and docs names a file."""
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{document.name}: {link}"
        for document in documents
        for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", document.read_text())
        if not (document.parent / link).exists()
    ]

    assert len(documents) > 4
    assert broken == []


@pytest.mark.parametrize("folder", ["docs", "docs/decisions"])
def test_every_page_is_in_the_index_of_its_folder(folder: str) -> None:
    """The index links each page; a decision by its number and title."""
    index = (ROOT / folder / "README.md").read_text()
    pages = [page for page in (ROOT / folder).glob("*.md") if page.name != "README.md"]

    assert pages
    assert [page.name for page in pages if f"]({page.name})" not in index] == []
    for page in pages:
        if decision := re.match(r"# (\d+)\. (.*)\n", page.read_text()):
            assert f"| {decision[1]} | [{decision[2]}]({page.name}) |" in index
