"""One of many things that goes wrong harms none of the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rebuilder import composition, isolation
from rebuilder.cli import main as cli
from rebuilder.core.acr.tasks import Dependency, RunStatus
from rebuilder.core.decisions.policy import Policy
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.core.dependencies.index import moving
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    REFRESH,
    RUNS,
    PlanRebuilds,
    Refresh,
    StartBuild,
    TrackBuild,
)
from rebuilder.core.rebuilds.rebuild import State
from rebuilder.errors import Denied, TransientError, Unforeseen
from rebuilder.isolation import attempt, attempts, together
from rebuilder.ports.queue import PoisonMessage
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.catch_up import missed
from rebuilder.usecases.index.refresh_index import refresh_index, scan_registry
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.recovery.collect_dead_letters import collect_dead_letters
from rebuilder.usecases.recovery.delivery import deliver
from tests.unit.fakes import APPS, BASE, NEW, NODE, World, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event")
_DELIVERIES = 5
_MANY = 1000


def refuse_zero(number: int) -> float:
    """Fail for 0 in a way that nobody foresaw, and for 1 in a way that somebody did."""
    if number == 1:
        raise Denied("one")
    return 1 / number


@pytest.mark.parametrize("at_once", [1, 8])
def test_what_one_raises_is_its_own_problem(at_once: int, caplog: pytest.LogCaptureFixture) -> None:
    """Errors of ours as they are; any other as unforeseen, with its place and its traceback."""
    zero, one, two = attempts(refuse_zero, [0, 1, 2], at_once=at_once)

    assert isinstance(zero, Unforeseen)
    assert "unforeseen went wrong: ZeroDivisionError in refuse_zero (" in str(zero)
    assert isinstance(one, Denied)
    assert two == 1 / 2
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "return 1 / number" in caplog.text


def test_what_an_unforeseen_error_says_is_told_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Libraries put headers into what they raise."""

    def send(_: object) -> None:
        raise ValueError("Invalid header value b'Bearer " + "secret'")

    found = attempt(send, task())

    assert f"{found} {caplog.text}".count("secret") == 1  # the line of this test
    assert f"Task {task().id}: something unforeseen" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_who_ends_the_process_ends_it(error: BaseException) -> None:
    """To stop is no problem of the item at hand."""

    def stop(_: int) -> None:
        raise error

    with pytest.raises(type(error)):
        attempts(stop, [1, 2])


def test_parts_of_one_thing_are_done_and_then_the_first_error_is_raised() -> None:
    """Half of a thing is none."""
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        if number == 1:
            raise TransientError("now")
        return number

    for at_once in (1, 2):
        done.clear()
        with pytest.raises(TransientError):
            together(work, range(4), at_once=at_once)
        assert sorted(done) == [0, 1, 2, 3]
    assert together(str, [1, 2]) == ["1", "2"]


def test_there_is_no_other_thread_pool() -> None:
    """Whatever works on many things does it in one place."""
    root = Path(isolation.__file__).parent
    files = [*root.rglob("*.py"), *(root.parent / "functions").rglob("*.py")]
    assert len(files) > 100
    pools = [f.name for f in files if "ThreadPoolExecutor" in f.read_text(encoding="utf-8")]

    assert pools == ["isolation.py"]


def failing(real: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a function that fails as nobody foresaw once it is given something of one task."""

    def wrapped(*given: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever the real one takes
        if any(name in (getattr(g, "name", ""), _task_name(g)) for g in given):
            raise LookupError(name)
        return real(*given, **more)

    return wrapped


def _task_name(given: object) -> str:
    found = getattr(given, "task", None) or getattr(given, "id", None)
    return str(getattr(found, "name", ""))


class Host:
    """Works off the queues as the Functions host does."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._work: dict[str, Callable[[Any, str], object]] = {
            PUSHES: lambda context, body: plan_rebuilds(context, PlanRebuilds.decode(body)),
            BUILDS: lambda context, body: start_build(context, StartBuild.decode(body), "me"),
            RUNS: lambda context, body: track_build(context, TrackBuild.decode(body)),
            REFRESH: lambda context, body: refresh_index(context, Refresh.decode(body)),
        }

    def work_off(self, queue: str) -> None:
        """Deliver every message of a queue, and what comes back, until it is empty or poison."""
        world = self._world
        for body, _ in world.queue.take(queue):
            for delivery in range(1, _DELIVERIES + 1):
                try:
                    deliver(world.context, queue, body, self._work[queue])
                except Exception:  # noqa: BLE001 - as the host does
                    if delivery == _DELIVERIES:
                        poison = PoisonMessage(queue, body, world.time.now, ("id", "receipt"))
                        world.queue.poison.append(poison)
                else:
                    break


@pytest.mark.unmeasured
@pytest.mark.timeout(600)  # it is long, and other work may run beside it
def test_one_of_a_thousand_tasks_at_every_stage(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five of them go wrong, each at its own stage; all others are rebuilt, and each is named."""
    monkeypatch.setattr(isolation, "AT_ONCE", 1)  # the fakes are not made for several at once
    bad = {stage: f"bad-{stage}" for stage in ("read", "decide", "start", "track", "check")}
    good = [f"t{number:03}" for number in range(_MANY - len(bad))]
    world.tasks.add(*(task(name) for name in (*good, *bad.values())))
    host = Host(world)
    for module, name, stage in (
        ("index.refresh_index", "gather", "read"),
        ("plan.deciding", "decide", "decide"),
        ("build.start_build", "decide_for", "start"),
        ("build.track_build", "_look", "track"),
        ("build.output", "_checked", "check"),
    ):
        path = f"rebuilder.usecases.{module}"
        real = getattr(import_module(path), name)
        monkeypatch.setattr(f"{path}.{name}", failing(real, bad[stage]))

    world.queue.send(REFRESH, Refresh(APPS, None, world.time.now).encode())
    host.work_off(REFRESH)
    assert world.index.refreshed(APPS) is not None
    assert len(list(world.index.views(APPS))) == _MANY

    world.ledger.record_events([PUSH], world.time.now)
    world.queue.send(PUSHES, PlanRebuilds(PUSH).encode())
    host.work_off(PUSHES)
    while waits := [delay for queue, _, delay in world.queue.sent if queue == BUILDS]:
        world.time.pass_(max(waits).total_seconds())  # some wait for their turn at ARM
        host.work_off(BUILDS)
    for run_id, run in world.tasks.found_runs.items():
        world.tasks.found_runs[run_id] = replace(run, status=RunStatus.SUCCEEDED)
    world.time.pass_(60)
    host.work_off(RUNS)
    collect_dead_letters(world.context)

    states = {
        found.name: head.state
        for found in (world.tasks.known)
        if (head := world.ledger.head(found)) is not None
    }
    assert [name for name in good if states.get(name) is not State.SUCCEEDED] == []
    assert states[bad["check"]] is State.SUCCEEDED
    monkeypatch.setattr(composition, "compose", lambda *_: world.context)
    assert cli.main(["explain", NODE]) == 0
    told = capsys.readouterr().out
    for name in bad.values():
        assert name in told


@pytest.mark.parametrize(
    ("module", "name"),
    [("gaps", "find_gaps"), ("graph", "graph_of"), ("audit", "decide")],
)
def test_one_task_of_a_command_that_goes_over_many(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
    name: str,
) -> None:
    """What it raises is told, or left out, and the answer about the others is given."""
    world.tasks.add(task("good"), task("bad"))
    for registry in world.settings.task_registries:
        scan_registry(world.context, registry)
    world.ledger.record_events([PUSH], world.time.now)
    world.time.pass_(60)
    owner = import_module(f"rebuilder.usecases.reports.{module}")
    real = getattr(owner, name)

    def failing(given: Any, *more: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it takes
        one = given[0] if isinstance(given, list) else given
        if "bad" in str(getattr(one, "id", "")):
            raise LookupError("bad")
        return real(given, *more, **named)

    monkeypatch.setattr(owner, name, failing)
    monkeypatch.setattr(composition, "compose", lambda *_: world.context)
    code = cli.main({"gaps": ["gaps"], "graph": ["graph"], "audit": ["audit"]}[module])
    out = capsys.readouterr().out

    assert code in (0, 1, 3)
    assert "myapps/good" in out
    assert ("went wrong" in out) == (module != "graph")


def test_one_odd_view_keeps_no_tag_from_being_compared(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sweep, poll and audit look at what the others follow."""
    world.tasks.add(task("good"), task("bad"))
    scan_registry(world.context, APPS)
    real = moving

    def failing(view: TaskView, policy: Policy) -> tuple[Dependency, ...]:
        if view.task.name == "bad":
            raise LookupError
        return real(view, policy)

    monkeypatch.setattr(missed, "moving", failing)

    (tasks,) = missed.followers(world.context).values()
    assert [follower.task.name for follower in tasks] == ["good"]
