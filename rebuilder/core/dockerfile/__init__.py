"""Dockerfiles, read exactly as BuildKit reads them, without building anything.

Source of every rule: github.com/moby/buildkit, `frontend/dockerfile` (packages parser,
instructions, shell, dockerfile2llb) and `frontend/dockerui`, as of v0.33 (dockerfile/1.27); of
platforms: github.com/containerd/platforms. Where BuildKit's documentation and its source differ,
the source decides. PyPI's `dockerfile`, which is the parser of BuildKit 0.12, is what the tests compare
with. It is not what the product runs on: it knows no `check` directive, loses the flags of ONBUILD and
the line of an error, ends the process on a lone surrogate, and takes time that grows with the
square of a line's length.
"""

from __future__ import annotations

from rebuilder.core.dockerfile._outline import Instruction, outline
from rebuilder.core.dockerfile._reader import read_dockerfile

__all__ = ["Instruction", "outline", "read_dockerfile"]
