"""`rebuilder pause` and `resume`: stop the line, and let it go on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import click

from rebuilder.cli._acts import who
from rebuilder.cli._command import Command, with_context
from rebuilder.cli._terminal import say
from rebuilder.cli.exits import Exit
from rebuilder.core.policies.acts import Scope, Target, What
from rebuilder.core.times import day_and_time, utc_time
from rebuilder.errors import Refused
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import ask, paused

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_SCOPES = (Scope.REGISTRY, Scope.TASK, Scope.BASE)


def _targets(command: Callable[..., Any]) -> Callable[..., Any]:
    helps = {
        Scope.REGISTRY: "Only tasks of registries whose name fits.",
        Scope.TASK: "Only tasks that fit, as REGISTRY/TASK.",
        Scope.BASE: "Only what reads an image that fits, as HOST/REPOSITORY:TAG.",
    }
    for scope in reversed(_SCOPES):
        option = click.option(f"--{scope}", metavar="PATTERN", default="", help=helps[scope])
        command = option(command)
    return command


def _until(_context: click.Context, _option: click.Parameter, text: str) -> timedelta | datetime:
    try:
        if text and text[-1] in _UNITS and text[:-1].isdecimal():
            return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        return utc_time(text) if text else timedelta()
    except (ValueError, OverflowError):
        right = "write 2h, 3d or 2026-12-01T08:00Z"
        raise click.BadParameter(f"{text!r} is no time: {right}") from None


def _target(registry: str, task: str, base: str) -> Target:
    given = [(s, p) for s, p in zip(_SCOPES, (registry, task, base), strict=True) if p]
    if len(given) > 1:
        raise click.UsageError("Give one of --registry, --task and --base, or none for all.")
    return Target(*given[0]) if given else Target()


@click.command(
    cls=Command,
    help="Stop the line: nothing that fits is started any more, from half a minute on at the"
    " latest; what runs goes on. What is pushed meanwhile waits, and is built once.",
)
@_targets
@click.option("--because", metavar="TEXT", required=True, help="Why, for everybody to see.")
@click.option("--until", metavar="TIME", default="", callback=_until, help="2h, 3d or a time.")
def pause(*, registry: str, task: str, base: str, because: str, until: timedelta | datetime) -> int:
    """Pause something."""
    return _pause(_target(registry, task, base), because, until)


@with_context
def _pause(context: Context, target: Target, because: str, until: timedelta | datetime) -> int:
    now = context.now()
    end = now + until if isinstance(until, timedelta) else until
    if until and end <= now:
        raise Refused("--until", "it is over already")
    over = end if until else None
    ask(context, What.PAUSE, target, who=who(context), because=because, until=over)
    told = f" until {day_and_time(over)}" if over else ""
    say(f"{target} is to be paused{told}; see `rebuilder holds`")
    return Exit.OK


@click.command(cls=Command, help="Let go on what was paused; name it as it was paused.")
@_targets
@click.option("--because", metavar="TEXT", default="", help="Why, for everybody to see.")
def resume(*, registry: str, task: str, base: str, because: str) -> int:
    """Resume something."""
    return _resume(_target(registry, task, base), because)


@with_context
def _resume(context: Context, target: Target, because: str) -> int:
    known = [str(pause.target) for pause in paused(context)]
    ask(context, What.RESUME, target, who=who(context), because=because)
    if str(target) in known:
        say(f"{target} is to go on")
        return Exit.OK
    say(f"{target} is not known to be paused; paused: {', '.join(known) or 'nothing'}")
    return Exit.FAILED
