"""What a repository may hold: Dockerfiles, task files and values, and what `rebuilder deps` says.

Honest files come from the tests' corpus; what is made of them nobody would write.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import tempfile
from pathlib import Path

from bench.dockerfiles import mutation
from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.core.taskfile import RunContext, read_task_file
from rebuilder.errors import InvalidBuildFile, SourceUnavailable

_CORPUS = Path(__file__).resolve().parent.parent / "tests" / "corpus" / "taskfiles"
_LIMIT = 256 * 1024  # of bytes of a file
_RUN = RunContext("reg.azurecr.io", "nightly", "linux", "amd64")
_DOCKERFILE = b"ARG BASE=mybase.azurecr.io\nFROM $BASE/node:18 AS build\nRUN make\nFROM node:18\n"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_TASK_PIECES = [
    piece.encode()
    for piece in (
        "version: v1.1.0\n", "steps:\n", "alias:\n", "  values:\n", "    a: $a\n", "  src: [x]\n",
        "  - build: -t $Registry/app:{{.Run.ID}} .\n", "  - cmd: docker build -f x .\n",
        "  - push: [a:1]\n", "    when: [-]\n", "    when: [a, b]\n", "    id: a\n",
        "    env: [A=b]\n",
        "  - cmd: bash -c 'docker pull a && docker push a'\n", "  - cmd: docker buildx bake -f x\n",
        "  - cmd: az acr build -t a .\n", "  - cmd: crane copy a b\n",
        "  - cmd: docker compose build\n",
        "{{", "}}", "{{ .Values.a }}", "{{ range .Values.a }}", "{{ end }}", "{{ if .Run.ID }}",
        "{{ with .Values }}", "{{ $x := ", '{{ define "x" }}', '{{ template "x" . }}', "{{ else }}",
        '{{ printf "%999999d" 1 }}', '{{ repeat 99999999 "x" }}', "{{ until 99999999 }}", "{{-",
        "-}}",
        '{{ .Values.a | replace "a" "aaaa" | quote }}', "{{ index . 1 2 3 }}", "{{ len $ }}",
        '{{ regexReplaceAll "(a*)*b" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" "x" }}', "{{/* */}}", "`",
        "$Registry", "$ID", "$Date", "$$", "${a}", "$a", "&a ", "*a", "<<: *a\n", "!!binary ",
        "!!int ",
        "!x ", "- ", ": ", "? ", "| \n", ">-\n", "|9\n", "[", "]", "{", "}", ",", "#", "'", '"',
        "\\", "\t",
        "%YAML 1.1\n", "---\n", "...\n", "~", "null", "0x7", "1e999", "1_000", ".nan", "2026-01-01",
        "\r\n", "\0", "\x1b[2J", "\x85", "\u2028", "\ufeff", "\u202e", "\ud7ff", "\U0001f40b", "é",
        "=",
        "&& ", "|| ", "; ", "$(", ")", "<<EOF\n", "EOF\n", "> /x ", "| tee ", "&", "*", "~/", "../",
    )
]  # fmt: skip


def _cases() -> list[dict[str, str]]:
    return [
        json.loads(line)
        for file in sorted(_CORPUS.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


def task_files() -> list[bytes]:
    """Return honest task files."""
    return [case["yaml"].encode() for case in _cases()]


def values_files() -> list[bytes]:
    """Return honest values files."""
    rich = (
        "a: 1\nTags: [a, b]\nReg: mybase.azurecr.io/\nBase: {Name: node, Tags: &t [1, 2], U: *t}\n"
    )
    found = [case["values_file"].encode() for case in _cases() if "values_file" in case]
    return [*found, rich.encode()]


def mutated_task_file(chance: random.Random, seed: bytes) -> bytes:
    """Return a task file that nobody would write."""
    return mutation(chance, seed, _TASK_PIECES, b"version: v1.1.0\nsteps:\n  - cmd: a ")


def mutated_values(chance: random.Random, seed: bytes) -> bytes:
    """Return a values file that nobody would write."""
    return mutation(chance, seed, _TASK_PIECES, b"a: ")


# What is read.


def read_docker(content: bytes) -> object:
    """Read a Dockerfile."""
    return read_dockerfile(content, build_args={"A": "x/y:1", "EMPTY": ""})


def read_task(content: bytes) -> object:
    """Read a task file; its builds' Dockerfiles are honest, or not there."""
    return read_task_file(content, _file, run=_RUN)


def read_values(content: bytes) -> object:
    """Read a values file for a task file that uses every kind of value."""
    return read_task_file(_OF_VALUES, _file, values_content=content, run=_RUN)


_OF_VALUES = b"""version: v1.1.0
alias:
  values:
    base: "{{ .Values.Base }}"
steps:
{{ range $i, $t := .Values.Tags }}  - build: -t $Registry/app:{{ $t }}-{{ $i }} .
{{ end }}{{ if .Values.Test }}  - cmd: {{ .Values.Reg }}/tool:1 go
{{ end }}  - build: -t $Registry/app:{{ .Values.Tag }} --build-arg A={{ .Values.a }} .
  - build: -t b --build-arg B=$base .
  - cmd: "{{ .Values }} {{ .Values.Base.Name | quote }}"
  - push: ["$Registry/app:{{ .Values.Tag }}"]
"""


def _file(_: str, path: str) -> bytes:
    if "x" in path:
        raise SourceUnavailable(f"{path} is not there")
    return _DOCKERFILE


# What a person is told.


def read_deps(content: bytes) -> object:
    """Have `rebuilder deps` read a file, and look at what it prints.

    Raises:
        AssertionError: The exit status is none of its own, or what it prints may move a cursor.
        InvalidBuildFile: It is refused.
    """
    from rebuilder.cli.main import main  # noqa: PLC0415 - takes a second, and few kinds need it

    with tempfile.TemporaryDirectory() as folder:
        name = ("Dockerfile", "acb.yaml", "file")[len(content) % 3]
        file = Path(folder) / name
        file.write_bytes(content)
        arguments = ["deps", str(file)]
        arguments += ["--json"] * (len(content) % 2)
        if name == "acb.yaml" and len(content) % 5 == 0:
            arguments += ["--values", str(file)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status: object = main(arguments)
            except SystemExit as error:
                status = error.code
    assert status in (0, 1, 2), status  # noqa: S101 - one of its own
    for told in (out.getvalue(), err.getvalue()):
        found = _CONTROLS.search(told)
        assert found is None, f"{found} in what is printed"  # noqa: S101 - nothing moves a cursor
        assert "Traceback" not in told, "a traceback"  # noqa: S101 - a sentence, at most
        told.encode()  # can be printed
    if status:
        raise InvalidBuildFile(0, err.getvalue()[:200])
    return out.getvalue()


def _bomb(levels: int, width: int) -> bytes:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join([*lines, "version: v1.1.0", "steps:", f"  - cmd: *a{levels - 1}", ""]).encode()


def _task(text: str) -> bytes:
    return f"version: v1.1.0\nsteps:\n{text}".encode()


_BUILD = "  - build: -t $Registry/app:1 .\n"

LARGE_TASK_FILES: tuple[bytes, ...] = tuple(
    content[:_LIMIT]
    for content in (
        b"[" * 100_000,
        b"{" * 100_000,
        b"{a: " * 60_000,
        b"- " * 100_000,
        b"? " * 100_000,
        b"steps: " + b"[" * 50_000 + b"]" * 50_000,
        b"".join(b" " * n + b"a:\n" for n in range(700)),
        _bomb(9, 9),
        _bomb(30, 2),
        _bomb(200, 2),
        b"a: &a {b: *a}\nsteps: *a\n",
        b"a: &a [*a]\nsteps: *a\n",
        b"&a " * 50_000,
        b"steps:\n" + b"".join(b"  - &a%d {cmd: a}\n" % n for n in range(9000)),
        b"x: &x {cmd: a}\nsteps:\n" + b"  - <<: *x\n" * 15_000,
        b"x: &x " + b"{<<: " * 5000 + b"{}" + b"}" * 5000,
        _task(_BUILD * 8000),
        _task("  - cmd: " + "a && " * 40_000 + "a\n"),
        _task("  - cmd: " + "$(" * 60_000 + "\n"),
        _task("  - cmd: bash -c '" + "docker push a; " * 14_000 + "'\n"),
        _task("  - cmd: " + 'bash -c "' * 20_000 + "\n"),
        _task("  - cmd: " + "x" * 240_000 + "\n"),
        _task("  - cmd: " + "a " * 120_000 + "\n"),
        _task("  - cmd: docker build " + "--build-arg A=b " * 14_000 + ".\n"),
        _task("  - build: " + "-t a " * 40_000 + ".\n"),
        _task("  - push: [" + "a, " * 60_000 + "a]\n"),
        _task("  - cmd: a\n    when: [" + "b, " * 60_000 + "b]\n"),
        _task("".join(f"  - id: s{n}\n    cmd: a\n    when: [s{n - 1}]\n" for n in range(5000))),
        _task("".join(f"  - id: s{n}\n    cmd: a\n    when: [s{n + 1}]\n" for n in range(5000))),
        _task("{{ range $i := until 1000000 }}" + _BUILD + "{{ end }}"),
        _task("{{ range .Values.a }}" * 3000 + "{{ end }}" * 3000),
        _task("{{ if true }}" * 9000 + "{{ end }}" * 9000),
        _task('{{ repeat 100000000 "x" }}'),
        _task('{{ printf "%0100000000d" 1 }}'),
        _task('{{ $x := "ab" }}' + '{{ $x = printf "%s%s" $x $x }}' * 5000 + "{{ $x }}"),
        _task('{{ $x := "ab" }}' + '{{ $x = replace "a" "aa" $x }}' * 5000 + "{{ $x }}"),
        _task('{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}'),
        _task("".join(f'{{{{ define "x{n}" }}}}{{{{ template "x{n + 1}" . }}}}'
                      f'{{{{ template "x{n + 1}" . }}}}{{{{ end }}}}' for n in range(60))
              + '{{ template "x0" . }}'),
        _task("{{ " + "(" * 60_000 + " }}"),
        _task("{{ " + "not " * 60_000 + "true }}"),
        _task("{{ " + "a | " * 60_000 + "a }}"),
        _task("{{ ." + "a." * 60_000 + "a }}"),
        _task('{{ "' + "\\x41" * 60_000 + '" }}'),
        _task("{{" * 100_000),
        _task('{{ regexMatch "(a*)*(a*)*b" "' + "a" * 60 + '" }}'),
        _task('{{ regexReplaceAll "(.*)*x" "' + "a" * 60_000 + '" "x" }}'),
        b"alias:\n  values:\n"
        + b"".join(b"    a%d: $a%d$a%d\n" % (n, n + 1, n + 1) for n in range(60))
        + b"steps:\n  - cmd: $a0\n",
        b"alias:\n  values:\n    a: $a\nsteps:\n  - cmd: " + b"$a" * 60_000 + b"\n",
        b"alias:\n  values:\n    a: " + b"x" * 100_000 + b"\nsteps:\n  - cmd: "
        + b"$a" * 30_000 + b"\n",
        b"alias:\n  values:\n" + b"".join(b"    a%d: b\n" % n for n in range(12_000))
        + b"steps:\n  - cmd: a\n",
        b"\0" * 200_000,
        b"\xff" * 200_000,
        b"\x1b[31m" * 40_000,
        b"a: !!binary " + b"A" * 200_000,
        b"a: " + b"9" * 200_000,
        b"a: 0x" + b"f" * 200_000,
        b"a: 1:" + b"59:" * 60_000 + b"1",
        b"a: '" + b"''" * 100_000 + b"'",
        b'a: "' + b"\\x41" * 60_000 + b'"',
        b"a: |\n" + b"  x\n" * 60_000,
        b"%TAG ! x\n" * 20_000 + b"--- a",
        b"---\n" * 60_000,
        b"#" + b"x" * 250_000,
        b"\n" * 250_000,
        b"\t" * 250_000,
        b"\xfe\xff" + "steps: [{cmd: a}]".encode("utf-16-be") * 3000,
        b"x" * 300_000,
    )
)  # fmt: skip
"""Very long, deep, wide and growing task files, and what is none."""
