"""Programs that steps run: other builders, the Azure CLI, shells, and what writes files."""

from __future__ import annotations

import pytest

from rebuilder.core.acr.tasks import Makes
from rebuilder.core.dependencies.effects import Builder, output_of
from tests.unit.taskfile.reading import NODE, images, read, steps, told

FILES = {"Dockerfile": f"FROM {NODE}", "app/D": f"FROM {NODE}"}


@pytest.mark.parametrize(
    ("command", "image"),
    [
        ("mybase.azurecr.io/tools:1 run it", "mybase.azurecr.io/tools:1"),
        ("$Registry/tools", "myapps.azurecr.io/tools:latest"),
        ("'{{.Run.Registry}}/tools x'", "myapps.azurecr.io/tools:latest"),
        # The agent puts the command behind `docker run`.
        ("-e A=b --rm -it --name=n tools", "docker.io/library/tools:latest"),
        ("--volume a:b -p 1:2 -- tools", "docker.io/library/tools:latest"),
        ("'-ea=b tools'", "docker.io/library/tools:latest"),
        ("--some-new-flag x tools", "docker.io/library/tools:latest"),
        ("> \n    tools\n    --run", "docker.io/library/tools:latest"),
        ("docker:27 ps", "docker.io/library/docker:27"),
    ],
)
def test_the_image_of_a_command_is_a_tool(command: str, image: str) -> None:
    """The image is the first word after what else `docker run` takes; what it does is its own."""
    found = steps(f"- cmd: {command}")

    assert images(found) == [f"{image} tool"]
    assert (found.pushes, found.unknown) == ((), ())
    assert output_of(found).makes is Makes.NOTHING


def test_the_agents_own_docker_is_no_image_of_a_registry() -> None:
    """It stands in no registry under that name, so nothing about it moves."""
    found = steps("- cmd: docker ps\n- cmd: docker:latest ps\n- build: .\n- cmd: buildx ls\n")

    assert images(found) == [f"{NODE} build-time"]


def test_a_step_has_more_than_its_command() -> None:
    """Entry point, user and ports stand on the same line; an entry point begins the words."""
    found = read(
        "steps:\n- cmd: tool -c 'docker pull mybase.azurecr.io/node:18'\n  entryPoint: sh\n"
        "  user: root\n  isolation: x\n  cpus: '2'\n  ports: ['80']\n  expose: ['81']\n"
    )

    assert images(found) == ["docker.io/library/tool:latest tool", f"{NODE} build-time"]


# Other builders.


@pytest.mark.parametrize(
    ("command", "builder", "pushed"),
    [
        ("gcr.io/kaniko-project/executor:v1 --context . -d {own}", Builder.KANIKO, True),
        (
            "gcr.io/kaniko-project/executor:debug -c=dir:///workspace/app -f=D -d={own}",
            Builder.KANIKO,
            True,
        ),
        (
            "gcr.io/kaniko-project/executor --context-sub-path app -f D --destination {own}",
            Builder.KANIKO,
            True,
        ),
        ("gcr.io/kaniko-project/executor --no-push --destination {own}", Builder.KANIKO, False),
        ("gcr.io/kaniko-project/executor --target x", Builder.KANIKO, False),
        ("alpine /kaniko/executor --destination {own}", Builder.KANIKO, True),
        ("r.j3ss.co/img build -t {own} .", Builder.IMG, False),
        ("tools sh -c 'img build -t {own} . && img push {own}'", Builder.IMG, True),
        (
            "tools sh -c 'buildah bud -t a . && buildah push a docker://{own}'",
            Builder.BUILDAH,
            True,
        ),
        ("quay.io/buildah/stable buildah build -f app/D -t {own} .", Builder.BUILDAH, False),
        ("tools sh -c 'podman build -t {own} .; podman push {own}'", Builder.BUILDAH, True),
        (
            "tools sh -c 'buildah build -t a .; buildah tag a {own}; buildah push {own}'",
            Builder.BUILDAH,
            True,
        ),
    ],
)
def test_other_builders(command: str, builder: Builder, pushed: bool) -> None:  # noqa: FBT001 - a parameter
    """They read a Dockerfile as BuildKit does, or as little as the classic builder."""
    own = "myapps.azurecr.io/app:1"
    files = dict.fromkeys(FILES, f"# syntax=docker/dockerfile:1\nFROM {NODE} AS x\n")
    found = steps(f"- cmd: {command.replace('{own}', own)}", files)

    (build,) = found.builds
    assert build.builder is builder
    assert f"{NODE} {'runtime' if pushed else 'build-time'}" in images(found)
    assert found.pushes == ((own,) if pushed else ())
    assert ("docker.io/docker/dockerfile:1 frontend" in images(found)) is (builder is Builder.IMG)
    assert found.unknown == ()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("-c git://x", "a context at git://x is not read"),
        ("--new", "the flag --new is not known"),
        ("-f /etc/x", "outside of the context"),
        ("-f $ID", "the id of a run"),
    ],
)
def test_a_build_of_kaniko_that_is_not_known(flags: str, reason: str) -> None:
    """What it pushes is known all the same."""
    found = steps(f"- cmd: gcr.io/kaniko-project/executor {flags} -d $Registry/a:1")

    assert reason in told(found)
    assert found.pushes == ("myapps.azurecr.io/a:1",)


@pytest.mark.parametrize(
    ("command", "reads", "pushes"),
    [
        (
            "tools skopeo copy --all docker://{node} docker://$Registry/n",
            f"{NODE} runtime",
            "n:latest",
        ),
        ("tools crane copy {node} $Registry/n:1", f"{NODE} runtime", "n:1"),
        ("tools crane tag $Registry/n:1 v2", "myapps.azurecr.io/n:1 runtime", "n:v2"),
        ("tools crane tag $Registry/n v2", "myapps.azurecr.io/n:latest runtime", "n:v2"),
        ("tools skopeo inspect docker://{node}", "", ""),
        ("tools crane digest {node}", "", ""),
        ("tools buildah", "", ""),
    ],
)
def test_copies_between_registries(command: str, reads: str, pushes: str) -> None:
    """What is copied is what the copy stands on."""
    found = steps(f"- cmd: {command.replace('{node}', NODE)}")

    expected = sorted(filter(None, [reads, "docker.io/library/tools:latest tool"]))
    assert images(found) == expected
    assert found.pushes == ((f"myapps.azurecr.io/{pushes}",) if pushes else ())


# The Azure CLI.


@pytest.mark.parametrize(
    ("command", "reads", "pushes"),
    [
        ("acr import -n $RegistryName --source {node} -t node:18 --force", "{node}", ["node:18"]),
        ("acr import --name myapps.azurecr.io --source {node}", "{node}", ["node:18"]),
        ("acr import -n myapps --source {node} --image a:1 --image b:2", "{node}", ["a:1", "b:2"]),
        ("acr import -n myapps --source node:18 -r mybase.azurecr.io -t n:1", "{node}", ["n:1"]),
        (
            "acr import -n myapps --source app:1 -r myapps -t app:2",
            "myapps.azurecr.io/app:1",
            ["app:2"],
        ),
        ("acr build -r myapps -t app:1 .", "{node}", ["app:1"]),
        (
            "acr build --registry myapps --image app:1 -f app/D --build-arg A=b app",
            "{node}",
            ["app:1"],
        ),
    ],
)
def test_what_az_makes(command: str, reads: str, pushes: list[str]) -> None:
    """Imports and builds go to a registry; what they stand on is known."""
    for program in ("az", "mcr.microsoft.com/azure-cli az", "tools sh -c 'az login; az {}'"):
        whole = command.replace("{node}", NODE)
        text = program.replace("{}", whole) if "{}" in program else f"{program} {whole}"
        found = steps(f"- cmd: {text}", FILES)

        assert f"{reads.replace('{node}', NODE)} runtime" in images(found)
        assert list(found.pushes) == [f"myapps.azurecr.io/{name}" for name in pushes]
        assert [m for m in found.unknown if not m.tool] == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("acr import -n other --source {node}", "from where, and to where"),
        ("acr import -n myapps --source node:18 -r other", "from where, and to where"),
        ("acr import -n myapps", "from where, and to where"),
        ("acr import -n myapps --source {node} --repository x", "from where, and to where"),
        ("acr import -n myapps --source {node} --new x", "from where, and to where"),
        ("acr build -r other -t app:1 .", "the login server of its registry is not known"),
        ("acr build -r myapps -t app:1 --new .", "the flag --new is not known"),
        ("acr build -r myapps -t app:1 ..", "outside of the context"),
        ("acr task run -n x", "what az acr task makes"),
        ("acr run -r myapps -f x .", "what az acr run makes"),
        ("acr build -r", "flag needs an argument"),
    ],
)
def test_what_az_does_not_tell(command: str, reason: str) -> None:
    """A name does not tell a login server for sure; other tasks make images of their own."""
    found = steps(f"- cmd: az {command.replace('{node}', NODE)}", FILES)

    assert reason in told(found)


@pytest.mark.parametrize(
    "command",
    ["login --identity", "acr login -n x", "acr repository list", "acr", "group list", "version"],
)
def test_what_az_makes_no_image_of(command: str) -> None:
    """Deployments and the like are none of images."""
    found = steps(f"- cmd: az {command}")

    assert output_of(found).makes is Makes.NOTHING
    assert "the agent's release" in told(found)  # which azure-cli it is


# Shells and scripts.


@pytest.mark.parametrize(
    ("command", "told_of"),
    [
        ("bash ./build.sh", "what build.sh does"),
        ("ubuntu bash build.sh", "what a script does"),
        ("ubuntu sh -ex ./a/b", "what a script does"),
        ("ubuntu ./tools/build.py", "what build.py does"),
        ("ubuntu make image", "what make does"),
        ("ubuntu pwsh -c x", "what pwsh does"),
        ("ubuntu sh -c 'xargs docker pull'", "what xargs does"),
        ("ubuntu sh -c 'a; . ./env; b'", "what . does"),
        ("ubuntu sh -c 'for i in a; do b; done'", "from here on is not followed"),
        ("ubuntu sh -c 'x $(docker push a)'", "what `$(docker push a)` does"),
        ("tool x && if a; then b; fi", "from here on is not followed"),
        ("tools oras push x", "what oras does"),
        ("tools img frobnicate", "what img frobnicate does"),
        ("tools skopeo sync x y", "what skopeo sync does"),
    ],
)
def test_what_is_not_followed_is_told(command: str, told_of: str) -> None:
    """Whether such a step makes an image is not known."""
    found = steps(
        f"- cmd: {command!r}".replace("\\'", "'")
        if "'" not in command
        else f"- cmd: |\n    {command}"
    )

    assert told_of in told(found)
    assert output_of(found).makes is Makes.UNKNOWN


@pytest.mark.parametrize(
    "command",
    [
        "bash echo hello",
        "bash -c 'echo hello; true && ls'",
        "ubuntu sh -c 'cd x && npm test'",
        "ubuntu sh",
        "ubuntu sh -c",
        "ubuntu timeout 5 sleep 3",
        "ubuntu env A=b sleep 3",
        "mcr.microsoft.com/acr/acr-cli:0.19 purge --filter 'a:.*' --ago 1d",
        "acr purge --filter 'a:.*' --ago 1d",
        "curl -o out https://example.com",
        "tool --output json",
        "tool {{.Run.ID}}",
    ],
)
def test_what_makes_no_image(command: str) -> None:
    """A purge, a test, a deployment: its arguments are its own business."""
    found = steps(f"- cmd: |\n    {command}")

    assert output_of(found).makes is Makes.NOTHING
    assert [m for m in found.unknown if not m.tool] == []


def test_folders_and_variables_of_a_script() -> None:
    """A `cd` leads further, what is exported stays, and what is set for one command does not."""
    found = steps(
        "- cmd: |\n    docker sh -c 'cd app && R=myapps.azurecr.io; export T=1; X=2 true; unset N;"
        " docker build -t $R/a:$T -f D . && docker push $R/a:$T'\n  env: [N=1]\n",
        FILES,
    )

    assert found.pushes == ("myapps.azurecr.io/a:1",)
    assert found.builds[0].dockerfile == "app/D"
    gone = steps("- cmd: |\n    docker sh -c 'cd \"$HOME\"; docker build -t a .'", FILES)
    assert "its image's own folder" in told(gone)
    back = steps("- cmd: |\n    docker sh -c 'cd; cd -; docker build -t a .'", FILES)
    assert "its image's own folder" in told(back)


def test_programs_that_start_others() -> None:
    """What env, sudo, exec and timeout start is what runs."""
    for start in ("env A=b -i", "sudo -E", "exec", "nohup", "timeout 60", "time", "command"):
        found = steps(f"- cmd: |\n    docker sh -c '{start} docker pull {NODE}'")
        if start != "time":  # a word of the shell's own
            assert images(found) == [f"{NODE} build-time"]


# Files that a step writes.

BUILD = "- build: -t $Registry/app:1 -f app/D .\n- push: [$Registry/app:1]\n"


@pytest.mark.parametrize(
    "command",
    [
        "bash -c 'echo FROM x > app/D'",
        "bash -c 'echo x >> ./app/D'",
        "bash -c 'echo x &> app/D'",
        "bash -c 'echo x | tee app/D'",
        "bash -c 'sed -i s/a/b/ app/D'",
        "bash -c 'sed -e s/a/b/ --in-place app/D'",
        "bash -c 'perl -pi -e s/a/b/ app/D'",
        "bash -c 'cp other/D app/D'",
        "bash -c 'cp D app'",
        "bash -c 'mv other app/D'",
        "bash -c 'mv app/D other'",
        "bash -c 'cd app && rm D'",
        "bash -c 'ln -s x app/D'",
        "bash -c 'git clone https://github.com/a/app'",
        "bash -c 'git clone https://github.com/a/b.git app'",
        "bash -c 'git checkout main'",
        "bash -c 'git submodule update'",
        "bash -c 'patch -p1'",
        "bash cp other app/D",
        "bash echo x > app/D",
        "mcr.microsoft.com/oryx/cli:debian oryx dockerfile --output ./app/D .",
        "gen:1 --out=app/D",
        "gen:1 -o app",
        "docker cp c:/x app/D",
        "bash -c 'cp a b /workspace/app'",
    ],
)
def test_a_dockerfile_that_a_step_writes(command: str) -> None:
    """It is not what is built any more, so nothing of it is claimed."""
    found = steps(f"- cmd: |\n    {command}\n{BUILD}", {**FILES, "D": "", "b": ""})

    if command.startswith("bash -c 'cp a b"):
        # Into a folder of it, under other names.
        assert f"{NODE} runtime" not in images(found) or "b" in command
        return
    assert f"{NODE} runtime" not in images(found)
    assert found.pushes == ("myapps.azurecr.io/app:1",)
    assert "line 3" in told(found)


@pytest.mark.parametrize(
    "command",
    [
        "bash -c 'cat app/D'",
        "bash -c 'sed s/a/b/ app/D'",
        "bash -c 'echo x > other; cp app/D copy; rm x'",
        "bash -c 'echo x > /tmp/D 2>&1; echo x > $OUT'",
        "bash -c 'git status; git log; git clone https://github.com/a/b.git'",
        "hadolint/hadolint hadolint app/D",
        "tool --output . x",
        "tool -o",
        "tool -o -x",
        "docker cp app/D c:/x",
        "bash ./prepare.sh",
        "tool:1 generate",
    ],
)
def test_a_step_that_is_not_known_to_write_it_takes_nothing_away(command: str) -> None:
    """The answer stays; what is not followed is told beside it."""
    found = steps(f"- cmd: |\n    {command}\n{BUILD}", FILES)

    assert f"{NODE} runtime" in images(found)


def test_a_dockerfile_of_elsewhere_is_not_written() -> None:
    """What a step writes is in the workspace, and not in a repository that is fetched."""
    found = steps(
        "- cmd: bash -c 'echo x > Dockerfile'\n- build: -t a https://github.com/a/b.git\n", FILES
    )

    assert images(found) == [f"{NODE} build-time"]
