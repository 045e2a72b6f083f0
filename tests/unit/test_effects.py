"""What a task makes, and what that means for whether it is started."""

from __future__ import annotations

from copy import replace

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind, Makes, Output, Task
from rebuilder.core.decisions.decide import Base, decide
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.decisions.policy import Policy, Tool
from rebuilder.core.decisions.runs import MakesNoImage, OutputUnknown, ValueNotGiven
from rebuilder.core.decisions.uses import NotAllKnown, OtherImages, OtherTag, ToolOnly, UnusedStage
from rebuilder.core.dependencies.build_files import UnknownImage
from rebuilder.core.dependencies.effects import Effects, output_of, output_seen
from rebuilder.core.dependencies.evidence import Evidence, Source, TaskView, with_earlier
from rebuilder.core.dependencies.index import from_record, moving, to_record, with_view
from tests.unit.fakes import NEW, NODE, dependency, task

BASE = Base(ImageReference.parse(NODE), NEW, "registry")
IMAGE = Output(Makes.IMAGE, ("myapps.azurecr.io/app:1",))
NOTHING = Output(Makes.NOTHING, because="no step of it pushes one")
UNKNOWN = Output(Makes.UNKNOWN, because="line 3: ./x.sh: what it does is not followed")
TOOL = dependency(kind=Kind.TOOL)
TOOL_10 = dependency("mybase.azurecr.io/images/node:10", kind=Kind.TOOL)
OTHER = dependency("docker.io/library/alpine:3")
NAMED = Policy(tools=frozenset({Tool("myapps/build-app", ImageReference.parse(NODE))}))


@pytest.mark.parametrize(
    ("effects", "makes"),
    [
        (Effects(), Makes.NOTHING),
        (Effects(pushes=("a:1",)), Makes.IMAGE),
        (Effects(unknown=(UnknownImage("a", 1, "b", makes=True),)), Makes.UNKNOWN),
        # What only hides a name, or a tool, hides no image that is made.
        (Effects(unknown=(UnknownImage("a", 1, "b"),)), Makes.NOTHING),
        (Effects(unknown=(UnknownImage("a", 1, "b", tool=True),)), Makes.NOTHING),
    ],
)
def test_what_steps_make(effects: Effects, makes: Makes) -> None:
    """An image is what is pushed; what may push one leaves it open."""
    assert output_of(effects).makes is makes


def test_what_runs_were_seen_to_make() -> None:
    """Where the files cannot be read, runs and ACR's record tell; no output proves nothing."""
    pushed = output_seen("x", recorded=False, run="ca1", pushed=("a:1",))
    recorded = output_seen("x", recorded=True, run="ca1", pushed=())
    nothing = output_seen("x", recorded=False, run="ca1", pushed=())

    assert (pushed.makes, pushed.because) == (Makes.IMAGE, "run ca1 pushed it")
    assert (recorded.makes, recorded.because) == (Makes.IMAGE, "ACR has recorded a build of it")
    assert (nothing.makes, nothing.because) == (Makes.UNKNOWN, "x")
    assert not (pushed.read)
    assert not (recorded.read)
    assert not (nothing.read)


@pytest.mark.parametrize(
    ("given", "policy", "decision", "said"),
    [
        (replace(task(), output=IMAGE), Policy(), BaseMoved, "was built on"),
        (replace(task(), output=NOTHING), Policy(), MakesNoImage, "it makes no image"),
        (replace(task(), output=UNKNOWN), Policy(), OutputUnknown, "./x.sh"),
        (replace(task("t", TOOL), output=NOTHING), Policy(), MakesNoImage, "is a tool image"),
        (replace(task("t", TOOL), output=IMAGE), Policy(), ToolOnly, f"myapps/t={NODE}"),
        (replace(task("t", TOOL), output=UNKNOWN), Policy(), ToolOnly, "REBUILDER_TOOLS"),
        # An operator who names task and image asks for it.
        (replace(task("build-app", TOOL), output=NOTHING), NAMED, BaseMoved, "its tool base"),
        (replace(task("build-app", TOOL), output=UNKNOWN), NAMED, BaseMoved, "its tool base"),
        (replace(task("other", TOOL), output=NOTHING), NAMED, MakesNoImage, "makes no image"),
        # Whatever moves, there is nothing to make anew.
        (
            replace(task("t", OTHER), output=NOTHING),
            Policy(),
            MakesNoImage,
            "it makes no image (no step of it pushes one)",
        ),
        (
            replace(task(), dependencies=(), output=NOTHING),
            Policy(),
            MakesNoImage,
            "it makes no image (no step of it pushes one)",
        ),
        (
            replace(task("t", OTHER), output=NOTHING, unread="no token"),
            Policy(),
            NotAllKnown,
            "no token",
        ),
        # It runs for a tool of its own, which is not the one that moved.
        (
            replace(task("build-app", OTHER, TOOL_10), output=NOTHING),
            Policy(tools=frozenset({Tool("myapps/build-app", TOOL_10.reference)})),
            OtherTag,
            "another tag",
        ),
        # A value that nobody gives is needed by every run.
        (
            replace(task(), output=replace(IMAGE, missing=("TAG",))),
            Policy(),
            ValueNotGiven,
            (
                "value TAG is given by no `--set` of the task; runs of it need `az acr task run"
                " --registry myapps --name build-app --set TAG=...`"
            ),
        ),
        (
            replace(task(), output=replace(UNKNOWN, missing=("A", "B"))),
            Policy(),
            ValueNotGiven,
            "values A, B are given by no",
        ),
        (
            replace(task("build-app", TOOL), output=replace(NOTHING, missing=("A",))),
            NAMED,
            ValueNotGiven,
            "A",
        ),
        (
            replace(task(), output=replace(NOTHING, missing=("A",))),
            Policy(),
            MakesNoImage,
            "no image",
        ),
        (
            replace(task("t", dependency(kind=Kind.UNUSED)), output=IMAGE),
            Policy(),
            UnusedStage,
            "only a stage that nothing needs",
        ),
        (
            replace(task("t", dependency(kind=Kind.UNUSED), TOOL), output=IMAGE),
            Policy(),
            ToolOnly,
            "as a tool",
        ),
        (
            replace(task("t", dependency("docker.io/library/alpine:3")), unread="uploaded"),
            Policy(),
            NotAllKnown,
            (
                "known to be built on docker.io/library/alpine:3; whether it reads this image, too,"
                " is not known: uploaded"
            ),
        ),
        (
            replace(task("t", dependency("docker.io/library/alpine:3"))),
            Policy(),
            OtherImages,
            "built on other images",
        ),
        (
            replace(task(), dependencies=(), unread="uploaded"),
            Policy(),
            NotAllKnown,
            "known to be built on no image",
        ),
    ],
)
def test_whether_it_is_started(given: Task, policy: Policy, decision: type, said: str) -> None:
    """A rebuild is for a task that makes an image out of the image that moved."""
    made = decide(given, BASE, policy=policy)

    assert type(made) is decision
    assert said in made.sentence()


@pytest.mark.parametrize(
    ("given", "output", "policy", "moves"),
    [
        (dependency(), IMAGE, Policy(), True),
        (dependency(), None, Policy(), True),
        (dependency(), NOTHING, Policy(), False),
        (dependency(), UNKNOWN, Policy(), False),
        (dependency(), replace(IMAGE, missing=("A",)), Policy(), False),
        (TOOL, IMAGE, Policy(), False),
        (TOOL, NOTHING, NAMED, True),
        (dependency(kind=Kind.UNUSED), IMAGE, Policy(), False),
        (dependency(f"{NODE}@{NEW}", None), IMAGE, Policy(), False),
    ],
)
def test_what_is_looked_after(
    given: object,
    output: Output | None,
    policy: Policy,
    moves: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A sweep and a poll follow the tags that are a reason, and no others."""
    view = TaskView(task().id, (), (given,), (), output)  # type: ignore[arg-type] # a dependency

    assert bool(moving(view, policy)) is moves


def test_it_is_kept_in_the_index() -> None:
    """What a task makes survives the index; a record of version 0.1.0 has none."""
    output = Output(Makes.IMAGE, ("a:1",), "x", ("A",), ("w",), read=False)
    view = TaskView(task().id, (Evidence(Source.BUILD_FILE, (), "p", "r", "m"),), (), (), output)
    record = to_record(view)

    assert from_record(record) == view
    old = {**record, "evidence": [{**record["evidence"][0]}]}
    del old["output"], old["evidence"][0]["remark"]
    assert from_record(old) == TaskView(
        view.task, (Evidence(Source.BUILD_FILE, (), "p", "r"),), (), ()
    )


def test_a_record_that_came_later_tells_that_it_builds() -> None:
    """Files that cannot be read, no run, and then ACR's record: it is known to build by now."""
    unread = Output(Makes.UNKNOWN, because="uploaded", read=False)
    view = TaskView(task().id, (Evidence(Source.BUILD_FILE, (), "uploaded"),), (), (), unread)

    built = with_view(task(), view)
    assert built.output is not None
    assert (built.output.makes, built.unread) == (Makes.IMAGE, "uploaded")
    bare = with_view(replace(task(), dependencies=()), view)
    assert bare.output == unread
    read = replace(view, output=UNKNOWN)
    assert with_view(task(), read).output == UNKNOWN


def test_what_was_known_before_is_kept_while_the_file_cannot_be_read() -> None:
    """A token that has expired must not make a purge task look as if it built something."""
    before = TaskView(task().id, (Evidence(Source.BUILD_FILE, ()),), (), (), NOTHING)
    silent = Evidence(Source.BUILD_FILE, (), "no token")
    now = TaskView(task().id, (silent,), (), (), output_seen("x", recorded=True, run="", pushed=()))

    assert now.output is not None
    assert now.output.makes is Makes.IMAGE
    assert with_earlier(now, before).output == NOTHING
    assert with_earlier(replace(now, output=None), before).output == NOTHING
    assert with_earlier(now, replace(before, output=None)).output == now.output
    known = replace(now, output=IMAGE, evidence=(Evidence(Source.BUILD_FILE, ()),))
    assert with_earlier(known, before).output == IMAGE
