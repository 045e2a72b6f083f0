"""The measurements run, and their last line is what a program reads. Nothing is timed here."""

from __future__ import annotations

import json

import pytest

from bench import coldstart, fanout, index, latency, telemetry, wave


def test_planning_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of JSON per run; a plan asks ARM for each registry's newest runs, and no more."""
    monkeypatch.setitem(index._REPETITIONS, "sqlite", 2)
    assert index.main(["--stores", "sqlite", "--sizes", "1000,1200"]) == 0

    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(r["store"], r["tasks"]) for r in told["results"]] == [
        ("sqlite", 1000),
        ("sqlite", 1200),
    ]
    assert [set(r["armCalls"]) for r in told["results"]] == [{"list runs"}] * 2
    assert set(told["ratioLargestToSmallest"]) == {"sqlite"}


def test_what_telemetry_costs_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines and bytes of a rebuild: few, and fewer bytes than when the host sent the lines."""
    assert telemetry.main(["--rebuilds", "2"]) == 0

    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["rebuilds"] == 2
    assert 0 < told["lines_per_rebuild"] <= 12
    assert set(told["bytes_per_rebuild_by_kind"]) == {"MessageData", "MetricData", "RequestData"}
    kinds = sum(told["bytes_per_rebuild_by_kind"].values())
    assert abs(kinds - told["bytes_per_rebuild"]) <= 3
    assert told["before_bytes_per_rebuild"] > 0
    assert told["bytes_per_look"] > 0


def test_fewer_tasks_than_dependents_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The dependents are among the tasks."""
    with pytest.raises(SystemExit, match="2"):
        index.main(["--sizes", "10"])

    assert "at least 1000" in capsys.readouterr().err


def test_a_fan_out_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Each dependent of the pushed image gets one run, and the last line says at what price."""
    arguments = ["--dependents", "14", "--beside", "7", "--burst", "4", "--speed", "10"]
    assert fanout.main(arguments) == 0

    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["dependents"], told["lost"], told["doubled"]) == (14, 0, 0)
    assert told["arm_writes"] >= 14
    assert told["arm_reads"] > 0
    assert told["ratio"] > 0
    assert told["seconds"] > 0
    assert told["beside"]["dependents"] == 7
    for measured in (told, told["beside"]):
        assert measured["cpu_ms_per_rebuild"] > 0
        assert measured["storage_operations_per_rebuild"] > 0


def test_a_wave_under_a_limit_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """As many as may be are under way, and never one more; each task is built once."""
    assert wave.main(["--dependents", "12", "--most", "3", "--speed", "10"]) == 0

    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["dependents"], told["lost"], told["doubled"]) == (12, 0, 0)
    assert told["over"] is False
    # How many a look finds under way is the machine's: it may come too late for all of them.
    assert 0 <= told["least"] <= told["busy"] <= 3
    assert told["ratio"] >= 1


def test_a_wave_that_no_limit_holds_is_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """All of it begins at once."""
    with pytest.raises(SystemExit, match="2"):
        wave.main(["--dependents", "50", "--most", "50"])

    assert "more than the 50" in capsys.readouterr().err


def test_a_burst_alone_is_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """ARM allows it at once, so there is nothing to compare with."""
    with pytest.raises(SystemExit, match="2"):
        fanout.main(["--dependents", "200"])

    assert "more than the 200" in capsys.readouterr().err


@pytest.mark.parametrize("store", ["sqlite", "azurite"])
def test_latency_is_measured(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each push has one run, and the last line tells the spread of the times."""
    assert latency.main(["--stores", store, "--pushes", "2", "--pause", "0"]) == 0

    [result] = json.loads(capsys.readouterr().out.splitlines()[-1])["results"]
    assert (result["store"], result["pushes"], result["doubled"]) == (store, 2, 0)
    assert 0 <= result["p50Ms"] <= result["p95Ms"] <= result["p99Ms"] <= result["worstMs"]


def test_one_push_is_no_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    """The measurement says what it needs."""
    with pytest.raises(SystemExit, match="2"):
        latency.main(["--pushes", "1"])

    assert "at least 2" in capsys.readouterr().err


def test_a_start_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole processes by turns; what takes longer than it may ends with exit code 1."""
    ratios = {name: (of, beside, 0.0) for name, (of, beside, _) in coldstart.RATIOS.items()}
    monkeypatch.setattr(coldstart, "RATIOS", ratios)
    monkeypatch.setattr("sys.argv", ["coldstart", "--rounds", "1"])
    assert coldstart.main() == 1

    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(told) == {"help", "deps", "function_app"}
    assert all(ratio > 0 for ratio in told.values())
