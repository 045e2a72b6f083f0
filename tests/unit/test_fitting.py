"""A view of a task that is larger than the index takes is that task's own problem."""

from __future__ import annotations

import json

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, TaskView, join
from rebuilder.core.dependencies.index import LARGEST, fitting, to_record
from rebuilder.usecases.index import refresh_index
from tests.unit.fakes import APPS, NODE, World, dependency, task

TASK = task().id


def said(count: int, name: str = "i") -> tuple[Said, ...]:
    """Return so many images."""
    return tuple(
        Said(
            ImageReference.parse(f"mybase.azurecr.io/{name}{n}:1"), Kind.BUILD_TIME, None, "line 1"
        )
        for n in range(count)
    )


RECORD = Evidence(
    Source.ACR_RECORD, (Said(ImageReference.parse(NODE), Kind.RUNTIME, None, "ACR's record"),)
)


def size(view: TaskView) -> int:
    """Return how many characters a view has."""
    return len(json.dumps(to_record(view), separators=(",", ":")))


def test_a_usual_view_stays_as_it_is() -> None:
    """Three hundred images are not too many."""
    view = join(TASK, [RECORD, Evidence(Source.BUILD_FILE, said(300))])

    assert fitting(view) is view


def test_a_source_that_says_too_much_is_left_out() -> None:
    """It tells so as its problem; what the others say counts."""
    file = Evidence(Source.BUILD_FILE, said(3000), None, "c" * 40)
    view = fitting(join(TASK, [RECORD, file]))

    assert size(view) <= LARGEST
    assert view.evidence[0] == RECORD
    assert view.evidence[1].images == ()
    assert view.evidence[1].revision == "c" * 40
    assert "names 3000 images, which is more than is kept" in str(view.evidence[1].problem)
    assert [str(dependency.reference) for dependency in view.dependencies] == [NODE]


def test_every_source_may_say_too_much() -> None:
    """Whatever they say, the view fits."""
    evidence = [
        Evidence(Source.ACR_RECORD, said(2000)),
        Evidence(Source.BUILD_FILE, said(5), "x" * 200_000, "r" * 200_000),
        Evidence(Source.OUTPUT_IMAGE, (), "y" * 300_000),
    ]
    view = fitting(join(TASK, evidence))

    assert size(view) <= LARGEST
    assert [bool(one.problem) for one in view.evidence] == [True, True, True]


def test_a_large_task_does_not_keep_the_others_from_being_indexed(world: World) -> None:
    """The page is stored; the task's own view says what is left out."""
    for number, images in enumerate((3000, 2, 2)):
        named = [
            dependency(str(one.reference), None, one.kind) for one in said(images, f"t{number}-")
        ]
        world.tasks.add(task(f"t{number}", *named))
    assert refresh_index.scan_registry(world.context, APPS)

    found = {indexed.view.task.name: indexed.view for indexed in world.index.views(APPS)}
    assert [len(found[f"t{n}"].dependencies) for n in range(3)] == [0, 2, 2]
    assert "names 3000 images" in str(found["t0"].evidence[0].problem)
