"""Parser directives: `# syntax=`, `# escape=`, `# check=`.

Source of the rules: BuildKit, `parser/directives.go`, `parser/parser.go`, `linter/linter.go`.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from rebuilder.core.dockerfile._text import SPACE, boolean, quoted, short
from rebuilder.errors import InvalidBuildFile

_BLANKS = "\t\n\f\r "
_DIRECTIVE = re.compile(rf"([a-zA-Z][a-zA-Z0-9]*+)[{_BLANKS}]*+=(.*)\Z").match
_NAMES = frozenset({"syntax", "escape", "check"})
_CHECK_OPTIONS = frozenset({"skip", "error", "experimental"})
_FIRST = "#", "/", "{", " ", "\t", "\v", "\f", "\r", "\n", "\x85", "\xa0"


class Syntax(NamedTuple):
    """What names the frontend that reads the file.

    Attributes:
        image: The image, as written.
        line: Its line.
        text: The whole directive.
    """

    image: str
    line: int
    text: str


class Directives(NamedTuple):
    """What the directives of a file say, but for the escape character.

    Attributes:
        syntax: What names the frontend, if anything does.
        check: The options of the linter; "" if there are none.
        check_line: The line on which they stand.
    """

    syntax: Syntax | None = None
    check: str = ""
    check_line: int = 0


_NONE = Directives()


def read_directives(text: str, lines: list[str]) -> Directives:
    """Read the directives at the head of a file.

    A `#!` line is skipped for `syntax` and `check`, but ends the search for `escape`; white space
    before the `#` is the other way round. That is how it is: BuildKit looks twice.

    Args:
        text: The file, without its byte order mark.
        lines: Its lines, without their ends.
    """
    if not text.startswith(_FIRST):
        return _NONE
    start = 1 if text.startswith("#!") else 0
    found = _run_of(lines, start, "#")
    check_line, check = found.get("check", (0, ""))
    check = check.partition(" ")[0]
    if "syntax" not in found:
        return Directives(_other_syntax(lines, start), check, check_line)
    line, value = found["syntax"]
    shown = short(lines[line - 1].strip(SPACE))
    return Directives(Syntax(value.partition(" ")[0], line, shown), check, check_line)


def _run_of(lines: list[str], start: int, comment: str) -> dict[str, tuple[int, str]]:
    """The unbroken run of directives after a comment sign; up to the first that is doubled."""
    found: dict[str, tuple[int, str]] = {}
    for number in range(start, len(lines)):
        name, value = _directive(lines[number].removesuffix("\r"), comment)
        if name is None or name in found:
            break
        found[name] = number + 1, value
    return found


def _directive(line: str, comment: str) -> tuple[str | None, str]:
    if not line.startswith(comment):
        return None, ""
    match = _DIRECTIVE(line.removeprefix(comment).lstrip(SPACE))
    if match is None or not match[2]:
        return None, ""
    name = match[1].lower()
    # Where there is nothing but blanks behind the sign, the last of them is the value.
    return (name, match[2].strip(_BLANKS) or match[2][-1]) if name in _NAMES else (None, "")


def read_escape(lines: list[str]) -> str:
    """The escape character of a file.

    Raises:
        InvalidBuildFile: For what BuildKit refuses.
    """
    escape = "\\"
    if not lines[0].lstrip(SPACE).startswith("#"):
        return escape
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        name, value = _directive(line.rstrip("\r\n").lstrip(SPACE), "#")
        if name is None:
            break
        if name in seen:
            raise InvalidBuildFile(number, f"only one {name} parser directive can be used")
        seen.add(name)
        if name == "escape":
            if value not in ("\\", "`"):
                raise InvalidBuildFile(
                    number, f"invalid escape token '{value}' does not match ` or \\"
                )
            escape = value
    return escape


def check_options(text: str) -> None:
    """See whether the linter takes its options.

    Raises:
        ValueError: With what BuildKit refuses.
    """
    options = text.strip(SPACE)
    for option in options.split(";", 2) if options else ():
        name, equals, setting = option.partition("=")
        if not equals or name.strip(SPACE) not in _CHECK_OPTIONS:
            wrong = name.strip(SPACE) if equals else option
            raise ValueError(f"invalid check option {quoted(wrong)}")
        if name.strip(SPACE) == "error" and boolean(setting.strip(SPACE)) is None:
            raise ValueError(f"failed to parse check option {quoted(option)}")


def _other_syntax(lines: list[str], start: int) -> Syntax | None:
    """The frontend of a file in another language: `// syntax=IMAGE` or `{"syntax": "IMAGE"}`."""
    if start < len(lines) and lines[start].startswith("//"):
        found = _run_of(lines, start, "//").get("syntax")
        if found is not None:
            line, value = found
            return Syntax(value.partition(" ")[0], line, short(lines[line - 1].strip(SPACE)))
    for number in range(start, len(lines)):
        head = lines[number].lstrip("\t\r ")
        if head:
            break
    else:
        return None
    if head[0] != "{":
        return None
    try:
        document = json.loads("\n".join(lines[start:]), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    image = document.get("syntax") if isinstance(document, dict) else None
    if not isinstance(image, str):
        return None
    return Syntax(image, start + 1, short(f'"syntax": {quoted(image)}'))


def _refuse_constant(text: str) -> None:
    raise ValueError(text)
