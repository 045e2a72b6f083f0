"""Which worker and which of its packages this process runs: Azure renews them, and tells nobody."""

from __future__ import annotations

import logging
import platform
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from rebuilder.telemetry.dimensions import (
    AZURE_FUNCTIONS,
    FUNCTIONS_RUNTIME,
    FUNCTIONS_WORKER,
    PYTHON,
    lines_about,
)

log = logging.getLogger(__name__)

UNKNOWN = "unknown"

_WORKER = "proxy_worker"
_RUNTIME = "azure_functions_runtime"
_LIBRARY = "azure.functions"


@cache
def tell_versions() -> None:
    """Log the versions of a function app's process, once; another process has no worker."""
    if _LIBRARY not in sys.modules:
        return
    worker, runtime, library = map(_version, (_WORKER, _RUNTIME, _LIBRARY))
    python = platform.python_version()
    about = {
        FUNCTIONS_WORKER: worker,
        FUNCTIONS_RUNTIME: runtime,
        AZURE_FUNCTIONS: library,
        PYTHON: python,
    }
    with lines_about(about, afresh=True):
        log.info(
            "Functions worker %s, azure-functions-runtime %s of %s, azure-functions %s, Python %s",
            worker,
            runtime,
            _folder(_RUNTIME) or UNKNOWN,
            library,
            python,
        )


def _version(name: str) -> str:
    """Return the version of a package that was imported, and of no other copy of it.

    The app brings a copy, and so does the platform: what is installed beside the one in use is
    asked, and where nothing is, the package itself.
    """
    told = getattr(sys.modules.get(f"{name}.version"), "VERSION", None)
    told = told or getattr(sys.modules.get(name), "__version__", None)
    with suppress(Exception):  # whatever is installed there, a line of the log stops nobody
        told = _installed(name) or told
    return told if isinstance(told, str) else UNKNOWN


def _installed(name: str) -> str | None:
    folder = _folder(name)
    if folder is None:
        return None
    from importlib.metadata import distributions  # noqa: PLC0415 - only at the first call

    wanted = name.replace(".", "-").replace("_", "-")
    found = next(iter(distributions(name=wanted, path=[str(folder)])), None)
    return None if found is None else found.version


def _folder(name: str) -> Path | None:
    """Return the folder that a package was imported from; None if it was not."""
    file = getattr(sys.modules.get(name), "__file__", None)
    above = Path(file).parents if isinstance(file, str) else ()
    depth = name.count(".") + 1
    return above[depth] if len(above) > depth else None
