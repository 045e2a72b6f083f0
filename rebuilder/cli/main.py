"""The command `rebuilder`: its commands by what people want, and the options of all of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import click

from rebuilder.cli._command import HelpContext, Source
from rebuilder.cli._terminal import complain, orderly, ready
from rebuilder.cli.exits import Exit

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class _Entry(NamedTuple):
    name: str
    module: str
    help: str


GROUPS: Mapping[str, Sequence[_Entry]] = {
    "what happened": (
        _Entry("web", "see.web", "show it all on a page in your browser"),
        _Entry("explain", "see.explain", "tell what a pushed image led to, and why"),
        _Entry("wave", "decide.wave", "tell how far the wave of a push is, layer by layer"),
        _Entry("runs", "see.runs", "list the newest runs of the task registries"),
        _Entry("logs", "see.logs", "print the log of a run, at once or as it grows"),
        _Entry("stale", "see.stale", "tell what stands on an old base, since when and why"),
        _Entry(
            "audit",
            "see.audit",
            "prove that each push had one effect on each task, or name the exception",
        ),
    ),
    "what depends on what": (
        _Entry(
            "deps", "see.deps", "list the images that a Dockerfile, a task file or a task reads"
        ),
        _Entry("graph", "see.graph", "draw the dependency graph of images and tasks"),
        _Entry("gaps", "see.gaps", "tell what ACR's own record of the tasks misses or has wrong"),
    ),
    "what went wrong": (
        _Entry(
            "dead-letters",
            "repair.dead_letters",
            "list messages and events that were given up, and why",
        ),
        _Entry(
            "replay",
            "repair.dead_letters",
            "do again what was given up; nothing is built twice by it",
        ),
        _Entry(
            "discard",
            "repair.dead_letters",
            "forget a dead letter for good: nothing is to be done about it",
        ),
        _Entry(
            "retry",
            "decide.build",
            "rebuild tasks although their rebuild was given up or done",
        ),
    ),
    "when things are rebuilt": (
        _Entry("plan", "see.plan", "tell what a push would lead to, before it is made"),
        _Entry("holds", "decide.holds", "list the rebuilds that are held, by the reason"),
        _Entry("pause", "decide.pause", "stop the line: all of it, or tasks, registries or images"),
        _Entry("resume", "decide.pause", "let go on what was paused"),
        _Entry("build", "decide.build", "build tasks now, though no image moved"),
        _Entry("report", "decide.report", "compare observing with what ACR's own trigger did"),
        _Entry("history", "decide.history", "list what operators did: who, why, what came of it"),
        _Entry("approve", "decide.approve", "approve what waits for it, on the digests of now"),
        _Entry("reject", "decide.approve", "leave what waits for approval, for these digests"),
        _Entry("release", "decide.release", "let a digest be built on again that is quarantined"),
        _Entry("policy", "decide.policy", "check, show, apply and take back the policy file"),
    ),
    "the set-up": (
        _Entry(
            "doctor", "setup.doctor", "look for what is wrong with the set-up, and print the fix"
        ),
        _Entry("probe", "setup.probe", "push a scratch image, and see that it is noticed"),
    ),
}
"""The commands by what people want. Their help stands here, so that to list them imports none."""

_ENTRIES = {entry.name: entry for group in GROUPS.values() for entry in group}


class _Commands(click.Group):
    """The commands; only the one that is meant is imported."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names."""
        del ctx
        return list(_ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        entry = _ENTRIES.get(cmd_name)
        if entry is None:
            return None
        module = import_module(f"rebuilder.cli.{entry.module}")
        found: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them by what people want."""
        del ctx
        widest = max(map(len, _ENTRIES))
        for group, entries in GROUPS.items():
            with formatter.section(group[0].upper() + group[1:]):
                formatter.write_dl([(entry.name.ljust(widest), entry.help) for entry in entries])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what a word may become, without importing each command for its help."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - for a shell only

        names = [name for name in _ENTRIES if name.startswith(incomplete)]
        found = [CompletionItem(name, help=_ENTRIES[name].help) for name in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


def _tell_version(context: click.Context, _option: click.Parameter, asked: bool) -> None:  # noqa: FBT001 - click's own
    if not asked or context.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - for this only

    try:
        click.echo(f"rebuilder {version('rebuilder')}")
    except PackageNotFoundError:
        click.echo("rebuilder, not installed: its version is not known")
    context.exit()


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What was rebuilt after a base image push, and why.",
    epilog="Exit codes, shell completion, all options: docs/cli.md.",
)
@click.option(
    "--settings",
    metavar="FILE",
    help="A local.settings.json; by default the one in this folder, if any. "
    "The environment comes first.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Tell the version.",
)
@click.option(
    "--function-app",
    metavar="RESOURCE_ID",
    help="Instead: the settings of this function app, read by ARM with your own credential.",
)
@click.pass_context
def commands(context: click.Context, settings: str | None, function_app: str | None) -> None:
    """Keep what every command is told."""
    if settings and function_app:
        raise click.UsageError("Give --settings or --function-app, not both.", context)
    context.obj = Source(settings or "", (function_app or "").rstrip("/"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is one of `Exit`."""
    ready()
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        code = commands.main(given, "rebuilder", standalone_mode=False)
    except click.UsageError as error:
        _explain_usage(error)
        sys.exit(Exit.NOT_RUN)
    except click.Abort:
        # Before a command had begun.
        return Exit.INTERRUPTED
    return orderly(lambda: int(code or Exit.OK))


def _explain_usage(error: click.UsageError) -> None:
    context = error.ctx
    if context is None or isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return
    click.echo(context.get_usage(), err=True)
    complain(f"{context.command_path}: {error.format_message()}")
