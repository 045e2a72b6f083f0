"""The Functions host and Event Grid around the functions' entry points, with a virtual clock."""

from __future__ import annotations

import importlib
import random
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import azure.functions as func

from functions._events import raw
from rebuilder import composition, isolation
from rebuilder.core.rebuilds.messages import (
    ACTS,
    BUILDS,
    MESSAGES,
    PUSHES,
    REFRESH,
    RUNS,
    StartBuild,
)
from rebuilder.errors import OutcomeUnknown, RebuilderError, Throttled, TransientError
from rebuilder.settings import Settings
from rebuilder.sqlite._database import Database
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from rebuilder.sqlite.index import SqliteIndex
from rebuilder.sqlite.ledger import SqliteLedger
from rebuilder.sqlite.queues import MessageGone, ReceivedMessage, SqliteQueues
from rebuilder.usecases.context import Context
from tests.soak.azure import APPS, BASE, OTHERS, Azure, seconds
from tests.soak.grid import Grid
from tests.soak.letters import Letters
from tests.soak.ports import (
    Faulty,
    SimAccess,
    SimDeadEvents,
    SimForeign,
    SimImages,
    SimSources,
    SimTasks,
)
from tests.soak.stage import Crash, Invocation

QUEUES = {PUSHES: "plan_rebuilds", BUILDS: "start_build", RUNS: "track_build"} | {
    REFRESH: "refresh_tasks"
}
TIMERS = {
    "refresh_index": timedelta(hours=6),
    "sweep": timedelta(minutes=15),
    "poll_bases": timedelta(minutes=5),
    "collect_dead_letters": timedelta(minutes=5),
    "retire_history": timedelta(hours=1),
    "sum_staleness": timedelta(minutes=5),
}
_EVENTS = ("image_pushed", "task_changed")
_HIDE = timedelta(minutes=10)
_DELIVERIES = 5
# A request to ARM ends after 70 seconds, so nobody is stopped for longer in front of its effect.
_BEFORE_SCHEDULE = 60
_LEAVES = timedelta(seconds=70)
_STORES = frozenset({"ledger", "queue", "index", "bookmarks", "dead_letters", "steering"})
_ARM = frozenset({"tasks", "access"})


def _function(name: str) -> Callable[..., None]:
    module: Any = importlib.import_module(f"functions.{name}")
    if name in _EVENTS:
        # What the function does with each event, without an event loop for each.
        def accept(event: Any) -> None:  # noqa: ANN401 - of either schema
            go_on = module._accept([raw(event)])
            if go_on is not None:
                go_on()

        return accept
    found: Callable[..., None] = getattr(module, name)._function.get_user_function()
    return found


STEERED = {ACTS: "carry_out_act", MESSAGES: "send_message"}
"""What is served besides where operators decide."""
FUNCTIONS = {
    name: _function(name) for name in (*_EVENTS, *QUEUES.values(), *STEERED.values(), *TIMERS)
}


# What the functions compose with: each invocation has a context of its own.
_composed: ContextVar[Context] = ContextVar("_composed")


class Weather:
    """How likely what goes wrong is, at each call of a port."""

    def __init__(self) -> None:
        self.fault = self.crash = self.pause = self.lost = self.twice = self.unknown = 0.0
        self.throttled: datetime | None = None
        self.asks: list[timedelta | None] = [None, seconds(20), seconds(90)]
        self.skews: dict[int, timedelta] = {}
        self.down: dict[str, datetime] = {}

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.fault = self.crash = self.pause = self.lost = self.twice = self.unknown = 0.0
        self.throttled = None
        self.skews.clear()
        self.down.clear()


class Host:
    """Everything around the product."""

    def __init__(self, folder: Path, rng: random.Random, note: Callable[[str], None]) -> None:
        self.rng = rng
        self.note = note
        self.weather = Weather()
        self.azure = Azure(rng, note)
        self.grid = Grid(self)
        self.azure.on_push = self.grid.pushed
        self.azure.on_task = self.grid.changed
        self.azure.caller_was_stopped = lambda: bool(self.current and self.current.pauses)
        self.azure.caller_began = lambda: self.current.began if self.current else self.azure.now
        self.settings = Settings(
            frozenset({BASE, APPS}),
            (APPS, OTHERS),
            "sqlite:unused",
            dead_letters="https://account.blob.core.windows.net/dead",
        )
        self.file = folder / "store.db"
        self.stores: dict[str, object] = {
            "ledger": SqliteLedger(self.file),
            "queue": SqliteQueues(self.file, lambda: self.azure.now),
            "index": SqliteIndex(self.file),
            "bookmarks": SqliteBookmarks(self.file),
            "dead_letters": SqliteDeadLetters(self.file),
        }
        ledger = SqliteLedger(self.file)
        self.azure.asked_for = lambda task, run: {
            base for r in ledger.rebuilds(task, 10_000) if r.run_id == run for base in r.bases
        }
        index = SqliteIndex(self.file)
        self.azure.believed = lambda task: {
            str(dependency.reference)
            for indexed in [index.view(task)]
            if indexed is not None
            for dependency in indexed.view.dependencies
        }
        self.queues = SqliteQueues(self.file, lambda: self.azure.now)
        self.served = dict(QUEUES)
        self.dead_events = SimDeadEvents()
        self.paused: list[Invocation] = []
        self.current: Invocation | None = None
        self.surprises: list[str] = []
        self.prompt = False  # whether events come at once
        self.calls = self.invocations = self.events_lost = self.crashes = 0
        self._ends: dict[Invocation, Callable[[], None]] = {}
        self._instances: dict[int, Context] = {}
        self._placed = ExitStack()
        # One request at a time, so that a seed replays exactly.
        self._placed.enter_context(patch.object(isolation, "AT_ONCE", 1))
        self._placed.enter_context(patch.object(composition, "compose", _composed.get))
        with Database(self.file).transaction():
            pass  # makes the tables
        self._db = sqlite3.connect(self.file)
        self._letters = Letters(self, self._db)
        self.poison, self.replay = self._letters.poison, self._letters.replay
        for name, every in TIMERS.items():
            self.azure.at(self.azure.now + seconds(30), partial(self._timer, name, every))

    # What the product sees

    def context(self, instance: int = 0, *, plain: bool = False) -> Context:
        """Return the ports as an instance has them; `plain` without anything going wrong."""
        if not plain and instance in self._instances:
            return self._instances[instance]

        def clock() -> datetime:
            if plain:
                return self.azure.now
            wrong = self.weather.skews.get(instance, timedelta())
            return self.azure.now + wrong + seconds(instance * 1.5)

        ports = {
            **self.stores,
            "tasks": SimTasks(self.azure),
            "images": SimImages(self.azure),
            "access": SimAccess(),
            "sources": SimSources(self.azure),
            "foreign": SimForeign(self.azure),
            "dead_events": self.dead_events,
        }
        if not plain:
            ports = {kind: Faulty(port, kind, self._guard) for kind, port in ports.items()}
        made = Context(settings=self.settings, now=clock, **ports)  # type: ignore[arg-type] # the ports by name
        if not plain:
            self._instances[instance] = made
        return made

    def _guard(self, kind: str, name: str, done: bool) -> None:  # noqa: FBT001 - before or after
        inv = self.current
        if inv is None:
            return
        inv.check()
        self.calls += 1
        chance, weather = self.rng.random(), self.weather
        where = f"{inv.name} {'after' if done else 'before'} {kind}.{name}"
        until = self.weather.down.get(self._service(kind))
        if until is not None and until > self.azure.now:
            if not done:
                raise TransientError(f"{kind} cannot be reached")
            return
        if (kind, name) == ("tasks", "schedule"):
            self._asked_for_run(where, done=done)
        if chance < weather.crash:
            self.note(f"crash in {where}")
            self.crashes += 1
            inv.dead = True
            raise Crash(where)
        # Two threads of one process share the locks of the pace and of what operators decided, so
        # nobody is stopped inside them.
        free = kind not in ("bookmarks", "steering")
        if chance < weather.crash + weather.pause and free:
            self.note(f"pause in {where}")
            stopped = self.azure.now
            inv.pause(f"{kind}.{name}" if not done else "")
            self.current = inv
            late = self.azure.now - stopped > _LEAVES
            if late and not done and (kind, name) == ("tasks", "schedule"):
                # As azure.tasks does: a request that would leave so late is not sent.
                raise TransientError("not sent in time")
            return
        if chance < weather.crash + weather.pause + weather.fault:
            self._fault(kind, name, where, done=done)

    def _asked_for_run(self, where: str, *, done: bool) -> None:
        """ARM takes no run just now, or takes it and its answer is lost."""
        until = self.weather.throttled
        if not done and until is not None and until > self.azure.now:
            self.note(f"ARM takes no run in {where}")
            raise Throttled("429", self.rng.choice(self.weather.asks))
        if done and self.rng.random() < self.weather.unknown:
            self.note(f"the answer is lost in {where}")
            raise OutcomeUnknown("no answer")

    @staticmethod
    def _service(kind: str) -> str:
        if kind in _STORES:
            return "storage"
        return "arm" if kind in _ARM else "registry"

    def _fault(self, kind: str, name: str, where: str, *, done: bool) -> None:
        if name == "schedule":
            error: RebuilderError = OutcomeUnknown("no answer")
            if not done and self.rng.random() < 0.5:
                error = Throttled("429", self.rng.choice([None, seconds(20), seconds(90)]))
        elif kind in _STORES or done or self.rng.random() < 0.5:
            error = TransientError("503")
        else:
            error = Throttled("429", self.rng.choice([None, seconds(5), seconds(60)]))
        self.note(f"{type(error).__name__} {error} in {where}")
        raise error

    # Invocations

    def invoke(
        self, name: str, argument: object, end: Callable[[BaseException | None], None]
    ) -> None:
        """Call a function; `end` hears how it ended, which may be much later."""
        instance = self.rng.randrange(2)
        work = FUNCTIONS[name]
        context = self.context(instance)

        def call() -> None:
            _composed.set(context)
            work(argument)

        invocation = Invocation(name, call, self.azure.now)
        self.invocations += 1

        def over() -> None:
            if isinstance(invocation.error, Crash):
                self._instances.pop(instance, None)
            elif invocation.error and not isinstance(invocation.error, TransientError):
                text = f"{name}: {type(invocation.error).__name__}: {invocation.error}"
                self.note(f"SURPRISE {text}")
                self.surprises.append(text)
            end(invocation.error)

        self._ends[invocation] = over
        self._go_on(invocation)

    def _go_on(self, invocation: Invocation) -> None:
        before, self.current = self.current, invocation
        invocation.resume()
        self.current = before
        if invocation.over:
            self._ends.pop(invocation)()
            return
        longest = _BEFORE_SCHEDULE if invocation.paused_at == "tasks.schedule" else 300
        until = self.azure.now + seconds(self.rng.uniform(0.1, longest))
        self.azure.at(until, lambda: self._go_on(invocation))

    # Timers and queues

    def _timer(self, name: str, every: timedelta) -> None:
        self.invoke(name, SimpleNamespace(past_due=False), lambda _error: None)
        self.azure.at(self.azure.now + every, lambda: self._timer(name, every))

    def _next_message(self) -> datetime | None:
        marks = ", ".join("?" * len(self.served))
        (found,) = self._db.execute(
            f"SELECT min(visible_at) FROM messages WHERE queue IN ({marks})",  # noqa: S608 - question marks
            tuple(self.served),
        ).fetchone()
        return None if found is None else datetime.fromtimestamp(found, self.azure.now.tzinfo)

    def waiting(self) -> int:
        """Return how many messages are in the queues."""
        return int(self._db.execute("SELECT count(*) FROM messages").fetchone()[0])

    def _pump(self) -> None:
        names = list(self.served)
        self.rng.shuffle(names)
        for queue in names:
            limit = self.rng.randint(1, 4)
            # Most looks find nothing: they are the tenth of a round when each takes a connection.
            received = self.queues.receive(queue, limit, _HIDE) if self._is_due(queue) else []
            self.rng.shuffle(received)
            for message in received:
                self._work_off(queue, message)

    def _is_due(self, queue: str) -> bool:
        look = "SELECT 1 FROM messages WHERE queue = ? AND visible_at <= ? LIMIT 1"
        return self._db.execute(look, (queue, self.azure.now.timestamp())).fetchone() is not None

    def _work_off(self, queue: str, message: ReceivedMessage) -> None:
        began = self.azure.now

        def end(error: BaseException | None) -> None:
            if isinstance(error, Crash):
                return  # nobody deletes it: it shows up again
            if self._storage_down():
                return
            try:
                if error is None:
                    self._carried_out(queue, message.body)
                    self.queues.delete(queue, message.id, message.pop_receipt)
                    if queue == BUILDS and self._letters.asked:
                        self._letters.worked_off(StartBuild.decode(message.body), began)
                elif message.dequeue_count >= _DELIVERIES:
                    self.note(f"{queue}: poison: {error}")
                    self.queues.send(f"{queue}-poison", message.body)
                    self.queues.delete(queue, message.id, message.pop_receipt)
                else:
                    self.queues.renew(queue, message.id, message.pop_receipt, timedelta())
            except MessageGone:
                self.note(f"{queue}: a message was received by another meanwhile")

        self.invoke(self.served[queue], func.QueueMessage(id=message.id, body=message.body), end)

    def _carried_out(self, queue: str, body: str) -> None:
        """Hear that a message was worked off."""

    def _storage_down(self) -> bool:
        until = self.weather.down.get("storage")
        return until is not None and until > self.azure.now

    def advance(self, span: timedelta) -> None:
        """Let time pass, and everything happen that is due."""
        target = self.azure.now + span
        while True:
            message, coming = self._next_message(), self.azure.next()
            if message is not None and self._storage_down():
                message = max(message, self.weather.down["storage"])
            due = min((when for when in (message, coming) if when is not None), default=target)
            if due > target:
                break
            if coming is not None and due == coming:
                self.azure.happen()
            else:
                self.azure.now = max(self.azure.now, due)
                self._pump()
        self.azure.now = max(self.azure.now, target)

    def close(self) -> None:
        """Let go of the file, and give the functions back what they compose with."""
        self._placed.close()
        self._db.close()
        self.queues.close()
