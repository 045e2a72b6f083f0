"""Causes of failure, read out of the ends of real logs (tests/unit/run_logs)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.failures.builds import BuildFailed, NotKnown, TimeOver
from rebuilder.core.failures.cause import Cause
from rebuilder.core.failures.causes import CAUSES, from_record, to_record
from rebuilder.core.failures.contexts import SourceUnfetched
from rebuilder.core.failures.failed_runs import classify
from rebuilder.core.failures.pulls import BaseMissing, RateLimited
from rebuilder.core.failures.pushes import PushLocked
from rebuilder.core.failures.run_logs import end
from tests.unit.fakes import NEW, NODE, task

LOGS = sorted((Path(__file__).parent / "run_logs").glob("*.log"))
BASES = (f"{NODE}@{NEW}",)
EXITED = "failed during run, err: exit status 1"  # what ARM says of nearly every run that failed
UNFETCHED = (
    "failed to download context. Please check if the URL is incorrect. If it has credentials,"
    " please check if they are expired"
)


def read(path: Path) -> tuple[dict[str, str], str]:
    """Return what is said of a log in its first lines, and the log."""
    lines = path.read_bytes().decode().split("\n")
    told = dict(line.removeprefix("# ").strip().split(": ", 1) for line in lines[:3])
    return told, "\n".join(lines[3:])


def of(log: str, status: RunStatus = RunStatus.FAILED, error: str | None = EXITED) -> Cause:
    """Return the cause that a log tells."""
    return classify(log, status, error, BASES)


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_the_cause_of_a_real_log(path: Path) -> None:
    """Each is classed as it should be, can heal or not, and quotes the line that tells."""
    told, log = read(path)
    code, _, seconds = told["cause"].partition(" ")
    cause = of(log)

    assert cause.code == code
    assert cause.heals is (told["heals"] == "yes")
    assert from_record(to_record(cause)) == cause
    if seconds:
        assert isinstance(cause, RateLimited)
        assert cause.seconds == int(seconds)
    if log and not isinstance(cause, NotKnown):
        assert cause.line
        assert cause.line[:40] in " ".join(log.split())


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_what_cannot_heal_tells_what_would_mend_it(path: Path) -> None:
    """The advice names the task or a resource, and how to try again."""
    cause = of(read(path)[1])
    advice = cause.advice(task().id)

    assert cause.sentence()
    if not cause.heals:
        assert advice is not None
        assert "then `rebuilder retry myapps/build-app`" in advice


def test_every_cause_has_a_log() -> None:
    """No class is there that nothing was seen of."""
    assert {read(path)[0]["cause"].partition(" ")[0] for path in LOGS} == set(CAUSES)


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_the_beginning_of_a_log_may_be_missing(path: Path) -> None:
    """What is cut off in the midst of a step is not taken for another cause that cannot heal."""
    _, log = read(path)
    whole = of(log)
    for cut in range(0, len(log), 97):
        cause = of(log[cut:].partition("\n")[2])
        same = cause.code.partition("-")[0] == whole.code.partition("-")[0]
        assert cause.heals or same, (cut, cause)


BEGUN = [path for path in LOGS if "Executing step ID" in path.read_text("utf-8")]


@pytest.mark.parametrize("path", BEGUN, ids=lambda path: path.stem)
def test_a_log_that_breaks_off_proves_nothing(path: Path) -> None:
    """Its last line may be a build's own words, and how it went on is not known."""
    _, log = read(path)
    cause = of(log[: log.index("failed to run step ID")])

    assert cause == NotKnown("", "its log breaks off")
    assert cause.heals


def test_a_run_whose_time_is_over_needs_no_log() -> None:
    """ACR says so itself."""
    assert of("", RunStatus.TIMEOUT) == TimeOver("")
    assert "the run" in TimeOver("").sentence()


def test_what_acr_says_of_a_run_counts_where_its_log_cannot_be_read() -> None:
    """The source could not be fetched: ACR's own sentence tells."""
    assert of("", error=UNFETCHED) == SourceUnfetched(UNFETCHED)
    assert of("", error=None) == NotKnown("")


def test_the_base_of_the_rebuild_may_be_behind_in_a_replica() -> None:
    """Docker Hub's images have several names; another image is simply not there."""
    log = (
        "Scanning for dependencies...\nStep 1/2 : FROM {0}\n"
        "manifest for {0} not found: manifest unknown: manifest unknown\n"
        "failed to run step ID: build: exit status 1\n"
    )
    hub = (f"docker.io/library/alpine:3@{NEW}",)

    assert classify(log.format("alpine:3"), RunStatus.FAILED, None, hub).heals
    assert not classify(log.format("alpine:4"), RunStatus.FAILED, None, hub).heals


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("toomanyrequests: retry-after: 27.209µs, allowed: 44000/minute", 1),
        ("toomanyrequests: Retry-After: 90", 90),
        ("toomanyrequests: retry after 2m30s", 150),
        ("toomanyrequests: please try again in 10 minutes", 600),
        ("toomanyrequests: wait 6 hours before the next pull", 21600),
        ("toomanyrequests: retry-after: 250ms", 1),
        ("toomanyrequests: retry-after: 3d", 259200),
        ("toomanyrequests: retry-after: 99999999999999999999", 10**9),
        ("toomanyrequests: You have reached your pull rate limit.", None),
        ("toomanyrequests: retry after the moon has risen", None),
        ("toomanyrequests: retry-after: 5 parsecs", 0),
    ],
)
def test_a_registry_says_how_long_to_wait(said: str, seconds: int | None) -> None:
    """In seconds, rounded up; never longer than a day is waited."""
    log = f"Step 1/2 : FROM node:9\n{said}\nfailed to run step ID: build: exit status 1"
    cause = of(log)

    assert isinstance(cause, RateLimited)
    assert cause.seconds == seconds
    if seconds is None:
        assert cause.wait is None
    else:
        assert cause.wait == min(timedelta(seconds=seconds), timedelta(hours=24))


def test_a_cause_of_a_newer_version_is_not_known() -> None:
    """Its record is read all the same."""
    cause = from_record({"code": "sun-spots", "line": "too bright", "size": 3})

    assert cause == NotKnown("too bright", "sun-spots is of a newer version")


def test_a_record_of_an_older_version_lacks_what_has_defaults() -> None:
    """And what it has too much of is left out."""
    assert from_record({"code": "base-missing", "line": "x", "old": 1}) == BaseMissing("x")


def test_a_locked_tag_names_the_command_that_unlocks_it() -> None:
    """With registry, repository and tag."""
    advice = PushLocked("x", "myapps.azurecr.io/team/app:1").advice(task().id)

    assert "--name myapps --image team/app:1 --write-enabled true" in advice


@pytest.mark.parametrize("image", ["", "a/$(reboot):1", "a/`x`:1", "a/x;y:1", "a/--help:1", "a/b"])
def test_no_command_holds_what_is_no_name(image: str) -> None:
    """Whoever writes a Dockerfile writes the log, and a person copies the command."""
    assert "--image REPOSITORY:TAG --write" in PushLocked("x", image).advice(task().id)


def test_secrets_stand_in_no_cause() -> None:
    """Neither the line that is quoted nor the address holds the token that a build was given."""
    log = (
        "Scanning for dependencies...\n"
        "failed to download source code: unable to git clone to b: fatal: Authentication failed"
        " for 'https://me:hunter2-s3cret@github.com/contoso/app.git/'\n"
        "failed to run step ID: b: failed to scan dependencies: exit status 1"
    )
    told = str(to_record(of(log))) + of(log).sentence()

    assert "hunter2" not in told
    assert "https://***@github.com/contoso/app.git" in told


WORDS = st.sampled_from(
    [
        *(line for path in LOGS for line in read(path)[1].splitlines()),
        "\x1b[31m",
        "\r",
        "\u202e",
        "\ud800",
        "#5 ",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(WORDS, st.text(max_size=80)), max_size=40))
def test_whatever_a_log_holds_there_is_an_answer(parts: list[str]) -> None:
    """Any lines in any order: a cause that can be recorded, told and read back."""
    log = "\n".join(parts)
    for status in (RunStatus.FAILED, RunStatus.ERROR, RunStatus.TIMEOUT):
        cause = classify(log, status, parts[0] if parts else None, BASES)
        assert from_record(to_record(cause)) == cause
        assert len(cause.sentence()) < 2000
        assert cause.sentence().isprintable()
        assert (cause.advice(task().id) or " ").isprintable()
    assert len(end(log).encode()) <= 4096


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "a/", "a:", "a-", "1a", "eyJ", "://", "sig=", "token", "token: ", "--token ", "a@"),
        *("login -p ", "\x1b[", "\x1b]", "failed to solve: a/", "The command '", 'process "'),
        *("retry after 1", "wait 1", "429 ", "quota ", "a:b@", "Step 1/1 : FROM a\n", "\r"),
    ],
)
def test_no_log_is_long_to_read(piece: str) -> None:
    """The largest log that is read, made to take long, comes to an end."""
    ends = "\nfailed to run step ID: b: exit status 1\nRun ID: x failed after 1s. Error: e\n"
    body = (piece * (65536 // len(piece)))[:65536]
    for log in (
        body + ends,
        "\n".join(body[at : at + 3999] for at in range(0, 65536, 3999)) + ends,
    ):
        of(log)
        assert len(end(log)) <= 4096


def test_a_build_says_where_it_failed() -> None:
    """The instruction without its shell, and the last line that speaks of an error."""
    _, log = read(next(path for path in LOGS if path.stem == "build-colours"))
    cause = of(log)

    assert isinstance(cause, BuildFailed)
    assert cause.sentence() == (
        "the build itself failed at RUN conda env create: CondaDependencyError: Cannot run solver."
        " No functioning SAT implementations available."
    )
