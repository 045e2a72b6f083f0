"""Fetch the page's libraries from npm, as they are pinned here: `make vendor`.

No bundler: the files are taken as they are published, with their licences; where a module names
another by its package, it is made to name the file. `--check` tells whether the files are these.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "rebuilder" / "web" / "static" / "vendor"
TESTS = ROOT / "tests" / "browser" / "vendor"


class Library(NamedTuple):
    """A package of npm, pinned by its version and the hash of what npm hands out."""

    name: str
    version: str
    integrity: str
    files: dict[str, str]
    folder: Path = PAGE


LIBRARIES = (
    Library(
        "preact",
        "11.2.0",
        "/HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==",
        {
            "dist/preact.mjs": "preact.js",
            "hooks/dist/hooks.mjs": "hooks.js",
            "LICENSE": "preact.LICENSE.txt",
        },
    ),
    Library(
        "htm",
        "3.1.1",
        "983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
        {"dist/htm.mjs": "htm.js", "LICENSE": "htm.LICENSE.txt"},
    ),
    Library(
        "@dagrejs/dagre",
        "3.1.3",
        "X4aUTwOReZvthaZWOVHqlJ52/ZdhZFEM4+Lh/uR4XooUSLE6p71bcy7MPGzYnNUcNh+nj+i/qJQpCMIdQnSmrg==",
        {"dist/dagre.esm.js": "dagre.js", "LICENSE": "dagre.LICENSE.txt"},
    ),
    Library(
        "uplot",
        "1.6.32",
        "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {
            "dist/uPlot.iife.min.js": "uplot.js",
            "dist/uPlot.min.css": "uplot.css",
            "LICENSE": "uplot.LICENSE.txt",
        },
    ),
    Library(
        "axe-core",
        "4.14.1",
        "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        {"axe.min.js": "axe.js", "LICENSE": "axe.LICENSE.txt"},
        TESTS,
    ),
)


def fetched(library: Library) -> dict[Path, bytes]:
    """Return the files of a package, whose hash is the one that is pinned."""
    last = library.name.rpartition("/")[2]
    url = f"https://registry.npmjs.org/{library.name}/-/{last}-{library.version}.tgz"
    with urllib.request.urlopen(url, timeout=60) as answer:
        packed = answer.read()
    found = base64.b64encode(hashlib.sha512(packed).digest()).decode()
    if found != library.integrity:
        raise SystemExit(f"{url}: its hash is not the one that is pinned")
    files: dict[Path, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for source, target in library.files.items():
            member = archive.extractfile(f"package/{source}")
            if member is None:
                raise SystemExit(f"{url}: there is no {source}")
            files[library.folder / target] = adapted(target, member.read())
    return files


def adapted(name: str, content: bytes) -> bytes:
    """Return a file as the page loads it."""
    if not name.endswith(".js"):
        return content
    text = content.decode()
    kept = [line for line in text.splitlines() if not line.startswith("//# sourceMappingURL")]
    text = "\n".join(kept).replace('from"preact"', 'from"./preact.js"') + "\n"
    if name == "uplot.js":
        text += "export default uPlot;\n"
    return text.encode()


def main() -> int:
    """Write the files, or tell which are not as they should be."""
    wrong = []
    for library in LIBRARIES:
        for path, content in fetched(library).items():
            if "--check" in sys.argv:
                if not path.exists() or path.read_bytes() != content:
                    wrong.append(path)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in wrong:
        print(f"{path} is not as npm has it", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
