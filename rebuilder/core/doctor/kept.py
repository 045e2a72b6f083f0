"""What waits, or is out of date, in the queues and tables."""

from __future__ import annotations

from datetime import datetime

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.doctor._finding import SITE, Finding, Severity, az
from rebuilder.core.doctor.tasks import TaskFinding

_BY_HAND = ("REBUILDER_GITHUB_HOSTS",)
"""Old settings whose place only a person knows: which list each host stands in."""


class IndexNeverFilled(Finding, frozen=True):
    """The tasks of a registry were never all read.

    Attributes:
        registry: The registry.
    """

    code = "index-never-filled"
    severity = Severity.NOTE
    wrong = "the tasks of {self.registry.name} were never all read"
    matters = "the first plan has to read them all; after that it should not be so any more"
    registry: RegistryId


class IndexOld(Finding, frozen=True):
    """The index of a registry is older than its limit.

    Attributes:
        registry: The registry.
        since: When the last complete sweep began.
        site: The function app's resource id; "" if it is not known.
    """

    code = "index-old"
    severity = Severity.WARNING
    matters = "refresh_index or refresh_tasks does not run: see its log; new tasks may be missed"
    registry: RegistryId
    since: datetime
    site: str = ""

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return (
            f"the tasks of {self.registry.name} were last all read at {self.since.isoformat()},"
            " longer ago than index_max_age of REBUILDER_TUNING"
        )

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (az("functionapp", "restart", "--ids", self.site or SITE),)


class OldSettings(Finding, frozen=True):
    """Settings have the names of an older version.

    Attributes:
        old: Their names, and what is instead of each.
        tuning: What REBUILDER_TUNING is to say without them; "" for nothing.
        site: The function app's resource id; "" if it is not known.
    """

    code = "old-settings"
    severity = Severity.WARNING
    matters = "they are read for now; a later version will not know them"
    old: tuple[tuple[str, str], ...]
    tuning: str
    site: str = ""

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return "settings of an older version: " + ", ".join(
            f"{name} (now {instead})" for name, instead in self.old
        )

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        settings, place = ("functionapp", "config", "appsettings"), ("--ids", self.site or SITE)
        names = [name for name, _ in self.old if name not in _BY_HAND]
        new = [az(*settings, "set", *place, "--settings", f"REBUILDER_TUNING={self.tuning}")]
        return (
            *(new if self.tuning else ()),
            *([az(*settings, "delete", *place, "--setting-names", *names)] if names else ()),
        )


class RebuildOverdue(TaskFinding, frozen=True):
    """Nothing has happened to a rebuild for long.

    Attributes:
        due: When something was to happen to it.
    """

    code = "rebuild-overdue"
    severity = Severity.WARNING
    matters = "the sweep should have taken it up: it does not run, or cannot; see its log"
    due: datetime

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self._named()}: its rebuild was to go on at {self.due.isoformat()}"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (f"rebuilder retry {self.task.short}",)


class TimeAhead(Finding, frozen=True):
    """A time in the store lies further ahead than it can.

    Attributes:
        about: What it is the time of.
        time: The time.
    """

    code = "time-ahead"
    severity = Severity.WARNING
    matters = (
        "the clock of an instance was ahead; what it left is not waited for, and the next sweep"
        " puts it right; see that the clocks are set by NTP"
    )
    about: str
    time: datetime

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self.about} is of {self.time.isoformat()}, which is further ahead than it can be"


class DeadLettersWait(Finding, frozen=True):
    """Dead letters wait for somebody.

    Attributes:
        count: How many.
    """

    code = "dead-letters-wait"
    severity = Severity.WARNING
    wrong = "{self.count} dead letter(s) wait"
    matters = "what they were to start has not happened"
    count: int

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return ("rebuilder dead-letters", "rebuilder replay --all")


class TokenEnds(Finding, frozen=True):
    """A token for a source host ends soon, or has.

    Attributes:
        host: The host.
        ends: When.
    """

    code = "token-ends"
    severity = Severity.WARNING
    wrong = "the token for {self.host} ends on {self.ends:%F %T %Z}"
    matters = "build files of private repositories cannot be read after that"
    host: str
    ends: datetime

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return ()


class PolicyNotInForce(Finding, frozen=True):
    """The newest version of the policy file cannot be read.

    Attributes:
        problem: What is wrong with it.
        another: Whether a version before it is in force; else nothing begins.
    """

    code = "policy-not-in-force"
    severity = Severity.ERROR
    wrong = "the newest policy file is not in force: {self.problem}"
    problem: str
    another: bool

    def why(self) -> str:
        """Why it matters."""
        if self.another:
            return "the last good version is in force instead, so what was decided since is not"
        return "no version of it can be read, so nothing begins"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return ("rebuilder policy show", "rebuilder policy apply FILE")


class DestinationUnknown(Finding, frozen=True):
    """A rule of messages tells somebody whom the settings do not name.

    Attributes:
        rule: The rule's name.
        name: Whom it tells.
    """

    code = "destination-unknown"
    severity = Severity.WARNING
    wrong = (
        "the rule of messages {self.rule} tells {self.name}, whom REBUILDER_DESTINATIONS does not"
        " name"
    )
    matters = "each of its messages becomes a dead letter"
    rule: str
    name: str

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return ("rebuilder policy apply FILE",)
