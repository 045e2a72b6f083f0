"""The log of a run while it is written: from blobs that speak TLS, and from the local cloud."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from copy import replace
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from localcloud.state import Registry
from rebuilder._net.guard import Guard
from rebuilder._net.http import Http
from rebuilder.azure.acr.log_ends import BYTES, HOSTS, MOST, LinkExpired, LogEnds
from rebuilder.azure.acr.tasks import ArmTasks
from rebuilder.azure.identity import credential
from rebuilder.azure.throttle import ArmThrottle as Manners
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.errors import NotFound, RebuilderError, SourceUnavailable, TransientError
from rebuilder.ports.acr import LogPart
from rebuilder.usecases.reports.run_log import follow_log
from tests import hosts, images
from tests.hosts import App, Environ, Hosts, Start
from tests.patience import SECONDS
from tests.unit.fakes import World

HOST = "wus3managed199.blob.core.windows.net"
SECRET = "4Rxez2%2B59Z1ZrU1Z5S7qG7%2Ft65QzMjBvFw1N7j3SmvU%3D"
LINK = f"https://{HOST}/logs/dsm/rawtext.log?sv=2021-12-02&sp=r&sig={SECRET}"
WHAT = "read the log of run dsm"


class Blob:
    """A blob that grows, and is whole when its builder says so."""

    def __init__(self) -> None:
        self.content = b""
        self.whole = False

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer as Azure does."""
        asked = str(environ.get("HTTP_RANGE", ""))
        if environ["REQUEST_METHOD"] == "HEAD":
            whole = [("x-ms-meta-Complete", "successful")] if self.whole else []
            start("200 OK", [("Content-Length", str(len(self.content))), *whole])
            return [b""]
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = self.content[int(first) : int(last) + 1]
        start("206 Partial Content", [("Content-Length", str(len(part)))])
        return [part]


@pytest.fixture(name="net")
def _net(tmp_path: Path) -> Iterator[Hosts]:
    with Hosts(tmp_path) as made:
        yield made


@pytest.fixture(name="ends")
def _ends(net: Hosts) -> Iterator[LogEnds]:
    made = LogEnds(Http(Guard(HOSTS, HOSTS, net.resolve), str(net.ca_bundle)), 10)
    yield made
    made.close()


@pytest.fixture(name="blob")
def _blob(net: Hosts) -> Blob:
    made = Blob()
    net.mount(HOST, made)
    return made


def test_a_log_is_followed_by_whole_lines(ends: LogEnds, blob: Blob) -> None:
    """Half a line waits for its other half; the last one needs no end once the blob is whole."""
    assert ends.part(LINK, WHAT, "") == LogPart("", "0")
    blob.content = b"one\ntw"
    assert ends.part(LINK, WHAT, "0") == LogPart("one\n", "4", more=True)
    assert ends.part(LINK, WHAT, "4") == LogPart("", "4")
    blob.content = b"one\ntwo\nthree"
    assert ends.part(LINK, WHAT, "4") == LogPart("two\n", "8", more=True)
    blob.whole = True
    assert ends.part(LINK, WHAT, "8") == LogPart("three", "13", complete=True)
    assert ends.part(LINK, WHAT, "13") == LogPart("", "13", complete=True)


def test_a_long_line_is_left_out(ends: LogEnds, blob: Blob) -> None:
    """And said to be: half of it could be half a secret."""
    blob.content = b"a\n" + b"x" * (2 * BYTES) + b"\nb\n"
    place, texts, more = "", [], True
    while more:
        part = ends.part(LINK, WHAT, place)
        place, more = part.place, part.more
        texts.append(part.text)

    assert "".join(texts) == "a\n(a line longer than 64 KiB is left out)\nb\n"
    blob.content, blob.whole = b"x" * (2 * BYTES), True
    part = ends.part(LINK, WHAT, "")
    assert (part.place, part.complete) == (f"{BYTES}~", False)
    assert ends.part(LINK, WHAT, part.place) == LogPart("", str(2 * BYTES), complete=True)


def test_of_a_very_long_log_the_last_mebibyte_is_read(ends: LogEnds, blob: Blob) -> None:
    """What is left out is told; the line that is cut is left out, too."""
    blob.content = b"".join(b"line %07d\n" % number for number in range(100_000))
    part = ends.part(LINK, WHAT, "")

    assert part.left_out == len(blob.content) - MOST
    assert part.text.startswith("line ")
    assert part.more


@pytest.mark.parametrize(
    ("app", "error"),
    [
        (hosts.answer(b"", "403 Forbidden"), LinkExpired),
        (hosts.answer(b"", "404 Not Found"), NotFound),
        (hosts.answer(b"x" * 9, "200 OK"), SourceUnavailable),  # it knows no ranges
        (hosts.answer(b"", "302 Found", Location="https://evil.example.com/"), TransientError),
    ],
)
def test_a_strange_answer_is_an_error_of_ours(
    net: Hosts, ends: LogEnds, app: App, error: type[RebuilderError]
) -> None:
    """Which tells no signature."""
    net.mount(HOST, app)
    with pytest.raises(error) as raised:
        ends.part(LINK, WHAT, "4")

    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("place", ["x", "-1", "4x", "9" * 30])
def test_a_place_that_is_none_is_refused(ends: LogEnds, blob: Blob, place: str) -> None:
    """It may come from whoever asks the page."""
    del blob
    with pytest.raises(SourceUnavailable):
        ends.part(LINK, WHAT, place)


@pytest.fixture(name="apps")
def _apps(cloud: LocalCloud) -> Registry:
    return images.task_registry(cloud)


@pytest.fixture(name="tasks")
def _tasks(cloud: LocalCloud) -> Iterator[ArmTasks]:
    del cloud  # its environment is what the credential looks for
    identity = credential("")

    def stopped() -> float:
        return 0.0

    made = ArmTasks(identity, "https://management.azure.com", Manners(clock=stopped), stopped)
    yield made
    made.close()
    getattr(identity, "close")()  # noqa: B009 - not part of the protocol


def started(cloud: LocalCloud, apps: Registry, tasks: ArmTasks) -> tuple[RegistryId, str]:
    """Start a run that waits for an agent."""
    cloud.scheduler.behaviour.paused = True
    images.task(apps, "builder", [])
    registry = RegistryId.parse(apps.id)
    return registry, tasks.schedule(TaskId(registry, "builder"), "dG9rZW4=")


def test_a_run_is_followed_to_its_end(
    cloud: LocalCloud,
    apps: Registry,
    tasks: ArmTasks,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From before an agent has taken it; ARM is asked once for the address, which nobody tells."""
    registry, run_id = started(cloud, apps, tasks)
    run = apps.runs[run_id]
    waits: list[Callable[[], object]] = [
        lambda: run.log.append("hello \x1b[31mred"),
        lambda: run.log.append("password=hunter2"),
        lambda: setattr(cloud.scheduler.behaviour, "paused", False),
    ]

    def wait(_: float) -> None:
        if waits:
            waits.pop(0)()
            return
        assert cloud.wait_idle(SECONDS)

    context = replace(World(tmp_path).context, tasks=tasks)
    with caplog.at_level(logging.DEBUG):
        parts = list(follow_log(context, registry, run_id, wait))

    lines = [line for part in parts for line in part.lines]
    assert lines[:2] == ["hello red", "password=***"]
    assert f"Run ID: {run_id} failed after" in lines[-1]
    assert parts[-1].over
    asked = [path for method, path in cloud.arm.requests if path.endswith("listLogSasUrl")]
    assert len(asked) == 1
    ours = [record for record in caplog.records if not record.name.startswith("uvicorn")]
    assert not any("sig=" in record.getMessage() for record in ours)


def test_an_address_that_expired_is_asked_for_again(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks
) -> None:
    """Whoever follows a run for hours notices nothing."""
    registry, run_id = started(cloud, apps, tasks)
    apps.runs[run_id].log.append("one")
    part = tasks.log_part(registry, run_id, "")
    path = f"{apps.name}/logs/{run_id}/rawtext.log"
    cloud.arm.blobs.share(path)  # another signature: the one before is good for nothing

    apps.runs[run_id].log.append("two")
    assert tasks.log_part(registry, run_id, part.place).text == "two\r\n"
    assert part.text == "one\r\n"


def test_few_addresses_are_kept(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are secrets, and good for an hour or so."""
    monkeypatch.setattr("rebuilder.azure.acr.tasks._LINKS", 1)
    registry, first = started(cloud, apps, tasks)
    second = tasks.schedule(TaskId(registry, "builder"), "dG9rZW4y")
    for run_id in (first, second):
        tasks.log_part(registry, run_id, "")

    assert len(tasks._links) == 1
