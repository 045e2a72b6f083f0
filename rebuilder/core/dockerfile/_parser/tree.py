"""The syntax tree: logical lines, heredocs, flags and arguments of each instruction.

Source of the rules: BuildKit, `parser/parser.go`, `parser/line_parsers.go`,
`parser/split_command.go`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from rebuilder.core.dockerfile._frontends import NEWEST, Frontend
from rebuilder.core.dockerfile._parser.harmless import HARMLESS, Glance
from rebuilder.core.dockerfile._shell.lexer import WordError, split_raw, unquote_word
from rebuilder.core.dockerfile._text import BLANKS, DEPTH_LIMIT, LINE_LIMIT, SPACE, quoted
from rebuilder.errors import InvalidBuildFile

_HEREDOC = re.compile(r"(\d*)<<(-?)[\t\n\f\r ]*([^<]*)\Z", re.ASCII)
_MAYBE_HEREDOC = re.compile(rf"(?:\A|[{SPACE}])[0-9]*<<-?[^<]")
# A flag without quotes, escapes and bytes that Go takes for white space; by the escape character.
_FLAGS = {
    "\\": re.compile(r"(--[!#-&(-\[\]-~]+)[\t\v\f\r ]+"),
    "`": re.compile(r"(--[!#-&(-_a-~]+)[\t\v\f\r ]+"),
}
# Nearly every FROM.
_PLAIN_FROM = re.compile(r"FROM ([^\s-]\S*)(?: (AS|as) (\S+))?\Z").match
_VARIABLES = frozenset({"ARG", "ENV", "WORKDIR"})
_ARRAY_NEEDS_STRINGS = "when using JSON array syntax, arrays must be comprised of strings only"


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


def heredocs_in(text: str, frontend: Frontend = NEWEST) -> list[tuple[str, bool, bool]]:
    """The heredocs that a line opens: what ends each, whether tabs go, whether it expands.

    Raises:
        WordError: If what ends one cannot be read.
    """
    if not _MAYBE_HEREDOC.search(text):
        return []
    found = (heredoc_word(word, frontend) for word in split_raw(text, frontend))
    return [heredoc for heredoc in found if heredoc is not None]


def heredoc_word(word: str, frontend: Frontend = NEWEST) -> tuple[str, bool, bool] | None:
    """A word as the opening of a heredoc; None if it is none.

    Raises:
        WordError: If what ends it cannot be read.
    """
    match = _HEREDOC.match(word)
    if match is None or not match[3]:
        return None
    name = unquote_word(match[3], frontend)
    if name is None:
        return None
    raw = split_raw(match[3], frontend)
    quotes = sum(w.count("'") + w.count('"') for w in raw[:1])
    return name, match[2] == "-", name.count("'") + name.count('"') == quotes


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
    parse = _PARSERS.get(name)
    if parse is None:
        name, *more = BLANKS.split(text, 1)
        rest = more[0] if more else ""
        parse = _PARSERS.get(name.lower(), _ignored)
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
        if problem == _TWO_ARGUMENTS:
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


def split_flags(rest: str, escape: str = "\\") -> tuple[tuple[str, ...], str]:
    """Take the flags from the head of an instruction's arguments, without their quotes."""
    flags: list[str] = []
    at = 0
    flag = _FLAGS[escape]
    while match := flag.match(rest, at):
        flags.append(match[1])
        at = match.end()
    if not rest.startswith("--", at):
        return tuple(flags), rest[at:].lstrip()
    return _split_odd_flags(flags, rest[at:], escape)


def _split_odd_flags(flags: list[str], rest: str, escape: str) -> tuple[tuple[str, ...], str]:
    # BuildKit walks over bytes here, each a character of its own.
    line = rest.encode().decode("latin-1")
    word: list[str] = []
    quote = ""
    was_quoted = False
    at = 0
    while at < len(line):
        character = line[at]
        at += 1
        if not quote and character in SPACE:
            if word == ["-", "-"]:
                return tuple(flags), _from_bytes(line[at:])
            if word or was_quoted:
                flags.append("".join(word))
            word, was_quoted = [], False
            while at < len(line) and line[at] in SPACE:
                at += 1
            if not line.startswith("--", at):
                return tuple(flags), _from_bytes(line[at:])
        elif not quote and character in "'\"":
            quote, was_quoted = character, True
        elif character == quote:
            quote = ""
        elif character == escape:
            if at < len(line):
                word.append(line[at])
                at += 1
            else:
                quote = ""
        else:
            word.append(character)
    if word != ["-", "-"] and (word or was_quoted):
        flags.append("".join(word))
    return tuple(flags), ""


def _from_bytes(text: str) -> str:
    return text.encode("latin-1").decode(errors="replace").strip()


type _Parsed = tuple[tuple[str, ...], bool]


def _ignored(_rest: str, _escape: str) -> _Parsed:
    return (), False


def _string(rest: str, _escape: str) -> _Parsed:
    return ((rest,) if rest else ()), False


def _blank_separated(rest: str, _escape: str) -> _Parsed:
    return (tuple(BLANKS.split(rest)) if rest else ()), False


def _maybe_json(rest: str, _escape: str) -> _Parsed:
    if rest[:1] == "[":
        array = _array(rest)
        if array is not None:
            return array, True
    return ((rest,) if rest else ()), False


def _maybe_json_to_list(rest: str, escape: str) -> _Parsed:
    if rest[:1] == "[":
        array = _array(rest)
        if array is not None:
            return array, True
    return _blank_separated(rest, escape)


def _array(rest: str) -> tuple[str, ...] | None:
    try:
        values = _JSON.decode(rest)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        raise ValueError(_ARRAY_NEEDS_STRINGS)
    return tuple(values)


def _no_constant(text: str) -> None:
    raise ValueError(text)


_JSON = json.JSONDecoder(parse_constant=_no_constant)


def _health(rest: str, escape: str) -> _Parsed:
    if not rest:
        return (), False
    kind, *more = rest.split(None, 1)
    args, is_json = _maybe_json(more[0] if more else "", escape)
    return (kind, *args), is_json


def _words(rest: str, escape: str) -> _Parsed:
    return tuple(split_words(rest, escape)), False


_TWO_ARGUMENTS = "must have two arguments"


def _pairs(rest: str, escape: str) -> _Parsed:
    words = split_words(rest, escape)
    if not words:
        return (), False
    if "=" not in words[0]:
        parts = BLANKS.split(rest, 1)
        if len(parts) == 1:
            raise ValueError(_TWO_ARGUMENTS)
        return tuple(parts), False
    pairs: list[str] = []
    for word in words:
        if "=" not in word:
            raise ValueError(
                f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value"
            )
        pairs += word.split("=", 1)
    return tuple(pairs), False


def split_words(rest: str, escape: str) -> list[str]:
    """Split at white space that is neither quoted nor escaped; quotes and escapes stay."""
    if "'" not in rest and '"' not in rest and escape not in rest:
        return rest.split()
    words: list[str] = []
    word: list[str] = []
    quote = ""
    at, end = 0, len(rest)
    while at < end:
        character = rest[at]
        at += 1
        if not quote and character.isspace():
            if word:
                words.append("".join(word))
                word = []
            continue
        if character == escape and quote != "'":
            if at == end:
                # An escape at the end counts for nothing.
                quote = ""
                continue
            word += (character, rest[at])
            at += 1
            continue
        if not quote and character in "'\"":
            quote = character
        elif character == quote:
            quote = ""
        word.append(character)
    if word:
        words.append("".join(word))
    return words


_BY_KEYWORD: dict[str, Callable[[str, str], _Parsed]] = {
    "add": _maybe_json_to_list,
    "arg": _words,
    "cmd": _maybe_json,
    "copy": _maybe_json_to_list,
    "entrypoint": _maybe_json,
    "env": _pairs,
    "expose": _blank_separated,
    "from": _blank_separated,
    "healthcheck": _health,
    "label": _pairs,
    "maintainer": _string,
    "onbuild": _ignored,
    "run": _maybe_json,
    "shell": _maybe_json,
    "stopsignal": _string,
    "user": _string,
    "volume": _maybe_json_to_list,
    "workdir": _string,
}
_PARSERS = _BY_KEYWORD | {name.upper(): parse for name, parse in _BY_KEYWORD.items()}
