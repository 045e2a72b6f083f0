"""What every command is made of: sections of options, exit codes, the settings it works with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple

import click
from click.core import ParameterSource

from rebuilder.cli._terminal import complain, orderly
from rebuilder.cli.exits import Exit
from rebuilder.errors import NotFound

if TYPE_CHECKING:
    from rebuilder.usecases.context import Context

APP_IDENTITY = "rebuilder.app_identity"
"""Where a command finds the client id of the app whose settings it works with."""

_SETTINGS_FILE = "local.settings.json"


class Source(NamedTuple):
    """Where the settings come from.

    Attributes:
        file: A local.settings.json that was named; "" for the one in this folder, if any.
        function_app: The resource id of the function app whose settings are meant; "" for none.
    """

    file: str = ""
    function_app: str = ""


_NARROWEST, _WIDEST, _MARGIN = 50, 80, 2  # columns; as click has them


class Formatter(click.HelpFormatter):
    """How help and usage are written."""

    def __init__(
        self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None
    ) -> None:
        # Click would ask shutil, whose import takes a tenth of the time that help has.
        found = max(min(_columns(), max_width or _WIDEST) - _MARGIN, _NARROWEST)
        super().__init__(indent_increment, width or found, max_width)

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write how the command is called."""
        super().write_usage(prog, args, prefix or "usage: ")


def _columns() -> int:
    if os.environ.get("COLUMNS", "").isdecimal():
        return int(os.environ["COLUMNS"])
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return _WIDEST


class HelpContext(click.Context):
    """Where a command is called."""

    formatter_class = Formatter


class Option(click.Option):
    """An option that stands under a heading of its own.

    Args:
        section: The heading.
    """

    def __init__(self, *given: Any, section: str = "Options", **more: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*given, **more)
        self.section = section


class Command(click.Command):
    """A command with its exit codes.

    Args:
        codes: What each exit code means for it, where it has a meaning of its own.
        failure: The exit code of an error.
        either: Two parameters of which at most one may be given.
        needed: Whether one of them must be.
    """

    context_class = HelpContext

    def __init__(
        self,
        *given: Any,  # noqa: ANN401 - click's own
        codes: Mapping[Exit, str] | None = None,
        failure: Exit = Exit.FAILED,
        either: tuple[str, ...] = (),
        needed: bool = False,
        **more: Any,  # noqa: ANN401 - click's own
    ) -> None:
        super().__init__(*given, **more)
        self.codes = codes or {}
        self.failure = failure
        self._either = either
        self._needed = needed

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments."""
        rest = super().parse_args(ctx, args)
        by_default = (None, ParameterSource.DEFAULT)
        given = [n for n in self._either if ctx.get_parameter_source(n) not in by_default]
        if ctx.resilient_parsing or len(given) == 1 or not (given or self._needed):
            return rest
        names = {parameter.name: parameter for parameter in self.params}
        words = " or ".join(_called(names[name]) for name in self._either)
        raise click.UsageError(f"Give {words}{', not both' if given else ''}.", ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, by their sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                section = getattr(parameter, "section", "Options")
                sections.setdefault(section, []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes."""
        del ctx
        if self.codes:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(int(code)), text) for code, text in self.codes.items()])


def _called(parameter: click.Parameter) -> str:
    return (
        parameter.opts[0]
        if isinstance(parameter, click.Option)
        else parameter.make_metavar(click.Context(click.Command(None)))
    )


def with_context[**P](work: Callable[Concatenate[Context, P], int]) -> Callable[P, int]:
    """Have a command work with the settings that a person means, and end orderly."""

    @wraps(work)
    def run(*given: P.args, **options: P.kwargs) -> int:
        context = click.get_current_context()
        source = context.ensure_object(Source)
        command = context.command
        failure = command.failure if isinstance(command, Command) else Exit.FAILED
        return orderly(
            lambda: _asked(source, lambda found: work(found, *given, **options)), failure
        )

    return run


def _asked(source: Source, work: Callable[[Context], int]) -> int:
    _log_little()
    from rebuilder import composition  # noqa: PLC0415 - with it come Azure's packages

    try:
        return work(composition.compose(environment(source)))
    finally:
        composition.release()


def _log_little() -> None:
    """Have nothing logged but warnings; who asks a question wants the answer."""
    import logging  # noqa: PLC0415 - help needs none

    from rebuilder._log_lines import install  # noqa: PLC0415 - help needs none

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    install()
    # Azure's SDKs log each request, and a page of advice where there is no credential.
    logging.getLogger("azure").setLevel(logging.ERROR)


def environment(source: Source) -> Mapping[str, str]:
    """Return the settings, by their names.

    Raises:
        NotFound: The file that holds them cannot be read.
        RebuilderError: The function app's settings cannot be had.
    """
    if source.function_app:
        return _of_app(source.function_app)
    path = source.file or (_SETTINGS_FILE if os.path.exists(_SETTINGS_FILE) else "")  # noqa: PTH110 - help needs no pathlib
    if not path:
        return os.environ
    import json  # noqa: PLC0415 - help needs none
    from pathlib import Path  # noqa: PLC0415 - help needs none

    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))["Values"]
        return {**{str(name): str(value) for name, value in values.items()}, **os.environ}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotFound(f"{path} is not a local.settings.json with Values: {error}") from error


def _of_app(site: str) -> Mapping[str, str]:
    """Return the settings of a function app, for a person who is not the app."""
    from rebuilder import composition  # noqa: PLC0415 - with it come Azure's packages
    from rebuilder.core.secret_values import SecretAddress  # noqa: PLC0415 - help needs none
    from rebuilder.settings import table as settings  # noqa: PLC0415 - help needs none

    values = composition.app_environment(site, os.environ.get(settings.ARM_ENDPOINT, ""))
    for name, lost in (
        (settings.SOURCE_CREDENTIALS, "build files that need it are unknown here"),
        (settings.DESTINATIONS, "whom messages go to is unknown here"),
    ):
        given = values.get(name, "")
        if given.startswith("@Microsoft.KeyVault(") or SecretAddress.read(given):
            del values[name]
            complain(f"rebuilder: {name} of the app is in Key Vault and is not read: {lost}")
    # The app's identity is not the person's; who looks at its roles has to know it.
    click.get_current_context().meta[APP_IDENTITY] = values.pop(settings.CLIENT_ID, "")
    own = (f"{settings.STORAGE}__clientId", f"{settings.STORAGE}__credential")
    return {name: value for name, value in values.items() if name not in own}


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
one_registry = click.option(
    "--registry",
    metavar="NAME",
    default="",
    help="Only this one: its name or resource id, as configured.",
)
