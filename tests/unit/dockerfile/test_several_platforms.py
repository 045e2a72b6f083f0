"""Several platforms: each is read, and the answer is what any of them reads."""

from __future__ import annotations

import pytest

from rebuilder.core.dependencies.build_files import BuildImages
from rebuilder.core.dockerfile._text import FILE_LIMIT, PLATFORM_LIMIT
from rebuilder.errors import ArgumentMissing, InvalidBuildFile
from tests.unit.dockerfile.reading import HUB, read, refusal

BOTH = "linux/amd64,linux/arm64"


def told(found: BuildImages) -> list[tuple[str, str, str]]:
    """The images as kind, name and the last step of the way, if it is about platforms."""
    return [
        (
            use.kind.value,
            str(use.reference).removeprefix(HUB),
            use.way[-1] if use.way[-1].startswith("only for") else "",
        )
        for use in found.images
    ]


def test_what_all_platforms_read_is_read_once() -> None:
    """A file that names no platform is read as for one."""
    text = "# syntax=docker/dockerfile:1\nFROM golang AS b\nFROM alpine\nCOPY --from=b / /\n"

    assert read(text, platform=BOTH) == read(text)


def test_what_only_one_platform_reads_names_it() -> None:
    """An image that not all platforms read tells which do, in its place among the others."""
    text = "FROM base:$TARGETARCH AS b\nFROM alpine\nCOPY --from=b / /\n"
    found = read(text, platform=BOTH)

    assert told(found) == [
        ("build-time", "base:amd64", "only for linux/amd64"),
        ("build-time", "base:arm64", "only for linux/arm64"),
        ("runtime", "alpine:latest", ""),
    ]
    assert found.images[0].way == (
        "FROM base:$TARGETARCH",
        "TARGETARCH=amd64 from the platform linux/amd64",
        "only for linux/amd64",
    )


def test_a_stage_for_each_platform_is_chosen() -> None:
    """Where stages are chosen by the platform, each platform reads those that it needs."""
    text = (
        "FROM a AS base-amd64\nFROM b AS base-arm64\nFROM c AS base-arm\nFROM base-$TARGETARCH\n"
        "COPY --from=all / /\n"
    )
    found = read(text, platform="linux/amd64,linux/arm64,linux/arm/v7")

    assert told(found) == [
        ("runtime", "a:latest", "only for linux/amd64"),
        ("runtime", "b:latest", "only for linux/arm64"),
        ("runtime", "c:latest", "only for linux/arm/v7"),
        ("build-time", "all:latest", ""),
    ]
    assert str(found.final) == "docker.io/library/a:latest"
    assert found.unused == ()


def test_some_of_several_platforms_are_listed() -> None:
    """An image that two of three platforms read names both."""
    text = "FROM a:$TARGETOS\n"
    found = read(text, platform="linux/amd64,windows/amd64,linux/arm64")

    assert told(found) == [
        ("runtime", "a:linux", "only for linux/amd64, linux/arm64"),
        ("runtime", "a:windows", "only for windows/amd64"),
    ]


def test_an_image_of_two_kinds_stands_twice() -> None:
    """An image that is the base for one platform and copied from for another is told as both."""
    text = "FROM a AS base-amd64\nFROM b AS base-arm64\nCOPY --from=a / /\nFROM base-$TARGETARCH\n"

    assert told(read(text, platform=BOTH)) == [
        ("runtime", "a:latest", "only for linux/amd64"),
        ("runtime", "b:latest", "only for linux/arm64"),
        ("build-time", "a:latest", "only for linux/arm64"),
    ]


def test_platforms_are_read_once_each() -> None:
    """Two spellings of one platform are one."""
    found = read(
        "FROM a:$TARGETARCH\n", platform="linux/amd64,linux/x86_64,linux/arm64/v8,linux/arm64"
    )

    assert told(found) == [
        ("runtime", "a:amd64", "only for linux/amd64"),
        ("runtime", "a:arm64", "only for linux/arm64/v8"),
    ]
    assert told(read("FROM a:$TARGETARCH\n", platform="linux/amd64,linux/amd64/v1")) == [
        ("runtime", "a:amd64", "")
    ]


def test_an_error_of_all_platforms_is_told_once() -> None:
    """What is wrong for all platforms alike is wrong with the file."""
    assert refusal("FROM a\nBOGUS\n", platform=BOTH) == refusal("FROM a\nBOGUS\n")
    with pytest.raises(ArgumentMissing) as caught:
        read("ARG V\nFROM a:$V\n", platform=BOTH)
    assert caught.value.missing == ("V",)
    assert not caught.value.problem.startswith("for ")


def test_an_error_of_one_platform_names_it() -> None:
    """What is wrong for one platform only names that platform, whatever its place."""
    text = "ARG V\nFROM a AS base-amd64\nFROM b:$V AS base-arm64\nFROM base-$TARGETARCH\n"
    with pytest.raises(InvalidBuildFile) as caught:
        read("FROM a\nCOPY D:x y\n", platform="linux/amd64,windows/amd64")
    assert caught.value.problem.startswith("for windows/amd64: removing drive letter")

    with pytest.raises(ArgumentMissing) as missing:
        read(
            text.replace("FROM b:$V", "FROM b:$V$TARGETVARIANT"),
            platform="linux/amd64,linux/arm/v6",
        )
    assert missing.value.problem.startswith("for linux/amd64: failed to parse stage name")
    assert missing.value.missing == ("V",)


def test_errors_that_differ_name_the_first_platform() -> None:
    """If no platform can be read, and each for its own reason, the first one's is told."""
    line, problem = refusal("FROM a/$TARGETARCH:\n", platform=BOTH)

    assert line == 1
    assert problem.startswith('for linux/amd64: failed to parse stage name "a/amd64:"')


@pytest.mark.parametrize("platform", ["linux/amd64,", ",linux/amd64", "linux/amd64, linux/arm64"])
def test_each_platform_is_one(platform: str) -> None:
    """Nothing but a comma stands between platforms."""
    line, problem = refusal("FROM a\n", platform=platform)

    assert line == 0
    assert problem.startswith("failed to parse target platform")


def test_platforms_are_counted() -> None:
    """More platforms than anybody builds for are refused, before any is read."""
    many = ",".join(f"linux/arm/v{n}" for n in range(PLATFORM_LIMIT))

    assert len(read("FROM a:$TARGETVARIANT\n", platform=many).images) == PLATFORM_LIMIT
    for more in (f"{many},linux/amd64", f"{many}," + "linux/amd64," * 10_000):
        assert refusal("FROM a\n", platform=more) == (
            0,
            f"there are more than {PLATFORM_LIMIT} platforms",
        )


def test_a_large_file_is_not_read_for_many_platforms() -> None:
    """What is read together stays within what a few files of the largest size are."""
    text = "FROM a\n" + "#\n" * (FILE_LIMIT // 4)
    many = ",".join(f"linux/arm/v{n}" for n in range(9))

    assert read(text, platform=BOTH).images
    assert refusal(text, platform=many) == (
        0,
        "the Dockerfile is too large to be read for 9 platforms",
    )


def test_what_is_unknown_for_some_platforms_names_them() -> None:
    """A base that is unknown for one platform tells for which."""
    text = (
        "ARG SOURCE_DATE_EPOCH=context\nFROM a AS base-amd64\n"
        "FROM b:$SOURCE_DATE_EPOCH AS base-arm64\nFROM base-$TARGETARCH\n"
    )
    found = read(text, platform=BOTH)

    assert told(found) == [("runtime", "a:latest", "only for linux/amd64")]
    assert found.unknown[0].reason.endswith("; only for linux/arm64")
    assert str(found.final) == "docker.io/library/a:latest"


def test_what_the_classic_builder_refuses_is_told_once() -> None:
    """What is for BuildKit alone is told once, with the platforms if they differ."""
    text = (
        "FROM a AS base-amd64\nFROM b AS base-arm64\nFROM base-$TARGETARCH\nRUN --mount=from=c x\n"
    )
    found = read(text, platform=BOTH).needs_buildkit

    assert [(only.line, only.what) for only in found] == [
        (3, "FROM base-$TARGETARCH: only BuildKit knows TARGETARCH"),
        (4, "RUN --mount"),
    ]
    image = "FROM a${TARGETARCH/arm64/}\n"
    assert [only.what for only in read(image, platform=BOTH).needs_buildkit] == [
        "FROM a${TARGETARCH/arm64/}: only BuildKit knows TARGETARCH; only for linux/amd64"
    ]
