"""What an audit looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct, field

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Run
from rebuilder.core.decisions.decision import Decision
from rebuilder.core.events.dead_letters import DeadLetter
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild


class AuditVerdict(StrEnum):
    """What came of one push for one task."""

    # It had its effect.
    REBUILT = "rebuilt"
    ADOPTED = "adopted"  # by ACR's own base image trigger, whose run was followed
    SUPERSEDED = "superseded"  # by a newer digest of the same tag
    ALREADY = "already built on"
    # There is an accepted reason why it has none, or none yet.
    LEFT = "left alone"
    CYCLE = "cycle"
    HELD = "held"
    IN_PROGRESS = "in progress"
    RETRY = "failed, another attempt due"
    # Somebody has to look at it.
    GIVEN_UP = "given up"
    STALE = "stale"
    DOUBLED = "doubled"
    DEAD_LETTER = "dead letter waiting"
    UNREADABLE = "registry unreadable"
    LOST = "lost"

    @property
    def effect(self) -> bool:
        """Whether the task stands on the pushed image, or on a newer one."""
        return self in _EFFECTS

    @property
    def failing(self) -> bool:
        """Whether somebody has to look at it."""
        return self in _FAILING


_EFFECTS = frozenset(
    {AuditVerdict.REBUILT, AuditVerdict.ADOPTED, AuditVerdict.SUPERSEDED, AuditVerdict.ALREADY}
)
_FAILING = frozenset(
    {
        AuditVerdict.GIVEN_UP,
        AuditVerdict.STALE,
        AuditVerdict.DOUBLED,
        AuditVerdict.DEAD_LETTER,
        AuditVerdict.UNREADABLE,
        AuditVerdict.LOST,
    }
)


class DatedDecision(Struct, frozen=True):
    """A decision of one push; see DecisionRecord."""

    decision: Decision
    last_at: datetime


class AuditedPush(Struct, frozen=True):
    """A push with what was decided after it.

    Attributes:
        push: The push.
        at: When it was first told.
        decisions: What was decided.
        followers: The tasks that the index knows to be in need of it now.
        planned: Whether it was planned: who follows it since then was not concerned.
    """

    push: Push
    at: datetime
    decisions: tuple[DatedDecision, ...] = ()
    followers: tuple[TaskId, ...] = ()
    planned: bool = False

    @property
    def tag(self) -> tuple[str, str, str]:
        """The tag that was pushed."""
        return str(self.push.registry), self.push.repository, self.push.tag


class PendingLetter(Struct, frozen=True):
    """A dead letter that nobody has replayed.

    Attributes:
        letter: The dead letter.
        push: The push that it is about, if any.
        task: The task that it is about, if it is about one.
    """

    letter: DeadLetter
    push: Push | None = None
    task: TaskId | None = None


class AuditFinding(Struct, frozen=True):
    """What came of one push for one task.

    Attributes:
        push: The push.
        at: When it was first told.
        task: The task; None if it is about the push as a whole.
        verdict: What came of it.
        sentence: The evidence, for a person.
        rebuild: The rebuild that shows it, if any.
    """

    push: Push
    at: datetime
    task: TaskId | None
    verdict: AuditVerdict
    sentence: str
    rebuild: Rebuild | None = None


class AuditInput(Struct, frozen=True):
    """Everything that an audit looks at.

    Attributes:
        told: The pushes to be audited, oldest first.
        later: Pushes after the time span, which may have superseded them.
        rebuilds: The rebuilds of every task concerned, newest first.
        runs: ARM's newest runs of those tasks, as far as they were asked for.
        waiting: The dead letters that nobody has replayed.
        now: The time.
        patience: How long something may take before it counts as lost.
        remarks: What could not be looked at, in sentences.
        unread: The tasks of which it is not known what else they read, and why.
        standing: The tasks that do not stand on what a tag of theirs names now.
        tags: How many tags were compared for that.
    """

    told: tuple[AuditedPush, ...]
    later: tuple[AuditedPush, ...]
    rebuilds: Mapping[TaskId, Sequence[Rebuild]]
    runs: Mapping[TaskId, Sequence[Run]]
    waiting: tuple[PendingLetter, ...]
    now: datetime
    patience: timedelta
    remarks: tuple[str, ...] = ()
    unread: Mapping[TaskId, str] = field(default_factory=dict)
    standing: tuple[AuditFinding, ...] = ()
    tags: int = 0


class Audit(Struct, frozen=True):
    """The outcome of an audit.

    Attributes:
        findings: What came of each push for each task, in the order of the pushes.
        pushes: How many pushes there were.
        counts: How many findings have which verdict; every verdict is there.
        native_adopted: How many rebuilds ACR's own trigger did in time.
        native_missed: How many it did not do in time, so that we did.
        native_late: How many it did as well, after it had been waited for.
        unchecked: How many rebuilds succeeded of which nobody can tell what they stand on.
        waiting: The dead letters that nobody has replayed.
        remarks: What could not be looked at, in sentences.
        unread: The tasks of which it is not known what else they read, and why.
        standing: The tasks that do not stand on what a tag of theirs names now, whatever came of
            any push.
        tags: How many tags were compared for that.
    """

    findings: tuple[AuditFinding, ...]
    pushes: int
    counts: Mapping[AuditVerdict, int] = field(default_factory=dict)
    native_adopted: int = 0
    native_missed: int = 0
    native_late: int = 0
    unchecked: int = 0
    waiting: tuple[PendingLetter, ...] = ()
    remarks: tuple[str, ...] = ()
    unread: Mapping[TaskId, str] = field(default_factory=dict)
    standing: tuple[AuditFinding, ...] = ()
    tags: int = 0

    @property
    def effects(self) -> int:
        """How many tasks had their effect of a push."""
        return sum(number for verdict, number in self.counts.items() if verdict.effect)

    @property
    def clean(self) -> bool:
        """Whether everything has its effect, or an accepted reason."""
        every = (*self.findings, *self.standing)
        return not any(finding.verdict.failing for finding in every)
