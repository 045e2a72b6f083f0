"""What comes from outside obeys nobody on a terminal or in a log; commands end orderly."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rebuilder import _log_lines, composition
from rebuilder.cli import _terminal
from rebuilder.cli import main as cli
from rebuilder.cli._terminal import orderly, say, say_json
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.events.pushes import NoTag
from rebuilder.core.rebuilds.messages import BUILDS
from rebuilder.errors import NotFound
from rebuilder.isolation import attempt
from tests.patience import SECONDS
from tests.unit.fakes import BASE, NEW, World, task

EVIL = "\x1b[2J\x07\r\x9b31m\u202e\x00\ud800\nrebuilder: all is well"
SEEN = r"\x1b[2J\x07\x0d\x9b31m\u202e\x00\ud800\x0arebuilder: all is well"
ROOT = Path(__file__).resolve().parent.parent.parent


def run(*arguments: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own."""
    given: dict[str, object] = {"cwd": ROOT, "timeout": SECONDS, "stderr": subprocess.PIPE, **more}
    return subprocess.run(  # type: ignore[call-overload, no-any-return] # as its caller gives it
        [sys.executable, "-m", "rebuilder.cli", *arguments], check=False, **given
    )


@pytest.fixture(name="dockerfile")
def _dockerfile(tmp_path: Path) -> Path:
    path = tmp_path / "Dockerfile"
    path.write_text("\n".join(f"FROM a{n} AS s{n}" for n in range(5000)), "utf-8")
    return path


def test_what_a_terminal_would_obey_is_seen_instead(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line stays one, of bounded length."""
    say(EVIL, "x" * 10_000, "日本 é")
    evil, long, plain = capsys.readouterr().out.splitlines()

    assert evil == SEEN
    assert len(long) == 4000
    assert long.endswith("x...")
    assert plain == "日本 é"


def test_json_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """And says the same when it is read."""
    say_json({"text": EVIL})
    out = capsys.readouterr().out

    assert out.isascii()
    assert all(line.isprintable() for line in out.splitlines())
    assert json.loads(out) == {"text": EVIL}


@pytest.fixture(name="outside")
def _outside(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A store that holds what an attacker wrote, from a version that kept it as it was."""
    letter = DeadLetter(Origin.QUEUE, BUILDS, EVIL[:-26], f"r {EVIL[:-26]}", world.time.now)
    plain = {"\ud800": "?", "\x00": "?"}
    cleaned = "".join(plain.get(c, c) for c in letter.body)
    world.context.dead_letters.record(
        DeadLetter(letter.origin, letter.source, cleaned, f"r {cleaned}", letter.at)
    )
    ignored = NoTag("e", str(BASE), "images/node", NEW)
    world.ledger.record_events([ignored], world.time.now)
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    return world


@pytest.mark.parametrize("command", [["dead-letters"], ["dead-letters", "--json"], ["audit"]])
def test_commands_escape_what_is_kept(
    outside: World, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Bodies and reasons of dead letters, for example."""
    del outside
    assert cli.main(command) in (0, 1)
    out = capsys.readouterr().out

    assert out
    assert all(line.isprintable() for line in out.splitlines())


@contextmanager
def records(name: str) -> Iterator[io.StringIO]:
    """What a handler writes of a logger."""
    _log_lines.install()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield stream
    finally:
        logger.removeHandler(handler)


def test_a_log_record_is_one_line() -> None:
    """Whatever its arguments hold; numbers and the rest of the text are as they are."""
    with records("rebuilder.test") as stream:
        logger = logging.getLogger("rebuilder.test")
        logger.warning("push %s: %d of %.1f, %s", EVIL, 3, 0.5, NotFound("a\nb\x1b"))
        logger.warning("no arguments")
        logger.warning("%(name)s", {"name": "a mapping"})

    assert stream.getvalue() == (f"push {SEEN}: 3 of 0.5, a\\x0ab\\x1b\nno arguments\na mapping\n")


def test_records_of_others_are_left_alone() -> None:
    """They are not ours to change."""
    with records("somebody.else") as stream:
        logging.getLogger("somebody.else").warning("%s", "a\nb")

    assert stream.getvalue() == "a\nb\n"


def test_a_stack_keeps_its_lines() -> None:
    """It is ours, and is read by a person."""
    with records("rebuilder.isolation") as stream:
        attempt(lambda _: 1 // 0, task())

    assert "something unforeseen" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) > 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_terminal_can_be_written_to(tmp_path: Path, encoding: str) -> None:
    """What its encoding lacks is written as an escape."""
    path = tmp_path / "Dockerfile-日本"
    path.write_text("FROM a:日本\n", "utf-8")
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    done = run("deps", str(path), stdout=subprocess.PIPE, env=env)
    told = done.stderr.decode(encoding)

    assert done.returncode == 1
    assert len(told.splitlines()) == 1
    assert ("日本" in told) == (encoding == "utf-8")
    assert (r"\u65e5\u672c" in told) == (encoding != "utf-8")


def test_a_pipe_that_closes_ends_a_command(dockerfile: Path) -> None:
    """Without a word: whoever read has read enough."""
    reader, writer = os.pipe()
    os.close(reader)
    done = run("deps", str(dockerfile), stdout=writer)
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, b"")


def test_a_full_disk_is_told_in_a_line(dockerfile: Path) -> None:
    """What could not be written is not written once more when Python ends."""
    with Path("/dev/full").open("wb") as full:
        done = run("deps", str(dockerfile), stdout=full)

    assert done.returncode == 1
    assert done.stderr == b"rebuilder: No space left on device\n"


_INTERRUPTED = """
import os, signal, sys

class Keyboard:
    @property
    def buffer(self):
        return self

    def read(self, size):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()

# What was started in the background ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.stdin = Keyboard()
from rebuilder.cli.main import main
sys.exit(main(["deps", "-"]))
"""


def test_ctrl_c_ends_a_command() -> None:
    """With the exit code that shells know, and without a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )

    assert (done.returncode, done.stderr) == (130, b"")


def failing(error: BaseException) -> Callable[[], int]:
    """Return a command that fails."""

    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (NotFound(f"none of\n{EVIL}"), 7, rf"rebuilder: none of\x0a{SEEN}"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 1, ""),
        (OSError(28, "No space left on device"), 7, "rebuilder: No space left on device"),
        (OSError(), 7, "rebuilder: OSError"),
        (KeyError("x"), 7, "rebuilder: something unforeseen went wrong: KeyError in "),
    ],
)
def test_however_a_command_ends_there_is_a_sentence(
    error: BaseException,
    code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And an exit code; never a traceback."""
    forgotten: list[object] = []
    monkeypatch.setattr(_terminal, "_forget", forgotten.append)

    assert orderly(failing(error), 7) == code
    assert capsys.readouterr().err.startswith(told)
    assert bool(forgotten) == isinstance(error, OSError | KeyboardInterrupt)


@pytest.mark.parametrize(
    "storage",
    ["sqlite:/proc/x", "sqlite:{folder}", "sqlite:{folder}/none/f.db", "sqlite:{file}", "rubbish"],
)
def test_a_store_that_cannot_be_opened_is_told(tmp_path: Path, storage: str) -> None:
    """In a line that names it."""
    (tmp_path / "file.db").write_bytes(b"no database, but long enough to look like one" * 100)
    place = storage.format(folder=tmp_path, file=tmp_path / "file.db")
    env = {
        **os.environ,
        "AzureWebJobsStorage": place,
        "REBUILDER_BASE_REGISTRIES": str(BASE),
        "REBUILDER_TASK_REGISTRIES": str(BASE),
    }
    for command in (["dead-letters"], ["audit", "--no-arm"]):
        done = run(*command, stdout=subprocess.PIPE, env=env)
        assert b"Traceback" not in done.stderr + done.stdout
        assert done.returncode in (0, 1)
        assert done.returncode == 0 or done.stderr.startswith(b"rebuilder: ")
