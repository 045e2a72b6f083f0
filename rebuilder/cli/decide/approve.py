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
_tasks = click.argument("tasks", nargs=-1, metavar="[TASK...]")
_base = click.option(
    "--base",
    metavar="PATTERN",
    default="",
    help="Whatever is to be built on an image that fits, as HOST/REPOSITORY:TAG.",
)
_because = click.option(
    "--because", metavar="TEXT", required=True, help="Why, for everybody to see."
)


@click.command(
    cls=Command,
    help="Approve what waits for it, on the digests that it is to be built on now; a newer digest"
    " asks again. TASK is NAME or REGISTRY/NAME, with * and ? for many at once.",
    codes=_CODES,
    either=("tasks", "base"),
    needed=True,
)
@_tasks
@_base
@_because
@with_context
def approve(context: Context, tasks: tuple[str, ...], *, base: str, because: str) -> int:
    """Approve rebuilds."""
    return _vote(context, What.APPROVE, _targets(tasks, base), because)


@click.command(
    cls=Command,
    help="Reject what waits for approval: it is left for these digests; a newer one is asked about"
    " anew. TASK is NAME or REGISTRY/NAME, with * and ? for many at once.",
    codes=_CODES,
    either=("tasks", "base"),
    needed=True,
)
@_tasks
@_base
@_because
@with_context
def reject(context: Context, tasks: tuple[str, ...], *, base: str, because: str) -> int:
    """Reject rebuilds."""
    return _vote(context, What.REJECT, _targets(tasks, base), because)


def _targets(tasks: tuple[str, ...], base: str) -> list[Target]:
    return [Target(Scope.BASE, base)] if base else tasks_meant(tasks)


def _vote(context: Context, what: What, targets: list[Target], because: str) -> int:
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
