"""What ACR's record misses and why: the scanner beside the builder, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from copy import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.builds.scanner import ScanError
from localcloud.builds.scanner import scan as localcloud_scan
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Dependency, Kind, Task, TriggerType
from rebuilder.core.dependencies.build_files import BuildKitOnly, ImageUse, UnknownImage
from rebuilder.core.dependencies.effects import Builder, Built, Effects, StepDone
from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.core.gaps.compare import BuildFiles, find_gaps
from rebuilder.core.gaps.gap import Gap, counted, to_record
from rebuilder.core.gaps.scanner import expand, recorded_reference, scan
from rebuilder.errors import InvalidBuildFile
from tests.unit.fakes import OLD, dependency, task

HOST = "myapps.azurecr.io"
ALPINE = "docker.io/library/alpine:3"
TIME = Kind.BUILD_TIME


def dockerfile(
    text: str,
    arguments: Mapping[str, str] | None = None,
    target: str = "",
    builder: Builder = Builder.BUILDKIT,
) -> Built:
    """Return a build of a Dockerfile."""
    given = arguments or {}
    made = Built(1, builder, "Dockerfile", ("app:1",), True, given, target, text.encode())  # noqa: FBT003 - it is pushed
    try:
        images = read_dockerfile(text.encode(), build_args=given, target=target)
    except InvalidBuildFile as error:
        return replace(made, refusal=error)
    return replace(made, images=images)


def files_of(*builds: Built, kind: str = "build", **more: Any) -> BuildFiles:  # noqa: ANN401 - as Effects has them
    """Return the files of a task whose steps are builds, and which pushes an image."""
    steps = tuple(StepDone(made.line, f"s{n}", kind, (made,)) for n, made in enumerate(builds))
    more.setdefault("pushes", ("myapps.azurecr.io/app:1",))
    return BuildFiles(Effects(steps=steps, **more), "acb.yaml")


def owner(*recorded: Dependency, trigger: TriggerType = TriggerType.ALL, on: bool = True) -> Task:
    """Return a task with what ACR has recorded of it, and its trigger on."""
    return replace(task(), dependencies=recorded, trigger_type=trigger, native_trigger=on)


def gaps(
    text: str,
    *recorded: Dependency,
    arguments: Mapping[str, str] | None = None,
    target: str = "",
    ran: str | None = None,
) -> list[Gap]:
    """Return the gaps of a task that builds one Dockerfile."""
    files = files_of(dockerfile(text, arguments, target))
    return list(find_gaps(owner(*recorded), files, HOST, ran))


def codes(found: list[Gap]) -> list[str]:
    """Return what was found, but that the task has not run yet."""
    return [gap.code for gap in found if gap.code != "never-ran"]


LINES: dict[str, tuple[str, list[str], str]] = {
    "FROM --platform fails the run": (
        "FROM --platform=$BUILDPLATFORM golang:1.22 AS b\nFROM alpine:3\nCOPY --from=b /a /\n",
        ["platform-flag"],
        (
            "line 1: ACR's scanner does not understand FROM --platform, so the run fails and"
            " docker.io/library/golang:1.22 is not recorded"
        ),
    ),
    "a fixed platform fails it too": (
        "FROM --platform=linux/amd64 alpine:3\n",
        ["platform-flag"],
        ALPINE,
    ),
    "a default in braces is lost": (
        "ARG TAG\nFROM r.azurecr.io/alpine:${TAG:-3.19}\n",
        ["expansion-form", "no-credentials"],
        (
            "line 2: ACR's scanner takes ${TAG:-3.19} for a variable of that name, which is empty;"
            " what is left is no image, so the run fails and nothing is recorded"
        ),
    ),
    "a FROM over two lines": ("FROM \\\n  alpine:3\n", ["continued-from"], "goes on in the next"),
    "another escape character": (
        "# escape=`\nFROM `\n  alpine:3\n",
        ["continued-from"],
        "line 2: ",
    ),
    "an ARG that names an ARG": (
        "ARG R=r.azurecr.io\nARG I=$R/base:1\nFROM $I\n",
        ["argument-of-argument", "no-credentials"],
        "line 3: ACR's scanner does not expand the default of ARG I",
    ),
    "the second ARG of a line": (
        "ARG A=1 B=2\nFROM alpine:$B\n",
        ["later-argument"],
        "reads only the first name of an ARG line, not B",
    ),
    "an ARG that stands twice": (
        "ARG T=1\nARG T=2\nFROM alpine:$T\n",
        ["first-default-wins"],
        (
            "line 3: ARG T stands twice, and ACR's scanner keeps the first default; it records"
            " docker.io/library/alpine:1, not docker.io/library/alpine:2"
        ),
    ),
    "an ARG inside a stage": (
        "FROM alpine:3 AS a\nARG T=1\nFROM alpine:3$T\n",
        ["stage-argument", "wrong-kind"],
        (
            "line 3: ARG T stands inside a stage, so FROM does not know it; ACR's scanner takes its"
            " value all the same; it records docker.io/library/alpine:31, not"
            " docker.io/library/alpine:3"
        ),
    ),
    "an ARG inside a stage that leaves no image": (
        "FROM alpine:3 AS a\nARG T=1\nFROM alpine:$T\n",
        ["file-refused", "stage-argument"],
        "line 3: refused: ",
    ),
    "a build argument that is not declared": (
        "FROM alpine:3$GIVEN\n",
        ["undeclared-argument"],
        "no ARG before the first FROM declares GIVEN",
    ),
    "a stage in another case": (
        "FROM alpine:3 AS Base\nFROM base\n",
        ["case-of-stage", "wrong-kind"],
        (
            "line 2: the stage Base is written in another case, so ACR's scanner takes it for an"
            " image and records docker.io/library/base:latest"
        ),
    ),
    "a heredoc": (
        "FROM alpine:3\nRUN <<EOF\nFROM evil:1\nEOF\n",
        ["heredoc-line", "wrong-kind"],
        "line 3: the line stands in a heredoc",
    ),
    "a line that goes on with another instruction": (
        "FROM alpine:3\nRUN select a \\\nFROM b\n",
        ["line-inside", "wrong-kind"],
        "line 3: the line goes on with another instruction",
    ),
    "COPY --from": (
        "FROM alpine:3\nCOPY --from=ext:1 / /\n",
        ["copy-from"],
        (
            "line 2: ACR's scanner does not look at COPY --from, so docker.io/library/ext:1 is not"
            " recorded"
        ),
    ),
    "RUN --mount": (
        "FROM alpine:3\nRUN --mount=type=bind,from=ext:1,target=/x true\n",
        ["run-mount"],
        "does not look at RUN --mount=from, so docker.io/library/ext:1",
    ),
    "the syntax image": (
        "# syntax=docker/dockerfile:1\nFROM alpine:3\n",
        ["syntax-image"],
        "line 1: ACR's scanner does not look at # syntax, so docker.io/docker/dockerfile:1",
    ),
    "ONBUILD of an earlier stage": (
        "FROM alpine:3 AS a\nONBUILD COPY --from=ext:1 / /\nFROM a\n",
        ["onbuild"],
        "docker.io/library/ext:1",
    ),
    "a stage that nothing needs": (
        "FROM golang:1 AS unused\nFROM alpine:3\n",
        ["unused-stage"],
        "line 1: nothing needs this stage, so BuildKit does not read docker.io/library/golang:1",
    ),
    "a comment behind FROM": (
        "FROM alpine:3 # base\n",
        ["file-refused", "unknown-form"],
        "line 1: ",
    ),
    "a pinned tag": (
        f"FROM alpine:3@{OLD}\n",
        ["pinned-looks-moving"],
        f"{ALPINE}@{OLD} is pinned to its digest",
    ),
    "a variable that the builder sets": (
        "FROM alpine:3-$TARGETARCH\n",
        ["platform-argument"],
        "does not know TARGETARCH",
    ),
    "quotes around a word": ("ARG T='3'\nFROM \"alpine:$T\"\n", [], ""),
    "quotes inside of a word": ("FROM 'alpine':3\n", ["other-reading"], "no quotes inside"),
    "an ARG of nothing": ("ARG\nFROM alpine:3\n", ["file-refused", "unknown-form"], "'ARG'"),
    "a stage that nothing needs, and that fails the run": (
        "FROM golang:${GO:-1} AS unused\nFROM alpine:3\n",
        ["expansion-form"],
        "line 1: ACR's scanner takes ${GO:-1} for a variable of that name",
    ),
    "nothing at all": ("FROM alpine:3\n", [], ""),
    "a stage, a digest, and scratch": (
        f"FROM alpine@{OLD} AS a\nFROM scratch\nCOPY --from=a / /\n",
        [],
        "",
    ),
    "an image named twice": (
        "FROM alpine:3 AS a\nFROM alpine:3\nCOPY --from=alpine:3 / /\nCOPY --from=a / /\n",
        [],
        "",
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_each_thing_that_the_scanner_gets_wrong_has_its_reason(case: str) -> None:
    """The file is read as the builder and as the scanner read it, and each difference explained."""
    text, expected, said = LINES[case]
    found = gaps(text, arguments={"GIVEN": "1"} if "GIVEN" in text else None)

    assert codes(found) == expected
    assert said in "\n".join(gap.sentence() for gap in found)


def test_a_task_that_never_ran_follows_nothing() -> None:
    """Nothing is recorded before the first successful run; after it, the record may be lost."""
    text = "FROM alpine:3\n"

    assert [g.code for g in gaps(text)] == ["never-ran"]
    (lost,) = gaps(text, ran="ca1")
    assert lost.code == "record-lost"
    assert lost.sentence().startswith("run ca1 succeeded and ACR has no record")
    recorded = dependency(ALPINE)
    assert gaps(text, recorded, ran="ca1") == []


def test_a_run_that_the_scanner_fails_loses_no_record() -> None:
    """Where the scanner must fail, an empty record is its failure and no loss."""
    assert [g.code for g in gaps("FROM --platform=linux/amd64 alpine:3\n", ran="ca1")] == [
        "platform-flag"
    ]


def test_what_changed_since_the_last_run_is_stale() -> None:
    """Values that were changed after the run that recorded them."""
    found = gaps("FROM alpine:3\n", dependency("docker.io/library/alpine:2"), ran="ca1")

    assert [(g.code, g.sentence().split(",")[0]) for g in found] == [
        ("stale-record", "ACR has recorded docker.io/library/alpine:2"),
        ("not-recorded-yet", f"ACR has not recorded {ALPINE}"),
    ]


def test_what_is_recorded_after_all_is_no_gap() -> None:
    """The record is believed: a scanner that was mended since has no such gap any more."""
    text = "FROM alpine:3\nCOPY --from=ext:1 / /\n"
    ext = dependency("docker.io/library/ext:1", kind=Kind.BUILD_TIME)

    assert gaps(text, dependency(ALPINE), ext) == []
    unused = "FROM golang:1 AS unused\nFROM alpine:3\n"
    assert gaps(unused, dependency(ALPINE)) == []


def test_the_target_is_where_the_scanner_stops() -> None:
    """A stage in the target's own case ends the scan; in another case it goes on."""
    text = "FROM alpine:3 AS Final\nFROM golang:1\n"

    assert codes(gaps(text, target="Final")) == []
    assert codes(gaps(text, target="final")) == ["unused-stage", "wrong-kind"]


def test_a_scan_that_stops_early_misses_what_comes_later() -> None:
    """Two stages whose names differ in their case: the scanner takes the first for the target."""
    text = "FROM alpine:3 AS a\nFROM golang:1 AS A\n"
    found = gaps(text, target="a")

    assert codes(found) == ["unused-stage", "not-seen"]
    assert "line 2: ACR's scanner does not come to this line" in found[-1].sentence()


def test_acrs_trigger_has_limits_of_its_own() -> None:
    """Build-time images, foreign registries and registries without credentials."""
    text = (
        "FROM ghcr.io/a/b:1 AS a\nFROM mcr.microsoft.com/c:1 AS c\nFROM other.azurecr.io/d:1\n"
        "COPY --from=a / /\nCOPY --from=c / /\n"
    )
    files = files_of(dockerfile(text))
    found = find_gaps(owner(trigger=TriggerType.RUNTIME), files, HOST, None)

    assert [g.code for g in found] == [
        "never-ran",
        "build-time-not-followed",
        "foreign-registry",
        "build-time-not-followed",
        "no-credentials",
    ]
    assert "never rebuilds it for ghcr.io/a/b:1" in found[1].sentence()
    assert "never rebuilds for ghcr.io/a/b:1" in found[2].sentence()
    assert "no credentials for other.azurecr.io" in found[-1].sentence()
    signed_in = replace(owner(), signs_in_to=frozenset({"other.azurecr.io"}))
    assert "no-credentials" not in [g.code for g in find_gaps(signed_in, files, HOST, None)]
    pulled = owner(dependency("other.azurecr.io/d:1"))
    assert "no-credentials" not in [g.code for g in find_gaps(pulled, files, HOST, "ca1")]


def test_a_trigger_that_is_off_is_a_remark() -> None:
    """Who lets this product rebuild turns the trigger off, so that is no gap."""
    files = files_of(dockerfile("FROM alpine:3\n"))
    found = find_gaps(owner(dependency(ALPINE), on=False), files, HOST, "ca1")

    assert [g.code for g in found] == ["trigger-off"]
    assert counted(found) == 0
    assert "own base image trigger is off" in found[0].sentence()


def use(image: str, kind: Kind = Kind.RUNTIME, line: int = 3) -> ImageUse:
    """Return an image that a task file's step reads."""
    return ImageUse(ImageReference.parse(image), kind, line, ("",))


def test_a_tool_is_a_remark() -> None:
    """The image of a command is run, and no image is made of it: nobody need follow it."""
    files = files_of(images=(use("mybase.azurecr.io/tool:1", Kind.TOOL),))
    found = find_gaps(owner(), files, HOST, None)

    assert [(g.code, g.counts) for g in found] == [("never-ran", True), ("tool", False)]
    assert found[1].sentence() == (
        "acb.yaml, line 3: mybase.azurecr.io/tool:1 is a tool that a command runs: no image is made"
        " of it"
    )
    known = owner(dependency("mybase.azurecr.io/tool:1"))
    assert find_gaps(known, files, HOST, "ca1") == ()


def test_a_build_argument_without_a_value_fails_the_scan() -> None:
    """Nothing is recorded then, and that nothing is recorded is no loss of a record."""
    made = replace(dockerfile("FROM alpine:3\n"), bare_arguments=("BASE",))
    found = find_gaps(owner(), files_of(made), HOST, "ca1")

    assert [gap.code for gap in found] == ["argument-without-value"]
    assert "`--build-arg BASE` has no value, which ACR's scanner refuses" in found[0].sentence()


def test_what_commands_build_and_copy_is_not_scanned() -> None:
    """ACR looks at build steps only: a build in a command and a copied image leave no record."""
    made = dockerfile("FROM alpine:3\n")
    built, copied = use(ALPINE), use("mybase.azurecr.io/node:18", line=4)
    found = find_gaps(owner(), files_of(made, kind="cmd", images=(built, copied)), HOST, "ca1")

    assert [g.sentence() for g in found] == [
        (
            f"acb.yaml, line 3: ACR scans build steps only, so {ALPINE}, which a command builds on,"
            " is missing"
        ),
        (
            "acb.yaml, line 4: ACR scans build steps only, so mybase.azurecr.io/node:18, which is"
            " copied, is not recorded"
        ),
    ]


def test_a_task_that_makes_nothing_has_one_line_that_is_no_gap() -> None:
    """A purge, a deployment: its trigger follows nothing, and there is nothing to rebuild."""
    tool = use("mybase.azurecr.io/tool:1", Kind.TOOL)
    found = find_gaps(owner(), files_of(images=(tool,), pushes=()), HOST, None)

    assert [g.code for g in found] == ["makes-nothing"]
    assert counted(found) == 0
    assert "makes no image (no step of it pushes one)" in found[0].sentence()


def test_the_classic_builder_runs_what_nothing_needs() -> None:
    """It pulls the image of an unused stage, so ACR's record is not wrong; BuildKit does not."""
    text = "# syntax=docker/dockerfile:1\nFROM golang:1 AS unused\nFROM alpine:3\n"
    classic = files_of(dockerfile(text, builder=Builder.CLASSIC))
    modern = files_of(dockerfile(text))
    recorded = owner(dependency(ALPINE), dependency("docker.io/library/golang:1", kind=TIME))

    (remark,) = find_gaps(recorded, classic, HOST, "ca1")
    assert (remark.code, remark.counts) == ("unused-stage-run", False)
    assert "the classic builder, which the step gets, pulls docker.io/library/golang:1" in (
        remark.sentence()
    )
    assert [g.code for g in find_gaps(recorded, modern, HOST, "ca1")] == [
        "syntax-image",
        "unused-stage",
    ]


def test_a_file_that_needs_buildkit_on_a_step_without_it_is_a_remark() -> None:
    """The run fails, whatever is recorded."""
    text = "FROM alpine:3\nRUN --mount=type=cache,target=/x true\n"
    made = dockerfile(text, builder=Builder.CLASSIC)
    assert made.images is not None
    made = replace(
        made,
        images=replace(made.images, needs_buildkit=(BuildKitOnly(2, "RUN --mount", refused=True),)),
    )
    found = find_gaps(owner(dependency(ALPINE)), files_of(made), HOST, "ca1")

    assert [(g.code, g.counts) for g in found] == [("needs-buildkit", False)]
    assert found[0].sentence().startswith("Dockerfile, line 2: RUN --mount needs BuildKit")
    modern = replace(made, builder=Builder.BUILDKIT)
    assert find_gaps(owner(dependency(ALPINE)), files_of(modern), HOST, "ca1") == ()


def test_a_tag_that_is_gone_is_a_gap() -> None:
    """A task may follow a tag that nobody can push to any more without making it anew."""
    files = replace(files_of(dockerfile("FROM alpine:3\n")), gone=(ImageReference.parse(ALPINE),))
    found = find_gaps(owner(dependency(ALPINE)), files, HOST, "ca1")

    assert [(g.code, g.counts) for g in found] == [("gone-tag", True)]
    assert f"{ALPINE} is not in its registry any more" in found[0].sentence()


def test_two_builds_of_a_task_are_one_record() -> None:
    """An image that is runtime in one build and build-time in another is recorded as runtime."""
    one = dockerfile("FROM golang:1 AS b\nFROM alpine:3\nCOPY --from=b / /\n")
    two = dockerfile("FROM alpine:3 AS b\nFROM golang:1\nCOPY --from=b / /\n")
    recorded = (dependency(ALPINE), dependency("docker.io/library/golang:1"))

    assert find_gaps(owner(*recorded), files_of(one, two), HOST, "ca1") == ()
    assert [g.code for g in find_gaps(owner(), files_of(one, two), HOST, None)] == ["never-ran"]


def test_what_cannot_be_read_is_said_and_not_counted() -> None:
    """An unreadable file and an unknown image are remarks: the record is compared with nothing."""
    unread = Built(3, Builder.CLASSIC, "Dockerfile", unread="uploaded")
    missed = (
        UnknownImage("Dockerfile", 3, "uploaded"),
        UnknownImage("docker pull $IMAGE", 4, "only a run knows"),
        UnknownImage("$TOOL", 5, "only a run knows", tool=True),
    )
    found = find_gaps(owner(dependency(ALPINE)), files_of(unread, unknown=missed), HOST, "ca1")

    assert [g.sentence() for g in found] == [
        "not compared: acb.yaml, line 4: docker pull $IMAGE: only a run knows",
        "not compared with the build file: Dockerfile: uploaded",
    ]
    assert counted(found) == 0
    hidden = find_gaps(owner(dependency(ALPINE)), BuildFiles(problem="uploaded"), HOST, "ca1")
    assert [g.sentence() for g in hidden] == ["not compared with the build file: uploaded"]


def test_values_that_nobody_tells_are_not_told_of() -> None:
    """A word that stands for a secret value is in no gap."""
    text = "ARG S\nFROM alpine:${S:-1}\n"
    files = files_of(dockerfile(text, {"S": "standin"}), placeholders=("standin",))

    assert [g.code for g in find_gaps(owner(), files, HOST, None)] == ["never-ran"]


def test_a_task_without_a_step_has_no_gaps() -> None:
    """A system task builds nothing."""
    assert find_gaps(replace(owner(), has_step=False), BuildFiles(), HOST, None) == ()


def test_what_the_parser_refuses_is_refused() -> None:
    """Where not even the lines can be told apart, the refusal stands alone."""
    found = gaps("FROM alpine:3\nRUN <<EOF\n")

    assert codes(found) == ["file-refused"]
    assert "unterminated heredoc" in found[-1].sentence()


# What Dockerfiles are made of, and what breaks readers of them.
PIECES = (
    *("FROM a", "FROM a AS b", "FROM B", "FROM $A:${B:-1}", "from --platform=x y", "FROM"),
    *("FROM b:1@sha256:" + "0" * 64, "FROM \\", "ARG A=1 B=$A", "ARG A", "ARG", "RUN <<E", "E"),
    *("COPY --from=b / /", "RUN --mount=from=c:1 true", "ONBUILD ADD x /", "# syntax=d"),
    *("# escape=`", "RUN a \\", "", "\x00", "FROM ${", "FROM $1", "\ufeffFROM a", "FROM a #"),
    *("FROM b.io/$A as c d", "FROM $$A", "ARG 'A=2'", 'ARG A="3"', "FROM c", "FROM a.io:1/b"),
)
FILES = st.lists(st.sampled_from(PIECES), max_size=12)
TARGETS = st.sampled_from(["", "b", "B"])


@given(lines=FILES, target=TARGETS)
def test_no_dockerfile_stops_the_comparison(lines: list[str], target: str) -> None:
    """Whatever stands in the file, every gap has a sentence and a place inside of the file."""
    found = gaps("\n".join(lines) or " ", target=target, arguments={"A": "x"})

    for gap in found:
        assert gap.sentence()
        assert 0 <= to_record(gap).get("line", 0) <= max(1, len(lines))


@given(lines=FILES, target=TARGETS)
def test_the_scanner_is_the_one_of_the_local_cloud(lines: list[str], target: str) -> None:
    """Two models of ACR's scanner that share no code record the same of any file."""
    text = "\n".join(line for line in lines if not line.startswith("\ufeff"))
    try:
        theirs = localcloud_scan(text, {"A": "x"}, target)
    except ScanError:
        expected = None
    else:
        kinds = [(theirs.runtime, Kind.RUNTIME), *((i, Kind.BUILD_TIME) for i in theirs.buildtime)]
        expected = {
            ImageReference.from_parts(i.registry, i.repository, i.tag, "" if i.tag else i.digest): k
            for i, k in reversed(kinds)
        }
    ours = scan(text.encode(), {"A": "x"}, target)

    assert (ours.record() if ours.seen and not ours.fails else None) == expected


def test_a_file_as_a_whole_has_no_line() -> None:
    """What is refused without a line is told without one."""
    found = gaps("FROM alpine:3\n", target="none")

    assert codes(found) == ["file-refused"]
    assert found[-1].sentence().startswith("Dockerfile: refused: target stage")


def test_every_one_of_many_stages_is_compared() -> None:
    """Each stage of a large file has its own gap."""
    text = "".join(f"FROM alpine:{number}\n" for number in range(5000))

    assert codes(gaps(text)).count("unused-stage") == 4999


def test_gaps_as_json() -> None:
    """Code, sentence and the values of each type."""
    found = gaps("ARG A=1 B=2\nFROM alpine:$B\n")
    record: dict[str, Any] = to_record(found[-1])

    assert record.pop("sentence") == found[-1].sentence()
    assert record == {
        "code": "later-argument",
        "counts": True,
        "file": "Dockerfile",
        "line": 2,
        "image": "docker.io/library/alpine:2",
        "recorded": "",
        "name": "B",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A-${A}", "1-1"),
        ("${B:-x}${}", ""),
        ("$$A", "1"),
        ("$1A", "A"),
        ("${A", "A"),
        ("a$", "a$"),
        ("$A_B", ""),
    ],
)
def test_the_scanner_expands_as_go_does(text: str, expected: str) -> None:
    """$NAME and ${NAME}, one special character, and nothing else."""
    values = {"A": "1"}
    assert expand(text, values) == (expected if "$$" not in text else "A")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("node", "docker.io/library/node:latest"),
        ("team/app:1", "docker.io/team/app:1"),
        ("MyBase.azurecr.io/a:1", "mybase.azurecr.io/a:1"),
        (f"a.io/b@{OLD}", f"a.io/b@{OLD}"),
        (f"a.io/b:2@{OLD}", "a.io/b:2"),
        ("localhost:5000/a", None),
        ("alpine:", None),
        ("alpine@", None),
        ("\\", None),
        ("", None),
    ],
)
def test_the_scanner_names_images_its_own_way(image: str, expected: str | None) -> None:
    """Docker Hub is what has no dot; a tag hides a digest; the rest is no image."""
    found = recorded_reference(image)

    assert (str(found) if found else None) == expected


def test_the_scanner_reads_lines() -> None:
    """A byte order mark, a first default that is quoted, and a build argument that wins."""
    text = b"\xef\xbb\xbfFROM alpine:3 AS a\nARG T='2'\nFROM 'alpine:$T'\nFROM a\n"
    long = b"FROM a\n#" + b"x" * 65_535 + b"\nFROM b\n"

    assert [s.image for s in scan(b"ARG T=1\nFROM a:$T\n", {"T": "'2'"}).seen] == ["a:2"]
    assert [s.image for s in scan(long, {}).seen] == ["a"]
    assert [s.image for s in scan(long.replace(b"x", b"", 1), {}).seen] == ["a", "b"]
    assert [s.image for s in scan(text, {}).seen] == ["alpine:3", "alpine:2", "alpine:3"]
    assert scan(text, {"T": "9"}).seen[1].image == "alpine:9"
    assert {str(r): k.value for r, k in scan(text, {}).record().items()} == {
        "docker.io/library/alpine:3": "runtime",
        "docker.io/library/alpine:2": "build-time",
    }
    assert scan(b"RUN true\n", {}).record() == {}
