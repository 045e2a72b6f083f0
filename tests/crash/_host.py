"""A Functions host whose processes are killed, and the people who steer."""

from __future__ import annotations

import asyncio
import importlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import azure.functions as func
import pytest

from rebuilder import composition
from rebuilder.core.lines.line import Line
from rebuilder.core.policies.acts import Controls, Target, What
from rebuilder.core.rebuilds.messages import ACTS, BUILDS, PUSHES, REFRESH, RUNS
from rebuilder.core.rebuilds.rebuild import State
from rebuilder.settings import Settings
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from rebuilder.sqlite.index import SqliteIndex
from rebuilder.sqlite.ledger import SqliteLedger
from rebuilder.sqlite.queues import SqliteQueues
from rebuilder.sqlite.steering import FileSteering
from rebuilder.usecases import at_once
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import ask
from rebuilder.usecases.steering.by_hand import named
from rebuilder.usecases.steering.places import PLACES
from rebuilder.usecases.steering.votes import to_be_approved
from rebuilder.usecases.steering.waiting import held_rebuilds
from tests.crash._boundaries import BOUNDARIES, KILLED, Watched
from tests.crash._world import APPS, BASE, TASKS, Azure, DeadEventBlobs, Sources

QUEUES = {
    PUSHES: "plan_rebuilds",
    BUILDS: "start_build",
    RUNS: "track_build",
    REFRESH: "refresh_tasks",
    ACTS: "carry_out_act",
}
TIMERS = (
    *("refresh_index", "poll_bases", "sweep", "collect_dead_letters", "retire_history"),
    "sum_staleness",
)
FUNCTIONS = ("image_pushed", "task_changed", *QUEUES.values(), *TIMERS)
POLICY = """
version: 1
policies:
  default: {maxConcurrent: 1}
  agreed: {approval: {votes: 1}}
rules:
  - {match: {task: "*/two"}, policy: agreed}
"""
WAVE = """
version: 1
policies:
  default: {maxConcurrent: 1, attempts: 1}
  watched:
    canary: {tasks: "*/one", soak: 1m}
    breaker: {failures: 3}
    approval: {votes: 1}
rules:
  - {match: {task: "*/two"}, policy: watched}
"""
"""What goes first fails; people release the digest, reject, ask for both again, and agree."""
DECIDING = ("carry_out_act", "track_build", "start_build")
"""The functions that write what operators, canaries and waves come to."""
HIDE = timedelta(minutes=10)
MOST = at_once.MOST  # as it is, whatever a story is played with


def _function(name: str) -> Callable[[object], object]:
    module = importlib.import_module(f"functions.{name}")
    found: Callable[[object], object] = getattr(module, name)._function.get_user_function()
    return found


@dataclass
class Host:
    """Delivers at least once, from a folder that holds all there is."""

    folder: Path
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.azure = Azure(self.folder)
        self.file = self.folder / "store.db"
        self.queues = SqliteQueues(self.file, lambda: self.azure.now)

    def context(self) -> Context:
        """Return the ports of a fresh process."""
        settings = Settings(
            frozenset({BASE}),
            (APPS,),
            "sqlite:unused",
            dead_letters="https://account.blob.core.windows.net/dead",
        )
        azure = Watched(self.azure)
        return Context(
            settings,
            SqliteLedger(self.file),
            SqliteQueues(self.file, lambda: self.azure.now),
            cast("Any", azure),
            cast("Any", azure),
            cast("Any", azure),
            cast("Any", Watched(Sources(self.azure))),
            SqliteIndex(self.file),
            SqliteBookmarks(self.file),
            SqliteDeadLetters(self.file),
            cast("Any", azure),
            cast("Any", Watched(DeadEventBlobs(self.folder))),
            lambda: self.azure.now,
            FileSteering(self.file),
        )

    def decide(self) -> bool:
        """Do what people do who see what waits for them; tell whether anything did.

        In a wave they reject at first, and ask for it again.
        """
        context = self.context()
        known = Controls.read(context.steering.acts().place)
        if known.pauses and held_rebuilds(context):
            ask(context, What.RESUME, Target(), who="ann", because="looked at")
        elif known.quarantined:
            ask(context, What.RELEASE, known.quarantined[0].target, who="ann", because="a fluke")
        elif waiting := to_be_approved(context, [Target()]):
            ids = tuple(rebuild.id for rebuild in waiting)
            first = self.azure.wave and What.REJECT not in {act.what for act in known.acts}
            what = What.REJECT if first else What.APPROVE
            ask(context, what, Target(), who="bob", because="tested", of=ids)
        elif left := [r for r in context.ledger.heads(TASKS).values() if r.state is State.GIVEN_UP]:
            names = tuple(named(rebuild.task, rebuild.sequence) for rebuild in left)
            ask(context, What.RETRY, Target(), who="ann", because="once more", of=names)
        else:
            return False
        return True

    def call(self, name: str, argument: object) -> int:
        """Call a function in this process; return how many boundaries it has."""
        work = _function(name)
        context = self.context()
        BOUNDARIES.count = 0
        # Set for this call alone: the next test's functions compose their own.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(composition, "compose", lambda: context)
            outcome = work(argument)
            if asyncio.iscoroutine(outcome):
                asyncio.run(outcome)
        return BOUNDARIES.count

    def killed(self, name: str, argument: object, boundary: int) -> None:
        """Call a function in a child that is killed at a boundary."""
        child = os.fork()
        if child == 0:
            BOUNDARIES.kill_at = boundary
            try:
                self.call(name, argument)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == KILLED

    def receive(self) -> tuple[str, Any] | None:
        """Receive a message, if one is to be seen."""
        for queue in QUEUES:
            for message in self.queues.receive(queue, 1, HIDE):
                return queue, message
        return None

    def next_at(self) -> float | None:
        """Return when the next message is to be seen."""
        marks = ", ".join("?" * len(QUEUES))
        query = f"SELECT min(visible_at) FROM messages WHERE queue IN ({marks})"  # noqa: S608 - question marks
        with closing(sqlite3.connect(self.file)) as db:
            found: float | None = db.execute(query, tuple(QUEUES)).fetchone()[0]
        return found

    def worked_off(self, meet: Callable[[str, object], int]) -> bool:
        """Work a message off; tell whether there was one."""
        received = self.receive()
        if received is None:
            return False
        queue, message = received
        meet(QUEUES[queue], func.QueueMessage(id=message.id, body=message.body))
        self.queues.delete(queue, message.id, message.pop_receipt)
        return True

    def until_quiet(self, meet: Callable[[str, object], int]) -> None:
        """Work every message off; `meet` calls the function."""
        for _ in range(400):
            if self.worked_off(meet) or self.decide():
                continue
            due = self.next_at()
            if due is None:
                return
            wait = due - self.azure.now.timestamp()
            self.azure.now += timedelta(seconds=max(wait, 0) + 0.01)
        raise AssertionError("it never comes to rest")

    def timers(self) -> None:
        """Let every timer fire, and everything come to rest."""
        for name in TIMERS:
            self.call(name, SimpleNamespace(past_due=False))
            self.until_quiet(self.call)

    def check(self) -> None:
        """Exactly one run for each task, in its place and approved, and nothing left."""
        context = self.context()
        if context.steering.token():
            self._obeyed(context)
        for task in TASKS:
            failed = self.azure.wave and task.name == "one"
            assert self.azure.scheduled(task) == 1 + failed, task.name
            head = context.ledger.head(task)
            assert head is not None
            assert head.state is State.SUCCEEDED, task.name
        assert context.ledger.unsettled() == []
        letters = {(letter.origin.value, letter.reason) for letter in context.dead_letters.all()}
        assert len(letters) == 2, letters  # the poison message and the dead event

    def _obeyed(self, context: Context) -> None:
        """Never more than one run at once, none before its approval, and no place left over."""
        assert self.azure.most_at_once() == 1
        two = next(task for task in TASKS if task.name == "two")
        approved = context.ledger.head(two)
        assert approved is not None
        assert approved.held is not None
        assert min(vote.at for vote in approved.held.votes) <= self.azure.began(two)
        assert not Line.read(context.bookmarks.read(PLACES).place).holders
