"""Write docs/cli.md from the commands, openapi.json from the endpoints: `make docs`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from rebuilder.cli import main as cli
from rebuilder.cli._command import Command
from rebuilder.cli.exits import Exit
from rebuilder.web import openapi

_ROOT = Path(__file__).resolve().parent.parent
FILE = _ROOT / "docs" / "cli.md"
API = _ROOT / "rebuilder" / "web" / "static" / "openapi.json"

_ABOVE = """# The command `rebuilder`

<!-- Written by `make docs` from rebuilder/cli; a test holds it to that. -->

It asks the same store and the same registries as the function app, with the same settings
([settings.md](settings.md)), and your own credential (`az login`).
Settings come from the environment and from `local.settings.json` in the current folder, or
`--settings FILE`; the environment wins.
`deps FILE` needs neither settings nor Azure: it reads files alone, offline.

Answers go to standard output, everything else to standard error. `--json` is for programs.
Text from outside is escaped. Colours and progress are for terminals; `NO_COLOR` turns colours off.
No command ends in a traceback.

```sh
rebuilder explain mybase.azurecr.io/images/node:9       # what a push led to, and why
rebuilder deps --json Dockerfile                        # what a build reads
printf 'FROM alpine\\n' | rebuilder deps -                # from standard input
rebuilder audit --hours 24 || echo 'look at its lines'  # for a daily job
rebuilder graph --format dot | dot -Tsvg > graph.svg
```

Shells complete commands, options and their values: put into your profile

```sh
eval "$(_REBUILDER_COMPLETE=bash_source rebuilder)"     # or zsh_source
_REBUILDER_COMPLETE=fish_source rebuilder | source      # fish
```
"""


def manual() -> str:
    """Return what docs/cli.md is to hold."""
    return "\n".join([_ABOVE, *_overview(), *_exit_codes(), *_details()]) + "\n"


def _command(name: str) -> Command:
    found = cli.commands.get_command(click.Context(cli.commands), name)
    if not isinstance(found, Command):
        raise TypeError(name)
    return found


def _overview() -> Iterator[str]:
    yield "## Commands"
    yield ""
    for group, entries in cli.GROUPS.items():
        yield f"| {group[0].upper()}{group[1:]} | |"
        yield "|---|---|"
        for entry in entries:
            yield f"| [`{entry.name}`](#{entry.name}) | {entry.help} |"
        yield ""
    yield "Before the command:"
    yield ""
    yield from _options(cli.commands)


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes"
    yield ""
    yield "| Code | Meaning |"
    yield "|---|---|"
    for code in Exit:
        yield f"| {int(code)} | {code.meaning} |"
    yield ""
    yield "Of the commands that answer by it:"
    yield ""
    own = [code for code in Exit if code is not Exit.INTERRUPTED]
    yield "| Command | " + " | ".join(str(int(code)) for code in own) + " |"
    yield "|---" * (len(own) + 1) + "|"
    for entry in (entry for entries in cli.GROUPS.values() for entry in entries):
        codes = _command(entry.name).codes
        if codes:
            yield f"| `{entry.name}` | " + " | ".join(codes.get(code, "") for code in own) + " |"
    yield ""


def _details() -> Iterator[str]:
    for entries in cli.GROUPS.values():
        for entry in entries:
            command = _command(entry.name)
            with click.Context(command, info_name=f"rebuilder {entry.name}") as context:
                usage = " ".join(command.collect_usage_pieces(context))
            yield f"## {entry.name}"
            yield ""
            yield f"`rebuilder {entry.name} {usage}`"
            yield ""
            yield command.help or ""
            yield ""
            yield from _options(command)


def _options(command: click.Command) -> Iterator[str]:
    sections: dict[str, list[str]] = {}
    context = click.Context(command)
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            name, text = (part.replace("|", "\\|") for part in record)
            section = getattr(parameter, "section", "Options")
            sections.setdefault(section, []).append(f"| `{name}` | {text} |")
    for section, rows in sections.items():
        yield f"| {section} | |"
        yield "|---|---|"
        yield from rows
        yield ""


def api() -> str:
    """Return what the page's openapi.json is to hold."""
    return json.dumps(openapi.document(), indent=1) + "\n"


def main() -> int:
    """Write the files."""
    FILE.write_text(manual(), encoding="utf-8")
    API.write_text(api(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
