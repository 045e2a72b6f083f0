"""The instructions of a Dockerfile in order, to compare its lines with another reading."""

from __future__ import annotations

from msgspec import Struct

from rebuilder.core.dockerfile._parser.directives import read_escape
from rebuilder.core.dockerfile._parser.tree import read_tree

_MARK = b"\xef\xbb\xbf"


class Instruction(Struct, frozen=True):
    """An instruction of a Dockerfile.

    Attributes:
        line: The line on which it begins, counted from 1.
        keyword: Its name, in lower case.
        text: All of it on one line, without the heredocs.
        heredoc: Whether a heredoc follows it.
    """

    line: int
    keyword: str
    text: str
    heredoc: bool


def outline(content: bytes) -> tuple[Instruction, ...]:
    """Read where each instruction of a Dockerfile begins.

    Raises:
        InvalidBuildFile: For what BuildKit's parser refuses.
    """
    lines = content.removeprefix(_MARK).decode(errors="replace").split("\n")
    nodes = read_tree(lines, read_escape(lines))
    return tuple(Instruction(n.line, n.keyword, n.text, bool(n.heredocs)) for n in nodes)
