"""An argument that ARM does not show is not taken for one that the task does not give."""

from __future__ import annotations

from copy import replace
from pathlib import Path

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Argument, Dependency, DockerStep, Kind, Task
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.errors import Denied, TransientError
from rebuilder.usecases.index.gather import gather
from tests.unit.fakes import NODE, OLD, World, task

SOURCE = "https://github.com/contoso/app.git"
BASE = ImageReference.parse(NODE)
FILE = f"""ARG TARGETARCH
ARG BASE={NODE}
FROM $BASE
ARG VERSION=1
RUN echo $VERSION $TARGETARCH
"""


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    """A Dockerfile whose base an argument decides."""
    made = World(tmp_path)
    made.sources.files[SOURCE, "Dockerfile"] = FILE.encode()
    return made


def of(*arguments: Argument, recorded: bool = False) -> Task:
    """Return a task that shows these arguments, and maybe a run's record."""
    known = (Dependency(BASE, Kind.RUNTIME, OLD),) if recorded else ()
    step = DockerStep(SOURCE, "Dockerfile", "", arguments, ("app:1",))
    return replace(task(), step=step, dependencies=known)


def bases(view: TaskView) -> list[str]:
    """Return the images that a task is known to stand on."""
    return [str(dependency.reference) for dependency in view.dependencies]


def problem(view: TaskView) -> str:
    """Return what is not known of the build file."""
    return next(str(entry.problem) for entry in view.evidence if "build file" in entry.source)


def test_a_secret_argument_that_is_not_shown_is_asked_for(world: World) -> None:
    """It decides, and what it says nobody tells."""
    world.tasks.secret_names = frozenset({"BASE", "TOKEN"})
    view = gather(world.context, of())

    assert bases(view) == []
    assert "ARM does not tell the value of the secret argument BASE" in problem(view)


def test_without_a_secret_the_files_own_default_counts(world: World) -> None:
    """ARM was asked, and the task gives none that decides."""
    world.tasks.secret_names = frozenset({"VERSION"})

    assert bases(gather(world.context, of())) == [NODE]
    assert world.tasks.asked_for_secrets == [task().id]


def test_who_may_not_ask_says_what_would_settle_it(world: World) -> None:
    """Unknown is shown as unknown."""
    world.tasks.failures["secrets"] = [Denied("no")]
    view = gather(world.context, of())

    assert bases(view) == []
    assert "whether the task gives BASE as a secret argument is not shown" in problem(view)
    assert "tasks/listDetails/action" in problem(view)


def test_who_gets_no_answer_now_keeps_what_was_known(world: World) -> None:
    """Nothing is made up of an answer that did not come."""
    world.tasks.failures["secrets"] = [TransientError("503")]
    with pytest.raises(TransientError):
        gather(world.context, of())


@pytest.mark.parametrize(
    "shown",
    [
        of(recorded=True),
        of(Argument("BASE", NODE)),
        of(Argument("TOKEN", None), recorded=False),
    ],
    ids=["a run confirms it", "it is shown", "secrets are shown"],
)
def test_nobody_is_asked_where_nothing_can_be_hidden(world: World, shown: Task) -> None:
    """A run of the task confirms it, it is given in the open, or ARM shows that it hides."""
    world.tasks.secret_names = frozenset({"BASE"})

    assert bases(gather(world.context, shown)) == [NODE]
    assert world.tasks.asked_for_secrets == []


def test_a_file_without_arguments_asks_nobody(world: World) -> None:
    """Nor does one whose arguments decide on no image."""
    other = f"FROM {NODE}\nARG VERSION=1\nRUN echo $VERSION\n"
    world.sources.files[SOURCE, "Dockerfile"] = other.encode()

    assert bases(gather(world.context, of())) == [NODE]
    assert world.tasks.asked_for_secrets == []
