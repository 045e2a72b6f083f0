"""ONBUILD: what a stage leaves to the stages that are built on it."""

from __future__ import annotations

from tests.unit.dockerfile.reading import images, read, refusal


def test_a_stage_runs_what_its_base_leaves_to_it() -> None:
    """The triggers of a stage run in a stage built on it: what they read, it reads."""
    text = (
        "FROM alpine AS base\nONBUILD COPY --from=nginx / /\n"
        "ONBUILD RUN --mount=from=tools,target=/t x\nFROM base\n"
    )

    assert images(text) == [
        "1 runtime alpine:latest",
        "2 build-time nginx:latest",
        "3 build-time tools:latest",
    ]
    assert read(text).images[1].way == ("ONBUILD COPY --from=nginx",)
    assert read(text).images[2].way == ("ONBUILD RUN --mount=from=tools",)


def test_triggers_do_not_run_in_their_own_stage() -> None:
    """A stage that only sets triggers reads nothing by them."""
    assert images("FROM alpine\nONBUILD COPY --from=nginx / /\n") == ["1 runtime alpine:latest"]


def test_triggers_run_once() -> None:
    """A stage takes over from its base, not from the base of that."""
    text = (
        "FROM alpine AS a\nONBUILD COPY --from=nginx / /\nFROM a AS b\nFROM scratch AS c\nFROM b\n"
    )

    assert images(text, target="c") == []
    assert images(text) == ["1 runtime alpine:latest", "2 build-time nginx:latest"]


def test_a_trigger_may_read_a_stage() -> None:
    """A trigger that copies from a stage makes it, and what it reads, part of the build."""
    text = (
        "FROM golang AS build\nCOPY --from=tools / /\nFROM alpine AS base\n"
        "ONBUILD COPY --from=build / /\nFROM base\n"
    )

    assert images(text) == [
        "1 build-time golang:latest",
        "2 build-time tools:latest",
        "3 runtime alpine:latest",
    ]
    assert images(text, target="base") == ["3 runtime alpine:latest"]


def test_triggers_with_heredocs_and_arrays() -> None:
    """A trigger is a whole instruction, with its heredoc or its array."""
    text = (
        "FROM alpine AS base\nONBUILD RUN --mount=from=a,target=/a <<E\nFROM evil\nE\n"
        'onbuild  COPY --from=b ["x", "/y"]\nFROM base\n'
    )

    assert images(text) == [
        "1 runtime alpine:latest",
        "2 build-time a:latest",
        "5 build-time b:latest",
    ]


def test_a_trigger_is_checked_where_it_runs() -> None:
    """What is wrong with a trigger is told at the FROM that meets it."""
    for trigger, problem in [
        ("NONSENSE", "unknown instruction: NONSENSE"),
        ("COPY --bogus a b", "unknown flag: --bogus"),
        ("COPY --from=$X a b", "variable expansion is not supported for --from"),
        ("COPY --from=${ a b", "failed to process"),
        ("COPY --from=9 a b", "invalid stage index 9"),
        ("COPY --from=later a b", "cannot copy from stage"),
        ("COPY --from=B@d a b", "failed to parse stage name"),
        ("ENV X=${", "failed to process"),
    ]:
        text = f"FROM a AS base\nONBUILD {trigger}\n\nFROM base AS x\nFROM c AS later\n"
        assert images(text), trigger
        line, found = refusal(text, target="x")
        assert line == 4, trigger
        assert found.startswith(problem), trigger


def test_an_argument_of_a_trigger_reads_nothing() -> None:
    """Triggers that read no image change nothing."""
    assert images("FROM a AS b\nONBUILD ARG X\nONBUILD RUN x\nFROM b\n") == ["1 runtime a:latest"]


def test_a_trigger_is_read_with_the_usual_escape() -> None:
    """A trigger is read as a file of its own, so `# escape=`` does not hold for it."""
    text = "# escape=`\nFROM a AS b\nONBUILD RUN x \\\nFROM b\n"

    assert images(text) == ["2 runtime a:latest"]


def test_a_trigger_that_becomes_several_instructions_is_refused() -> None:
    """The lines of a heredoc that the reading of the trigger does not see are instructions."""
    text = "# escape=`\nFROM a AS b\nONBUILD RUN <<E \\\n'\nUSER x\nE\nFROM b\n"

    assert refusal(text) == (7, "onbuild trigger should be a single expression")


def test_a_trigger_that_is_nothing_is_refused() -> None:
    """A trigger that reads as a comment, or as half of an instruction, is refused at the FROM."""
    assert refusal("FROM a AS b\nONBUILD #x\nFROM b\n") == (3, "file with no instructions")
    text = "# escape=`\nFROM a AS b\nONBUILD RUN x <<E \\\nE\nFROM b\n"
    assert refusal(text) == (5, "unterminated heredoc")
