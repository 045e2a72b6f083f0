from __future__ import annotations

import json
from collections.abc import Iterator
from copy import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.composition import compose, release
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.events.pushes import NoTag, Push
from rebuilder.core.rebuilds.messages import PlanRebuilds, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import Check, Likely, Native, Rebuild, State
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from tests.unit.fakes import (
    APPS,
    BASE,
    NEW,
    NEWER,
    NODE,
    OLD,
    OTHERS,
    World,
    dependency,
    run,
    task,
)

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")


@pytest.fixture(name="known")
def _known(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A push that rebuilt one task and left another; the command sees this world."""
    world.tasks.add(task(), task("other", dependency("docker.io/library/alpine:3")))
    started = world.time.now
    world.tasks.found_runs["cz1"] = run("cz1", status=RunStatus.QUEUED)
    world.ledger.record_events([PUSH], world.time.now)
    plan_rebuilds(world.context, PlanRebuilds(PUSH))
    rebuild = start_build(world.context, StartBuild(PUSH, task().id), "me")
    assert isinstance(rebuild, Rebuild)
    ended = replace(
        world.tasks.found_runs["ca1"],
        status=RunStatus.SUCCEEDED,
        started=started,
        finished=started + timedelta(seconds=65),
        output_images=(f"myapps.azurecr.io/app:ca1@{NEW}",),
    )
    world.tasks.found_runs["ca1"] = ended
    track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    return world


def test_runs_prints_the_tutorials_table(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Seven columns, newest first, our run as Image Update; one table per registry."""
    assert cli.main(["runs", "--registry", "MyApps"]) == 0

    assert capsys.readouterr().out == (
        "RUN ID  TASK       PLATFORM  STATUS     TRIGGER       STARTED               DURATION\n"
        "------  ---------  --------  ---------  ------------  --------------------  --------\n"
        "ca1     build-app  Linux     Succeeded  Image Update  2026-01-02T03:04:05Z  00:01:05\n"
        "cz1     build-app  Linux     Queued     Manual\n"
    )
    assert len(known.tasks.found_runs) == 2


@pytest.mark.usefixtures("known")
def test_runs_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON holds each run with its rebuild, of every configured registry."""
    assert cli.main(["runs", "--json", "--top", "1"]) == 0
    first = json.loads(capsys.readouterr().out)[0]

    assert (first["runId"], first["trigger"], first["registry"]) == (
        "ca1",
        "Image Update",
        str(APPS),
    )
    assert first["rebuild"]["bases"] == [f"{NODE}@{NEW}"]
    assert first["rebuild"]["state"] == "succeeded"
    assert cli.main(["runs"]) == 0
    assert "# theirapps" in capsys.readouterr().out


def test_explain_tells_what_was_rebuilt_and_what_not(
    known: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every task with its reason and evidence, the run it led to, and the events left aside."""
    ignored = NoTag("event-2", str(BASE), "images/node", OLD)
    known.ledger.record_events([ignored], known.time.now)
    known.ledger.record_events([ignored], known.time.now)
    known.ledger.record_events([replace(ignored, subject="images/go")], known.time.now)
    assert cli.main(["explain", NODE]) == 0
    text = capsys.readouterr().out

    assert f"{NODE}@{NEW}" in text
    assert "rebuild myapps/build-app" in text
    assert f"was built on {OLD}; the tag names {NEW} now" in text
    assert "run ca1: Succeeded" in text
    assert f"pushed myapps.azurecr.io/app:ca1@{NEW}" in text
    assert "leave   myapps/other" in text
    assert "built on other images: docker.io/library/alpine:3" in text
    assert "was pushed without a tag" in text
    assert "(2 times)" in text
    assert "images/go" not in text
    assert f"(known from build file Dockerfile, line 1: FROM {NODE}; ACR's record)" in text
    assert text.count("(told by the index and ACR's record, now)") == 1
    assert "What is known of myapps was read at 2026-01-02T03:04:05Z." in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"state": State.HELD, "run_id": None}, "no run yet: waiting (held)"),
        ({"state": State.HELD}, "build due at 2026-01-02T03:04:05Z"),
        ({"state": State.FAILED}, "next attempt due at 2026-01-02"),
        ({"state": State.RUNNING}, "next look due at 2026-01-02"),
        ({"state": State.GIVEN_UP, "attempt": 3}, "run ca1, attempt 3: waiting (given up)"),
        ({"native": Native.ADOPTED}, "ACR's own base image trigger started it"),
        ({"native": Native.MISSED}, "was waited for and did not come"),
        ({"check": Check.NEW}, "stands on the new base: the layers"),
        ({"check": Check.STALE}, "REBUILT BUT STILL STALE: the layers"),
        ({"check": Check.UNKNOWN}, "what it stands on is not known: the layers"),
    ],
)
def test_explain_tells_the_circumstances(
    known: World, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], told: str
) -> None:
    """How far a rebuild is, what is due, and what the pushed image stands on."""
    (task,) = known.tasks.scheduled[0][:1]
    rebuild = known.ledger.head(task)
    assert rebuild is not None
    common = {"outcome": "waiting", "due": known.time.now, "check_reason": "the layers"}
    known.ledger.save(replace(rebuild, **{**common, **changes}))
    assert cli.main(["explain", NODE]) == 0
    assert told in capsys.readouterr().out


def fail(world: World, log: str) -> None:
    """Let another rebuild fail with a log."""
    world.images.digests[NODE] = NEWER
    push = replace(PUSH, digest=NEWER)
    world.ledger.record_events([push], world.time.now)
    plan_rebuilds(world.context, PlanRebuilds(push))
    rebuild = start_build(world.context, StartBuild(push, task().id), "me")
    assert isinstance(rebuild, Rebuild)
    failed = replace(world.tasks.found_runs["ca2"], status=RunStatus.FAILED)
    world.tasks.found_runs["ca2"] = failed
    world.tasks.logs["ca2"] = log
    track_build(world.context, TrackBuild(rebuild.task, rebuild.sequence, rebuild.version))


LOCKED = """Pushing image: myapps.azurecr.io/app:1, attempt 3
unknown: The operation is disallowed on this registry, repository or image.
failed to run step ID: push: failed to push images successfully
Run ID: ca2 failed after 9s. Error: failed during run, err: exit status 1
"""


def test_runs_tells_why_a_run_failed(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the table: the cause, and what would mend it; as JSON with the end of the log."""
    fail(known, LOCKED)
    assert cli.main(["runs", "--registry", "myapps"]) == 0
    *table, why, advice = capsys.readouterr().out.splitlines()
    assert table[2].startswith("ca2     build-app  Linux     Failed")
    assert why == "ca2: myapps.azurecr.io/app:1 could not be pushed: it is locked"
    assert advice.startswith("    unlock it (`az acr repository update --name myapps")
    assert cli.main(["runs", "--registry", "myapps", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)[0]["rebuild"]

    assert told["cause"] == {
        "code": "push-locked",
        "line": "unknown: The operation is disallowed on this registry, repository or image.",
        "image": "myapps.azurecr.io/app:1",
        "sentence": "myapps.azurecr.io/app:1 could not be pushed: it is locked",
        "heals": False,
        "logEnd": LOCKED.splitlines(),
    }
    assert told["advice"].endswith("then `rebuilder retry myapps/build-app`")


def test_explain_tells_why_a_rebuild_failed(
    known: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cause, the line of the log that tells, and what would mend it."""
    fail(known, LOCKED)
    assert cli.main(["explain", NODE]) == 0
    told = capsys.readouterr().out

    assert "run ca2: Failed (given up)\n          myapps.azurecr.io/app:1 could not be" in told
    assert "its log says: unknown: The operation is disallowed" in told
    assert "--image app:1 --write-enabled true" in told


def test_explain_tells_when_a_repair_is_due(
    known: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside why the image is stale."""
    rebuild = known.ledger.head(task().id)
    assert rebuild is not None
    known.ledger.save(
        replace(
            rebuild,
            check=Check.STALE,
            check_reason="likely a cache",
            stale_by=Likely.CACHE,
            due=known.time.now,
            repair=1,
        )
    )
    assert cli.main(["explain", NODE]) == 0
    told = capsys.readouterr().out

    assert "repair 2 of 3 due at 2026-01-02T03:04:05Z" in told
    assert "REBUILT BUT STILL STALE: likely a cache" in told
    assert cli.main(["explain", NODE, "--json"]) == 0
    results = [d["result"] for d in json.loads(capsys.readouterr().out)["decisions"]]
    (result,) = [result for result in results if result]
    assert (result["repair"], result["staleBy"], result["hold"]) == (1, "cache", None)


@pytest.mark.parametrize("offset", [timedelta(hours=23, minutes=59), timedelta(hours=14)])
def test_explain_shows_a_push_of_the_ends_of_time(
    known: World, capsys: pytest.CaptureFixture[str], offset: timedelta
) -> None:
    """Versions before kept what events said; it is shown as it was kept."""
    at = datetime.min.replace(tzinfo=timezone(offset))
    known.ledger.record_events([replace(PUSH, digest=NEWER, pushed_at=at)], known.time.now)

    assert cli.main(["explain", NODE]) == 0
    assert f"pushed {at.isoformat()}" in capsys.readouterr().out
    assert cli.main(["explain", NODE, "--json"]) == 0


def test_explain_tells_how_old_the_index_is(
    known: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """An index that is too old is said to be so, and one that was never filled."""
    known.time.pass_(25 * 3600)
    assert cli.main(["explain", NODE]) == 0
    assert "longer ago than index_max_age of REBUILDER_TUNING" in capsys.readouterr().out
    assert cli.main(["explain", NODE, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(index["registry"], index["old"]) for index in told["indexes"]] == [
        (str(APPS), True),
        (str(OTHERS), True),
    ]


def test_explain_tells_that_the_index_was_never_filled(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first sweep tasks may be missing, so that is said."""
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    world.ledger.record_events([PUSH], world.time.now)
    assert cli.main(["explain", NODE]) == 0

    assert "The tasks of myapps were never all read" in capsys.readouterr().out


def test_explain_as_json(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON holds the same, for programs; a digest chooses the push."""
    older = replace(PUSH, digest=OLD)
    known.ledger.record_events([older], known.time.now - timedelta(hours=1))
    assert cli.main(["explain", NODE, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["push"]["digest"], told["earlierPushes"]) == (NEW, 1)
    by_code = {d["evidence"]["code"]: d for d in told["decisions"]}
    assert by_code["base-moved"]["result"]["runId"] == "ca1"
    assert by_code["base-moved"]["evidence"]["old"] == OLD
    assert by_code["other-images"]["result"] is None
    assert (by_code["base-moved"]["derived"], by_code["other-images"]["derived"]) == (False, True)
    assert by_code["base-moved"]["evidence"]["source"].endswith("; ACR's record")
    assert cli.main(["explain", f"{NODE}@{OLD}"]) == 0
    assert "No decision yet" in capsys.readouterr().out
    assert cli.main(["explain", f"mybase.azurecr.io/images/node@{NEW}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["push"]["tag"] == "9"
    assert cli.main(["explain", NODE]) == 0
    assert "1 earlier push(es)" in capsys.readouterr().out


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runs", "--registry", "none"], "none of the registries in REBUILDER_TASK_REGISTRIES"),
        (["explain", "UPPER"], "must be lower case"),
        (["explain", "elsewhere.azurecr.io/a:1"], "REBUILDER_BASE_REGISTRIES"),
    ],
)
def test_errors_are_one_clear_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What goes wrong is told in one line with the way out, and exit code 1."""
    assert cli.main(arguments) == 1
    captured = capsys.readouterr()

    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.usefixtures("known")
def test_an_unknown_push_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """An image that nobody pushed is no error of the command, but not a success."""
    assert cli.main(["explain", "mybase.azurecr.io/images/none:1"]) == 1
    assert "No push of mybase.azurecr.io/images/none:1 is known." in capsys.readouterr().out
    assert cli.main(["explain", "mybase.azurecr.io/images/none:1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["push"] is None


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["runs", "--top", "0"], ["runs", "--top", "x"], ["explain"]]
)
def test_wrong_usage_exits_with_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Argparse explains what is missing."""
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)

    assert "usage: rebuilder" in capsys.readouterr().err


GOOD = {
    "REBUILDER_BASE_REGISTRIES": str(BASE),
    "REBUILDER_TASK_REGISTRIES": str(APPS),
}


@pytest.fixture(name="empty")
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment without settings, in a folder of its own."""
    for name in (*GOOD, "AzureWebJobsStorage", "IDENTITY_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    release()


@pytest.mark.usefixtures("empty")
def test_missing_settings_are_all_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Without settings the command says which are needed."""
    assert cli.main(["runs"]) == 1
    error = capsys.readouterr().err

    for name in (*GOOD, "AzureWebJobsStorage"):
        assert name in error


def test_settings_come_from_the_file_and_the_environment(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """local.settings.json is read where it lies; the environment comes first."""
    values = {**GOOD, "AzureWebJobsStorage": f"sqlite:{empty / 'x.db'}"}
    (empty / "local.settings.json").write_text(json.dumps({"Values": values}))
    assert cli.main(["runs", "--registry", "none"]) == 1
    assert "myapps" in capsys.readouterr().err
    monkeypatch.setenv("REBUILDER_TASK_REGISTRIES", str(BASE))
    assert cli.main(["--settings", "local.settings.json", "runs", "--registry", "none"]) == 1
    assert ": mybase" in capsys.readouterr().err
    (empty / "bad.json").write_text("[]")
    assert cli.main(["--settings", "bad.json", "runs"]) == 1
    assert "bad.json is not a local.settings.json" in capsys.readouterr().err


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(
    ("storage", "kinds"),
    [
        ({"AzureWebJobsStorage": "sqlite:x.db"}, ("SqliteLedger", "SqliteQueues")),
        ({"AzureWebJobsStorage": "UseDevelopmentStorage=true"}, ("TableLedger", "StorageQueues")),
        ({"AzureWebJobsStorage__accountName": "store"}, ("TableLedger", "StorageQueues")),
    ],
)
def test_the_store_follows_the_connection(
    storage: dict[str, str], kinds: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One setting chooses where both ledger and queues are; equal settings share adapters."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    context = compose({**GOOD, **storage})

    assert (type(context.ledger).__name__, type(context.queue).__name__) == kinds
    assert compose({**GOOD, **storage}) is context
    assert context.now().tzinfo is not None


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("rubbish", "AzureWebJobsStorage cannot be read: write a connection string"),
        ("AccountName=a", "AzureWebJobsStorage cannot be read: write a connection string"),
        ("sqlite:{folder}", "is a folder: write AzureWebJobsStorage=sqlite:FILE"),
        ("sqlite:{folder}/file/store.db", "cannot be reached: Not a directory"),
        ("sqlite:{folder}/file", "is damaged, or is no database"),
    ],
)
def test_storage_that_cannot_be_used_is_told(
    storage: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a sentence that says what to do, by each command that asks for what is kept."""
    (tmp_path / "file").write_text("no database " * 100)
    monkeypatch.setenv("REBUILDER_BASE_REGISTRIES", str(BASE))
    monkeypatch.setenv("REBUILDER_TASK_REGISTRIES", str(APPS))
    monkeypatch.setenv("AzureWebJobsStorage", storage.format(folder=tmp_path))
    for command in (["dead-letters"], ["audit"], ["replay", "--all"]):
        assert cli.main(command) == 1
        assert told in capsys.readouterr().err
