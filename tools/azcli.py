"""The Azure CLI, for the scripts beside this one; they need nothing but Python and `az`."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping


class FailedCommandError(Exception):
    """The Azure CLI, or Azure, refused; the message is what it said."""


def az(
    *arguments: str,
    waiting: Callable[[float], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> object:
    """Run the Azure CLI; return what it answers.

    Args:
        arguments: Its arguments, without the form of the output.
        waiting: Told every ten seconds for how many it has been running.
        environment: Its variables; by default those of this process.

    Raises:
        FailedCommandError: It ended with an error.
    """
    command = [shutil.which("az") or "az", *arguments, "--output", "json"]
    began = time.monotonic()
    try:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as running:
            while True:
                try:
                    out, said = running.communicate(timeout=10)
                    break
                except subprocess.TimeoutExpired:
                    if waiting is not None:
                        waiting(time.monotonic() - began)
    except OSError as error:
        raise FailedCommandError(f"the Azure CLI cannot be started: {error}") from error
    if running.returncode != 0:
        raise FailedCommandError(said.strip())
    return json.loads(out or "null")
