"""`rebuilder approve` and `reject`: say yes or no to what waits for it."""

from __future__ import annotations

import click

from rebuilder.cli._acts import ask_about, named, tasks_meant
from rebuilder.cli._command import Command, with_context
from rebuilder.cli._terminal import say
from rebuilder.cli.exits import Exit
from rebuilder.core.policies.acts import Scope, Target, What
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.votes import to_be_approved

_CODES = {Exit.OK: "it is asked for", Exit.FAILED: "nothing that fits waits for it, or an error"}
_TASK = "TASK is NAME or REGISTRY/NAME, with * and ? for many at once."


def _vote(what: What, help_text: str) -> click.Command:
    """Return the command that says yes or no."""

    @click.command(
        what.value,
        cls=Command,
        help=f"{help_text} {_TASK}",
        codes=_CODES,
        either=("tasks", "base"),
        needed=True,
    )
    @click.argument("tasks", nargs=-1, metavar="[TASK...]")
    @click.option(
        "--base",
        metavar="PATTERN",
        default="",
        help="Whatever is to be built on an image that fits, as HOST/REPOSITORY:TAG.",
    )
    @click.option("--because", metavar="TEXT", required=True, help="Why, for everybody to see.")
    @with_context
    def vote(context: Context, tasks: tuple[str, ...], *, base: str, because: str) -> int:
        targets = [Target(Scope.BASE, base)] if base else tasks_meant(tasks)
        return _asked(context, what, targets, because)

    return vote


approve = _vote(
    What.APPROVE,
    "Approve what waits for it, on the digests that it is to be built on now; a newer digest asks"
    " again.",
)
reject = _vote(
    What.REJECT,
    "Reject what waits for approval: it is left for these digests; a newer one has a vote of"
    " its own.",
)


def _asked(context: Context, what: What, targets: list[Target], because: str) -> int:
    found = 0
    for target in targets:
        waiting = to_be_approved(context, [target])
        ask_about(context, what, target, because, waiting)
        for rebuild in waiting:
            say(f"{named(rebuild)}: to be {what}{'d' if what is What.APPROVE else 'ed'}")
        found += len(waiting)
    if not found:
        say("Nothing that fits waits for approval; see `rebuilder holds`.")
    return Exit.OK if found else Exit.FAILED
