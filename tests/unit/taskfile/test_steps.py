from __future__ import annotations

import pytest

from rebuilder.core.taskfile import BuildStep, CommandStep, RunContext, TaskFile, read_task_file
from rebuilder.errors import InvalidBuildFile

RUN = RunContext("myapps.azurecr.io", "nightly", "linux", "amd64")


def read(text: str, values: str = "", run: RunContext = RUN, **given: str) -> TaskFile:
    """Read a task file."""
    return read_task_file(text.encode(), values_content=values.encode(), values=given, run=run)


def build(command: str, before: str = "", after: str = "", run: RunContext = RUN) -> BuildStep:
    """Read a file of one build step."""
    text = f"version: v1.1.0\n{before}steps:\n  - build: {command}\n{after}"
    (step,) = read(text, run=run).steps
    assert isinstance(step, BuildStep)
    return step


def command(text: str, before: str = "", run: RunContext = RUN) -> CommandStep:
    """Read a file of one command step; what its image does is another."""
    first, *_ = read(f"version: v1.1.0\n{before}steps:\n  - cmd: {text}\n", run=run).steps
    assert isinstance(first, CommandStep)
    return first


def words(*lines: str) -> str:
    """Return a block of text as YAML writes it."""
    return "|\n" + "".join(f"      {line}\n" for line in lines)


# build: the arguments of docker build.


@pytest.mark.parametrize(
    ("text", "dockerfile", "context"),
    [
        (".", "Dockerfile", ""),
        ("-t x .", "Dockerfile", ""),
        # No context at all: docker refuses it, the agent's own scan takes the folder itself.
        ("-t x", "Dockerfile", ""),
        ("app", "app/Dockerfile", ""),
        ("./app/", "app/Dockerfile", ""),
        # docker looks for -f from where it is started, not from the context.
        ("-f hello.dockerfile ./app", "hello.dockerfile", ""),
        ("--file=a/D b", "a/D", ""),
        ("-fD .", "D", ""),
        ("-f=D .", "D", ""),
        ("-qf D .", "D", ""),
        ("-f A -f B .", "B", ""),
        ("/workspace/app", "app/Dockerfile", ""),
        ("-f /workspace/D .", "D", ""),
        ("--no-cache --pull=true -t x --rm app", "app/Dockerfile", ""),
        ("-m 2GB --cpu-shares 2 app", "app/Dockerfile", ""),
        ("-t x -- app", "app/Dockerfile", ""),
        ("-f 'my file' \"my app\"", "my file", ""),
        ("https://github.com/a/b.git#main:x", "Dockerfile", "https://github.com/a/b.git#main:x"),
        ("-f sub/D https://x/y.tgz", "sub/D", "https://x/y.tgz"),
        ("github.com/a/b", "Dockerfile", "github.com/a/b"),
        ("oci://a.azurecr.io/b:c", "Dockerfile", "oci://a.azurecr.io/b:c"),
    ],
)
def test_where_the_dockerfile_is(text: str, dockerfile: str, context: str) -> None:
    """The Dockerfile is found as docker finds it, started in the workspace by the agent."""
    step = build(f"'{text.replace("'", "''")}'")

    assert (step.dockerfile, step.context) == (dockerfile, context)
    assert step.unknown == ()


@pytest.mark.parametrize(
    ("directory", "text", "dockerfile"),
    [
        ("sub", ".", "sub/Dockerfile"),
        ("sub", "-f ../D .", "D"),
        ("/workspace/sub", "-f D ..", "sub/D"),
        ("sub", "/workspace/app", "app/Dockerfile"),
    ],
)
def test_a_step_may_begin_elsewhere(directory: str, text: str, dockerfile: str) -> None:
    """The working directory of the step, else of the task, is where docker is started."""
    of_task = build(text, before=f"workingDirectory: {directory}\n")
    of_step = build(text, "workingDirectory: other\n", f"    workingDirectory: {directory}\n")

    assert of_task.dockerfile == of_step.dockerfile == dockerfile


def test_paths_of_windows() -> None:
    """On Windows a backslash is part of a path, and the workspace has another name."""
    windows = RunContext("r", "t", "windows")
    step = build(r"-f c:\workspace\app\D app", run=windows)

    assert step.dockerfile == "app/D"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-f ../D .", "outside of the context"),
        ("-f /etc/D .", "outside of the context"),
        ("..", "outside of the context"),
        ("-", "standard input"),
        ("-f - .", "standard input"),
        ("-f https://x/D .", "the Dockerfile is an address"),
        ("--new-flag x .", "the flag --new-flag is not known"),
        ("-Z .", "the flag -Z is not known"),
        ("--build-context alpine=docker-image://x .", "--build-context"),
        ("-f $ID/Dockerfile .", "the id of a run"),
        ("--target $Commit .", "the commit of a run"),
        ("--platform linux/$Architecture .", "processor"),
        ("https://github.com/a/b.git#$Commit", "the commit of a run"),
        ("-f $(find D) .", "the agent's shell"),
        ("-f ${HOME}/D .", "the agent's shell"),
        ("-f `x` .", "the agent's shell"),
        ('"$HOME/x"', "the agent's shell"),
        ("-f $(a $(b $(c))) .", "the shell"),
        ("-f D . > log", "the shell"),
        ("$(flags) .", "the agent's shell"),
    ],
)
def test_builds_that_cannot_be_known(text: str, reason: str) -> None:
    """What decides on the Dockerfile and is not known is said, not guessed."""
    step = build(f"'{text}'", run=RunContext("r", "t"))

    assert any(reason in said for said in step.unknown)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a b", "one context, not 2"),
        ("-t", "flag needs an argument: -t"),
        ("--file", "flag needs an argument: --file"),
        ('"\'x"', "quote"),
        ("'\"x'", "quote"),
        ("'\"x\\'", "quote"),
    ],
)
def test_builds_that_docker_refuses(text: str, problem: str) -> None:
    """What docker or its shell refuses is refused with its line."""
    with pytest.raises(InvalidBuildFile, match=problem) as raised:
        build(text)
    assert raised.value.line == 3


def test_build_arguments() -> None:
    """Build arguments are taken in both forms; the last of a name counts."""
    step = build(
        "--build-arg A=1 --build-arg=B=two=2 --build-arg 'C=a b' --build-arg A=3"
        ' --build-arg D="" .'
    )

    assert step.build_args == {"A": "3", "B": "two=2", "C": "a b", "D": ""}
    assert step.unknown_args == {}


def test_build_arguments_of_the_environment() -> None:
    """An argument without a value has that of the step's environment, else of the task's."""
    step = build(
        "--build-arg A --build-arg B --build-arg C .",
        "env: [A=task, B=task=1]\n",
        "    env: [A=step]\n",
    )

    assert step.build_args == {"A": "step", "B": "task=1"}


def test_build_arguments_that_are_not_known() -> None:
    """An argument whose value only a run knows is named with its reason."""
    step = build(
        "--build-arg A=x-$ID --build-arg B=$Registry/b --build-arg C=$ID --build-arg C=1 ."
    )

    assert step.unknown_args == {"A": "the id of a run is known only when it starts"}
    assert step.build_args["B"] == "myapps.azurecr.io/b"
    assert step.unknown == ()


def test_target_platform_and_tags() -> None:
    """Target, platform and every tag are kept; a tag may hold what is not known."""
    step = build("--target test --platform=linux/arm64 -t a:$ID --tag $Registry/b .")

    assert (step.target, step.platform) == ("test", "linux/arm64")
    assert step.tags[1] == "myapps.azurecr.io/b"
    assert step.unknown == ()


@pytest.mark.parametrize(
    ("text", "words_of"),
    [
        (words("-t x \\", "  -f D \\", "  ."), "D"),
        (words("-f D .", "echo done"), "D"),
        ("'-f D . && echo done'", "D"),
        ("'-f D . # -f E'", "D"),
        ("'-f D#E .'", "D#E"),
        ("'-f a\\ b .'", "a b"),
        ("'-f \"a\\$b\" .'", "a$b"),
        ("'-f \"a$\" .'", "a$"),
        (words('-f "a\\', 'b" .'), "ab"),
    ],
)
def test_words_of_the_shell(text: str, words_of: str) -> None:
    """The command is one of a shell: lines go on, other commands follow, quotes are taken off."""
    assert build(text).dockerfile == words_of


# cmd: the image is the first word.


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("mybase.azurecr.io/tools:1 run it", "mybase.azurecr.io/tools:1"),
        ("$Registry/tools", "myapps.azurecr.io/tools"),
        ("'{{.Run.Registry}}/tools x'", "myapps.azurecr.io/tools"),
        # The agent puts the command behind `docker run`.
        ("-e A=b --rm -it --name=n tools", "tools"),
        ("--volume a:b -p 1:2 -- tools", "tools"),
        ("'-ea=b tools'", "tools"),
        ("> \n      tools\n      --run", "tools"),
    ],
)
def test_the_image_of_a_command(text: str, image: str) -> None:
    """The image is the first word after what else `docker run` takes."""
    step = command(text)

    assert (step.image, step.unknown) == (image, ())


@pytest.mark.parametrize("text", ["-e A=b", "'-- '", "\"''\""])
def test_a_command_without_an_image(text: str) -> None:
    """A command that names no image is said to be unknown."""
    assert command(text).unknown == ("the command names no image",)


@pytest.mark.parametrize(("name", "image"), [("acr", "acr-cli"), ("az", "azure-cli")])
def test_images_of_the_agent(name: str, image: str) -> None:
    """An image alias is known; which tag it stands for, only the agent's release knows."""
    step = command(f"{name} --version")

    assert step.image.startswith(f"mcr.microsoft.com/acr/{image}:")
    assert "the agent's release" in step.unknown[0]
    assert step.way == (f"{name} is an alias",)


def test_images_of_an_older_version() -> None:
    """Before v1.1.0 there are no aliases: bash is Docker Hub's, and $ is the shell's."""
    first, second = read("steps:\n- cmd: bash -c x\n- cmd: $Registry/x\n").steps
    assert isinstance(first, CommandStep)
    assert isinstance(second, CommandStep)

    assert (first.image, first.unknown) == ("bash", ())
    assert "an alias needs version v1.1.0" in second.unknown[0]


@pytest.mark.parametrize(
    ("text", "dockerfile", "pushed"),
    [
        ("docker build -f D .", "D", False),
        ("docker:24 docker buildx build --push app", "app/Dockerfile", True),
        ("docker image build --output type=registry .", "Dockerfile", True),
        ("docker buildx build -o type=image,push=true .", "Dockerfile", True),
        ("docker builder build --push=false .", "Dockerfile", False),
    ],
)
def test_commands_that_build(text: str, dockerfile: str, pushed: bool) -> None:  # noqa: FBT001 - a parameter
    """A command that runs docker's image to build is a build, too."""
    _, step = read(f"steps:\n- cmd: {text}\n").steps
    assert isinstance(step, BuildStep)

    assert (step.dockerfile, step.pushed) == (dockerfile, pushed)


@pytest.mark.parametrize("text", ["docker run --rm -v a:b tools x", "docker container run tools"])
def test_commands_that_run(text: str) -> None:
    """A command that runs docker's image to run another image reads that, too."""
    _, step = read(f"steps:\n- cmd: {text}\n").steps
    assert isinstance(step, CommandStep)

    assert (step.image, step.way) == ("tools", ("docker run",))


@pytest.mark.parametrize("text", ["docker ps", "docker", "docker-compose build", "Docker build ."])
def test_commands_that_build_nothing(text: str) -> None:
    """Other commands are their image and nothing more."""
    assert len(read(f"steps:\n- cmd: {text}\n").steps) == 1


# push: what counts is what is pushed.


@pytest.mark.parametrize(
    "after",
    [
        '- push: ["{{.Run.Registry}}/app:{{ .Run.ID }}"]',
        "- push:\n  - other\n  - $Registry/app:$ID",
        "- push: $Registry/app:$ID",
        "- cmd: docker push -q $Registry/app:$ID",
        "- cmd: docker image push $Registry/app:$ID",
        "- cmd: docker tag $Registry/app:$ID r.io/b\n- push: [r.io/b:latest]",
        "- cmd: docker tag $Registry/app:$ID b\n- cmd: docker image tag b c\n- push: [c]",
    ],
)
def test_an_image_that_is_pushed(after: str) -> None:
    """A push is known by any name of the image, with what is not known in it."""
    first, *_ = read(f"version: v1.1.0\nsteps:\n- build: -t $Registry/app:$ID .\n{after}\n").steps
    assert isinstance(first, BuildStep)

    assert first.pushed


def test_an_image_that_is_not_pushed() -> None:
    """An image for tests is built and not pushed."""
    first, _ = read("steps:\n- build: -t test .\n- push: [app]\n- cmd: test\n").steps
    assert isinstance(first, BuildStep)

    assert not first.pushed


# The file as a whole.


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("steps:\n- build: [", 2, "not YAML"),
        ("steps:\n\t- x", 2, "not YAML"),
        ("a: \x00", 0, "not YAML"),
        ("- build: .", 1, "the task file is not a mapping"),
        ("steps: {a: b}", 1, "steps is not a list"),
        ("steps: [x]", 1, "a step is not a mapping"),
        ("steps:\n- id: x", 2, "missing a cmd, build, or push"),
        ("steps:\n- cmd: x\n- {cmd: a, build: b}", 3, "only contain a single"),
        ("steps:\n- build: [a]", 2, "build is not a string"),
        ("steps:\n- {id: a, cmd: x}\n- {id: a, cmd: x}", 3, "duplicate step ID: a"),
        ("steps:\n- {id: acb_step_1, cmd: x}\n- cmd: x", 3, "duplicate step ID: acb_step_1"),
        ("\nversion: v2.0.0\nsteps: []", 2, 'invalid version specified: "v2.0.0"'),
        ("env: [a]\nsteps:\n- cmd: x", 1, "the environment variable a has no ="),
        ("version: v1.1.0\nalias:\n  values: {a-b: c}", 2, "alphanumeric"),
        ("version: v1.1.0\nalias: {directive: ab}", 2, "directive"),
        ("version: v1.1.0\nalias:\n  directive: x", 2, "directive"),
        ("version: v1.1.0\nalias: [", 2, "not YAML"),
        ("x: " + "[" * 60, 1, "nested too deeply"),
        ("x: [" + "a," * 30_000, 1, "too many values"),
        ("x" * 300_000, 0, "longer than"),
    ],
)
def test_files_that_are_refused(text: str, line: int, problem: str) -> None:
    """A file that the agent refuses is refused with line and reason."""
    with pytest.raises(InvalidBuildFile, match=problem) as raised:
        read(text)
    assert raised.value.line == line


def test_bytes_that_are_no_text() -> None:
    """A file that is not UTF-8 is refused; a byte order mark is none of the text."""
    with pytest.raises(InvalidBuildFile, match="UTF-8"):
        read_task_file(b"\xff\xfe")

    assert len(read_task_file(b"\xef\xbb\xbfsteps:\r\n- cmd: x\r\n").steps) == 1


@pytest.mark.parametrize("text", ["", "# nothing\n", "steps:\n", "steps: []\n---\nsteps: [x]\n"])
def test_files_without_steps(text: str) -> None:
    """A file may do nothing; what follows its first document does not count."""
    assert read(text).steps == ()


def test_everything_else_is_passed_over() -> None:
    """Secrets, networks, volumes, times and orders say nothing of images."""
    steps = read(
        "version: 1.0-preview-1\nstepTimeout: 60\nsecrets: [{id: a, keyvault: b}]\n"
        "networks: [{name: n}]\nvolumes: [{name: v, secret: {a: b}}]\nsteps:\n"
        "- {cmd: a, when: ['-'], timeout: 5, retries: 1, entryPoint: sh}\n"
    ).steps

    assert [step.image for step in steps if isinstance(step, CommandStep)] == ["a"]


def test_yaml_that_repeats_itself() -> None:
    """Anchors, aliases and merges mean what YAML says, and a bomb of them is no work."""
    text = (
        "x: &x {cmd: one, id: a}\nsteps:\n- *x\n- {<<: *x, id: b}\n"
        "- {<<: [{cmd: two}, *x], id: c}\n- {<<: [no, *x], id: d, [x]: y}\n"
    )
    bomb = "b0: &b0 [x]\n" + "".join(
        f"b{n}: &b{n} [{','.join([f'*b{n - 1}'] * 9)}]\n" for n in range(1, 20)
    )
    steps = read(bomb + text).steps

    assert [s.image for s in steps if isinstance(s, CommandStep)] == ["one", "one", "two", "one"]


def test_steps_keep_their_lines() -> None:
    """A step's line is that of the file, whatever was replaced and left out before it."""
    text = (
        "version: v1.1.0\n# a comment\nalias:\n  values:\n    a: b\n\nsteps:\n# another\n"
        "{{if .Values.x}}\n- cmd: $a\n{{end}}\n- cmd: '{{.Values.lines}}'\n- cmd: c\n"
    )
    steps = read(text, x="yes", lines="one\n\n\n two").steps

    assert [step.line for step in steps] == [10, 12, 13]
