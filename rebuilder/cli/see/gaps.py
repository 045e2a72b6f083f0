"""`rebuilder gaps`: what ACR's own record of the tasks misses or has wrong."""

from __future__ import annotations

from collections.abc import Iterator

import click

from rebuilder.cli._chosen import chosen_registries
from rebuilder.cli._command import Command, as_json, one_registry, with_context
from rebuilder.cli._progress import working
from rebuilder.cli._terminal import say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.core.gaps.gap import counted, not_compared, to_record
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.gaps import TaskGaps, list_gaps


@click.command(
    cls=Command,
    help="Tell what ACR's own record of each task misses or has wrong, beside what its build"
    " reads, and what ACR's trigger would never rebuild.",
    codes={
        Exit.OK: "no gaps; remarks are none",
        Exit.FAILED: "an error",
        Exit.GAPS: "there are gaps",
    },
)
@one_registry
@as_json
@with_context
def gaps(context: Context, *, registry: str, as_json: bool) -> int:
    """List the gaps of every task."""
    registries = chosen_registries(context, registry)
    with working("Comparing each task with what its build reads"):
        found = [task for one in registries for task in list_gaps(context, one)]
    if as_json:
        say_json(
            [
                {"task": str(task.task), "gaps": [to_record(gap) for gap in task.gaps]}
                for task in found
            ]
        )
    else:
        say_all(_gap_lines(found))
    return Exit.GAPS if any(counted(task.gaps) for task in found) else Exit.OK


def _gap_lines(found: list[TaskGaps]) -> Iterator[str]:
    for task in found:
        if task.gaps:
            yield task.task.short
            for gap in task.gaps:
                remark = "" if gap.counts else " (a remark)"
                yield f"  {gap.code}{remark}: {gap.sentence()}"
            yield ""
    number = sum(counted(task.gaps) for task in found)
    of = sum(1 for task in found if counted(task.gaps))
    yield f"{number} gap(s) in {of} of {len(found)} task(s)."
    unread = sum(1 for task in found if not_compared(task.gaps))
    if unread:
        yield f"Of {unread} task(s) not everything could be compared; the remarks tell why."
