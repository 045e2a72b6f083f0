"""Dockerfiles, read exactly as BuildKit reads them, without building anything.

Source of every rule: github.com/moby/buildkit, `frontend/dockerfile` (packages parser,
instructions, shell, dockerfile2llb) and `frontend/dockerui`, as of v0.33 (dockerfile/1.27); of
platforms: github.com/containerd/platforms. Where BuildKit's documentation and its source
differ, the source decides.

PyPI's `dockerfile` is the parser of BuildKit 0.12; the tests compare with it. The product does not
stand on it: it takes time that grows with the square of a line's length (half a second for a RUN
of 60 KB), ends the process on a lone surrogate, cuts the file at a NUL, knows no `check` directive,
and loses the line of an error and the flags of an ONBUILD.
"""

from __future__ import annotations

from rebuilder.core.dockerfile._outline import Instruction, outline
from rebuilder.core.dockerfile._reader import read_dockerfile

__all__ = ["Instruction", "outline", "read_dockerfile"]
