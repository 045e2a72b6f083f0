"""`rebuilder release`: let a digest be built on again that is quarantined."""

from __future__ import annotations

import click

from rebuilder.cli._acts import who
from rebuilder.cli._command import Command, with_context
from rebuilder.cli._terminal import say
from rebuilder.cli.exits import Exit
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.policies.acts import Scope, Target, What
from rebuilder.errors import InvalidReference
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import ask


def _with_digest(_context: click.Context, _argument: click.Parameter, text: str) -> ImageReference:
    try:
        found = ImageReference.parse(text)
    except InvalidReference as error:
        raise click.BadParameter(str(error)) from None
    if found.tag is None or found.digest is None:
        raise click.BadParameter("give its tag and its digest, as `rebuilder holds` shows them")
    return found


@click.command(
    cls=Command,
    help="Let tasks be built on a digest again that is quarantined since a canary failed on it; no"
    " canary has it quarantined again.",
    codes={Exit.OK: "it is asked for", Exit.FAILED: "it is not quarantined, or an error"},
)
@click.argument("image", metavar="IMAGE@DIGEST", callback=_with_digest)
@click.option("--because", metavar="TEXT", required=True, help="Why, for everybody to see.")
@with_context
def release(context: Context, image: ImageReference, *, because: str) -> int:
    """Release a digest."""
    known = [q.image for q in context.in_force.now(context.steering, context.now()).quarantined]
    ask(context, What.RELEASE, Target(Scope.DIGEST, str(image)), who=who(context), because=because)
    if str(image) in known:
        say(f"{image} is to be released; see `rebuilder holds`")
        return Exit.OK
    say(f"{image} is not known to be quarantined; quarantined: {', '.join(known) or 'nothing'}")
    return Exit.FAILED
