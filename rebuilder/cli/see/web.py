"""`rebuilder web`: the operators' page on this machine."""

from __future__ import annotations

import sys
from contextlib import closing

import click

from rebuilder.cli._command import Command, with_context
from rebuilder.cli._terminal import say
from rebuilder.cli.exits import Exit
from rebuilder.composition import operator
from rebuilder.usecases.context import Context
from rebuilder.web.local import LocalServer
from rebuilder.web.principals import Role

_MOST_PORT = 65535
_ROLES = {role.value.lower(): role for role in Role}


@click.command(
    cls=Command,
    help="Show what waits, what runs and why on a page in your browser: of the store that is"
    " configured, with your own rights. It is served on 127.0.0.1 only, to whoever has the address"
    " with its token; Ctrl-C ends it.",
)
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, _MOST_PORT),
    default=0,
    help="The port (any that is free).",
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(tuple(_ROLES)),
    help="What may be done on it; several times for several (all).",
)
@with_context
def web(context: Context, *, port: int, roles: tuple[str, ...]) -> int:
    """Serve the page."""
    may = frozenset(_ROLES[role] for role in roles) or frozenset(Role)
    with closing(LocalServer(context, operator(context.settings), may, port)) as server:
        say(server.address)
        sys.stdout.flush()  # whoever reads it through a pipe waits for it
        server.serve()
    return Exit.OK
