"""The dependency graph: images and the tasks that read and build them.

Anything may stand on anything: a task may read what it builds itself, and two tasks each other's
images. Whoever walks the graph must survive that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Dependency, Kind
from rebuilder.errors import InvalidReference


class BuiltTask(Struct, frozen=True):
    """A task with what it reads and builds.

    Attributes:
        id: The task.
        host: The login server of its registry.
        dependencies: What it reads.
        outputs: The names of what it builds, with templates where only a run knows.
    """

    id: TaskId
    host: str
    dependencies: tuple[Dependency, ...]
    outputs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The task for a person: registry and task."""
        return self.id.short

    def images(self) -> tuple[str, ...]:
        """What it builds, under the names by which others read it."""
        return tuple(dict.fromkeys(_output(output, self.host) for output in self.outputs))


class Reads(Struct, frozen=True):
    """A task reads an image."""

    image: str
    task: TaskId
    kind: Kind
    known_from: str


class Builds(Struct, frozen=True):
    """A task builds an image."""

    task: TaskId
    image: str


class Graph(Struct, frozen=True):
    """Images and tasks.

    Attributes:
        tasks: Every task, by its name.
        images: Every image, by its name.
        reads: Which task reads which image.
        builds: Which task builds which image.
    """

    tasks: tuple[TaskId, ...]
    images: tuple[str, ...]
    reads: tuple[Reads, ...]
    builds: tuple[Builds, ...]


def graph_of(tasks: Iterable[BuiltTask]) -> Graph:
    """Join tasks by the images that they read and build."""
    known = sorted(tasks, key=lambda task: (task.name, task.id))
    reads = tuple(
        Reads(str(d.reference), task.id, d.kind, d.known_from)
        for task in known
        for d in task.dependencies
        if d.kind is not Kind.UNUSED
    )
    builds = tuple(Builds(task.id, image) for task in known for image in task.images())
    images = {read.image for read in reads} | {build.image for build in builds}
    return Graph(tuple(task.id for task in known), tuple(sorted(images)), reads, builds)


def _output(name: str, host: str) -> str:
    first, slash, _ = name.partition("/")
    full = name if slash and ("." in first or ":" in first) else f"{host}/{name}"
    try:
        return str(ImageReference.parse(full))
    except InvalidReference:
        # With a template in it, it has no name that another task could read it by.
        return full


def as_record(graph: Graph) -> dict[str, Any]:
    """The graph as JSON values."""
    return {
        "images": list(graph.images),
        "tasks": [str(task) for task in graph.tasks],
        "reads": [
            {
                "task": str(read.task),
                "image": read.image,
                "kind": read.kind.value,
                "knownFrom": read.known_from,
            }
            for read in graph.reads
        ],
        "builds": [{"task": str(build.task), "image": build.image} for build in graph.builds],
    }


_STYLES = {
    Kind.RUNTIME: "style=solid",
    Kind.BUILD_TIME: "style=dashed",
    Kind.FRONTEND: "style=dotted",
    Kind.TOOL: "style=dotted, color=gray",
}


def as_dot(graph: Graph) -> list[str]:
    """The graph in Graphviz's language, line by line."""
    keys = _keys(graph)
    lines = ["digraph rebuilder {", "  rankdir=LR;"]
    lines += [f"  {keys[image]} [shape=box, label={_dot(image)}];" for image in graph.images]
    lines += [f"  {keys[task]} [shape=ellipse, label={_dot(task.short)}];" for task in graph.tasks]
    lines += [
        f"  {keys[read.image]} -> {keys[read.task]} [{_STYLES[read.kind]}];" for read in graph.reads
    ]
    lines += [f"  {keys[build.task]} -> {keys[build.image]};" for build in graph.builds]
    return [*lines, "}"]


def _dot(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def as_mermaid(graph: Graph) -> list[str]:
    """The graph in Mermaid's language, line by line."""
    keys = _keys(graph)
    lines = ["flowchart LR"]
    lines += [f"  {keys[image]}[{_mermaid(image)}]" for image in graph.images]
    lines += [f"  {keys[task]}([{_mermaid(task.short)}])" for task in graph.tasks]
    for read in graph.reads:
        arrow = "-->" if read.kind is Kind.RUNTIME else f"-. {read.kind} .->"
        lines.append(f"  {keys[read.image]} {arrow} {keys[read.task]}")
    lines += [f"  {keys[build.task]} ==> {keys[build.image]}" for build in graph.builds]
    return lines


def _mermaid(text: str) -> str:
    escaped = text.replace("#", "#35;").replace('"', "#quot;")
    return f'"{escaped}"'


def _keys(graph: Graph) -> dict[str | TaskId, str]:
    nodes: list[str | TaskId] = [*graph.images, *graph.tasks]
    return {node: f"n{number}" for number, node in enumerate(nodes)}


class _Node(Struct, frozen=True):
    """A place in the tree: an image or a task, and what is said of it."""

    key: str | TaskId
    remark: str = ""

    def __str__(self) -> str:
        name = self.key if isinstance(self.key, str) else self.key.short
        return f"{name}{self.remark}"


def as_text(graph: Graph) -> list[str]:
    """The graph as trees for a person, line by line.

    Each tree begins with an image that no known task builds. What stands in several places is
    followed in the first one; a cycle is cut where it closes.
    """
    return list(_Trees(graph).lines())


class _Trees:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._below: dict[str | TaskId, list[_Node]] = {}
        kinds: dict[tuple[str, TaskId], list[str]] = {}
        for read in graph.reads:
            kinds.setdefault((read.image, read.task), []).append(read.kind.value)
        for (image, task), found in kinds.items():
            node = _Node(task, f" ({', '.join(dict.fromkeys(found))})")
            self._below.setdefault(image, []).append(node)
        for build in graph.builds:
            self._below.setdefault(build.task, []).append(_Node(build.image))
        self._shown: set[str | TaskId] = set()

    def lines(self) -> Iterator[str]:
        built = {build.image for build in self._graph.builds}
        reading = {read.task for read in self._graph.reads}
        yield from self._trees(image for image in self._graph.images if image not in built)
        alone = [task for task in self._graph.tasks if task not in reading]
        if alone:
            yield "Tasks of which no base image is known:"
            yield from self._trees(alone)
        # What is left stands on itself only.
        yield from self._trees(self._graph.images)

    def _trees(self, roots: Iterable[str | TaskId]) -> Iterator[str]:
        for root in roots:
            if root not in self._shown:
                yield from self._tree(root)

    def _tree(self, root: str | TaskId) -> Iterator[str]:
        """Walk without recursion: a chain of images may be longer than Python's stack."""
        yield str(_Node(root))
        self._shown.add(root)
        path: list[str | TaskId] = [root]
        waiting = [(node, 1, "", last) for node, last in self._children(root)]
        waiting.reverse()
        while waiting:
            node, depth, prefix, last = waiting.pop()
            del path[depth:]
            cycle = node.key in path
            seen = node.key in self._shown
            mark = " (a cycle)" if cycle else " (see above)" if seen and self._has(node) else ""
            yield f"{prefix}{'└─ ' if last else '├─ '}{node}{mark}"
            if cycle or seen:
                continue
            self._shown.add(node.key)
            path.append(node.key)
            inner = prefix + ("   " if last else "│  ")
            below = [(child, depth + 1, inner, end) for child, end in self._children(node.key)]
            waiting += reversed(below)

    def _has(self, node: _Node) -> bool:
        return node.key in self._below

    def _children(self, key: str | TaskId) -> list[tuple[_Node, bool]]:
        below = sorted(self._below.get(key, []), key=str)
        return [(node, number == len(below) - 1) for number, node in enumerate(below)]
