"""`python -m bench.dependencies [FOLDER]`: Dockerfiles read per second, beside dockerfile-parse.

Both read the same files in the same run, in many short turns, each file from its bytes to the
images that it names. Time is the process's own: others on the machine do not count. What one of
them refuses counts as read: refusing takes time, too. The last line is JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dockerfile_parse import DockerfileParser

from bench.dockerfiles import files
from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.errors import InvalidBuildFile

_ROUNDS = 25
_SECONDS = 0.3


def main(folder: str | None = None) -> int:
    """Measure, and print what was found."""
    contents = files(Path(folder) if folder else None)
    rounds = [(_rate(_ours, contents), _rate(_theirs, contents)) for _ in range(_ROUNDS)]
    ours = statistics.median(rate for rate, _ in rounds)
    theirs = statistics.median(rate for _, rate in rounds)
    ratio = statistics.median(one / other for one, other in rounds)
    print(f"{len(contents)} files, {sum(map(len, contents))} bytes, {_ROUNDS} rounds in turns")
    print(f"rebuilder        {ours:9.0f} files/s")
    print(f"dockerfile-parse {theirs:9.0f} files/s")
    print(
        json.dumps(
            {
                "files": len(contents),
                "ours_per_second": round(ours),
                "dockerfile_parse_per_second": round(theirs),
                "ratio": round(ratio, 2),
                "lowest_ratio": round(min(one / other for one, other in rounds), 2),
            }
        )
    )
    return 0


def _rate(read: Callable[[bytes], None], contents: Sequence[bytes]) -> float:
    """Files per second over a short time."""
    count = 0
    started = time.process_time()
    while (took := time.process_time() - started) < _SECONDS:
        for content in contents:
            read(content)
        count += len(contents)
    return count / took


def _ours(content: bytes) -> None:
    with contextlib.suppress(InvalidBuildFile):
        read_dockerfile(content)


def _theirs(content: bytes) -> None:
    with contextlib.suppress(Exception):  # whatever it stumbles over
        _ = DockerfileParser(fileobj=io.BytesIO(content)).parent_images


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # dockerfile-parse warns of what it does not understand
    sys.exit(main(*sys.argv[1:]))
