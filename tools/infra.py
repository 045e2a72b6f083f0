"""Build what infra/ holds for those who have no Bicep compiler.

Templates, parameter files in JSON, snapshots and hashes.

The compiler is `bicep` in $BICEP, on PATH, or in ../shared/bin beside the project.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INFRA = ROOT / "infra"
HASHES = INFRA / "sources.json"
TEMPLATES = ("main", "event-subscriptions")
PARAMETERS = ("minimal", "typical", "locked-down", "dashboard")
LOADED = ("abbreviations", "bicepconfig", "built-in-roles", "rebuilder-role", "workbook")
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
LOCATION = "westeurope"


def compiler() -> Path | None:
    """Return the Bicep compiler, where there is one."""
    named = os.environ.get("BICEP") or shutil.which("bicep")
    beside = ROOT.parent / "shared" / "bin" / "bicep"
    return Path(named) if named else beside if beside.is_file() else None


def run(bicep: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the compiler, in infra/, with nothing of azd's environment."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AZURE_")}
    env |= {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    env.setdefault("HOME", tempfile.gettempdir())  # where it unpacks itself
    command = [str(bicep), *arguments]
    return subprocess.run(command, cwd=INFRA, env=env, capture_output=True, text=True, check=False)


def sources() -> dict[str, str]:
    """Return the SHA-256 of every file that the templates and snapshots are made of."""
    files = [*INFRA.rglob("*.bicep"), *(INFRA / f"{name}.bicepparam" for name in PARAMETERS)]
    files += [INFRA / f"{name}.json" for name in LOADED]
    return {
        file.relative_to(INFRA).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(files)
    }


def outputs() -> dict[str, str]:
    """Return the SHA-256 of every file that was made."""
    made = [f"{name}.json" for name in TEMPLATES]
    made += [f"{name}.{kind}.json" for name in PARAMETERS for kind in ("parameters", "snapshot")]
    return {name: hashlib.sha256((INFRA / name).read_bytes()).hexdigest() for name in made}


def problems(bicep: Path) -> list[str]:
    """Return what the compiler has to say about every source file."""
    done = run(bicep, "lint", "--pattern", "**/*.bicep")
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def snapshot(bicep: Path, name: str, mode: str) -> subprocess.CompletedProcess[str]:
    """Write (`overwrite`) or check (`validate`) the snapshot of a parameter file."""
    place = ("--subscription-id", SUBSCRIPTION, "--location", LOCATION)
    return run(bicep, "snapshot", f"{name}.bicepparam", *place, "--mode", mode)


def _in_order(path: Path) -> None:
    """Sort a snapshot's outputs: the compiler writes them in any order, which is no change."""
    told = json.loads(path.read_text("utf-8"))
    told["outputs"] = dict(sorted(told["outputs"].items()))
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False), "utf-8")


def main() -> int:
    """Build; the exit code says whether the compiler had nothing to say."""
    bicep = compiler()
    if bicep is None:
        print("No Bicep compiler: set BICEP to its path, or put it on PATH.", file=sys.stderr)
        return 1
    if said := problems(bicep):
        print("\n".join(said), file=sys.stderr)
        return 1
    made = [run(bicep, "build", f"{name}.bicep") for name in TEMPLATES]
    made += [
        run(bicep, "build-params", f"{name}.bicepparam", "--outfile", f"{name}.parameters.json")
        for name in PARAMETERS
    ]
    made += [snapshot(bicep, name, "overwrite") for name in PARAMETERS]
    for name in PARAMETERS:
        _in_order(INFRA / f"{name}.snapshot.json")
    failed = [done.stderr or done.stdout for done in made if done.returncode != 0 or done.stderr]
    print("\n".join(failed), file=sys.stderr, end="")
    text = json.dumps({"sources": sources(), "made": outputs()}, indent=2, sort_keys=True)
    HASHES.write_text(text + "\n", "utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
