"""Every source is asked what a task is built on, and each that says nothing says why."""

from __future__ import annotations

import base64
from copy import replace
from pathlib import Path

import pytest

from rebuilder.core.acr.tasks import (
    Argument,
    DockerStep,
    EncodedStep,
    FileStep,
    Makes,
    RunStatus,
    Task,
    TaskStep,
)
from rebuilder.core.dependencies.effects import output_of
from rebuilder.core.dependencies.evidence import Evidence, ImageContent, Source
from rebuilder.errors import Denied, NotFound, TransientError
from rebuilder.usecases.index.gather import Look, gather, look
from tests.unit.fakes import NEW, NODE, OLD, World, run, task

CONTEXT = "https://github.com/contoso/app.git"
DOCKERFILE = b"FROM mybase.azurecr.io/images/node:9\n"
OUTPUT = f"myapps.azurecr.io/app:1@{NEW}"
ALPINE = "docker.io/library/alpine:3"
DOCKER_STEP = DockerStep(CONTEXT, "Dockerfile", images=("app:1",))


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.sources.files = {(CONTEXT, "Dockerfile"): DOCKERFILE}
    world.tasks.found_runs = {
        "ca1": run("ca1", status=RunStatus.SUCCEEDED, output_images=(OUTPUT,)),
        "ca2": run("ca2", status=RunStatus.FAILED),
    }
    return world


def built(step: TaskStep | None = None, **changes: object) -> Task:
    """Return a task that builds the Dockerfile of the context."""
    return replace(task(), step=step or DOCKER_STEP, **changes)  # type: ignore[arg-type] # checked by replace


def encoded(text: str, values: str = "", *given: Argument, context: str = CONTEXT) -> EncodedStep:
    """Return a step that carries a task file."""
    content, held = (base64.b64encode(t.encode()).decode() for t in (text, values))
    return EncodedStep(context, content, held, given)


def said(found: Look, source: Source) -> Evidence:
    """Return what one source says."""
    return next(entry for entry in found.view.evidence if entry.source is source)


def images(entry: Evidence) -> dict[str, str]:
    """Return the images that a source names, each with its place."""
    return {f"{s.reference} {s.kind}": s.where for s in entry.images}


def test_the_record_and_the_file_are_kept_apart(world: World) -> None:
    """Both name the base; the file with its line, the record with its digest."""
    found = look(world.context, built())

    assert images(said(found, Source.ACR_RECORD)) == {f"{NODE} runtime": ""}
    file = said(found, Source.BUILD_FILE)
    assert images(file) == {f"{NODE} runtime": f"Dockerfile, line 1: FROM {NODE}"}
    assert (file.problem, file.revision) == (None, "c0ffee")
    (dependency,) = found.view.dependencies
    assert (dependency.built_on, dependency.known_from) == (
        OLD,
        f"build file Dockerfile, line 1: FROM {NODE}; ACR's record",
    )


def test_arguments_target_and_platform_are_the_tasks(world: World) -> None:
    """The file is read as the task builds it."""
    world.sources.files[CONTEXT, "Dockerfile"] = (
        b"ARG TAG=1\nFROM alpine:$TAG AS one\nFROM node:$TARGETARCH\n"
    )
    step = DockerStep(CONTEXT, "Dockerfile", "one", (Argument("TAG", "3"),))

    assert images(said(look(world.context, built(step)), Source.BUILD_FILE)) == {
        f"{ALPINE} runtime": "Dockerfile, line 2: FROM alpine:$TAG (TAG=3 from --build-arg)"
    }
    arm = built(DockerStep(CONTEXT, "Dockerfile"), platform="linux/arm64")
    assert list(images(said(look(world.context, arm), Source.BUILD_FILE))) == [
        "docker.io/library/node:arm64 runtime",
        "docker.io/library/alpine:1 unused stage",
    ]


def test_a_secret_argument_is_never_guessed(world: World) -> None:
    """What depends on it is unknown, and what does not is known; no default takes its place."""
    world.sources.files[CONTEXT, "Dockerfile"] = (
        b"ARG S=1\nFROM alpine:$S AS a\nFROM alpine:3\nCOPY --from=a / /\n"
    )
    found = look(
        world.context, built(DockerStep(CONTEXT, "Dockerfile", "", (Argument("S", None),)))
    )
    file = said(found, Source.BUILD_FILE)

    assert list(images(file)) == [f"{ALPINE} runtime"]
    assert file.problem is not None
    assert "ARM does not tell the value of the secret argument S" in file.problem
    assert file.problem.startswith("Dockerfile, line 2: docker.io/library/alpine:$S")
    assert found.problem is None


def test_templates_in_arguments_are_filled_in(world: World) -> None:
    """The registry is known before a run; the id of a run is not."""
    world.sources.files[CONTEXT, "Dockerfile"] = b"ARG I\nFROM $I\n"
    known = (Argument("I", "{{.Run.Registry}}/base:1"),)
    unknown = (Argument("I", "alpine:{{.Run.ID}}"),)
    hidden = (Argument("I", "{{if .Run.Commit}}alpine{{else}}node{{end}}:3"),)

    found = look(world.context, built(DockerStep(CONTEXT, "Dockerfile", "", known)))
    assert list(images(said(found, Source.BUILD_FILE))) == ["myapps.azurecr.io/base:1 runtime"]
    file = said(
        look(world.context, built(DockerStep(CONTEXT, "Dockerfile", "", unknown))),
        Source.BUILD_FILE,
    )
    assert file.images == ()
    assert file.problem is not None
    assert "the id of a run" in file.problem
    file = said(
        look(world.context, built(DockerStep(CONTEXT, "Dockerfile", "", hidden))),
        Source.BUILD_FILE,
    )
    assert file.images == ()
    assert file.problem is not None
    assert "the commit of a run" in file.problem


def test_a_task_file_of_the_context_is_followed(world: World) -> None:
    """Its builds are read with its values; what its commands run is a tool."""
    world.sources.files |= {
        (CONTEXT, "acb.yaml"): (
            b"version: v1.1.0\nsteps:\n"
            b"  - build: -t $Registry/app:1 -f Dockerfile --build-arg T={{.Values.tag}} .\n"
            b"  - push: [$Registry/app:1]\n"
            b"  - cmd: mybase.azurecr.io/tool:1 check\n"
        ),
        (CONTEXT, "values.yaml"): b"tag: '3'\n",
        (CONTEXT, "Dockerfile"): b"ARG T\nFROM alpine:$T\n",
    }
    step = FileStep(CONTEXT, "acb.yaml", "values.yaml", (Argument("other", "x"),))
    found = look(world.context, built(step))
    file = said(found, Source.BUILD_FILE)

    assert images(file) == {
        f"{ALPINE} runtime": (
            "acb.yaml, line 3: Dockerfile, line 2: FROM alpine:$T (T=3 from --build-arg)"
        ),
        "mybase.azurecr.io/tool:1 tool": "acb.yaml, line 5: cmd: mybase.azurecr.io/tool:1",
    }
    assert found.name == "acb.yaml"
    assert found.effects is not None
    assert found.effects.pushes == ("myapps.azurecr.io/app:1",)
    (made,) = found.effects.builds
    assert (made.dockerfile, made.arguments) == ("Dockerfile", {"T": "3"})
    assert found.view.output == output_of(found.effects)


def test_a_task_file_in_the_task_itself_is_followed(world: World) -> None:
    """Inline YAML needs no context for its commands; a secret value is not known."""
    text = "steps:\n  - cmd: mybase.azurecr.io/{{.Values.name}}:1\n  - cmd: '{{.Values.s}}'\n"
    step = encoded(text, "name: tool", Argument("s", None), context="")
    found = look(world.context, built(step))
    file = said(found, Source.BUILD_FILE)

    assert images(file) == {
        "mybase.azurecr.io/tool:1 tool": (
            "the task's own YAML, line 2: cmd: mybase.azurecr.io/tool:1"
        )
    }
    assert file.problem is None  # a tool that is not known is no image that counts
    assert file.remark.startswith(
        "the task's own YAML, line 3: {{.Values.s}}: the value s is secret"
    )
    assert found.view.output is not None
    assert found.view.output.makes is Makes.NOTHING


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (DockerStep(CONTEXT, "none"), "none: none of https://github.com/contoso/app.git"),
        (EncodedStep("", "???"), "the task's own YAML: the task's task file: not Base64"),
        (FileStep(CONTEXT, "none.yaml"), "none.yaml: none.yaml of https://github.com/contoso"),
        (encoded("steps: 1"), "the task's own YAML: line 1"),
    ],
)
def test_a_file_that_cannot_be_had_is_a_problem(world: World, step: TaskStep, problem: str) -> None:
    """Nothing that a task names may stop a plan: the reason is told, the record remains."""
    found = look(world.context, built(step))
    file = said(found, Source.BUILD_FILE)

    assert file.images == ()
    assert (file.problem or "").startswith(problem)
    assert (found.problem is None) == isinstance(step, DockerStep)
    assert [str(d.reference) for d in found.view.dependencies] == [NODE]


def test_a_dockerfile_that_the_builder_refuses_is_a_problem(world: World) -> None:
    """The builder's reason and line are told, and the scanner is compared all the same."""
    world.sources.files[CONTEXT, "Dockerfile"] = b"FROM alpine:3\nNONSENSE\n"
    found = look(world.context, built())

    assert said(found, Source.BUILD_FILE).problem == (
        "Dockerfile: the builder refuses it: line 2: unknown instruction: NONSENSE"
    )
    assert found.effects is not None
    assert found.effects.builds[0].refusal is not None
    assert found.effects.builds[0].content is not None


def test_a_source_that_is_down_is_told_and_delivered_again(world: World) -> None:
    """A look records it as a problem; a view to be stored is not made without the source."""
    world.sources.failure = TransientError("github.com does not answer")
    found = look(world.context, built())

    assert said(found, Source.BUILD_FILE).problem == (
        "Dockerfile: not reachable now: github.com does not answer"
    )
    assert found.failure is world.sources.failure
    with pytest.raises(TransientError, match="does not answer"):
        gather(world.context, built())
    filed = look(world.context, built(FileStep(CONTEXT, "acb.yaml")))
    assert said(filed, Source.BUILD_FILE).problem == "not reachable now: github.com does not answer"


def test_tasks_without_a_known_step_have_their_reason(world: World) -> None:
    """A system task builds nothing; a step of a new kind cannot be read."""
    system = look(world.context, task(has_step=False))
    future = look(world.context, replace(task(), step=None))

    assert said(system, Source.BUILD_FILE).problem == "the task's step builds nothing"
    assert [e.source for e in system.view.evidence] == [Source.ACR_RECORD, Source.BUILD_FILE]
    assert (
        said(future, Source.BUILD_FILE).problem == "the task's step is of a kind that is not known"
    )


def test_the_output_image_is_asked_where_its_base_is_not_known(world: World) -> None:
    """A view costs no more requests than needed; a look at one task asks every source."""
    assert len(gather(world.context, built()).evidence) == 2
    assert len(gather(world.context, built(dependencies=())).evidence) == 2
    assert len(look(world.context, built()).view.evidence) == 3
    world.sources.files = {}
    assert len(gather(world.context, built()).evidence) == 2
    assert len(gather(world.context, built(dependencies=())).evidence) == 3


def test_an_annotation_names_the_base(world: World) -> None:
    """What the builder wrote into the image proves its base."""
    world.images.contents[f"myapps.azurecr.io/app:{NEW}"] = ImageContent(NEW, NEW, NODE, OLD)
    output = said(look(world.context, built()), Source.OUTPUT_IMAGE)

    assert images(output) == {
        f"{NODE} runtime": (
            "myapps.azurecr.io/app:1: its annotation org.opencontainers.image.base.name"
        )
    }
    assert (output.problem, output.revision) == (None, NEW)


def test_layers_prove_the_base(world: World) -> None:
    """Without an annotation, the layers of what is known are compared, then and now."""
    base = ImageContent(OLD, OLD, layers=("a", "b"))
    world.images.contents = {
        f"myapps.azurecr.io/app:{NEW}": ImageContent(NEW, NEW, layers=("a", "b", "c")),
        f"mybase.azurecr.io/images/node:{OLD}": base,
        "mybase.azurecr.io/images/node:9": ImageContent(NEW, NEW, layers=("x",)),
    }
    found = look(world.context, built(dependencies=()))
    assert said(found, Source.OUTPUT_IMAGE).problem == (
        "no annotation of myapps.azurecr.io/app:1 names its base, and its layers are those of none"
        f" of {NODE}"
    )
    found = look(world.context, built())
    output = said(found, Source.OUTPUT_IMAGE)

    assert images(output) == {
        f"{NODE} runtime": (
            f"myapps.azurecr.io/app:1: its first 2 layers are those of {NODE}@{OLD}"
        )
    }
    assert found.view.dependencies[0].known_from.endswith(f"are those of {NODE}@{OLD}")


def test_each_image_of_a_run_is_looked_at(world: World) -> None:
    """A task file may push several; the same image under two tags is one."""
    outputs = (OUTPUT, f"myapps.azurecr.io/app:latest@{NEW}", f"myapps.azurecr.io/web:1@{OLD}")
    world.tasks.found_runs["ca1"] = replace(world.tasks.found_runs["ca1"], output_images=outputs)
    world.images.contents = {
        f"myapps.azurecr.io/app:{NEW}": ImageContent(NEW, NEW, NODE, OLD),
        f"myapps.azurecr.io/web:{OLD}": ImageContent(OLD, OLD, ALPINE),
    }
    world.sources.files[CONTEXT, "acb.yaml"] = b"steps:\n  - cmd: alpine:3\n"
    found = look(world.context, built(FileStep(CONTEXT, "acb.yaml")))

    assert list(images(said(found, Source.OUTPUT_IMAGE))) == [
        f"{ALPINE} runtime",
        f"{NODE} runtime",
    ]


@pytest.mark.parametrize(
    ("outputs", "problem"),
    [
        ((), "run ca1 pushed no image"),
        (("not an image",), "run ca1 pushed no image"),
        (("myapps.azurecr.io/app:1",), "run ca1 pushed no image"),
        ((OUTPUT,), "myapps.azurecr.io/app:1 is gone from its registry"),
    ],
)
def test_an_output_that_says_nothing_says_why(
    world: World, outputs: tuple[str, ...], problem: str
) -> None:
    """No output, an unreadable one, one without digest, and one that is gone."""
    world.tasks.found_runs["ca1"] = replace(world.tasks.found_runs["ca1"], output_images=outputs)

    assert said(look(world.context, built()), Source.OUTPUT_IMAGE).problem == problem


def test_an_output_that_may_not_be_read_says_so(world: World) -> None:
    """The function app may lack the role; a registry that is down is told apart."""
    world.images.failure = Denied("no role")
    assert said(look(world.context, built()), Source.OUTPUT_IMAGE).problem == (
        "no role; AcrPull on the task's registry (ABAC: Container Registry Repository Reader) would"
        " let it be read"
    )
    world.images.failure = NotFound("no registry")
    assert said(look(world.context, built()), Source.OUTPUT_IMAGE).problem == "no registry"
    world.images.failure = TransientError("no answer")
    found = look(world.context, built())

    assert said(found, Source.OUTPUT_IMAGE).problem == "not reachable now: no answer"
    assert found.failure is world.images.failure
    world.tasks.found_runs = {}
    assert said(look(world.context, built()), Source.OUTPUT_IMAGE).problem == (
        "no successful run is known"
    )


def test_bases_that_may_not_be_read_are_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base registry that denies, and images of other registries and frontends, prove nothing."""
    world.sources.files[CONTEXT, "Dockerfile"] = (
        b"# syntax=mybase.azurecr.io/dockerfile:1\nFROM mybase.azurecr.io/images/node:9 AS a\n"
        b"FROM alpine:3\nCOPY --from=a / /\n"
    )
    asked: list[str] = []

    def content(host: str, repository: str, reference: str, _: str) -> ImageContent:
        asked.append(f"{host}/{repository}:{reference}")
        if host == "mybase.azurecr.io":
            raise Denied("no role")
        return ImageContent(NEW, NEW, layers=("a",))

    monkeypatch.setattr(type(world.images), "content", staticmethod(content))
    output = said(look(world.context, built()), Source.OUTPUT_IMAGE)

    assert output.problem == (
        "no annotation of myapps.azurecr.io/app:1 names its base, and no base can be read"
    )
    assert asked == [f"myapps.azurecr.io/app:{NEW}", f"mybase.azurecr.io/images/node:{OLD}"]


def test_a_registry_without_a_name_is_no_obstacle(world: World) -> None:
    """Where ARM does not tell the login server, what needs it is unknown, and the rest known."""
    world.tasks.failures["registry"] = [NotFound("gone")]
    found = look(world.context, built())

    assert list(images(said(found, Source.BUILD_FILE))) == [f"{NODE} runtime"]
