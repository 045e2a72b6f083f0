"""`rebuilder policy`: the policy file, checked, shown, applied and gone back to."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rebuilder.cli._acts import who
from rebuilder.cli._chosen import find_task
from rebuilder.cli._command import Command, with_context
from rebuilder.cli._format import duration
from rebuilder.cli._terminal import complain, orderly, say
from rebuilder.cli.exits import Exit
from rebuilder.core.acr.tasks import Task
from rebuilder.core.dependencies.index import with_view
from rebuilder.core.policies.approval import Approval
from rebuilder.core.policies.gate import Asked, Go, applies, gate
from rebuilder.core.policies.matching import Moved
from rebuilder.core.policies.policy import Applied, Policies, shown
from rebuilder.core.policies.versions import PolicyVersion
from rebuilder.core.times import day_and_time
from rebuilder.errors import InvalidPolicy, NotFound
from rebuilder.usecases.context import Context

_FILE_NEEDED = ("validate", "apply")
_ACTIONS = (*_FILE_NEEDED, "show", "history", "rollback")
_VERSIONS = 50


@click.command(
    cls=Command,
    help="When tasks are rebuilt, by a policy file (docs/policies.md): `validate FILE` tells every"
    " fault with its line and column, `apply FILE` puts it in force, `show` shows what is in force,"
    " `show TASK` what applies to a task and which rule says so, `history` lists the versions and"
    " `rollback [NUMBER]` goes back to one.",
    codes={Exit.OK: "it did so", Exit.FAILED: "the file has faults, or an error"},
)
@click.argument("action", type=click.Choice(_ACTIONS))
@click.argument("of", metavar="[FILE|TASK|NUMBER]", default="")
@click.option("--because", metavar="TEXT", default="", help="Why it is applied or gone back to.")
def policy(action: str, of: str, because: str) -> int:
    """Do something with the policy file."""
    if action in _FILE_NEEDED and not of:
        raise click.UsageError("Give FILE, or - for standard input.")
    if action == "rollback" and of and not of.isdecimal():
        raise click.UsageError("Give the NUMBER of a version, as `history` lists it.")
    if action == "validate":
        return orderly(lambda: _validate(of))
    return _work(action, of, because)


@with_context
def _work(context: Context, action: str, of: str, because: str) -> int:
    match action:
        case "apply":
            return _apply(context, of, because)
        case "history":
            for version in context.steering.versions(_VERSIONS):
                say(_line(version))
        case "rollback":
            return _roll_back(context, of, because)
        case _ if of:
            _show_task(context, of)
        case _:
            _show(context)
    return Exit.OK


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    return Path(file).read_text(encoding="utf-8", errors="replace")


def _validate(file: str) -> int:
    from rebuilder.core.policies.reading import read_policies  # noqa: PLC0415 - help needs none

    try:
        found = read_policies(_read(file), file)
    except InvalidPolicy as error:
        return _faults(error)
    rules = len(found.rules) + len(found.tightening)
    say(
        f"{file}: {len(found.policies)} policies, {rules} rules, {len(found.freezes)} freezes:"
        " nothing is wrong"
    )
    return Exit.OK


def _faults(error: InvalidPolicy) -> int:
    for fault in error.faults:
        complain(str(fault))
    return Exit.FAILED


def _apply(context: Context, file: str, because: str) -> int:
    from rebuilder.usecases.steering.policy_file import apply_policy  # noqa: PLC0415 - as above

    try:
        text = _read(file)
        applied = apply_policy(context, text, file=file, who=who(context), because=because)
    except InvalidPolicy as error:
        return _faults(error)
    say(f"version {applied.number} is in force, everywhere within half a minute")
    return Exit.OK


def _roll_back(context: Context, number: str, because: str) -> int:
    from rebuilder.usecases.steering.policy_file import roll_back  # noqa: PLC0415 - as above

    wanted = int(number) if number else None
    back, new = roll_back(context, wanted, who=who(context), because=because)
    say(f"version {new.number} is in force: the same as version {back.number}")
    return Exit.OK


def _line(version: PolicyVersion) -> str:
    at = day_and_time(version.at) if version.at else "at an unknown time"
    told = f": {version.because}" if version.because else ""
    return f"version {version.number}, {at}, by {version.who or 'somebody'}{told}"


def _show(context: Context) -> None:
    version = context.steering.policy()
    if version is None:
        say("There is no policy file: whatever is to be rebuilt is rebuilt at once.")
    else:
        say(_line(version))
        in_force = context.in_force.now(context.steering, context.now())
        if in_force.unreadable:
            say(f"NOT in force, and nothing begins: {in_force.unreadable}")
        elif in_force.broken:
            say(f"NOT in force, the last good version is: {in_force.broken}")
        say("", *version.text.splitlines())
    if context.settings.observe:
        say("REBUILDER_MODE is observe: nothing is started.")


def _rooms(policies: Policies, task: Task, found: Applied) -> str:
    rooms = policies.rooms(task.id, task.agent_pool, found)
    return ", ".join(f"{policies.limits[room]} of {room}" for room in rooms) or "any number"


def _approval(approval: Approval | None) -> str:
    if approval is None or not approval.votes:
        return "none"
    oneself = "" if approval.by_oneself else ", not by who asked for it"
    return f"{approval.votes} vote(s), each for {duration(approval.expires)}{oneself}"


def _show_task(context: Context, name: str) -> None:
    recorded = find_task(context, name)
    known = context.index.view(recorded.id)
    task = with_view(recorded, known.view if known else None)
    in_force, now = context.in_force.now(context.steering, context.now()), context.now()
    bases: dict[str, set[str]] = {}
    for dependency in task.dependencies:
        if dependency.reference.digest is None:
            bases.setdefault(str(dependency.reference), set()).add(dependency.kind.value)
    if not bases:
        raise NotFound(f"{task.id.short} is built on no tag that is known")
    for base, kinds in sorted(bases.items()):
        moved = Moved(base, frozenset(kinds))
        say(f"{task.id.short}, when {base} moves:")
        if in_force.policies is not None:
            found = applies(in_force.policies, task.id, (moved,), task.tags)
            values = {
                "ignore": "yes" if found.ignore else "no",
                "cooldown": duration(found.cooldown),
                "maxWait": duration(found.longest),
                "windows": " and ".join(map(shown, found.windows)) or "always",
                "approval": _approval(found.approval),
                "maxConcurrent": _rooms(in_force.policies, task, found),
                "priority": str(found.priority),
                "attempts": str(found.attempts or context.settings.build_attempts),
                "maxAge": "never" if found.max_age is None else duration(found.max_age),
            }
            for value, text in values.items():
                said = [source for name, source in found.sources if name == value]
                say(f"  {value}: {text}  ({'; '.join(said) or 'by default'})")
        answer = gate(Asked(task.id, (moved,), tuple(bases), task.tags, now, now), in_force, now)
        if isinstance(answer, Go):
            say("  now: it would be rebuilt at once")
        else:
            for reason in answer.reasons:
                say(f"  now: {reason.sentence()} ({reason.ender()})")
