"""The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?` and escapes, in linear time.

Source of the rules: BuildKit, `shell/lex.go`, which makes regular expressions of them; Go's
never backtrack. Here a `*` that is followed by something is an atomic group: the first place
where what follows fits is as good as any, so there is nothing to go back for.
"""

from __future__ import annotations

import re

MARK = "\ufeff"
"""The byte order mark, which Go's scanner skips at the beginning of any text."""

_ESCAPED = re.compile(r"\\.|.", re.DOTALL)
_TEMPLATE = re.compile(r"\$(?:\$|([A-Za-z0-9_]+)|\{([A-Za-z0-9_]+)\})")


class Pattern:
    """A pattern.

    Raises:
        ValueError: With the escape that is wrong.
    """

    __slots__ = ("_parts",)

    def __init__(self, text: str) -> None:
        # Regular expressions of what stands between the stars.
        self._parts = [""]
        at = 0
        text = text.removeprefix(MARK)
        while at < len(text):
            character = text[at]
            at += 1
            if character == "*":
                self._parts.append("")
            elif character == "?":
                self._parts[-1] += "."
            elif character == "\\":
                following = text[at : at + 1]
                if following in ("}", "/"):
                    continue  # the escape is the lexer's, not the pattern's
                if following not in ("*", "?", "\\"):
                    raise ValueError(f"invalid escape '\\{following}'")
                self._parts[-1] += re.escape(following)
                at += 1
            else:
                self._parts[-1] += re.escape(character)

    def without_prefix(self, value: str, *, longest: bool) -> str:
        """The value without the shortest or longest prefix that matches."""
        match = _anchored(self._parts, longest=longest).match(value)
        return value[match.end() :] if match else value

    def replaced(self, value: str, replacement: str, *, every: bool) -> str:
        """The value with the first match, or every match, replaced.

        For every match, `$name` in the replacement is a group of Go's regular expression; there
        is none but `$0`, the match.
        """
        expression = _anywhere(self._parts)
        result: list[str] = []
        at, copied, previous = 0, 0, -1
        while at <= len(value):
            match = _find(expression, value, at)
            if match is None:
                break
            start, end = match
            # Go's: an empty match right after a match does not count.
            counts = end > at or start != previous
            at = end + 1 if end == at else end
            previous = end
            if counts:
                text = _filled(replacement, value[start:end]) if every else replacement
                result += [value[copied:start], text]
                copied = end
                if not every:
                    break
        result.append(value[copied:])
        return "".join(result)


def turned_round(pattern: str) -> str:
    """A pattern that matches what is read from behind.

    A single escape at its end, which only another escape character than a backslash makes possible,
    escapes then what stood before it. That is how it is.
    """
    return "".join(reversed(_ESCAPED.findall(pattern)))


def _anchored(parts: list[str], *, longest: bool) -> re.Pattern[str]:
    if longest:
        return re.compile(parts[0] + _chain(parts[1:]))
    return re.compile(parts[0] + "".join(f"(?>.*?{part})" for part in parts[1:]))


def _chain(parts: list[str]) -> str:
    """After a star: each part as early as it fits, the last one as late as it fits."""
    if not parts:
        return ""
    return "".join(f"(?>.*?{part})" for part in parts[:-1]) + f".*{parts[-1]}"


def _anywhere(parts: list[str]) -> re.Pattern[str]:
    # If what follows the first place where the first part fits does not fit, it does not fit
    # after a later place of the same line either.
    return re.compile(f"(?>.*?({parts[0]}))" + _chain(parts[1:]))


def _find(expression: re.Pattern[str], value: str, at: int) -> tuple[int, int] | None:
    """The first match at or after a place; no match spans lines but by a literal line break."""
    while True:
        match = expression.match(value, at)
        if match:
            return match.start(1), match.end()
        line_break = value.find("\n", at)
        if line_break < 0:
            return None
        at = line_break + 1


def _filled(template: str, match: str) -> str:
    if "$" not in template:
        return template
    return _TEMPLATE.sub(lambda found: _group(found, match), template)


def _group(found: re.Match[str], match: str) -> str:
    name = found[1] or found[2]
    if name is None:
        return "$"
    return match if name.isdecimal() and int(name) == 0 else ""
