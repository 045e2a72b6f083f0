"""ARGs before the first FROM, build arguments, and what is predefined."""

from __future__ import annotations

import pytest

from tests.unit.dockerfile.reading import final, images, read, refusal


def test_a_default_is_used() -> None:
    """A global ARG's default stands where FROM names it."""
    assert final("ARG T=3\nFROM alpine:$T\n") == "alpine:3"


def test_a_build_argument_replaces_the_default() -> None:
    """A build argument beats the default, and gives a value to an ARG that has none."""
    assert final("ARG T=3\nFROM alpine:$T\n", T="4") == "alpine:4"
    assert final("ARG T\nFROM alpine:$T\n", T="4") == "alpine:4"


def test_a_build_argument_may_be_empty() -> None:
    """An empty build argument is a value: the default does not come back."""
    assert final("ARG T=-x\nFROM alpine$T\n", T="") == "alpine:latest"


def test_only_declared_build_arguments_count() -> None:
    """A build argument that no ARG before FROM declares is not there."""
    line, problem = refusal("FROM $BASE\n", BASE="alpine")

    assert line == 1
    assert problem == (
        "base name ($BASE) should not be blank; no ARG before the first FROM declares BASE"
    )


def test_the_last_of_two_arguments_of_one_name_wins() -> None:
    """A redefinition replaces the value, for what comes after it."""
    assert final("ARG T=1\nARG T=2\nFROM alpine:$T\n") == "alpine:2"


def test_a_redefinition_without_default_keeps_the_value() -> None:
    """An ARG without a default does not take a value away."""
    assert final("ARG T=1\nARG T\nFROM alpine:$T\n") == "alpine:1"


def test_arguments_may_name_earlier_ones() -> None:
    """A default is expanded with the ARGs before it, itself among them."""
    assert final("ARG R=reg.io\nARG I=$R/base:1\nFROM $I\n") == "reg.io/base:1"
    assert final("ARG T=1\nARG T=${T}2\nFROM alpine:$T\n") == "alpine:12"


def test_a_later_argument_is_not_yet_there() -> None:
    """A default that names a later ARG gets nothing of it."""
    assert final("ARG I=alpine$T\nARG T=:1\nFROM $I\n") == "alpine:latest"


def test_one_line_may_declare_several() -> None:
    """One ARG declares several names, and a later one of them may use an earlier one."""
    assert final('ARG A=al B="${A}pine" C\nFROM $B:$C\n', C="3") == "alpine:3"


def test_an_argument_of_a_stage_does_not_leave_it() -> None:
    """An ARG or ENV inside a stage is not there for a later FROM."""
    text = "FROM alpine AS a\nARG I=busybox\nENV J=busybox\nFROM $I$J\n"

    line, problem = refusal(text)

    assert line == 4
    assert problem.startswith("base name ($I$J) should not be blank")


def test_arguments_after_the_first_from_do_not_change_global_ones() -> None:
    """A stage that declares a global ARG again changes nothing for FROM."""
    assert final("ARG T=1\nFROM busybox AS a\nARG T=2\nFROM alpine:$T\n") == "alpine:1"


@pytest.mark.parametrize(
    ("platform", "name", "value"),
    [
        ("linux/amd64", "TARGETPLATFORM", "linux/amd64"),
        ("linux/amd64", "BUILDPLATFORM", "linux/amd64"),
        ("linux/arm64", "BUILDPLATFORM", "linux/amd64"),
        ("linux/arm64/v8", "TARGETPLATFORM", "linux/arm64"),
        ("linux/arm", "TARGETPLATFORM", "linux/arm/v7"),
        ("linux/arm/v6", "TARGETVARIANT", "v6"),
        ("linux/x86_64", "TARGETARCH", "amd64"),
        ("Linux/AMD64", "TARGETOS", "linux"),
        ("linux/386", "BUILDARCH", "amd64"),
        ("linux/i386", "TARGETARCH", "386"),
        ("linux/armhf", "TARGETPLATFORM", "linux/arm/v7"),
        ("linux/armel", "TARGETVARIANT", "v6"),
        ("macos/aarch64", "TARGETOS", "darwin"),
        ("linux/386", "BUILDOS", "linux"),
        ("windows/amd64", "BUILDOS", "windows"),
        ("windows(10.0.17763)/amd64", "TARGETOSVERSION", "10.0.17763"),
    ],
)
def test_platform_arguments_are_predefined(platform: str, name: str, value: str) -> None:
    """The platform's ARGs are there without being declared; builds run on amd64."""
    use = read(f"FROM reg.io/${name}\n", platform=platform).images[0]

    assert use.reference.path == value


def test_the_target_is_predefined() -> None:
    """TARGETSTAGE is the target's name as given, else the last stage's, else `default`."""
    text = "FROM a:$TARGETSTAGE\nFROM b:$TARGETSTAGE AS last\n"

    assert final(text) == "b:last"
    assert final(text, target="LAST") == "b:LAST"
    assert final("FROM a:$TARGETSTAGE\n") == "a:default"


def test_a_build_argument_replaces_what_is_predefined() -> None:
    """A build argument of a predefined name wins without an ARG."""
    assert final("FROM alpine:$TARGETARCH\n", TARGETARCH="riscv64") == "alpine:riscv64"


def test_a_platform_that_is_none_is_refused() -> None:
    """What is no platform cannot be built for."""
    line, problem = refusal("FROM alpine\n", platform="a/b/c/d")

    assert line == 0
    assert problem.startswith("failed to parse target platform a/b/c/d")


def test_the_way_names_each_value_and_where_it_is_from() -> None:
    """The way leads from the text over the variables, and those they are made of, to the name."""
    text = "ARG V=3\nARG T=$V.1\nARG R\nFROM ${R}/base:${T}-$TARGETARCH\n"

    assert read(text, R="reg.io").images[0].way == (
        "FROM ${R}/base:${T}-$TARGETARCH",
        "R=reg.io from --build-arg",
        "T=3.1 from ARG on line 2",
        "TARGETARCH=amd64 from the platform linux/amd64",
        "V=3 from ARG on line 1",
    )


def test_the_way_hides_values_that_do_not_show_in_the_name() -> None:
    """A build argument that is only asked for, as a secret may be, is named without its value."""
    way = read("ARG TOKEN\nFROM alpine:${TOKEN:+private}\n", TOKEN="s3cr3t").images[0].way

    assert way == ("FROM alpine:${TOKEN:+private}", "TOKEN from --build-arg")


def test_the_way_is_short() -> None:
    """However many variables a name is made of, the way stays readable."""
    text = "".join(f"ARG A{n}={n}\n" for n in range(100))
    text += "FROM alpine:" + "".join(f"$A{n}" for n in range(50)) + "\n"

    assert len(read(text).images[0].way) == 21


def test_the_same_image_twice_stands_once() -> None:
    """An image is told once per kind, at its first line."""
    text = "FROM alpine AS a\nFROM alpine\nCOPY --from=a /a /b\nCOPY --from=alpine /a /c\n"

    assert images(text) == ["1 build-time alpine:latest", "2 runtime alpine:latest"]
