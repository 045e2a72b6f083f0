"""Install the Azure CLI into .tools/azure-cli, as tools/azure-cli/requirements.txt pins it.

To pin anew: `uv pip compile --universal --python-version 3.13 --no-header --no-annotate
tools/azure-cli/requirements.in -o tools/azure-cli/requirements.txt`.
"""

from __future__ import annotations

import shutil
import sys

from env import ROOT, run_uv

PINS = ROOT / "tools" / "azure-cli" / "requirements.txt"
TARGET = ROOT / ".tools" / "azure-cli"


def main() -> int:
    """Install; the exit code says whether it is there."""
    shutil.rmtree(TARGET, ignore_errors=True)
    python = str(ROOT / ".venv" / "bin" / "python")
    code = run_uv("venv", "--quiet", "--python", python, str(TARGET))
    # Dependencies are resolved already; some of the CLI's own ask for pre-releases.
    install = ("pip", "install", "--quiet", "--no-deps", "--python", str(TARGET))
    code = code or run_uv(*install, "--requirements", str(PINS))
    if code == 0:
        (TARGET / "done").touch()
    return code


if __name__ == "__main__":
    sys.exit(main())
