"""What docker's classic builder does with a file: what it reads besides, and what it refuses."""

from __future__ import annotations

import pytest

from rebuilder.core.dependencies.build_files import BuildImages, BuildKitOnly
from tests.unit.dockerfile.reading import HUB, images, read


def unused(text: str, target: str = "", **build_args: str) -> list[str]:
    """The images that only the classic builder reads, as `LINE NAME`."""
    found = read(text, target=target, **build_args).unused
    assert {use.kind.value for use in found} <= {"build-time"}
    return [f"{use.line} {str(use.reference).removeprefix(HUB)}" for use in found]


def needs(text: str | bytes, target: str = "", **build_args: str) -> list[tuple[int, str, bool]]:
    """What the classic builder refuses, or leaves out."""
    found = read(text, target=target, **build_args).needs_buildkit
    return [(only.line, only.what, only.refused) for only in found]


def test_stages_that_the_target_does_not_need() -> None:
    """The classic builder runs every stage up to the target, and reads what they stand on."""
    text = (
        "ARG T=1\nFROM golang:$T AS tests\nCOPY --from=reg.io/tools:2 / /\nFROM node AS docs\n"
        "FROM alpine AS app\nFROM late\n"
    )

    assert images(text, target="app") == ["5 runtime alpine:latest"]
    assert unused(text, target="app") == ["2 golang:1", "3 reg.io/tools:2", "4 node:latest"]
    assert unused(text, target="tests") == []
    assert read(text, target="app").unused[0].way == (
        "FROM golang:$T",
        "T=1 from ARG on line 1",
    )


def test_an_image_that_is_read_anyway_is_not_unused() -> None:
    """An image that the target reads too, or that two stages name, is told once."""
    text = "FROM alpine AS a\nFROM b AS one\nFROM b AS two\nFROM scratch AS s\nFROM alpine\n"

    assert unused(text) == ["2 b:latest"]


def test_mounts_of_unused_stages_are_not_read() -> None:
    """The classic builder refuses mounts, so it never reads what they name."""
    text = "FROM a AS one\nRUN --mount=from=tools,target=/t x\nCOPY --from=0 / /\nFROM b\n"

    assert unused(text.replace("COPY --from=0 / /\n", "")) == ["1 a:latest"]


def test_without_unused_stages_nothing_is_unused() -> None:
    """A file whose every stage is needed has none."""
    assert unused("FROM a AS b\nFROM c\nCOPY --from=b / /\nCOPY --from=d / /\n") == []
    assert unused("FROM a\n") == []


@pytest.mark.parametrize(
    ("instruction", "what", "refused"),
    [
        ("RUN --mount=type=cache,target=/x y", "RUN --mount", True),
        ("RUN --mount=type=ssh --mount=type=cache,target=/x y", "RUN --mount", True),
        ("RUN --network=none y", "RUN --network", True),
        ("RUN --security=insecure y", "RUN --security", True),
        ("RUN <<E\nx\nE", "RUN with a heredoc", False),
        ("COPY <<E /x\ny\nE", "COPY with a heredoc", True),
        ("ADD <<E a /x/\ny\nE", "ADD with a heredoc", False),
        ("COPY --chmod=755 a /b", "COPY --chmod", True),
        ("COPY --chmod=$M a /b", "COPY --chmod", False),
        ("COPY --chmod= a /b", "COPY --chmod", False),
        ("COPY --link --chown=1 --from=c a /b", "COPY --link", False),
        ("COPY --link=false a /b", "COPY --link", False),
        ("COPY --parents a /b", "COPY --parents", False),
        ("COPY --exclude=x --exclude=y a /b", "COPY --exclude", False),
        ("ADD --link a /b", "ADD --link", False),
        (f"ADD --checksum=sha256:{'a' * 64} https://x/y /b", "ADD --checksum", False),
        ("ADD --keep-git-dir=true git@h:p /b", "ADD --keep-git-dir", False),
        ("ADD --unpack https://x/y /b", "ADD --unpack", False),
        ("ADD https://x/y.git /b", "ADD of a git repository", False),
        ("ADD git@h:p /b", "ADD of a git repository", False),
    ],
)
def test_what_the_classic_builder_refuses(instruction: str, what: str, *, refused: bool) -> None:
    """Flags, heredocs and repositories are BuildKit's; old builders refuse all, newer ones some."""
    found = needs(f"FROM a\nARG M\n{instruction}\n")

    assert (3, what, refused) in found
    assert len({line for line, _, _ in found}) == 1


@pytest.mark.parametrize(
    "instruction",
    [
        "RUN x", 'RUN ["x"]', "COPY --from=b --chown=1:2 a /b", "ADD --chown=1 https://x/y /b",
        "ADD https://x/$U /b", "ADD github.com/x /b", "ADD https://x/%zz /y", "COPY $X /y",
        "HEALTHCHECK --interval=1s CMD x", "RUN -- x", "ONBUILD RUN --mount=from=c x",
        "LABEL a='<<E'",
    ],
)  # fmt: skip
def test_what_the_classic_builder_takes(instruction: str) -> None:
    """What both builders know is not told; nor is a trigger, which does not run here."""
    assert needs(f"FROM a\n{instruction}\n") == []


def test_flags_of_one_run_are_told_once_each() -> None:
    """Each flag is told once per instruction, in the order of the lines."""
    text = (
        "FROM a\nRUN --network=none --mount=type=ssh --mount=type=ssh x\nRUN --mount=type=ssh x\n"
    )

    assert needs(text) == [
        (2, "RUN --network", True),
        (2, "RUN --mount", True),
        (3, "RUN --mount", True),
    ]


def test_triggers_of_a_stage_count_where_they_run() -> None:
    """What an ONBUILD leaves to a stage that is built counts, at its own line."""
    text = "FROM a AS b\nONBUILD RUN --mount=type=ssh x\nFROM b\n"

    assert needs(text) == [(2, "RUN --mount", True)]


def test_only_stages_up_to_the_target_count() -> None:
    """The classic builder runs unused stages before the target, and none behind it."""
    text = (
        "FROM a AS unused\nRUN --mount=type=ssh x\nFROM b AS app\n"
        "FROM --platform=$BUILDPLATFORM c\n"
        "RUN --mount=type=ssh x\n"
    )

    assert needs(text, target="app") == [(2, "RUN --mount", True)]
    assert [line for line, _, _ in needs(text)] == [2, 4, 5]


def test_a_second_stage_of_a_name_is_refused() -> None:
    """The classic builder refuses names that are used twice, in any case."""
    text = "FROM a AS x\nFROM b AS y\nFROM c AS X\nFROM d AS x\n"

    assert needs(text) == [(3, "a second stage x", True), (4, "a second stage x", True)]
    assert needs(text, target="y") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM --platform=$BUILDPLATFORM a\n", ["--platform=$BUILDPLATFORM: only BuildKit knows"]),
        ("FROM --platform=linux/${TARGETARCH} a\n", ["--platform=linux/${TARGETARCH}: only Build"]),
        ("FROM a:$TARGETARCH\n", ["a:$TARGETARCH: only BuildKit knows TARGETARCH"]),
        ("FROM $TARGETSTAGE/x\n", ["$TARGETSTAGE/x: only BuildKit knows TARGETSTAGE"]),
        ("ARG TARGETARCH\nFROM a:$TARGETARCH\n", ["a:$TARGETARCH: only BuildKit knows TARGETARCH"]),
        ("ARG T=$TARGETOS-$TARGETARCH\nFROM a:x${T}\n", []),
        ("ARG V=1\nARG V\nFROM a:$V\n", ["a:$V: only BuildKit knows V"]),
    ],
)
def test_values_that_only_buildkit_gives(text: str, expected: list[str]) -> None:
    """A FROM that needs what only BuildKit predefines is refused by the classic builder."""
    found = [what for _, what, refused in needs(text) if refused]

    assert len(found) == len(expected)
    assert all(
        what.startswith(f"FROM {start}") for what, start in zip(found, expected, strict=True)
    )


def test_a_base_that_is_another_one_without_buildkit() -> None:
    """Where the name stays a name without BuildKit's value, the classic builder reads another."""
    assert needs("FROM a$TARGETVARIANT-b\n", TARGETVARIANT="v9") == [
        (1, "FROM a$TARGETVARIANT-b: only BuildKit knows TARGETVARIANT", False)
    ]
    made = "ARG T=$TARGETOS-$TARGETARCH\nARG U=x$T\nFROM a:${U}\n"
    assert needs(made) == [(3, "FROM a:${U}: only BuildKit knows TARGETOS, TARGETARCH", False)]


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("ARG TARGETARCH=arm64\nFROM a:$TARGETARCH\n", {}),
        ("ARG TARGETARCH\nFROM a:$TARGETARCH\n", {"TARGETARCH": "x"}),
        ("ARG BUILDPLATFORM=linux/amd64\nFROM --platform=$BUILDPLATFORM a\n", {}),
        ("FROM --platform=${BUILDPLATFORM:-linux/amd64} a\n", {}),
        ("FROM a${TARGETVARIANT}\n", {}),
        ("FROM a:${TARGETARCH:-amd64}\n", {}),
        ("ARG V\nARG V=1\nFROM a:$V\n", {}),
        ("ARG V=1\nARG V\nFROM a:$V\n", {"V": "2"}),
        ("FROM --platform=linux/arm64 a\n", {}),
    ],
)
def test_values_that_the_task_or_the_file_gives(text: str, given: dict[str, str]) -> None:
    """A value that an ARG with a default or a build argument gives is there without BuildKit."""
    assert needs(text, **given) == []


def test_a_default_that_the_classic_builder_refuses() -> None:
    """An ARG that asks for BuildKit's value is refused without it, and so is what needs it."""
    text = "ARG T=${TARGETARCH:?}\nFROM a:$T-x\n"

    assert needs(text) == [(2, "FROM a:$T-x: only BuildKit knows TARGETARCH", True)]


def test_a_foreign_frontend_changes_nothing_for_the_classic_builder() -> None:
    """The classic builder takes a syntax directive for a comment."""
    text = "# syntax=reg.io/front:1\nFROM a AS b\nFROM c\nRUN --mount=type=ssh x\n"
    found = read(text)

    assert [only.what for only in found.needs_buildkit] == ["RUN --mount"]
    assert [use.line for use in found.unused] == [2]


def test_a_file_that_only_its_frontend_reads_needs_buildkit() -> None:
    """A file in another language is none to the classic builder."""
    found = read("# syntax=reg.io/front:1\nimage: alpine\n")

    assert found.needs_buildkit == (BuildKitOnly(1, "# syntax=reg.io/front:1", refused=True),)


def test_the_new_fields_may_be_left_out() -> None:
    """Who makes an answer of his own need not know of builders."""
    assert (BuildImages((), None).unused, BuildImages((), None).needs_buildkit) == ((), ())


def test_many_values_of_buildkit_are_told_in_short() -> None:
    """However many variables a name is made of, what is told stays short."""
    text = "".join(f"ARG A{n}=$TARGETARCH\n" for n in range(100))
    text += "FROM a" + "".join(f"/$A{n}" for n in range(40)) + "\n"

    assert [(line, refused) for line, _, refused in needs(text)] == [(101, True)]
    assert len(needs(text)[0][1]) < 1000
