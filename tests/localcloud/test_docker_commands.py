"""Commands of docker in task files, carried out by either builder: `cmd: docker ...`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from localcloud.state import Json, Registry, Run, Task
from tests import images
from tests.runs import carry_out, encode, logged, of_task, outputs

URL = "https://github.com/contoso/app.git"
BASE = "mybase.azurecr.io/os:1"
CREDENTIALS = {"customRegistries": {"mybase.azurecr.io": {"identity": "[system]"}}}
BUILDAH = pytest.param("buildah", marks=pytest.mark.needs("buildah", "busybox"))
HEAD = "version: v1.1.0\nsteps:\n"


@pytest.fixture(name="clouds", params=["embedded", BUILDAH])
def _clouds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path / "cloud", builder=request.param) as cloud:
        yield cloud


@pytest.fixture(name="plain")
def _plain(tmp_path: Path) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path / "cloud", builder="embedded") as cloud:
        yield cloud


class Stage:
    """Two registries, a context, and a task whose identity may pull from the base registry."""

    def __init__(self, cloud: LocalCloud, folder: Path) -> None:
        self.cloud = cloud
        self.base = images.registry(cloud, "mybase")
        self.apps = images.registry(cloud, "myapps")
        self.source = folder / "source"
        self.source.mkdir()
        cloud.map_context(URL, self.source)
        self.task = images.task(self.apps, "tasks", None, credentials=CREDENTIALS)
        self.identity = images.identify(cloud, self.apps, self.task, ("AcrPull", self.base))
        self.digest = images.push(cloud, self.base, "os", "1", "one", {"etc/os": b"one"})

    def write(self, **files: str) -> None:
        """Write files into the context; a `__` in a name is a slash."""
        for name, text in files.items():
            path = self.source / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def run(self, text: str, **values: str) -> Run:
        """Carry out a task file as the task does."""
        self.task.properties["step"] = {
            "type": "EncodedTask",
            "contextPath": URL,
            "encodedTaskContent": encode(text),
        }
        given = [{"name": name, "value": value} for name, value in values.items()]
        return carry_out(self.cloud, self.apps, of_task(self.apps, "tasks", values=given))

    def commands(self, *lines: str, more: str = "") -> Run:
        """Carry out a task file of commands, which succeeds."""
        run = self.run(HEAD + "".join(f"- cmd: {line}\n{more}" for line in lines))
        assert run.properties["status"] == "Succeeded", logged(run)
        return run

    def fails(self, *lines: str) -> str:
        """Carry out a task file of commands, which fails; return why."""
        run = self.run(HEAD + "".join(f"- cmd: {line}\n" for line in lines))
        assert run.properties["status"] == "Failed", logged(run)
        return str(run.properties["runErrorMessage"])

    def manifest(self, name: str, registry: Registry | None = None) -> Json:
        """Return the manifest of repository:tag in the registry of the applications."""
        repository, _, tag = name.partition(":")
        held = self.cloud.registry.manifest(registry or self.apps, repository, tag)
        assert held is not None
        return {**held.content, "digest": held.digest, "type": held.media_type}

    def config(self, name: str, digest: str = "") -> Json:
        """Return the configuration of an image, or of one of an index."""
        repository = name.partition(":")[0]
        manifest = self.manifest(f"{repository}:{digest}" if digest else name)
        data = self.cloud.registry.blob(self.apps, repository, manifest["config"]["digest"])
        found: Json = json.loads(data or b"{}")
        return found

    def platforms(self, name: str) -> dict[str, Json]:
        """Return the configurations of an index, by architecture."""
        return {
            entry["platform"]["architecture"]: self.config(name, entry["digest"])
            for entry in self.manifest(name)["manifests"]
        }


@pytest.fixture(name="stage")
def _stage(clouds: LocalCloud, tmp_path: Path) -> Stage:
    return Stage(clouds, tmp_path)


@pytest.fixture(name="embedded")
def _embedded(plain: LocalCloud, tmp_path: Path) -> Stage:
    return Stage(plain, tmp_path)


def recorded(task: Task) -> list[Json] | None:
    """Return what ACR has recorded of a task."""
    found: list[Json] | None = task.properties["step"].get("baseImageDependencies")
    return found


def push_index(stage: Stage, repository: str, tag: str, *architectures: str) -> str:
    """Push an index to the base registry, whose images have files of their own."""
    platforms = {name: {"etc/arch": name.encode()} for name in architectures}
    return images.push_index(stage.cloud, stage.base, repository, tag, platforms)


def test_pulled_tagged_and_pushed_it_is_the_same_image(stage: Stage) -> None:
    """The digest is the source's own; nothing is built, so ACR records nothing."""
    run = stage.commands(
        f"docker pull {BASE}", f"docker tag {BASE} $Registry/os:1", "docker push $Registry/os:1"
    )
    assert stage.manifest("os:1")["digest"] == stage.digest
    assert outputs(run) == []
    assert recorded(stage.task) is None
    assert f"{BASE}: Digest: {stage.digest}" in logged(run)


def test_a_push_step_pushes_what_was_pulled(stage: Stage) -> None:
    """The images of a run are one docker's, whoever put them there."""
    stage.write(Dockerfile="FROM scratch\nLABEL a=1\n")
    run = stage.run(
        f"{HEAD}- cmd: docker pull {BASE} && docker tag {BASE} $Registry/os:2\n"
        "- build: -t $Registry/own:1 .\n"
        "- cmd: docker tag $Registry/own:1 $Registry/own:2; docker push -q $Registry/own:2\n"
        "- push: [$Registry/os:2]\n"
    )
    assert run.properties["status"] == "Succeeded", logged(run)
    assert stage.manifest("os:2")["digest"] == stage.digest
    assert stage.config("own:2")["config"]["Labels"] == {"a": "1"}
    # ACR's scanner looks at build steps, and of theirs own:1 was not pushed.
    assert outputs(run) == []


@pytest.mark.parametrize(
    "command",
    [
        f"docker pull {BASE} && docker tag {BASE} $Registry/x:1 && docker push $Registry/x:1",
        f"docker pull {BASE}; docker tag {BASE} $Registry/x:1; docker push $Registry/x:1",
        (
            f"docker sh -c 'docker pull {BASE} && docker tag {BASE} {{{{.Run.Registry}}}}/x:1 &&"
            " docker push {{.Run.Registry}}/x:1'"
        ),
        (
            f"docker.io/library/docker:24 --log-level debug -D --config /x image pull -q {BASE} &&"
            f" docker image tag {BASE} $Registry/x:1 && docker image push $Registry/x:1"
        ),
        (
            f"docker pull {BASE} && IMAGE=$Registry/x:1 && docker tag {BASE} $IMAGE &&"
            " docker push ${IMAGE}"
        ),
        (
            f"docker bash -ec 'set -u; echo go; docker pull {BASE}; sh -c \"docker tag {BASE}"
            " {{.Run.Registry}}/x:1\"; docker push {{.Run.Registry}}/x:1; exit 0; docker rmi none'"
        ),
        (
            f"bash echo go || docker pull {BASE} && docker tag {BASE} $Registry/x:1 &&"
            " docker push $Registry/x:1"
        ),
    ],
)
def test_the_rest_of_a_line_is_the_shells(embedded: Stage, command: str) -> None:
    """What follows runs in the agent's own shell; `sh -c` runs in docker's image."""
    embedded.commands(command)
    assert embedded.manifest("x:1")["digest"] == embedded.digest


def test_a_command_that_fails_stops_what_hangs_on_it(embedded: Stage) -> None:
    """After `&&` nothing is done, after `;` and `||` it is; the last one decides."""
    said = embedded.fails(f"docker tag none:1 x && docker pull {BASE}")
    assert "No such image: none:1" in said
    assert "Digest" not in logged(list(embedded.apps.runs.values())[-1])
    embedded.commands(f"docker tag none:1 x; docker pull {BASE}")
    embedded.commands("docker tag none:1 x || docker version")
    assert "No such image" in embedded.fails("docker sh -ec 'docker tag none:1 x; docker version'")
    assert "exit status 1" in embedded.fails("docker version && false")
    assert "exit status 3" in embedded.fails("docker sh -c 'exit 3'")


def test_what_is_local_goes_before_what_the_registry_has(stage: Stage) -> None:
    """A build stands on what was pulled or tagged in the run, as docker has it."""
    stage.write(Dockerfile="FROM local/base:x\nCOPY --from=local/base:x /etc/os /copied\n")
    run = stage.run(
        f"{HEAD}- cmd: docker pull {BASE} && docker tag {BASE} local/base:x\n"
        "- build: -t $Registry/app:1 .\n"
        "- push: [$Registry/app:1]\n"
    )
    assert run.properties["status"] == "Succeeded", logged(run)
    layers = stage.manifest("app:1")["layers"]
    assert layers[0]["digest"] == stage.manifest("os:1", stage.base)["layers"][0]["digest"]
    assert outputs(run) == ["app:1"]


def test_digests_are_looked_for_at_the_end(embedded: Stage) -> None:
    """A base that the run itself builds and pushes is recorded as it was pushed."""
    embedded.write(Base="FROM scratch\nLABEL a={{x}}\n", App="FROM myapps.azurecr.io/base:1\n")
    text = (
        f"{HEAD}- build: -t $Registry/base:1 -f Base --label n={{{{.Values.n}}}} .\n"
        "- build: -t $Registry/app:1 -f App .\n"
        "- push: [$Registry/base:1, $Registry/app:1]\n"
    )
    for number in "12":
        run = embedded.run(text, n=number)
        assert run.properties["status"] == "Succeeded", logged(run)
        _, found = recorded(embedded.task) or []
        assert found["digest"] == embedded.manifest("base:1")["digest"]
    assert outputs(run) == ["base:1", "app:1"]


def test_what_docker_has_never_seen_fails_at_the_end(embedded: Stage) -> None:
    """The scanner minds a stage's case, docker does not: then there is no such image to ask for."""
    embedded.write(Dockerfile=f"FROM {BASE} AS One\nFROM one\n")
    run = embedded.run(f"{HEAD}- build: -t $Registry/a:1 .\n- push: [$Registry/a:1]\n")
    assert run.properties["status"] == "Failed"
    assert "failed to query digests, msg: Error: No such object: library/one:latest" in logged(run)
    assert embedded.manifest("a:1")


def test_docker_builds_with_buildkit_unless_told_not_to(stage: Stage) -> None:
    """An unused stage whose base is gone is nothing to BuildKit; the classic builder needs it."""
    stage.write(
        Dockerfile=f"# syntax=docker/dockerfile:1\nFROM mybase.azurecr.io/gone:1\nFROM {BASE}\n"
        "ARG TARGETARCH\nARG WHO\nLABEL arch=$TARGETARCH who=$WHO\n"
    )
    run = stage.commands(
        "docker build -t $Registry/a:1 --build-arg WHO --label=x=y . && docker push $Registry/a:1",
        more="  env: [WHO=me]\n",
    )
    labels = stage.config("a:1")["config"]["Labels"]
    assert (labels["arch"], labels["who"], labels["x"]) == ("amd64", "me", "y")
    assert "docker-image://docker/dockerfile:1" in logged(run)
    for image, environment in (("docker", "DOCKER_BUILDKIT=0"), ("docker:20.10", "A=b")):
        run = stage.run(f"{HEAD}- cmd: {image} build -t x .\n  env: [{environment}]\n")
        assert "gone" in run.properties["runErrorMessage"], logged(run)


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ("RUN --mount=type=cache,target=/x true", "the --mount option requires BuildKit. Refer to"),
        ("RUN --network=none true", "the --network option requires BuildKit."),
        ("COPY --chmod=755 Dockerfile /", "the --chmod option requires BuildKit."),
        ("ADD --chmod=755 Dockerfile /", "the --chmod option requires BuildKit."),
        ("COPY <<EOF /x\na\nEOF", "COPY failed: no source files were specified"),
    ],
)
def test_what_needs_buildkit_fails_without(embedded: Stage, dockerfile: str, said: str) -> None:
    """In docker's words, in a build step that does not ask for it; with it, it is built."""
    embedded.write(Dockerfile=f"FROM {BASE}\n{dockerfile}\n")
    text = f"{HEAD}- build: -t $Registry/a:1 .\n"
    run = embedded.run(text)
    assert run.properties["status"] == "Failed"
    assert said in run.properties["runErrorMessage"]
    for kit in ("env: [DOCKER_BUILDKIT=1]", "cache: enabled"):
        run = embedded.run(f"{text}  {kit}\n")
        assert run.properties["status"] == "Succeeded", logged(run)


@pytest.mark.needs("buildah", "busybox")
def test_heredocs_run_with_buildkit_only(tmp_path: Path) -> None:
    """The classic builder takes the first line alone, so its shell reads nothing."""
    dockerfile = (
        'FROM node:9-alpine AS one\nSHELL ["/bin/sh", "-ec"]\n'
        "RUN <<EOF\necho kit > /made\nEOF\n"
        "RUN cat <<A > /cat && cat <<B >> /cat\n$HOME a\nA\nb\nB\n"
        "RUN touch /made /cat && cat /made /cat\n"
        "FROM one\nCOPY --link --from=one /made /\n"
    )
    with LocalCloud(tmp_path / "cloud", builder="buildah") as cloud:
        stage = Stage(cloud, tmp_path)
        stage.write(Dockerfile=dockerfile.replace("touch", "true"))
        run = stage.run(f"{HEAD}- build: -t x .\n  env: [DOCKER_BUILDKIT=1]\n")
        assert run.properties["status"] == "Succeeded", logged(run)
        assert [line.split(" ", 2)[-1] for line in run.log if line.endswith("kit")]
        stage.write(Dockerfile="FROM node:9-alpine\nRUN cat <<EOF > /x\nbody\nEOF\nRUN cat /x\n")
        run = stage.run(f"{HEAD}- build: -t x .\n")
        assert run.properties["status"] == "Succeeded", logged(run)
        assert not [line for line in run.log if line.endswith(" body")]
        stage.write(Dockerfile="FROM node:9-alpine\nCOPY <<EOF /x\na\nEOF\n")
        run = stage.run(f"{HEAD}- build: -t x .\n  env: [DOCKER_BUILDKIT=1]\n")
        assert "buildah does not do COPY with a heredoc" in logged(run)


def test_an_index_is_pushed_for_several_platforms(stage: Stage) -> None:
    """Each platform stands on its own image of the base's index, or on the only one there is."""
    push_index(stage, "multi", "1", "amd64", "arm64")
    stage.write(
        Dockerfile=f"FROM mybase.azurecr.io/multi:1\nCOPY --from={BASE} /etc/os /os\n"
        "ARG TARGETARCH TARGETPLATFORM\nLABEL built=$TARGETPLATFORM\n"
    )
    run = stage.commands(
        "docker buildx create --use --name b",
        "docker buildx build --platform linux/amd64,linux/arm64 -t $Registry/m:1 -t $Registry/m:2"
        " --push --provenance=false .",
    )
    found = stage.platforms("m:1")
    assert {a: c["config"]["Labels"]["built"] for a, c in found.items()} == {
        "amd64": "linux/amd64",
        "arm64": "linux/arm64",
    }
    assert {a: c["config"]["Env"][0] for a, c in found.items()} == {
        "amd64": "TEXT=amd64",
        "arm64": "TEXT=arm64",
    }
    assert stage.manifest("m:2")["digest"] == stage.manifest("m:1")["digest"]
    stage.write(Single=f"FROM {BASE}\n")
    stage.commands(
        "docker buildx build --platform linux/amd64,linux/arm64 -t $Registry/s:1 --push -f Single ."
    )
    assert {a: c["architecture"] for a, c in stage.platforms("s:1").items()} == {
        "amd64": "amd64",
        "arm64": "arm64",
    }
    assert f"WARNING: image with reference {BASE} was found but does not match" in logged(run)
    assert outputs(run) == []


def test_a_base_without_the_platform_fails(stage: Stage) -> None:
    """An index that lacks it has no image for it."""
    push_index(stage, "multi", "1", "amd64")
    stage.write(Dockerfile="FROM mybase.azurecr.io/multi:1\n")
    said = stage.fails("docker buildx build --platform linux/arm64 -t x .")
    assert "no matching manifest for linux/arm64" in said


def test_a_stage_may_be_for_another_platform(stage: Stage) -> None:
    """What is built on the machine's own platform is copied into the target's."""
    push_index(stage, "multi", "1", "amd64", "arm64")
    stage.write(
        Dockerfile="FROM --platform=$BUILDPLATFORM mybase.azurecr.io/multi:1 AS build\n"
        "LABEL from=$BUILDPLATFORM\nFROM mybase.azurecr.io/multi:1\n"
        "COPY --from=build /etc/arch /built-on\n"
    )
    stage.commands(
        "docker buildx build --platform=linux/arm64 -o type=image,push=true -t $Registry/m:1 ."
    )
    assert stage.config("m:1")["architecture"] == "arm64"
    assert "TEXT=arm64" in stage.config("m:1")["config"]["Env"]


def test_what_is_built_for_several_platforms_is_pulled_for_one(embedded: Stage) -> None:
    """A build step with BuildKit keeps the index; it is pushed whole, and pulled for one."""
    push_index(embedded, "multi", "1", "amd64", "arm64")
    embedded.write(Dockerfile="FROM mybase.azurecr.io/multi:1\n", Next="FROM myapps.azurecr.io/m:1")
    run = embedded.run(
        f"{HEAD}- build: --platform linux/amd64,linux/arm64 -t $Registry/m:1 .\n"
        "  env: [DOCKER_BUILDKIT=1]\n"
        "- cmd: docker build -t $Registry/next:1 -f Next . && docker images\n"
        "- push: [$Registry/m:1, $Registry/next:1]\n"
        "- cmd: docker pull --platform linux/arm64 mybase.azurecr.io/multi:1 &&"
        " docker tag mybase.azurecr.io/multi:1 $Registry/arm:1 && docker push $Registry/arm:1\n"
    )
    assert run.properties["status"] == "Succeeded", logged(run)
    assert set(embedded.platforms("m:1")) == {"amd64", "arm64"}
    assert embedded.config("next:1")["config"]["Env"] == ["TEXT=amd64"]
    assert embedded.config("arm:1")["config"]["Env"] == ["TEXT=arm64"]
    assert "kept as one" in logged(run)
    index = embedded.cloud.registry.manifest(embedded.base, "multi", "1")
    assert index is not None
    (found,) = recorded(embedded.task) or []
    assert found["digest"] == index.digest
    run = embedded.run(f"{HEAD}- build: --platform linux/amd64,linux/arm64 -t x .\n")
    assert "unknown operating system or architecture" in logged(run)


def test_bake_builds_what_its_files_say(stage: Stage) -> None:
    """HCL with variables, groups and inheritance; targets that stand on others; overrides."""
    stage.write(
        Dockerfile=f"ARG FROM={BASE}\nFROM $FROM AS base\nARG WHO\nLABEL who=$WHO\n"
        "FROM base AS last\nLABEL stage=last\n",
        App="FROM base\nLABEL app=1\n",
    )
    (stage.source / "docker-bake.hcl").write_text(
        """\
variable "REG" { default = "none" }
variable "TAG" { default = "1" }
group "default" { targets = ["app", "other"] }
target "common" {
  args = { WHO = "common" }
  labels = { "a.b" = "$${c}" }
}
target "base" {
  inherits = ["common"]
  target = "base"
}
target "app" {
  dockerfile = "App"
  contexts = { base = "target:base" }
  tags = ["${REG}/app:${TAG}"]
}
target "other" {
  inherits = ["common"]
  args = { WHO = notequal("", TAG) ? "other-${TAG}" : "none" }
  tags = ["${REG}/other:${TAG}"]
}
"""
    )
    run = stage.commands(
        f"docker buildx bake --push --set other.target=last --set *.args.FROM={BASE}",
        more="  env: [REG=$Registry, TAG=7]\n",
    )
    app, other = stage.config("app:7")["config"], stage.config("other:7")["config"]
    assert (app["Labels"]["app"], app["Labels"]["who"]) == ("1", "common")
    assert (other["Labels"]["who"], other["Labels"]["stage"]) == ("other-7", "last")
    assert other["Labels"]["a.b"] == "${c}"
    assert outputs(run) == []
    assert recorded(stage.task) is None


def test_bake_reads_json_and_compose_files(embedded: Stage) -> None:
    """Of the usual names, all that are there; for several platforms an index is pushed."""
    push_index(embedded, "multi", "1", "amd64", "arm64")
    embedded.write(
        sub__Dockerfile="FROM mybase.azurecr.io/multi:1\nARG A B\nLABEL a=$A b=$B\n",
        _dot_env="TAG=from-env\n",
    )
    (embedded.source / ".env").write_text("TAG=env\n")
    (embedded.source / "compose.yaml").write_text(
        "services:\n  web.one:\n    image: ${REG:?}/web:${TAG:-none}\n"
        "    build: {context: sub, args: [A=1, B]}\n  db: {image: postgres}\n"
    )
    (embedded.source / "docker-bake.json").write_text(
        json.dumps(
            {
                "variable": {"ARCHES": {"default": "linux/amd64,linux/arm64"}},
                "target": {"web_one": {"platforms": ["${ARCHES}"], "output": ["type=registry"]}},
            }
        )
    )
    embedded.commands("docker buildx bake", more="  env: [REG=$Registry, B=two]\n")
    found = embedded.platforms("web:env")
    assert {a: c["config"]["Labels"] for a, c in found.items()} == {
        "amd64": {"a": "1", "b": "two"},
        "arm64": {"a": "1", "b": "two"},
    }


def test_compose_builds_and_pushes(stage: Stage) -> None:
    """Services with a build, in a folder of their own; those that are named, or all."""
    stage.write(Dockerfile=f"FROM {BASE}\nARG WHO=nobody\nLABEL who=$WHO\n", Other=f"FROM {BASE}\n")
    (stage.source / "sub").mkdir()
    (stage.source / "sub" / "compose.yml").write_text(
        "services:\n"
        "  web:\n    image: $REG/web:1\n    build: {context: .., args: {WHO: web}}\n"
        "  job:\n    build: {context: .., dockerfile: Other, tags: ['${REG}/job:1']}\n"
        "  db: {image: postgres}\n"
    )
    stage.commands(
        "docker compose -f sub/compose.yml build --push --build-arg WHO=cli web && docker compose"
        " version",
        more="  env: [REG=$Registry]\n",
    )
    assert stage.config("web:1")["config"]["Labels"] == {"who": "cli"}
    assert stage.cloud.registry.manifest(stage.apps, "job", "1") is None
    run = stage.run(
        f"{HEAD}- cmd: docker compose --project-directory sub -f sub/compose.yml build\n"
        "  env: [REG=$Registry]\n- push: [$Registry/job:1]\n"
    )
    assert run.properties["status"] == "Succeeded", logged(run)
    assert stage.manifest("job:1")


def test_what_is_local_to_docker_is_told_and_taken_away(embedded: Stage) -> None:
    """Every tag of a repository is pushed at once; what was removed is no longer there."""
    run = embedded.commands(
        f"docker pull {BASE} && docker tag {BASE} $Registry/a:1 && docker tag {BASE} $Registry/a:2",
        "docker push --all-tags $Registry/a && docker images && docker info && docker --version",
        f"docker rmi {BASE} && docker logout mybase.azurecr.io",
    )
    assert embedded.manifest("a:2")["digest"] == embedded.manifest("a:1")["digest"]
    assert "myapps.azurecr.io/a 2 sha256:" in logged(run)
    assert f"Untagged: {BASE}" in logged(run)
    assert "No such image" in embedded.fails(f"docker rmi {BASE}")
    assert "does not exist locally" in embedded.fails("docker push -a $Registry/none")
    said = embedded.fails(f"docker logout mybase.azurecr.io && docker pull {BASE}")
    assert "unauthorized" in said


def test_docker_signs_in_with_a_password(embedded: Stage) -> None:
    """For the rest of the run; what a registry refuses is not kept."""
    embedded.task.properties["credentials"] = None
    password = embedded.base.admin_password
    login = "docker login -u mybase -p {} mybase.azurecr.io"
    embedded.commands(login.format(password), f"docker pull {BASE}")
    assert "unauthorized" in embedded.fails(login.format("wrong"))
    said = embedded.fails(f"docker login -u mybase mybase.azurecr.io && docker pull {BASE}")
    assert "unauthorized" in said
    embedded.task.properties["credentials"] = CREDENTIALS
    wrong = login.format("wrong")
    embedded.commands(f"docker sh -c '{wrong}; docker pull {BASE}'")


def test_whole_paths_name_the_context(stage: Stage) -> None:
    """/workspace is where the context is, for Dockerfile, context and working directory."""
    stage.write(sub__Docker_dot_file="FROM scratch\nCOPY sub /x\n", sub__file="x")
    stage.write(sub__Other="FROM scratch\nCOPY file /x/\n")
    run = stage.run(
        f"{HEAD}- build: -t $Registry/a:1 -f /workspace/sub/Docker.file /workspace\n"
        "- build: -t $Registry/b:1 -f Other /workspace/sub/../sub\n"
        "  workingDirectory: /workspace/sub\n"
        "- cmd: docker build -t $Registry/c:1 -f /workspace/sub/Other /workspace/sub\n"
        "  workingDirectory: sub\n"
        "- cmd: docker version && docker build -t $Registry/d:1 -f sub/Other sub\n"
        "  workingDirectory: sub\n"
        "- push: [$Registry/a:1, $Registry/b:1, $Registry/c:1, $Registry/d:1]\n"
    )
    assert run.properties["status"] == "Succeeded", logged(run)
    assert outputs(run) == ["a:1", "b:1"]
    for place in ("/etc", "/workspace/..", ".."):
        said = stage.fails(f"docker build -t x -f /workspace/sub/Other {place}")
        assert "the local cloud builds only below /workspace" in said or "outside" in said
    assert "path 'none' not found" in stage.fails("docker build none")
    assert "unable to find None in the context" in stage.fails("docker build -f None .")


def test_a_command_may_build_another_repository(embedded: Stage, tmp_path: Path) -> None:
    """Its Dockerfile is that context's own."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "Own").write_text("FROM scratch\nLABEL other=1\n")
    embedded.cloud.map_context("https://github.com/contoso/other.git", other)
    embedded.commands(
        "docker build -t $Registry/o:1 -f Own https://github.com/contoso/other.git &&"
        " docker push $Registry/o:1"
    )
    assert embedded.config("o:1")["config"]["Labels"] == {"other": "1"}


def test_a_role_that_is_missing_is_missed(embedded: Stage) -> None:
    """Commands have the credentials of the run and no more."""
    for assignment in embedded.cloud.roles.assignments():
        if assignment.principal_id == embedded.identity:
            embedded.cloud.roles.revoke(assignment.id)
    assert "401" in embedded.fails(f"docker pull {BASE}")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "docker inspect x",
            "line 3: acb_step_0: cmd: the local cloud does not do `docker inspect",
        ),
        ("docker buildx imagetools create x", "does not do `docker buildx imagetools`"),
        ("docker compose up", "does not do `docker compose up`"),
        ("docker build --secret id=x .", "does not do `docker build --secret`"),
        ("docker build - ", "does not do `docker build -`"),
        ("docker build a b", "'docker build' requires 1 argument"),
        ("docker build -o out .", "does not do `docker build --output out`"),
        ("docker build --build-context a=../b .", "does not do `--build-context a=../b`"),
        ("docker build --push .", "tag is needed when pushing to registry"),
        ("docker build --platform linux/a/b/c .", "unknown operating system or architecture"),
        ("docker build -t UPPER .", "repository name (UPPER) must be lowercase"),
        ("docker pull a:b:c", "invalid reference format"),
        ("docker pull a b", "'docker pull' requires 1 argument"),
        ("docker push -a x:1", "tag can't be used with --all-tags/-a"),
        ("docker pull x | cat", "does not do a pipe (|) in a command"),
        ("docker sh -c 'ls > x'", "does not do a redirection (>) in a command"),
        ("docker sh -c 'for i in 1; do x; done'", "does not do `for` in a command"),
        ("docker sh -c 'docker build $(pwd)'", "does not do $( in a command"),
        ("docker sh script.sh", "does not do `sh script.sh`"),
        ("docker ash -c", "-c requires an argument"),
        ("docker version && kubectl apply", "does not do `kubectl` beside docker"),
        ("docker run --privileged x", "does not do `docker run --privileged`"),
        ("docker run", "'docker run' requires at least 1 argument"),
        ("az acr build .", "does not do `az acr build`"),
        ("az login -u me", "does `az login` only with --identity"),
        ("acr tag list", "does not do `acr tag`"),
        ("acr purge --filter a:b", 'required flag(s) "ago" not set'),
    ],
)
def test_what_is_not_done_is_told_before_anything_is(
    embedded: Stage, command: str, said: str
) -> None:
    """With the line, the step and the property."""
    message = embedded.fails(command)
    assert said in message
    assert message.startswith("line 3: acb_step_0: cmd: ")


def test_wrong_values_of_a_builders_variable_are_refused(embedded: Stage) -> None:
    """As docker does, who expects true or false."""
    run = embedded.run(f"{HEAD}- cmd: docker build .\n  env: [DOCKER_BUILDKIT=maybe]\n")
    said = "DOCKER_BUILDKIT environment variable expects boolean value"
    assert said in run.properties["runErrorMessage"]


def test_a_deep_nest_of_shells_is_refused(embedded: Stage) -> None:
    """However many there are."""
    nested = "sh -c " * 30 + "true"
    assert "the local cloud does not do" in embedded.fails(f"docker {nested}")


@pytest.mark.needs("buildah", "busybox")
def test_other_images_are_run_by_buildah(tmp_path: Path) -> None:
    """A container that a command starts, and one beside it in the agent's own shell."""
    with LocalCloud(tmp_path / "cloud", builder="buildah") as cloud:
        stage = Stage(cloud, tmp_path)
        stage.write(x__file="")
        run = stage.run(
            f"{HEAD}- cmd: node:9-alpine sh -c 'echo one $A' && docker run -e B=2 node:9-alpine"
            " sh -c 'echo two $A$B'\n  env: [A=a]\n"
            "- cmd: -w /workspace/x node:9-alpine sh -c 'echo three > ../x/made; cat made'\n"
        )
    told = [line.split(" ", 2)[-1] for line in run.log]
    assert "one a" in told
    assert "two 2" in told
    assert "three" in told
