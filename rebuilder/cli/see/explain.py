"""`rebuilder explain`: what a pushed image led to, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from rebuilder.cli._command import Command, as_json, with_context
from rebuilder.cli._format import json_time, rebuild_record, time
from rebuilder.cli._progress import working
from rebuilder.cli._terminal import say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.audit.model import PendingLetter
from rebuilder.core.decisions.decision import TaskDecision
from rebuilder.core.decisions.reasons import to_record
from rebuilder.core.rebuilds.rebuild import REPAIR_WAITS, Check, Hold, Native, Rebuild, State
from rebuilder.core.waves.canary import quarantine
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.explain import EARLIER, Explained, Explanation, IndexAge
from rebuilder.usecases.reports.explain import explain as look


@click.command(
    cls=Command,
    help="Tell what a pushed image led to, and why: each task that was considered, rebuilt or not,"
    " with its evidence and what came of it.",
    codes={Exit.OK: "a push of the image is known", Exit.FAILED: "none is, or an error"},
)
@click.argument("image", metavar="IMAGE[@DIGEST]")
@as_json
@with_context
def explain(context: Context, image: str, *, as_json: bool) -> int:
    """Explain a push."""
    wanted = ImageReference.parse(image)
    with working("Explaining"):
        explanation = look(context, wanted)
    if as_json:
        say_json(_explanation_record(explanation))
    else:
        say_all(_explanation_lines(explanation))
    return Exit.OK if explanation.push else Exit.FAILED


def _explanation_lines(explanation: Explanation) -> list[str]:
    pushed = explanation.push
    if pushed is None:
        lines = [
            f"No push of {explanation.image} is known.",
            "  Nobody pushed it since events come, or they do not come: see `rebuilder doctor`.",
        ]
    else:
        push = pushed.push
        often = "once" if pushed.deliveries == 1 else f"{pushed.deliveries} times"
        lines = [
            f"{explanation.image.at(None).repository}:{push.tag}@{push.digest}",
            (
                f"  pushed {time(push.pushed_at or pushed.first_at)},"
                f" delivered {often}, last {time(pushed.last_at)}"
            ),
        ]
        if explanation.remark:
            lines.append(f"  {explanation.remark}")
        if explanation.earlier:
            more = " or more" if explanation.earlier == EARLIER else ""
            lines.append(
                f"  {explanation.earlier}{more} earlier push(es): name the digest to see one"
            )
        if all(explained.derived for explained in explanation.decisions):
            lines.append("  No decision yet: the plan is still to come, or no task uses the image.")
        for explained in explanation.decisions:
            lines += _decision_lines(explained)
            warnings = _warnings(explanation, explained)
            lines += [f"          warning: {warning}" for warning in warnings]
            lines += [
                f"          STANDS ON A QUARANTINED DIGEST: {q}"
                for q in _bad(explanation, explained)
            ]
        lines += [_letter_line(waiting) for waiting in explanation.waiting]
    if explanation.ignored:
        lines += ["", f"Events about {explanation.image.path} that started nothing:"]
        lines += [
            f"  {time(record.last_at)} {record.subject}: {record.sentence}"
            + (f" ({record.deliveries} times)" if record.deliveries > 1 else "")
            for record in explanation.ignored
        ]
    return [*lines, "", *map(_age_line, explanation.indexes)]


def _letter_line(waiting: PendingLetter) -> str:
    letter, task = waiting.letter, waiting.task
    about = "" if task is None else f" about {task.short}"
    return (
        f"  GIVEN UP at {time(letter.at)}: a message of {letter.source}{about}: {letter.reason};"
        f" `rebuilder replay {letter.id}` does it again"
    )


def _age_line(age: IndexAge) -> str:
    if age.refreshed is None:
        return f"The tasks of {age.registry.name} were never all read: some may be missing here."
    old = ", longer ago than index_max_age of REBUILDER_TUNING" if age.old else ""
    return f"What is known of {age.registry.name} was read at {time(age.refreshed)}{old}."


def _decision_lines(explained: Explained) -> list[str]:
    decision, rebuild = explained.record.decision, explained.rebuild
    record = to_record(decision)
    name = str(record.get("task", record.get("registry"))).rpartition("/registries/")[2]
    verb = "rebuild" if decision.rebuild else "leave"
    lines = [
        "",
        f"  {verb:8}{name.replace('/tasks/', '/')}",
        f"          because {decision.sentence()}" + _derived(explained),
    ]
    if rebuild is not None:
        run = f"run {rebuild.run_id}" if rebuild.run_id else "no run yet"
        attempt = f", attempt {rebuild.attempt}" if rebuild.attempt > 1 else ""
        state = rebuild.state.value
        outcome = f"{rebuild.outcome} ({state})" if rebuild.outcome else state
        if rebuild.state is State.SUCCEEDED:
            outcome = rebuild.outcome or state
        lines.append(f"          {run}{attempt}: {outcome}")
        if rebuild.cause is not None:
            lines.append(f"          {rebuild.cause.sentence()}")
        lines += [f"          {line}" for line in _circumstances(rebuild)]
        lines += [f"          pushed {image}" for image in rebuild.output_images]
        lines += [f"          {rebuild.advice}"] if rebuild.advice else []
    return lines


def _derived(explained: Explained) -> str:
    if not explained.derived:
        return ""
    if explained.record.decision.rebuild:
        return (
            " (told by the index and ACR's record, now; no plan has decided it yet: the next sweep"
            " has it done, or the first one after the task is read for the index)"
        )
    return " (told by the index and ACR's record, now)"


def _circumstances(rebuild: Rebuild) -> Iterator[str]:
    """Tell what a person wants to know of a rebuild besides its outcome."""
    if rebuild.unsettled and rebuild.due is not None:
        what = {
            State.HELD: "look" if rebuild.hold is Hold.GATE else "build",
            State.FAILED: "next attempt",
            State.SUCCEEDED: f"repair {rebuild.repair + 1} of {len(REPAIR_WAITS)}",
        }.get(rebuild.state, "next look")
        yield f"{what} due at {time(rebuild.due)}"
    held = rebuild.held
    if held is not None and held.forced is not None:
        yield f"forced {held.forced.sentence()}; else it would wait: {held.sentence()}"
    elif held is not None and held.asked_by:
        yield f"asked for by {held.asked_by}"
    if rebuild.cause is not None and rebuild.cause.line:
        yield f"its log says: {rebuild.cause.line}"
    if rebuild.native is Native.ADOPTED:
        yield "ACR's own base image trigger started it"
    elif rebuild.native is Native.MISSED:
        yield "ACR's own base image trigger was waited for and did not come"
    if rebuild.check is Check.NEW:
        yield f"stands on the new base: {rebuild.check_reason}"
    elif rebuild.check is Check.STALE:
        yield f"REBUILT BUT STILL STALE: {rebuild.check_reason}"
    elif rebuild.check is Check.UNKNOWN:
        yield f"what it stands on is not known: {rebuild.check_reason}"


def _explanation_record(explanation: Explanation) -> dict[str, Any]:
    pushed = explanation.push
    return {
        "image": str(explanation.image),
        "push": pushed
        and {
            "registry": str(pushed.push.registry),
            "repository": pushed.push.repository,
            "tag": pushed.push.tag,
            "digest": pushed.push.digest,
            "pushed": json_time(pushed.push.pushed_at),
            "firstTold": json_time(pushed.first_at),
            "lastTold": json_time(pushed.last_at),
            "deliveries": pushed.deliveries,
        },
        "remark": explanation.remark,
        "earlierPushes": explanation.earlier,
        "decisions": [
            {
                "rebuild": explained.record.decision.rebuild,
                "sentence": explained.record.decision.sentence(),
                "first": json_time(explained.record.first_at),
                "last": json_time(explained.record.last_at),
                "evidence": to_record(explained.record.decision),
                "result": rebuild_record(explained.rebuild),
                "derived": explained.derived,
                "quarantined": _bad(explanation, explained),
                "warnings": _warnings(explanation, explained),
            }
            for explained in explanation.decisions
        ],
        "ignored": [
            {
                "code": record.code,
                "sentence": record.sentence,
                "subject": record.subject,
                "first": json_time(record.first_at),
                "last": json_time(record.last_at),
                "deliveries": record.deliveries,
            }
            for record in explanation.ignored
        ],
        "waiting": [
            {
                "id": waiting.letter.id,
                "source": waiting.letter.source,
                "task": None if waiting.task is None else str(waiting.task),
                "reason": waiting.letter.reason,
                "at": json_time(waiting.letter.at),
            }
            for waiting in explanation.waiting
        ],
        "indexes": [
            {
                "registry": str(age.registry),
                "refreshed": json_time(age.refreshed),
                "old": age.old,
            }
            for age in explanation.indexes
        ],
    }


def _bad(explanation: Explanation, explained: Explained) -> list[str]:
    """Return what is quarantined of the images that a rebuild stands on."""
    rebuild = explained.rebuild
    if rebuild is None or rebuild.state is not State.SUCCEEDED:
        return []
    found = quarantine(rebuild.bases, explanation.quarantined)
    return [f"{one.image}: {one.because}" for one in found]


def _warnings(explanation: Explanation, explained: Explained) -> list[str]:
    decision = explained.record.decision
    if not isinstance(decision, TaskDecision):
        return []
    return list(explanation.warnings.get(decision.task, ()))
