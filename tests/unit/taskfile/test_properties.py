"""What holds for any text of a task file."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.acr.tasks import Dependency, Makes, Task
from rebuilder.core.decisions.decide import Base, decide
from rebuilder.core.dependencies.effects import Effects, output_of
from rebuilder.errors import InvalidBuildFile
from tests.unit.fakes import NEW, OLD, task
from tests.unit.taskfile.reading import NODE, read

FILES = {
    "Dockerfile": f"# syntax=docker/dockerfile:1\nARG A=1\nFROM {NODE} AS a\nFROM alpine:$A\n",
    "D": "FROM $A\n",
    "docker-bake.hcl": 'target "default" { tags = ["myapps.azurecr.io/b:${T}"] }\n',
    "compose.yaml": "services: {a: {build: ., image: myapps.azurecr.io/c}, b: {image: d}}\n",
}

# Whole steps, each a line, so that they can stand in any order.
STEPS = (
    "- build: -t $Registry/app:$ID .",
    "- build: -t $Registry/app:{{.Values.TAG}} --build-arg A=$ID -f D .",
    "- {build: '-t x .', env: [DOCKER_BUILDKIT=1]}",
    "- build: -f ../x --platform linux/amd64 https://x/y.git",
    "- push: [$Registry/app:$ID, x]",
    "- push: ['{{.Values.TAG}}']",
    f"- cmd: docker pull {NODE} && docker tag {NODE} $Registry/n && docker push $Registry/n",
    f"- cmd: docker tag {NODE} x",
    "- cmd: docker buildx bake --push",
    "- cmd: docker compose build --push",
    "- cmd: docker run --rm alpine:1 x",
    "- cmd: az acr import -n $RegistryName --source node:18 -t n",
    "- cmd: acr purge --filter 'a:.*'",
    "- cmd: gcr.io/kaniko-project/executor -d $Registry/k",
    "- cmd: bash -c 'echo FROM x > Dockerfile'",
    "- cmd: bash -c 'sed -i s/a/b/ D; git checkout x'",
    "- cmd: docker sh -c 'cd a; docker build -t y .; docker push y'",
    "- cmd: '{{.Values.TOOL}} run'",
    "- cmd: tool:1 deploy",
)
OPAQUE = (
    "- cmd: ubuntu bash ./x.sh",
    "- cmd: ubuntu sh -c 'for a in b; do c; done'",
    "- cmd: bash make x",
)


def answers(found: Effects) -> set[tuple[str, ...]]:
    """Return what is answered and what is told as unknown, without the lines."""

    def without_lines(text: str) -> str:
        return re.sub(r"line \d+", "line", text)

    return {
        *(("reads", str(use.reference), use.kind.value) for use in found.images),
        *(("pushes", name) for name in found.pushes),
        *(("unknown", m.text, without_lines(m.reason)) for m in found.unknown),
        *(("missing", name) for name in found.missing),
    }


def whole(lines: list[str]) -> str:
    """Return a file of steps."""
    return "version: v1.1.0\nsteps:\n" + "".join(f"{line}\n" for line in lines)


@given(lines=st.lists(st.sampled_from(STEPS), max_size=6), data=st.data())
def test_a_step_that_is_not_understood_takes_nothing_away(
    lines: list[str], data: st.DataObject
) -> None:
    """Wherever it stands, every answer and every unknown stays, and one more is told."""
    place = data.draw(st.integers(0, len(lines)))
    added = data.draw(st.sampled_from(OPAQUE))
    before = read(whole(lines), FILES)
    after = read(whole([*lines[:place], added, *lines[place:]]), FILES)

    assert answers(before) <= answers(after)
    assert len(after.unknown) > len(before.unknown) or added in lines


def started(found: Effects, moved: Dependency) -> bool:
    """Tell whether a task with these effects is started when one of its images moves."""
    given_task: Task = task("t", *(Dependency(u.reference, u.kind, OLD) for u in found.images))
    read_task = Task(
        given_task.id,
        enabled=True,
        has_step=True,
        trigger_type=None,
        dependencies=given_task.dependencies,
        output=output_of(found),
    )
    return decide(read_task, Base(moved.reference, NEW, "registry")).rebuild


@given(lines=st.lists(st.sampled_from((*STEPS, *OPAQUE)), max_size=6))
def test_nothing_is_started_that_pushes_nothing(lines: list[str]) -> None:
    """No text makes a started run where no pushed image is reported."""
    found = read(whole(lines), FILES)
    started_for = [
        use for use in found.images if started(found, Dependency(use.reference, use.kind, OLD))
    ]

    if started_for:
        assert found.pushes
        assert not found.missing
    assert (output_of(found).makes is Makes.IMAGE) is bool(found.pushes)


PIECES = (
    *("{{", "}}", "{{.Run.ID}}", "{{if .Values.a}}", "{{else}}", "{{end}}", "{{- ", " -}}"),
    *("$", "$Registry", "$$", "`", "'", '"', "\\", "\n", "  ", "- ", ": ", "&a ", "*a", "<<: "),
    *("[", "]", "{", "}", "|", ">", "build: ", "cmd: ", "push: ", "-f ", "steps:\n", "&& "),
    *("version: v1.1.0\n", "alias:\n  values:\n    a: b\n", "--build-arg A=$ID", "#", "docker "),
    *("\t", "\x00", "\ud800", "---\n", "? ", "!!binary ", "(", '| default "x"', "é", "$(", "; "),
    *("{{range .Values.b}}", "{{$x := 1}}", "{{$x}}", "{{index ", "{{define `a`}}", "sh -c "),
    *("buildx bake ", "compose build ", "az acr import ", "tag ", "pull x ", "> D ", "env: [A=b]"),
)


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_file_is_read_or_refused(pieces: list[str]) -> None:
    """No file fails in another way, or starts what pushes nothing; a line is one of the file."""
    text = "".join(pieces)
    lines = [0]
    try:
        found = read(text, FILES, values={"a": "1"}, values_file="b: [1, 2]")
        lines += [step.line for step in found.steps] + [missed.line for missed in found.unknown]
        uses = (Dependency(use.reference, use.kind, OLD) for use in found.images)
        assert found.pushes or not any(started(found, use) for use in uses)
    except InvalidBuildFile as error:
        lines.append(error.line)

    assert 0 <= max(lines) <= text.count("\n") + 2
