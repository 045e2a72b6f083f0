"""`rebuilder dead-letters`, `replay` and `discard`: what was given up."""

from __future__ import annotations

from typing import Any

import click

from rebuilder.cli._command import Command, as_json, with_context
from rebuilder.cli._format import time
from rebuilder.cli._terminal import say, say_json
from rebuilder.cli.exits import Exit
from rebuilder.core.events.dead_letters import DeadLetter
from rebuilder.usecases.context import Context
from rebuilder.usecases.recovery.replay import chosen_letters, replay_each
from rebuilder.usecases.recovery.replay import discard as forget

_SHOWN = 300  # characters of a dead letter's body


@click.command(cls=Command, help="List messages and events that were given up, and why.")
@click.option("--all", "everything", is_flag=True, help="Those that were replayed, too.")
@as_json
@with_context
def dead_letters(context: Context, *, everything: bool, as_json: bool) -> int:
    """List the dead letters."""
    letters = [
        letter for letter in context.dead_letters.all() if everything or letter.replayed_at is None
    ]
    if as_json:
        say_json([_letter_record(letter) for letter in letters])
        return Exit.OK
    for letter in letters:
        replayed = f"  replayed {time(letter.replayed_at)}" if letter.replayed_at else ""
        say(f"{letter.id}  {time(letter.at)}  {letter.source}{replayed}")
        say(f"    {letter.reason}")
        more = "..." if len(letter.body) > _SHOWN else ""
        say(f"    {letter.body[:_SHOWN]}{more}")
    waiting = sum(1 for letter in letters if letter.replayed_at is None)
    say(f"{waiting} dead letter(s) waiting.")
    return Exit.OK


def _letter_record(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "origin": letter.origin.value,
        "source": letter.source,
        "at": letter.at.isoformat(),
        "reason": letter.reason,
        "body": letter.body,
        "replayed": letter.replayed_at.isoformat() if letter.replayed_at else None,
    }


@click.command(
    cls=Command,
    help="Do again what was given up; nothing is built twice by it.",
    codes={Exit.OK: "all were put back", Exit.FAILED: "some were not, or an error"},
    either=("ids", "everything"),
    needed=True,
)
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--all", "everything", is_flag=True, help="Everything that waits.")
@with_context
def replay(context: Context, ids: tuple[str, ...], *, everything: bool) -> int:
    """Put dead letters back into their queues."""
    letters = chosen_letters(context, ids, everything=everything)
    if not letters:
        say("No dead letter waits.")
        return Exit.OK
    failed: list[str] = []
    done = 0
    # Printed one by one: if the process ends, it is seen how far it came.
    for letter, outcome in replay_each(context, letters):
        if isinstance(outcome, Exception):
            failed.append(f"{letter.id}  NOT replayed: {outcome}")
            continue
        say(f"{letter.id}  {outcome}")
        done += 1
    for line in failed:
        say(line)
    left = len(letters) - done - len(failed)
    untried = f", {left} not tried: the store is out of order" if left else ""
    missed = f", {len(failed)} not{untried}" if failed else ""
    say(f"{done} dead letter(s) replayed{missed}.")
    return Exit.FAILED if failed else Exit.OK


@click.command(cls=Command, help="Forget a dead letter for good: nothing is to be done about it.")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@with_context
def discard(context: Context, ids: tuple[str, ...]) -> int:
    """Forget dead letters."""
    for letter in chosen_letters(context, ids):
        forget(context, letter)
        say(f"{letter.id}  discarded; nothing will come of it")
    return Exit.OK
