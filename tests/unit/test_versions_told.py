"""The versions of the worker and of its packages, in one line of the log."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from types import ModuleType

import azure.functions as func
import azure_functions_runtime
import pytest

from rebuilder import composition
from rebuilder._log_lines import install
from rebuilder.telemetry import dimensions, versions
from rebuilder.telemetry.versions import tell_versions

HERE = str(Path(azure_functions_runtime.__file__).parents[1])
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _first(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing was told in this process yet."""
    install()
    caplog.set_level(logging.INFO, "rebuilder.telemetry.versions")
    tell_versions.cache_clear()
    yield
    tell_versions.cache_clear()


def module(monkeypatch: pytest.MonkeyPatch, name: str, file: object = None, **has: object) -> None:
    """Have a module be imported."""
    made = ModuleType(name)
    vars(made).update(has, __file__=file)
    monkeypatch.setitem(sys.modules, name, made)


def told(caplog: pytest.LogCaptureFixture) -> tuple[str, dict[str, object]]:
    """Return the only line, and what it is about."""
    (record,) = (r for r in caplog.records if r.name == versions.__name__)
    assert record.levelno == logging.INFO
    about = {name: vars(record)[name] for name in dimensions.NAMES if name in vars(record)}
    return record.getMessage(), about


def test_the_versions_are_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dimensions of their own, and none of the work that is in hand."""
    module(monkeypatch, "proxy_worker", "/host/proxy_worker/__init__.py")
    module(monkeypatch, "proxy_worker.version", VERSION="4.40.2")
    runtime, library = version("azure-functions-runtime"), version("azure-functions")
    with dimensions.lines_about({dimensions.PUSH: "p"}):
        for _ in range(3):
            tell_versions()

    assert told(caplog) == (
        (
            f"Functions worker 4.40.2, azure-functions-runtime {runtime} of {HERE},"
            f" azure-functions {library}, Python {python_version()}"
        ),
        {
            "process.runtime.version": python_version(),
            "rebuilder.functions_worker": "4.40.2",
            "rebuilder.azure_functions_runtime": runtime,
            "rebuilder.azure_functions": library,
        },
    )


def test_the_copy_in_use_is_the_one_that_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not the one that the app brings, where the platform has put its own before it."""
    info = tmp_path / "azure_functions_runtime-9.8.7.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: azure-functions-runtime\nVersion: 9.8.7\n")
    file = str(tmp_path / "azure_functions_runtime" / "__init__.py")
    module(monkeypatch, "azure_functions_runtime", file)
    tell_versions()

    assert f"azure-functions-runtime 9.8.7 of {tmp_path}," in told(caplog)[0]


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("own", ["1.2.3", None, 7])
def test_without_metadata_the_package_is_asked(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    own: object,
    *,
    broken: bool,
) -> None:
    """What nobody knows is unknown, and nothing is raised."""
    if broken:
        (tmp_path / "azure_functions_runtime-1.dist-info").mkdir()
        (tmp_path / "azure_functions_runtime-1.dist-info" / "METADATA").write_bytes(b"\xff\xfe")
    module(monkeypatch, "azure_functions_runtime", str(tmp_path / "x" / "__init__.py"))
    module(monkeypatch, "azure_functions_runtime.version", VERSION=own)
    module(monkeypatch, "azure.functions", file="odd.py")
    monkeypatch.delitem(sys.modules, "proxy_worker", raising=False)
    tell_versions()

    runtime = own if isinstance(own, str) else "unknown"
    assert told(caplog)[0] == (
        f"Functions worker unknown, azure-functions-runtime {runtime} of {tmp_path},"
        f" azure-functions unknown, Python {python_version()}"
    )


def test_a_process_without_functions_tells_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line has no worker."""
    monkeypatch.delitem(sys.modules, "azure.functions")
    tell_versions()

    assert caplog.records == []


def test_an_app_tells_them_when_it_first_works(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However often its functions are called."""
    assert func.__name__ in sys.modules
    monkeypatch.setenv("AzureWebJobsStorage", f"sqlite:{tmp_path / 'kept.db'}")
    registry = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/"
    monkeypatch.setenv("REBUILDER_BASE_REGISTRIES", f"{registry}mybase")
    monkeypatch.setenv("REBUILDER_TASK_REGISTRIES", f"{registry}myapps")
    try:
        for _ in range(2):
            composition.compose()
    finally:
        composition.release()

    assert told(caplog)[1]["process.runtime.version"] == python_version()


def test_indexing_the_functions_looks_for_no_version() -> None:
    """It is done at every cold start, before the first event is taken."""
    code = "import sys, function_app; print('rebuilder.telemetry.versions' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=True, text=True
    )
    assert found.stdout.strip() == "False"
