"""The graph around one image or one task: what it stands on, and what stands on it."""

from __future__ import annotations

from collections.abc import Iterator

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import InvalidReference, NotFound
from rebuilder.usecases.context import Context
from rebuilder.usecases.views._values import Value
from rebuilder.usecases.views.bases import Tags
from rebuilder.usecases.views.tasks import row_of, task_of

DEEPEST = 12
"""How far from its middle a graph goes at most, in images and tasks."""

MOST = 300
"""How many images and tasks it holds at most."""


class Node(Value, frozen=True):
    """An image or a task.

    Attributes:
        id: Names it: `image:REFERENCE` or `task:REGISTRY/TASK`.
        kind: `image` or `task`.
        label: Its name.
        standing: How a task is; of an image "".
        digest: What the image's tag names now; None if nobody has told.
    """

    id: str
    kind: str
    label: str
    standing: str = ""
    digest: str | None = None


class Edge(Value, frozen=True):
    """A task reads an image, or makes one.

    Attributes:
        source: Where it begins.
        target: Where it ends.
        kind: What the image is used for, or `makes`.
    """

    source: str
    target: str
    kind: str


class Around(Value, frozen=True):
    """A part of the graph.

    Attributes:
        focus: The node in its middle.
        nodes: What is around it, the nearest first.
        edges: How that hangs together.
        cut: Whether there is more within the depth than is told.
    """

    focus: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    cut: bool


def around(context: Context, focus: str, depth: int) -> Around:
    """Return what is around an image or a task.

    Args:
        context: The ports.
        focus: An image, or REGISTRY/TASK.
        depth: How many steps away at most; one is from an image to a task, or back.

    Raises:
        NotFound: Nothing is known of it.
        TransientError: The store cannot be reached.
    """
    walk = _Walk(context)
    first = walk.begin(focus)
    return walk.go(first, max(0, min(depth, DEEPEST)))


class _Walk:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._tags = Tags(context)
        self._tasks: dict[str, IndexedTask] = {}
        self._nodes: dict[str, Node] = {}
        self._edges: dict[Edge, None] = {}
        self._heads: dict[TaskId, Rebuild | None] = {}
        self._cut = False

    def begin(self, focus: str) -> str:
        """Return the node that a person means."""
        try:
            task = task_of(self._context, focus)
        except NotFound:
            task = None
        indexed = None if task is None else self._context.index.view(task)
        if indexed is not None:
            return self._task(indexed) or ""
        try:
            reference = ImageReference.parse(focus)
        except InvalidReference as error:
            raise NotFound(str(error)) from error
        return self._image(str(reference)) or ""

    def go(self, first: str, depth: int) -> Around:
        """Walk both ways: up to what the middle stands on, and down to what stands on it."""
        for up in (True, False):
            level = [first]
            seen = {first}
            for _ in range(depth):
                following = []
                for node in level:
                    steps = dict.fromkeys(self._above(node) if up else self._below(node))
                    following += [n for n in steps if n not in seen]
                    seen.update(steps)
                level = following
        return Around(first, tuple(self._nodes.values()), tuple(self._edges), self._cut)

    def _above(self, node: str) -> Iterator[str]:
        if node in self._tasks:
            for dependency in self._tasks[node].view.dependencies:
                if dependency.kind is not Kind.UNUSED:
                    image = self._image(str(dependency.reference))
                    yield from self._edge(image, node, dependency.kind.value)
        else:
            maker = self._maker(node)
            if maker is not None:
                yield from self._edge(self._task(maker), node, "makes")

    def _below(self, node: str) -> Iterator[str]:
        if node in self._tasks:
            for output in self._outputs(self._tasks[node].view.task):
                yield from self._edge(node, self._image(output), "makes")
            return
        image = self._nodes[node].label
        readers = [
            (indexed, kinds)
            for indexed in self._context.index.dependents(ImageReference.parse(image).repository)
            if (kinds := _kinds(indexed, image))
        ]
        self._look_up([indexed.view.task for indexed, _ in readers])
        for indexed, kinds in readers:
            for kind in kinds:
                yield from self._edge(node, self._task(indexed), kind)

    def _edge(self, source: str | None, target: str | None, kind: str) -> Iterator[str]:
        """Note an edge, and yield its ends; whoever walks knows which of them is new."""
        if source is not None and target is not None:
            self._edges[Edge(source, target, kind)] = None
            yield source
            yield target

    def _maker(self, node: str) -> IndexedTask | None:
        """Return the task whose rebuild pushed what an image's tag names now."""
        reference = ImageReference.parse(self._nodes[node].label)
        newest = self._tags.newest(reference)
        if newest is None:
            return None
        made = self._context.ledger.producer(str(reference.at(newest.push.digest)))
        return None if made is None else self._context.index.view(made.task)

    def _outputs(self, task: TaskId) -> list[str]:
        """Return the tags that a task's newest good run pushed; its own tag only if it has none."""
        head = self._head(task)
        good = head is not None and head.state is State.SUCCEEDED
        success = head if good else self._context.ledger.newest_success(task)
        if success is None:
            return []
        tags = list(dict.fromkeys(i.partition("@")[0] for i in success.output_images))
        return [tag for tag in tags if not tag.endswith(f":{success.run_id}")] or tags

    def _image(self, image: str) -> str | None:
        try:
            reference = ImageReference.parse(image)
        except InvalidReference:
            return None
        name = f"image:{reference}"
        if not self._room(name):
            return None
        if name not in self._nodes:
            newest = self._tags.newest(reference)
            digest = reference.digest or (None if newest is None else newest.push.digest)
            self._nodes[name] = Node(name, "image", str(reference), digest=digest)
        return name

    def _task(self, indexed: IndexedTask) -> str | None:
        name = f"task:{indexed.view.task.short}"
        if not self._room(name):
            return None
        if name not in self._nodes:
            row = row_of(indexed, self._head(indexed.view.task), self._tags)
            self._nodes[name] = Node(name, "task", row.task.name, row.standing.value)
            self._tasks[name] = indexed
        return name

    def _look_up(self, tasks: list[TaskId]) -> None:
        """Look up the newest rebuilds of tasks at once, of as many as there is room for."""
        room = max(0, MOST - len(self._nodes))
        wanted = [task for task in tasks if task not in self._heads][:room]
        if wanted:
            found = self._context.ledger.heads(wanted)
            self._heads |= {task: found.get(task) for task in wanted}

    def _head(self, task: TaskId) -> Rebuild | None:
        if task not in self._heads:
            self._heads[task] = self._context.ledger.head(task)
        return self._heads[task]

    def _room(self, name: str) -> bool:
        if name in self._nodes or len(self._nodes) < MOST:
            return True
        self._cut = True
        return False


def _kinds(indexed: IndexedTask, image: str) -> list[str]:
    """Return how a task reads an image; nothing if it does not."""
    kinds = (
        d.kind.value
        for d in indexed.view.dependencies
        if str(d.reference) == image and d.kind is not Kind.UNUSED
    )
    return list(dict.fromkeys(kinds))
