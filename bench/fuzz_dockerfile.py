"""`python -m bench.fuzz_dockerfile [COUNT [SEED]]`: the Dockerfile reader on nonsense.

No input may raise anything but a refusal, nor take a second of processor time. The last line
is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from itertools import chain

from bench.dockerfiles import LARGE, files, mutations
from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.core.dockerfile._text import FILE_LIMIT
from rebuilder.errors import InvalidBuildFile


def main(count: int = 100_000, seed: int = 1) -> int:
    """Read so many inputs; 1 if one of them crashed or took a second."""
    slowest, slowest_input = 0.0, b""
    outcomes: Counter[str] = Counter()
    started = time.perf_counter()
    large = [content[:FILE_LIMIT] for content in LARGE] if count > len(LARGE) * 1000 else []
    for content in chain(large, mutations(seed, count - len(large), files())):
        begun = time.process_time()
        try:
            read_dockerfile(content, build_args={"A": "x/y:1", "EMPTY": ""})
            outcomes["read"] += 1
        except InvalidBuildFile:
            outcomes["refused"] += 1
        except Exception as error:  # noqa: BLE001 - what is looked for
            outcomes["crashed"] += 1
            print(f"{type(error).__name__}: {error}: {content!r}", file=sys.stderr)
        took = time.process_time() - begun
        if took > slowest:
            slowest, slowest_input = took, content
    print(f"slowest: {slowest:.3f} s, {len(slowest_input)} bytes: {slowest_input[:100]!r}")
    print(
        json.dumps(
            {
                "inputs": count,
                "seed": seed,
                "read": outcomes["read"],
                "refused": outcomes["refused"],
                "crashed": outcomes["crashed"],
                "slowest_seconds": round(slowest, 4),
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
    )
    return 1 if outcomes["crashed"] or slowest >= 1 else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
