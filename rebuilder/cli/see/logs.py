"""`rebuilder logs`: the log of a run, at once or as it grows."""

from __future__ import annotations

from time import sleep

import click

from rebuilder.cli._chosen import chosen_registries
from rebuilder.cli._command import Command, one_registry, with_context
from rebuilder.cli._terminal import say, say_all
from rebuilder.cli.exits import Exit
from rebuilder.core.acr.registries import RegistryId
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.run_log import LogLines, find_run, follow_log, read_log


@click.command(
    cls=Command,
    help="Print the log of a run: each line escaped, and without what looks like a secret; of a"
    " long log the last MiB.",
)
@click.argument("run", metavar="RUN")
@click.option("--follow", is_flag=True, help="Go on as it grows, until the run is over.")
@one_registry
@with_context
def logs(context: Context, *, run: str, follow: bool, registry: str) -> int:
    """Print a log."""
    found, known = find_run(context, chosen_registries(context, registry), run)
    if follow:
        for part in follow_log(context, found, run, sleep):
            _print(part)
        known = context.tasks.run(found, run)
    else:
        _print_all(context, found, run)
    if known.status.terminal:
        error = f": {known.error}" if known.error else ""
        say(f"# run {run} is {known.status}{error}")
    else:
        say(f"# run {run} is {known.status}; --follow goes on with it")
    return Exit.OK


def _print_all(context: Context, registry: RegistryId, run: str) -> None:
    part = read_log(context, registry, run)
    _print(part)
    while part.more:
        part = read_log(context, registry, run, part.place)
        _print(part)


def _print(part: LogLines) -> None:
    if part.left_out:
        say(f"# {part.left_out} bytes before this are left out")
    say_all(part.lines)
