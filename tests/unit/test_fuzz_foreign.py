"""Some hundreds of hostile inputs of each kind; `python -m bench.fuzz_foreign` reads thousands."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from bench.foreign import KINDS, Kind, inputs
from bench.fuzz_foreign import Result, main, run
from rebuilder.errors import SourceUnavailable

COUNT = 200


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_inputs_end_in_an_answer_or_an_error_of_ours(kind: str) -> None:
    """Nothing else is raised, and honest inputs among them have an answer."""
    result = run(kind, COUNT, seed=3)

    assert (result.inputs, result.crashed) == (COUNT, 0)
    assert result.answered + result.refused == COUNT
    assert result.answered > 0


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_are_honest(kind: str) -> None:
    """What is mutated is what a well-meaning host, image or queue sends."""
    assert KINDS[kind].seeds()
    assert list(map(repr, inputs(kind, 3, 5))) == list(map(repr, inputs(kind, 3, 5)))
    assert list(map(repr, inputs(kind, 3, 5))) != list(map(repr, inputs(kind, 3, 6)))


def _kind(read: Callable[[bytes], object]) -> Kind[bytes, bytes]:
    def same(chance: random.Random, seed: bytes) -> bytes:
        del chance
        return seed

    return Kind(lambda: [b"seed"], same, read)


def _raise(error: Exception) -> Callable[[bytes], object]:
    def read(_: bytes) -> object:
        raise error

    return read


@pytest.mark.parametrize(
    ("error", "crashed"),
    [
        (SourceUnavailable("no"), 0),
        (SourceUnavailable("the archive cannot be read (MemoryError)"), 2),
        (OverflowError("too large"), 2),
        (MemoryError(), 2),
        (AssertionError(), 2),
    ],
)
def test_what_is_looked_for_is_found(
    monkeypatch: pytest.MonkeyPatch, error: Exception, crashed: int
) -> None:
    """An error of another kind, or of no memory, counts as a crash."""
    monkeypatch.setitem(KINDS, "made", _kind(_raise(error)))
    result = run("made", 2, seed=1)

    assert result.crashed == crashed
    assert result.good is not bool(crashed)


def test_what_takes_too_long_or_too_much_is_no_good() -> None:
    """A second and 128 MiB are the bounds."""
    assert Result("made", slowest_seconds=0.9, peak_mib=128).good
    assert not Result("made", slowest_seconds=1.0).good
    assert not Result("made", peak_mib=129).good


def test_each_kind_has_a_process_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Its memory is limited there; the last line is what a program reads."""
    assert main(["images", "--count", "30", "--seed", "9"]) == 0

    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    [result] = told["results"]
    assert (result["kind"], result["inputs"], result["crashed"]) == ("images", 30, 0)


def test_a_process_that_dies_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever ended it, its inputs count as crashed."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert main(["images", "--count", "30"]) == 1
    assert '"crashed": 30' in capsys.readouterr().out


def test_an_unknown_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The kinds are named."""
    with pytest.raises(SystemExit, match="2"):
        main(["nothing"])
    assert "there is no kind nothing" in capsys.readouterr().err
