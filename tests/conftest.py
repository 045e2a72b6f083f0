"""What every test may use, and the account of what could not be tried on this machine."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import coverage
import pytest
from hypothesis import HealthCheck, settings

from localcloud.cloud import LocalCloud
from localcloud.sample import OTHER_AZ
from rebuilder.composition import release
from tests import warmaz
from tests.azurite import Azurite

# Timing belongs in bench/: how long an example takes says nothing here, least of all beside others.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Whose tests tell which lines are tried. To be traced doubles what a test takes, and the others
# play whole systems, most of each in processes of its own.
MEASURED = ("unit", "contract")

# Set in continuous integration, where nothing may be skipped.
SKIP_NOTHING = "REBUILDER_TESTS_SKIP_NOTHING"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of tests that need a tool which neither PyPI nor npm has."""
    config.addinivalue_line("markers", "needs(tool): the test uses a tool that `make tools` brings")
    config.addinivalue_line("markers", "unmeasured: the lines that the test tries are not counted")
    if not hasattr(config, "workerinput"):
        warmaz.prepare()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the processes of this run share."""
    if not hasattr(config, "workerinput"):
        warmaz.end()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect ten thousand tests, and look for garbage afterwards; they are there to the end."""
    del session
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files first that hold long tests, which have a limit of their own.

    What is begun last is waited for with a core to spare.
    """
    long = {item.path for item in items if item.get_closest_marker("timeout")}
    items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Count the lines that a test tries, or leave it in peace, its fixtures included."""
    measuring = coverage.Coverage.current()
    place = item.path.relative_to(Path(__file__).parent).parts[0]
    # A property's examples are hundreds, and go the ways that other tests go once.
    many = getattr(getattr(item, "function", None), "is_hypothesis_test", False)
    counts = place in MEASURED and not (many or item.get_closest_marker("unmeasured"))
    if measuring is None or counts:
        return (yield)
    measuring.stop()
    try:
        return (yield)
    finally:
        measuring.start()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose tool is missing, by name; or fail it where nothing may be skipped."""
    for marker in item.iter_markers("needs"):
        for tool in marker.args:
            if shutil.which(tool):
                continue
            if os.environ.get(SKIP_NOTHING):
                pytest.fail(f"{tool} is missing; run `make tools`")
            # On a user's machine only: continuous integration fails three lines above.
            pytest.skip(f"{tool} is not installed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say last what was not tried on this machine."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section("NOT TRIED on this machine; `make tools` installs what is missing")
    for report in skipped:
        terminalreporter.line(f"{report.nodeid}: {report.longrepr[2]}")


@pytest.fixture(scope="session", name="azurite")
def _azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Start Azurite once for all tests."""
    server = Azurite(Path(tmp_path_factory.mktemp("azurite")))
    yield server
    server.stop()


@pytest.fixture(scope="module", name="az")
def _az() -> Iterator[None]:
    """Have the Azure CLI that tests and their processes type be warm."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OTHER_AZ, str(warmaz.started()))
        yield


@pytest.fixture(name="cloud")
def _cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    """Start a local cloud with the embedded builder and point this process at it."""
    with LocalCloud(tmp_path / "cloud", builder="embedded") as cloud:
        for name, value in cloud.environment().items():
            monkeypatch.setenv(name, value)
        yield cloud
        release()
