"""The command `rebuilder`: what ran, and why."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rebuilder.cli_dependencies import add_dependency_commands, chosen
from rebuilder.cli_deps import add_deps
from rebuilder.cli_doctor import add_doctor
from rebuilder.cli_recovery import add_recovery_commands
from rebuilder.composition import compose, release
from rebuilder.core.decisions import TaskDecision, to_record
from rebuilder.core.rebuilds import Check, Native, Rebuild, State
from rebuilder.core.references import ImageReference
from rebuilder.errors import NotFound, RebuilderError
from rebuilder.usecases.context import Context
from rebuilder.usecases.explain import Explained, Explanation, IndexAge, explain
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
    try:
        if "alone" in options and options.task is None:
            # Needs neither settings nor Azure.
            alone: Callable[[argparse.Namespace], int] = options.alone
            return alone(options)
        context = compose(_environment(options.settings))
        command: Callable[[Context, argparse.Namespace], int] = options.command
        return command(context, options)
    except RebuilderError as error:
        print(f"rebuilder: {error}", file=sys.stderr)  # noqa: T201 - a command's answer
        return int(getattr(options, "failure", 1))
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
        _print_json(
            [
                {"registry": str(registry), **_run_record(listed)}
                for registry, runs in found.items()
                for listed in runs
            ]
        )
        return 0
    for registry, runs in found.items():
        if len(found) > 1:
            _print(f"# {registry.name}")
        _print(_table([_row(listed) for listed in runs]))
        if len(found) > 1:
            _print("")
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


def _time(value: datetime | None) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value else ""


def _duration(value: timedelta) -> str:
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    lines = [_COLUMNS, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


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
    }


def _json_time(value: datetime | None) -> str | None:
    return value.isoformat() if value else None


def _explain(context: Context, options: argparse.Namespace) -> int:
    explanation = explain(context, ImageReference.parse(options.image))
    if options.json:
        _print_json(_explanation_record(explanation))
    else:
        _print("\n".join(_explanation_lines(explanation)))
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
            lines.append(f"  {explanation.earlier} earlier push(es): name the digest to see one")
        if all(explained.derived for explained in explanation.decisions):
            lines.append("  No decision yet: the plan is still to come, or no task uses the image.")
        for explained in explanation.decisions:
            lines += _decision_lines(explained)
            warnings = _warnings(explanation, explained)
            lines += [f"          warning: {warning}" for warning in warnings]
    if explanation.ignored:
        lines += ["", f"Events about {explanation.image.path} that started nothing:"]
        lines += [
            f"  {_time(record.last_at)} {record.subject}: {record.sentence}"
            + (f" ({record.deliveries} times)" if record.deliveries > 1 else "")
            for record in explanation.ignored
        ]
    return [*lines, "", *map(_age_line, explanation.indexes)]


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
        lines += [f"          {line}" for line in _circumstances(rebuild)]
        lines += [f"          pushed {image}" for image in rebuild.output_images]
        lines += [f"          {rebuild.advice}"] if rebuild.advice else []
    return lines


def _derived(explained: Explained) -> str:
    if not explained.derived:
        return ""
    if explained.record.decision.rebuild:
        return " (told by the index, now; no plan has decided it yet, the next sweep has it done)"
    return " (told by the index, now)"


def _circumstances(rebuild: Rebuild) -> Iterator[str]:
    """Tell what a person wants to know of a rebuild besides its outcome."""
    if rebuild.unsettled and rebuild.due is not None:
        what = {State.HELD: "build", State.FAILED: "next attempt"}.get(rebuild.state, "next look")
        yield f"{what} due at {_time(rebuild.due)}"
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


def _print(text: str) -> None:
    print(text)  # noqa: T201 - a command's answer


def _print_json(value: object) -> None:
    _print(json.dumps(value, indent=2))


if __name__ == "__main__":
    sys.exit(main())
