"""`python -m bench.fuzz [--count N] [--seed N] [KIND ...]`: hostile files, answers and messages.

Each kind of input is read in a process of its own, which gets 128 MiB beyond what it needs to
begin. No input may raise anything but the product's own errors, take a second of processor time, or
meet that limit; `rebuilder deps`, the kind `deps`, has 3 seconds and 256 MiB. For each kind is
printed how many inputs there were, how many had an answer, how many were refused, the slowest and
the most memory. The exit status is 1 if one ended otherwise. The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.foreign import KINDS, inputs
from rebuilder.errors import RebuilderError

log = logging.getLogger(__name__)

_HANG = 30


@dataclass(slots=True)
class Result:
    """What came of the inputs of a kind.

    Attributes:
        kind: The kind.
        inputs: How many.
        answered: How many had an answer.
        refused: How many ended in an error of the product's.
        crashed: How many ended otherwise, or for want of memory.
        slowest_seconds: The processor time of the slowest.
        peak_mib: How much memory they took, beyond what the process began with.
    """

    kind: str
    inputs: int = 0
    answered: int = 0
    refused: int = 0
    crashed: int = 0
    slowest_seconds: float = 0.0
    peak_mib: int = 0

    @property
    def good(self) -> bool:
        """Whether every input ended as it should, in time."""
        kind = KINDS[self.kind]
        return (
            not self.crashed
            and self.slowest_seconds < kind.seconds
            and self.peak_mib * 2**20 <= kind.memory
        )


def run(kind: str, count: int, seed: int, *, shown: bool = True) -> Result:
    """Read so many inputs of a kind, in this process."""
    result = Result(kind)
    read = KINDS[kind].read
    given = inputs(kind, count, seed)
    _forget_peak()
    began = _resident("VmRSS")
    for content in given:
        result.inputs += 1
        started = time.process_time()
        try:
            read(content)
            result.answered += 1
        except RebuilderError as error:
            # A limit that was met is no answer, whatever it was turned into.
            failed = "MemoryError" in str(error)
            result.refused += not failed
            result.crashed += failed
            if failed and shown:
                print(f"{kind}: {error}: {_shown(content)}", file=sys.stderr)
        except Exception:
            # What is looked for.
            result.crashed += 1
            if shown:
                log.exception("%s: %s", kind, _shown(content))
        took = time.process_time() - started
        if took > result.slowest_seconds:
            result.slowest_seconds = round(took, 4)
            if took >= KINDS[kind].seconds and shown:
                print(f"{kind}: {took:.2f} s: {_shown(content)}", file=sys.stderr)
    result.peak_mib = max(0, _resident("VmHWM") - began) // 1024
    return result


def _shown(content: Any) -> str:  # noqa: ANN401 - of any kind
    return repr(content)[:2000]


def _forget_peak() -> None:
    """Count the most memory from now on: what the process did before is none of the inputs'."""
    Path("/proc/self/clear_refs").write_text("5")


def _resident(name: str) -> int:
    """Return a figure of this process's memory, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0])


def _child(kind: str, count: int, seed: int) -> Result:
    """Read inputs with little memory, and none of them for ever."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    # Everything is imported, and a first connection, thread and seed made, before the limit is set.
    threading.stack_size(256 * 1024)
    importlib.import_module("hcl2")  # which bake files are read with, when one is first met
    run(kind, 20, seed + 1, shown=False)
    limit = _resident("VmSize") * 1024 + KINDS[kind].memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def hangs(*_: object) -> None:
        raise TimeoutError(f"an input took longer than {_HANG} seconds")

    signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, _HANG + count)
    return run(kind, count, seed)


def main(arguments: list[str] | None = None) -> int:
    """Read inputs of every kind; 1 if one crashed, took too long or too much memory."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--count", type=int, default=20_000, help="inputs of each kind (20000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}")
    if options.child:
        print(json.dumps(asdict(_child(options.kinds[0], options.count, options.seed))))
        return 0
    results = []
    started = time.perf_counter()
    for kind in options.kinds or KINDS:
        command = [sys.executable, "-m", "bench.fuzz", "--child", kind]
        command += ["--count", str(options.count), "--seed", str(options.seed)]
        # One arena: the others' address space is theirs before anybody uses it.
        done = subprocess.run(  # noqa: S603 - this program
            command,
            stdout=subprocess.PIPE,
            check=False,
            env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        )
        lines = done.stdout.decode().splitlines()
        ended = Result(kind, options.count, crashed=options.count)
        result = Result(**json.loads(lines[-1])) if done.returncode == 0 and lines else ended
        results.append(result)
        print(
            f"{kind:12} {result.inputs:6} inputs, {result.answered:6} answered,"
            f" {result.refused:6} refused, {result.crashed:3} crashed,"
            f" slowest {result.slowest_seconds * 1000:.0f} ms, {result.peak_mib} MiB",
            flush=True,
        )
    told = {"seed": options.seed, "seconds": round(time.perf_counter() - started, 1)}
    print(json.dumps({**told, "results": [asdict(result) for result in results]}))
    return 0 if all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
