"""The command `rebuilder deps`: the images that a Dockerfile reads. It needs no settings.

With --task it is `cli_dependencies.print_task`, which does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rebuilder.cli_dependencies import print_task
from rebuilder.core.build_files import BuildImages
from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.errors import InvalidBuildFile, NotFound

_COLUMNS = ("REFERENCE", "KIND", "LINE", "WAY")
_STANDARD_INPUT = "-"


def add_deps(commands: Any) -> None:  # noqa: ANN401 - argparse's own class is private
    """Add the command to the subparsers of `rebuilder`."""
    deps = commands.add_parser("deps", help="list the images that a Dockerfile or a task reads")
    what = deps.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "file", nargs="?", metavar="DOCKERFILE", help="the file; - for standard input"
    )
    what.add_argument(
        "--task",
        metavar="[REGISTRY/]NAME",
        help="instead of a file: what every source knows of a task, which needs Azure",
    )
    deps.add_argument(
        "--build-arg",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="a build argument; without a value, that of the environment",
    )
    deps.add_argument("--target", default="", help="the stage to build; by default the last one")
    deps.add_argument("--platform", default="linux/amd64", help="what to build for (linux/amd64)")
    deps.add_argument("--json", action="store_true", help="print JSON")
    deps.set_defaults(alone=_deps, command=print_task)


def _deps(options: argparse.Namespace) -> int:
    try:
        read = read_dockerfile(
            _content(options.file),
            build_args=_build_args(options.build_arg, os.environ),
            target=options.target,
            platform=options.platform,
        )
    except InvalidBuildFile as error:
        place = f"{options.file}:{error.line}" if error.line else options.file
        print(f"{place}: {error.problem}", file=sys.stderr)  # noqa: T201 - a command's answer
        return 1
    text = json.dumps(_record(read), indent=2) if options.json else "\n".join(_table(read))
    print(text)  # noqa: T201 - a command's answer
    return 0


def _content(file: str) -> bytes:
    if file == _STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from error


def _build_args(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Build arguments as docker takes them; one without a value anywhere is as good as none."""
    found: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals:
            found[name] = value
        elif name in environment:
            found[name] = environment[name]
        else:
            found.pop(name, None)
    return found


def _record(read: BuildImages) -> dict[str, Any]:
    return {
        "images": [
            {
                "reference": str(use.reference),
                "kind": use.kind.value,
                "line": use.line,
                "way": list(use.way),
            }
            for use in read.images
        ],
        "final": str(read.final) if read.final else None,
        "unknown": [
            {"text": unknown.text, "line": unknown.line, "reason": unknown.reason}
            for unknown in read.unknown
        ],
    }


def _table(read: BuildImages) -> list[str]:
    rows = [
        (str(use.reference), use.kind.value, str(use.line or ""), "; ".join(use.way))
        for use in read.images
    ]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (_COLUMNS, ("-" * len(column) for column in _COLUMNS), *rows)
    ]
    lines += [
        f"unknown: line {unknown.line}: {unknown.text}: {unknown.reason}"
        for unknown in read.unknown
    ]
    return lines
