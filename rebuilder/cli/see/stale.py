"""`rebuilder stale`: what stands on an old base, since when and why, and what can be promised."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import click

from rebuilder.cli._command import Command, as_json, with_context
from rebuilder.cli._format import time
from rebuilder.cli._progress import working
from rebuilder.cli._table import table
from rebuilder.cli._terminal import say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.core.shown import shown
from rebuilder.core.staleness.figures import (
    Figures,
    Judged,
    judged,
)
from rebuilder.core.staleness.spells import Spell
from rebuilder.usecases.context import Context
from rebuilder.usecases.staleness.report import (
    Staleness,
    Summary,
    spell_record,
    staleness,
    summary,
    to_record,
)

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_MOST_DAYS = 3650
_BEHIND = ("TASK", "BASE", "SINCE", "FOR", "COUNTS AS", "WHY")
_COLUMNS = ("SPELLS", "P50", "P95", "SHARE", *(j.value.upper() for j in Judged), "UNCHECKED")
_CSV = (
    *("task", "base", "digest", "policy", "since", "until", "hours", "held_hours"),
    *("counts_as", "why", "run", "sentence"),
)


def _objective(_context: click.Context, _option: click.Parameter, text: str) -> timedelta | None:
    if not text:
        return None
    if text[-1] in _UNITS and text[:-1].isdecimal() and 0 < int(text[:-1]) <= _MOST_DAYS:
        return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
    raise click.BadParameter(f"{text!r} is no time: write 90m, 4h or 2d")


def _days(_context: click.Context, _option: click.Parameter, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_DAYS:
        raise click.BadParameter(f"{text!r} is not a number from 1 to {_MOST_DAYS}")
    return int(text)


@click.command(
    cls=Command,
    help="Tell which tasks stand on an old base, since when and why; and of the last days how"
    " quickly they caught up. Time counts from when a digest came to its registry to the end of the"
    " run whose image stands on it. What operators held is told apart from what was late; what"
    " nobody recorded is unknown, and counted apart.",
    either=("as_json", "as_csv"),
)
@click.option(
    "--objective",
    metavar="TIME",
    default="",
    callback=_objective,
    help="How soon an image is to stand on a new base: 90m, 4h, 2d (what the policy file says, or"
    " 4h).",
)
@click.option("--days", metavar="N", default="7", callback=_days, help="How many days back (7).")
@as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a row for each spell.")
@with_context
def stale(
    context: Context, *, objective: timedelta | None, days: int, as_json: bool, as_csv: bool
) -> int:
    """Tell of staleness."""
    with working("Comparing"):
        if as_json or as_csv:
            every = staleness(context, days=days, objective=objective)
        else:
            found = summary(context, days=days, objective=objective)
    if as_json:
        say_json(to_record(every))
    elif as_csv:
        say_all(_csv(every))
    else:
        say_all(_lines(found))
    return Exit.OK


def _lines(found: Summary) -> Iterator[str]:
    behind = found.behind
    if behind:
        yield "Behind now:"
        yield from table(_BEHIND, [_row(found, spell) for spell in behind])
    else:
        yield "Nothing is known to stand on an old base."
    for task, base, reason in found.unknown:
        yield f"unknown: {task.short} on {base}: {reason}"
    yield ""
    kept = f" Summed up at {time(found.now)}." if found.kept else ""
    yield f"Since {time(found.since)}; the objective is {_span(found.objective)}.{kept}"
    for name, groups in found.by.items():
        if groups:
            yield ""
            rows = [(group, *_cells(counted)) for group, counted in groups.items()]
            if name == "day":
                rows.append(("all", *_cells(found.all)))
            yield from table((name.upper(), *_COLUMNS), rows)


def _row(found: Summary, spell: Spell) -> tuple[str, ...]:
    return (
        spell.name,
        spell.base,
        time(spell.since) or "unknown",
        _span(spell.length(found.now)) or "unknown",
        judged(spell, found.objective, found.now).value,
        f"{spell.why}: {spell.sentence}",
    )


def _cells(counted: Figures) -> tuple[str, ...]:
    share = "" if counted.share is None else f"{counted.share:.1%}"
    numbers = (str(number) for number in counted.counts.values())
    times = (_span(counted.p50), _span(counted.p95))
    return (str(counted.spells), *times, share, *numbers, str(counted.unchecked))


def _span(span: timedelta | None) -> str:
    if span is None:
        return ""
    hours, rest = divmod(int(span.total_seconds()), 3600)
    return f"{hours}h{rest // 60:02}m"


def _csv(found: Staleness) -> Iterator[str]:
    yield ",".join(_CSV)
    for spell in found.spells:
        record = spell_record(found, spell)
        yield ",".join(
            map(
                _cell,
                (
                    *(record[name] for name in ("task", "base", "digest", "policy", "since")),
                    *(record[name] for name in ("until", "hours", "heldHours", "countsAs")),
                    *(record[name] for name in ("why", "runId", "sentence")),
                ),
            )
        )


def _cell(value: object) -> str:
    """Return a cell; what a spreadsheet would take for a formula is none."""
    text = "" if value is None else shown(str(value), 500)
    text = f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if any(c in text for c in ',"') else text
