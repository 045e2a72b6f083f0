"""How long a start takes: `python -m bench.coldstart [--rounds 15]`.

Whole processes, by turns, so that what else the machine does burdens all alike; medians. Compile
first (`python -m compileall -q .`): what is measured is a program that has been started before.
The last line is JSON: of the command line, how many times as long as `python -c pass`; of the
function app, how many times as long as `import azure.functions`, which it cannot do without.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = "ARG V=3\nFROM golang:1 AS build\nRUN make\nFROM alpine:$V\nCOPY --from=build /a /a\n"
COMMANDS = {
    "pass": ("-c", "pass"),
    "help": ("-m", "rebuilder.cli", "--help"),
    "deps": ("-m", "rebuilder.cli", "deps", "Dockerfile"),
    "azure.functions": ("-c", "import azure.functions"),
    "function_app": ("-c", "import function_app"),
}
RATIOS = {
    # name: of what, beside what, at most how many times as long
    "help": ("help", "pass", 8.0),
    "deps": ("deps", "pass", 10.0),
    "function_app": ("function_app", "azure.functions", 1.25),
}


def measured(rounds: int, folder: Path) -> dict[str, float]:
    """Return the median seconds of each command."""
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    # Without settings: what the app would ask a store is the store's time.
    kept = ("PATH", "HOME", "LANG")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, arguments in COMMANDS.items():
            begun = time.perf_counter()
            subprocess.run(  # noqa: S603 - Python itself
                [sys.executable, *arguments],
                cwd=folder,
                env={**env, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.DEVNULL,
                check=True,
            )
            taken[name].append(time.perf_counter() - begun)
    return {name: median(seconds) for name, seconds in taken.items()}


def main() -> int:
    """Measure; the exit code is 1 if a start takes longer than it may."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measured(options.rounds, Path(folder))
    for name, one in seconds.items():
        print(f"{name:16}{one * 1000:7.0f} ms")
    ratios = {name: seconds[of] / seconds[beside] for name, (of, beside, _) in RATIOS.items()}
    for name, (of, beside, most) in RATIOS.items():
        print(f"{of} / {beside}: {ratios[name]:.2f}, at most {most}")
    print(json.dumps({name: round(ratio, 2) for name, ratio in ratios.items()}))
    return int(any(ratios[name] > most for name, (*_, most) in RATIOS.items()))


if __name__ == "__main__":
    sys.exit(main())
