"""The syntax tree: logical lines, heredocs, flags and arguments of each instruction.

Source of the rules: BuildKit, `parser/parser.go`, `parser/line_parsers.go`,
`parser/split_command.go`.
"""

from __future__ import annotations

from collections.abc import Mapping

from rebuilder.core.dockerfile._frontends import NEWEST, Frontend
from rebuilder.core.dockerfile._parser.harmless import HARMLESS, Glance
from rebuilder.core.dockerfile._parser.heredocs import heredocs_in
from rebuilder.core.dockerfile._parser.nodes import COPY_FROM, Heredoc, Node, parse_node
from rebuilder.core.dockerfile._shell.variables import WordError
from rebuilder.core.dockerfile._text import LINE_LIMIT
from rebuilder.errors import InvalidBuildFile

_VARIABLES = frozenset({"ARG", "ENV", "WORKDIR"})
_NO_LINES: frozenset[int] = frozenset()


def read_tree(
    lines: list[str],
    escape: str,
    frontend: Frontend = NEWEST,
    *,
    variables: bool = False,
    bad_lines: frozenset[int] = _NO_LINES,
) -> list[Node]:
    """Read the instructions of a file, but for those that are plainly right and read no image.

    White space is what Python takes for it: the caller sees to it that there is none that Go does
    not take for it.

    Args:
        lines: Its lines, without line feeds.
        escape: Its escape character.
        frontend: What reads it.
        variables: Whether to read those that set variables or the folder, right as they may be.
        bad_lines: The lines, counted from 0, that hold bytes that are no text.

    Raises:
        InvalidBuildFile: For what BuildKit's parser refuses.
    """
    glances = HARMLESS
    if bad_lines:
        glances = {name: see for name, see in HARMLESS.items() if name.upper() != "RUN"}
    if variables:
        glances = {name: see for name, see in glances.items() if name.upper() not in _VARIABLES}
    return _Tree(lines, escape, frontend, bad_lines).nodes(glances)


class _Tree:
    __slots__ = ("_bad_lines", "_end", "_escape", "_frontend", "_lines", "_too_long")

    def __init__(
        self, lines: list[str], escape: str, frontend: Frontend, bad_lines: frozenset[int]
    ) -> None:
        self._lines = lines
        self._escape = escape
        self._frontend = frontend
        self._bad_lines = bad_lines
        # BuildKit's scanner stops before a line that is too long; what it has read counts first.
        self._end = len(lines)
        self._too_long = False
        if sum(map(len, lines)) > LINE_LIMIT // 4:
            for number, line in enumerate(lines):
                if len(line) > LINE_LIMIT // 4 and len(line.encode()) > LINE_LIMIT:
                    self._end, self._too_long = number, True
                    break

    def nodes(self, glances: Mapping[str, Glance]) -> list[Node]:
        nodes: list[Node] = []
        lines, escape, end = self._lines, self._escape, self._end
        started = False
        at = 0
        while at < end:
            text = lines[at].strip()
            at += 1
            if not text or text[0] == "#":
                continue
            line = at
            # White space may follow the escape only if it is a blank or tab; rare, so tried last.
            if text[-1] == escape:
                text, at = self._joined(at)
            if started:
                blank = text.find(" ")
                harmless = glances.get(text[:blank]) if blank > 0 else None
                match = harmless(text, blank + 1) if harmless is not None else None
                if match is not None and "<<" not in text:
                    if match.lastindex:
                        args = (match[1],)
                        node = Node(COPY_FROM, "COPY", (), args, json=False, line=line, text="")
                        nodes.append(node)
                    continue
            node = parse_node(text, line, escape, self._frontend)
            if "<<" in text and _may_hold_heredoc(node):
                node, at = self._with_heredocs(node, at)
            if self._bad_lines and node.keyword == "run":
                node = node._replace(bad_bytes=self._holds_bad_bytes(node, at))
            started = started or node.keyword == "from"
            nodes.append(node)
        if not nodes:
            raise InvalidBuildFile(0, "file with no instructions")
        if self._too_long:
            problem = f"dockerfile line greater than max allowed size of {LINE_LIMIT}"
            raise InvalidBuildFile(self._end + 1, problem)
        return nodes

    def _joined(self, at: int) -> tuple[str, int]:
        """An instruction over several lines, without comments and empty lines, and where it ends.

        Args:
            at: The number of its first line, counted from 1.
        """
        lines, escape, end = self._lines, self._escape, self._end
        line = lines[at - 1].rstrip("\r").lstrip()
        pieces: list[str] = []
        while True:
            tail = line.rstrip(" \t")
            if tail[-1:] != escape or tail[-2:-1] == escape:
                pieces.append(line)
                break
            pieces.append(tail[:-1])
            while at < end:
                line = lines[at]
                at += 1
                bare = line.strip()
                if bare and bare[0] != "#":
                    break
            else:
                break
            if bare[-1] != escape:
                pieces.append(line)
                break
            line = line.rstrip("\r")
        return "".join(pieces).strip(), at

    def _holds_bad_bytes(self, node: Node, at: int) -> bool:
        # They have become replacement characters, which may also stand in the file as such.
        texts = (*node.args, *(heredoc.content for heredoc in node.heredocs))
        if node.json or not any("\ufffd" in text for text in texts):
            return False
        return not self._bad_lines.isdisjoint(range(node.line - 1, at))

    def _with_heredocs(self, node: Node, at: int) -> tuple[Node, int]:
        """An instruction with the heredocs that it opens, and where the last of them ends."""
        try:
            openings = heredocs_in(node.text, self._frontend)
        except WordError as error:
            raise InvalidBuildFile(node.line, str(error)) from None
        heredocs = []
        for name, chomps, expands in openings:
            start = at
            while at < self._end:
                line = self._lines[at].rstrip("\r")
                at += 1
                if (line.lstrip("\t") if chomps else line) == name:
                    break
            else:
                raise InvalidBuildFile(node.line, "unterminated heredoc")
            content = "".join(f"{line}\n" for line in self._lines[start : at - 1])
            heredocs.append(Heredoc(name, content, expands))
        return node._replace(heredocs=tuple(heredocs)), at


def _may_hold_heredoc(node: Node) -> bool:
    if node.keyword == "onbuild":
        child = node.args[0].lower() if node.args else ""
        return child in ("add", "copy", "run") and not node.json
    return node.keyword in ("add", "copy", "run") and not node.json
