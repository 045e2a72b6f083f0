"""Images and tasks as a graph, in every form; nothing that stands on itself stops it."""

from __future__ import annotations

import json

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Dependency, Kind
from rebuilder.core.dependencies.graph import (
    BuiltTask,
    Graph,
    as_dot,
    as_mermaid,
    as_record,
    as_text,
    graph_of,
)
from tests.unit.fakes import APPS, BASE, OTHERS, dependency

NODE = "mybase.azurecr.io/images/node:9"
HUB = "docker.io/library/node:9"
APP = "myapps.azurecr.io/app:{{.Run.ID}}"


def built(
    registry: RegistryId, name: str, *outputs: str, reads: tuple[Dependency, ...] = ()
) -> BuiltTask:
    """Return a task of the graph."""
    return BuiltTask(TaskId(registry, name), f"{registry.name}.azurecr.io", reads, outputs)


def chain() -> Graph:
    """Return a base that is built itself, and two tasks on it."""
    return graph_of(
        [
            built(
                OTHERS,
                "web",
                reads=(
                    dependency(NODE),
                    dependency(NODE, kind=Kind.BUILD_TIME),
                    dependency("docker.io/docker/dockerfile:1", kind=Kind.FRONTEND),
                ),
            ),
            built(APPS, "app", "app:{{.Run.ID}}", reads=(dependency(NODE),)),
            built(BASE, "base", "images/node:9", "images/node:9", reads=(dependency(HUB),)),
        ]
    )


def test_tasks_are_joined_by_images() -> None:
    """What one task builds and another reads is one image, under its whole name."""
    graph = chain()

    assert graph.images == ("docker.io/docker/dockerfile:1", HUB, APP, NODE)
    assert [task.name for task in graph.tasks] == ["app", "base", "web"]
    assert [(b.task.name, b.image) for b in graph.builds] == [("app", APP), ("base", NODE)]


def test_the_text_is_a_tree() -> None:
    """It begins with what nobody builds; what stands twice is followed once."""
    assert as_text(chain()) == [
        "docker.io/docker/dockerfile:1",
        "└─ theirapps/web (frontend)",
        "docker.io/library/node:9",
        "└─ mybase/base (runtime)",
        "   └─ mybase.azurecr.io/images/node:9",
        "      ├─ myapps/app (runtime)",
        "      │  └─ myapps.azurecr.io/app:{{.Run.ID}}",
        "      └─ theirapps/web (runtime, build-time)",
    ]


def test_what_was_shown_before_is_not_shown_again() -> None:
    """A task with images of its own on two bases is followed under the first one."""
    both = built(APPS, "app", "docker.io/team/app:1", reads=(dependency(NODE), dependency(HUB)))

    assert as_text(graph_of([both])) == [
        HUB,
        "└─ myapps/app (runtime)",
        "   └─ docker.io/team/app:1",
        NODE,
        "└─ myapps/app (runtime) (see above)",
    ]


def test_a_cycle_is_cut_where_it_closes() -> None:
    """Two tasks that read each other's images, and one that reads its own, end."""
    one = built(APPS, "one", "one:1", reads=(dependency("myapps.azurecr.io/two:1"),))
    two = built(APPS, "two", "two:1", reads=(dependency("myapps.azurecr.io/one:1"),))
    self = built(APPS, "zelf", "zelf:1", reads=(dependency("myapps.azurecr.io/zelf:1"),))

    assert as_text(graph_of([one, two, self])) == [
        "myapps.azurecr.io/one:1",
        "└─ myapps/two (runtime)",
        "   └─ myapps.azurecr.io/two:1",
        "      └─ myapps/one (runtime)",
        "         └─ myapps.azurecr.io/one:1 (a cycle)",
        "myapps.azurecr.io/zelf:1",
        "└─ myapps/zelf (runtime)",
        "   └─ myapps.azurecr.io/zelf:1 (a cycle)",
    ]


def test_tasks_without_a_base_are_listed_apart() -> None:
    """What is built from scratch, or on what is not known, stands at the end."""
    graph = graph_of([built(APPS, "alone", "a:1"), built(APPS, "bare")])

    assert as_text(graph) == [
        "Tasks of which no base image is known:",
        "myapps/alone",
        "└─ myapps.azurecr.io/a:1",
        "myapps/bare",
    ]
    assert as_text(graph_of([])) == []


def test_a_long_chain_is_walked() -> None:
    """Thousands of images on each other are no matter of Python's stack."""
    tasks = [
        built(
            APPS,
            f"task{number:04}",
            f"image{number + 1:04}:1",
            reads=(dependency(f"myapps.azurecr.io/image{number:04}:1"),),
        )
        for number in range(2000)
    ]

    assert len(as_text(graph_of(tasks))) == 4001


def test_the_graph_as_json() -> None:
    """Ids, kinds, and the source of the knowledge."""
    record = json.loads(json.dumps(as_record(chain())))

    assert record["images"] == ["docker.io/docker/dockerfile:1", HUB, APP, NODE]
    assert record["tasks"][0] == f"{APPS}/tasks/app"
    assert record["reads"][0] == {
        "task": f"{APPS}/tasks/app",
        "image": NODE,
        "kind": "runtime",
        "knownFrom": "ACR's record",
    }
    assert record["builds"][1] == {"task": f"{BASE}/tasks/base", "image": NODE}


def test_the_graph_for_graphviz() -> None:
    """Nodes have keys of their own, so that no name can break the file."""
    lines = as_dot(graph_of([built(APPS, "app", 'a"b\\c', reads=(dependency(HUB),))]))

    assert lines == [
        "digraph rebuilder {",
        "  rankdir=LR;",
        f'  n0 [shape=box, label="{HUB}"];',
        '  n1 [shape=box, label="myapps.azurecr.io/a\\"b\\\\c"];',
        '  n2 [shape=ellipse, label="myapps/app"];',
        "  n0 -> n2 [style=solid];",
        "  n2 -> n1;",
        "}",
    ]
    assert "  n0 -> n6 [style=dotted];" in as_dot(chain())


def test_the_graph_for_mermaid() -> None:
    """Kinds stand on the arrows; quotes and hashes are escaped."""
    build_time = dependency(HUB, kind=Kind.BUILD_TIME)
    lines = as_mermaid(graph_of([built(APPS, "app", 'a"#', reads=(build_time,))]))

    assert lines == [
        "flowchart LR",
        f'  n0["{HUB}"]',
        '  n1["myapps.azurecr.io/a#quot;#35;"]',
        '  n2(["myapps/app"])',
        "  n0 -. build-time .-> n2",
        "  n2 ==> n1",
    ]
    assert "  n3 --> n4" in as_mermaid(chain())
