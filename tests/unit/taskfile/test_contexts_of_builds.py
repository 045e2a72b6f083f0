"""Named contexts of a build, which take the place of the Dockerfile's images."""

from __future__ import annotations

import pytest

from tests.unit.taskfile.reading import images, steps, told

DOCKERFILE = "FROM base\nCOPY --from=assets / /\nCOPY --from=mybase.azurecr.io/tools:1 / /\n"
BUILD = "- cmd: docker build -t $Registry/a:1 --push "
OTHERS = [
    "docker.io/library/assets:latest build-time",
    "mybase.azurecr.io/tools:1 build-time",
]


@pytest.mark.parametrize(
    ("flags", "reads"),
    [
        (
            "--build-context base=docker-image://mybase.azurecr.io/n:1",
            ["mybase.azurecr.io/n:1 runtime", *OTHERS],
        ),
        # A folder or a repository holds no image.
        ("--build-context assets=./web", ["docker.io/library/base:latest runtime", OTHERS[1]]),
        (
            "--build-context assets=https://github.com/a/b.git",
            ["docker.io/library/base:latest runtime", OTHERS[1]],
        ),
        # A name that nothing asks for changes nothing.
        ("--build-context x=y", ["docker.io/library/base:latest runtime", *OTHERS]),
    ],
)
def test_a_context_takes_the_place_of_an_image(flags: str, reads: list[str]) -> None:
    """An image is read instead; files are no image."""
    found = steps(f"{BUILD}{flags} .", {"Dockerfile": DOCKERFILE})

    assert sorted(images(found)) == sorted(reads)
    assert told(found) == ""


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--build-context one=docker-image://x:1", "takes the place of a stage"),
        ("--build-context a=docker-image://UPPER", "the context a:"),
        ("--build-context a=oci-layout://x", "takes the place of images"),
    ],
)
def test_a_context_that_is_not_followed(flags: str, reason: str) -> None:
    """What decides on the images and is not known is told."""
    found = steps(f"{BUILD}{flags} .", {"Dockerfile": "FROM a AS one\nFROM one\n"})

    assert images(found) == []
    assert reason in told(found)


def test_a_target_of_a_bake_file_stands_on_another() -> None:
    """The image of `target:` is the run's own, and stands on what that stands on."""
    hcl = """
target "base" { dockerfile-inline = "FROM mybase.azurecr.io/n:1" }
target "app" {
  tags = ["myapps.azurecr.io/app:1"]
  contexts = { base = "target:base" }
}
"""
    found = steps(
        "- cmd: docker buildx bake --push app",
        {"docker-bake.hcl": hcl, "Dockerfile": "FROM base\n"},
    )

    assert images(found) == ["mybase.azurecr.io/n:1 runtime"]
    assert [(build.tags, build.pushed) for build in found.builds] == [
        ((), False),
        (("myapps.azurecr.io/app:1",), True),
    ]


def test_groups_that_name_each_other_end() -> None:
    """Each group is gone through once, however often it is named."""
    names = ", ".join(f'"g{n}"' for n in range(40))
    groups = "\n".join(f'group "g{n}" {{ targets = [{names}, "a"] }}' for n in range(40))
    found = steps(
        "- cmd: docker buildx bake --push g0",
        {
            "docker-bake.hcl": f'{groups}\ntarget "a" {{ tags = ["myapps.azurecr.io/a:1"] }}',
            "Dockerfile": "FROM mybase.azurecr.io/n:1\n",
        },
    )

    assert images(found) == ["mybase.azurecr.io/n:1 runtime"]
    assert len(found.builds) == 1


def test_a_context_of_a_compose_file() -> None:
    """`additional_contexts` is the same thing."""
    compose = """
services:
  a:
    image: myapps.azurecr.io/a:1
    build:
      context: .
      additional_contexts:
        - base=docker-image://mybase.azurecr.io/n:1
"""
    found = steps(
        "- cmd: docker compose build --push",
        {"compose.yaml": compose, "Dockerfile": "FROM base\n"},
    )

    assert images(found) == ["mybase.azurecr.io/n:1 runtime"]
