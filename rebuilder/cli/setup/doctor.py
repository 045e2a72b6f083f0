"""The command `rebuilder doctor`: what is wrong with a set-up, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from shlex import quote
from typing import Any

import click

from rebuilder.cli._command import APP_IDENTITY, Command, Source, as_json, with_context
from rebuilder.cli._progress import working
from rebuilder.cli._terminal import Coloured, say_all, say_json
from rebuilder.cli.exits import Exit
from rebuilder.composition import preflight
from rebuilder.core.doctor import Finding, Severity
from rebuilder.usecases.context import Context
from rebuilder.usecases.doctor.examine import Report, examine

_OWN = "rebuilder "
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


@click.command(
    cls=Command,
    help="Look for what is wrong with the set-up, and print the fix of each finding. Nothing is"
    " changed.",
    codes={
        Exit.OK: "nothing is wrong but warnings and notes",
        Exit.FAILED: "an error was found",
        Exit.NOT_RUN: "nothing could be asked, or wrong usage",
    },
    failure=Exit.NOT_RUN,
)
@click.option(
    "--function-app",
    default="",
    metavar="RESOURCE_ID",
    help="The app that pushes are to reach; by default any that they are sent to.",
)
@click.option(
    "--identity",
    default="",
    metavar="ID",
    help="Whose roles are looked at: an object id, a client id or a resource id; by default that"
    " of --function-app, and without it your own.",
)
@as_json
@with_context
def doctor(context: Context, *, function_app: str, identity: str, as_json: bool) -> int:
    """Examine the set-up."""
    shell = click.get_current_context()
    source = shell.ensure_object(Source)
    site = function_app.rstrip("/") or source.function_app
    if site == source.function_app:
        identity = identity or shell.meta.get(APP_IDENTITY, "")
    with working("Examining the set-up"), closing(preflight(context.settings)) as asked:
        report = examine(context, asked, identity=identity, site=site)
    if as_json:
        say_json(_record(report, source))
    else:
        say_all(_lines(report, source))
    return Exit.FAILED if report.errors else Exit.OK


def _record(report: Report, source: Source) -> dict[str, Any]:
    return {
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity.value,
                "what": finding.what(),
                "why": finding.why(),
                "commands": list(_commands(finding, report, source)),
            }
            for finding in report.findings
        ],
        "unchecked": [
            {"what": entry.what, "reason": entry.reason, "right": entry.right}
            for entry in report.unchecked
        ],
    }


def _lines(report: Report, source: Source) -> Iterator[str]:
    for finding in report.findings:
        yield from _finding(finding, _commands(finding, report, source))
    for entry in report.unchecked:
        yield f"not looked at: {entry.what}: {entry.reason}"
        if entry.right:
            yield f"    needs {entry.right}"
    if not report.findings:
        yield "Nothing wrong was found."


def _finding(finding: Finding, commands: Iterable[str]) -> Iterator[str]:
    line = f"{finding.severity.value}: {finding.what()}"
    yield Coloured(line, _COLOURS[finding.severity])
    yield f"    {finding.why()}"
    for command in commands:
        yield f"    $ {command}"


def _commands(finding: Finding, report: Report, source: Source) -> Iterator[str]:
    """Return what fixes a finding; our own commands name where their settings come from."""
    given = f"--function-app {quote(report.site)}" if report.site else ""
    if source.file and not given:
        given = f"--settings {quote(source.file)}"
    for command in finding.commands():
        own = command.startswith(_OWN) and given
        yield f"{_OWN}{given} {command.removeprefix(_OWN)}" if own else command
