"""Make .venv: fetch uv from PyPI into .tools, find Python 3.13, install what uv.lock names.

Runs on any python3 that has venv or pip; see the Makefile's target `env`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV_FOLDER = ROOT / ".tools" / "uv"
UV_VERSION = "0.13.9"
WANTED = (3, 13)
NAME = "python3.13"
HELP = f"""
Python 3.13 was not found and could not be downloaded. Any of these helps:
  - put {NAME} on PATH (Debian 13: apt install {NAME} {NAME}-venv; macOS: brew install python@3.13)
  - pyenv install 3.13
  - let uv download it: allow https://github.com/astral-sh/python-build-standalone
"""


def main() -> int:
    """Make the environment; the exit code says whether it is there."""
    uv = find_uv()
    if uv is None:
        print("uv could not be installed from PyPI; the lines above say why.", file=sys.stderr)
        return 1
    python = find_python(uv)
    if python is None:
        print(HELP, file=sys.stderr)
        return 1
    return run_uv("sync", "--frozen", "--quiet", "--python", python)


def run_uv(*arguments: str) -> int:
    """Run the project's own uv in the project's folder; return its exit code."""
    command = [str(UV_FOLDER / "bin" / "uv"), *arguments]
    # A virtual environment that happens to be active is not the project's.
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True)
    if done.returncode != 0 and "UV_SYSTEM_CERTS" not in env:
        # uv brings its own certificates; behind a company's proxy only the machine's are right.
        env["UV_SYSTEM_CERTS"] = "1"
        done = subprocess.run(
            command, cwd=ROOT, env=env, check=False, capture_output=True, text=True
        )
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


def find_uv() -> Path | None:
    """Return the project's own uv, installed on first use."""
    uv = UV_FOLDER / "bin" / "uv"
    if runs([str(uv), "--version"], UV_VERSION):
        return uv
    shutil.rmtree(UV_FOLDER, ignore_errors=True)
    wanted = f"uv=={UV_VERSION}"
    pip = [str(UV_FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet", wanted]
    venv = [sys.executable, "-m", "venv", str(UV_FOLDER)]
    if call(venv) and call(pip) and runs([str(uv), "--version"], UV_VERSION):
        return uv
    # Debian's python3 has no venv unless python3-venv is installed, but may have pip.
    shutil.rmtree(UV_FOLDER, ignore_errors=True)
    target = ["-m", "pip", "install", "--quiet", "--target", str(UV_FOLDER), wanted]
    call([sys.executable, *target])
    return uv if runs([str(uv), "--version"], UV_VERSION) else None


def find_python(uv: Path) -> str | None:
    """Return a Python 3.13 that runs: from PATH, pyenv's versions, or by uv's own download."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    versions = sorted(pyenv.glob("3.13*/bin/python3"), reverse=True)
    on_path = [found for name in (NAME, "python3") if (found := shutil.which(name))]
    for candidate in [*on_path, *map(str, versions)]:
        # pyenv's shims are on PATH for versions that are not switched on, and then fail.
        if runs([candidate, "-c", "import sys; print(sys.version_info[:2])"], str(WANTED)):
            return candidate
    os.environ.setdefault("UV_PYTHON_INSTALL_DIR", str(ROOT / ".tools" / "python"))
    if runs([str(uv), "python", "find", "3.13"], ""):
        return "3.13"
    print("Python 3.13 is not on this machine; uv downloads it ...", file=sys.stderr)
    return "3.13" if call([str(uv), "python", "install", "3.13"]) else None


def runs(command: list[str], output: str) -> bool:
    """Tell whether a command works and says `output`."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0 and output in result.stdout


def call(command: list[str]) -> bool:
    """Run a command in sight of the user; tell whether it worked."""
    try:
        return subprocess.run(command, check=False).returncode == 0
    except OSError as error:
        print(error, file=sys.stderr)
        return False


if __name__ == "__main__":
    sys.exit(main())
