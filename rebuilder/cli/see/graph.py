"""`rebuilder graph`: the dependency graph of images and tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import click

from rebuilder.cli._chosen import chosen_registries
from rebuilder.cli._command import Command, one_registry, with_context
from rebuilder.cli._progress import working
from rebuilder.cli._terminal import say, say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.core.dependencies.graph import Graph, as_dot, as_mermaid, as_record, as_text
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.graph import draw_graph

_TEXT = "text"
_FORMATS: Mapping[str, Callable[[Graph], list[str]]] = {
    _TEXT: as_text,
    "dot": as_dot,
    "mermaid": as_mermaid,
}
_JSON = "json"


@click.command(cls=Command, help="Draw the dependency graph of images and tasks.")
@one_registry
@click.option(
    "--format",
    "form",
    type=click.Choice([*_FORMATS, _JSON]),
    default=_TEXT,
    help="How to draw it (text).",
)
@with_context
def graph(context: Context, *, registry: str, form: str) -> int:
    """Draw the graph."""
    registries = chosen_registries(context, registry)
    with working("Reading the tasks"):
        drawn = draw_graph(context, registries)
    if form == _JSON:
        say_json(as_record(drawn))
    elif form == _TEXT and not drawn.images:
        say(_no_image(drawn))
    else:
        say_all(_FORMATS[form](drawn))
    return Exit.OK


def _no_image(drawn: Graph) -> str:
    if not drawn.tasks:
        return "No task: the registries hold none, or only ACR's own, which have no step."
    return f"Of none of {len(drawn.tasks)} task(s) an image is known; `rebuilder gaps` tells why."
