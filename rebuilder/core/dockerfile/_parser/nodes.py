"""One instruction as a node of the syntax tree.

Source of the rules: BuildKit, `parser/parser.go`, `parser/split_command.go`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rebuilder.core.dockerfile._frontends import NEWEST, Frontend
from rebuilder.core.dockerfile._parser.arguments import PARSERS, TWO_ARGUMENTS, ignored
from rebuilder.core.dockerfile._parser.flags import split_flags
from rebuilder.core.dockerfile._text import BLANKS, DEPTH_LIMIT
from rebuilder.errors import InvalidBuildFile

# Nearly every FROM.
_PLAIN_FROM = re.compile(r"FROM ([^\s-]\S*)(?: (AS|as) (\S+))?\Z").match
COPY_FROM = "copy --from"
"""The keyword of a COPY of which only the --from matters, its one argument."""


# Many of these are made, and tuples are made three times as fast as frozen dataclasses.
class Heredoc(NamedTuple):
    """A text inside the file.

    Attributes:
        name: What ends it.
        content: Its lines.
        expands: Whether variables in it are replaced.
    """

    name: str
    content: str
    expands: bool


class Node(NamedTuple):
    """An instruction.

    Attributes:
        keyword: Its name, in lower case.
        name: Its name as written.
        flags: Its flags, without quotes.
        args: Its arguments, with quotes; one text for those that are not split; names and values
            in turn for ENV and LABEL.
        json: Whether they stand as a JSON array.
        line: The line on which it begins.
        text: All of it, on one line.
        heredocs: The texts that follow it.
        bad_bytes: Whether what it runs holds bytes that are no text.
    """

    keyword: str
    name: str
    flags: tuple[str, ...]
    args: tuple[str, ...]
    json: bool
    line: int
    text: str
    heredocs: tuple[Heredoc, ...] = ()
    bad_bytes: bool = False


def parse_node(
    text: str, line: int, escape: str, frontend: Frontend = NEWEST, depth: int = 0
) -> Node:
    """Read one instruction.

    Args:
        text: All of it, on one line, without white space around it.
        line: The line on which it begins.
        escape: The escape character.
        frontend: What reads it.
        depth: How many ONBUILD it stands behind.

    Raises:
        InvalidBuildFile: For what BuildKit's parser refuses.
    """
    match = _PLAIN_FROM(text)
    if match is not None:
        args = match.groups() if match[2] else (match[1],)
        return Node("from", "FROM", (), args, json=False, line=line, text=text)
    name, _, rest = text.partition(" ")
    parse = PARSERS.get(name)
    if parse is None:
        name, *more = BLANKS.split(text, 1)
        rest = more[0] if more else ""
        parse = PARSERS.get(name.lower(), ignored)
    # Flags are found by bytes, so other white space is none before them.
    rest = rest.lstrip("\t\v\f\r ")
    flags: tuple[str, ...] = ()
    if rest.startswith("--"):
        flags, rest = split_flags(rest, escape if frontend.escaped_flags else "\\")
    else:
        rest = rest.lstrip()
    keyword = name.lower()
    if keyword == "onbuild":
        node = Node(keyword, name, flags, (), json=False, line=line, text=text)
        return _onbuild(node, rest, escape, frontend, depth)
    try:
        args, is_json = parse(rest, escape)
    except ValueError as error:
        problem = str(error)
        if problem == TWO_ARGUMENTS:
            problem = f"{keyword.upper()} {problem}"
        raise InvalidBuildFile(line, problem) from None
    return Node(keyword, name, flags, args, is_json, line, text)


def _onbuild(node: Node, rest: str, escape: str, frontend: Frontend, depth: int) -> Node:
    if not rest:
        return node
    if depth > DEPTH_LIMIT:
        # It is refused for being chained.
        return node._replace(args=("ONBUILD",))
    child = parse_node(rest, node.line, escape, frontend, depth + 1)
    return node._replace(args=(child.name, *child.args), json=child.json)
