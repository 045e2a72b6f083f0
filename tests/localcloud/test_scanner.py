"""ACR's scanner, blind spots included; each case is written down in acr-builder's own code."""

from __future__ import annotations

import pytest

from localcloud.builds.scanner import ScanError, image_of, scan


def names(text: str, target: str = "", **arguments: str) -> tuple[str, list[str]]:
    """Return the runtime image and the build-time images as text."""
    found = scan(text, arguments, target)
    shown = [
        f"{i.registry}/{i.repository}:{i.tag}" + (f"@{i.digest}" if i.digest else "")
        for i in (found.runtime, *found.buildtime)
    ]
    return shown[0], shown[1:]


def test_the_last_from_is_the_runtime_image() -> None:
    """Every other image is build-time, stages that are not used too; one used twice is once."""
    text = "FROM a.io/one:1 AS x\nFROM a.io/two:2\nfrom a.io/two:2\nFROM a.io/three:3\n"

    assert names(text) == ("a.io/three:3", ["a.io/one:1", "a.io/two:2"])


def test_a_stage_is_followed_to_its_image() -> None:
    """FROM a stage is that stage's image; the name's case matters to the scanner."""
    text = "FROM a.io/one:1 AS Base and more\nFROM Base\n"

    assert names(text) == ("a.io/one:1", [])
    assert names(text.replace("FROM Base", "FROM base"))[0] == (
        "registry.hub.docker.com/library/base:latest"
    )


def test_the_scan_stops_at_the_target() -> None:
    """With a target, its image is the runtime image and later stages are not seen."""
    text = "FROM a.io/one:1 AS x\nFROM a.io/two:2 AS y\nFROM a.io/three:3\n"

    assert names(text, "y") == ("a.io/two:2", ["a.io/one:1"])


def test_arguments_are_expanded_as_go_does() -> None:
    """A build argument wins over the default; only the first pair of a line counts."""
    text = "ARG TAG=1\nARG A=x B=y\nFROM a.io/$A/i$B:${TAG}\n"

    assert names(text) == ("a.io/x/i:1", [])
    assert names(text, TAG="2", A="z")[0] == "a.io/z/i:2"


def test_a_default_in_braces_is_lost() -> None:
    """${VAR:-default} is a variable of that odd name: empty, so the reference is broken."""
    with pytest.raises(ScanError, match="invalid reference"):
        scan("FROM ${IMAGE:-a.io/one:1}\n", {})


@pytest.mark.parametrize("image", ["\\", "`", "$R/base:1", "a.io/b:", "a.io/B:1", "a b", "/a", ""])
def test_what_is_no_image_fails_the_run(image: str) -> None:
    """What is left of a FROM that was read wrong must be an image."""
    with pytest.raises(ScanError, match="invalid reference"):
        image_of(image)


def test_a_platform_fails_the_run() -> None:
    """FROM --platform is not understood."""
    with pytest.raises(ScanError, match="unable to understand line FROM --platform"):
        scan("FROM --platform=linux/amd64 a.io/one:1\n", {})


def test_other_images_are_not_seen() -> None:
    """COPY --from, RUN --mount and the syntax image are no dependencies."""
    text = (
        "# syntax=docker/dockerfile:1\nFROM a.io/one:1\n"
        "COPY --from=a.io/two:2 / /\nRUN --mount=from=a.io/three:3 true\n"
    )

    assert names(text) == ("a.io/one:1", [])


def test_a_dockerfile_without_from_fails() -> None:
    """Nothing to build on is an error."""
    with pytest.raises(ScanError, match="no FROM"):
        scan("# nothing\n\nRUN true\n", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node", ("registry.hub.docker.com", "library/node", "latest", "")),
        ("team/app:1", ("registry.hub.docker.com", "team/app", "1", "")),
        ("docker.io/library/node:9", ("docker.io", "library/node", "9", "")),
        ("MyBase.azurecr.io/a/b:1", ("MyBase.azurecr.io", "a/b", "1", "")),
        ("localhost:5000/a", ("registry.hub.docker.com", "localhost:5000/a", "", "")),
        ("a.io/b@sha256:1", ("a.io", "b", "", "sha256:1")),
        ("a.io/b:2@sha256:1", ("a.io", "b", "2", "sha256:1")),
        ("scratch", ("registry.hub.docker.com", "library/scratch", "latest", "")),
    ],
)
def test_images_are_named_as_the_scanner_does(
    text: str, expected: tuple[str, str, str, str]
) -> None:
    """Docker Hub has its odd name, the case of a registry is kept, a digest needs no tag."""
    image = image_of(text)

    assert (image.registry, image.repository, image.tag, image.digest) == expected
