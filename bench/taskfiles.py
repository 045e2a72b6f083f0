"""`python -m bench.taskfiles [FOLDER]`: task files read per second.

Without a folder, those of tests/corpus/taskfiles and some larger ones; with one, every *.yaml and
*.yml under it. Each file is read whole, from its bytes to what its steps do, with the Dockerfiles
of its builds. Time is the process's own: others on the machine do not count. What is refused counts
as read: refusing takes time, too. The last line is JSON.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rebuilder.core.taskfile import RunContext, read_task_file
from rebuilder.errors import InvalidBuildFile

_CORPUS = Path(__file__).resolve().parent.parent / "tests" / "corpus" / "taskfiles"
_ROUNDS = 15
_SECONDS = 0.3
_RUN = RunContext("reg.azurecr.io", "nightly", "linux", "amd64")
_DOCKERFILE = b"ARG BASE=mybase.azurecr.io\nFROM $BASE/node:18 AS build\nRUN make\nFROM node:18\n"

_LARGE = """version: v1.1.0
alias:
  values:
    repo: "{{{{.Run.Registry}}}}/team/app{number}"
steps:
  - id: build-web
    build: -t $repo:{{{{.Run.ID}}}} -t $repo:latest -f src/web/Dockerfile --build-arg V=$ID src/web
    when: ["-"]
  - id: build-api
    build: -t $Registry/api:$ID -f src/api/Dockerfile .
    when: ["-"]
  - id: test
    cmd: $repo:{{{{.Run.ID}}}} npm test
    when: ["build-web", "build-api"]
    env: [NODE_ENV=test, CI=true]
  - push:
    - $repo:{{{{.Run.ID}}}}
    - $repo:latest
    - $Registry/api:$ID
    when: ["test"]
  - cmd: az login --identity
  - cmd: acr purge --filter 'app:.*' --ago 7d --untagged
"""


def main(folder: str | None = None) -> int:
    """Measure, and print what was found."""
    contents = _given(Path(folder)) if folder else [*_corpus(), *_large()]
    rates = [_rate(contents) for _ in range(_ROUNDS)]
    size = sum(map(len, contents))
    print(f"{len(contents)} files, {size} bytes, {size // len(contents)} bytes each on average")
    print(f"{statistics.median(rates):9.0f} files/s")
    print(
        json.dumps(
            {
                "files": len(contents),
                "bytes": size,
                "files_per_second": round(statistics.median(rates)),
                "bytes_per_second": round(statistics.median(rates) * size / len(contents)),
            }
        )
    )
    return 0


def _given(folder: Path) -> list[bytes]:
    files = sorted({*folder.rglob("*.yaml"), *folder.rglob("*.yml")})
    return [file.read_bytes() for file in files]


def _corpus() -> list[bytes]:
    return [
        json.loads(line)["yaml"].encode()
        for file in sorted(_CORPUS.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


def _large() -> list[bytes]:
    return [_LARGE.format(number=number).encode() for number in range(20)]


def _rate(contents: Sequence[bytes]) -> float:
    """Files per second over a short time."""
    count = 0
    started = time.process_time()
    while (took := time.process_time() - started) < _SECONDS:
        for content in contents:
            with contextlib.suppress(InvalidBuildFile):
                read_task_file(content, lambda _, __: _DOCKERFILE, run=_RUN)
        count += len(contents)
    return count / took


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
