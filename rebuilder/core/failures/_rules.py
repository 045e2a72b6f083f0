"""What lines of a log tell of pulls, pushes and sources that were refused, or not answered."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.failures.builds import DiskFull
from rebuilder.core.failures.cause import Cause
from rebuilder.core.failures.contexts import SourceDenied, SourceMissing, SourceUnavailable
from rebuilder.core.failures.pulls import (
    BaseDenied,
    BaseMissing,
    RateLimited,
    RegistryClosed,
    RegistryUnavailable,
)
from rebuilder.core.failures.pushes import PushDenied, PushLocked, PushOverQuota
from rebuilder.core.failures.run_logs import shown
from rebuilder.errors import InvalidReference

NO_SPACE = re.compile(r"(?i)no space left on device|not enough space on the disk")
RATE = re.compile(r"(?i)too ?many ?requests|pull rate limit|HTTP 429|\b429\b.{0,40}request")
CLOSED = re.compile(r"(?i)client with IP .{1,80} is not allowed access|aka\.ms/acr/firewall")

_MISSING = re.compile(
    r"(?i)manifest unknown|MANIFEST_UNKNOWN|NAME_UNKNOWN|name unknown|manifest for \S+ not found"
    r"|manifest tagged by .{1,200} is not found|failed to resolve source metadata for .* not found"
    r"|no matching manifest for |no match for platform in manifest"
)

DENIED = re.compile(
    r"(?i)unauthorized|authentication required|pull access denied|insufficient_scope"
    r"|access forbidden|\b40[13]\b.{0,3}(?:unauthorized|forbidden)|authorization failed"
    r"|requested access to the resource is denied|: denied: |^denied: |no basic auth credentials"
)

_LOCKED = re.compile(
    r"(?i)the operation is disallowed|REGISTRY_DISALLOWED_OPERATION|is immutable|tag is locked"
)

_QUOTA = re.compile(
    r"(?i)(?:quota|storage limit|size limit|storage usage)\b.{0,120}\b(?:exceed|reach|over)"
    r"|\bexceed\w*\b.{0,120}\b(?:quota|storage limit|size limit|upper limit)"
)

UNREACHABLE = re.compile(
    r"(?i)Client\.Timeout|TLS handshake timeout|i/o timeout|connection (?:refused|reset)"
    r"|unexpected EOF|: EOF$|no such host|server misbehaving|temporary failure in name resolution"
    r"|\b50[0234]\b|internal server error|service unavailable|bad gateway|gateway time-?out"
    r"|request canceled|context deadline exceeded|connection timed out|unexpected HTTP status"
)

_GIT_DENIED = re.compile(
    r"Authentication failed for '([^']*)'|could not read (?:Username|Password) for '([^']*)'"
    r"|unable to access '([^']*)': The requested URL returned error: 40[13]"
    r"|(?i:HTTP Basic: Access denied|Permission denied \(publickey\)|TF401019|TF400813)"
    r"|(?i:remote: (?:Invalid username or|Support for password authentication was removed))"
    r"|failed to GET (\S+) with status 40[13]|terminal prompts disabled"
)

_GIT_MISSING = re.compile(
    r"repository '([^']*)' not found|couldn't find remote ref (\S+)"
    r"|pathspec '([^']*)' did not match|Remote branch (\S+) not found"
    r"|unable to access '([^']*)': The requested URL returned error: 404"
    r"|failed to GET (\S+) with status 4(?:04|10)|error setting git context, (.{1,200})"
    r"|(?i:remote: Repository not found|does not appear to be a git repository)"
)

_GIT_OFFLINE = re.compile(
    r"(?i)could not resolve host|failed to connect to|connection (?:timed out|refused|reset)"
    r"|returned error: 5\d\d|with status 5\d\d|RPC failed|early EOF|unexpected disconnect"
    r"|operation timed out|TLS handshake timeout|i/o timeout"
)

_ARTIFACT = re.compile(r"failed to pull artifact from registry: (.*)")
_PUBLIC = frozenset({"mcr.microsoft.com"})
"""Registries that anybody may pull everything from."""

_AFTER = re.compile(
    r"(?i)retry[- ]?after[:=]?\s*((?:\d+(?:\.\d+)?\s*(?:[a-zµμ]+)?\s*)+)"
    r"|(?:try again|retry|wait)(?: in| for)?\s+((?:\d+(?:\.\d+)?\s*(?:[a-zµμ]+)\s*)+)"
)

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zµμ]*)", re.IGNORECASE)
_UNITS = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "ms": 1e-3, "mil": 1e-3}


def _named(image: str) -> str:
    """Return an image as the product names it: Docker Hub's have several names."""
    try:
        return str(ImageReference.parse(image))
    except InvalidReference:
        return image


def pull_rule(line: str, image: str, host: str, bases: Collection[str]) -> Cause | None:
    name = shown(image or host)
    denied = _LOCKED.search(line) or (DENIED.search(line) and host not in _PUBLIC)
    rules: tuple[tuple[object, Callable[[], Cause]], ...] = (
        (RATE.search(line), lambda: RateLimited(shown(line), host, asked(line))),
        (CLOSED.search(line), lambda: RegistryClosed(shown(line), host)),
        (NO_SPACE.search(line), lambda: DiskFull(shown(line))),
        (_MISSING.search(line), lambda: BaseMissing(shown(line), name, _named(image) in bases)),
        (denied, lambda: BaseDenied(shown(line), name)),
        # What a public registry refuses for once it gives again.
        (
            UNREACHABLE.search(line) or DENIED.search(line),
            lambda: RegistryUnavailable(shown(line), host),
        ),
    )
    return next((made() for found, made in rules if found), None)


def push_rule(line: str, image: str, host: str) -> Cause | None:
    rules: tuple[tuple[re.Pattern[str], Callable[[], Cause]], ...] = (
        (RATE, lambda: RateLimited(shown(line), host, asked(line))),
        (CLOSED, lambda: RegistryClosed(shown(line), host)),
        (_LOCKED, lambda: PushLocked(shown(line), image)),
        (_QUOTA, lambda: PushOverQuota(shown(line))),
        (NO_SPACE, lambda: DiskFull(shown(line))),
        (DENIED, lambda: PushDenied(shown(line), image)),
        (UNREACHABLE, lambda: RegistryUnavailable(shown(line), host)),
    )
    return next((made() for pattern, made in rules if pattern.search(line)), None)


def source_rule(line: str) -> Cause | None:
    if match := _ARTIFACT.search(line):
        said = match[1]
        if DENIED.search(said):
            return SourceDenied(shown(line))
        if re.search(r"(?i)not found|unknown", said):
            return SourceMissing(shown(line))
        return SourceUnavailable(shown(line)) if UNREACHABLE.search(said) else None
    if match := _GIT_DENIED.search(line):
        return SourceDenied(shown(line), _address(match))
    if match := _GIT_MISSING.search(line):
        return SourceMissing(shown(line), _address(match))
    return SourceUnavailable(shown(line)) if _GIT_OFFLINE.search(line) else None


def _address(match: re.Match[str]) -> str:
    """Return what a line names, without user, password and query."""
    found = next(filter(None, match.groups()), "")
    return shown(found.partition("?")[0].rstrip("/"))


def asked(line: str) -> int | None:
    """Return how many seconds a registry asked to wait, rounded up; None if it did not say."""
    match = _AFTER.search(line)
    if match is None:
        return None
    seconds = 0.0
    for number, unit in _SPAN.findall(match[1] or match[2]):
        kind = unit.lower()
        known = next((k for k in ("ms", "mil") if kind.startswith(k)), kind[:1])
        if known not in _UNITS:
            break
        seconds += float(number) * _UNITS[known]
    return math.ceil(min(seconds, 1e9))
