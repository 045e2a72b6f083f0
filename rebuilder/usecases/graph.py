"""Draw who stands on whom, across registries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rebuilder.core.graph import BuiltTask, Graph, graph_of
from rebuilder.core.registries import RegistryId
from rebuilder.usecases._evidence import look_at_all
from rebuilder.usecases.context import Context


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
        yield BuiltTask(found.task.id, host, found.view.dependencies, pushes)
