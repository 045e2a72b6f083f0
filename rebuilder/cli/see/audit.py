"""`rebuilder audit`: whether each push had one effect on each task."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import click

from rebuilder.cli._command import Command, as_json, with_context
from rebuilder.cli._format import time
from rebuilder.cli._progress import working
from rebuilder.cli._terminal import Coloured, say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.core.audit.model import Audit, AuditFinding, AuditVerdict
from rebuilder.core.times import utc_time
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.audit import PATIENCE
from rebuilder.usecases.reports.audit import audit as look

_MINUTE = timedelta(minutes=1)
_HOURS = 24


def _moment(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return utc_time(text)
    except ValueError:
        form = "a time like 2026-01-31T12:00Z, between 1970 and 9000"
        raise click.BadParameter(f"{text!r} is not {form}") from None


def _number(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or len(text) > len("100000"):
        raise click.BadParameter(f"{text!r} is not a whole number up to 999999")
    return int(text)


@click.command(
    cls=Command,
    help="Prove that each push of a time span had one effect on each task, or name the exception.",
    codes={
        Exit.OK: "each push had its effect, or has an accepted reason",
        Exit.FAILED: "something is lost, doubled, stale, given up or waits as a dead letter; or an"
        " error",
    },
    either=("since", "hours"),
)
@click.option("--since", callback=_moment, metavar="ISO", help="Pushes first told from then on.")
@click.option(
    "--hours", callback=_number, metavar="HOURS", help=f"Or in so many hours till now ({_HOURS})."
)
@click.option("--until", callback=_moment, metavar="ISO", help="And before that; now if left out.")
@click.option(
    "--patience",
    callback=_number,
    default=str(PATIENCE // _MINUTE),
    metavar="MINUTES",
    help=f"How long something may take before it counts as lost ({PATIENCE // _MINUTE}).",
)
@click.option("--no-arm", is_flag=True, help="Do not ask ARM for the runs.")
@click.option("--all", "everything", is_flag=True, help="List what had its effect, too.")
@as_json
@with_context
def audit(
    context: Context,
    *,
    since: datetime | None,
    hours: int | None,
    until: datetime | None,
    patience: int,
    no_arm: bool,
    everything: bool,
    as_json: bool,
) -> int:
    """Audit the pushes of a time span."""
    end = until or context.now()
    start = since or end - timedelta(hours=_HOURS if hours is None else hours)
    with working("Auditing"):
        found = look(context, start, end, ask_arm=not no_arm, patience=timedelta(minutes=patience))
    if as_json:
        say_json(_audit_record(found, start, end))
    else:
        say_all(_audit_lines(found, start, end, everything=everything))
    return Exit.OK if found.clean else Exit.FAILED


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
        yield f"not all known: {task.short} may read more images: {reason}"
    if not found.clean:
        yield Coloured("NOT clean: the lines above name what to look at.", "red")
    elif found.unread or found.remarks:
        missing = [f"what {len(found.unread)} task(s) read is not all known"] * bool(found.unread)
        missing += ["not everything could be looked at"] * bool(found.remarks)
        yield f"Nothing is wrong as far as is known; {', and '.join(missing)}."
    else:
        yield Coloured("Clean.", "green")


def _task(finding: AuditFinding) -> str:
    task = finding.task
    return task.short if task else "every task"


def _image(finding: AuditFinding) -> str:
    return f"{_tag(finding)}@{finding.push.digest}, told {time(finding.at)}"


def _tag(finding: AuditFinding) -> str:
    return f"{finding.push.repository}:{finding.push.tag}"


def _audit_record(found: Audit, since: datetime, until: datetime) -> dict[str, Any]:
    return {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "clean": found.clean,
        "pushes": found.pushes,
        "effects": found.effects,
        "counts": {verdict.value: found.counts[verdict] for verdict in AuditVerdict},
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


def _finding_record(finding: AuditFinding) -> dict[str, Any]:
    return {
        "push": finding.push.key,
        "told": finding.at.isoformat(),
        "task": str(finding.task) if finding.task else None,
        "verdict": finding.verdict.value,
        "sentence": finding.sentence,
        "rebuild": finding.rebuild.id if finding.rebuild else None,
        "runId": finding.rebuild.run_id if finding.rebuild else None,
    }
