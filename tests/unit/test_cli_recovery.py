from __future__ import annotations

import getpass
import json
from copy import replace
from datetime import timedelta

import pytest

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, PUSHES, OperatorAct, StartBuild
from rebuilder.core.rebuilds.rebuild import Native, Rebuild, State
from rebuilder.errors import Denied, Refused, TransientError
from rebuilder.usecases.steering.acts import carry_out
from tests.unit.fakes import BASE, NEW, NODE, OLD, World, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
TASK = task().id
MOVED = BaseMoved(TASK, NODE, "runtime", OLD, NEW, "registry")


@pytest.fixture(name="known")
def _known(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The command sees this world."""
    world.tasks.add(task())
    for registry in world.settings.task_registries:
        world.index.mark_refreshed(registry, world.time.now)
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    return world


def letter(world: World, body: str, source: str = BUILDS) -> DeadLetter:
    """Keep a dead letter."""
    made = DeadLetter(Origin.QUEUE, source, body, "KeyError: 'x'", world.time.now)
    world.context.dead_letters.record(made)
    return made


def test_dead_letters_are_listed_with_their_reason(
    known: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that wait; a long body is shortened for a person."""
    first, done = letter(known, "x" * 301), letter(known, "done")
    known.context.dead_letters.mark_replayed(done.id, known.time.now)

    assert cli.main(["dead-letters"]) == 0
    assert capsys.readouterr().out == (
        f"{first.id}  2026-01-02T03:04:05Z  rebuilder-builds\n"
        "    KeyError: 'x'\n"
        f"    {'x' * 300}...\n"
        "1 dead letter(s) waiting.\n"
    )
    assert cli.main(["dead-letters", "--all"]) == 0
    assert (
        f"{done.id}  2026-01-02T03:04:05Z  rebuilder-builds  replayed 2026-01-02T03:04:05Z\n"
    ) in capsys.readouterr().out


def test_dead_letters_as_json(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything, with the body whole."""
    first, done = letter(known, "x" * 301), letter(known, "done")
    known.context.dead_letters.mark_replayed(done.id, known.time.now)

    assert cli.main(["dead-letters", "--all", "--json"]) == 0
    one, other = json.loads(capsys.readouterr().out)
    assert one == {
        "id": first.id,
        "origin": "queue",
        "source": "rebuilder-builds",
        "at": known.time.now.isoformat(),
        "reason": "KeyError: 'x'",
        "body": "x" * 301,
        "replayed": None,
    }
    assert other["replayed"] == known.time.now.isoformat()


@pytest.mark.parametrize("everything", [True, False])
def test_replay_puts_back_and_says_so(
    known: World, capsys: pytest.CaptureFixture[str], *, everything: bool
) -> None:
    """One by id, or all that wait."""
    one, other = letter(known, "{}"), letter(known, "{}", PUSHES)

    assert cli.main(["replay", "--all"] if everything else ["replay", one.id]) == 0
    expected = f"{one.id}  back in rebuilder-builds\n"
    if everything:
        expected += f"{other.id}  back in rebuilder-pushes\n"
    assert capsys.readouterr().out == expected + f"{1 + everything} dead letter(s) replayed.\n"
    assert len(known.queue.sent) == 1 + everything


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (
            Refused("RequestBodyTooLarge", "413"),
            ["0 NOT replayed: RequestBodyTooLarge: 413", "5 dead letter(s) replayed, 1 not."],
        ),
        (
            TransientError("no connection"),
            [
                *(f"{n} NOT replayed: no connection" for n in range(3)),
                "0 dead letter(s) replayed, 3 not, 3 not tried: the store is out of order.",
            ],
        ),
    ],
)
def test_what_could_not_be_replayed_is_named_at_the_end(
    known: World,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    lines: list[str],
) -> None:
    """One that cannot be put back keeps no other waiting, and the exit code tells of it."""
    letters = [letter(known, str(number)) for number in range(6)]
    real = known.queue.send

    def send(queue: str, body: str, delay: timedelta = timedelta()) -> None:
        if body == "0" or isinstance(error, TransientError):
            raise error
        real(queue, body, delay)

    monkeypatch.setattr(known.queue, "send", send)

    assert cli.main(["replay", "--all"]) == 1
    out = capsys.readouterr().out
    for number, one in enumerate(letters):
        out = out.replace(f"{one.id} ", str(number))
    assert out.splitlines()[-len(lines) :] == lines


def test_replay_wants_to_know_what(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither nothing nor both is a wish; an unknown id is an error."""
    for arguments in (["replay"], ["replay", "--all", "x"]):
        with pytest.raises(SystemExit) as wrong:
            cli.main(arguments)
        assert wrong.value.code == 2

    assert cli.main(["replay", "x"]) == 1
    assert "there is no dead letter x; see `rebuilder dead-letters`" in capsys.readouterr().err
    assert known.queue.sent == []


def test_retry_asks_for_the_build(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """By the task's name; the message tells that it is tried anew, and who asked."""
    built(known, State.GIVEN_UP)

    assert cli.main(["retry", "build-app"]) == 0
    assert capsys.readouterr().out == (
        "myapps/build-app is to be rebuilt; see `rebuilder history`\n"
    )
    ((act, _),) = known.queue.take(ACTS)
    carry_out(known.context, OperatorAct.decode(act).act)
    ((body, _),) = known.queue.take(BUILDS)
    message = StartBuild.decode(body)
    assert (message.forced, message.after, message.push.key) == (True, 1, PUSH.key)
    assert message.hand is not None
    assert message.hand.who == getpass.getuser()


def built(world: World, state: State, **changes: object) -> None:
    """Store the task's next rebuild."""
    head = world.ledger.head(TASK)
    now = world.time.now
    sequence = head.sequence + 1 if head else 1
    made = Rebuild(
        TASK, sequence, "k" * 64, (f"{NODE}@{NEW}",), PUSH.key, state, now, "me", now, run_id="ca1"
    )
    assert world.ledger.claim(replace(made, **changes))  # type: ignore[arg-type] # checked by the test's users


def told(world: World, *decisions: BaseMoved | TaskDisabled) -> None:
    """Tell of the push, and decide after it; then a minute passes."""
    world.ledger.record_events([PUSH], world.time.now)
    world.ledger.record_decisions(PUSH, decisions, world.time.now)
    world.time.pass_(60)


def test_a_clean_audit(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """What had its effect is counted, and listed only on demand; 0 tells that all is well."""
    other = task("other").id
    told(known, MOVED, replace(MOVED, task=other), TaskDisabled(other))
    built(known, State.SUCCEEDED, native=Native.MISSED)

    assert cli.main(["audit"]) == 0
    assert capsys.readouterr().out == (
        f"left alone: myapps/other for images/node:9@{NEW}, told 2026-01-02T03:04:05Z\n"
        "    the task is disabled\n"
        "1 push(es) from 2026-01-01T03:05:05Z to 2026-01-02T03:05:05Z, 1 effect(s):\n"
        "  1 rebuilt, 1 left alone\n"
        "ACR's own trigger: 0 in time, 1 missed, 0 late and so built twice.\n"
        "0 rebuilt of which nobody can tell what it stands on.\n"
        "0 dead letter(s) waiting.\n"
        "0 tag(s) compared with what stands on them: 0 task(s) on something else.\n"
        "Clean.\n"
    )
    assert cli.main(["audit", "--all", "--no-arm"]) == 0
    assert "rebuilt: myapps/build-app for images/node:9@" in capsys.readouterr().out


def test_an_audit_that_is_not_clean(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code tells it, and what should have happened in a minute may be said."""
    said = Said(ImageReference.parse(NODE), Kind.RUNTIME, OLD)
    known.index.replace(join(MOVED.task, [Evidence(Source.BUILD_FILE, (said,))]), known.time.now)
    told(known, MOVED)
    assert cli.main(["audit"]) == 0
    capsys.readouterr()

    assert cli.main(["audit", "--patience", "0", "--hours", "1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("lost: myapps/build-app for images/node:9@")
    assert lines[1] == "    planned, and nothing happened since 2026-01-02T03:04:05+00:00"
    assert lines[-1] == "NOT clean: the lines above name what to look at."


def test_an_audit_tells_what_stands_on_something_else(
    known: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever was told of the tag, and whether anything was; JSON has it, too."""
    said = Said(ImageReference.parse(NODE), Kind.RUNTIME, OLD)
    known.index.replace(join(TASK, [Evidence(Source.BUILD_FILE, (said,))]), known.time.now)

    assert cli.main(["audit"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "now lost: myapps/build-app follows images/node:9"
    assert lines[1] == (
        f"    it stands on {OLD}, and {NODE}@{NEW} is what its tag names; nothing is under way"
    )
    assert "1 tag(s) compared with what stands on them: 1 task(s) on something else." in lines
    assert cli.main(["audit", "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["standing"]
    assert (finding["task"], finding["verdict"]) == (str(TASK), "lost")


def test_an_audit_that_could_not_look_at_everything_is_not_called_clean(
    known: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so, and JSON as well."""
    known.index.replace(
        join(
            TASK,
            [Evidence(Source.BUILD_FILE, (Said(ImageReference.parse(NODE), Kind.RUNTIME, OLD),))],
        ),
        known.time.now,
    )
    known.images.failure = Denied("no role")

    assert cli.main(["audit"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"not looked at: what stands on {NODE}: no role"
    assert lines[-1] == ("Nothing is wrong as far as is known; not everything could be looked at.")
    known.images.failure = Denied("no role")
    assert cli.main(["audit", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["complete"] is False


def test_an_audit_of_a_quiet_time(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A time without zone is UTC; a span that ends before the push does not hold it."""
    told(known, MOVED)

    assert cli.main(["audit", "--since", "2026-01-01", "--until", "2026-01-02T03:04:05Z"]) == 0
    assert (
        "0 push(es) from 2026-01-01T00:00:00Z to 2026-01-02T03:04:05Z, 0 effect(s):\n"
        "  nothing to do\n"
    ) in capsys.readouterr().out


def test_an_audit_as_json(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Every finding and every count, for a machine."""
    told(known, MOVED)
    built(known, State.GIVEN_UP, outcome="Failed")
    waiting = letter(known, "{}")
    known.time.pass_(1)

    assert cli.main(["audit", "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    (finding,) = record.pop("findings")
    assert finding == {
        "push": PUSH.key,
        "told": (known.time.now - timedelta(seconds=61)).isoformat(),
        "task": str(TASK),
        "verdict": "given up",
        "sentence": "after 1 attempt(s): Failed",
        "rebuild": "kkkkkkkkkkkkkkkk-1",
        "runId": "ca1",
    }
    assert record["counts"]["given up"] == 1
    assert (record["clean"], record["pushes"], record["effects"]) == (False, 1, 0)
    assert record["deadLetters"] == [waiting.id]
    assert record["native"] == {"adopted": 0, "missed": 0, "late": 0}
    assert (record["notLookedAt"], record["unchecked"]) == ([], 0)
    assert (record["complete"], record["tagsCompared"], record["standing"]) == (True, 0, [])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--since", "soon"],
        ["--since", "0001-01-01T00:00:00+14:00"],
        ["--until", "9999-12-31T23:59:59-14:00"],
        ["--hours", "-1"],
        ["--hours", "9" * 20],
        ["--since", "2026-01-01", "--hours", "1"],
    ],
)
def test_an_audit_of_no_time_span_is_refused(
    known: World, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """The wrong argument is named."""
    with pytest.raises(SystemExit) as wrong:
        cli.main(["audit", *arguments])

    assert wrong.value.code == 2
    assert arguments[-2] in capsys.readouterr().err
    assert known.queue.sent == []


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--all"]])
def test_half_a_character_in_a_letter_stops_no_command(
    known: World, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """It is listed, audited and discarded like any other letter, in plain characters."""
    body = StartBuild(PUSH, TASK).encode().replace("node", "\\ud800")
    bad = letter(known, body)

    assert cli.main(["audit", *arguments]) == 0
    assert cli.main(["dead-letters", *arguments]) == 0
    assert cli.main(["discard", bad.id]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert f"{bad.id}  discarded; nothing will come of it\n" in out
    assert known.context.dead_letters.all() == []
    assert cli.main(["discard", bad.id]) == 1
    assert f"there is no dead letter {bad.id}" in capsys.readouterr().err


def test_what_could_not_be_looked_at_is_printed(
    known: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An audit without ARM's runs says so; a push without plan concerns every task."""
    monkeypatch.setattr("rebuilder.usecases.reports.audit.ASKED", 0)
    told(known, MOVED)
    known.context.dead_letters.record(
        DeadLetter(
            Origin.QUEUE,
            BUILDS,
            StartBuild(replace(PUSH, tag="10"), TASK).encode(),
            "x",
            known.time.now - timedelta(seconds=1),
        )
    )

    assert cli.main(["audit"]) == 1
    out = capsys.readouterr().out
    assert "not looked at: ARM was asked about 0 of 1 tasks" in out
    assert "dead letter waiting: myapps/build-app for images/node:10@" in out
