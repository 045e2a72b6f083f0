"""What becomes of a run that failed, by its cause."""

from __future__ import annotations

import logging
from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.decisions.rebuilds import RebuildFailed
from rebuilder.core.events.pushes import Push
from rebuilder.core.failures.builds import NotKnown
from rebuilder.core.failures.contexts import SourceDenied, SourceUnfetched
from rebuilder.core.failures.pulls import RateLimited
from rebuilder.core.rebuilds.messages import BUILDS, RUNS, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import Failure, Rebuild, State
from rebuilder.core.rebuilds.records import rebuild_from_text, rebuild_to_text
from rebuilder.errors import (
    Denied,
    RebuilderError,
    SourceUnavailable,
    Throttled,
    TransientError,
)
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from tests.unit.fakes import BASE, NEW, World, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = StartBuild(PUSH, task().id)
ENDS = (
    "failed to run step ID: build: exit status 1\n"
    "Run ID: ca1 failed after 2s. Error: failed during run, err: exit status 1\n"
)
BUILD = "Scanning for dependencies...\nStep 1/2 : FROM node:9\n{}\n" + ENDS
UNFETCHED = (
    "Downloading source code...\nRun ID: ca1 failed after 2s. Error: failed to download context."
    " Please check if the URL is incorrect. If it has credentials, please check if they are"
    " expired\n"
)
RATE = BUILD.format("toomanyrequests: You have reached your pull rate limit.")


@pytest.fixture(autouse=True)
def _one_task(world: World) -> None:
    world.tasks.add(task())


def head(world: World) -> Rebuild:
    """Return the newest rebuild of the task."""
    found = world.ledger.head(task().id)
    assert found is not None
    return found


def fail(
    world: World, log: str = "", status: RunStatus = RunStatus.FAILED, looks: int = 1
) -> Rebuild:
    """Start a run if none goes on, let it fail with a log, and look at it so often."""
    newest = world.ledger.head(task().id)
    if newest is None or newest.state.over:
        start_build(world.context, MESSAGE, "me")
        world.queue.sent.clear()
    rebuild = head(world)
    run_id = str(rebuild.run_id)
    world.tasks.found_runs[run_id] = replace(world.tasks.found_runs[run_id], status=status)
    world.tasks.logs[run_id] = log
    track = TrackBuild(rebuild.task, rebuild.sequence, rebuild.version)
    for _ in range(looks):
        if track_build(world.context, track) is not None:
            break
        for body, _delay in world.queue.take(RUNS) if looks > 1 else ():
            track = TrackBuild.decode(body)
    return head(world)


def test_what_cannot_heal_is_not_tried_again(world: World) -> None:
    """An expired token fails once; the record and the decision say what would mend it."""
    failed = fail(world, UNFETCHED)

    assert (failed.state, failed.failure, failed.due) == (State.GIVEN_UP, Failure.BUILD, None)
    assert isinstance(failed.cause, SourceUnfetched)
    assert world.queue.take(BUILDS) == []
    assert "--git-access-token TOKEN" in str(failed.advice)
    decision = start_build(world.context, MESSAGE, "me")
    assert isinstance(decision, RebuildFailed)
    assert "after 1 attempt (run ca1)" in decision.sentence()
    assert failed.cause.sentence() in decision.sentence()
    assert "--git-access-token" in decision.sentence()
    assert len(world.tasks.scheduled) == 1


def test_after_the_repair_somebody_asks_for_it(world: World) -> None:
    """What was given up at once is tried like what was given up late."""
    failed = fail(world, UNFETCHED)
    asked = replace(MESSAGE, forced=True, after=failed.sequence)
    start_build(world.context, asked, "me")

    assert (head(world).sequence, head(world).state) == (2, State.SCHEDULED)
    assert (head(world).cause, head(world).log) == (None, "")


def test_what_may_heal_is_tried_again_as_before(world: World) -> None:
    """A build that fails, and what is not known."""
    failed = fail(world, BUILD.format("The command '/bin/sh -c make' returned a non-zero code: 2"))

    assert (failed.state, failed.due) == (State.FAILED, world.time.now + timedelta(minutes=5))
    assert failed.cause is not None
    assert failed.cause.code == "build-failed"
    assert len(world.queue.take(BUILDS)) == 1


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ("toomanyrequests: You have reached your pull rate limit.", (3600, 7200)),
        ("toomanyrequests: retry-after: 5h", (18000, 18000)),
        ("toomanyrequests: retry-after: 1s", (300, 600)),  # as a build that failed, at least
        ("toomanyrequests: retry-after: 90h", (86400, 86400)),
    ],
)
def test_a_rate_limit_is_waited_for(world: World, said: str, waits: tuple[int, int]) -> None:
    """As long as it says, a day at most; an hour if it does not say."""
    for wait in waits:
        failed = fail(world, BUILD.format(said))
        ((body, delay),) = world.queue.take(BUILDS)
        assert isinstance(failed.cause, RateLimited)
        assert delay == timedelta(seconds=wait)
        assert failed.due == world.time.now + delay
        world.time.pass_(wait - 1)
        assert start_build(world.context, StartBuild.decode(body), "me") is None  # too early
        world.queue.sent.clear()
        world.time.pass_(1)
    assert fail(world, BUILD.format(said)).state is State.GIVEN_UP


def test_a_run_that_was_cancelled_has_no_cause(world: World) -> None:
    """Somebody did not want it: its log is not asked for."""
    failed = fail(world, UNFETCHED, RunStatus.CANCELED)

    assert (failed.state, failed.cause) == (State.GIVEN_UP, None)
    assert world.tasks.logs_read == []


@pytest.mark.parametrize("status", [RunStatus.ERROR, RunStatus.TIMEOUT])
def test_what_acr_itself_failed_at_is_told(world: World, status: RunStatus) -> None:
    """Its failures are tried again in their own time."""
    failed = fail(world, "", status)

    assert failed.failure is Failure.INFRASTRUCTURE
    assert failed.due == world.time.now + timedelta(minutes=1)
    assert failed.cause is not None
    assert failed.cause.code == ("time-over" if status is RunStatus.TIMEOUT else "not-known")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            Denied("AuthorizationFailed"),
            "without Microsoft.ContainerRegistry/registries/runs/listLogSasUrl/action on /subs",
        ),
        (TransientError("no answer"), "its log could not be read: no answer"),
        (SourceUnavailable("no blob of Azure's"), "could not be read: no blob of Azure's"),
    ],
)
def test_without_the_log_it_goes_on(
    world: World, error: RebuilderError, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The cause is not known, says why, and is tried again; the log names what is missing."""
    world.tasks.failures["log"] = [error] * 61
    failed = fail(world, looks=61)

    assert failed.state is State.FAILED
    assert isinstance(failed.cause, NotKnown)
    assert said in failed.cause.sentence()
    assert said in caplog.text


@pytest.mark.parametrize("seconds", [59, 60])
def test_a_log_that_is_still_written_is_waited_for(world: World, seconds: int) -> None:
    """A minute at most: then the run is tried again, for nothing is proved."""
    start_build(world.context, MESSAGE, "me")
    run = world.tasks.found_runs["ca1"]
    world.tasks.found_runs["ca1"] = replace(run, finished=world.time.now)
    world.time.pass_(seconds)
    rebuild = fail(world, BUILD.partition("failed to run")[0].format("unauthorized: no"))
    if seconds == 59:
        assert (rebuild.state, rebuild.cause) == (State.RUNNING, None)
        rebuild = fail(world, UNFETCHED)
        assert isinstance(rebuild.cause, SourceUnfetched)
    else:
        assert rebuild.state is State.FAILED
        assert rebuild.cause == NotKnown("", "its log breaks off")


@pytest.mark.parametrize("minutes", [9, 10])
def test_a_log_that_arm_is_too_busy_for_is_waited_for(world: World, minutes: int) -> None:
    """Ten minutes at most: the outcome is not kept from the record for ever."""
    start_build(world.context, MESSAGE, "me")
    run = world.tasks.found_runs["ca1"]
    world.tasks.found_runs["ca1"] = replace(run, finished=world.time.now)
    world.time.pass_(60 * minutes)
    world.tasks.failures["log"] = [Throttled("slow down", timedelta(seconds=7))]
    if minutes == 9:
        with pytest.raises(Throttled):
            fail(world, UNFETCHED)
        assert head(world).state is State.SCHEDULED
        assert isinstance(fail(world, UNFETCHED).cause, SourceUnfetched)
    else:
        failed = fail(world, UNFETCHED)
        assert failed.state is State.FAILED
        assert failed.cause == NotKnown("", "its log could not be read: slow down")


def test_a_log_that_cannot_be_read_now_is_waited_for(world: World) -> None:
    """One answer too few is no reason to try again what cannot heal."""
    start_build(world.context, MESSAGE, "me")
    world.tasks.failures["log"] = [TransientError("no answer")]
    rebuild = fail(world, UNFETCHED)

    assert (rebuild.state, rebuild.cause) == (State.RUNNING, None)
    body, _ = world.queue.take(RUNS)[-1]
    ended = track_build(world.context, TrackBuild.decode(body))
    assert ended is not None
    assert isinstance(ended.cause, SourceUnfetched)


def test_a_log_that_is_not_understood_keeps_nobody_from_going_on(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Something unforeseen in it: the run is over, is recorded and tried again."""

    def broken(*_: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("rebuilder.usecases.build._causes.classify", broken)
    failed = fail(world, UNFETCHED)

    assert failed.state is State.FAILED
    assert failed.cause == NotKnown("", "its log was not understood")
    assert "too deep" in caplog.text


def test_somebody_need_not_wait_for_the_next_attempt(world: World) -> None:
    """What was repaired is tried at once when somebody says so."""
    failed = fail(world, RATE)
    assert failed.due is not None
    start_build(world.context, replace(MESSAGE, forced=True, after=1), "me")

    assert (head(world).attempt, head(world).state) == (2, State.SCHEDULED)


def test_what_acr_says_counts_without_the_log(world: World) -> None:
    """Its own sentence about the source is enough."""
    start_build(world.context, MESSAGE, "me")
    run = world.tasks.found_runs["ca1"]
    error = "failed to download context. Please check if the URL is incorrect."
    world.tasks.found_runs["ca1"] = replace(run, error=error)
    world.tasks.failures["log"] = [Denied("AuthorizationFailed")]

    assert isinstance(fail(world).cause, SourceUnfetched)


def test_the_role_that_is_missing_is_named_where_it_is_known(world: World) -> None:
    """Better than what a log tells; where the source is the cause, the source is named."""
    signs = replace(task(), signs_in_to=frozenset({"mybase.azurecr.io"}), principals=("p1",))
    world.tasks.add(signs)
    denied = "Get https://mybase.azurecr.io/v2/x/manifests/9: unauthorized: authentication required"
    failed = fail(world, BUILD.format(denied))

    assert failed.state is State.GIVEN_UP
    assert failed.cause is not None
    assert failed.cause.code == "base-denied"
    assert "its identity p1 lacks the role AcrPull" in str(failed.advice)
    start_build(world.context, replace(MESSAGE, forced=True, after=1), "me")
    assert "--git-access-token" in str(fail(world, UNFETCHED).advice)


def test_secrets_reach_neither_record_nor_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What a build prints, and what ACR says of the run."""
    log = (
        "Downloading source code...\n"
        "fatal: Authentication failed for 'https://me:s3cr3t-pat@github.com/contoso/app.git/'\n"
        "Authorization: Bearer s3cr3t\nNPM_TOKEN=s3cr3t\n\x1b[31mred\u202e\n" + UNFETCHED
    )
    start_build(world.context, MESSAGE, "me")
    run = world.tasks.found_runs["ca1"]
    world.tasks.found_runs["ca1"] = replace(run, error="GET https://x/?sig=s3cr3t\x07")
    with caplog.at_level(logging.DEBUG):
        failed = fail(world, log)
    text = rebuild_to_text(failed)

    assert isinstance(failed.cause, SourceDenied)
    assert "s3cr3t" not in text + caplog.text
    assert failed.log.splitlines()[1] == (
        "fatal: Authentication failed for 'https://***@github.com/contoso/app.git/'"
    )
    assert "red\\u202e" in failed.log
    assert failed.outcome == "Failed: GET https://x/?sig=***"
    assert rebuild_from_text(text) == failed


def test_records_of_older_versions_are_read(world: World) -> None:
    """They know of no cause, no reason to hold and no repair; and they say so themselves."""
    failed = fail(world, RATE)
    text = rebuild_to_text(replace(failed, cause=None, log=""))

    assert not {"cause", "log", "hold", "repair", "stale_by"} & set(text.split('"'))
    assert rebuild_from_text(text).cause is None
    assert rebuild_from_text(rebuild_to_text(failed)) == failed
