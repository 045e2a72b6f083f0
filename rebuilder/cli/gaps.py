"""`rebuilder gaps`: what ACR's own record of the tasks misses or has wrong."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from rebuilder.cli._chosen import chosen_registries
from rebuilder.cli._terminal import say_all, say_json
from rebuilder.core.gaps.gap import counted, not_compared, to_record
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.gaps import TaskGaps, list_gaps

GAPS_FOUND = 3
"""The exit code if there are gaps; 1 is an error, 2 wrong usage."""


def add_gaps(gaps: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    gaps.description = (
        "Compares ACR's record of each task with what its build reads. The exit code is"
        f" 0 without gaps, {GAPS_FOUND} with gaps, 1 after an error; remarks are no gaps."
    )
    gaps.add_argument(
        "--registry", help="only this one: its name or resource id, as configured", default=""
    )
    gaps.add_argument("--json", action="store_true", help="print JSON")
    gaps.set_defaults(command=_gaps)


def _gaps(context: Context, options: argparse.Namespace) -> int:
    found = [
        task
        for registry in chosen_registries(context, options.registry)
        for task in list_gaps(context, registry)
    ]
    if options.json:
        say_json(
            [
                {"task": str(task.task), "gaps": [to_record(gap) for gap in task.gaps]}
                for task in found
            ]
        )
    else:
        say_all(_gap_lines(found))
    return GAPS_FOUND if any(counted(task.gaps) for task in found) else 0


def _gap_lines(found: list[TaskGaps]) -> Iterator[str]:
    for task in found:
        if task.gaps:
            yield f"{task.task.registry.name}/{task.task.name}"
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
