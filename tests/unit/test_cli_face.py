"""How the command line looks and ends: help, completion, exit codes, colours, progress."""

from __future__ import annotations

import importlib.metadata
import io
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from copy import replace
from pathlib import Path

import click
import pytest

from rebuilder import composition
from rebuilder.cli import _progress, _terminal
from rebuilder.cli import main as cli
from rebuilder.cli._progress import working
from rebuilder.cli._terminal import Coloured, complain, say
from rebuilder.cli.exits import Exit
from rebuilder.core.acr.tasks import DockerStep
from rebuilder.usecases.context import Context
from tests.patience import SECONDS, until
from tests.unit.fakes import APPS, BASE, World, built_on, task
from tools import manual

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = [entry.name for group in cli.GROUPS.values() for entry in group]


class Terminal(io.StringIO):
    """A terminal of 80 columns."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


@pytest.fixture(name="terminal")
def _terminal_of_colours(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Terminal]:
    """What makes one of a process's streams a terminal."""
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def made(stream: str) -> Terminal:
        terminal = Terminal()
        monkeypatch.setattr(sys, stream, terminal)
        return terminal

    return made


def loaded(*arguments: str) -> set[str]:
    """Return the packages that a command imports."""
    code = (
        "import sys; from rebuilder.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    return set(done.stderr.splitlines())


def test_help_groups_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """By what people want; each has its line."""
    for asked in (["--help"], ["-h"]):
        assert cli.main(asked) == 0
        told = capsys.readouterr().out
        headings = re.findall(r"(?m)^(\S.*):$", told)

        assert headings == ["Options", *(g[0].upper() + g[1:] for g in cli.GROUPS)]
        assert re.findall(r"(?m)^  ([a-z][a-z-]+)  ", told) == COMMANDS


def test_help_imports_no_command() -> None:
    """Nor what only a command needs; nor does a Dockerfile need what draws."""
    helped = loaded("--help")
    assert (
        not {f"rebuilder.cli.{name}" for name in ("see.deps", "setup.doctor", "see.explain")}
        & helped
    )
    assert not {"rich", "logging", "msgspec", "azure", "rebuilder.composition"} & helped

    read = loaded("deps", "samples/helloworld-node/Dockerfile-app")
    assert "rebuilder.core.dockerfile" in read
    assert not {"rich", "azure", "azure.core", "yaml", "rebuilder.composition"} & read


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its help names each option with what it does, and its exit codes."""
    assert cli.main([name, "--help"]) == 0
    told = capsys.readouterr().out
    command = cli.commands.get_command(click.Context(cli.commands), name)

    assert command is not None
    assert told.startswith(f"usage: rebuilder {name} [OPTIONS]")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            assert parameter.opts[0] in told


@pytest.mark.parametrize(
    ("columns", "widest"), [("40", 50), ("60", 60), ("500", 80), ("x", 80), ("", 80)]
)
def test_help_fits_the_terminal(
    columns: str,
    widest: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between 50 and 80 columns."""
    monkeypatch.setenv("COLUMNS", columns)
    assert cli.main(["deps", "--help"]) == 0

    assert max(map(len, capsys.readouterr().out.splitlines())) <= widest


def test_the_version_is_that_of_what_is_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that runs from a folder has none."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"1.2.3 of {name}")
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "rebuilder 1.2.3 of rebuilder\n"
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert cli.main(["--version", "runs"]) == 0
    assert "its version is not known" in capsys.readouterr().out


def test_without_a_command_there_is_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """As wrong usage."""
    with pytest.raises(SystemExit, match="2"):
        cli.main([])

    assert "look for what is wrong with the set-up" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["replay"], "rebuilder replay: Give [ID...] or --all."),
        (["replay", "x", "--all"], "rebuilder replay: Give [ID...] or --all, not both."),
        (["deps"], "rebuilder deps: Give [FILE] or --task."),
        (["deps", "a", "--task", "b"], "rebuilder deps: Give [FILE] or --task, not both."),
        (["deps", "a", "b\x1b[2J"], r"(b\x1b[2J)"),
        (["audit", "--since", "2026-01-01T00:00Z", "--hours", "0"], "--since or --hours, not both"),
        (["graph", "--format", "x"], "'x' is not one of 'text', 'dot', 'mermaid', 'json'"),
        (["\x1b[2J"], r"No such command '\x1b[2J'"),
    ],
)
def test_wrong_usage_is_told(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With how it is used, and without a character that a terminal obeys."""
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    error = capsys.readouterr().err

    assert error.startswith("usage: rebuilder ")
    assert told in error
    assert "\x1b" not in error


def test_ctrl_c_before_a_command_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends it as later."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "import_module", interrupted)

    assert cli.main(["runs"]) == Exit.INTERRUPTED


@pytest.mark.parametrize(
    ("words", "position", "found"),
    [
        ("rebuilder d", "1", ["deps", "dead-letters", "discard", "doctor"]),
        ("rebuilder --s", "1", ["--settings"]),
        ("rebuilder graph --format ", "3", ["text", "dot", "mermaid", "json"]),
    ],
)
def test_shells_complete(words: str, position: str, found: list[str]) -> None:
    """Commands, options, and what an option may be."""
    done = subprocess.run(
        [sys.executable, "-m", "rebuilder.cli"],
        env={
            "PYTHONPATH": str(ROOT),
            "_REBUILDER_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": position,
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )

    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == found


def test_commands_complete_without_being_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell shows what each does, from the table."""
    monkeypatch.setattr(cli, "import_module", None)
    context = click.Context(cli.commands)
    found = {item.value: item.help for item in cli.commands.shell_complete(context, "")}

    assert list(found) == cli.commands.list_commands(context) == COMMANDS
    assert found["graph"] == "draw the dependency graph of images and tasks"


def test_every_exit_code_has_its_meaning() -> None:
    """And each that a command names is one of them."""
    assert all(code.meaning for code in Exit)
    assert {code: int(code) for code in Exit} == {
        Exit.OK: 0,
        Exit.FAILED: 1,
        Exit.NOT_RUN: 2,
        Exit.GAPS: 3,
        Exit.INTERRUPTED: 130,
    }


def test_colours_are_for_terminals(terminal: Callable[[str], Terminal]) -> None:
    """The text between them is escaped as everywhere."""
    out, err = terminal("stdout"), terminal("stderr")
    say(Coloured("a\x1b[2J[red]b[/red]", "green"), "plain")
    complain("wrong\x1b[2J")

    assert out.getvalue() == "\x1b[32ma\\x1b[2J[red]b[/red]\x1b[0m\nplain\n"
    assert err.getvalue() == "\x1b[31mwrong\\x1b[2J\x1b[0m\n"


@pytest.mark.parametrize("name", ["NO_COLOR", "TERM"])
def test_colours_can_be_left_out(
    name: str, terminal: Callable[[str], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By NO_COLOR, and on a terminal that has none."""
    monkeypatch.setenv(name, "dumb")
    out = terminal("stdout")
    say(Coloured("a", "green"))

    assert out.getvalue() == "a\n"


def test_colours_are_not_written_to_files(capsys: pytest.CaptureFixture[str]) -> None:
    """What is no terminal gets the text alone."""
    say(Coloured("a", "green"))

    assert capsys.readouterr().out == "a\n"


def test_what_takes_long_is_seen_to_go_on(
    terminal: Callable[[str], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the answer, in ASCII, without markup; nothing is left of it."""
    monkeypatch.setattr(_progress, "AFTER", 0.0)
    err = terminal("stderr")
    with working("Reading [bold]x[/bold]"):
        until(lambda: "Reading [bold]x[/bold]" in err.getvalue(), "the progress")
    shown = err.getvalue()

    assert re.search(r"[-\\|/]\x1b\[0m Reading", shown)
    assert shown.isascii()
    assert shown.endswith(("\x1b[2K", "\x1b[?25h", "\x1b[1A\x1b[2K"))


def test_what_is_over_soon_is_not_shown(terminal: Callable[[str], Terminal]) -> None:
    """Nor what ended while it was to be shown."""
    err = terminal("stderr")
    with working("Reading"):
        pass
    line = _progress._Line("Reading")
    line.remove()
    line.show()

    assert err.getvalue() == ""


def test_progress_is_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log is not filled with it."""
    monkeypatch.setattr(_progress, "Timer", None)
    with working("Reading"):
        pass

    assert capsys.readouterr().err == ""


@pytest.fixture(name="empty")
def _empty(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which nothing is."""
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    return world


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["graph"], "No task: the registries hold none"),
        (["gaps"], "0 gap(s) in 0 of 0 task(s)."),
        (["runs"], "No run: none of its tasks has run yet"),
        (["dead-letters"], "0 dead letter(s) waiting."),
        (["replay", "--all"], "No dead letter waits."),
    ],
)
def test_a_command_with_nothing_to_show_says_why(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty answer looks like a broken one."""
    assert cli.main(arguments) == 0

    assert told in capsys.readouterr().out


def test_a_graph_without_images_says_why(empty: World, capsys: pytest.CaptureFixture[str]) -> None:
    """There are tasks, but what they read and make is not known."""
    step = DockerStep(built_on(), "Dockerfile")
    empty.tasks.add(replace(task(), dependencies=(), step=step))
    assert cli.main(["graph"]) == 0

    assert "Of none of 1 task(s) an image is known" in capsys.readouterr().out


def test_a_file_without_images_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """FROM scratch reads nothing."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "acb.yaml").write_text("version: v1.1.0\nsteps:\n  - push: [app:1]\n")
    for name in ("Dockerfile", "acb.yaml"):
        assert cli.main(["deps", str(tmp_path / name)]) == 0
        assert "It reads no image." in capsys.readouterr().out


def test_the_module_has_no_colours_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old consoles there print them."""
    monkeypatch.setattr("rebuilder.cli._terminal.os.name", "nt")

    assert not _terminal._has_colours(Terminal())


def test_no_credential_is_one_line(tmp_path: Path) -> None:
    """It says what to do, without the SDK's page of what was tried."""
    registry = f"/subscriptions/{'1' * 8}-1111-4111-8111-{'1' * 12}/resourceGroups/g"
    registry += "/providers/Microsoft.ContainerRegistry/registries/myapps"
    done = subprocess.run(
        [sys.executable, "-m", "rebuilder.cli", "runs"],
        env={
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "PATH": str(tmp_path),
            "AzureWebJobsStorage": f"sqlite:{tmp_path / 'kept.db'}",
            "REBUILDER_BASE_REGISTRIES": registry,
            "REBUILDER_TASK_REGISTRIES": registry,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("rebuilder: list the runs of /subscriptions/")
    assert done.stderr.endswith(
        ": no credential; in Azure, give the function app an identity, on a laptop run `az login`\n"
    )
    assert done.stderr.count("\n") == 1


def test_the_manual_is_current() -> None:
    """docs/cli.md is what `make docs` would write now."""
    assert manual.FILE.read_text("utf-8") == manual.manual()


SITE = "/subscriptions/s1/resourceGroups/g/providers/Microsoft.Web/sites/app"


@pytest.fixture(name="app")
def _app(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a function app, as ARM gives them."""
    values = {
        "REBUILDER_BASE_REGISTRIES": str(BASE),
        "REBUILDER_TASK_REGISTRIES": str(APPS),
        "AZURE_CLIENT_ID": "the-apps-own",
        "AzureWebJobsStorage__accountName": "kept",
        "AzureWebJobsStorage__clientId": "the-apps-own",
        "AzureWebJobsStorage__credential": "managedidentity",
        "REBUILDER_SOURCE_CREDENTIALS": "@Microsoft.KeyVault(SecretUri=https://v/secrets/git)",
        "REBUILDER_DESTINATIONS": "@Microsoft.KeyVault(SecretUri=https://v/secrets/chat)",
    }

    def read(site: str, arm: str) -> dict[str, str]:
        assert (site, arm) == (SITE, "https://management.example")
        return dict(values)

    monkeypatch.setattr(composition, "app_environment", read)
    monkeypatch.setenv("REBUILDER_ARM_ENDPOINT", "https://management.example")
    monkeypatch.setenv("REBUILDER_BASE_REGISTRIES", "of the shell")
    return values


@pytest.mark.parametrize(
    "secret",
    [
        "@Microsoft.KeyVault(SecretUri=https://v/secrets/git)",
        # Nobody asks the vault as somebody else than the app.
        "https://kv1.vault.azure.net/secrets/git",
    ],
)
def test_the_settings_of_an_app_are_a_persons(
    secret: str,
    app: dict[str, str],
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing of the shell, and nothing that makes the person the app; a secret is left out."""
    app["REBUILDER_SOURCE_CREDENTIALS"] = secret
    given: list[Mapping[str, str]] = []

    def compose(values: Mapping[str, str]) -> Context:
        given.append(values)
        return world.context

    monkeypatch.setattr(composition, "compose", compose)
    assert cli.main(["--function-app", f"{SITE}/", "dead-letters"]) == 0
    shared = ("REBUILDER_BASE_REGISTRIES", "REBUILDER_TASK_REGISTRIES")

    assert given == [{name: app[name] for name in (*shared, "AzureWebJobsStorage__accountName")}]
    assert capsys.readouterr().err == (
        "rebuilder: REBUILDER_SOURCE_CREDENTIALS of the app is in Key Vault and is not read:"
        " build files that need it are unknown here\n"
        "rebuilder: REBUILDER_DESTINATIONS of the app is in Key Vault and is not read:"
        " whom messages go to is unknown here\n"
    )


def test_credentials_that_are_no_reference_are_used(
    app: dict[str, str],
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As the app uses them."""
    app["REBUILDER_SOURCE_CREDENTIALS"] = "{}"
    app["REBUILDER_DESTINATIONS"] = "{}"
    given: list[Mapping[str, str]] = []

    def compose(values: Mapping[str, str]) -> Context:
        given.append(values)
        return world.context

    monkeypatch.setattr(composition, "compose", compose)
    assert cli.main(["--function-app", SITE, "dead-letters"]) == 0

    assert given[0]["REBUILDER_SOURCE_CREDENTIALS"] == "{}"
    assert capsys.readouterr().err == ""


def test_settings_come_from_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    """A file or an app."""
    with pytest.raises(SystemExit, match="2"):
        cli.main(["--settings", "x.json", "--function-app", SITE, "runs"])

    assert "Give --settings or --function-app, not both." in capsys.readouterr().err
