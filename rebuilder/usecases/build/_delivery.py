"""One delivery of a message to start a build, and what is decided in it."""

from __future__ import annotations

import logging
from copy import replace
from datetime import datetime, timedelta

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Task
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.operators import WouldRebuild
from rebuilder.core.decisions.runs import NoStep, TaskDisabled
from rebuilder.core.decisions.unreadable import NotConfigured, TaskGone, TaskUnreadable
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.events.pushes import Push
from rebuilder.core.lines.line import Waiter
from rebuilder.core.policies.holds import Held
from rebuilder.core.rebuilds.messages import StartBuild
from rebuilder.core.rebuilds.next_step import SOON
from rebuilder.core.rebuilds.pace import LONGEST_TURN
from rebuilder.core.rebuilds.rebuild import MOVED_ON, Rebuild, State
from rebuilder.core.times import CLOCKS_DIFFER
from rebuilder.errors import TransientError
from rebuilder.ports.acr import LATELY
from rebuilder.settings.table import TASK_REGISTRIES
from rebuilder.usecases import pace
from rebuilder.usecases.build._native import Runs, newest_runs
from rebuilder.usecases.build._waiting import PutBack
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.refresh_index import refresh_known
from rebuilder.usecases.plan.bases import not_named

log = logging.getLogger(__name__)

_AFTER = timedelta(microseconds=1)


class Delivery:
    """One delivery of one message.

    Attributes:
        context: The ports.
        message: The message, with the turn that it has been given.
        owner: A name for this delivery, unique among all, to hold the lease with.
        runs: The newest runs of the task, once they are read.
        place: What the rebuild that may begin needs a place for; None if it needs none.
        held: What is kept of that rebuild; None if nothing is.
        built_at: When the task was last built on another digest of the tag; None if it was not.
        lined: Whether what the task has of places, and waits for, is to be put right at the end.
    """

    def __init__(self, context: Context, message: StartBuild, owner: str) -> None:
        self.context = context
        self.message = message
        self.owner = owner
        self.runs = Runs()
        self.place: Waiter | None = None
        self.held: Held | None = None
        self.built_at: datetime | None = None
        self.lined = False

    def read(self, head: Rebuild | None) -> Task:
        """Read the task, and its newest runs if others than we start some.

        Where many are due together a list tells, some seconds old. A run changes what is recorded,
        so the list is not believed if one may have ended since: it has to tell what the newest
        rebuild left, and no run of others may have ended lately.

        Raises:
            TransientError, PermanentError: ARM did not tell.
        """
        tasks, id_, now = self.context.tasks, self.message.task, self.context.now()
        task = tasks.task(id_, LATELY)
        ran = head is not None and head.state.over and head.run_id is not None
        if task.age and head is not None and ran and head.dependencies != task.built_on:
            task = tasks.task(id_)
        self.runs = newest_runs(self.context, task)
        if task.age and self.runs.ended_since(now - task.age - CLOCKS_DIFFER):
            task = tasks.task(id_)
        return task

    def view(self, recorded: Task) -> IndexedTask | None:
        """Return what the index knows; what a commit may have changed since is read first.

        Raises:
            TransientError: What the task makes was never looked at, and cannot be now.
        """
        context = self.context
        indexed = context.index.view(recorded.id)
        known = indexed is not None and indexed.view.output is not None
        if indexed is not None and known and not self.runs.ended_since(indexed.read_at):
            return indexed
        now = context.now()
        try:
            refresh_known(context, recorded, now - recorded.age, later=known)
        except TransientError as error:
            if not known:
                raise
            log.warning("task %s: going by what was known before: %s", recorded.id, error)
        return context.index.view(recorded.id)

    def asked_for(self, head: Rebuild | None) -> bool:
        """Tell whether somebody asked for a rebuild, and none was begun since."""
        newest = 0 if head is None else head.sequence
        return self.message.forced and self.message.after == newest

    def may_retry(self, head: Rebuild) -> bool:
        """Tell whether a rebuild that was given up is to be tried again."""
        # Messages of the versions before do not tell after which rebuild they were sent.
        return self.asked_for(head) or (self.message.forced and self.message.after is None)

    def not_configured(self) -> NotConfigured | None:
        """Tell which registry the settings do not name: messages outlive them, and are forged."""
        settings, task, pushed = (
            self.context.settings,
            self.message.task,
            self.message.push,
        )
        if task.registry not in settings.task_registries:
            return NotConfigured(task, str(task.registry), TASK_REGISTRIES)
        setting = not_named(self.context, pushed.registry)
        return NotConfigured(task, str(pushed.registry), setting) if setting else None

    def begun(self, rebuild: Rebuild) -> Rebuild:
        """Return a rebuild that is to be claimed, with what is kept of it; it is not stored."""
        return rebuild if self.held is None else replace(rebuild, held=self.held)

    def leased(self, rebuild: Rebuild) -> Rebuild:
        """Return a rebuild with a lease of this delivery; it is not stored."""
        until = self.context.now() + self.context.settings.lease
        return replace(rebuild, owner=self.owner, lease_until=until)

    def decided(self, head: Rebuild | None, decision: TaskDecision) -> TaskDecision:
        """Record why nothing is built, and that nothing waits for it any more."""
        context = self.context
        context.ledger.record_decisions(self.message.push, [decision], self._now(decision.task))
        if (
            head is not None
            and head.unsettled
            and not head.state.in_flight
            and self._concerns(head, decision)
        ):
            self.skipped(head, decision.sentence())
        log.info("task %s not rebuilt (%s): %s", decision.task, decision.code, decision.sentence())
        return decision

    def _now(self, task: TaskId) -> datetime:
        """Return the time of a decision: after the plan's, whose clock may be ahead of ours.

        Else the plan would be the last word on the push, and nothing seem to have come of it.
        """
        now, push = self.context.now(), self.message.push
        plans = (r for r in self.context.ledger.decisions(push, task) if r.decision.rebuild)
        last = max((record.last_at for record in plans), default=push.pushed_at)
        return now if last is None or last <= now else last + _AFTER

    def _concerns(self, head: Rebuild, decision: TaskDecision) -> bool:
        """Tell whether a decision is about the image that a rebuild waits for, or all of them."""
        if isinstance(decision, TaskGone | TaskUnreadable | TaskDisabled | NoStep | WouldRebuild):
            return True
        if isinstance(decision, NotConfigured) and decision.registry == str(head.task.registry):
            return True
        push, waits = self.message.push, Push.from_key(head.push)
        return (push.registry, push.repository, push.tag) == (
            waits.registry,
            waits.repository,
            waits.tag,
        )

    def skipped(self, head: Rebuild, reason: str) -> Rebuild:
        """Record that there is no more reason to go on with a rebuild."""
        if head.state.over:
            return self.context.ledger.save(replace(head, due=None))
        now = self.context.now()
        return self.context.ledger.save(
            replace(head, state=State.SKIPPED, due=None, finished_at=now, outcome=reason)
        )

    def overtaken(self, head: Rebuild) -> Rebuild:
        """Record that another rebuild takes the place of one that was not begun."""
        return self.skipped(head, MOVED_ON)

    def turn_later(self) -> PutBack | None:
        """Take a turn at ARM; return when it is, unless that is now."""
        now = self.context.now()
        turn = pace.turn(self.context, self.message.task.registry.subscription)
        if turn > now + LONGEST_TURN:
            return PutBack(LONGEST_TURN, "a place in the line at ARM", counted=False)
        self.message = replace(self.message, turn=turn)
        if turn <= now + SOON:
            return None
        return PutBack(turn - now, f"its turn at {turn:%T}", counted=False)
