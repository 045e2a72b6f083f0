"""The command `rebuilder`: what ran, why, and whether all is well."""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rebuilder._log_lines import install
from rebuilder.cli._terminal import ERROR, orderly
from rebuilder.errors import NotFound

if TYPE_CHECKING:
    from rebuilder.usecases.context import Context

_SETTINGS_FILE = Path("local.settings.json")


class _Command(NamedTuple):
    name: str
    module: str
    help: str


_GROUPS: Mapping[str, Sequence[_Command]] = {
    "what happened": (
        _Command("explain", "explain", "tell what a pushed image led to, and why"),
        _Command("runs", "runs", "list the newest runs of the task registries"),
        _Command(
            "audit",
            "audit",
            "prove that each push had one effect on each task, or name the exception",
        ),
    ),
    "what stands on what": (
        _Command("deps", "deps", "list the images that a Dockerfile, a task file or a task reads"),
        _Command("graph", "graph", "draw images and tasks: who stands on whom"),
        _Command("gaps", "gaps", "tell what ACR's own record of the tasks misses or has wrong"),
    ),
    "what went wrong": (
        _Command(
            "dead-letters", "dead_letters", "list messages and events that were given up, and why"
        ),
        _Command(
            "replay", "dead_letters", "do again what was given up; nothing is built twice by it"
        ),
        _Command(
            "discard",
            "dead_letters",
            "forget a dead letter for good: nothing is to be done about it",
        ),
        _Command(
            "retry", "dead_letters", "rebuild a task although its rebuild was given up or done"
        ),
    ),
    "the set-up": (
        _Command(
            "doctor",
            "doctor",
            "look for what is wrong with the set-up, and tell what mends it",
        ),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 1 for an error, 2 for wrong usage, 3 for gaps.

    `doctor` has its own: 1 for an error that it found, 2 if it could not look.
    """
    options = _parsed(arguments)
    # Azure's SDKs log every request; a person who asks a question wants the answer only.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    install()
    return orderly(partial(_run, options), int(getattr(options, "failure", ERROR)))


def _run(options: argparse.Namespace) -> int:
    if "alone" in options and options.task is None:
        # Needs neither settings nor Azure.
        alone: Callable[[argparse.Namespace], int] = options.alone
        return alone(options)
    from rebuilder import composition  # noqa: PLC0415 - with it come Azure's packages

    try:
        context = composition.compose(_environment(options.settings))
        command: Callable[[Context, argparse.Namespace], int] = options.command
        return command(context, options)
    finally:
        composition.release()


class _Parser(argparse.ArgumentParser):
    """The parser of one command, which learns what the command takes when it is used."""

    def __init__(self, module: str = "", **given: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(**given)
        self._module = module

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - overloaded
        """Read the arguments, with the command's module imported."""
        if self._module:
            name = str(self.prog).rpartition(" ")[2].replace("-", "_")
            module, self._module = import_module(f"rebuilder.cli.{self._module}"), ""
            getattr(module, f"add_{name}")(self)
        return super().parse_known_args(args, namespace)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; only the command that is meant is imported."""
    parser = argparse.ArgumentParser(
        prog="rebuilder",
        description="What was rebuilt after a base image push, and why.",
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="a local.settings.json; by default the one in this folder, if any. "
        "The environment comes first.",
    )
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", help="see below", parser_class=_Parser
    )
    for group in _GROUPS.values():
        for command in group:
            commands.add_parser(command.name, module=command.module)
    return parser.parse_args(arguments)


def _overview() -> str:
    lines: list[str] = []
    for group, commands in _GROUPS.items():
        lines.append(f"{group}:")
        lines += [f"  {command.name:14}{command.help}" for command in commands]
    return "\n".join(lines)


def _environment(file: Path | None) -> Mapping[str, str]:
    path = file or (_SETTINGS_FILE if _SETTINGS_FILE.exists() else None)
    if path is None:
        return os.environ
    try:
        values = json.loads(path.read_text(encoding="utf-8"))["Values"]
        return {**{str(name): str(value) for name, value in values.items()}, **os.environ}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotFound(f"{path} is not a local.settings.json with Values: {error}") from error
