"""Sources of ADD and COPY that are no files: git repositories and web addresses.

Source of the rules: BuildKit, `dfgitutil/git_ref.go`, `util/gitutil/git_url.go`,
`util/sshutil/scpurl.go`; of addresses: Go's net/url.
"""

from __future__ import annotations

import re
from copy import replace

from msgspec import Struct

from rebuilder.core.dockerfile._text import boolean, cleaned, quoted

_PROTOCOL = re.compile("([a-zA-Z0-9]+)://")
_PROTOCOLS = frozenset({"http", "https", "ssh", "git"})
_SCP = re.compile(r"([a-zA-Z0-9_-]+)@([a-zA-Z0-9.-]+):(.*?)(?:\?(.*?))?(?:#(.*))?")
_BARE_GITHUB = "github.com/"
_WEB = "http://", "https://"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
# What Go takes for part of a host; of escapes, only those of bytes beyond ASCII.
_HOST = re.compile(
    r"(?:[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"\x80-\U0010ffff]|%25|%[89A-Fa-f][0-9A-Fa-f])*"
)
_PORT = re.compile(r"(?::[0-9]*)?")

_REFS = {"tag": "refs/tags/", "branch": "refs/heads/"}
_SWITCHES = frozenset({"submodules", "keep-git-dir", "fetch-by-commit"})


class GitSource(Struct, frozen=True):
    """A git repository.

    Attributes:
        checksum: The commit that it must be; "" if any will do.
        keeps: Whether the folder `.git` is kept, if the address says so.
        local: Whether it is copied as a file of that name all the same.
    """

    checksum: str = ""
    keeps: bool | None = None
    local: bool = False


def may_be_remote(word: str) -> bool:
    """Whether a word, whatever its variables are, may be more than a path."""
    # Every kind of address has a colon before its first slash, but for one.
    head = word.partition("/")[0]
    return "$" in head or ":" in head or "github.com" in head


def is_web(source: str) -> bool:
    """Whether a source that is no git repository is fetched from the web."""
    return source.startswith(_WEB)


def git_source(source: str, *, queries: bool = True) -> GitSource | None:
    """A source as a git repository; None if it is none.

    Args:
        source: The source.
        queries: Whether its query is looked at.

    Raises:
        ValueError: With what BuildKit refuses of its query.
    """
    if not queries:
        source = re.sub(r"\?[^#]*", "", source)
    if source.startswith(("./", "../")):
        return None
    if source.startswith(_WEB) and ".git" not in source and "%" not in source:
        return None
    protocol = _PROTOCOL.match(source)
    if source.startswith(_BARE_GITHUB):
        address = _parse(source, scheme="")
        if address is None:
            return None
        return replace(_read(_pairs(address.query)[0], address.fragment), local=True)
    if protocol is None:
        match = _SCP.fullmatch(source)
        if match is None or "\n" in source:
            return None
        pairs, whole = _pairs(match[4] or "")
        return _read(pairs, match[5] or "") if whole else None
    scheme = protocol[1].lower()
    if scheme not in _PROTOCOLS:
        return None
    address = _parse(source[protocol.end() - 2 :], scheme)
    if address is None or (scheme in ("http", "https") and not address.path.endswith(".git")):
        return None
    return _read(_pairs(address.query)[0], address.fragment)


class _Address(Struct, frozen=True):
    path: str
    query: str
    fragment: str


def _parse(text: str, scheme: str) -> _Address | None:
    """An address after its scheme; None if Go refuses it."""
    if _CONTROL.search(text):
        return None
    text, _, fragment = text.partition("#")
    text, _, query = text.partition("?")
    if scheme:
        authority, slash, path = text[2:].partition("/")
        if not _right_authority(authority):
            return None
        path = slash + path
    else:
        path = text
    if _BAD_ESCAPE.search(path) or _BAD_ESCAPE.search(fragment):
        return None
    return _Address(_unescape(path), query, _unescape(fragment))


def _right_authority(authority: str) -> bool:
    user, at, host = authority.rpartition("@")
    if at and (not _USER.fullmatch(user) or _BAD_ESCAPE.search(user)):
        return False
    if host.startswith("["):
        end = host.rfind("]")
        if end < 0 or not _PORT.fullmatch(host, end + 1):
            return False
    else:
        colon = host.rfind(":")
        if colon >= 0 and not _PORT.fullmatch(host, colon):
            return False
    return _HOST.fullmatch(host) is not None


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    # Bytes that make no text stay apart from each other all the same.
    parts = _ESCAPE.split(text)
    raw = b"".join(
        bytes([int(part, 16)]) if number % 2 else part.encode() for number, part in enumerate(parts)
    )
    return raw.decode(errors="backslashreplace")


def _pairs(query: str) -> tuple[dict[str, list[str]], bool]:
    """The pairs of a query, and whether Go could read all of it."""
    found: dict[str, list[str]] = {}
    whole = True
    for part in query.split("&"):
        if not part:
            continue
        if ";" in part or _BAD_ESCAPE.search(part):
            whole = False
            continue
        key, _, value = part.partition("=")
        key, value = (_unescape(text.replace("+", " ")) for text in (key, value))
        found.setdefault(key, []).append(value)
    return found, whole


def _read(query: dict[str, list[str]], fragment: str) -> GitSource:
    """What a query and a fragment say.

    Raises:
        ValueError: With what BuildKit refuses.
    """
    ref, _, folder = fragment.partition(":")
    folder = cleaned(folder)[1:]
    values = {key: _single(key, given) for key, given in query.items()}
    for key, value in values.items():
        if key == "mtime" and value not in ("checkout", "commit"):
            raise ValueError(
                f'invalid mtime value: {quoted(value)} (must be "checkout" or "commit")'
            )
        if key in _SWITCHES and value and boolean(value) is None:
            raise ValueError(f"invalid {key} value: {quoted(value)}")
    if "subdir" in values and folder not in ("", values["subdir"]):
        raise ValueError(f"subdir conflicts: {quoted(folder)} vs {quoted(values['subdir'])}")
    _read_ref(values, ref)
    keeps = None
    if "keep-git-dir" in values:
        keeps = boolean(values["keep-git-dir"] or "true")
    return GitSource(values.get("checksum", "") or values.get("commit", ""), keeps)


def _single(key: str, given: list[str]) -> str:
    if len(given) > 1:
        raise ValueError(f"query {quoted(key)} has multiple values")
    if not given[0] and key not in _SWITCHES:
        raise ValueError(f"query {quoted(key)} has no value")
    if key not in _SWITCHES | {"ref", "tag", "branch", "subdir", "checksum", "commit", "mtime"}:
        raise ValueError(f"unexpected query {quoted(key)}")
    return given[0]


def _read_ref(values: dict[str, str], ref: str) -> None:
    if "tag" in values and "branch" in values:
        raise ValueError("branch conflicts with tag")
    for key in ("ref", "tag", "branch"):
        if key not in values:
            continue
        prefix = _REFS.get(key, "")
        named = values[key] if values[key].startswith(prefix) else prefix + values[key]
        if ref and ref != named:
            raise ValueError(f"ref conflicts: {quoted(ref)} vs {quoted(named)}")
        ref = named
