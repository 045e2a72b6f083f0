"""`rebuilder runs`: the newest runs of the task registries."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from rebuilder.cli._chosen import chosen_registries
from rebuilder.cli._format import duration, json_time, rebuild_record, time
from rebuilder.cli._terminal import say, say_all, say_json
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.list_runs import ListedRun, list_runs

_COLUMNS = ("RUN ID", "TASK", "PLATFORM", "STATUS", "TRIGGER", "STARTED", "DURATION")


def add_runs(runs: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    runs.add_argument(
        "--registry", help="only this one: its name or resource id, as configured", default=""
    )
    runs.add_argument("--top", type=_positive, default=15, help="how many per registry (15)")
    runs.add_argument("--json", action="store_true", help="print JSON")
    runs.set_defaults(command=_runs)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _runs(context: Context, options: argparse.Namespace) -> int:
    registries = chosen_registries(context, options.registry)
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
        time(run.started),
        duration(run.finished - run.started) if run.started and run.finished else "",
    )


def _why(listed: ListedRun) -> Iterator[str]:
    """Tell why a run failed, and what would mend it, if the ledger knows."""
    rebuild = listed.rebuild
    if rebuild is not None and rebuild.cause is not None:
        yield f"{listed.run.run_id}: {rebuild.cause.sentence()}"
        if rebuild.advice:
            yield f"    {rebuild.advice}"


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
        "created": json_time(run.created),
        "started": json_time(run.started),
        "finished": json_time(run.finished),
        "outputImages": list(run.output_images),
        "error": run.error,
        "rebuild": rebuild_record(listed.rebuild),
    }
