"""The command `rebuilder doctor`: what is wrong with a set-up, and what mends it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from rebuilder.cli._terminal import say_all, say_json
from rebuilder.composition import preflight
from rebuilder.core.doctor import Finding
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.doctor import Report, examine

CANNOT_RUN = 2


def add_doctor(doctor: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    doctor.description = (
        "Exit code: 0 if nothing is wrong but warnings and notes, 1 if there is an"
        " error, 2 if nothing could be asked. Nothing is changed."
    )
    doctor.add_argument(
        "--function-app",
        default="",
        metavar="RESOURCE_ID",
        help="the app that pushes are to reach; by default any that they are sent to",
    )
    doctor.add_argument(
        "--identity",
        default="",
        metavar="ID",
        help="whose roles are looked at: an object id, a client id or a resource id; by default"
        " that of --function-app, and without it your own",
    )
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(command=_doctor, failure=CANNOT_RUN)


def _doctor(context: Context, options: argparse.Namespace) -> int:
    with closing(preflight(context.settings)) as asked:
        report = examine(
            context,
            asked,
            identity=options.identity,
            site=options.function_app.rstrip("/"),
        )
    if options.json:
        say_json(_record(report))
    else:
        say_all(_lines(report))
    return 1 if report.errors else 0


def _record(report: Report) -> dict[str, Any]:
    return {
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity.value,
                "what": finding.what(),
                "why": finding.why(),
                "commands": list(finding.commands()),
            }
            for finding in report.findings
        ],
        "unchecked": [
            {"what": entry.what, "reason": entry.reason, "right": entry.right}
            for entry in report.unchecked
        ],
    }


def _lines(report: Report) -> Iterator[str]:
    for finding in report.findings:
        yield from _finding(finding)
    for entry in report.unchecked:
        yield f"not looked at: {entry.what}: {entry.reason}"
        if entry.right:
            yield f"    needs {entry.right}"
    if not report.findings:
        yield "Nothing wrong was found."


def _finding(finding: Finding) -> Iterator[str]:
    yield f"{finding.severity.value}: {finding.what()}"
    yield f"    {finding.why()}"
    for command in finding.commands():
        yield f"    $ {command}"
