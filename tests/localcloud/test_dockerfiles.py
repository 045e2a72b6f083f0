"""Dockerfiles, planned: which stages are built by which builder, and what they read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localcloud.builds.build import Build
from localcloud.builds.buildah import _rewritten
from localcloud.builds.dockerfiles import Plan, plan
from localcloud.builds.images import Image, Images, Index, assemble
from localcloud.builds.job import BuildError

STAGES = """\
# syntax=docker/dockerfile:1.7
# escape=\\
ARG TAG=1
FROM a.io/unused:1 AS Unused
FROM a.io/base:$TAG AS Base
RUN --mount=type=bind,from=a.io/mount:1,target=/m --mount=type=cache,target=/c true
FROM --platform=$BUILDPLATFORM a.io/tools:1 AS tools
FROM base
COPY --from=TOOLS /x /x
COPY --from=a.io/copy:1 /y /y
COPY --from=1 /z /z
FROM scratch AS last
"""


def planned(folder: Path, text: str, **asked: object) -> Plan:
    """Plan a Dockerfile."""
    file = folder / "Dockerfile"
    file.write_text(text)
    return plan(Build(folder, file, **asked))  # type: ignore[arg-type]


def test_buildkit_builds_what_the_target_stands_on(tmp_path: Path) -> None:
    """By FROM, COPY --from and RUN --mount; each image for the platform of its stage."""
    found = planned(tmp_path, STAGES, target="3", kit=True, platform="linux/arm64")
    assert [stage.number for stage in found.stages] == [0, 1, 2, 3]
    assert found.built == (1, 2, 3)
    assert found.reads() == [
        ("a.io/base:1", "linux/arm64"),
        ("a.io/mount:1", "linux/arm64"),
        ("a.io/tools:1", "linux/amd64"),
        ("a.io/copy:1", "linux/arm64"),
    ]
    assert found.syntax == "docker/dockerfile:1.7"
    assert found.automatic["TARGETARCH"] == "arm64"
    assert planned(tmp_path, STAGES, kit=True).built == (4,)


def test_the_classic_builder_builds_every_stage_up_to_the_target(tmp_path: Path) -> None:
    """It knows no arguments of the platform, and no flags of RUN."""
    text = STAGES.replace("RUN --mount=type=bind,from=a.io/mount:1,target=/m", "#")
    found = planned(tmp_path, text.replace("--platform=$BUILDPLATFORM ", ""), target="Base")
    assert found.built == (0, 1)
    assert found.reads() == [("a.io/unused:1", "linux/amd64"), ("a.io/base:1", "linux/amd64")]
    assert found.automatic == {}
    with pytest.raises(BuildError, match="failed to parse platform : "):
        planned(tmp_path, text)


def test_arguments_before_the_first_stage(tmp_path: Path) -> None:
    """A build argument goes before a default; names of other contexts before stages."""
    found = planned(tmp_path, STAGES, arguments={"TAG": "2"}, target="base", kit=True)
    assert found.reads()[0] == ("a.io/base:2", "linux/amd64")
    image = assemble(b"{}", ())
    text = "FROM a.io/x AS own\nFROM own\nCOPY --from=own /a /b\n"
    given = planned(tmp_path, text, contexts={"own": image}, kit=True)
    assert given.reads() == [("own", "linux/amd64")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FROM\n", "FROM requires either one or three arguments"),
        ("FROM a b\n", "FROM requires either one or three arguments"),
        ("RUN x\nFROM a\n", "no build stage in current context: RUN x"),
        ("FROM $NONE\n", "base name ($NONE) should not be blank"),
        ("", "Dockerfile"),
        ("# nothing\n", "Dockerfile"),
        ("FROM a\nCOPY --from=5 /a /b\n", "invalid from flag value 5: index out of bounds"),
        ("FROM --platform=foo a\n", "failed to parse platform foo: "),
    ],
)
def test_wrong_dockerfiles_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """With the instruction, or in docker's words."""
    with pytest.raises(BuildError) as raised:
        planned(tmp_path, text)
    assert said in str(raised.value)


def test_a_target_must_be_there(tmp_path: Path) -> None:
    """So must the file."""
    with pytest.raises(BuildError, match="target stage 'none' could not be found"):
        planned(tmp_path, "FROM a\n", target="none")
    with pytest.raises(BuildError, match="unable to read the Dockerfile"):
        plan(Build(tmp_path, tmp_path / "none"))


def test_dockerfiles_are_rewritten_for_buildah(tmp_path: Path) -> None:
    """Images by id, no `--link`, heredocs as texts; what needs no change stays as it is."""
    text = (
        "ARG T=1\nFROM --platform=linux/amd64 a.io/b:$T \\\n  AS One\n# kept\nRUN a \\\n  b\n"
        'RUN --mount=type=bind,from=a.io/c:1,target=/x <<EOF\nc "d"\nEOF\n'
        "RUN cat <<EOF > /x\ne\nEOF\nCOPY --link --from=a.io/c:1 /f /g\nFROM ONE\n"
    )
    found = planned(tmp_path, text, kit=True)
    platform = "linux/amd64"
    ids = {("a.io/b:1", platform): "idb", ("a.io/c:1", platform): "idc"}
    assert _rewritten(found, ids) == (
        "ARG T=1\nFROM --platform=linux/amd64 idb AS one\n# kept\nRUN a \\\n  b\n"
        'RUN --mount=type=bind,from=idc,target=/x ["/bin/sh", "-c", "c \\"d\\"\\n"]\n'
        'RUN ["/bin/sh", "-c", "cat <<EOF > /x\\ne\\nEOF"]\n'
        "COPY --from=idc /f /g\nFROM ONE\n"
    )
    classic = planned(tmp_path, "FROM a\nRUN cat <<EOF\ne\nEOF\nRUN f\n")
    assert _rewritten(classic, {}) == 'FROM a\nRUN ["/bin/sh", "-c", "cat <<EOF"]\nRUN f\n'


def image(architecture: str, text: str = "") -> Image:
    """Return an image without layers."""
    config = {"architecture": architecture, "os": "linux", "config": {"Env": [text]}}
    return assemble(json.dumps(config).encode(), ())


def test_docker_knows_images_by_name_and_by_digest() -> None:
    """A digest is that of the image, whatever it is called, in the repository that is asked for."""
    held, one = Images(), image("amd64")
    assert held.digest("a.io/x:1") is None
    held.keep("a.io/x:1", one)
    held.keep("b.io/y:2", one)
    assert held.digest("a.io/x:1") == ""
    held.named("a.io/x:1", "sha256:2")
    held.named("a.io/x:1", "sha256:1")
    assert (held.digest("a.io/x:1"), held.digest("b.io/y:2")) == ("sha256:1", "")
    assert held.tags("a.io/x") == ["1"]
    assert held.image("a.io/x:1", "linux/arm64") is None
    assert held.image("none", "linux/amd64") is None
    assert held.remove("a.io/x:1")
    assert not held.remove("a.io/x:1")


def test_an_index_gives_the_image_of_a_platform() -> None:
    """Or none; an older variant of arm serves."""
    config = {"architecture": "arm", "variant": "v6", "os": "linux"}
    arm = assemble(json.dumps(config).encode(), ())
    index = Index((image("amd64"), arm))
    assert index.choose("linux/arm/v7") is arm
    assert index.choose("linux/arm64") is None
    held = Images()
    held.keep("a", index)
    assert held.image("a", "linux/amd64") == index.images[0]
    assert held.digest("a") == ""
    entries = json.loads(index.manifest)["manifests"]
    assert [entry["platform"] for entry in entries] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v6"},
    ]
