"""What commands print, and how they end: the only place that writes to a terminal.

Whatever comes from outside stands in what is printed, so each line is escaped and cut here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self, TextIO

import click

from rebuilder.cli.exits import Exit
from rebuilder.core.shown import shown
from rebuilder.errors import RebuilderError


class Coloured(str):
    """A line that has a colour where there are any.

    Args:
        text: The line.
        colour: One of the terminal's.
    """

    __slots__ = ("colour",)
    colour: str

    def __new__(cls, text: str, colour: str) -> Self:
        """Keep both."""
        made = super().__new__(cls, text)
        made.colour = colour
        return made


def say(*lines: str) -> None:
    """Print lines."""
    say_all(lines)


def say_all(lines: Iterable[str]) -> None:
    """Print lines as they come."""
    for line in lines:
        print(_dyed(line, sys.stdout))  # noqa: T201 - a command's answer


def _dyed(line: str, stream: TextIO) -> str:
    """Return a line as it may be seen, in its colour where the stream has colours."""
    text = shown(line)
    if not isinstance(line, Coloured) or not _has_colours(stream):
        return text
    return click.style(text, fg=line.colour)


def _has_colours(stream: TextIO) -> bool:
    """Tell whether somebody wants colours: https://no-color.org."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or os.name == "nt":
        return False
    return stream.isatty()


def say_json(value: object) -> None:
    """Print a value as JSON, which is ASCII and can be read again whatever stands in it."""
    import json  # noqa: PLC0415 - help needs none

    print(json.dumps(value, indent=2))  # noqa: T201 - a command's answer


def complain(text: str) -> None:
    """Print what is wrong, beside the answer."""
    with suppress(OSError):  # nobody can be told
        print(_dyed(Coloured(text, "red"), sys.stderr), file=sys.stderr)  # noqa: T201 - a command's answer


def orderly(command: Callable[[], int], failure: int = Exit.FAILED) -> int:
    """Run a command; however it ends, it ends with an exit code and a sentence.

    Args:
        command: The command.
        failure: The exit code of an error.

    Returns:
        Its exit code.
    """
    ready()
    try:
        code = command()
        sys.stdout.flush()
    except RebuilderError as error:
        complain(f"rebuilder: {error}")
    except KeyboardInterrupt:
        _forget(sys.stdout)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has read enough, as `head` does.
        _forget(sys.stdout)
        return Exit.FAILED
    except OSError as error:
        _forget(sys.stdout)
        complain(f"rebuilder: {error.strerror or type(error).__name__}")
    except Exception as error:  # noqa: BLE001 - no command ends in a traceback
        from rebuilder.isolation import unforeseen  # noqa: PLC0415 - help needs none

        complain(f"rebuilder: {unforeseen(error)}")
    else:
        return code
    return failure


def ready() -> None:
    """Have this terminal take whatever is written to it."""
    for stream in (sys.stdout, sys.stderr):
        _write_anything(stream)


def _write_anything(stream: TextIO) -> None:
    """Have a stream write what its encoding lacks as an escape, as an ASCII terminal needs."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _forget(stream: TextIO) -> None:
    """Keep Python from writing what could not be written once more when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
