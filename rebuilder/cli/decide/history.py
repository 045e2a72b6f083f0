"""`rebuilder history`: what operators did."""

from __future__ import annotations

import click

from rebuilder.cli._command import Command, as_json, with_context
from rebuilder.cli._format import json_time, time
from rebuilder.cli._terminal import say, say_json
from rebuilder.cli.exits import Exit
from rebuilder.core.policies.acts import Act
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import history as look

_PAGE, _MOST = 50, 1000


@click.command(
    cls=Command,
    help="List what operators did, newest first: who, when, why, and what came of it.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, _MOST),
    default=_PAGE,
    show_default=True,
    help="How many acts.",
)
@click.option(
    "--skip", type=click.IntRange(0), default=0, help="How many of the newest to leave out."
)
@as_json
@with_context
def history(context: Context, *, limit: int, skip: int, as_json: bool) -> int:
    """List acts."""
    found = list(look(context, limit, skip))
    if as_json:
        say_json(
            [
                {
                    "act": act.id,
                    "what": act.what.value,
                    "target": str(act.target),
                    "who": act.who,
                    "because": act.because,
                    "at": json_time(act.at),
                    "until": json_time(act.until),
                    "force": act.force,
                    "came": act.came or None,
                }
                for act in found
            ]
        )
        return Exit.OK
    for act in found:
        say(*_lines(act))
    if not found:
        say("Nobody did anything.")
    elif len(found) == limit:
        say(f"Older ones: --skip {skip + limit}")
    return Exit.OK


def _lines(act: Act) -> tuple[str, str]:
    force = " --force" if act.force else ""
    until = f" until {time(act.until)}" if act.until else ""
    because = f": {act.because}" if act.because else ""
    return (
        f"{time(act.at)}  {act.what}{force} {act.target}{until}, by {act.who}{because}",
        f"    {act.came or 'what came of it is not known yet'}",
    )
