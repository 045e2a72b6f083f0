"""What policies say: the file and its versions, its windows and freezes, what applies to a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import replace
from datetime import datetime, timedelta

from rebuilder.core.policies.gate import Asked, Go, gate
from rebuilder.core.policies.matching import Moved, Subject
from rebuilder.core.policies.policy import Applied, Policies, Policy, applied
from rebuilder.core.policies.policy import shown as windows_shown
from rebuilder.core.policies.reading import read_policies
from rebuilder.core.policies.versions import PolicyVersion
from rebuilder.core.policies.windows import AnyOf, Freeze
from rebuilder.errors import Denied, InvalidPolicy, NotFound
from rebuilder.usecases.context import Context
from rebuilder.usecases.views._values import Value
from rebuilder.usecases.views.tasks import task_of

_VERSIONS = 50
_DAYS = 7
_HOUR = timedelta(hours=1)


class Version(Value, frozen=True):
    """A version of the policy file.

    Attributes:
        number: Counts the versions.
        who: Who applied it; "" if that is not known.
        at: When.
        because: Why.
    """

    number: int
    who: str
    at: datetime | None
    because: str


class SaidValue(Value, frozen=True):
    """A value that applies, and who says so.

    Attributes:
        name: The value.
        value: What it is, for a person.
        sources: The rules that set it; empty if it is so by default.
    """

    name: str
    value: str
    sources: tuple[str, ...]


class PolicyShown(Value, frozen=True):
    """A policy.

    Attributes:
        name: Its name.
        values: What it says.
        selectable: Whether tasks may select it by their tag.
        open: Of each hour of the coming week, from `begins` on, whether it may be built in it;
            empty if it has no windows.
        opens: When it is open next; None if it has no windows, or never.
    """

    name: str
    values: tuple[SaidValue, ...]
    selectable: bool
    open: tuple[bool, ...]
    opens: datetime | None


class PoliciesShown(Value, frozen=True):
    """The policy file.

    Attributes:
        text: The newest version of the file; None if there is none.
        problem: Why it is not in force; "" if it is.
        versions: Its versions, newest first.
        policies: What is in force, by name.
        rules: The names of the rules that are in force, in their order.
        freezes: The freezes that are not over.
        begins: When the week begins that `open` is about.
        mode: `act`, or `observe`: nothing is started.
        token: Tells the newest version from what comes after it; "" if there is none.
    """

    text: str | None
    problem: str
    versions: tuple[Version, ...]
    policies: tuple[PolicyShown, ...]
    rules: tuple[str, ...]
    freezes: tuple[Freeze, ...]
    begins: datetime
    mode: str
    token: str = ""


class Applies(Value, frozen=True):
    """What applies to a task when an image moves.

    Attributes:
        base: The image.
        values: What applies, and which rule says so.
        now: Why it would wait now: sentences; empty if it would begin at once.
    """

    base: str
    values: tuple[SaidValue, ...]
    now: tuple[str, ...]


class TaskPolicies(Value, frozen=True):
    """What applies to a task; what its own tags tighten is not known here.

    Attributes:
        task: REGISTRY/TASK.
        applies: What applies, by the image that moves.
    """

    task: str
    applies: tuple[Applies, ...]


class Fault(Value, frozen=True):
    """What is wrong with a file.

    Attributes:
        line: The line, counted from 1.
        column: The column, counted from 1.
        problem: What is wrong, and what would be right.
    """

    line: int
    column: int
    problem: str


class Tried(Value, frozen=True):
    """What a changed file would mean.

    Attributes:
        faults: What is wrong with it; empty if it could be applied.
        policies: Its policies.
        before: What applies to the task now; None if no task was named.
        after: What would apply to it.
    """

    faults: tuple[Fault, ...]
    policies: tuple[PolicyShown, ...] = ()
    before: TaskPolicies | None = None
    after: TaskPolicies | None = None


def policies(context: Context) -> PoliciesShown:
    """Return what policies say.

    Raises:
        TransientError: The store cannot be reached.
    """
    now = context.now()
    begins = now.replace(minute=0, second=0, microsecond=0)
    mode = "observe" if context.settings.observe else "act"
    try:
        version = context.steering.policy()
        versions = tuple(map(_version, context.steering.versions(_VERSIONS)))
        in_force = context.in_force.now(context.steering, now)
    except (Denied, NotFound) as error:
        return PoliciesShown(None, f"it cannot be read here: {error}", (), (), (), (), begins, mode)
    found = in_force.policies or Policies()
    return PoliciesShown(
        None if version is None else version.text,
        in_force.unreadable or in_force.broken,
        versions,
        _shown(found, begins, now),
        tuple(rule.name for rule in (*found.rules, *found.tightening)),
        tuple(freeze for freeze in found.freezes if freeze.ends > now),
        begins,
        mode,
        "" if version is None else version.token,
    )


def applies_to(context: Context, name: str, file: Policies | None = None) -> TaskPolicies:
    """Return what applies to a task.

    Args:
        context: The ports.
        name: REGISTRY/TASK.
        file: The policies; those that are in force if it is None.

    Raises:
        NotFound: Nothing is known of the task.
        Denied: What is in force may not be read.
        TransientError: The store cannot be reached.
    """
    task = task_of(context, name)
    indexed = context.index.view(task)
    if indexed is None:
        raise NotFound(f"nothing is known of the task {name!r:.200}")
    now = context.now()
    in_force = context.in_force.now(context.steering, now)
    used = file or in_force.policies or Policies()
    kinds: dict[str, set[str]] = {}
    for dependency in indexed.view.dependencies:
        if dependency.reference.digest is None:
            kinds.setdefault(str(dependency.reference), set()).add(dependency.kind.value)
    found = []
    for base, of in sorted(kinds.items()):
        moved = Moved(base, frozenset(of))
        values = _applied(applied(used, Subject.of(task, moved, ())))
        asked = Asked(task, (moved,), tuple(kinds), (), now, now)
        answer = gate(
            asked, replace(in_force, policies=used, unreadable="") if file else in_force, now
        )
        waits = () if isinstance(answer, Go) else answer.reasons
        found.append(Applies(base, values, tuple(f"{w.sentence()} ({w.ender()})" for w in waits)))
    return TaskPolicies(name, tuple(found))


def try_out(context: Context, text: str, task: str) -> Tried:
    """Tell what a changed policy file would mean; nothing is changed.

    Args:
        context: The ports.
        text: The file.
        task: REGISTRY/TASK that it is asked about; "" for none.

    Raises:
        NotFound: Nothing is known of the task.
        TransientError: The store cannot be reached.
    """
    try:
        found = read_policies(text)
    except InvalidPolicy as error:
        return Tried(tuple(Fault(f.line, f.column, f.problem) for f in error.faults))
    now = context.now()
    shown = _shown(found, now.replace(minute=0, second=0, microsecond=0), now)
    if not task:
        return Tried((), shown)
    return Tried((), shown, applies_to(context, task), applies_to(context, task, found))


def _version(version: PolicyVersion) -> Version:
    return Version(version.number, version.who, version.at, version.because)


def _shown(found: Policies, begins: datetime, now: datetime) -> tuple[PolicyShown, ...]:
    return tuple(_policy(name, policy, begins, now) for name, policy in _sorted(found.policies))


def _sorted(policies: Mapping[str, Policy]) -> Iterable[tuple[str, Policy]]:
    return sorted(policies.items(), key=lambda item: (item[0] != "default", item[0]))


def _policy(name: str, policy: Policy, begins: datetime, now: datetime) -> PolicyShown:
    values, windows = policy.values, policy.values.windows or ()
    said = {
        "ignore": None if values.ignore is None else _yes(values.ignore),
        "cooldown": None if values.cooldown is None else duration(values.cooldown),
        "maxWait": None if values.max_wait is None else duration(values.max_wait),
        "windows": None if values.windows is None else windows_shown(windows) or "always",
        "approval": None if values.approval is None else f"{values.approval.votes} vote(s)",
    }
    moments = (begins + number * _HOUR for number in range(24 * _DAYS))
    opening = (window.opens(now) for window in windows)
    return PolicyShown(
        name,
        tuple(SaidValue(key, value, ()) for key, value in said.items() if value is not None),
        policy.selectable,
        tuple(_open(windows, moment) for moment in moments) if windows else (),
        min((moment for moment in opening if moment is not None), default=None),
    )


def _open(windows: AnyOf, moment: datetime) -> bool:
    return any(window.open(moment) for window in windows)


def _applied(found: Applied) -> tuple[SaidValue, ...]:
    values = {
        "ignore": _yes(found.ignore),
        "cooldown": duration(found.cooldown),
        "maxWait": duration(found.longest),
        "windows": " and ".join(map(windows_shown, found.windows)) or "always",
        "approval": f"{found.approval.votes} vote(s)" if found.approval else "none",
    }
    return tuple(
        SaidValue(name, value, tuple(source for said, source in found.sources if said == name))
        for name, value in values.items()
    )


def _yes(value: bool) -> str:  # noqa: FBT001 - a word for it
    return "yes" if value else "no"


def duration(span: timedelta) -> str:
    """Write a time as policies do."""
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
