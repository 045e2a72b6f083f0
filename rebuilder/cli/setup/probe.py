"""The command `rebuilder probe`: a scratch image is pushed, and what comes of it is seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from time import sleep

import click

from rebuilder.cli._chosen import chosen_base, chosen_registries
from rebuilder.cli._command import Command, with_context
from rebuilder.cli._progress import working
from rebuilder.cli._terminal import Coloured, say, say_all
from rebuilder.cli.exits import Exit
from rebuilder.composition import probe_registries
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.probe.sample import Sample
from rebuilder.errors import RebuilderError
from rebuilder.ports.preflight import ProbeRegistries
from rebuilder.usecases.context import Context
from rebuilder.usecases.probe.patience import Patience
from rebuilder.usecases.probe.sample import make_ready, rebuilt, remove, sample_of
from rebuilder.usecases.probe.scratch import Pushed, look_first, push_scratch, seen, why_not

_MINUTES = 10.0


@click.command(
    cls=Command,
    help="Push a scratch image of a new digest into a base registry, as"
    " acr-rebuilder/scratch:latest, and wait until the app has seen the push: nothing of yours is"
    " built on it. With --sample, a task that is built on it is made, too, if it is not there, and"
    " its rebuild is waited for.",
    codes={
        Exit.OK: "the push was seen, and the sample was rebuilt if it was asked for",
        Exit.FAILED: "it was not, as far as is known",
        Exit.NOT_RUN: "nothing was pushed that could be seen: a right is missing, the sample could"
        " not be made ready, or wrong usage",
    },
    failure=Exit.NOT_RUN,
)
@click.option(
    "--base", metavar="NAME", default="", help="The base registry; needed if there are several."
)
@click.option(
    "--sample",
    metavar="REGISTRY",
    default="",
    help="The task registry that the sample task acr-rebuilder-sample is in, or is made in.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    default=_MINUTES,
    metavar="NUMBER",
    help="How long to wait at most, in all (10).",
)
@click.option(
    "--remove",
    "away",
    is_flag=True,
    help="Instead: delete the scratch image and, with --sample, the task, its roles and its image.",
)
@with_context
def probe(context: Context, *, base: str, sample: str, minutes: float, away: bool) -> int:
    """Push a scratch image, or take away what was pushed."""
    registry = chosen_base(context, base)
    chosen = None
    if sample:
        chosen = sample_of(context, registry, chosen_registries(context, sample)[0])
    with closing(probe_registries(context.settings)) as registries:
        if away:
            gone = [f"deleted {what}" for what in remove(context, registries, registry, chosen)]
            say_all(gone or ["There is nothing to delete."])
            return Exit.OK
        return _probe(context, registries, registry, chosen, minutes)


def _probe(
    context: Context,
    registries: ProbeRegistries,
    base: RegistryId,
    sample: Sample | None,
    minutes: float,
) -> int:
    patience = Patience(context.now, sleep, minutes)
    look_first(context, base)
    if sample is not None:
        steps = make_ready(context, registries, sample, patience)
        while step := _next(steps):
            say(step)
    pushed = push_scratch(context, registries, base)
    say(f"pushed {pushed.image}")
    try:
        return _watched(context, sample, pushed, patience)
    except RebuilderError as error:
        # It was pushed: that nothing is known of it any more is no "nothing was done".
        say(Coloured(f"what came of it is unknown: {error}", "red"))
        return Exit.FAILED


def _next(steps: Iterator[str]) -> str:
    with working("Making the sample ready"):
        return next(steps, "")


def _watched(context: Context, sample: Sample | None, pushed: Pushed, patience: Patience) -> int:
    with working("Waiting until the app has seen the push"):
        seconds = seen(context, pushed, patience)
    if seconds is None:
        say(Coloured(f"not seen: {why_not(context, pushed, patience)}", "red"))
        return Exit.FAILED
    say(Coloured(f"seen by the app {seconds:.1f} s after the push", "green"))
    return Exit.OK if sample is None else _rebuilt(context, sample, pushed, patience)


def _rebuilt(context: Context, sample: Sample, pushed: Pushed, patience: Patience) -> int:
    with working("Waiting for the rebuild of the sample"):
        found = rebuilt(context, sample, pushed, patience)
    run = f"run {found.rebuild.run_id}" if found.rebuild and found.rebuild.run_id else ""
    if found.why_not:
        told = f" ({run})" if run else ""
        say(Coloured(f"{sample.task.short} was not rebuilt: {found.why_not}{told}", "red"))
        return Exit.FAILED
    after = f"{found.seconds:.1f} s after the push"
    say(Coloured(f"{sample.task.short} was rebuilt by {run}, {after}", "green"))
    say_all(f"    {image}" for image in (found.rebuild.output_images if found.rebuild else ()))
    return Exit.OK
