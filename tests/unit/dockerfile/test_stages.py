"""Stages: names, targets, what is reached, what is copied and mounted."""

from __future__ import annotations

import pytest

from tests.unit.dockerfile.reading import final, images, read, refusal


def test_the_last_stage_is_built() -> None:
    """Without a target the last stage is built, and its base is the runtime image."""
    text = "FROM golang AS build\nFROM alpine\nCOPY --from=build /a /a\n"

    assert images(text) == ["1 build-time golang:latest", "2 runtime alpine:latest"]
    assert final(text) == "alpine:latest"


def test_stages_that_are_not_reached_do_not_count() -> None:
    """What neither FROM nor COPY nor a mount of the target leads to is not built."""
    assert images("FROM golang AS unused\nFROM alpine\n") == ["2 runtime alpine:latest"]


def test_a_stage_may_be_built_on_a_stage() -> None:
    """The runtime image is the one at the end of the chain of FROMs."""
    text = "FROM alpine AS base\nFROM base AS more\nFROM more\n"

    assert images(text) == ["1 runtime alpine:latest"]


def test_the_target_is_found_in_any_case() -> None:
    """The name of a target is written in any case."""
    text = "FROM golang AS Build\nFROM alpine\n"

    assert images(text, target="bUILD") == ["1 runtime golang:latest"]


@pytest.mark.parametrize("target", ["nothing", "0", "stage-0"])
def test_a_target_is_a_name(target: str) -> None:
    """A target that no stage is named by is refused; BuildKit knows no numbers here."""
    assert refusal("FROM alpine\n", target=target) == (
        0,
        f'target stage "{target}" could not be found',
    )


def test_copy_finds_stages_in_any_case() -> None:
    """COPY --from and mounts find a stage by its name in any case."""
    text = (
        "FROM golang AS Build\nFROM alpine\nCOPY --from=BUILD /a /a\n"
        "RUN --mount=from=bUiLd,target=/b ls\n"
    )

    assert images(text) == ["1 build-time golang:latest", "2 runtime alpine:latest"]


def test_from_finds_stages_in_lower_case_only() -> None:
    """After FROM, a stage's name stands in lower case; else it is taken for an image."""
    assert images("FROM alpine AS Base\nFROM base\n") == ["1 runtime alpine:latest"]
    line, problem = refusal("FROM alpine AS Base\nFROM Base\n")

    assert line == 2
    assert problem.startswith('failed to parse stage name "Base": invalid reference format')


def test_a_stage_shadows_an_image() -> None:
    """After a stage is named, its name is the stage's; before, and in its FROM, the image's."""
    text = "FROM alpine AS busybox\nFROM busybox AS busybox\nFROM busybox\n"

    assert images(text) == ["1 runtime alpine:latest"]
    assert images("FROM alpine AS alpine\n") == ["1 runtime alpine:latest"]


def test_of_two_stages_of_one_name_from_takes_the_one_before_and_copy_the_last() -> None:
    """A doubled name is no error: FROM takes the nearest earlier one, all else the last one."""
    text = "FROM a AS x\nFROM x AS y\nFROM b AS x\nFROM scratch\nCOPY --from=x / /\n"

    assert images(text) == ["3 build-time b:latest"]
    assert images(text, target="y") == ["1 runtime a:latest"]
    assert images(text, target="x") == ["3 runtime b:latest"]


def test_copy_counts_stages_from_zero() -> None:
    """COPY --from takes a stage's number, named or not."""
    text = "FROM golang AS build\nFROM node\nFROM alpine\nCOPY --from=0 / /\nCOPY --from=+1 / /\n"

    assert images(text) == [
        "1 build-time golang:latest",
        "2 build-time node:latest",
        "3 runtime alpine:latest",
    ]


@pytest.mark.parametrize("index", ["1", "7", "-1"])
def test_a_number_that_no_stage_has_is_refused(index: str) -> None:
    """A number counts stages only, and only those there are."""
    expected = (2, f"invalid stage index {int(index)}")
    assert refusal(f"FROM alpine\nCOPY --from={index} / /\n") == expected


def test_numbers_go_on_with_the_images_of_instructions() -> None:
    """BuildKit numbers images that earlier instructions name behind the stages."""
    text = "FROM alpine\nCOPY --from=nginx /a /a\nCOPY --from=1 /b /b\n"

    assert images(text) == ["1 runtime alpine:latest", "2 build-time nginx:latest"]


def test_a_number_after_from_is_an_image() -> None:
    """FROM and mounts know no numbers: `0` is an image's name."""
    assert images("FROM alpine\nFROM 0\n") == ["2 runtime 0:latest"]
    text = "FROM golang\nFROM alpine\nRUN --mount=from=0,target=/a ls\n"
    assert images(text) == ["2 runtime alpine:latest", "3 build-time 0:latest"]


def test_copy_reads_images() -> None:
    """COPY --from a name that is no stage's reads the image of that name."""
    text = "FROM alpine\nCOPY --from=reg.io/tools:2 /t /t\nCOPY --chown=1 --from=nginx /a /a\n"

    assert images(text) == [
        "1 runtime alpine:latest",
        "2 build-time reg.io/tools:2",
        "3 build-time nginx:latest",
    ]
    assert read(text).images[1].way == ("COPY --from=reg.io/tools:2",)


def test_copy_from_a_later_stage_is_refused() -> None:
    """A stage that is copied from must come before, if the copying stage is built."""
    text = "FROM a AS one\nCOPY --from=two / /\nFROM b AS two\n"

    assert refusal(text, target="one") == (
        2,
        'cannot copy from stage "two", it needs to be defined before current stage "one"',
    )
    assert images(text, target="two") == ["3 runtime b:latest"]


def test_a_mount_from_a_later_stage_is_refused() -> None:
    """A stage that is mounted must come before, too."""
    text = "FROM a AS one\nRUN --mount=from=two,target=/x ls\nFROM b AS two\nFROM one\n"

    assert refusal(text) == (
        2,
        'cannot mount from stage "two" to "/x", stage needs to be defined before current command',
    )
    assert 'from stage "two" to ""' in refusal(text.replace(",target=/x", ""))[1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM a AS x\nCOPY --from=x / /\n", 2),
        ("FROM a AS x\nCOPY --from=0 / /\n", 2),
        ("FROM a\nCOPY --from=y / /\nFROM b AS y\nCOPY --from=0 / /\nFROM c\n", 4),
        ("FROM a AS x\nRUN --mount=from=x,target=/y ls\n", 2),
    ],
)
def test_stages_that_read_each_other_are_refused(text: str, line: int) -> None:
    """A cycle is refused even where the target does not reach it."""
    at, problem = refusal(text)

    assert at == line
    assert problem.startswith("circular dependency detected on stage")


@pytest.mark.parametrize("sign", ["$X", "${X}", "a$X", "a\\\\b"])
def test_copy_from_expands_nothing(sign: str) -> None:
    """A variable in COPY --from is refused, wherever it is and whatever is set."""
    text = f"ARG X=alpine\nFROM a\nARG X\nCOPY --from={sign} / /\nFROM b\n"
    line, problem = refusal(text)

    assert line == 4
    assert "variable expansion is not supported for --from" in problem or "failed to" in problem


@pytest.mark.parametrize("flag", ['--from="alpine"', "--fr'om=al'pine", "--from=al\\pine"])
def test_quotes_and_escapes_in_a_flag_go(flag: str) -> None:
    """Quotes and backslashes in a flag are resolved before it is read."""
    text = f"FROM a\nCOPY {flag} / /\n"

    assert images(text) == ["1 runtime a:latest", "2 build-time alpine:latest"]


def test_a_flag_begins_with_dashes() -> None:
    """What is quoted from its first character on is a path, and so is what follows `--`."""
    assert images('FROM a\nCOPY "--from=alpine" / /\n') == ["1 runtime a:latest"]
    assert images("FROM a\nCOPY -- --from=alpine /\n") == ["1 runtime a:latest"]
    assert refusal("FROM a\nCOPY --from alpine / /\n") == (2, "missing a value on flag: --from")


def test_scratch_is_no_image() -> None:
    """FROM scratch and COPY --from=scratch read nothing, and there is no runtime image."""
    text = "FROM golang AS b\nFROM scratch\nCOPY --from=b / /\nCOPY --from=scratch / /\n"

    assert images(text) == ["1 build-time golang:latest"]
    assert final(text) is None


def test_scratch_in_capitals_is_refused() -> None:
    """SCRATCH is not scratch, and no image is named in capitals."""
    line, problem = refusal("FROM SCRATCH\n")

    assert line == 1
    assert "must be lower case" in problem


def test_scratch_may_come_from_an_argument() -> None:
    """What counts is the name after expansion."""
    assert images("ARG B=scratch\nFROM $B\n") == []


def test_a_stage_may_be_named_scratch() -> None:
    """A stage named scratch is what FROM scratch is built on after it."""
    assert images("FROM alpine AS scratch\nFROM scratch\n") == ["1 runtime alpine:latest"]


def test_add_has_no_from() -> None:
    """Only COPY copies from stages; ADD does not know the flag."""
    assert refusal("FROM a\nADD --from=b / /\n") == (2, "unknown flag: --from")


@pytest.mark.parametrize(
    "reference",
    [
        "alpine@sha256:" + "a" * 64,
        "alpine:3@sha256:" + "a" * 64,
        "reg.io:5000/team/app:1.2@sha256:" + "b" * 64,
    ],
)
def test_digests_stay(reference: str) -> None:
    """A reference that is pinned keeps its digest, with or without tag."""
    assert final(f"FROM {reference}\n") == reference


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM a:b:c\n", 1),
        ("FROM alpine:\n", 1),
        ("FROM UPPER\n", 1),
        ("FROM http://x/y\n", 1),
        ("FROM a@sha256:12\n", 1),
        ("FROM --\n", 1),
        ("FROM a\nCOPY --from=A_b:1:2 / /\n", 2),
        ("FROM a\nRUN --mount=from=:x,target=/y ls\nFROM b\n", 2),
        ("FROM B@d AS unused\nFROM a\n", 1),
    ],
)
def test_what_is_no_reference_is_refused(text: str, line: int) -> None:
    """An image's name is well formed, even where nothing reads it."""
    at, problem = refusal(text)

    assert at == line
    assert "invalid reference format" in problem or "FROM requires" in problem


@pytest.mark.parametrize(
    "platform", ["linux/amd64", "$BUILDPLATFORM", "${TARGETPLATFORM}", "arm64", "windows", "$P"]
)
def test_from_takes_a_platform(platform: str) -> None:
    """FROM --platform is expanded with global ARGs, and changes no name."""
    text = f"ARG P=linux/s390x\nFROM --platform={platform} alpine\n"

    assert images(text) == ["2 runtime alpine:latest"]


@pytest.mark.parametrize(
    ("platform", "problem"),
    [
        ("$NOTHING", "empty platform value from expression $NOTHING"),
        ("lin*x", "failed to parse platform lin*x"),
        ("a/b/c/d", "failed to parse platform a/b/c/d"),
        ("bogus", "failed to parse platform bogus"),
        ("linux/a+b", "failed to parse platform linux/a+b"),
        ("${X:?no}", "X: no"),
    ],
)
def test_a_platform_of_from_that_is_none_is_refused(platform: str, problem: str) -> None:
    """FROM --platform is a platform after expansion, even in stages that nothing reaches."""
    at, found = refusal(f"FROM --platform={platform} a\nFROM b\n")

    assert at == 1
    assert problem in found


def test_an_empty_platform_is_none() -> None:
    """FROM --platform= is as good as no platform."""
    assert images("FROM --platform= alpine\n") == ["1 runtime alpine:latest"]


@pytest.mark.parametrize("name", ["1st", "a:b", "-a", "_a", "a/b", "ä"])
def test_names_of_stages_begin_with_a_letter(name: str) -> None:
    """A stage's name is a letter, then letters, digits, `-`, `_` and `.`."""
    line, problem = refusal(f"FROM alpine AS {name}\n")

    assert line == 1
    assert problem.startswith("invalid name for build stage")


@pytest.mark.parametrize("word", ["AS", "as", "As"])
def test_as_is_written_in_any_case(word: str) -> None:
    """The word AS is written in any case, and a name may hold digits, dots and dashes."""
    assert images(f"FROM alpine {word} A-1_b.c\nFROM a-1_b.c\n") == ["1 runtime alpine:latest"]


@pytest.mark.parametrize("rest", ["", " a b", " a as", " alpine # base", " a as b c", " a is b"])
def test_from_takes_one_word_or_three(rest: str) -> None:
    """FROM is followed by one word, or by three with AS between; no comment may follow."""
    assert refusal(f"FROM{rest}\n") == (1, "FROM requires either one or three arguments")


def test_images_stand_in_the_order_of_their_lines() -> None:
    """The images are told from top to bottom."""
    text = (
        "FROM z AS one\nCOPY --from=y / /\nFROM x AS two\nRUN --mount=from=one,target=/o ls\n"
        "FROM w\nCOPY --from=two / /\nCOPY --from=v / /\n"
    )

    assert images(text) == [
        "1 build-time z:latest",
        "2 build-time y:latest",
        "3 build-time x:latest",
        "5 runtime w:latest",
        "7 build-time v:latest",
    ]
