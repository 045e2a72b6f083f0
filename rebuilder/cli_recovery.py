"""The commands for what went wrong: `dead-letters`, `replay`, `discard`, `retry`, `audit`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from rebuilder._terminal import say, say_all, say_json
from rebuilder.cli_dependencies import find_task
from rebuilder.core.books import Audit, Finding, Verdict
from rebuilder.core.dead_letters import DeadLetter
from rebuilder.core.times import utc_time
from rebuilder.usecases.audit import PATIENCE, audit
from rebuilder.usecases.context import Context
from rebuilder.usecases.replay import chosen_letters, discard, replay_each, retry

_SHOWN = 300  # characters of a dead letter's body
_MINUTE = timedelta(minutes=1)
_HOURS = 24


def add_recovery_commands(commands: Any) -> None:  # noqa: ANN401 - argparse's own class is private
    """Add the commands to the subparsers of `rebuilder`."""
    letters = commands.add_parser(
        "dead-letters", help="list messages and events that were given up, and why"
    )
    letters.add_argument("--all", action="store_true", help="those that were replayed, too")
    letters.add_argument("--json", action="store_true", help="print JSON, with the bodies whole")
    letters.set_defaults(command=_letters)

    again = commands.add_parser(
        "replay", help="do again what was given up; nothing is built twice by it"
    )
    which = again.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", default=[], metavar="ID", help="of `dead-letters`")
    which.add_argument("--all", action="store_true", help="everything that waits")
    again.set_defaults(command=_replay)

    gone = commands.add_parser(
        "discard", help="forget a dead letter for good: nothing is to be done about it"
    )
    gone.add_argument("ids", nargs="+", metavar="ID", help="of `dead-letters`")
    gone.set_defaults(command=_discard)

    anew = commands.add_parser(
        "retry", help="rebuild a task although its rebuild was given up or done"
    )
    anew.add_argument("task", metavar="TASK", help="NAME, REGISTRY/NAME or a resource id")
    anew.set_defaults(command=_retry)

    proof = commands.add_parser(
        "audit",
        help="prove that each push had one effect on each task, or name the exception",
        description="The exit code is 0 if each push of the time span had its effect or has an"
        " accepted reason, 1 if something is lost, doubled, stale, given up or waits as a dead"
        " letter, or after an error.",
    )
    begin = proof.add_mutually_exclusive_group()
    begin.add_argument("--since", type=_time, metavar="ISO", help="pushes first told from then on")
    begin.add_argument(
        "--hours", type=_number, default=_HOURS, help=f"or in so many hours till now ({_HOURS})"
    )
    proof.add_argument(
        "--until", type=_time, metavar="ISO", help="and before that; now if left out"
    )
    proof.add_argument(
        "--patience",
        type=_number,
        default=PATIENCE // _MINUTE,
        metavar="MINUTES",
        help=f"how long something may take before it counts as lost ({PATIENCE // _MINUTE})",
    )
    proof.add_argument("--no-arm", action="store_true", help="do not ask ARM for the runs")
    proof.add_argument("--all", action="store_true", help="list what had its effect, too")
    proof.add_argument("--json", action="store_true", help="print JSON, with everything")
    proof.set_defaults(command=_audit)


def _time(text: str) -> datetime:
    try:
        return utc_time(text)
    except ValueError:
        form = "a time like 2026-01-31T12:00Z, between 1970 and 9000"
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}") from None


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > len("100000"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number up to 999999")
    return int(text)


# dead-letters


def _letters(context: Context, options: argparse.Namespace) -> int:
    letters = [
        letter for letter in context.dead_letters.all() if options.all or letter.replayed_at is None
    ]
    if options.json:
        say_json([_letter_record(letter) for letter in letters])
        return 0
    for letter in letters:
        replayed = f"  replayed {_iso(letter.replayed_at)}" if letter.replayed_at else ""
        say(f"{letter.id}  {_iso(letter.at)}  {letter.source}{replayed}")
        say(f"    {letter.reason}")
        more = "..." if len(letter.body) > _SHOWN else ""
        say(f"    {letter.body[:_SHOWN]}{more}")
    waiting = sum(1 for letter in letters if letter.replayed_at is None)
    say(f"{waiting} dead letter(s) waiting.")
    return 0


def _letter_record(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "origin": letter.origin.value,
        "source": letter.source,
        "at": letter.at.isoformat(),
        "reason": letter.reason,
        "body": letter.body,
        "replayed": letter.replayed_at.isoformat() if letter.replayed_at else None,
    }


# replay, discard, retry


def _replay(context: Context, options: argparse.Namespace) -> int:
    letters = chosen_letters(context, options.ids, everything=options.all)
    failed: list[str] = []
    done = 0
    # Printed one by one: if the process ends, it is seen how far it came.
    for letter, outcome in replay_each(context, letters):
        if isinstance(outcome, Exception):
            failed.append(f"{letter.id}  NOT replayed: {outcome}")
            continue
        say(f"{letter.id}  {outcome}")
        done += 1
    for line in failed:
        say(line)
    left = len(letters) - done - len(failed)
    untried = f", {left} not tried: the store is out of order" if left else ""
    missed = f", {len(failed)} not{untried}" if failed else ""
    say(f"{done} dead letter(s) replayed{missed}.")
    return 1 if failed else 0


def _discard(context: Context, options: argparse.Namespace) -> int:
    for letter in chosen_letters(context, options.ids):
        discard(context, letter)
        say(f"{letter.id}  discarded; nothing will come of it")
    return 0


def _retry(context: Context, options: argparse.Namespace) -> int:
    task = find_task(context, options.task).id
    push = retry(context, task)
    say(f"{task.registry.name}/{task.name} is rebuilt if it still is to be, for {push.key}")
    return 0


# audit


def _audit(context: Context, options: argparse.Namespace) -> int:
    until = options.until or context.now()
    since = options.since or until - timedelta(hours=options.hours)
    patience = timedelta(minutes=options.patience)
    found = audit(context, since, until, ask_arm=not options.no_arm, patience=patience)
    if options.json:
        say_json(_audit_record(found, since, until))
    else:
        say_all(_audit_lines(found, since, until, everything=options.all))
    return 0 if found.clean else 1


def _audit_lines(
    found: Audit, since: datetime, until: datetime, *, everything: bool
) -> Iterator[str]:
    for finding in found.findings:
        if everything or not finding.verdict.effect:
            yield f"{finding.verdict}: {_task(finding)} for {_image(finding)}"
            yield f"    {finding.sentence}"
    for finding in found.standing:
        yield f"now {finding.verdict}: {_task(finding)} follows {_tag(finding)}"
        yield f"    {finding.sentence}"
    yield from (f"not looked at: {remark}" for remark in found.remarks)
    yield f"{found.pushes} push(es) from {_iso(since)} to {_iso(until)}, {found.effects} effect(s):"
    counted = [(verdict, number) for verdict, number in found.counts.items() if number]
    yield "  " + (
        ", ".join(f"{number} {verdict}" for verdict, number in counted) or "nothing to do"
    )
    yield (
        f"ACR's own trigger: {found.native_adopted} in time, {found.native_missed} missed,"
        f" {found.native_late} late and so built twice."
    )
    yield f"{found.unchecked} rebuilt of which nobody can tell what it stands on."
    yield f"{len(found.waiting)} dead letter(s) waiting."
    yield (
        f"{found.tags} tag(s) compared with what stands on them:"
        f" {len(found.standing)} task(s) on something else."
    )
    for task, reason in found.unread.items():
        yield f"not all known: {task.registry.name}/{task.name} may read more images: {reason}"
    if not found.clean:
        yield "NOT clean: the lines above name what to look at."
    elif found.unread or found.remarks:
        missing = [f"what {len(found.unread)} task(s) read is not all known"] * bool(found.unread)
        missing += ["not everything could be looked at"] * bool(found.remarks)
        yield f"Nothing is wrong as far as is known; {', and '.join(missing)}."
    else:
        yield "Clean."


def _task(finding: Finding) -> str:
    task = finding.task
    return f"{task.registry.name}/{task.name}" if task else "every task"


def _image(finding: Finding) -> str:
    return f"{_tag(finding)}@{finding.push.digest}, told {_iso(finding.at)}"


def _tag(finding: Finding) -> str:
    return f"{finding.push.repository}:{finding.push.tag}"


def _audit_record(found: Audit, since: datetime, until: datetime) -> dict[str, Any]:
    return {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "clean": found.clean,
        "pushes": found.pushes,
        "effects": found.effects,
        "counts": {verdict.value: found.counts[verdict] for verdict in Verdict},
        "native": {
            "adopted": found.native_adopted,
            "missed": found.native_missed,
            "late": found.native_late,
        },
        "unchecked": found.unchecked,
        "deadLetters": [waiting.letter.id for waiting in found.waiting],
        "notLookedAt": list(found.remarks),
        "notAllKnown": {str(task): reason for task, reason in found.unread.items()},
        "complete": not found.remarks and not found.unread,
        "tagsCompared": found.tags,
        "standing": list(map(_finding_record, found.standing)),
        "findings": list(map(_finding_record, found.findings)),
    }


def _finding_record(finding: Finding) -> dict[str, Any]:
    return {
        "push": finding.push.key,
        "told": finding.at.isoformat(),
        "task": str(finding.task) if finding.task else None,
        "verdict": finding.verdict.value,
        "sentence": finding.sentence,
        "rebuild": finding.rebuild.id if finding.rebuild else None,
        "runId": finding.rebuild.run_id if finding.rebuild else None,
    }


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
