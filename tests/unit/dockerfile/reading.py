"""What the tests of the Dockerfile reader ask of it, in few words."""

from __future__ import annotations

import pytest

from rebuilder.core.dependencies.build_files import BuildImages
from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.errors import InvalidBuildFile

HUB = "docker.io/library/"


def read(
    text: str | bytes,
    *,
    target: str = "",
    platform: str = "linux/amd64",
    **build_args: str,
) -> BuildImages:
    """Read a Dockerfile; further names are build arguments."""
    content = text if isinstance(text, bytes) else text.encode()
    return read_dockerfile(content, build_args=build_args, target=target, platform=platform)


def images(text: str | bytes, *, target: str = "", **build_args: str) -> list[str]:
    """The images as `LINE KIND NAME`, with Docker Hub's official ones by their short names."""
    return [
        f"{use.line} {use.kind.value} {str(use.reference).removeprefix(HUB)}"
        for use in read(text, target=target, **build_args).images
    ]


def final(text: str | bytes, *, target: str = "", **build_args: str) -> str | None:
    """The base of the image that is built, by its short name."""
    reference = read(text, target=target, **build_args).final
    return None if reference is None else str(reference).removeprefix(HUB)


def refusal(
    text: str | bytes,
    *,
    target: str = "",
    platform: str = "linux/amd64",
    **build_args: str,
) -> tuple[int, str]:
    """The line and the reason for which a Dockerfile is refused."""
    with pytest.raises(InvalidBuildFile) as caught:
        read(text, target=target, platform=platform, **build_args)
    return caught.value.line, caught.value.problem
