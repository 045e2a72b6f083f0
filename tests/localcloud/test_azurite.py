"""Azurite's process: where it listens, and what is told when it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.storage.azurite import Process


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def test_an_azurite_whose_port_is_taken_says_so(tmp_path: Path) -> None:
    """It listens where it is told, or ends; nobody else's server there is taken for it."""
    first = Process(_folder(tmp_path, "first"))
    try:
        with pytest.raises(RuntimeError, match=r"(?s)ended by itself; it said: .*EADDRINUSE"):
            Process(_folder(tmp_path, "second"), ports=first.ports)
    finally:
        first.stop()
