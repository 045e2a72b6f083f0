"""What commands print, and how they end: the only place that writes to a terminal.

Whatever comes from outside stands in what is printed, so each line is escaped and cut here.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TextIO

from rebuilder.core.shown import shown
from rebuilder.errors import RebuilderError
from rebuilder.isolation import unforeseen

log = logging.getLogger(__name__)

ERROR = 1
INTERRUPTED = 130
"""As shells have it for a process that SIGINT ended."""


def say(*lines: str) -> None:
    """Print lines."""
    say_all(lines)


def say_all(lines: Iterable[str]) -> None:
    """Print lines as they come."""
    for line in lines:
        print(shown(line))  # noqa: T201 - a command's answer


def say_json(value: object) -> None:
    """Print a value as JSON, which is ASCII and can be read again whatever stands in it."""
    print(json.dumps(value, indent=2))  # noqa: T201 - a command's answer


def complain(text: str) -> None:
    """Print what is wrong, beside the answer."""
    with suppress(OSError):  # nobody can be told
        print(shown(text), file=sys.stderr)  # noqa: T201 - a command's answer


def orderly(command: Callable[[], int], failure: int = ERROR) -> int:
    """Run a command; however it ends, it ends with an exit code and a sentence.

    Args:
        command: The command.
        failure: The exit code of an error.

    Returns:
        Its exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        _write_anything(stream)
    try:
        code = command()
        sys.stdout.flush()
    except RebuilderError as error:
        complain(f"rebuilder: {error}")
    except KeyboardInterrupt:
        _forget(sys.stdout)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read has read enough, as `head` does.
        _forget(sys.stdout)
        return ERROR
    except OSError as error:
        _forget(sys.stdout)
        complain(f"rebuilder: {error.strerror or type(error).__name__}")
    except Exception as error:  # noqa: BLE001 - no command ends in a traceback
        complain(f"rebuilder: {unforeseen(error)}")
    else:
        return code
    return failure


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
