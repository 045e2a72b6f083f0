"""`rebuilder runs`: the newest runs of the task registries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from rebuilder.cli._chosen import chosen_registries
from rebuilder.cli._command import Command, as_json, one_registry, with_context
from rebuilder.cli._format import duration, json_time, rebuild_record, time
from rebuilder.cli._progress import working
from rebuilder.cli._table import table
from rebuilder.cli._terminal import say, say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.list_runs import ListedRun, list_runs

_COLUMNS = ("RUN ID", "TASK", "PLATFORM", "STATUS", "TRIGGER", "STARTED", "DURATION")


def _positive(_context: click.Context, _option: click.Parameter, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is not a number above 0")
    return int(text)


@click.command(
    cls=Command,
    help="List the newest runs of the task registries, and why those that failed did.",
)
@one_registry
@click.option(
    "--top", callback=_positive, default="15", metavar="N", help="How many per registry (15)."
)
@as_json
@with_context
def runs(context: Context, *, registry: str, top: int, as_json: bool) -> int:
    """List runs."""
    registries = chosen_registries(context, registry)
    with working("Asking for runs"):
        found = {registry: list_runs(context, registry, top) for registry in registries}
    if as_json:
        say_json(
            [
                {"registry": str(registry), **_run_record(listed)}
                for registry, runs in found.items()
                for listed in runs
            ]
        )
        return Exit.OK
    for one, runs in found.items():
        if len(found) > 1:
            say(f"# {one.name}")
        if runs:
            say_all(table(_COLUMNS, [_row(listed) for listed in runs]))
        else:
            say("No run: none of its tasks has run yet, or ACR keeps none any more.")
        for line in (line for listed in runs for line in _why(listed)):
            say(line)
        if len(found) > 1:
            say("")
    return Exit.OK


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
    """Tell why a run failed, and what would fix it, if the ledger knows."""
    rebuild = listed.rebuild
    if rebuild is not None and rebuild.cause is not None:
        yield f"{listed.run.run_id}: {rebuild.cause.sentence()}"
        if rebuild.advice:
            yield f"    {rebuild.advice}"


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
