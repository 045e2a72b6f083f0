"""A bash that a program types into, in sight of a person."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self


class Shell:
    """One bash: its variables stay from command to command.

    Args:
        folder: Where it starts.
        environment: Its variables.
        show: Told of each command and of each line that it prints.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], show: Callable[[str], None]
    ) -> None:
        self._show = show
        self._mark = secrets.token_hex(8)
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that it ends with everything that it started
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        # communicate() would flush what bash no longer reads.
        for pipe in (self._bash.stdin, self._bash.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._bash.wait()

    def run(self, command: str, *, quiet: bool = False) -> tuple[int, str]:
        """Type a command; return its exit code and what it printed.

        Args:
            command: What to type, on one line or several.
            quiet: Whether it is run unseen.
        """
        if self._bash.stdin is None or self._bash.stdout is None:
            raise RuntimeError("bash has no pipes")
        if not quiet:
            lines = command.splitlines()
            self._show("\n".join([f"$ {lines[0]}", *(f"> {line}" for line in lines[1:])]))
        self._bash.stdin.write(
            f"{{\n{command}\n}} </dev/null\nprintf '\\n{self._mark} %s\\n' \"$?\"\n"
        )
        self._bash.stdin.flush()
        printed: list[str] = []
        blank = 0  # the mark brings an empty line of its own
        for line in self._bash.stdout:
            text = line.rstrip("\r\n")
            if text.startswith(self._mark):
                return int(text.rpartition(" ")[2]), "\n".join(printed)
            if not text:
                blank += 1
                continue
            for passed in [*[""] * blank, text]:
                printed.append(passed)
                if not quiet:
                    self._show(passed)
            blank = 0
        raise RuntimeError(f"bash ended while it ran: {command}")
