"""`rebuilder report`: what would have been rebuilt, beside what ACR's own trigger did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import click

from rebuilder.cli._command import Command, as_json, with_context
from rebuilder.cli._format import json_time, time
from rebuilder.cli._progress import working
from rebuilder.cli._terminal import say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.observed import Comparison, Observed, compare

_DAYS, _MOST = 7, 90


@click.command(
    cls=Command,
    help="Compare what would have been rebuilt (REBUILDER_MODE=observe) with what ACR's own base"
    " image trigger did: what both did, what only one of them did.",
)
@click.option(
    "--days",
    type=click.IntRange(1, _MOST),
    default=_DAYS,
    show_default=True,
    help="Of so many days till now.",
)
@as_json
@with_context
def report(context: Context, *, days: int, as_json: bool) -> int:
    """Compare with the native trigger."""
    until = context.now()
    with working("Comparing with the runs of ACR's own trigger"):
        found = compare(context, until - timedelta(days=days), until)
    if as_json:
        say_json(
            {
                "since": json_time(found.since),
                "until": json_time(found.until),
                "pushes": found.pushes,
                "alike": list(map(_record, found.alike)),
                "ours": list(map(_record, found.ours)),
                "theirs": list(map(_record, found.theirs)),
                "remarks": list(found.remarks),
            }
        )
    else:
        say_all(_lines(found))
    return Exit.OK


def _record(found: Observed) -> dict[str, Any]:
    return {
        "task": str(found.task),
        "image": found.image,
        "would": json_time(found.would),
        "run": found.run or None,
        "began": json_time(found.began),
        "adopted": found.adopted,
    }


def _lines(found: Comparison) -> Iterator[str]:
    yield f"{found.pushes} push(es) from {time(found.since)} to {time(found.until)}"
    yield from _part("rebuilt by ACR's own trigger, and would have been here", found.alike)
    yield from _part("would have been rebuilt, and ACR's own trigger did not", found.ours)
    yield from _part("rebuilt by ACR's own trigger, and would not have been here", found.theirs)
    for remark in found.remarks:
        yield f"remark: {remark}"


def _part(title: str, found: Sequence[Observed]) -> Iterator[str]:
    yield f"{len(found)} {title}{':' if found else ''}"
    for one in found:
        would = f", here at {time(one.would)}" if one.would else ""
        run = f", run {one.run} at {time(one.began)}" if one.run else ""
        waited = ", which was waited for" if one.adopted else ""
        yield f"  {one.task.short}  {one.image}{would}{run}{waited}"
