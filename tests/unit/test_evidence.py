"""What several sources say of a task, joined: pure, without any port."""

from __future__ import annotations

from copy import replace

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Dependency, Kind
from rebuilder.core.dependencies.evidence import (
    Candidate,
    Evidence,
    ImageContent,
    Said,
    Source,
    base_by_annotation,
    base_by_layers,
    join,
    recorded,
    shared_layers,
)
from rebuilder.errors import InvalidReference
from tests.unit.fakes import NEW, NODE, OLD, dependency, task

APP = "myapps.azurecr.io/app:1"
OTHER = "mybase.azurecr.io/images/other:1"


def ref(text: str) -> ImageReference:
    """Return a reference."""
    return ImageReference.parse(text)


def file(*said: tuple[str, Kind, str], problem: str | None = None) -> Evidence:
    """Return what a build file says."""
    images = tuple(Said(ref(image), kind, None, where) for image, kind, where in said)
    return Evidence(Source.BUILD_FILE, images, problem)


def record(*said: tuple[str, Kind, str | None]) -> Evidence:
    """Return what ACR's record says."""
    images = tuple(Said(ref(image), kind, digest) for image, kind, digest in said)
    return Evidence(Source.ACR_RECORD, images)


def output(image: str, digest: str | None) -> Evidence:
    """Return what an output image says."""
    said = Said(ref(image), Kind.RUNTIME, digest, f"{APP}: its first layer")
    return Evidence(Source.OUTPUT_IMAGE, (said,))


def content(digest: str, *layers: str, diff_ids: tuple[str, ...] = ()) -> ImageContent:
    """Return an image's content."""
    return ImageContent(digest, digest, layers=layers, diff_ids=diff_ids)


def test_the_record_is_a_source_of_its_own() -> None:
    """ACR's record says its images with their digests; an empty one has no say."""
    assert recorded(task()) == record((NODE, Kind.RUNTIME, OLD))
    empty = recorded(replace(task(), dependencies=()))
    assert (empty.images, empty.problem) == ((), "ACR has recorded nothing")


def test_scratch_is_no_image() -> None:
    """ACR records `FROM scratch` as an image of Docker Hub; there is none."""
    scratch = dependency("registry.hub.docker.com/library/scratch:latest", None)

    assert recorded(task("app", scratch)) == Evidence(Source.ACR_RECORD, ())


def test_an_image_of_two_sources_stands_once() -> None:
    """The digest is the record's, the place the build file's, and both are named."""
    view = join(
        task().id,
        [
            record((NODE, Kind.RUNTIME, OLD)),
            file((NODE, Kind.RUNTIME, "Dockerfile, line 1: FROM x")),
        ],
    )

    assert view.dependencies == (
        Dependency(
            ref(NODE), Kind.RUNTIME, OLD, "build file Dockerfile, line 1: FROM x; ACR's record"
        ),
    )
    assert view.disagreements == ()
    assert [entry.source for entry in view.evidence] == [Source.ACR_RECORD, Source.BUILD_FILE]


def test_what_one_source_names_alone_is_kept_and_said() -> None:
    """A needless rebuild costs less than a missed one; the disagreement names both."""
    view = join(
        task().id,
        [
            record((NODE, Kind.RUNTIME, OLD)),
            file((OTHER, Kind.BUILD_TIME, "Dockerfile, line 7: COPY --from=x")),
        ],
    )

    assert [(str(d.reference), d.kind, d.built_on, d.known_from) for d in view.dependencies] == [
        (OTHER, Kind.BUILD_TIME, None, "build file Dockerfile, line 7: COPY --from=x"),
        (NODE, Kind.RUNTIME, OLD, "ACR's record"),
    ]
    assert view.disagreements == (
        (
            f"the build file names {OTHER} (build-time; Dockerfile, line 7: COPY --from=x);"
            " ACR's record does not"
        ),
        f"ACR's record names {NODE} (runtime); the build file does not",
    )


@pytest.mark.parametrize(
    "evidence",
    [
        [recorded(replace(task(), dependencies=())), file((NODE, Kind.RUNTIME, "x"))],
        [record((NODE, Kind.RUNTIME, OLD)), file((OTHER, Kind.RUNTIME, "x"), problem="half")],
        [output(NODE, OLD), file((OTHER, Kind.RUNTIME, "x"), problem="half")],
        [output(NODE, OLD)],
        [file((NODE, Kind.RUNTIME, "x"))],
        [],
    ],
)
def test_who_cannot_say_everything_contradicts_nobody(evidence: list[Evidence]) -> None:
    """A source with a problem, or none at all, is no disagreement."""
    assert join(task().id, evidence).disagreements == ()


def test_a_pinned_tag_is_pinned_whatever_the_record_says() -> None:
    """ACR's record cannot tell tag@digest from tag: the build file wins, so nothing is moving."""
    pinned = f"{NODE}@{OLD}"
    view = join(
        task().id, [record((NODE, Kind.RUNTIME, OLD)), file((pinned, Kind.RUNTIME, "line 1"))]
    )

    assert [(str(d.reference), d.built_on) for d in view.dependencies] == [(pinned, OLD)]
    assert view.disagreements == ()


def test_a_pin_that_was_not_used_is_a_disagreement() -> None:
    """The file pins another digest than the record has: the task has not run since."""
    pinned = f"{NODE}@{NEW}"
    view = join(
        task().id, [record((NODE, Kind.RUNTIME, OLD)), file((pinned, Kind.RUNTIME, "line 1"))]
    )

    assert [str(d.reference) for d in view.dependencies] == [pinned]
    assert view.disagreements == (
        f"the build file pins {pinned} (line 1); ACR's record says that {OLD} was used",
    )


def test_a_tag_used_both_pinned_and_moving_keeps_moving() -> None:
    """Where the file names the tag once with a digest and once without, both stand."""
    view = join(
        task().id,
        [
            record((NODE, Kind.RUNTIME, NEW)),
            file((f"{NODE}@{OLD}", Kind.BUILD_TIME, "line 1"), (NODE, Kind.RUNTIME, "line 2")),
        ],
    )

    assert [(str(d.reference), d.kind, d.built_on) for d in view.dependencies] == [
        (f"{NODE}@{OLD}", Kind.BUILD_TIME, None),
        (NODE, Kind.RUNTIME, NEW),
    ]
    assert view.disagreements == ()


def test_the_file_knows_what_an_image_is_used_for() -> None:
    """A kind that the record has wrong is the file's, and said."""
    view = join(
        task().id, [record((NODE, Kind.BUILD_TIME, OLD)), file((NODE, Kind.RUNTIME, "line 1"))]
    )

    assert [(d.kind, d.built_on) for d in view.dependencies] == [(Kind.RUNTIME, OLD)]
    assert view.disagreements == (
        f"{NODE} is build-time in ACR's record, and runtime in the build file (line 1)",
    )


def test_an_image_used_twice_is_recorded_once() -> None:
    """ACR records an image of both kinds as runtime only, which is no contradiction."""
    view = join(
        task().id,
        [
            record((NODE, Kind.RUNTIME, OLD)),
            file((NODE, Kind.BUILD_TIME, "line 1"), (NODE, Kind.RUNTIME, "line 3")),
        ],
    )

    assert [(d.kind, d.built_on) for d in view.dependencies] == [
        (Kind.BUILD_TIME, OLD),
        (Kind.RUNTIME, OLD),
    ]
    assert view.disagreements == ()


def test_the_output_image_confirms_or_contradicts_the_base() -> None:
    """Another base, or another digest of it, is a disagreement with each source that says so."""
    said = [record((NODE, Kind.RUNTIME, OLD)), file((NODE, Kind.RUNTIME, "line 1"))]

    assert join(task().id, [*said, output(NODE, OLD)]).disagreements == ()
    assert join(task().id, [*said, output(NODE, NEW)]).disagreements == (
        (
            f"the output image is built on {NODE} at {NEW} ({APP}: its first layer);"
            f" the record of ACR says {OLD}"
        ),
    )
    assert join(task().id, [*said, output(OTHER, NEW)]).disagreements == (
        (
            f"the output image is built on {OTHER} ({APP}: its first layer);"
            f" the build file names {NODE} as its base"
        ),
        (
            f"the output image is built on {OTHER} ({APP}: its first layer);"
            f" the record of ACR names {NODE} as its base"
        ),
    )
    nothing = join(task().id, [file(), output(NODE, OLD)])
    assert nothing.disagreements[0].endswith("the build file names no image as its base")
    assert [(str(d.reference), d.built_on) for d in nothing.dependencies] == [(NODE, OLD)]


def test_a_pin_and_an_output_are_compared() -> None:
    """The output was built on another digest than the file pins."""
    pinned = file((f"{NODE}@{NEW}", Kind.RUNTIME, "line 1"))

    assert join(task().id, [pinned, output(NODE, OLD)]).disagreements == (
        (
            f"the output image is built on {NODE} at {OLD} ({APP}: its first layer);"
            f" the build file says {NEW}"
        ),
    )


def test_a_base_is_known_by_its_layers() -> None:
    """All of a base's layers come first, as they are or before compression."""
    base = content(OLD, "a", "b", diff_ids=("x", "y"))

    assert shared_layers(content(NEW, "a", "b", "c"), base) == 2
    assert shared_layers(content(NEW, "other", diff_ids=("x", "y", "z")), base) == 2
    assert shared_layers(content(NEW, "a"), base) == 0
    assert shared_layers(content(NEW, "b", "a", "c", diff_ids=("z",)), base) == 0
    assert shared_layers(content(NEW, "a"), content(OLD)) == 0


def test_the_base_with_the_most_layers_is_the_base() -> None:
    """A base of the base shares fewer layers; without any there is no proof."""
    image = content(NEW, "a", "b", "c")
    candidates = [
        Candidate(ref(OTHER), Kind.RUNTIME, content(NEW, "a")),
        Candidate(ref(NODE), Kind.BUILD_TIME, content(OLD, "a", "b")),
    ]
    (said,) = base_by_layers(APP, image, candidates)

    assert said == Said(
        ref(NODE), Kind.RUNTIME, OLD, f"{APP}: its first 2 layers are those of {NODE}@{OLD}"
    )
    (said,) = base_by_layers(APP, image, candidates[:1])
    assert said.where == f"{APP}: its first layer is that of {OTHER}@{NEW}"
    assert base_by_layers(APP, content(NEW, "z"), candidates) == ()
    assert base_by_layers(APP, image, []) == ()


def test_of_equal_images_the_runtime_base_is_meant() -> None:
    """Two names of one image share the same layers; what is known as a base comes first."""
    image, base = content(NEW, "a", "b"), content(OLD, "a")
    one = Candidate(ref(OTHER), Kind.BUILD_TIME, base)
    two = Candidate(ref(NODE), Kind.RUNTIME, base)

    assert [str(s.reference) for s in base_by_layers(APP, image, [one, two, two])] == [NODE]
    assert len(base_by_layers(APP, image, [one, Candidate(ref(NODE), Kind.BUILD_TIME, base)])) == 2


def test_annotations_name_the_base() -> None:
    """The name is the base; its digest becomes that of the index which holds the manifest."""
    image = ImageContent(NEW, NEW, NODE, OLD)
    index = Candidate(ref(NODE), Kind.RUNTIME, ImageContent(NEW, OLD))
    where = f"{APP}: its annotation org.opencontainers.image.base.name"

    assert base_by_annotation(APP, image, []) == (Said(ref(NODE), Kind.RUNTIME, OLD, where),)
    other = Candidate(ref(NODE), Kind.RUNTIME, ImageContent(NEW, NEW))
    assert base_by_annotation(APP, image, [other])[0].built_on == OLD
    assert base_by_annotation(APP, image, [other, index])[0].built_on == NEW
    assert base_by_annotation(APP, ImageContent(NEW, NEW, NODE), [])[0].built_on is None
    for none in ("latest", "sha256:0", "x" * 100_000):
        assert base_by_annotation(APP, ImageContent(NEW, NEW, NODE, none), [])[0].built_on is None
    assert base_by_annotation(APP, ImageContent(NEW, NEW), []) == ()
    with pytest.raises(InvalidReference):
        base_by_annotation(APP, ImageContent(NEW, NEW, "Not An Image"), [])
