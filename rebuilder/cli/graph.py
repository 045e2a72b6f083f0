"""`rebuilder graph`: images and tasks, and who stands on whom."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from rebuilder.cli._chosen import chosen_registries
from rebuilder.cli._terminal import say_all, say_json
from rebuilder.core.dependencies.graph import Graph, as_dot, as_mermaid, as_record, as_text
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.graph import draw_graph

_FORMATS: Mapping[str, Callable[[Graph], list[str]]] = {
    "text": as_text,
    "dot": as_dot,
    "mermaid": as_mermaid,
}
_JSON = "json"


def add_graph(graph: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    graph.add_argument(
        "--registry", help="only this one: its name or resource id, as configured", default=""
    )
    graph.add_argument(
        "--format", choices=[*_FORMATS, _JSON], default="text", help="how to draw it (text)"
    )
    graph.set_defaults(command=_graph)


def _graph(context: Context, options: argparse.Namespace) -> int:
    graph = draw_graph(context, chosen_registries(context, options.registry))
    if options.format == _JSON:
        say_json(as_record(graph))
    else:
        say_all(_FORMATS[options.format](graph))
    return 0
