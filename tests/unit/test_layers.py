"""The layers of a wave, by tables of who reads and pushes what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Dependency, Kind, Makes, Output
from rebuilder.core.decisions.policy import Policy, RebuildFor
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.core.dependencies.index import repositories
from rebuilder.core.waves.layers import Layers, Member, layers_of

APPS = RegistryId("s", "g", "apps")


def image(name: str) -> ImageReference:
    """Return what a task of this name pushes."""
    return ImageReference.parse(f"apps.azurecr.io/{name}:1")


ROOT = image("root")


def layers(**reads: str) -> Layers:
    """Put tasks into layers that each push an image of their own name."""
    members = [
        Member(TaskId(APPS, task), frozenset(map(image, of.split())), frozenset({image(task)}))
        for task, of in reads.items()
    ]
    return layers_of(members, {ROOT})


def named(found: Layers) -> list[str]:
    """Return the layers as text."""
    return [" ".join(task.name for task in layer) for layer in found.layers]


def test_each_comes_after_all_that_it_stands_on() -> None:
    """As late as its last upstream task makes it."""
    found = layers(last="left right root", left="top", right="top", top="root", beside="root")

    assert named(found) == ["beside top", "left right", "last"]
    assert [task.name for task in found.upstream[TaskId(APPS, "last")]] == ["left", "right"]
    assert found.cycles == ()
    assert layers_of([], {ROOT}) == Layers((), {}, ())


def test_a_cycle_begins_where_the_push_reaches_it() -> None:
    """And goes on as if nothing led back to its beginning."""
    found = layers(c="root b", a="c d", b="a", d="c")

    assert named(found) == ["c", "d", "a", "b"]
    assert [[task.name for task in cycle] for cycle in found.cycles] == [["c", "d", "a", "b"]]
    assert found.precedes(TaskId(APPS, "c"), TaskId(APPS, "b"))
    assert not found.precedes(TaskId(APPS, "b"), TaskId(APPS, "c"))
    assert not found.precedes(TaskId(APPS, "b"), TaskId(APPS, "x"))


def test_a_cycle_begins_below_what_is_outside() -> None:
    """Where the push reaches it over others, its own first task by name counts for nothing."""
    assert named(layers(top="root", b="a", a="c", c="b top")) == ["top", "c", "a", "b"]
    assert named(layers(b="a", a="b")) == ["a", "b"]


def test_who_reads_its_own_image_is_in_no_cycle() -> None:
    """It does not wait for itself."""
    assert named(layers(a="root a")) == ["a"]


@given(st.lists(st.sets(st.integers(0, 9)), max_size=10))
def test_every_task_has_one_place(reads: list[set[int]]) -> None:
    """Whatever stands on what: each is in one layer, after what it comes after."""
    found = layers(
        **{
            f"t{one}": " ".join(f"t{other}" for other in of if other < len(reads))
            for one, of in enumerate(reads)
        }
    )
    depth = {task: number for number, layer in enumerate(found.layers) for task in layer}

    assert len(depth) == sum(map(len, found.layers)) == len(reads)
    for task, above in found.upstream.items():
        assert all(depth[other] < depth[task] for other in above)


def test_what_a_view_tells_of_a_task() -> None:
    """What it is rebuilt for, and the names of what it pushes that others can read."""
    dependencies = (
        Dependency(image("a"), Kind.RUNTIME, None),
        Dependency(image("b"), Kind.BUILD_TIME, None),
        Dependency(image("c"), Kind.TOOL, None),
        Dependency(image("d").at("sha256:" + "a" * 64), Kind.RUNTIME, None),
    )
    pushes = (
        "apps.azurecr.io/x:1",
        "apps.azurecr.io/y:{{.Run.ID}}",
        "apps.azurecr.io/z:2@sha256:" + "b" * 64,
    )
    view = TaskView(TaskId(APPS, "t"), (), dependencies, (), Output(Makes.IMAGE, pushes))

    assert Member.of(view).reads == {image("a"), image("b")}
    assert Member.of(view, Policy(RebuildFor.RUNTIME)).reads == {image("a")}
    assert {str(name) for name in Member.of(view).pushes} == {
        "apps.azurecr.io/x:1",
        "apps.azurecr.io/z:2",
    }
    assert "pushes apps.azurecr.io/x" in repositories(view)
