from __future__ import annotations

from collections.abc import Callable

from rebuilder.core.build_files import BuildImages, ImageUse, UnknownImage
from rebuilder.core.references import ImageReference
from rebuilder.core.taskfile import BuildStep, RunContext, images_of, read_task_file
from rebuilder.core.tasks import Kind
from rebuilder.errors import InvalidReference

RUN = RunContext("myapps.azurecr.io", "nightly")
type Reader = Callable[[BuildStep], BuildImages | str]


def reader(**files: str) -> Reader:
    """Return a stand-in for what reads Dockerfiles.

    A file is its images, the base last, with `{ARG}` and its default `{ARG=x}` for a build
    argument; the names of files are without dots and slashes.
    """

    def read(step: BuildStep) -> BuildImages | str:
        text = files.get(step.dockerfile.replace(".", "_").replace("/", "_"))
        if text is None:
            return f"there is no file {step.dockerfile}"
        for name, value in step.build_args.items():
            text = text.replace(f"{{{name}}}", value)
        try:
            references = [ImageReference.parse(image) for image in text.split()]
        except InvalidReference as error:
            return error.problem
        kinds = [Kind.BUILD_TIME] * (len(references) - 1) + [Kind.RUNTIME]
        uses = (
            ImageUse(reference, kind, line, ("FROM",))
            for line, (reference, kind) in enumerate(zip(references, kinds, strict=True), 1)
        )
        return BuildImages(tuple(uses), references[-1])

    return read


def images(text: str, read: Reader, values: dict[str, str] | None = None) -> BuildImages:
    """Return the images of a task file's steps."""
    content = f"version: v1.1.0\nsteps:\n{text}".encode()
    hidden = ("secret",)
    return images_of(read_task_file(content, values=values, hidden=hidden, run=RUN), read)


def names(found: BuildImages) -> list[tuple[str, str, int]]:
    """Return the images, their kinds and their lines."""
    return [(str(use.reference), use.kind.value, use.line) for use in found.images]


def test_every_step_is_joined() -> None:
    """The images of builds and of commands are those of the task, by their lines."""
    found = images(
        "- build: -t $Registry/app -f D .\n- cmd: tools:1 x\n- push: [$Registry/app]\n",
        reader(D="go node:9"),
    )

    assert names(found) == [
        ("docker.io/library/go:latest", "build-time", 3),
        ("docker.io/library/node:9", "runtime", 3),
        ("docker.io/library/tools:1", "build-time", 4),
    ]
    assert found.images[1].way == ("D, line 2", "FROM")
    assert found.images[2].way == ("cmd: tools:1",)
    assert str(found.final) == "docker.io/library/node:9"
    assert found.unknown == ()


def test_an_image_that_is_not_pushed_is_for_build_time() -> None:
    """The base of an image for tests is no base of what comes out."""
    found = images("- build: -t test -f D .\n- cmd: test\n", reader(D="node"))

    assert names(found) == [("docker.io/library/node:latest", "build-time", 3)]
    assert found.final is None


def test_the_last_pushed_image_has_the_final_base() -> None:
    """Several images may be pushed; each has its base, and the last one's is the final one."""
    found = images(
        "- build: -t a -f A .\n- build: -t b -f B .\n- build: -t t -f C .\n- push: [a, b]\n",
        reader(A="one", B="two", C="three"),
    )

    assert [kind for _, kind, _ in names(found)] == ["runtime", "runtime", "build-time"]
    assert str(found.final) == "docker.io/library/two:latest"


def test_images_that_the_file_builds_are_none() -> None:
    """What another step builds is no dependency: of commands, of Dockerfiles, by arguments."""
    found = images(
        "- build: -t $Registry/base:$ID -f D .\n"
        "- build: -t app --build-arg BASE=$Registry/base:$ID -f E .\n"
        "- cmd: $Registry/base:$ID test\n",
        reader(D="node", E="{BASE}"),
    )

    assert names(found) == [("docker.io/library/node:latest", "build-time", 3)]
    assert found.unknown == ()


def test_arguments_that_only_a_run_knows() -> None:
    """An image that depends on such an argument is unknown, every other one is not."""
    found = images(
        "- build: -t app --build-arg ID=$ID --build-arg V=x{{.Values.secret}} -f D .\n"
        "- push: [app]\n",
        reader(D="go app:{ID} tools:{V} node"),
    )

    assert [name for name, _, _ in names(found)] == [
        "docker.io/library/go:latest",
        "docker.io/library/node:latest",
    ]
    assert found.unknown == (
        UnknownImage(
            "D, line 2: docker.io/library/app:{{.Run.ID}}",
            3,
            "the id of a run is known only when it starts",
        ),
        UnknownImage(
            "D, line 3: docker.io/library/tools:x{{.Values.secret}}",
            3,
            "the value secret is secret",
        ),
    )
    assert str(found.final) == "docker.io/library/node:latest"


def test_a_base_that_only_a_run_knows() -> None:
    """If it is the base that is unknown, there is no final one."""
    found = images(
        "- build: -t app --build-arg ID=$ID -f D .\n- push: [app]\n", reader(D="app:{ID}")
    )

    assert (found.images, found.final) == ((), None)
    assert len(found.unknown) == 1


def test_an_argument_that_chooses_without_a_trace() -> None:
    """An image that is chosen by an argument and does not name it is not believed."""

    def read(step: BuildStep) -> BuildImages | str:
        value = step.build_args["V"]
        chosen = ImageReference.parse("debug" if value == "" else "node")
        return BuildImages((ImageUse(chosen, Kind.RUNTIME, 1),), chosen)

    found = images("- build: -t a --build-arg V={{.Values.secret}} -f D .\n- push: [a]\n", read)

    assert found.images == ()
    assert found.unknown == (
        UnknownImage("D, line 1: docker.io/library/node:latest", 3, "the value secret is secret"),
    )


def test_an_argument_that_must_not_be_empty() -> None:
    """A build that would fail with a value does not count against the others."""

    def read(step: BuildStep) -> BuildImages | str:
        return reader(D="node")(step) if step.build_args["V"] else "V is empty"

    found = images("- build: -t a --build-arg V=$Commit -f D .\n", read)

    assert names(found) == [("docker.io/library/node:latest", "build-time", 3)]
    assert found.unknown == ()


def test_dockerfiles_that_cannot_be_read() -> None:
    """Why a Dockerfile could not be read is said, with its step, and with what else is missing."""
    found = images(
        "- build: -f D .\n- build: -f $ID .\n- build: -f E --build-arg V=$ID .\n", reader()
    )

    assert found.unknown == (
        UnknownImage("D", 3, "there is no file D"),
        UnknownImage("{{.Run.ID}}", 4, "the id of a run is known only when it starts"),
        UnknownImage("E", 5, "there is no file E; the id of a run is known only when it starts"),
    )


def test_what_a_dockerfile_does_not_tell() -> None:
    """What is unknown in a Dockerfile is unknown in the task, with its place."""

    def read(_: BuildStep) -> BuildImages | str:
        return BuildImages((), None, (UnknownImage("$X", 7, "X has no value"),))

    found = images("- build: -f D .\n", read)

    assert found.unknown == (UnknownImage("D, line 7: $X", 3, "X has no value"),)


def test_commands_that_are_not_known() -> None:
    """A command's image that is unknown or none is said as the file says it."""
    found = images("- cmd: $Registry/x:$ID\n- cmd: UPPER/Case:1\n- cmd: -e A=1\n", reader())

    assert [(u.text, u.line) for u in found.unknown] == [
        ("myapps.azurecr.io/x:{{.Run.ID}}", 3),
        ("UPPER/Case:1", 4),
        ("", 5),
    ]
    assert found.images == ()


def test_a_file_that_is_hidden() -> None:
    """What hides the whole file is the file's only word."""
    found = images("{{if .Run.Commit}}\n- cmd: a\n{{end}}\n", reader())

    assert [unknown.text for unknown in found.unknown] == ["{{if .Run.Commit}}"]
    assert found.images == ()


def test_the_same_image_once_per_kind() -> None:
    """An image counts at its first line, once for each kind."""
    found = images(
        "- cmd: node a\n- cmd: node b\n- build: -t app -f D .\n- push: [app]\n", reader(D="node")
    )

    assert names(found) == [
        ("docker.io/library/node:latest", "build-time", 3),
        ("docker.io/library/node:latest", "runtime", 5),
    ]
