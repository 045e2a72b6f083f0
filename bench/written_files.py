"""Task files, and files of bake, compose and docker, as nobody means them: for bench.foreign."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from rebuilder.core.decisions import Base, decide
from rebuilder.core.effects import output_of
from rebuilder.core.registries import RegistryId, TaskId
from rebuilder.core.taskfile import RunContext, read_task_file
from rebuilder.core.tasks import Dependency, Task
from rebuilder.errors import SourceUnavailable

type Written = dict[str, bytes]
"""Files of a context by path; the task file is TASK_FILE, its values VALUES."""

TASK_FILE, VALUES = "acb.yaml", "values.yaml"
_CORPUS = Path(__file__).resolve().parent.parent / "tests" / "corpus" / "taskfiles"
_RUN = RunContext("reg.azurecr.io", "nightly", "linux", "amd64")
_TASK = TaskId(RegistryId("s", "g", "reg"), "nightly")
_LARGEST = 300 * 1024

_BAKE = b"""\
variable "T" { default = upper("x${join(",", ["a", "b"])}") }
group "default" { targets = ["a", "b"] }
target "a" { tags = ["reg.azurecr.io/a:${T}"] inherits = ["b"] contexts = { x = "target:b" } }
target "b" { dockerfile-inline = "FROM x" args = { A = T == "y" ? 1 : 2 } platforms = ["a", "b"] }
"""
_COMPOSE = b"""\
x: &a {image: "reg.azurecr.io/c:${T:-1}", build: {context: ., args: [A=1]}}
services: {a: *a, b: {<<: *a, build: .}, c: {image: d}}
"""
_BASE: Written = {
    "Dockerfile": b"# syntax=docker/dockerfile:1\nARG A\nFROM node:${A:-18} AS a\nRUN <<E\nx\nE\n",
    "docker-bake.hcl": _BAKE,
    "compose.yaml": _COMPOSE,
    VALUES: b"a: 1\nb: [1, 2, [x]]\nTAG: x\n",
}
_BUILDS = b"""\
version: v1.1.0
alias:
  values:
    img: $Registry/app:{{.Values.TAG}}
steps:
- build: -t $img --build-arg A={{.Values.a}} .
- cmd: docker buildx bake --push
- cmd: docker compose build --push && docker pull x && docker tag x $Registry/y
- cmd: docker sh -c 'docker push $img; az acr import -n reg --source a/b -t c'
{{range $i, $x := .Values.b}}- push: ["$Registry/y{{$i}}"]
{{end}}"""

_PIECES = (
    *(b"{{", b"}}", b"{{if .Values.a}}", b"{{range .Values.b}}", b"{{else}}", b"{{end}}", b"("),
    *(b")", b"{{define `x`}}", b"{{template `x`}}", b'{{repeat 9999 "x"}}'),
    *(b"{{untilStep 0 99999 1}}", b'{{printf "%9999d" 1}}'),
    *(b"{{ .Values.a | quote | indent 999 }}", b"$img", b"$Registry", b"$$", b"&a ", b"*a"),
    *(b"<<: *a\n", b"[", b"]", b"{", b"}", b": ", b"- ", b"\n", b"  ", b"? ", b"|\n", b">\n"),
    *(b"'", b'"', b"\\", b"`", b"$(", b"${", b"${A:-", b" && ", b" || ", b"; ", b" | ", b"<<E "),
    *(b"> D ", b"sh -c ", b"bash -c '", b"docker build -t x . ", b"docker run x "),
    *(b"docker buildx bake ", b"for x in ", b'target "a" { inherits = ["a"] }\n'),
    *(b'target "b" { args = target.a.args }\n', b"matrix = {", b"<<-EOT\n", b"%{ for x in y }"),
    *(b'variable "T" { default = "${T}${T}" }\n', b"FROM a AS b\n", b"COPY --from=b / /\n"),
    *(b"\xff", b"\x00", b"\xed\xa0\x80"),
    *(b"9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",),
    *(b"1e999", b"-", b"!!binary ", b"---\n", b"\t", b"\xc2\x85"),
)  # fmt: skip


def seeds() -> Sequence[Written]:
    """Return honest files: those of the corpus, and one of everything."""
    found: list[Written] = [{**_BASE, TASK_FILE: _BUILDS}]
    for file in sorted(_CORPUS.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            files = {name: str(text).encode() for name, text in case.get("files", {}).items()}
            found.append({**_BASE, **files, TASK_FILE: case["yaml"].encode()})
    return found


def mutated(chance: random.Random, seed: Written) -> Written:
    """Return files of which some are other ones: longer, deeper, cut off, put together anew."""
    made = dict(seed)
    for _ in range(chance.choice((1, 1, 2, 3))):
        path = TASK_FILE if chance.randrange(2) else chance.choice(sorted(made))
        content = made[path]
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            content = _changed(chance, content)[:_LARGEST]
        made[path] = content
    return made


def _changed(chance: random.Random, content: bytes) -> bytes:
    at = chance.randrange(len(content) + 1)
    piece = chance.choice(_PIECES)
    match chance.randrange(8):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + piece * chance.choice((20, 300, 10_000)) + content[at:]
        case 2:
            return content * min(chance.choice((2, 50, 1000)), _LARGEST // (len(content) + 1) + 1)
        case 3:
            lines = content.splitlines(keepends=True)
            line = chance.choice(lines) if lines else b""
            times = min(chance.choice((1, 3, 2000)), _LARGEST // (len(line) + 1) + 1)
            return content[:at] + line * times + content[at:]
        case 4:
            return content[:at] + content[at + chance.randrange(30) :]
        case 5:
            lines = content.splitlines(keepends=True)
            chance.shuffle(lines)
            return b"".join(lines)
        case 6:
            around = b"".join(chance.choice(_PIECES) for _ in range(chance.randrange(1, 60)))
            return content[:at] + around + content[at:]
        case _:
            return content[:at] + piece + content[at:]


def read(files: Written) -> object:
    """Read a task file with the files of its context; nothing is started that pushes nothing."""

    def read_file(context: str, path: str) -> bytes:
        content = None if context else files.get(path)
        if content is None:
            raise SourceUnavailable(f"there is no file {path}")
        return content

    found = read_task_file(
        files[TASK_FILE], read_file, values_content=files[VALUES], values={"a": "1"}, run=_RUN
    )
    used = tuple(Dependency(use.reference, use.kind, "sha256:old") for use in found.images)
    task = Task(
        _TASK,
        enabled=True,
        has_step=True,
        trigger_type=None,
        dependencies=used,
        output=output_of(found),
    )
    moves = [dependency for dependency in used if dependency.reference.tag is not None]
    for dependency in moves[:20]:
        base = Base(dependency.reference, "sha256:new", "registry")
        if decide(task, base).rebuild:
            assert found.pushes, dependency  # noqa: S101 - what nobody pushes is not made anew
            assert not found.missing, dependency  # noqa: S101 - nor what lacks a value
    return found
