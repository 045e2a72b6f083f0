"""Install Checkov into .tools/checkov, as tools/checkov/requirements.txt pins it.

To pin anew: `uv pip compile --universal --python-version 3.13 --no-header --no-annotate
tools/checkov/requirements.in -o tools/checkov/requirements.txt`.
"""

from __future__ import annotations

import shutil
import sys

from env import ROOT, run_uv

PINS = ROOT / "tools" / "checkov" / "requirements.txt"
TARGET = ROOT / ".tools" / "checkov"


def main() -> int:
    """Install; the exit code says whether it is there."""
    shutil.rmtree(TARGET, ignore_errors=True)
    python = str(ROOT / ".venv" / "bin" / "python")
    code = run_uv("venv", "--quiet", "--python", python, str(TARGET))
    install = ("pip", "install", "--quiet", "--no-deps", "--python", str(TARGET))
    code = code or run_uv(*install, "--requirements", str(PINS))
    if code == 0:
        (TARGET / "done").touch()
    return code


if __name__ == "__main__":
    sys.exit(main())
