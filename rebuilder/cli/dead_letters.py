"""`rebuilder dead-letters`, `replay`, `discard` and `retry`: what was given up."""

from __future__ import annotations

import argparse
from typing import Any

from rebuilder.cli._chosen import find_task
from rebuilder.cli._format import time
from rebuilder.cli._terminal import say, say_json
from rebuilder.core.events.dead_letters import DeadLetter
from rebuilder.usecases.context import Context
from rebuilder.usecases.recovery.replay import chosen_letters, discard, replay_each, retry

_SHOWN = 300  # characters of a dead letter's body


def add_dead_letters(letters: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    letters.add_argument("--all", action="store_true", help="those that were replayed, too")
    letters.add_argument("--json", action="store_true", help="print JSON, with the bodies whole")
    letters.set_defaults(command=_letters)


def add_replay(again: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    which = again.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", default=[], metavar="ID", help="of `dead-letters`")
    which.add_argument("--all", action="store_true", help="everything that waits")
    again.set_defaults(command=_replay)


def add_discard(gone: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    gone.add_argument("ids", nargs="+", metavar="ID", help="of `dead-letters`")
    gone.set_defaults(command=_discard)


def add_retry(anew: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    anew.add_argument("task", metavar="TASK", help="NAME, REGISTRY/NAME or a resource id")
    anew.set_defaults(command=_retry)


def _letters(context: Context, options: argparse.Namespace) -> int:
    letters = [
        letter for letter in context.dead_letters.all() if options.all or letter.replayed_at is None
    ]
    if options.json:
        say_json([_letter_record(letter) for letter in letters])
        return 0
    for letter in letters:
        replayed = f"  replayed {time(letter.replayed_at)}" if letter.replayed_at else ""
        say(f"{letter.id}  {time(letter.at)}  {letter.source}{replayed}")
        say(f"    {letter.reason}")
        more = "..." if len(letter.body) > _SHOWN else ""
        say(f"    {letter.body[:_SHOWN]}{more}")
    waiting = sum(1 for letter in letters if letter.replayed_at is None)
    say(f"{waiting} dead letter(s) waiting.")
    return 0


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


def _replay(context: Context, options: argparse.Namespace) -> int:
    letters = chosen_letters(context, options.ids, everything=options.all)
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
    return 1 if failed else 0


def _discard(context: Context, options: argparse.Namespace) -> int:
    for letter in chosen_letters(context, options.ids):
        discard(context, letter)
        say(f"{letter.id}  discarded; nothing will come of it")
    return 0


def _retry(context: Context, options: argparse.Namespace) -> int:
    task = find_task(context, options.task).id
    push = retry(context, task)
    say(f"{task.registry.name}/{task.name} is rebuilt if it still is to be, for {push.key}")
    return 0
