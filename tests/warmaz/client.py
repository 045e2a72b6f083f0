"""What is called `az`: hands a command to the warm CLI and ends with its exit code."""

from __future__ import annotations

import json
import os
import socket
import sys

_SOCKET, *_ARGUMENTS = sys.argv[1:]

with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(_SOCKET)
    told = {"arguments": _ARGUMENTS, "folder": os.getcwd(), "variables": dict(os.environ)}  # noqa: PTH109 - pathlib takes 20 ms to import
    body = json.dumps(told).encode("ascii")
    socket.send_fds(connection, [len(body).to_bytes(4, "big")], [0, 1, 2])
    connection.sendall(body)
    code = connection.recv(1)
    # Nothing comes if the command's process was killed.
    sys.exit(code[0] if code else 1)
