"""The layers of a wave: which task comes after which, and how a cycle is rebuilt once.

Anything may stand on anything, so a cycle has to have a beginning: the first, by name, of its
tasks that the push reaches from outside. What leads back to it is left out, and the others follow
as if there were no cycle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.decisions.policy import Policy, RebuildFor
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.core.dependencies.index import moving, pushed

_NO_POLICY = Policy()


class Member(Struct, frozen=True):
    """A task as far as a wave goes.

    Attributes:
        task: The task.
        reads: The tags that it is rebuilt for when they move.
        pushes: The tags that it pushes, as far as their names are known before a run.
    """

    task: TaskId
    reads: frozenset[ImageReference] = frozenset()
    pushes: frozenset[ImageReference] = frozenset()

    @classmethod
    def of(cls, view: TaskView, policy: Policy = _NO_POLICY) -> Member:
        """Return what a view of a task tells.

        Args:
            view: What is known of the task.
            policy: For which of its images it is rebuilt.
        """
        runtime = policy.rebuild_for is RebuildFor.RUNTIME
        reads = (
            dependency.reference
            for dependency in moving(view, policy)
            if not runtime or dependency.kind in (Kind.RUNTIME, Kind.TOOL)
        )
        return cls(view.task, frozenset(reads), frozenset(pushed(view)))


class Layers(Struct, frozen=True):
    """The order in which a wave goes through its tasks.

    Attributes:
        layers: The tasks; each comes after all of its upstream tasks.
        upstream: The tasks that each one comes after directly.
        cycles: The cycles among them, each in the order in which it is gone through.
    """

    layers: tuple[tuple[TaskId, ...], ...]
    upstream: Mapping[TaskId, tuple[TaskId, ...]]
    cycles: tuple[tuple[TaskId, ...], ...]

    def precedes(self, one: TaskId, other: TaskId) -> bool:
        """Tell whether two tasks are in one cycle and one comes before the other in it."""
        for cycle in self.cycles:
            if one in cycle and other in cycle:
                return cycle.index(one) < cycle.index(other)
        return False


def layers_of(members: Iterable[Member], roots: Collection[ImageReference]) -> Layers:
    """Put tasks into layers.

    Args:
        members: The tasks.
        roots: The tags with whose push the wave begins.
    """
    known = {member.task: member for member in sorted(members, key=lambda member: member.task)}
    makers: dict[ImageReference, list[TaskId]] = {}
    for member in known.values():
        for image in member.pushes:
            makers.setdefault(image, []).append(member.task)
    above = {
        task: {maker for image in member.reads for maker in makers.get(image, ()) if maker != task}
        for task, member in known.items()
    }
    direct = {task for task, member in known.items() if not member.reads.isdisjoint(roots)}
    cycles: list[tuple[TaskId, ...]] = []
    order: list[TaskId] = []
    for part in _parts(above):
        if len(part) > 1:
            cycle = _unrolled(part, above, direct)
            cycles.append(cycle)
            order += cycle
        else:
            order += part
    # Each part comes after those that it stands on, so what is upstream is in place already.
    depth: dict[TaskId, int] = {}
    upstream: dict[TaskId, tuple[TaskId, ...]] = {}
    for task in order:
        before = tuple(sorted(above[task] & depth.keys()))
        upstream[task] = before
        depth[task] = 1 + max((depth[other] for other in before), default=-1)
    found: list[list[TaskId]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for task, at in depth.items():
        found[at].append(task)
    return Layers(tuple(tuple(sorted(layer)) for layer in found), upstream, tuple(cycles))


def _unrolled(
    part: Sequence[TaskId], above: Mapping[TaskId, set[TaskId]], direct: set[TaskId]
) -> tuple[TaskId, ...]:
    """Return the tasks of a cycle in the order in which it is gone through.

    Without what leads back to its first task there are cycles left at most that are smaller.
    """
    found: list[TaskId] = []
    ahead = [list(part)]
    while ahead:
        some = ahead.pop()
        inside = set(some)
        entered = [task for task in some if task in direct]
        entered = entered or [task for task in some if above[task] - inside] or some
        first = min(entered)
        found.append(first)
        rest = sorted(inside - {first})
        ahead += [*_parts({task: above[task].intersection(rest) for task in rest})][::-1]
    return tuple(found)


def _parts(above: Mapping[TaskId, set[TaskId]]) -> Iterator[list[TaskId]]:
    """Yield the cycles of a graph, and what is in none by itself; each after what it stands on.

    Tarjan's algorithm, without recursion: a chain of images may be longer than Python's stack.
    """
    number: dict[TaskId, int] = {}
    lowest: dict[TaskId, int] = {}
    path: list[TaskId] = []
    on_path: set[TaskId] = set()
    for root in above:
        if root in number:
            continue
        number[root] = lowest[root] = len(number)
        path.append(root)
        on_path.add(root)
        work = [(root, iter(sorted(above[root])))]
        while work:
            task, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    parent = work[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[task])
                if lowest[task] == number[task]:
                    part = path[path.index(task) :] if path[-1] != task else [task]
                    del path[len(path) - len(part) :]
                    on_path.difference_update(part)
                    yield part
            elif following not in number:
                number[following] = lowest[following] = len(number)
                path.append(following)
                on_path.add(following)
                work.append((following, iter(sorted(above[following]))))
            elif following in on_path:
                lowest[task] = min(lowest[task], number[following])
