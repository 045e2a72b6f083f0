"""Install a Python tool into .tools/NAME, as tools/NAME/requirements.txt pins it.

Usage: `pinned.py NAME`. To pin anew: `uv pip compile --universal --python-version 3.13 --no-header
--no-annotate tools/NAME/requirements.in -o tools/NAME/requirements.txt`.
"""

from __future__ import annotations

import shutil
import sys

from env import ROOT, run_uv


def main(name: str) -> int:
    """Install; the exit code says whether it is there."""
    target = ROOT / ".tools" / name
    shutil.rmtree(target, ignore_errors=True)
    python = str(ROOT / ".venv" / "bin" / "python")
    code = run_uv("venv", "--quiet", "--python", python, str(target))
    # Dependencies are resolved already; some of the Azure CLI's own ask for pre-releases.
    install = ("pip", "install", "--quiet", "--no-deps", "--python", str(target))
    pins = ROOT / "tools" / name / "requirements.txt"
    code = code or run_uv(*install, "--requirements", str(pins))
    if code == 0:
        (target / "done").touch()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
