"""Draw the dependency graph across registries."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.dependencies.graph import BuiltTask, Graph, graph_of
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.gather import look_at_all

log = logging.getLogger(__name__)


def draw_graph(context: Context, registries: Iterable[RegistryId]) -> Graph:
    """Join the tasks of registries by the images that they read and build.

    Raises:
        TransientError, Denied, NotFound: The tasks of a registry could not be read.
    """
    return graph_of(task for registry in registries for task in _tasks(context, registry))


def _tasks(context: Context, registry: RegistryId) -> Iterator[BuiltTask]:
    host = context.host(registry)
    tasks = [task for task in context.tasks.tasks(registry) if task.has_step]
    for found in look_at_all(context, tasks, thorough=False):
        output = found.view.output
        pushes = () if output is None else output.pushes
        built = BuiltTask(found.task.id, host, found.view.dependencies, pushes)
        drawn = attempt(lambda one: graph_of([one]), built)
        if isinstance(drawn, RebuilderError):
            log.error("task %s is not drawn: %s", found.task.id, drawn)
        else:
            yield built
