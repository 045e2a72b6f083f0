"""What people ask for by hand: built once, through the same claim, with who and why."""

from __future__ import annotations

import getpass
import json
from copy import replace
from pathlib import Path

import pytest

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.decisions.digests import AlreadyBuiltOn
from rebuilder.core.decisions.operators import IgnoredByPolicy
from rebuilder.core.events.pushes import Push
from rebuilder.core.lines.rooms import LimitReached
from rebuilder.core.policies.acts import Act, Scope, Target, What
from rebuilder.core.policies.holds import CoolingDown, Frozen, Paused
from rebuilder.core.policies.reason import Reason
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, OperatorAct, PlanRebuilds, StartBuild
from rebuilder.core.rebuilds.rebuild import State
from rebuilder.core.rebuilds.records import rebuild_from_text, rebuild_to_text
from rebuilder.errors import Denied, InvalidMessage, TransientError
from rebuilder.ports.foreign import Seen
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.steering.acts import ask, carry_out, history
from rebuilder.usecases.steering.by_hand import MOST_TASKS, named
from tests.unit.fakes import APPS, NEW, NODE, OTHERS, World, dependency, task
from tests.unit.operators import PUSH, act, carry_out_all, decide, deliver, head, held_for, start

FREEZE = "freezes: [{name: sales, from: 2026-01-01, to: 2026-01-09, timezone: UTC}]"


@pytest.fixture(name="known")
def _known(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The command sees this world; a task is built on what its tag names."""
    world.tasks.add(task("build-app", dependency(built_on=NEW)))
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    world.ledger.record_events([PUSH], world.time.now)
    world.ledger.planned(PUSH)
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    monkeypatch.chdir(tmp_path)
    return world


def built(world: World) -> None:
    """Build the task, successfully."""
    world.tasks.add(task())
    start(world)
    world.ledger.save(replace(head(world), state=State.SUCCEEDED, due=None))
    world.queue.take(BUILDS)


def came(world: World) -> str:
    """Return what came of the newest act."""
    return next(history(world.context, 1)).came


def of(world: World, newest: int = 0) -> tuple[str, ...]:
    """Return the task as an act names it."""
    del world
    return (named(task().id, newest),)


def test_a_task_is_built_though_nothing_moved(known: World) -> None:
    """Once, however often the act and its message are delivered."""
    built(known)
    start(known)
    assert len(known.tasks.scheduled) == 1
    asked = act(known, What.BUILD, Target(), "ann", of(known, 1))
    carry_out(known.context, asked)
    deliver(known)
    assert (head(known).sequence, head(known).state) == (2, State.SCHEDULED)
    known.ledger.save(replace(head(known), state=State.SUCCEEDED, due=None))
    carry_out(known.context, asked)
    deliver(known)

    assert len(known.tasks.scheduled) == 2
    assert came(known) == "1 task(s) asked for"


def test_one_that_was_never_rebuilt_is_built_for_what_its_tag_names(known: World) -> None:
    """Nobody has told of a push: what the tag names now is looked at, and nobody else concerned."""
    other = "mybase.azurecr.io/images/go:1"
    known.tasks.add(task("fresh", dependency(other, built_on=None)))
    known.images.digests[other] = NEW
    act(known, What.BUILD, Target(), "ann", (named(task("fresh").id, 0),))
    deliver(known)

    (scheduled,) = known.tasks.scheduled
    assert scheduled[0] == task("fresh").id
    assert head(known, task("fresh").id).bases == (f"{other}@{NEW}",)
    assert known.ledger.unplanned() == []


def test_a_foreign_tag_will_do(known: World) -> None:
    """If it is polled; the base of the image comes first."""
    alpine, go = "docker.io/library/alpine:3", "mybase.azurecr.io/images/go:1"
    known.tasks.add(
        task("fresh", dependency(go, None, Kind.BUILD_TIME), dependency(alpine, None)),
        task("gone", dependency("mybase.azurecr.io/images/gone:1", None)),
    )
    scan_registry(known.context, APPS)
    known.foreign.seen[alpine] = Seen(NEW)
    names = tuple(named(task(name).id, 0) for name in ("fresh", "gone"))
    closed = replace(known.context, settings=replace(known.settings, poll_hosts=()))
    carry_out(closed, ask(closed, What.BUILD, Target(), who="a", because="", of=names[:1]))
    assert "is built on no tag" in came(known)
    known.queue.take(ACTS)
    known.images.digests[go] = None
    found = act(known, What.BUILD, Target(), "ann", names)
    (build,) = known.queue.take(BUILDS)
    message = StartBuild.decode(build[0])
    assert (str(message.push.registry), message.push.repository) == ("docker.io", "library/alpine")
    assert message.hand == found.hand
    assert came(known) == (
        "1 task(s) asked for; not: myapps/gone is built on no tag that can be looked at;"
        " `az acr task run` starts it"
    )


def test_a_retry_needs_a_push(known: World) -> None:
    """Else there is nothing that was given up; tasks of others are not touched."""
    known.tasks.add(task("fresh", dependency("mybase.azurecr.io/images/go:1", None)))
    scan_registry(known.context, APPS)
    foreign = replace(APPS, name="elsewhere")
    names = [named(task("fresh").id, 0), named(task(registry=foreign).id, 0), "x", "y#0"]
    names += [f"{task().id}#{'9' * 30}", f"{task().id}#0"]
    act(known, What.RETRY, Target(), "ann", tuple(names))

    told = came(known)
    assert told.startswith("1 task(s) asked for; not: no push of an image that")
    assert "elsewhere/build-app: its registry is none of the task registries" in told
    assert len(known.queue.take(BUILDS)) == 1
    act(known, What.RETRY, Target(), "ann", ("x",) * 7)
    assert came(known).endswith("; and 2 more")


def test_acts_name_tasks(known: World) -> None:
    """And not any number of them; one that cannot be asked for now is delivered again."""
    for wrong in ((), ("x",) * (MOST_TASKS + 1)):
        asked = ask(known.context, What.BUILD, Target(), who="a", because="", of=wrong)
        with pytest.raises(InvalidMessage, match=f"names {len(wrong)} tasks"):
            carry_out(known.context, asked)
        known.time.pass_(1)
    known.tasks.add(task("fresh", dependency("mybase.azurecr.io/images/go:1", None)))
    scan_registry(known.context, APPS)
    known.images.failure = TransientError("down")
    names = (named(task("fresh").id, 0),)
    asked = ask(known.context, What.BUILD, Target(), who="a", because="", of=names)
    with pytest.raises(TransientError):
        carry_out(known.context, asked)
    known.images.failure = Denied("no role")
    carry_out(known.context, asked)
    assert came(known) == "0 task(s) asked for; not: no role"


def test_what_is_asked_for_waits_for_the_gate_but_for_no_cooldown(known: World) -> None:
    """And who asked is kept with it, whoever looks at it next."""
    built(known)
    decide(known, f"policies: {{default: {{cooldown: 4h}}}}\n{FREEZE}")
    act(known, What.BUILD, Target(), "ann", of(known, 1))
    deliver(known)
    assert held_for(known) == [Frozen]
    held = head(known).held
    assert held is not None
    assert held.asked_by == "ann"
    decide(known, "policies: {default: {cooldown: 4h}}")
    deliver(known)
    assert head(known).state is State.SCHEDULED


def test_what_is_forced_waits_for_nothing_and_says_so(
    known: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """With who, why, and what it would have waited for."""
    decide(known, f"policies: {{default: {{cooldown: 4h}}}}\n{FREEZE}")
    known.tasks.add(task())
    scan_registry(known.context, APPS)
    plan_rebuilds(known.context, PlanRebuilds(PUSH))
    known.queue.take(BUILDS)
    act(known, What.PAUSE)
    start(known)
    assert held_for(known) == [Paused, Frozen, CoolingDown]
    forced = ask(
        known.context,
        What.RETRY,
        Target(),
        who="ann",
        because="the site is down",
        of=of(known, 1),
        force=True,
    )
    carry_out_all(known)
    deliver(known)

    found = head(known)
    assert found.state is State.SCHEDULED
    assert found.held is not None
    assert found.held.forced == forced.hand
    assert [type(reason) for reason in found.held.reasons] == [Paused, Frozen]
    assert rebuild_from_text(rebuild_to_text(found)) == found
    assert cli.main(["explain", NODE]) == 0
    told = capsys.readouterr().out
    assert "forced by ann at 2026-01-02 03:04 UTC: the site is down; else it would wait: " in told
    assert "all is paused by ann" in told
    known.ledger.save(replace(found, state=State.FAILED, due=known.time.now))
    start(known)
    assert held_for(known) == [Paused, Frozen]


def test_what_is_forced_waits_for_limits(known: World) -> None:
    """As many as may be are under way; it stays forced, and needs no second act."""
    known.tasks.add(task(), task("other"))
    decide(known, f"policies: {{default: {{maxConcurrent: 1}}}}\n{FREEZE}")
    names = tuple(named(task(name).id, 0) for name in ("other", "build-app"))
    asked = ask(known.context, What.RETRY, Target(), who="ann", because="now", of=names, force=True)
    scan_registry(known.context, APPS)
    carry_out(known.context, asked)
    deliver(known)
    (first,) = known.tasks.scheduled
    (waiting,) = {task().id, task("other").id} - {first[0]}
    assert held_for(known, waiting) == [LimitReached]
    decide(known, f"policies: {{default: {{maxConcurrent: 2}}}}\n{FREEZE}")
    deliver(known)
    assert head(known, waiting).state is State.SCHEDULED


def test_what_is_ignored_is_built_if_it_is_forced(known: World) -> None:
    """A person has looked at it."""
    known.tasks.add(task())
    decide(known, 'rules: [{match: {task: "*"}, ignore: true}]')
    hand = Act("a", What.BUILD, Target(), "ann", "why", known.time.now).hand
    message = StartBuild(PUSH, task().id, forced=True, after=0, hand=hand)
    assert isinstance(start_build(known.context, message, "me"), IgnoredByPolicy)
    forced = replace(message, hand=replace(hand, force=True))
    start_build(known.context, forced, "me")
    assert head(known).state is State.SCHEDULED


def test_a_task_that_never_ran_is_built_if_somebody_asks(known: World) -> None:
    """A push alone does not begin with it."""
    known.images.came[NEW] = known.time.now
    known.time.pass_(60)
    fresh = replace(task(), dependencies=(dependency(built_on=None),), created=known.time.now)
    known.tasks.add(fresh)
    scan_registry(known.context, APPS)
    start(known)
    assert known.tasks.scheduled == []
    act(known, What.BUILD, Target(), "ann", of(known))
    deliver(known)
    assert len(known.tasks.scheduled) == 1


def test_the_next_one_is_nobodys(known: World) -> None:
    """Who asked for one rebuild did not ask for what is pushed later."""
    built(known)
    act(known, What.BUILD, Target(), "ann", of(known, 1))
    deliver(known)
    held = head(known).held
    assert held is None
    found = start_build(known.context, StartBuild(PUSH, task().id), "me")
    assert not isinstance(found, Reason | AlreadyBuiltOn)


# The commands.


def test_build_by_name_and_by_pattern(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Each task once; what is asked for names its newest rebuild."""
    known.tasks.add(task("other"))
    scan_registry(known.context, APPS)
    start(known, of=task("other").id)
    assert cli.main(["build", "build-app", "my*/*", "--because", "check"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "myapps/build-app is to be rebuilt; see `rebuilder history`",
        "myapps/other is to be rebuilt; see `rebuilder history`",
    ]
    (found,) = [OperatorAct.decode(body).act for body, _ in known.queue.take(ACTS)]
    assert found == Act(
        found.id,
        What.BUILD,
        Target(Scope.TASK, "build-app, my*/*"),
        getpass.getuser(),
        "check",
        known.time.now,
        of=(named(task().id, 0), named(task("other").id, 1)),
    )
    assert cli.main(["build", "no*"]) == 1
    assert "no task is known that fits no*" in capsys.readouterr().err


def test_many_tasks_are_several_acts(known: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many fit, none is left out."""
    known.tasks.add(task("other"))
    scan_registry(known.context, APPS)
    monkeypatch.setattr("rebuilder.cli.decide.build.MOST_TASKS", 1)
    assert cli.main(["build", "*"]) == 0
    acts = [OperatorAct.decode(body).act for body, _ in known.queue.take(ACTS)]
    assert [a.of for a in acts] == [(named(task().id, 0),), (named(task("other").id, 0),)]


def test_force_wants_a_reason(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told that it does not wait."""
    with pytest.raises(SystemExit):
        cli.main(["retry", "build-app", "--force"])
    assert "Give --because" in capsys.readouterr().err
    assert cli.main(["retry", "build-app", "--force", "--because", "down"]) == 0
    assert "without waiting for what operators decided" in capsys.readouterr().out
    (found,) = [OperatorAct.decode(body).act for body, _ in known.queue.take(ACTS)]
    assert (found.what, found.force) == (What.RETRY, True)


def test_history_is_listed_page_by_page(known: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first: who, when, why, and what came of it."""
    assert cli.main(["history"]) == 0
    assert capsys.readouterr().out == "Nobody did anything.\n"
    act(known, What.PAUSE, Target(Scope.TASK, "my*"), "ann")
    ask(known.context, What.RETRY, Target(), who="b", because="", of=of(known), force=True)
    carry_out_all(known)
    assert cli.main(["history", "--limit", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2026-01-02T03:04:06Z  retry --force all, by b",
        "    1 task(s) asked for",
        "Older ones: --skip 1",
    ]
    assert cli.main(["history", "--skip", "1", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["what"], found["target"], found["who"]) == ("pause", "--task my*", "ann")
    assert (found["because"], found["came"]) == ("why", "what fits waits from now on")
    assert [a.what for a in history(known.context, 9, 2)] == []


def test_a_time_without_a_zone_is_no_time(known: World) -> None:
    """Whoever wrote the message did not say when."""
    asked = OperatorAct(Act("a", What.PAUSE, Target(), "", "", known.time.now)).encode()
    naive = asked.replace("+00:00", "").replace("Z", "")
    assert naive != asked
    with pytest.raises(InvalidMessage):
        OperatorAct.decode(naive)


def test_the_message_tells_who_asked(known: World) -> None:
    """And one without says nothing of it."""
    hand = Act("a", What.BUILD, Target(), "ann", "", known.time.now).hand
    message = StartBuild(PUSH, task().id, hand=hand)
    assert StartBuild.decode(message.encode()) == message
    assert "hand" not in StartBuild(PUSH, task().id).encode()
    assert hand.sentence() == "by ann at 2026-01-02 03:04 UTC"
    assert Push.from_key(PUSH.key).tag == ImageReference.parse(NODE).tag
