"""Messages that are given up, become letters, and are replayed: none of them vanishes."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.events.dead_letters import DeadLetter
from rebuilder.core.rebuilds.messages import BUILDS, StartBuild
from rebuilder.core.rebuilds.rebuild import State
from rebuilder.usecases.recovery.replay import chosen_letters, replay_each

if TYPE_CHECKING:
    from tests.soak.host import Host


class Letters:
    """What is given up, and what a person replays of it.

    Args:
        host: The host whose messages they are.
        db: The file that these are in.

    Attributes:
        asked: What was replayed and not worked off since, and when it was.
    """

    def __init__(self, host: Host, db: sqlite3.Connection) -> None:
        self._host = host
        self._db = db
        self.asked: dict[tuple[TaskId, str], datetime] = {}

    def worked_off(self, message: StartBuild, began: datetime) -> None:
        """Look whether a letter that was replayed, and is worked off now, led to anything.

        There is a message for the same, or a decision, or the rebuild that it is for.
        """
        what = (message.task, message.push.key)
        if what not in self.asked:
            return
        # A copy of it may have led to something before this one is dropped.
        began = min(began, self.asked.pop(what))
        if self._waits(BUILDS, what):
            self.asked[what] = began  # that one is it now
            return
        if self._waits(f"{BUILDS}-poison", what):
            return  # the host gave it up, and it becomes a letter
        context = self._host.context(plain=True)
        ledger = context.ledger
        if any(self._is_of(letter, what) for letter in context.dead_letters.waiting()):
            return  # it was given up again, and is kept
        # The clock that wrote it may have been wrong.
        since = began - timedelta(days=10) if self._host.weather.skews else began
        decided = ledger.decisions(message.push, message.task)
        head = ledger.head(message.task)
        # A rebuild that was held, or taken over, goes on for the push that it was claimed for; one
        # that failed has its next attempt, on what the tag names by then.
        going = head is not None and (
            head.state in (State.SCHEDULED, State.RUNNING)
            or (head.state is State.FAILED and head.due is not None)
            # One that was under way when it came has ended since.
            or (head.finished_at is not None and head.finished_at >= began)
            # What waits for the native trigger, for operators or for the tasks under it is looked
            # at when that is over, on the digests of then; of all that come meanwhile one message
            # is kept. Whether it is, rest shows.
            or (head.state is State.HELD and head.due is not None)
            # So it is with what waits for the lease of a claim, whose holder may have died.
            or (head.state is State.CLAIMED and self._anything_waits(message.task))
        )
        runs = self._host.azure.tasks[message.task].runs
        if going or any(run.by == "product" and run.created >= began for run in runs):
            return
        if not any(record.last_at >= since for record in decided):
            self._host.note(f"VANISHED {message.task.name} {message.push.key[-140:]}")
            self._host.surprises.append(f"a replayed letter vanished: {message.task.name}")

    def _waits(self, queue: str, what: tuple[TaskId, str]) -> bool:
        """Tell whether a message of a queue is for this task, and this push."""
        messages = self._messages(queue, what[0])
        return what in [(message.task, message.push.key) for message in messages]

    def _anything_waits(self, task: TaskId) -> bool:
        """Tell whether a message is for this task, whatever it is for."""
        return task in [message.task for message in self._messages(BUILDS, task)]

    def _messages(self, queue: str, task: TaskId) -> list[StartBuild]:
        look = "SELECT body FROM messages WHERE queue = ? AND instr(body, ?)"
        rows = self._db.execute(look, (queue, str(task))).fetchall()
        return [StartBuild.decode(body) for (body,) in rows]

    @staticmethod
    def _is_of(letter: DeadLetter, what: tuple[TaskId, str]) -> bool:
        if letter.source != BUILDS:
            return False
        message = StartBuild.decode(letter.body)
        return (message.task, message.push.key) == what

    def poison(self) -> None:
        """Have the host give up a message, as it does with one whose function died five times.

        One that waits for a lease is taken if there is one.
        """
        rows = self._db.execute(
            "SELECT id, body FROM messages WHERE queue = ? AND receipt = '' ORDER BY rowid",
            (BUILDS,),
        ).fetchall()
        waiting = [row for row in rows if json.loads(row[1]).get("wait")]
        if rows:
            message, body = self._host.rng.choice(waiting or rows)
            self._host.note(f"a message is given up: {body[:120]}")
            self._host.queues.send(f"{BUILDS}-poison", body)
            with self._db:
                self._db.execute("DELETE FROM messages WHERE id = ?", (message,))

    def replay(self) -> None:
        """Have a person replay every letter that waits."""
        context = self._host.context(plain=True)
        letters = chosen_letters(context, [], everything=True)
        for letter, outcome in replay_each(context, letters):
            self._host.note(f"replayed {letter.id}: {outcome}")
            if letter.source == BUILDS:
                message = StartBuild.decode(letter.body)
                self.asked[message.task, message.push.key] = self._host.azure.now
