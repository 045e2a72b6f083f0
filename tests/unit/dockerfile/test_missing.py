"""Build arguments that are not given, or empty: errors name them and tell what would settle it."""

from __future__ import annotations

import pytest

from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.errors import ArgumentMissing, InvalidBuildFile, PermanentError
from tests.unit.dockerfile.reading import final, images, refusal


def error_of(text: str, platform: str = "linux/amd64", **build_args: str) -> InvalidBuildFile:
    """The error of a file that is refused."""
    with pytest.raises(InvalidBuildFile) as caught:
        read_dockerfile(text.encode(), build_args=build_args, platform=platform)
    return caught.value


def test_an_argument_without_default_is_named() -> None:
    """A tag that only an argument would give: the error names it, and how to give it."""
    error = error_of("ARG VERSION\nFROM ubuntu:${VERSION}\n")

    assert isinstance(error, ArgumentMissing)
    assert (error.line, error.missing) == (2, ("VERSION",))
    assert error.problem.startswith(
        'failed to parse stage name "ubuntu:": invalid reference format'
    )
    assert error.problem.endswith(
        "; ARG VERSION has no default and no --build-arg gives it:"
        " --build-arg VERSION=... would settle it"
    )
    assert final("ARG VERSION\nFROM ubuntu:${VERSION}\n", VERSION="1") == "ubuntu:1"


def test_an_argument_that_is_given_as_empty_is_named() -> None:
    """An argument that is given and empty is told apart from one that is not given."""
    error = error_of("ARG VERSION=1\nFROM ubuntu:$VERSION\n", VERSION="")

    assert error.missing == ("VERSION",)
    assert "ARG VERSION is given as empty: --build-arg VERSION=..." in error.problem


def test_an_argument_with_an_empty_default_is_named() -> None:
    """An empty default is no value either."""
    error = error_of("ARG VERSION=\nFROM ubuntu:$VERSION\n")

    assert error.missing == ("VERSION",)
    assert "ARG VERSION has an empty default and no --build-arg gives it" in error.problem


def test_a_blank_base_names_its_argument() -> None:
    """A base that is nothing but an argument without a value."""
    error = error_of("ARG BASE\nFROM ${BASE}\n")

    assert (error.line, error.missing) == (2, ("BASE",))
    assert error.problem.startswith("base name (${BASE}) should not be blank; ARG BASE has no")


def test_an_argument_that_nothing_declares_is_no_missing_one() -> None:
    """No build argument settles what no ARG declares: the file is wrong, and that is told."""
    error = error_of("FROM ${BASE}\n", BASE="alpine")

    assert type(error) is InvalidBuildFile
    assert error.missing == ()
    assert error.problem == (
        "base name (${BASE}) should not be blank; no ARG before the first FROM declares BASE"
    )


def test_declared_and_undeclared_arguments_are_both_told() -> None:
    """Where only one of two is declared, no build argument helps alone."""
    error = error_of("ARG REGISTRY\nFROM $REGISTRY/$IMAGE\n")

    assert error.missing == ()
    assert "no ARG before the first FROM declares IMAGE" in error.problem
    assert "ARG REGISTRY has no default and no --build-arg gives it" in error.problem


def test_what_an_argument_is_made_of_is_named() -> None:
    """The argument that is missing is the one that others are made of."""
    text = "ARG VERSION\nARG TAG=$VERSION\nARG IMAGE=ubuntu:${TAG}\nFROM $IMAGE\n"
    error = error_of(text)

    assert (error.line, error.missing) == (4, ("VERSION",))
    assert error_of(text, VERSION="").missing == ("VERSION",)
    assert error_of(text, TAG="").missing == ("TAG",)
    assert final(text, VERSION="1") == "ubuntu:1"


def test_several_arguments_are_named_in_their_order() -> None:
    """Each argument that is needed and has no value is named once."""
    error = error_of("ARG R\nARG I\nARG T=1\nFROM $R/$I:$T-$R\n")

    assert error.missing == ("R", "I")
    assert "--build-arg R=... --build-arg I=... would settle it" in error.problem


def test_a_digest_may_be_missing() -> None:
    """A digest that only an argument would give is one, too."""
    text = "ARG REPOSITORY\nARG DIGEST\nFROM $REPOSITORY@${DIGEST}\n"

    assert error_of(text).missing == ("REPOSITORY", "DIGEST")
    assert error_of(text, REPOSITORY="a").missing == ("DIGEST",)


def test_a_wrong_name_is_wrong_whatever_is_missing() -> None:
    """Where no value makes the name right, the argument is not the reason."""
    assert error_of("ARG X\nFROM UPPER$X\n").missing == ()
    assert "ARG" not in error_of("ARG X\nFROM UPPER$X\n").problem
    assert error_of("ARG X\nFROM a:b:$X\n").missing == ()
    assert error_of("ARG X\nFROM ${Y$X\n").missing == ()


def test_an_argument_that_may_be_empty_is_none() -> None:
    """What has a default for it, or is only asked for, is not missing."""
    assert final("ARG S\nFROM alpine$S\n") == "alpine:latest"
    assert error_of("ARG S\nFROM ${S:-UPPER}\n").missing == ()
    assert error_of("ARG S\nFROM ${S:+x}a:\n").missing == ()


def test_a_platform_may_be_missing() -> None:
    """--platform of FROM names its argument, too."""
    empty = error_of("ARG P\nFROM --platform=$P a\n")
    partial = error_of("ARG ARCH\nFROM --platform=linux/${ARCH} a\n")

    assert (empty.line, empty.missing) == (2, ("P",))
    assert empty.problem.startswith("empty platform value from expression $P; ARG P has no")
    assert (partial.line, partial.missing) == (2, ("ARCH",))
    assert partial.problem.startswith("failed to parse platform linux/${ARCH}")
    assert error_of("ARG X\nFROM --platform=lin*x$X a\n").missing == ()


@pytest.mark.parametrize("modifier", ["?", ":?", ":?give-it"])
def test_an_argument_that_is_asked_for_is_named(modifier: str) -> None:
    """`${X:?}` in a FROM, in its platform, or in a default names the argument."""
    for text in (
        f"ARG X\nFROM ${{X{modifier}}}\n",
        f"ARG X\nFROM --platform=${{X{modifier}}} a\n",
        f"ARG X\nARG Y=${{X{modifier}}}\nFROM a\n",
    ):
        error = error_of(text)
        assert (error.line, error.missing) == (2, ("X",)), text
        assert error.problem.endswith(
            "ARG X has no default and no --build-arg gives it: --build-arg X=... would settle it"
        )


def test_a_later_default_does_not_hide_the_first() -> None:
    """Two ARGs that each ask for another: the first is told, by itself."""
    assert error_of("ARG X\nARG Z\nARG Y=${X:?}\nARG W=${Z:?}\nFROM a\n").missing == ("X",)
    assert error_of("ARG Y=${X:?}\nFROM a\n").missing == ()


def test_patterns_need_a_value() -> None:
    """What is cut out of an argument without a value is nothing."""
    assert error_of("ARG I\nFROM ${I##*/}\n").missing == ("I",)
    assert error_of("ARG I\nFROM ${I%x}\n").missing == ("I",)
    assert error_of("ARG I\nFROM ${I/a/b}\n").missing == ("I",)
    assert error_of("ARG I\nFROM $'I'\"$I\"\n").missing == ()


def test_what_the_platform_leaves_empty_is_told() -> None:
    """A variable that is empty for the platform is no argument, but it is the reason."""
    error = error_of("FROM a:$TARGETVARIANT\n")

    assert error.missing == ()
    assert "; TARGETVARIANT is empty for the platform linux/amd64" in error.problem
    mixed = error_of("ARG V\nFROM a:$V$TARGETVARIANT\n")
    assert mixed.missing == ("V",)


def test_a_stage_that_is_never_built_needs_its_base_all_the_same() -> None:
    """The base of a stage that nothing reaches is named, too."""
    error = error_of("ARG DEBUG\nFROM a:$DEBUG AS debug\nFROM b\n")

    assert (error.line, error.missing) == (2, ("DEBUG",))


@pytest.mark.parametrize(
    ("stage", "given", "problem"),
    [
        ("ARG X\nVOLUME $X", {}, "ARG X has no default and no --build-arg gives it"),
        ("ARG X=/v\nVOLUME $X", {"X": ""}, "ARG X is given as empty"),
        ("ARG X=\nVOLUME $X", {}, "ARG X has an empty default and no --build-arg gives it"),
        ("ARG X\nUSER ${X:?}", {}, "ARG X has no default and no --build-arg gives it"),
        ("ARG X\nSTOPSIGNAL $X", {}, "ARG X has no default and no --build-arg gives it"),
        ("ARG X\nRUN --mount=type=cache,target=$X x", {}, "ARG X has no default"),
        ("ARG X\nARG Y=${X:?}", {}, "ARG X has no default and no --build-arg gives it"),
        ("ARG X\nADD --chmod=zz $X /", {}, ""),
        ("ARG X\nENV X=\nVOLUME $X", {}, ""),
    ],
)
def test_arguments_of_stages_are_named(stage: str, given: dict[str, str], problem: str) -> None:
    """An instruction of a stage that lacks an argument names it, if that would settle it."""
    error = error_of(f"FROM scratch\n{stage}\n", **given)

    assert error.line == stage.count("\n") + 2
    assert error.missing == (("X",) if problem else ())
    assert problem in error.problem


def test_an_argument_that_the_base_image_may_set_is_not_missing() -> None:
    """What a base image may set is not known to be missing."""
    assert images("FROM a\nARG X\nVOLUME $X\nUSER ${X:?}\n") == ["1 runtime a:latest"]


def test_a_missing_argument_is_a_permanent_error() -> None:
    """Who catches an invalid file catches it too."""
    assert issubclass(ArgumentMissing, InvalidBuildFile)
    assert issubclass(ArgumentMissing, PermanentError)
    assert InvalidBuildFile(0, "x").missing == ()


def test_what_is_missing_is_told_in_short() -> None:
    """Neither many arguments nor long names make an error that no record holds."""
    names = [f"A{n}" for n in range(100)]
    many = error_of("".join(f"ARG {name}\n" for name in names) + f"FROM ${'$'.join(names)}\n")
    long = error_of(f"ARG {'X' * 60_000}\nFROM ${'X' * 60_000}\n")

    assert len(many.missing) == 20
    assert len(many.problem) < 1000
    assert len(long.missing[0]) < 1000
    assert len(long.problem) < 1000


def test_defaults_that_grow_are_bounded_where_something_is_missing() -> None:
    """Looking for what would settle it stays within the limits of the file."""
    text = "ARG X\nARG A=$X\n" + "ARG A=$A$A\n" * 40 + "FROM a:$X\n"

    assert error_of(text).line == 43
    assert refusal(text, X="x" * 1000)[1].startswith("the file's expansions")
