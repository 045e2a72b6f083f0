"""Forks for each command of the Azure CLI what has read its modules already.

Run by the CLI's own Python. Each command gets the folder, the variables and the streams of whoever
called `az`, and a process of its own, so that nothing of one is left for the next.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from azure.cli.core import get_default_cli  # type: ignore[import-untyped] # it is the CLI's Python that runs this
from azure.cli.core._environment import get_config_dir  # type: ignore[import-untyped] # as above

# A module, the name of what it has kept, and which part of the folder of settings that is.
type Kept = list[tuple[object, str, str]]

# What the commands of the tests read; what is missing here is read by the command itself.
_MODULES = (
    *("acr", "appservice", "eventgrid", "keyvault", "monitor", "network", "profile"),
    *("resource", "role", "storage", "config", "util", "identity"),
)
_PARTS = ("commands", "custom", "_params", "_help", "_validators", "_client_factory")
_MANAGEMENT = (
    *("azure.mgmt.authorization", "azure.mgmt.containerregistry", "azure.mgmt.web"),
    *("azure.mgmt.containerregistrytasks", "azure.mgmt.resource.resources", "azure.mgmt.msi"),
    *("azure.mgmt.resource.subscriptions", "azure.mgmt.applicationinsights"),
)


def read_modules() -> None:
    """Read what a command of the CLI reads."""
    get_default_cli()
    names = [
        *(f"azure.cli.command_modules.{module}" for module in _MODULES),
        *(f"azure.cli.command_modules.{module}.{part}" for module in _MODULES for part in _PARTS),
        *_MANAGEMENT,
    ]
    for name in names:
        with suppress(ImportError):  # not every one has every part
            importlib.import_module(name)


def kept(settings: str) -> Kept:
    """Return where modules have kept the folder of settings, or what is in it."""
    return [
        (module, name, value.removeprefix(settings))
        for module in list(sys.modules.values())
        for name, value in vars(module).items()
        if isinstance(value, str) and value.startswith(settings)
    ]


def serve(folder: Path, settings: Kept) -> None:
    """Carry out each command that is asked for, any number at a time, in another process.

    Args:
        folder: Where the socket is to be.
        settings: Where modules have kept the folder of settings.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        server.listen()
        if os.fork() != 0:
            os._exit(0)
        os.setsid()
        (folder / "pid").write_text(str(os.getpid()))
        gc.freeze()
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                os._exit(_watch(connection, settings))
            connection.close()


def _watch(connection: socket.socket, settings: Kept) -> int:
    """Have a command carried out; tell its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    body = b""
    while len(body) < int.from_bytes(size, "big"):
        body += connection.recv(1 << 16)
    child = os.fork()
    if child == 0:
        connection.close()
        os._exit(_command(json.loads(body), streams, settings))
    _, status = os.waitpid(child, 0)
    connection.sendall(bytes([os.waitstatus_to_exitcode(status) & 255]))
    return 0


def _command(told: dict[str, Any], streams: list[int], settings: Kept) -> int:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update({"AZ_INSTALLER": "PIP", **told["variables"]})
    for module, name, inside in settings:
        setattr(module, name, get_config_dir() + inside)
    sys.argv = ["az", *told["arguments"]]
    try:
        runpy.run_module("azure.cli", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
        return code if isinstance(code, int) else int(code is not None)
    except BaseException:  # noqa: BLE001 - as a process of its own would
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    place = Path(sys.argv[1])
    os.environ["AZURE_CONFIG_DIR"] = str(place / "settings")
    os.environ["AZURE_CORE_COLLECT_TELEMETRY"] = "false"
    read_modules()
    serve(place, kept(os.environ["AZURE_CONFIG_DIR"]))
