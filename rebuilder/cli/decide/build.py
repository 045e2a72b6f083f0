"""`rebuilder build` and `retry`: have tasks built because somebody asks for it."""

from __future__ import annotations

from itertools import batched

import click

from rebuilder.cli._acts import who
from rebuilder.cli._chosen import chosen_tasks
from rebuilder.cli._command import Command, with_context
from rebuilder.cli._terminal import say
from rebuilder.cli.exits import Exit
from rebuilder.core.policies.acts import Scope, Target, What
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import ask
from rebuilder.usecases.steering.by_hand import MOST_TASKS, named

_tasks = click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
_because = click.option("--because", metavar="TEXT", default="", help="Why, for everybody to see.")


@click.command(
    cls=Command,
    help="Build tasks now, though no image moved: once, however often it is delivered, and after"
    " what is under way. It waits for what operators decided, but for no cooldown. TASK is NAME,"
    " REGISTRY/NAME or a resource id; * and ? mean many.",
)
@_tasks
@_because
def build(tasks: tuple[str, ...], *, because: str) -> int:
    """Build tasks."""
    return _ask(What.BUILD, tasks, because, force=False)


@click.command(
    cls=Command,
    help="Rebuild tasks although their rebuild was given up or done; once, however often it is"
    " delivered. TASK is NAME, REGISTRY/NAME or a resource id; * and ? mean many.",
)
@_tasks
@_because
@click.option(
    "--force",
    is_flag=True,
    help="Do not wait for pauses, freezes, windows, cooldowns or approvals; only for limits."
    " --because is needed then.",
)
def retry(tasks: tuple[str, ...], *, because: str, force: bool) -> int:
    """Rebuild tasks again."""
    if force and not because:
        raise click.UsageError("Give --because: why it is not to wait.")
    return _ask(What.RETRY, tasks, because, force=force)


@with_context
def _ask(
    context: Context, what: What, patterns: tuple[str, ...], because: str, *, force: bool
) -> int:
    tasks, name = chosen_tasks(context, patterns), who(context)
    heads = context.ledger.heads(tasks)
    target = Target(Scope.TASK, ", ".join(patterns))
    for some in batched(tasks, MOST_TASKS, strict=False):
        of = tuple(named(t, heads[t].sequence if t in heads else 0) for t in some)
        ask(context, what, target, who=name, because=because, of=of, force=force)
    forced = ", without waiting for what operators decided" if force else ""
    for task in tasks:
        say(f"{task.short} is to be rebuilt{forced}; see `rebuilder history`")
    return Exit.OK
