"""What docker's command line does to images."""

from __future__ import annotations

import pytest

from rebuilder.core.dependencies.effects import Builder, output_of
from tests.unit.taskfile.reading import NODE, Files, cmd, images, read, steps, told

OTHER = "mybase.azurecr.io/other:1"


def block(*lines: str) -> str:
    """Return a block of text as YAML writes it."""
    return "|\n" + "".join(f"    {line}\n" for line in lines)


# build: where the Dockerfile is.


@pytest.mark.parametrize(
    ("text", "dockerfile", "context"),
    [
        (".", "Dockerfile", ""),
        ("-t x .", "Dockerfile", ""),
        # No context at all: docker refuses it, the agent's own scan takes the folder itself.
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
        ("-f D . && echo done", "D", ""),
        ("-f D . # -f E", "D", ""),
        ("-f D#E .", "D#E", ""),
        ("-f a\\ b .", "a b", ""),
        ('-f "a\\$b" .', "a$b", ""),
        ("-f D . > log", "D", ""),
        ("-o type=local,dest=out .", "Dockerfile", ""),
    ],
)
def test_where_the_dockerfile_is(text: str, dockerfile: str, context: str) -> None:
    """The Dockerfile is found as docker finds it, started in the workspace by the agent."""
    for form in (f"- build: {block(text)}", f"- cmd: {block(f'docker build {text}')}"):
        files = Files({dockerfile: f"FROM {NODE}"})
        found = steps(form, files)

        assert files.asked == [(context, dockerfile)]
        assert found.unknown == ()


@pytest.mark.parametrize(
    ("directory", "text", "dockerfile"),
    [
        ("sub", ".", "sub/Dockerfile"),
        ("sub", "-f ../D .", "D"),
        ("/workspace/sub", "-f D ..", "sub/D"),
        ("sub", "/workspace/app", "app/Dockerfile"),
        ("./a//b/..", ".", "a/Dockerfile"),
    ],
)
def test_a_step_may_begin_elsewhere(directory: str, text: str, dockerfile: str) -> None:
    """The working directory of the step, else of the task, is where docker is started."""
    for before, after in (
        (f"workingDirectory: {directory}\n", ""),
        ("workingDirectory: other\n", f"  workingDirectory: {directory}\n"),
    ):
        files = Files({dockerfile: f"FROM {NODE}"})
        read(f"{before}steps:\n- build: {text}\n{after}", files)
        assert files.asked == [("", dockerfile)]


def test_a_command_may_begin_in_its_images_own_folder() -> None:
    """Then nobody knows where a relative path leads."""
    found = read("steps:\n- cmd: docker build -t a .\n  disableWorkingDirectoryOverride: true\n")

    assert "its image's own folder" in told(found)


def test_paths_of_windows() -> None:
    """On Windows a backslash is part of a path, and the workspace has another name."""
    from rebuilder.core.taskfile import RunContext  # noqa: PLC0415 - of this test only

    files = Files()
    read(
        "steps:\n- build: -f c:\\workspace\\app\\D app\n",
        files,
        run=RunContext("r", "t", "windows"),
    )
    read("steps:\n- build: C:\\Workspace\n", files, run=RunContext("r", "t", "windows"))

    assert files.asked == [("", "app/D"), ("", "Dockerfile")]


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
        ("--build-context alpine=oci-layout://x .", "the context alpine=oci-layout://x"),
        ("-f $ID/Dockerfile .", "the id of a run"),
        ("--target $Commit .", "the commit of a run"),
        ("--platform linux/$ID .", "the id of a run"),
        ("https://github.com/a/b.git#$Commit", "the commit of a run"),
        ("-f $(find D) .", "the agent's shell"),
        ("-f ${HOME}/D .", "the agent's shell"),
        ("-f `x` .", "the agent's shell"),
        ('"$HOME/x"', "the agent's shell"),
        ("$(flags) .", "the agent's shell"),
        # What docker refuses is told, too.
        ("a b", "one context, not 2"),
        ("-t", "flag needs an argument: -t"),
        ("--file", "flag needs an argument: --file"),
        ("'x", "quote"),
    ],
)
def test_builds_that_cannot_be_known(text: str, reason: str) -> None:
    """What decides on the Dockerfile and is not known is said, not guessed."""
    found = steps(f"- build: {block(text)}")

    assert found.images == ()
    assert reason in told(found)


def test_build_arguments() -> None:
    """In both forms; the last of a name counts; without a value, that of the environment."""
    found = read(
        "env: [E=task, F=task=1]\nsteps:\n- build: --build-arg A=1 --build-arg=B=two=2"
        " --build-arg 'C=a b' --build-arg A=3 --build-arg D=\"\" --build-arg E --build-arg F"
        " --build-arg G .\n  env: [E=step]\n"
    )
    # In a build step docker runs in a container that gets the step's variables.
    assert found.builds[0].arguments == {
        "A": "3",
        "B": "two=2",
        "C": "a b",
        "D": "",
        "E": "step",
        "F": "task=1",
    }


def test_an_environment_is_words_of_the_shell() -> None:
    """The agent puts it into the line without quotes, so a blank in it makes another command."""
    found = read("steps:\n- cmd: tool:1 x\n  env: ['A=b image:2']\n")

    assert images(found) == ["docker.io/library/image:2 tool"]


# Which builder a step gets.


@pytest.mark.parametrize(
    ("text", "builder"),
    [
        ("- build: .", Builder.CLASSIC),
        ("- build: .\n  env: [DOCKER_BUILDKIT=1]", Builder.BUILDKIT),
        ("- build: .\n  env: [A=1, DOCKER_BUILDKIT=1]", Builder.BUILDKIT),
        # The agent compares the whole text, and its own variable comes last.
        ("- build: .\n  env: [DOCKER_BUILDKIT=true]", Builder.CLASSIC),
        ("- build: .\n  env: [DOCKER_BUILDKIT=0]", Builder.CLASSIC),
        ("- build: .\n  cache: Enabled", Builder.BUILDKIT),
        ("- build: .\n  cache: disabled", Builder.CLASSIC),
        ("- cmd: docker build .", Builder.BUILDKIT),
        ("- cmd: docker build .\n  env: [DOCKER_BUILDKIT=0]", Builder.CLASSIC),
        ("- cmd: docker:19 build .", Builder.CLASSIC),
        ("- cmd: docker:19.03-git build .\n  env: [DOCKER_BUILDKIT=1]", Builder.BUILDKIT),
        ("- cmd: docker:27-cli build .", Builder.BUILDKIT),
        ("- cmd: docker buildx build .", Builder.BUILDKIT),
        ("- cmd: docker:19 buildx b .", Builder.BUILDKIT),
        ("- cmd: docker sh -c 'DOCKER_BUILDKIT=0 docker build .'", Builder.CLASSIC),
        ("- cmd: docker sh -c 'export DOCKER_BUILDKIT=0; docker build .'", Builder.CLASSIC),
    ],
)
def test_the_builder_of_a_step(text: str, builder: Builder) -> None:
    """Classic, unless the step's own env asks for BuildKit, or a command runs docker itself."""
    found = steps(text, {"Dockerfile": "# syntax=docker/dockerfile:1\nFROM node\n"})

    assert [build.builder for build in found.builds] == [builder]
    syntax = "docker.io/docker/dockerfile:1 frontend" in images(found)
    assert syntax is (builder is Builder.BUILDKIT)


@pytest.mark.parametrize("listed", ["DOCKER_BUILDKIT=1", "'A=1,DOCKER_BUILDKIT=1'"])
def test_the_tasks_own_environment_counts(listed: str) -> None:
    """The agent looks at a step's list after it has added the task's."""
    found = read(f"env: [{listed}]\nsteps:\n- build: .\n")
    kept = read(f"env: [{listed}]\nsteps:\n- build: .\n  env: [DOCKER_BUILDKIT=0]\n")

    assert found.builds[0].builder is Builder.BUILDKIT
    assert kept.builds[0].builder is Builder.CLASSIC


# pull, tag, push.


@pytest.mark.parametrize(
    ("commands", "reads", "pushes"),
    [
        (["docker pull {node}"], ["{node} build-time"], []),
        (["docker image pull -q {node}"], ["{node} build-time"], []),
        (
            ["docker pull {node}", "docker tag {node} $Registry/n:1", "docker push $Registry/n:1"],
            ["{node} runtime"],
            ["{own}/n:1"],
        ),
        # In one command: what follows && runs on the agent, which has docker.
        (
            ["docker pull {node} && docker tag {node} $Registry/n && docker push $Registry/n"],
            ["{node} runtime"],
            ["{own}/n:latest"],
        ),
        (["docker sh -c 'docker pull {node}; docker push {node}'"], ["{node} runtime"], ["{node}"]),
        (["bash -c 'docker pull {node} && docker push {node}'"], ["{node} runtime"], ["{node}"]),
        (
            ["docker tag {node} $Registry/n", "docker push $Registry/n"],
            ["{node} runtime"],
            ["{own}/n:latest"],
        ),
        (
            ["docker pull {node}", "docker image tag {node} a", "docker tag a b", "docker push b"],
            ["{node} runtime"],
            ["docker.io/library/b:latest"],
        ),
        (
            ["docker pull {node} {other}", "docker push {other}"],
            ["{node} build-time", "{other} runtime"],
            ["{other}"],
        ),
        (["docker pull {node}", "docker run {node} test"], ["{node} tool"], []),
        (
            ["docker pull {node}", "docker build -t $Registry/a .", "docker push $Registry/a"],
            ["{node} runtime"],
            ["{own}/a:latest"],
        ),
        (
            ["docker build -t $Registry/a .", "docker push -a $Registry/a"],
            ["{node} runtime"],
            ["{own}/a:latest"],
        ),
        (
            ["docker build -t a .", "docker tag a $Registry/b", "docker push $Registry/b"],
            ["{node} runtime"],
            ["{own}/b:latest"],
        ),
        (["docker build --push -t $Registry/a ."], ["{node} runtime"], ["{own}/a:latest"]),
        (
            ["docker build -o type=registry -t $Registry/a ."],
            ["{node} runtime"],
            ["{own}/a:latest"],
        ),
        (
            ["docker buildx build -o type=image,name=$Registry/a,push=true ."],
            ["{node} runtime"],
            ["{own}/a:latest"],
        ),
        (["docker build --push=false -t a ."], ["{node} build-time"], []),
        (["docker builder build -t a ."], ["{node} build-time"], []),
        (["docker --log-level debug -D -c x build -t a ."], ["{node} build-time"], []),
        (["docker docker build -t a ."], ["{node} build-time"], []),
        (
            ["docker buildx imagetools create -t $Registry/n:1 {node}"],
            ["{node} runtime"],
            ["{own}/n:1"],
        ),
        (
            [
                "docker manifest create $Registry/n {node} {other}",
                "docker manifest push $Registry/n",
            ],
            ["{node} runtime", "{other} runtime"],
            ["{own}/n:latest"],
        ),
        (["docker manifest create $Registry/n {node}"], ["{node} build-time"], []),
        (["docker run --rm -v a:b {node} x"], ["{node} tool"], []),
        # Only what is given docker's socket speaks to docker.
        (["docker run {node} docker push {other}"], ["{node} tool"], []),
        (
            ["docker run -v /var/run/docker.sock:/var/run/docker.sock {node} docker pull {other}"],
            ["{other} build-time", "{node} tool"],
            [],
        ),
        (
            [
                "docker run -d --name c {node}",
                "docker exec -w /x c skopeo copy docker://{other} docker://$Registry/x",
            ],
            ["{other} runtime", "{node} tool"],
            ["{own}/x:latest"],
        ),
        (["docker container run -e A=1 {node}"], ["{node} tool"], []),
        (["docker create {node}"], ["{node} tool"], []),
        (
            [
                "docker login x -u y",
                "docker ps",
                "docker",
                "docker image ls",
                "docker buildx create --use",
            ],
            [],
            [],
        ),
        (["docker buildx"], [], []),
        (["docker manifest inspect {node}"], [], []),
        (["docker buildx imagetools inspect {node}"], [], []),
    ],
)
def test_what_becomes_of_images(commands: list[str], reads: list[str], pushes: list[str]) -> None:
    """What is pushed under a name stands on what was pulled or built under it."""
    known = {"node": NODE, "other": OTHER, "own": "myapps.azurecr.io"}
    text = "".join(
        f"- cmd: {block(line.replace('{node}', NODE).replace('{other}', OTHER))}"
        for line in commands
    )
    found = steps(text)

    assert images(found) == sorted(line.format_map(known) for line in reads)
    assert list(found.pushes) == [line.format_map(known) for line in pushes]
    own_tools = [m for m in found.unknown if not m.tool]
    assert own_tools == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("docker --new x build .", "the flag --new is not known"),
        ("docker frobnicate x", "what docker frobnicate does is not followed"),
        ("docker pull -a node", "which tags it fetches is not known"),
        ("docker push -a $Registry/app", "which of its tags are pushed"),
        ("docker load -i image.tar", "which images an archive holds"),
        ("docker exec c docker ps", "which docker it speaks to is not known"),
        ("docker exec --nope c ls", "it is not followed"),
        ("docker exec c sh x.sh", "what a script does is not followed"),
        ("docker run --privileged docker:dind docker build .", "which docker it speaks to"),
        ("docker manifest frobnicate x", "it is not followed"),
        ("docker run --rm", "the command names no image"),
        ("docker run ''", "the command names no image"),
        ("docker tag a", "takes two names, not 1"),
        ("docker buildx frobnicate", "what buildx frobnicate does"),
        ("docker buildx imagetools create -f x -t y", "it is not followed"),
        ("docker pull UPPER/Case:1", "must be lower case"),
        ("docker pull node:$ID", "the id of a run"),
        ("docker pull {{.Values.X}}", "value X is given by no"),
        ("docker push {{.Values.X}}", "which image is pushed: value X"),
        ("docker import a.tar x", "archive stands on none"),
        ("docker commit -m a c x", "image of a container stands on"),
        ("-e A=b", "the command names no image"),
        ("docker sh -c 'if x; then docker push y; fi'", "from here on is not followed"),
        ("docker sh ./build.sh", "what a script does is not followed"),
        ("docker sh -c '$PROGRAM x'", "which program it runs is not known"),
    ],
)
def test_what_docker_does_that_is_not_followed(command: str, reason: str) -> None:
    """It is told with its line and its reason, and never left out."""
    found = steps(f"- cmd: {block(command)}")

    assert reason in told(found)
    assert all(missed.line == 3 for missed in found.unknown)


def test_what_is_pushed_and_made_by_nobody() -> None:
    """Its name is known, and what it stands on is not."""
    for text in (
        "- cmd: tool x\n- push: [$Registry/a:1]",
        "- cmd: docker import a.tar $Registry/a:1\n- push: [$Registry/a:1]",
    ):
        found = steps(text)
        assert found.pushes == ("myapps.azurecr.io/a:1",)
        assert "makes what is pushed" in told(found) or "stands on none" in told(found)


# Images of the file itself.


def test_what_a_pushed_image_stands_on_through_another() -> None:
    """The base of an image that a pushed one is built on is what that stands on."""
    found = steps(
        "- build: -t base -f B .\n- build: -t $Registry/app -f A .\n- push: [$Registry/app]\n",
        {"B": f"FROM {NODE}", "A": f"FROM base\nCOPY --from={OTHER} / /\n"},
    )

    assert images(found) == [f"{NODE} runtime", f"{OTHER} build-time"]
    assert str(found.final) == NODE


def test_what_is_copied_out_of_an_own_image_is_for_build_time() -> None:
    """The pushed image does not stand on it."""
    found = steps(
        "- build: -t tools -f B .\n- build: -t $Registry/app -f A .\n- push: [$Registry/app]\n",
        {"B": f"FROM {NODE}", "A": f"FROM {OTHER}\nCOPY --from=tools / /\n"},
    )

    assert images(found) == [f"{NODE} build-time", f"{OTHER} runtime"]


def test_an_own_name_for_an_image_that_was_pulled() -> None:
    """A Dockerfile that names it stands on what was pulled."""
    found = steps(
        f"- cmd: docker pull {NODE}\n- cmd: docker tag {NODE} local:1\n"
        "- build: -t $Registry/app .\n- push: [$Registry/app]\n",
        {"Dockerfile": "FROM local:1\n"},
    )

    assert images(found) == [f"{NODE} runtime"]
    assert str(found.final) == NODE


def test_an_own_image_is_none_of_the_others() -> None:
    """Whatever step reads it: a Dockerfile, a command, docker run."""
    found = steps(
        "- build: -t $Registry/base:$ID -f D .\n"
        "- build: -t app --build-arg BASE=$Registry/base:$ID -f E .\n"
        "- cmd: $Registry/base:$ID test\n- cmd: docker run $Registry/base:$ID\n",
        {"D": "FROM node", "E": "ARG BASE\nFROM $BASE"},
    )

    assert images(found) == ["docker.io/library/node:latest build-time"]
    assert found.unknown == ()


def test_images_that_stand_on_each_other() -> None:
    """A file may go round in a cycle, from where a registry's image comes in."""
    found = steps(
        "- build: -t a -f A .\n- build: -t b -f B .\n- build: -t a -f A .\n- push: [a]\n",
        {"A": "FROM b", "B": "FROM a"},
    )

    assert images(found) == ["docker.io/library/b:latest runtime"]
    assert str(found.final) == "docker.io/library/b:latest"


@pytest.mark.parametrize("last", ["- push: [a]\n", "- cmd: docker tag a b\n- push: [b]\n"])
def test_a_build_on_the_image_that_its_own_run_pushed_before(last: str) -> None:
    """Each run would start the next one, so it is none of what the task waits for."""
    found = steps(f"- build: -t a .\n{last}", {"Dockerfile": "FROM b\nCOPY --from=a / /a"})

    other = "a:latest build-time" if "docker" in last else "b:latest runtime"
    assert images(found) == [f"docker.io/library/{other}"]


@pytest.mark.parametrize("when", ["", "  when: ['-']\n"])
def test_an_image_that_is_read_before_it_is_made_is_the_registrys(when: str) -> None:
    """Unless a step says itself when it starts, which may be earlier than it is written."""
    found = steps(
        f"- build: -t app -f A .\n- build: -t base -f B .\n{when}- push: [app]\n",
        {"A": "FROM base", "B": "FROM sdk"},
    )

    own = [] if when else ["docker.io/library/base:latest runtime"]
    assert images(found) == [*own, "docker.io/library/sdk:latest build-time"]


def test_the_last_pushed_image_has_the_final_base() -> None:
    """Several images may be pushed; each has its base, and the last one's is the final one."""
    found = steps(
        "- build: -t a -f A .\n- build: -t b -f B .\n- build: -t t -f C .\n- push: [a, b]\n",
        {"A": "FROM one", "B": "FROM two", "C": "FROM three"},
    )

    assert [(str(use.reference), use.kind.value, use.line) for use in found.images] == [
        ("docker.io/library/one:latest", "runtime", 3),
        ("docker.io/library/two:latest", "runtime", 4),
        ("docker.io/library/three:latest", "build-time", 5),
    ]
    assert str(found.final) == "docker.io/library/two:latest"


@pytest.mark.parametrize(
    "after",
    [
        '- push: ["{{.Run.Registry}}/app:{{ .Run.ID }}"]',
        "- push:\n  - other\n  - $Registry/app:$ID",
        "- cmd: docker push -q $Registry/app:$ID",
        "- cmd: docker tag $Registry/app:$ID r.io/b\n- push: [r.io/b:latest]",
        "- cmd: docker tag $Registry/app:$ID b\n- cmd: docker image tag b c\n- push: [c]",
    ],
)
def test_an_image_that_is_pushed(after: str) -> None:
    """A push is known by any name of the image, with what is not known in it."""
    found = steps(f"- build: -t $Registry/app:$ID .\n{after}\n")

    assert images(found) == [f"{NODE} runtime"]
    assert found.builds[0].pushed


def test_the_same_image_once_per_kind() -> None:
    """An image counts at its first line, once for each kind; a pushed one's base needs no other."""
    found = steps(
        "- cmd: node a\n- cmd: node b\n- build: -t t -f D .\n- build: -t app -f E .\n"
        "- push: [app]\n",
        {
            "D": "FROM node",
            "E": "FROM alpine AS a\nFROM alpine\nCOPY --from=a / /\nCOPY --from=node / /",
        },
    )

    assert [(str(use.reference), use.kind.value, use.line) for use in found.images] == [
        ("docker.io/library/node:latest", "tool", 3),
        ("docker.io/library/node:latest", "build-time", 5),
        ("docker.io/library/alpine:latest", "build-time", 6),
        ("docker.io/library/alpine:latest", "runtime", 6),
    ]


# Arguments that are not known, and Dockerfiles that cannot be read.


def test_arguments_that_only_a_run_knows() -> None:
    """An image that depends on such an argument is unknown, every other one is not."""
    found = steps(
        "- build: -t app --build-arg ID=$ID --build-arg V=x{{.Values.secret}} -f D .\n"
        "- push: [app]\n",
        {
            "D": "ARG ID\nARG V\nFROM go AS g\nFROM app:$ID AS a\nFROM tools:$V AS t\nFROM node\n"
            "COPY --from=g / /\nCOPY --from=a / /\nCOPY --from=t / /\n"
        },
        hidden=("secret",),
    )

    assert images(found) == [
        "docker.io/library/go:latest build-time",
        "docker.io/library/node:latest runtime",
    ]
    assert told(found).splitlines() == [
        (
            "3: D, line 4: docker.io/library/app:{{.Run.ID}}: the id of a run is known only when it"
            " starts"
        ),
        "3: D, line 5: docker.io/library/tools:x{{.Values.secret}}: the value secret is secret",
    ]
    assert str(found.final) == "docker.io/library/node:latest"


def test_a_base_that_only_a_run_knows() -> None:
    """If it is the base that is unknown, there is no final one."""
    found = steps(
        "- build: -t app --build-arg ID=$ID -f D .\n- push: [app]\n",
        {"D": "ARG ID\nFROM app:$ID"},
    )

    assert (found.images, found.final, len(found.unknown)) == ((), None, 1)


def test_an_argument_that_chooses_without_a_trace() -> None:
    """An image that is chosen by an argument and does not name it is not believed."""
    found = steps(
        "- build: -t a --build-arg V={{.Values.secret}} -f D .\n- push: [a]\n",
        {"D": "ARG V\nFROM node${V:+:1}\n"},
        hidden=("secret",),
    )

    assert found.images == ()
    assert "the value secret is secret" in told(found)


def test_an_argument_that_must_not_be_empty() -> None:
    """A build that would fail with a value does not count against the others."""
    found = steps(
        "- build: -t a --build-arg V=$Commit -f D .\n",
        {"D": "ARG V\nFROM x:${V:?none} AS x\nFROM node\n"},
    )

    assert images(found) == ["docker.io/library/node:latest build-time"]
    assert found.unknown == ()


def test_dockerfiles_that_cannot_be_read() -> None:
    """Why one could not be read is said, with its step, and with what else is missing."""
    found = steps(
        "- build: -f D .\n- build: -f $ID .\n- build: -f E --build-arg V=$ID .\n- build: -f F .\n",
        {"F": "FROM\n"},
    )

    assert told(found).splitlines() == [
        "3: D: there is no file D",
        "4: {{.Run.ID}}: the id of a run is known only when it starts",
        "5: E: there is no file E; the id of a run is known only when it starts",
        f"6: F: the builder refuses it: {found.builds[3].refusal}",
    ]
    assert [bool(build.unread) for build in found.builds] == [True, True, True, False]
    assert not any(missed.makes for missed in found.unknown)


def test_names_begin_at_the_repository() -> None:
    """A Dockerfile is told with the folder that the context is, in its repository."""
    found = read("steps:\n- build: -t a .\n- build: https://x/y.git\n", folder="src/app")

    assert [build.dockerfile for build in found.builds] == ["src/app/Dockerfile", "Dockerfile"]


def test_reading_is_bounded() -> None:
    """A file of thousands of builds of a large Dockerfile is no work."""
    files = Files({"Dockerfile": "FROM node\n" + "# x\n" * 50_000})
    found = steps("- build: .\n" * 300, files)

    assert "there are more than 200 builds" in told(found)
    assert "the Dockerfiles together are over" in told(found)


def test_shells_inside_of_shells_are_bounded() -> None:
    """Each may start another."""
    command = "docker pull node"
    for _ in range(3):
        command = f"sh -c {command!r}".replace("\\'", "'\"'\"'") if "'" not in command else command
    nested = "docker " + "sh -c \"sh -c 'docker pull node'\""

    assert images(cmd(nested)) == ["docker.io/library/node:latest build-time"]
    deep = "docker pull node"
    for _ in range(8):
        quoted = deep.replace("\\", "\\\\").replace('"', '\\"')
        deep = f'sh -c "{quoted}"'
    assert "what a script does is not followed" in told(cmd(f"docker {deep}")) or (
        "inside each other" in told(cmd(f"docker {deep}"))
    )


def test_a_build_argument_without_a_value() -> None:
    """ACR's scanner, which looks at build steps only, refuses it; docker takes its own."""
    found = steps("- build: --build-arg A --build-arg B=1 .\n- cmd: docker build --build-arg A .\n")

    assert [build.bare_arguments for build in found.builds] == [("A",), ()]
    assert [text.partition(" has")[0] for text in output_of(found).warnings] == ["`--build-arg A`"]


@pytest.mark.parametrize("name", ["a{b", "{0.__class__}", "{}", "%s{x}"])
def test_a_name_with_braces_is_a_name(name: str) -> None:
    """It is told as it is, in a warning, too, and fills in nothing."""
    found = steps(f"- build: -f '{name}' .\n", {name: f"FROM {NODE}\nRUN --mount=type=ssh x\n"})

    (warning,) = output_of(found).warnings
    assert warning.startswith(f"{name} needs BuildKit (line 2: RUN --mount)")
