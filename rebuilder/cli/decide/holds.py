"""`rebuilder holds`: what waits, by the reason."""

from __future__ import annotations

import click

from rebuilder.cli._command import Command, as_json, with_context
from rebuilder.cli._format import json_time
from rebuilder.cli._terminal import say, say_json
from rebuilder.cli.exits import Exit
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.holds import holds as look


@click.command(
    cls=Command,
    help="List the rebuilds that are held, by the reason: paused, frozen, outside a window, cooling"
    " down and others, each with what ends it.",
)
@as_json
@with_context
def holds(context: Context, *, as_json: bool) -> int:
    """List what is held."""
    found = look(context)
    if as_json:
        say_json(
            [
                {
                    "reason": title,
                    "task": str(entry.rebuild.task),
                    "rebuild": entry.rebuild.id,
                    "sentence": entry.sentence,
                    "ender": entry.ender,
                    "until": json_time(entry.until),
                    "bases": list(entry.rebuild.bases),
                }
                for title, entries in found.items()
                for entry in entries
            ]
        )
        return Exit.OK
    for title, entries in found.items():
        say(f"{title} ({len(entries)}):")
        for entry in entries:
            say(f"  {entry.rebuild.task.short}  {entry.sentence}")
            say(f"      {entry.ender}")
    if not found:
        say("Nothing is held.")
    return Exit.OK
