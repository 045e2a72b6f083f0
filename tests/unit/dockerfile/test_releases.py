"""What the newest frontend reads otherwise than older ones, and files that pin an older one."""

from __future__ import annotations

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.dockerfile._frontends import NEWEST, frontend_of
from tests.unit.dockerfile.reading import final, images, read, refusal


def pinned(tag: str, text: str) -> str:
    """A file that names its frontend."""
    return f"# syntax=docker/dockerfile:{tag}\n{text}"


def without_frontend(text: str) -> list[str]:
    """The images of a file but its frontend."""
    return [image for image in images(text) if " frontend " not in image]


SPACED = "FROM alpine\nRUN cat << EOF > /x\nnot an instruction\nEOF\n"


@pytest.mark.parametrize("space", [" ", "  ", "\t", " \t ", " \\\n  "])
def test_white_space_may_stand_before_the_word_of_a_heredoc(space: str) -> None:
    """What follows `<< EOF` is a heredoc's text, not an instruction."""
    assert images(SPACED.replace("<< ", f"<<{space}")) == ["1 runtime alpine:latest"]


def test_a_heredoc_after_white_space_hides_instructions() -> None:
    """An image that only stands in the text of a heredoc is not read, whatever the word is."""
    text = "FROM alpine\nRUN cat << RUN\nCOPY --from=evil / /\nRUN\nUSER x\n"

    assert images(text) == ["1 runtime alpine:latest"]


@pytest.mark.parametrize("command", ["RUN echo $(( 1 << 2 ))", "COPY a << b /c"])
def test_a_shift_operator_opens_a_heredoc(command: str) -> None:
    """White space and a word after `<<` open a heredoc, also where a person means none."""
    assert refusal(f"FROM alpine\n{command}\n") == (2, "unterminated heredoc")


@pytest.mark.parametrize("opening", ["<<- EOF", "<< <EOF", "'<< EOF'", "\\<< EOF", "x<< EOF"])
def test_not_every_spaced_word_opens_a_heredoc(opening: str) -> None:
    """After `<<-` white space ends the word, and a quoted `<<` is text."""
    assert refusal(f"FROM alpine\nRUN cat {opening}\nBOGUS\n") == (
        3,
        "unknown instruction: BOGUS",
    )


def test_dashes_after_white_space_are_part_of_the_word() -> None:
    """In `<< -EOF` the dash belongs to the word that ends the text."""
    assert images("FROM a\nRUN cat << -EOF\nBOGUS\n-EOF\n") == ["1 runtime a:latest"]


def test_copy_with_a_spaced_heredoc_copies_files_of_those_names() -> None:
    """COPY splits its arguments at white space: `<<` and the word are paths, the text is gone."""
    text = "FROM a\nCOPY << EOF /x\nFROM evil\nEOF\nCOPY --from=b / /\n"

    assert images(text) == ["1 runtime a:latest", "5 build-time b:latest"]


@pytest.mark.parametrize("tag", ["1.15", "1.15.1", "1.15-labs", "1.4.0", "1.15.0-rc2"])
def test_a_pinned_frontend_knows_no_white_space_in_heredocs(tag: str) -> None:
    """Below 1.16 `<< EOF` opens nothing, so its text is read as instructions."""
    expected = (4, "unknown instruction: not")
    assert refusal(pinned(tag, SPACED)) == expected
    assert without_frontend(pinned(tag, "FROM a\nRUN echo $(( 1 << 2 ))\n")) == [
        "2 runtime a:latest"
    ]


@pytest.mark.parametrize(
    "tag", ["1", "1.16", "1.16.0", "1.27", "2.0", "latest", "1-labs", "master"]
)
def test_a_frontend_that_moves_along_is_the_newest(tag: str) -> None:
    """From 1.16 on, and with a tag that names no release, white space may follow `<<`."""
    assert without_frontend(pinned(tag, SPACED)) == ["2 runtime alpine:latest"]


def test_a_pinned_build_argument_counts_as_the_directive() -> None:
    """BUILDKIT_SYNTAX pins a release as the directive does."""
    assert refusal(SPACED, BUILDKIT_SYNTAX="docker/dockerfile:1.15")[0] == 3


def test_a_digest_counts_by_the_tag_beside_it() -> None:
    """A digest tells no release: the tag beside it does, and without one it is the newest."""
    digest = "sha256:" + "a" * 64
    assert refusal(pinned(f"1.15@{digest}", SPACED))[0] == 4
    text = f"# syntax=docker/dockerfile@{digest}\n{SPACED}"
    assert without_frontend(text) == ["2 runtime alpine:latest"]


def test_a_foreign_frontend_is_taken_for_the_newest() -> None:
    """Whatever its tag says, a frontend that is not BuildKit's is read as the newest."""
    text = f"# syntax=reg.io/front:1.2\n{SPACED}"

    assert without_frontend(text) == ["2 runtime alpine:latest"]
    assert "may read it otherwise" in read(text).unknown[0].reason


WINDOWS = (
    "# escape=`\nFROM a\nRUN --mount=from=tools,target=C:\\ --mount=from=more,target=C:\\m cmd\n"
)


def test_flags_are_split_by_the_escape_character() -> None:
    """With `# escape=`` a backslash before a blank ends a flag, and both mounts are read."""
    assert images(WINDOWS) == [
        "2 runtime a:latest",
        "3 build-time tools:latest",
        "3 build-time more:latest",
    ]
    text = "# escape=`\nFROM a\nRUN --mount=from=tools,target=/x` --mount=from=no y\n"
    assert images(text) == ["2 runtime a:latest", "3 build-time tools:latest"]


def test_a_pinned_frontend_splits_flags_by_backslashes() -> None:
    """Below 1.15 a backslash escapes in flags whatever the escape character is."""
    text = WINDOWS.replace("# escape", "# syntax=docker/dockerfile:1.14\n# escape")

    assert without_frontend(text) == ["3 runtime a:latest", "4 build-time tools:latest"]
    newer = text.replace("1.14", "1.15")
    assert "4 build-time more:latest" in images(newer)


def test_a_default_in_the_word_takes_a_heredoc_away() -> None:
    """`<<EOF${X:-a}` opens no heredoc: the lexer forgets what stands before `${`."""
    text = "FROM a\nRUN cat <<EOF${X:-a}\nUSER x\nCOPY --from=b / /\n"

    assert images(text) == ["1 runtime a:latest", "4 build-time b:latest"]
    assert images("FROM a\nRUN cat <<EOF$X\nBOGUS\nEOF$X\n") == ["1 runtime a:latest"]


def test_a_pinned_frontend_keeps_the_word() -> None:
    """Below 1.9 the lexer forgets nothing, so the same line waits for the end of a heredoc."""
    text = "FROM a\nRUN cat <<EOF${X:-a}\nBOGUS\nEOF${X:-a}\n"

    assert without_frontend(pinned("1.8", text)) == ["2 runtime a:latest"]
    assert refusal(pinned("1.9", text)) == (4, "unknown instruction: BOGUS")


def test_the_date_of_the_sources_is_brought_into_its_usual_form() -> None:
    """SOURCE_DATE_EPOCH is a number, and FROM sees it as a number is written."""
    text = "ARG SOURCE_DATE_EPOCH={}\nFROM a:x$SOURCE_DATE_EPOCH\n"

    assert final(text.format("007")) == "a:x7"
    assert final(text.format("+7")) == "a:x7"
    assert final(text.format("-0")) == "a:x0"
    assert final("ARG SOURCE_DATE_EPOCH\nFROM a:x$SOURCE_DATE_EPOCH\n", SOURCE_DATE_EPOCH="08") == (
        "a:x8"
    )


def test_an_empty_date_is_none() -> None:
    """An empty SOURCE_DATE_EPOCH is as good as none."""
    text = "ARG SOURCE_DATE_EPOCH=7\nFROM a:x$SOURCE_DATE_EPOCH\n"

    assert final(text, SOURCE_DATE_EPOCH="") == "a:x"
    assert images("FROM a\nARG SOURCE_DATE_EPOCH\nRUN x\n", SOURCE_DATE_EPOCH="") == [
        "1 runtime a:latest"
    ]


@pytest.mark.parametrize("date", ["x", "1.5", "9223372036854775808", "UPPER"])
def test_a_date_that_is_none_is_refused(date: str) -> None:
    """SOURCE_DATE_EPOCH is a number, the context, or a stage, given or as a default."""
    expected = (0, f"invalid SOURCE_DATE_EPOCH: {date}")
    assert refusal("FROM a\n", SOURCE_DATE_EPOCH=date) == expected
    assert refusal(f"ARG SOURCE_DATE_EPOCH={date}\nFROM a\n") == expected


def test_a_date_of_the_context_is_not_known() -> None:
    """A base that is named by the date of the sources is unknown, and nothing is guessed."""
    text = "FROM b AS unused\nFROM a:x$SOURCE_DATE_EPOCH\nRUN --mount=type=cache,target=$Y z\n"
    found = read(f"ARG SOURCE_DATE_EPOCH\n{text}", SOURCE_DATE_EPOCH="context")

    assert (found.images, found.final) == ((), None)
    assert [(unknown.text, unknown.line) for unknown in found.unknown] == [
        ("a:x$SOURCE_DATE_EPOCH", 3)
    ]
    assert "SOURCE_DATE_EPOCH is a date" in found.unknown[0].reason


def test_an_unknown_base_that_is_not_needed_is_not_told() -> None:
    """What nobody reads need not be known."""
    text = "ARG SOURCE_DATE_EPOCH=context\nFROM a:$SOURCE_DATE_EPOCH\nFROM b\n"

    assert read(text).unknown == ()
    assert images(text) == ["3 runtime b:latest"]


def test_the_date_of_a_stage_is_that_of_what_it_adds() -> None:
    """A stage that gives the date is built on scratch, and a stage's ARG sees no known value."""
    text = (
        "FROM {} AS source\nADD https://x/y /\nFROM scratch\nARG SOURCE_DATE_EPOCH=\n"
        "VOLUME $SOURCE_DATE_EPOCH\n"
    )

    assert images(text.format("scratch"), SOURCE_DATE_EPOCH="SOURCE") == []
    assert refusal(text.format("a"), SOURCE_DATE_EPOCH="source") == (
        1,
        "SOURCE_DATE_EPOCH stage must use FROM scratch",
    )
    assert refusal(text.format("${a"), SOURCE_DATE_EPOCH="source")[0] == 1


def test_a_pinned_frontend_leaves_the_date_as_it_is() -> None:
    """Below 1.24 only a build argument is looked at, and FROM sees it as it was given."""
    text = pinned("1.23", "ARG SOURCE_DATE_EPOCH\nFROM a:x$SOURCE_DATE_EPOCH\n")

    assert final(text, SOURCE_DATE_EPOCH="007") == "a:x007"
    assert final(text, SOURCE_DATE_EPOCH="") == "a:x"
    assert final(pinned("1.23", "ARG SOURCE_DATE_EPOCH=x\nFROM a\n")) == "a:latest"
    assert refusal(text, SOURCE_DATE_EPOCH="context")[1] == "invalid SOURCE_DATE_EPOCH: context"


def test_a_single_escape_at_the_end_of_a_suffix_escapes_backwards() -> None:
    r"""With `# escape=`` the pattern `?\` of `%` is read from behind: a literal question mark."""
    text = "# escape=`\nARG A={}\nFROM {}\n"

    assert final(text.format("value", "${A%%?\\}")) == "value:latest"
    assert final(text.format("value", "${A%?\\}")) == "value:latest"
    assert final(text.format("value?", "${A%%?\\}")) == "value:latest"
    assert "invalid escape" in refusal(text.format("value", "${A##?\\}"))[1]


@pytest.mark.parametrize("number", ["0" * 22, "+" + "0" * 30, "-" + "0" * 25])
def test_leading_zeros_of_a_stages_number_count_for_nothing(number: str) -> None:
    """COPY --from takes any spelling of a stage's number."""
    text = f"FROM golang\nFROM alpine\nCOPY --from={number} / /\n"

    assert images(text) == ["1 build-time golang:latest", "2 runtime alpine:latest"]


def test_a_number_that_fits_is_a_number() -> None:
    """The largest number there is names no stage; one more is the name of an image."""
    text = "FROM alpine\nCOPY --from={} / /\n"

    assert refusal(text.format("9223372036854775807")) == (
        2,
        "invalid stage index 9223372036854775807",
    )
    assert images(text.format("9223372036854775808")) == [
        "1 runtime alpine:latest",
        "2 build-time 9223372036854775808:latest",
    ]


@pytest.mark.parametrize("given", ["", "skip=all", "error=false;experimental=all"])
def test_a_build_argument_replaces_the_check_directive(given: str) -> None:
    """BUILDKIT_DOCKERFILE_CHECK, even empty, replaces a check directive that is wrong."""
    text = "# check=foo=bar\nFROM a\n"

    assert images(text, BUILDKIT_DOCKERFILE_CHECK=given) == ["2 runtime a:latest"]
    assert refusal(text)[0] == 1


def test_a_build_argument_for_the_linter_is_checked() -> None:
    """What BUILDKIT_DOCKERFILE_CHECK says is refused as what the directive says is."""
    assert refusal("FROM a\n", BUILDKIT_DOCKERFILE_CHECK="zz") == (
        0,
        'failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK: invalid check option "zz"',
    )


@pytest.mark.parametrize(
    ("platform", "variant", "shown"),
    [
        ("linux/arm64/v9.0", "v9", "linux/arm64/v9"),
        ("linux/arm64/9", "v9", "linux/arm64/v9"),
        ("linux/arm64/v8.0", "", "linux/arm64"),
        ("linux/arm64/v8", "", "linux/arm64"),
        ("linux/arm64/v8.1", "v8.1", "linux/arm64/v8.1"),
    ],
)
def test_variants_have_one_spelling(platform: str, variant: str, shown: str) -> None:
    """TARGETVARIANT and TARGETPLATFORM hold the usual spelling of a variant."""
    text = "FROM reg.io/x$TARGETVARIANT\nCOPY --from=b / /\nFROM reg.io/$TARGETPLATFORM\n"

    assert str(read(text, platform=platform).final) == f"reg.io/{shown}:latest"
    found = read(text.partition("\nCOPY")[0] + "\n", platform=platform).final
    assert str(found) == f"reg.io/x{variant}:latest"


@pytest.mark.parametrize(
    ("platform", "shown"),
    [
        ("windows(10.0.1)/amd64", "windows(10.0.1)/amd64"),
        ("windows(10.0%2B1+b+a+a)/amd64", "windows(10.0%2B1+a+b)/amd64"),
        ("linux(+x)/amd64", "linux(+x)/amd64"),
    ],
)
def test_versions_and_features_of_a_system_are_shown(platform: str, shown: str) -> None:
    """TARGETPLATFORM holds the version and the features, sorted and encoded."""
    text = f"FROM a${{TARGETPLATFORM/{shown.replace('/', '\\/')}/-same}}\n"

    assert str(read(text, platform=platform).final) == "docker.io/library/a-same:latest"


def test_a_badly_encoded_version_is_refused() -> None:
    """What stands for a byte is two hexadecimal digits."""
    assert "invalid OS version" in refusal("FROM a\n", platform="windows(10%zz)/amd64")[1]


def test_run_device_needs_the_labs_channel() -> None:
    """RUN --device is refused on the stable channel, where its stage is built."""
    text = "FROM a\nRUN --device=vendor.com/x=all,required y\nFROM b\n"
    problem = "device feature is only supported in Dockerfile frontend 1.14.0-labs or later"

    assert refusal(text.removesuffix("FROM b\n")) == (2, problem)
    assert refusal(pinned("1", text.removesuffix("FROM b\n"))) == (3, problem)
    assert images(text) == ["3 runtime b:latest"]
    for tag in ("1-labs", "labs", "1.20.0-labs"):
        assert "2 runtime a:latest" in images(pinned(tag, text.removesuffix("FROM b\n")))


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("name=a,name=b", "device name already set to a"),
        ("a,b", "invalid field 'b' must be a key=value pair"),
        ("a,required=maybe", "invalid value for required: maybe"),
        ("a,key=b", "unexpected key 'key' in 'key=b'"),
    ],
)
def test_devices_that_are_refused(device: str, problem: str) -> None:
    """A device has one name, and may be required; that is looked at wherever it stands."""
    assert refusal(f"FROM a\nRUN --device={device} x\nFROM b\n") == (2, problem)


def test_a_tag_tells_the_release() -> None:
    """A release is two numbers at the head of a tag; its channel, what stands behind them."""
    newest = frontend_of(ImageReference.parse("docker/dockerfile:1"))
    old = frontend_of(ImageReference.parse("docker/dockerfile-upstream:v1.8-labs"))

    assert newest == NEWEST
    assert old == NEWEST._replace(
        spaced_heredocs=False,
        escaped_flags=False,
        forgetful_words=False,
        dates=False,
        git_queries=False,
        devices=True,
    )


def test_a_pinned_frontend_does_not_look_at_the_queries_of_repositories() -> None:
    """Below 1.18 what follows a `?` in the address of a repository says nothing."""
    text = "FROM a\nADD https://x/y.git?bad=1 /z\n"

    assert refusal(text) == (2, 'unexpected query "bad"')
    assert without_frontend(pinned("1.17", text)) == ["2 runtime a:latest"]
