"""Some hundreds of hostile inputs of each kind; `python -m bench.fuzz` reads 20,000."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import islice

import pytest

from bench.foreign import KINDS, Kind, inputs
from bench.fuzz import Result, main, run
from bench.hostile_files import LARGE_TASK_FILES, read_deps
from rebuilder.errors import InvalidBuildFile, SourceUnavailable

# Long, and what it goes through is measured by others.
pytestmark = pytest.mark.unmeasured

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
    """A second and 128 MiB are the bounds; the whole command has three and 256."""
    assert Result("images", slowest_seconds=0.9, peak_mib=128).good
    assert not Result("images", slowest_seconds=1.0).good
    assert not Result("images", peak_mib=129).good
    assert Result("deps", slowest_seconds=2.9, peak_mib=256).good
    assert not Result("deps", slowest_seconds=3.0).good
    assert not Result("deps", peak_mib=257).good


def test_of_many_inputs_the_first_are_large() -> None:
    """Of few they would be too many; their number counts, too."""
    large = KINDS["task-files"].large
    assert list(islice(inputs("task-files", 2000, 1), len(large))) == list(large)
    assert sum(1 for _ in inputs("task-files", 2000, 1)) == 2000
    assert max(map(len, inputs("task-files", 100, 1))) < 30_000


@pytest.mark.parametrize("content", LARGE_TASK_FILES, ids=lambda content: repr(content[:24]))
def test_large_task_files_are_read_or_refused(content: bytes) -> None:
    """By the command as a person types it: the time of every test is limited."""
    with suppress(InvalidBuildFile):
        read_deps(content[: 64 * 1024])


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda: sys.stdout.write("\x1b[2J\n"), "in what is printed"),
        (lambda: sys.stderr.write("\u202e\n"), "in what is printed"),
        (lambda: sys.stderr.write("Traceback (most recent call last)\n"), "a traceback"),
        (lambda: sys.exit(7), "7"),
    ],
)
def test_what_the_command_may_not_print_is_found(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[], object], problem: str
) -> None:
    """What moves the cursor, a traceback, and an exit status that is not its own."""

    def main(_: object) -> int:
        answer()
        return 0

    monkeypatch.setattr("rebuilder.cli.main.main", main)
    with pytest.raises(AssertionError, match=problem):
        read_deps(b"FROM a")


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
