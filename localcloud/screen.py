"""What `make demo` and `make tutorial` show a person, and how they are told to stop."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from localcloud.cloud import BuilderName


class Failed(Exception):
    """Something came out otherwise than the tutorial promises."""


class Interrupts:
    """Ctrl-C, which can be held back for a moment."""

    def __init__(self) -> None:
        self.held = False
        self._pending = False

    def handle(self, *_: object) -> None:
        """Raise KeyboardInterrupt, now or when it is released."""
        if not self.held:
            raise KeyboardInterrupt
        self._pending = True

    def release(self) -> None:
        """Hold nothing back any more."""
        self.held = False
        if self._pending:
            raise KeyboardInterrupt


INTERRUPTS = Interrupts()


class Screen:
    """What a person sees: steps, details, tables; in colour on a terminal only."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._started = time.monotonic()

    def _say(self, text: str, code: str) -> None:
        line = f"\033[{code}m{text}\033[0m" if self._colour and code else text
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def step(self, text: str) -> None:
        """Say what happens next."""
        self._say(f"\n[{time.monotonic() - self._started:5.1f} s] {text}", "1;36")

    def detail(self, text: str) -> None:
        """Say what came of it."""
        self._say("  " + text.replace("\n", "\n  "), "")

    def good(self, text: str) -> None:
        """Say what was to be proved."""
        self._say("  " + text, "1;32")


def perform(name: str, description: str, play: Callable[[Screen, Path, BuilderName], None]) -> int:
    """Play something as a command; the exit code says whether it came out as promised.

    Args:
        name: What it is called.
        description: What the command's help says.
        play: Plays it on a screen, in a folder that is empty at first and goes with it.
    """
    parser = argparse.ArgumentParser(description=description)
    choices = ("auto", "buildah", "embedded")
    parser.add_argument("--builder", choices=choices, default="auto", help="who builds images")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s %(message)s")
    # However it is told to end, it cleans up as after Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, INTERRUPTS.handle)
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix=f"rebuilder-{name}-") as folder:
        try:
            play(screen, Path(folder), options.builder)
        except Failed as error:
            screen.step(f"The {name} failed: {error}")
            return 1
        except KeyboardInterrupt:
            screen.step("Stopped.")
            return 130
    screen.step("Done. Nothing is left running.")
    return 0
