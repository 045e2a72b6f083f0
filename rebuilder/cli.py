"""The command `rebuilder`: what ran, and why."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rebuilder._log_lines import install
from rebuilder._terminal import ERROR, orderly, say, say_all, say_json
from rebuilder.cli_dependencies import add_dependency_commands, chosen
from rebuilder.cli_deps import add_deps
from rebuilder.cli_doctor import add_doctor
from rebuilder.cli_recovery import add_recovery_commands
from rebuilder.composition import compose, release
from rebuilder.core.books import Waiting
from rebuilder.core.causes import to_record as to_cause
from rebuilder.core.decisions import TaskDecision, to_record
from rebuilder.core.rebuilds import REPAIR_WAITS, Check, Native, Rebuild, State
from rebuilder.core.references import ImageReference
from rebuilder.errors import NotFound
from rebuilder.usecases.context import Context
from rebuilder.usecases.explain import EARLIER, Explained, Explanation, IndexAge, explain
from rebuilder.usecases.list_runs import ListedRun, list_runs

_SETTINGS_FILE = Path("local.settings.json")
_COLUMNS = ("RUN ID", "TASK", "PLATFORM", "STATUS", "TRIGGER", "STARTED", "DURATION")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 1 for an error, 2 for wrong usage, 3 for gaps.

    `doctor` has its own: 1 for an error that it found, 2 if it could not look.
    """
    options = _parser().parse_args(arguments)
    # Azure's SDKs log every request; a person who asks a question wants the answer only.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    install()
    return orderly(partial(_run, options), int(getattr(options, "failure", ERROR)))


def _run(options: argparse.Namespace) -> int:
    try:
        if "alone" in options and options.task is None:
            # Needs neither settings nor Azure.
            alone: Callable[[argparse.Namespace], int] = options.alone
            return alone(options)
        context = compose(_environment(options.settings))
        command: Callable[[Context, argparse.Namespace], int] = options.command
        return command(context, options)
    finally:
        release()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rebuilder", description="What was rebuilt after a base image push, and why."
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="a local.settings.json; by default the one in this folder, if any. "
        "The environment comes first.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    runs = commands.add_parser("runs", help="list the newest runs of the task registries")
    runs.add_argument(
        "--registry", help="only this one: its name or resource id, as configured", default=""
    )
    runs.add_argument("--top", type=_positive, default=15, help="how many per registry (15)")
    runs.add_argument("--json", action="store_true", help="print JSON")
    runs.set_defaults(command=_runs)

    why = commands.add_parser("explain", help="tell what a pushed image led to, and why")
    why.add_argument("image", metavar="IMAGE[@DIGEST]", help="an image of a base registry")
    why.add_argument("--json", action="store_true", help="print JSON")
    why.set_defaults(command=_explain)

    add_deps(commands)
    add_dependency_commands(commands)
    add_recovery_commands(commands)
    add_doctor(commands)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _environment(file: Path | None) -> Mapping[str, str]:
    path = file or (_SETTINGS_FILE if _SETTINGS_FILE.exists() else None)
    if path is None:
        return os.environ
    try:
        values = json.loads(path.read_text(encoding="utf-8"))["Values"]
        return {**{str(name): str(value) for name, value in values.items()}, **os.environ}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotFound(f"{path} is not a local.settings.json with Values: {error}") from error


def _runs(context: Context, options: argparse.Namespace) -> int:
    registries = chosen(context, options.registry)
    found = {registry: list_runs(context, registry, options.top) for registry in registries}
    if options.json:
        say_json(
            [
                {"registry": str(registry), **_run_record(listed)}
                for registry, runs in found.items()
                for listed in runs
            ]
        )
        return 0
    for registry, runs in found.items():
        if len(found) > 1:
            say(f"# {registry.name}")
        say_all(_table([_row(listed) for listed in runs]))
        for line in (line for listed in runs for line in _why(listed)):
            say(line)
        if len(found) > 1:
            say("")
    return 0


def _row(listed: ListedRun) -> tuple[str, ...]:
    run = listed.run
    return (
        run.run_id,
        run.task or "",
        run.platform,
        run.status.value,
        run.trigger,
        _time(run.started),
        _duration(run.finished - run.started) if run.started and run.finished else "",
    )


def _why(listed: ListedRun) -> Iterator[str]:
    """Tell why a run failed, and what would mend it, if the ledger knows."""
    rebuild = listed.rebuild
    if rebuild is not None and rebuild.cause is not None:
        yield f"{listed.run.run_id}: {rebuild.cause.sentence()}"
        if rebuild.advice:
            yield f"    {rebuild.advice}"


def _time(value: datetime | None) -> str:
    if value is None:
        return ""
    try:
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        # At the ends of time; versions before kept what events said.
        return value.isoformat()


def _duration(value: timedelta) -> str:
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    lines = [_COLUMNS, ["-" * width for width in widths], *rows]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _run_record(listed: ListedRun) -> dict[str, Any]:
    run = listed.run
    return {
        "runId": run.run_id,
        "task": run.task,
        "platform": run.platform,
        "status": run.status.value,
        "trigger": run.trigger,
        "created": _json_time(run.created),
        "started": _json_time(run.started),
        "finished": _json_time(run.finished),
        "outputImages": list(run.output_images),
        "error": run.error,
        "rebuild": _rebuild_record(listed.rebuild),
    }


def _rebuild_record(rebuild: Rebuild | None) -> dict[str, Any] | None:
    if rebuild is None:
        return None
    return {
        "id": rebuild.id,
        "state": rebuild.state.value,
        "bases": list(rebuild.bases),
        "runId": rebuild.run_id,
        "claimed": _json_time(rebuild.claimed_at),
        "finished": _json_time(rebuild.finished_at),
        "outcome": rebuild.outcome,
        "outputImages": list(rebuild.output_images),
        "dependencies": list(rebuild.dependencies),
        "advice": rebuild.advice,
        "attempt": rebuild.attempt,
        "due": _json_time(rebuild.due) if rebuild.unsettled else None,
        "failure": rebuild.failure,
        "native": rebuild.native,
        "check": rebuild.check,
        "checkReason": rebuild.check_reason,
        "chain": list(rebuild.chain),
        "hold": rebuild.hold if rebuild.state is State.HELD else None,
        "cause": _cause_record(rebuild),
        "repair": rebuild.repair,
        "staleBy": rebuild.stale_by,
    }


def _cause_record(rebuild: Rebuild) -> dict[str, Any] | None:
    cause = rebuild.cause
    if cause is None:
        return None
    return {
        **to_cause(cause),
        "sentence": cause.sentence(),
        "heals": cause.heals,
        "logEnd": rebuild.log.splitlines(),
    }


def _json_time(value: datetime | None) -> str | None:
    return value.isoformat() if value else None


def _explain(context: Context, options: argparse.Namespace) -> int:
    explanation = explain(context, ImageReference.parse(options.image))
    if options.json:
        say_json(_explanation_record(explanation))
    else:
        say_all(_explanation_lines(explanation))
    return 0 if explanation.push else 1


def _explanation_lines(explanation: Explanation) -> list[str]:
    pushed = explanation.push
    if pushed is None:
        lines = [f"No push of {explanation.image} is known."]
    else:
        push = pushed.push
        lines = [
            f"{explanation.image.at(None).repository}:{push.tag}@{push.digest}",
            (
                f"  pushed {_time(push.pushed_at or pushed.first_at)},"
                f" told {pushed.deliveries} time(s), last {_time(pushed.last_at)}"
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
        lines += [_letter_line(waiting) for waiting in explanation.waiting]
    if explanation.ignored:
        lines += ["", f"Events about {explanation.image.path} that started nothing:"]
        lines += [
            f"  {_time(record.last_at)} {record.subject}: {record.sentence}"
            + (f" ({record.deliveries} times)" if record.deliveries > 1 else "")
            for record in explanation.ignored
        ]
    return [*lines, "", *map(_age_line, explanation.indexes)]


def _letter_line(waiting: Waiting) -> str:
    letter, task = waiting.letter, waiting.task
    about = "" if task is None else f" about {task.registry.name}/{task.name}"
    return (
        f"  GIVEN UP at {_time(letter.at)}: a message of {letter.source}{about}: {letter.reason};"
        f" `rebuilder replay {letter.id}` does it again"
    )


def _age_line(age: IndexAge) -> str:
    if age.refreshed is None:
        return f"The tasks of {age.registry.name} were never all read: some may be missing here."
    old = ", longer ago than REBUILDER_INDEX_MAX_AGE_HOURS" if age.old else ""
    return f"What is known of {age.registry.name} was read at {_time(age.refreshed)}{old}."


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
            State.HELD: "build",
            State.FAILED: "next attempt",
            State.SUCCEEDED: f"repair {rebuild.repair + 1} of {len(REPAIR_WAITS)}",
        }.get(rebuild.state, "next look")
        yield f"{what} due at {_time(rebuild.due)}"
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
            "pushed": _json_time(pushed.push.pushed_at),
            "firstTold": _json_time(pushed.first_at),
            "lastTold": _json_time(pushed.last_at),
            "deliveries": pushed.deliveries,
        },
        "remark": explanation.remark,
        "earlierPushes": explanation.earlier,
        "decisions": [
            {
                "rebuild": explained.record.decision.rebuild,
                "sentence": explained.record.decision.sentence(),
                "first": _json_time(explained.record.first_at),
                "last": _json_time(explained.record.last_at),
                "evidence": to_record(explained.record.decision),
                "result": _rebuild_record(explained.rebuild),
                "derived": explained.derived,
                "warnings": _warnings(explanation, explained),
            }
            for explained in explanation.decisions
        ],
        "ignored": [
            {
                "code": record.code,
                "sentence": record.sentence,
                "subject": record.subject,
                "first": _json_time(record.first_at),
                "last": _json_time(record.last_at),
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
                "at": _json_time(waiting.letter.at),
            }
            for waiting in explanation.waiting
        ],
        "indexes": [
            {
                "registry": str(age.registry),
                "refreshed": _json_time(age.refreshed),
                "old": age.old,
            }
            for age in explanation.indexes
        ],
    }


def _warnings(explanation: Explanation, explained: Explained) -> list[str]:
    decision = explained.record.decision
    if not isinstance(decision, TaskDecision):
        return []
    return list(explanation.warnings.get(decision.task, ()))


if __name__ == "__main__":
    sys.exit(main())
