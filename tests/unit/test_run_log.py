"""The log of a run as people see it."""

from __future__ import annotations

import pytest

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.failures.run_logs import Screen
from rebuilder.errors import NotFound, SourceUnavailable
from rebuilder.ports.acr import LogPart
from rebuilder.usecases.reports import run_log
from rebuilder.usecases.reports.run_log import follow_log, read_log
from tests.unit.fakes import APPS, World, run

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"
END = "AAAA\n-----END RSA PRIVATE KEY-----\nafter\n"


@pytest.fixture(name="known")
def _known(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The command sees this world, and waits for nothing."""
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    monkeypatch.setattr("rebuilder.cli.see.logs.sleep", lambda _: None)
    return world


def test_each_line_is_as_on_a_screen() -> None:
    """Progress stays, empty lines do; what a terminal would obey is seen, long lines are cut."""
    seen = Screen().lines("0123456789ab: Pulling fs layer\r\n\n50%\r100%\n\x07\n" + "y " * 2000)
    assert seen[:4] == ["0123456789ab: Pulling fs layer", "", "100%", "\\x07"]
    assert len(seen[4]) == 2000
    assert Screen().lines("") == []


def test_a_private_key_stays_hidden_over_parts(world: World) -> None:
    """The place remembers that it is in the middle of one."""
    world.tasks.parts["ca1"] = [LogPart(KEY, "40"), LogPart(END, "80", complete=True)]
    first = read_log(world.context, APPS, "ca1")
    second = read_log(world.context, APPS, "ca1", first.place)

    assert (first.lines, first.place) == (("*** (a private key)",), "k40")
    assert (second.lines, second.place, second.over) == (("after",), "80", True)
    assert world.tasks.places == ["", "40"]
    with pytest.raises(SourceUnavailable):
        read_log(world.context, APPS, "ca1", "9" * 31)


def test_a_run_whose_log_is_never_called_whole_has_an_end(world: World) -> None:
    """A few looks after the run is over; what comes meanwhile is shown."""
    world.tasks.found_runs["ca1"] = run("ca1", status=RunStatus.SUCCEEDED)
    late = [LogPart("", "0"), LogPart("a\n", "2", more=True), LogPart("b\n", "4")]
    world.tasks.parts["ca1"] = [*late, *(LogPart("", "4") for _ in range(9))]
    waited: list[float] = []
    parts = list(follow_log(world.context, APPS, "ca1", waited.append))

    assert [line for part in parts for line in part.lines] == ["a", "b"]
    assert waited == [run_log.EVERY] * 4


def test_the_command_prints_a_log(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it, from whichever registry has the run; what was left out is told."""
    known.tasks.found_runs["ca1"] = run("ca1", status=RunStatus.FAILED, error="exit 1")
    known.tasks.parts["ca1"] = [
        LogPart("a\n", "2", more=True, left_out=7),
        LogPart("b\n", "4", complete=True),
    ]
    assert cli.main(["logs", "ca1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "# 7 bytes before this are left out",
        "a",
        "b",
        "# run ca1 is Failed: exit 1",
    ]


def test_the_command_follows(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """From before there is a log."""
    known.tasks.found_runs["ca1"] = run("ca1")
    known.tasks.failures["log"] = [NotFound("no log")]
    known.tasks.parts["ca1"] = [LogPart("a\n", "2", complete=True)]
    assert cli.main(["logs", "ca1", "--follow"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a",
        "# run ca1 is Running; --follow goes on with it",
    ]


@pytest.mark.parametrize("wanted", ["ca9", "../../x", "café"])
def test_a_run_that_is_not_there(
    known: World, capsys: pytest.CaptureFixture[str], wanted: str
) -> None:
    """In none of the registries; what is no id is not asked for."""
    del known
    assert cli.main(["logs", wanted]) == 1
    assert "in myapps, theirapps; see `rebuilder runs`" in capsys.readouterr().err
