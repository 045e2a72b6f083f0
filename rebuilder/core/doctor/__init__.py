"""What is wrong with a set-up: one small type per mistake, each with the command that fixes it.

`judge_*` look at what Azure tells (`preflight`) and are pure. A command names the real resources; a
word in capital letters in it is one that Azure could not be asked for.
"""

from __future__ import annotations

from rebuilder.core.doctor._finding import Finding, Severity, Unchecked
from rebuilder.core.doctor.app import FunctionsMissing, SiteNotThere, SiteStopped, judge_functions
from rebuilder.core.doctor.events import (
    DeadLetterContainerMissing,
    DeadLettersNotWritable,
    DeadLettersUnread,
    EventFinding,
    FewAttempts,
    NoDeadLetters,
    NotSubscribed,
    PushesFiltered,
    PushesNarrowed,
    QueueNotWritable,
    SubscriptionNotReady,
)
from rebuilder.core.doctor.kept import (
    DeadLettersWait,
    DestinationUnknown,
    IndexNeverFilled,
    IndexOld,
    OldSettings,
    PolicyNotInForce,
    RebuildOverdue,
    TimeAhead,
    TokenEnds,
)
from rebuilder.core.doctor.registries import (
    AppShutOut,
    BasesOpenToRuns,
    RegistryNotThere,
    TasksNotAllowed,
    TasksShutOut,
    judge_firewall,
    judge_uses,
)
from rebuilder.core.doctor.roles import (
    AdviceRoleMissing,
    LogRoleMissing,
    NoToken,
    PullMissing,
    RoleMissing,
    StorageRoleMissing,
)
from rebuilder.core.doctor.subscriptions import judge_subscriptions
from rebuilder.core.doctor.tasks import (
    NativeTriggerOn,
    TaskFinding,
    TaskMayNotPull,
    TaskMayNotPush,
    TaskNotSignedIn,
    TaskWithoutCredentials,
    judge_task,
)

__all__ = [
    "AdviceRoleMissing",
    "AppShutOut",
    "BasesOpenToRuns",
    "DeadLetterContainerMissing",
    "DeadLettersNotWritable",
    "DeadLettersUnread",
    "DeadLettersWait",
    "DestinationUnknown",
    "EventFinding",
    "FewAttempts",
    "Finding",
    "FunctionsMissing",
    "IndexNeverFilled",
    "IndexOld",
    "LogRoleMissing",
    "NativeTriggerOn",
    "NoDeadLetters",
    "NoToken",
    "NotSubscribed",
    "OldSettings",
    "PolicyNotInForce",
    "PullMissing",
    "PushesFiltered",
    "PushesNarrowed",
    "QueueNotWritable",
    "RebuildOverdue",
    "RegistryNotThere",
    "RoleMissing",
    "Severity",
    "SiteNotThere",
    "SiteStopped",
    "StorageRoleMissing",
    "SubscriptionNotReady",
    "TaskFinding",
    "TaskMayNotPull",
    "TaskMayNotPush",
    "TaskNotSignedIn",
    "TaskWithoutCredentials",
    "TasksNotAllowed",
    "TasksShutOut",
    "TimeAhead",
    "TokenEnds",
    "Unchecked",
    "judge_firewall",
    "judge_functions",
    "judge_subscriptions",
    "judge_task",
    "judge_uses",
]
