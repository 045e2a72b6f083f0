"""The log of a run, made fit to be read and kept: bounded, escaped, without secrets.

Whoever may write a Dockerfile writes the log, too, and whatever a build is given may stand in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rebuilder.core.shown import escaped

KEPT_BYTES = 4096
"""How much of a log's end is kept."""

_LINE = 500  # characters of a line that are kept
_WIDE = 2000  # characters of a line that is shown to somebody who reads the log
_READ = 4000  # characters of a line that are looked at
_SHOWN = 300  # characters of a line that is quoted in a sentence

# Colours and other orders to a terminal; source: ECMA-48, 5.4 and 5.6.
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,500}|[@-Z\\^_])")

# What docker prints of each layer, again and again.
_PROGRESS = re.compile(
    r"[0-9a-f]{12}: (?:Preparing|Waiting|Layer already exists|Pushing|Pushed|Mounted from|"
    r"Pulling fs layer|Verifying Checksum|Download|Extracting|Pull complete|Already exists|"
    r"Retrying in)|#\d+ (?:sha256:[0-9a-f]{64} |\.\.\.$|extracting |DONE |CACHED)"
)

_HIDDEN = "***"

_NAMES = (
    r"token|secret|passw(?:or)?d|passwd|pwd|passphrase|api[_-]?key|access[_-]?key|"
    r"account[_-]?key|private[_-]?key|signature|credentials?|_auth"
)

_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"(?i)\b((?:proxy-)?authorization|x-api-key|x-registry-auth|(?:set-)?cookie)"
            r"[\"']?\s{0,3}[:=].{1,4000}"
        ),
        rf"\1: {_HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {_HIDDEN}"),
    # User and password of an address; `name:tag@sha256:...` is an image.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^\s/?#]{1,1000}@"), rf"\1{_HIDDEN}@"),
    (
        re.compile(r"(?<![\w./-])[\w.+-]{1,64}:[^\s:@/]{1,200}@(?!sha(?:256|512):)(?=[\w-])"),
        f"{_HIDDEN}@",
    ),
    # A shared access signature is in force with all of its query, so `sig` alone is enough.
    (re.compile(r"(?i)([?&;\s\"']sig=|^sig=)[^\s\"'&;<>]{1,2000}"), rf"\1{_HIDDEN}"),
    (
        re.compile(
            rf"(?i)((?:{_NAMES})[\w.-]{{0,20}}[\"']?\s{{0,2}}=\s{{0,2}}[\"']?)[^\s\"'&;,<>]{{1,2000}}"
        ),
        rf"\1{_HIDDEN}",
    ),
    # Behind a colon there may be a sentence: "failed to fetch oauth token: unexpected status".
    (
        re.compile(
            rf"(?i)((?:{_NAMES})[\"']?\s{{0,2}}:\s{{0,2}}[\"']?)"
            r"(?=[^\s\"',]{0,200}\d|[^\s\"',]{20})[^\s\"',]{6,2000}"
        ),
        rf"\1{_HIDDEN}",
    ),
    (
        re.compile(
            r"(?i)(\"(?:password|passwd|token|secret|auth)\"\s{0,2}:\s{0,2}\")[^\"]{1,2000}"
        ),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(rf"(?i)(--?[\w-]{{0,30}}(?:{_NAMES})\s+)[^\s-]\S{{0,2000}}"), rf"\1{_HIDDEN}"),
    (re.compile(r"(?i)(\blogin\b.{0,200}?\s-p\s+)\S{1,2000}"), rf"\1{_HIDDEN}"),
    (
        re.compile(
            r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{15,}|xox[abprs]-[\w-]{10,}"
            r"|npm_\w{30,}|dckr_[po]at_[\w-]{15,}|pypi-[\w-]{20,}|sk-[\w-]{20,}|AIza[\w-]{30,}"
            r"|(?:AKIA|ASIA)[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"
        ),
        _HIDDEN,
    ),
)
"""What a secret looks like, and what is written in its place."""

_LONG = re.compile(r"[A-Za-z0-9+/_-]{32,}={0,2}")
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----")


def lines(log: str) -> list[str]:
    """Return a log's lines as they would stand on a screen, without those of mere progress."""
    return [line for line in map(_on_screen, log.split("\n")) if line and not _PROGRESS.match(line)]


def end(log: str) -> str:
    """Return the end of a log for the record: the last lines, KEPT_BYTES of UTF-8 at most."""
    kept: list[str] = []
    left = KEPT_BYTES
    for line in reversed(list(_without_keys(lines(log)))):
        text = shown(line, _LINE)
        left -= len(text.encode()) + 1
        if left < 0:
            break
        kept.append(text)
    return "\n".join(reversed(kept))


class Screen:
    """A log as people may see it, part by part: each line escaped, cut, without secrets.

    Attributes:
        hides: Whether it is in the middle of a private key, of which nothing is shown.
    """

    def __init__(self, *, hides: bool = False) -> None:
        self.hides = hides

    def lines(self, text: str) -> list[str]:
        """Return the lines of a part that is made of whole lines."""
        found: list[str] = []
        parts = text.split("\n")
        if not parts[-1]:
            parts.pop()
        for line in map(_on_screen, parts):
            if _KEY_BEGINS.search(line):
                self.hides = True
                found.append(f"{_HIDDEN} (a private key)")
            if not self.hides:
                found.append(shown(line, _WIDE))
            if _KEY_ENDS.search(line):
                self.hides = False
        return found


def shown(text: str, most: int = _SHOWN) -> str:
    """Return a line that can be shown and kept: escaped, without secrets, cut to a length."""
    safe = escaped(masked(text[:_READ]).replace("\t", " "))
    return safe if len(safe) <= most else f"{safe[: most - 3]}..."


def masked(text: str) -> str:
    """Return a line with `***` in the place of what looks like a secret.

    That is: headers that authorize, user and password in an address, signatures of shared access
    signatures, values of what is named like a password, tokens by their form, and long strings
    that look random. Digests and commits are none: those are hexadecimal.
    """
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return _LONG.sub(_random, text)


def _random(match: re.Match[str]) -> str:
    text = match[0]
    if "/" in text and not text.endswith("="):
        return text  # a path, more likely than a key
    digits = any(c.isdigit() for c in text)
    upper, lower = any(c.isupper() for c in text), any(c.islower() for c in text)
    # The older tokens of Azure Repos have 52 small letters and digits.
    beyond_hex = any("g" <= c <= "z" for c in text) and "-" not in text and "_" not in text
    if digits and lower and (upper or (beyond_hex and len(text) >= 40)):  # noqa: PLR2004 - see above
        return _HIDDEN
    return text


def _on_screen(line: str) -> str:
    """Return what stays of a line: what a carriage return overwrote is gone, colours are, too."""
    parts = [part for part in line.split("\r") if part]
    return _TERMINAL.sub("", parts[-1][:_READ]).rstrip() if parts else ""


def _without_keys(found: Iterable[str]) -> Iterator[str]:
    """Leave out private keys, which go over several lines."""
    inside = False
    for line in found:
        if _KEY_BEGINS.search(line):
            inside = True
            yield f"{_HIDDEN} (a private key)"
        if not inside:
            yield line
        if _KEY_ENDS.search(line):
            inside = False
