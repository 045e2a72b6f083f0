"""The operators' page of what runs here: `rebuilder web`, as a process beside the cloud."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from localcloud.sample import ROOT


@contextmanager
def page(environment: Mapping[str, str]) -> Iterator[str]:
    """Serve the page until the block is left.

    Args:
        environment: Settings, and as whom the cloud is seen.

    Yields:
        The page's address, with its token; "" if it did not start, which it says itself.
    """
    served = subprocess.Popen(
        [sys.executable, "-m", "rebuilder.cli", "web"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    with served:
        try:
            yield "" if served.stdout is None else served.stdout.readline().strip()
        finally:
            served.terminate()
