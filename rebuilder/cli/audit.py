"""`rebuilder audit`: whether each push had one effect on each task."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from rebuilder.cli._format import time
from rebuilder.cli._terminal import say_all, say_json
from rebuilder.core.audit.books import Audit, Finding, Verdict
from rebuilder.core.times import utc_time
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.audit import PATIENCE, audit

_MINUTE = timedelta(minutes=1)
_HOURS = 24


def add_audit(proof: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    proof.description = (
        "The exit code is 0 if each push of the time span had its effect or has an"
        " accepted reason, 1 if something is lost, doubled, stale, given up or waits as a dead"
        " letter, or after an error."
    )
    begin = proof.add_mutually_exclusive_group()
    begin.add_argument(
        "--since", type=_moment, metavar="ISO", help="pushes first told from then on"
    )
    begin.add_argument(
        "--hours", type=_number, default=_HOURS, help=f"or in so many hours till now ({_HOURS})"
    )
    proof.add_argument(
        "--until", type=_moment, metavar="ISO", help="and before that; now if left out"
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


def _moment(text: str) -> datetime:
    try:
        return utc_time(text)
    except ValueError:
        form = "a time like 2026-01-31T12:00Z, between 1970 and 9000"
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}") from None


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > len("100000"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number up to 999999")
    return int(text)


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
    yield f"{found.pushes} push(es) from {time(since)} to {time(until)}, {found.effects} effect(s):"
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
    return f"{_tag(finding)}@{finding.push.digest}, told {time(finding.at)}"


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
