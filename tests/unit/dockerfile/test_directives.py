"""Parser directives, byte order marks, line ends, and the frontends that they name."""

from __future__ import annotations

import pytest

from rebuilder.core.acr.tasks import Kind
from tests.unit.dockerfile.reading import HUB, images, read, refusal


@pytest.mark.parametrize(
    "directive",
    [
        "# syntax=docker/dockerfile:1",
        "#syntax=docker/dockerfile:1",
        "#  Syntax  =  docker/dockerfile:1  ",
        "# SYNTAX = docker/dockerfile:1 --flag value",
        "#\tsyntax=docker/dockerfile:1\r",
        "# escape=`\n# syntax=docker/dockerfile:1",
        "# check=skip=all\n# syntax=docker/dockerfile:1",
    ],
)
def test_a_syntax_directive_names_an_image(directive: str) -> None:
    """The syntax directive is found in any case, with any spaces, after others; arguments go."""
    found = read(f"{directive}\nFROM alpine\n").images[0]

    assert (found.kind, str(found.reference)) == (Kind.FRONTEND, "docker.io/docker/dockerfile:1")
    assert found.line == directive.count("\n") + 1


@pytest.mark.parametrize(
    "head",
    [
        "# a comment\n# syntax=docker/dockerfile:1",
        "\n# syntax=docker/dockerfile:1",
        " # syntax=docker/dockerfile:1",
        "# syntax: docker/dockerfile:1",
        "# syntax=",
        "# other=1\n# syntax=docker/dockerfile:1",
        "ARG A\n# syntax=docker/dockerfile:1",
        "// a comment\n",
    ],
)
def test_directives_stand_before_anything_else(head: str) -> None:
    """After a comment, an empty line or an instruction, what looks like a directive is none."""
    text = head.removeprefix("// a comment\n") + "\nFROM alpine\n"

    assert [use.kind for use in read(text).images] == [Kind.RUNTIME]


def test_a_frontend_is_normalised() -> None:
    """The frontend is told by its full name."""
    assert str(read("# syntax=dockerfile\nFROM a\n").images[0].reference) == (
        f"{HUB}dockerfile:latest"
    )


def test_a_frontend_that_is_no_reference_is_refused() -> None:
    """What names the frontend is an image's name."""
    line, problem = refusal("# escape=`\n# syntax=UPPER:case:\nFROM a\n")

    assert line == 2
    assert problem.startswith("invalid reference format")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# syntax=dockerfile\n# syntax=b\nFROM a\n", 2),
        ("# escape=`\n# syntax=docker/dockerfile\n# Escape=`\nFROM a\n", 3),
        ("# check=skip=all\n# check=skip=all\nFROM a\n", 2),
    ],
)
def test_doubled_directives_are_refused(text: str, line: int) -> None:
    """A directive stands once."""
    at, problem = refusal(text)

    assert at == line
    assert problem.startswith("only one ")


@pytest.mark.parametrize("value", ["x", "\\\\", "``", "/"])
def test_an_escape_is_a_backslash_or_a_backtick(value: str) -> None:
    """Nothing else escapes."""
    assert refusal(f"# escape={value}\nFROM a\n") == (
        1,
        f"invalid escape token '{value}' does not match ` or \\",
    )


@pytest.mark.parametrize("directive", ["# escape=`", "#escape = `", "  # ESCAPE=`"])
def test_the_escape_continues_lines(directive: str) -> None:
    """With `# escape=`` a backtick at the end of a line continues it, and a backslash does not."""
    assert images(f"{directive}\nFROM `\n  alpine\n") == ["2 runtime alpine:latest"]
    assert refusal(f"{directive}\nFROM \\\n")[0] == 2


@pytest.mark.parametrize("head", ["# x\n# escape=`", "\n# escape=`", "#!/bin/x\n# escape=`"])
def test_a_late_escape_is_a_comment(head: str) -> None:
    """After a comment, an empty line, or `#!`, the escape stays a backslash."""
    assert images(f"{head}\nFROM \\\n  alpine\n")[0].endswith("alpine:latest")


def test_syntax_may_follow_a_shebang() -> None:
    """A `#!` line is skipped in the search for syntax and check, though not for escape."""
    text = "#!/usr/bin/env docker\n# syntax=docker/dockerfile:1\nFROM alpine\n"

    assert images(text) == ["2 frontend docker.io/docker/dockerfile:1", "3 runtime alpine:latest"]
    assert refusal("#!x\n# check=bogus\nFROM a\n")[0] == 2


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("bogus", 'invalid check option "bogus"'),
        ("bogus=1", 'invalid check option "bogus"'),
        ("error=maybe", 'failed to parse check option "error=maybe"'),
    ],
)
def test_check_options_are_checked(value: str, problem: str) -> None:
    """The check directive takes skip, error and experimental."""
    assert refusal(f"# check={value}\nFROM a\n") == (
        1,
        f"failed to parse check options: {problem}",
    )
    assert images("# check=skip=all;error=false;experimental=all\nFROM a\n")


def test_a_byte_order_mark_is_skipped() -> None:
    """A byte order mark counts for nothing, also before a directive."""
    assert images(b"\xef\xbb\xbfFROM alpine\n") == ["1 runtime alpine:latest"]
    assert images(b"\xef\xbb\xbf# escape=`\nFROM `\nalpine\n") == ["2 runtime alpine:latest"]
    assert refusal(b"\n\xef\xbb\xbfFROM alpine\n")[1].startswith("unknown instruction")


def test_lines_may_end_as_on_windows() -> None:
    """A carriage return before a line feed counts for nothing, continued lines included."""
    text = "# escape=`\r\nARG T=3\r\nFROM `\r\n  alpine:$T\r\nCOPY <<E /x\r\na\r\nE\r\n"

    assert images(text) == ["3 runtime alpine:3"]


def test_a_build_argument_may_name_the_frontend() -> None:
    """BUILDKIT_SYNTAX beats the syntax directive; it has no line."""
    text = "# syntax=docker/dockerfile:1\nFROM alpine\n"
    read_images = images(text, BUILDKIT_SYNTAX=" reg.io/dockerfile:2 x=y")

    assert read_images == ["0 frontend reg.io/dockerfile:2", "2 runtime alpine:latest"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("// syntax=reg.io/front:1\nimage: alpine\n", 1),
        ("//  Syntax = reg.io/front:1 x=y\n", 1),
        ("#!/bin/x\n// syntax=reg.io/front:1\n", 2),
        ('{"syntax": "reg.io/front:1", "a": [1]}', 1),
        ('\n{\n"a": {"syntax": "x"},\n"syntax": "reg.io/front:1"}\n', 1),
        ('#!/bin/x\n{"syntax": "reg.io/front:1"}\n', 2),
        ("# syntax=reg.io/front:1\nimage: alpine\n", 1),
        ("# syntax=reg.io/front:1\n", 1),
    ],
)
def test_files_in_other_languages_have_a_frontend(text: str, line: int) -> None:
    """Of a file that is no Dockerfile, the frontend is known, and that the rest is not."""
    found = read(text)

    assert [(str(use.reference), use.line) for use in found.images] == [("reg.io/front:1", line)]
    assert found.final is None
    assert [unknown.line for unknown in found.unknown] == [line]
    assert "only the frontend reg.io/front:1 knows" in found.unknown[0].reason


def test_a_frontend_of_its_own_may_read_a_dockerfile_otherwise() -> None:
    """A Dockerfile with a frontend that is not BuildKit's is read, and the doubt is told."""
    found = read("# syntax=reg.io/front:1\nFROM alpine\n")

    assert [use.kind for use in found.images] == [Kind.FRONTEND, Kind.RUNTIME]
    assert "may read it otherwise" in found.unknown[0].reason


@pytest.mark.parametrize(
    "name",
    ["docker/dockerfile:1-labs", "docker/dockerfile-upstream:master", "reg.io/mirror/dockerfile:1"],
)
def test_buildkits_own_frontends_leave_no_doubt(name: str) -> None:
    """BuildKit's own frontend, from wherever, reads what this reader reads and refuses the same."""
    assert not read(f"# syntax={name}\nFROM alpine\n").unknown
    assert refusal(f"# syntax={name}\nNONSENSE\n")[0] == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"syntax": 1}',
        '{"syntax": "x"',
        '["syntax"]',
        '{"a": NaN, "syntax": "x"}',
        "[" * 100_000,
        "{" * 100_000,
        "// comment\n// syntax=x\n",
    ],
)
def test_what_names_no_frontend_is_a_dockerfile(text: str) -> None:
    """Without a frontend a file is a Dockerfile, and these are none."""
    assert refusal(text)[1].startswith(("unknown instruction", "file with no instructions"))
