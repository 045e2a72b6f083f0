"""Tell why a run failed, from the end of its log.

A cause that cannot heal by itself ends all attempts, so a line counts only where docker, BuildKit
or ACR's agent would have written it: what a build prints itself proves nothing. What fits nothing
is not known.

Sources: Azure/acr-builder (builder, scan), moby/buildkit, and the logs of public issues that stand
in tests/unit/run_logs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from itertools import islice, takewhile

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.failures.causes import (
    BaseDenied,
    BaseMissing,
    BuildFailed,
    Cause,
    DiskFull,
    Killed,
    NotKnown,
    PushDenied,
    PushLocked,
    PushOverQuota,
    RateLimited,
    RegistryClosed,
    RegistryUnavailable,
    SignInDenied,
    SourceDenied,
    SourceMissing,
    SourceUnavailable,
    SourceUnfetched,
    TimeOver,
)
from rebuilder.core.failures.run_logs import lines, shown
from rebuilder.errors import InvalidReference

BREAKS_OFF = "its log breaks off"
"""What a log says that was not written to its end."""

_LAST = 12  # lines before the end in which docker tells why it failed
_BEFORE = 30  # lines in which a build tells that its disk is full

_STAMP = re.compile(r"^(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ?)?(?:#\d+ (?:\d+\.\d+ )?)?")
_STEP_FAILED = re.compile(r"^(?:Error: )?failed to run step ID: (\S+): (.*)")
_RUN_FAILED = re.compile(r"^Run ID: \S+ (?:failed|was) .*?(?:Error: (.*))?$")
_CONTAINER_FAILED = re.compile(r"^Container failed during run: ")
_CHATTER = re.compile(
    r"^(?:Launching container with name|Executing step ID|Step ID: |-{3,}$|> "
    r"|failed during run, err: )"
)

# A command of several lines ends on a line of its own.
_COMMAND = re.compile(r"^(?:The command '(.*)|.*)' returned a non-zero code: (\d+)$")
_PROCESS = re.compile(
    r"(?:process \"(.*)\" did not complete successfully|executor failed running \[(.*)\]):"
    r" (?:exit code: (\d+)|(.*))"
)
_FROM = re.compile(r"(?i)^step \d+(?:/\d+)? ?: FROM (?:--\S+ )?(\S+)")
_CLASSIC_STEP = re.compile(r"(?i)step \d+(?:/\d+)? ?: | ---> ")
_METADATA = re.compile(r"load metadata for (\S+?):?$")
_PUSHING = re.compile(r"^Pushing image: (\S+?)(?:,|$)")
_BUILDKIT_PUSH = re.compile(r"failed to push (\S+): ")
_NO_SPACE = re.compile(r"(?i)no space left on device|not enough space on the disk")

_URL_HOST = re.compile(r"https?://([\w.-]+(?::\d+)?)/(?:v2|oauth2|token)")
_HUB = re.compile(r"docker\.com/increase-rate-limit|auth\.docker\.io|registry-1\.docker\.io")

_RATE = re.compile(r"(?i)too ?many ?requests|pull rate limit|HTTP 429|\b429\b.{0,40}request")
_CLOSED = re.compile(r"(?i)client with IP .{1,80} is not allowed access|aka\.ms/acr/firewall")
_MISSING = re.compile(
    r"(?i)manifest unknown|MANIFEST_UNKNOWN|NAME_UNKNOWN|name unknown|manifest for \S+ not found"
    r"|manifest tagged by .{1,200} is not found|failed to resolve source metadata for .* not found"
    r"|no matching manifest for |no match for platform in manifest"
)
_DENIED = re.compile(
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
_UNREACHABLE = re.compile(
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
_CONTEXT = re.compile(r"(?i)failed to download context")
_GETS_CONTEXT = re.compile(
    r"unable to git clone|unable to download remote context|failed to pull artifact from registry"
    r"|failed to untar context"
)
_LOGIN = re.compile(r"failed to login, ran out of retries")
_LOGGING_IN = re.compile(r"^Logging in to registry: (\S+)")
_EXCHANGE = re.compile(r"failed to get ACR refresh token, exchange API response code: (\d+)")
_NO_CREDENTIAL = re.compile(r"when specifying push, at least one credential is required")

_PUBLIC = frozenset({"mcr.microsoft.com"})
"""Registries that anybody may pull everything from."""

_AFTER = re.compile(
    r"(?i)retry[- ]?after[:=]?\s*((?:\d+(?:\.\d+)?\s*(?:[a-zµμ]+)?\s*)+)"
    r"|(?:try again|retry|wait)(?: in| for)?\s+((?:\d+(?:\.\d+)?\s*(?:[a-zµμ]+)\s*)+)"
)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zµμ]*)", re.IGNORECASE)
_UNITS = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "ms": 1e-3, "mil": 1e-3}
_UNITS |= {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def classify(
    log: str, status: RunStatus, error: str | None = None, bases: Collection[str] = ()
) -> Cause:
    """Tell why a run failed.

    Args:
        log: The end of its log; "" if it could not be read.
        status: How it ended.
        error: What ACR says of it.
        bases: What it was to be built on: references with digests.
    """
    return _Log(log, error, bases).cause(status)


class _Log:
    """The end of one log, with what is known of the run."""

    def __init__(self, log: str, error: str | None, bases: Collection[str]) -> None:
        told = f"{log}\n{error or ''}"
        self._lines = [text for line in lines(told) if (text := _STAMP.sub("", line, count=1))]
        self._bases = frozenset(base.rpartition("@")[0] for base in bases)
        # What ACR says of the run as a whole.
        runs = (match[1] for line in self._lines if (match := _RUN_FAILED.match(line)))
        self._verdicts = [text for text in (*runs, error) if text]
        # What is cut off may be a build's own words, with nothing to tell how it goes on.
        self._whole = not log or any(map(_RUN_FAILED.match, self._lines))
        self._step, self._said = "", ""
        at = len(self._lines)
        for number, line in enumerate(self._lines):
            if match := _STEP_FAILED.match(line):
                self._step, self._said, at = match[1], match[2], number
        self._segment = self._of_step(self._lines[:at])

    def _of_step(self, before: Sequence[str]) -> list[str]:
        """Return what the failed step printed; everything, if its beginning is not there."""
        begins = f"Executing step ID: {self._step}."
        starts = [n for n, line in enumerate(before) if self._step and line.startswith(begins)]
        return list(before[starts[-1] :]) if starts else list(before)

    def _last(self, most: int = _LAST) -> list[str]:
        """Return the last lines of the failed step, the very last one first."""
        told = (
            line
            for line in reversed(self._segment)
            if not (
                _CHATTER.match(line) or _CONTAINER_FAILED.match(line) or _RUN_FAILED.match(line)
            )
        )
        return list(islice(told, most))

    def cause(self, status: RunStatus) -> Cause:
        if status is RunStatus.TIMEOUT:
            return TimeOver(self._shown(self._last(1)))
        if not self._whole and not self._step:
            return NotKnown("", BREAKS_OFF)
        for look in (
            self._source,
            self._before_steps,
            self._time,
            self._instruction,
            self._killed,
            self._push,
            self._docker,
            self._disk,
        ):
            if found := look():
                return found
        last = self._last()
        if self._step:
            line = next(filter(_is_error, last), last[0] if last else self._said)
            return BuildFailed(shown(line), shown(self._step))
        return NotKnown(self._shown(last))

    def _shown(self, found: Sequence[str]) -> str:
        return shown(found[0]) if found else ""

    def _source(self) -> Cause | None:
        """Judge a context that could not be had: the task's own, or that of a step."""
        told = [*self._last(), self._said]
        own = [line for line in self._verdicts if _CONTEXT.search(line)]
        scanned = self._said.startswith("failed to scan dependencies")
        if own or (scanned and any(_GETS_CONTEXT.search(line) for line in told)):
            found = next(filter(None, map(_source_rule, told)), None)
            return found or SourceUnfetched(self._shown(own or told))
        # A Dockerfile that is missing, say, or that ACR's scanner cannot read.
        return BuildFailed(self._shown(told), shown(self._step)) if scanned else None

    def _before_steps(self) -> Cause | None:
        """Judge a run that signed in nowhere, and so built nothing."""
        for number, line in reversed(list(enumerate(self._lines))):
            if _NO_CREDENTIAL.search(line):
                return SignInDenied(shown(line))
            if _LOGIN.search(line):
                host = self._signed_in_to(number)
                if _CLOSED.search(line):
                    return RegistryClosed(shown(line), host)
                if _RATE.search(line):
                    return RateLimited(shown(line), host, _asked(line))
                # Docker tells that it is refused as "unauthorized" or "denied".
                if _DENIED.search(line):
                    return SignInDenied(shown(line), host)
                return RegistryUnavailable(shown(line), host) if _UNREACHABLE.search(line) else None
            if match := _EXCHANGE.search(line):
                denied = match[1] in ("401", "403")
                return SignInDenied(shown(line)) if denied else RegistryUnavailable(shown(line))
            if _STEP_FAILED.match(line):
                return None
        return None

    def _signed_in_to(self, until: int) -> str:
        matches = (_LOGGING_IN.match(line) for line in reversed(self._lines[:until]))
        return next((shown(match[1]) for match in matches if match), "")

    def _time(self) -> Cause | None:
        if re.search(
            r"timed out(?: after [\d.]+ seconds)?$|context deadline exceeded$", self._said
        ):
            return TimeOver(shown(self._said), shown(self._step))
        return None

    def _instruction(self) -> Cause | None:
        """Judge a RUN that failed: whatever it printed, it ended so itself."""
        told = self._last()
        for number, line in enumerate(told):
            if match := _COMMAND.match(line):
                step, code, rest = match[1], match[2], ""
            elif match := _PROCESS.search(line):
                step, code, rest = match[1] or match[2], match[3], match[4] or ""
            else:
                continue
            before = told[number + 1 :]
            if code == "137" or "cannot allocate memory" in rest or "signal: killed" in rest:
                return Killed(shown(line))
            if full := [text for text in self._last(_BEFORE) if _NO_SPACE.search(text)]:
                return DiskFull(shown(full[0]))
            if before and re.search(r"signal: killed|^Killed$", before[0]):
                return Killed(shown(before[0]))
            last = next(filter(_is_error, before), line)
            name = f"RUN {_without_shell(step)}" if step else "a RUN"
            return BuildFailed(shown(last), shown(name, 120))
        return None

    def _killed(self) -> Cause | None:
        if re.search(r"exit status 137$|signal: killed$", self._said):
            return Killed(shown(self._said))
        return None

    def _push(self) -> Cause | None:
        """Judge what docker printed after the agent began to push."""
        if self._step and not self._said.startswith("failed to push"):
            return None
        image, told = "", []
        for number, line in enumerate(self._segment):
            if match := _PUSHING.match(line):
                image, told = match[1], self._segment[number + 1 :]
            elif line.startswith("Successfully pushed image"):
                image, told = "", []
        if not image:
            return None
        for line in reversed(told[-_LAST:]):
            if found := _push_rule(line, shown(image), self._host(line, image)):
                return found
        return NotKnown(self._shown(told[::-1]), f"{shown(image)} was not pushed")

    def _docker(self) -> Cause | None:
        """Judge an image that docker could not pull, for a build or a command, or not push."""
        builds = any(
            line.startswith(("Scanning for dependencies", "Launching build"))
            or _CLASSIC_STEP.match(line)
            or "[internal]" in line
            for line in self._segment
        )
        starts = self._said.endswith("exit status 125")
        if self._step and not builds and not starts:
            return None  # what a command printed before it failed is its own affair
        for line in self._docker_said(builds=builds):
            if match := _BUILDKIT_PUSH.search(line):
                image = match[1]
                found = _push_rule(line, shown(image), self._host(line, image))
            else:
                image = self._image(line)
                found = _pull_rule(line, image, self._host(line, image), self._bases)
            if found:
                return found
        return None

    def _docker_said(self, *, builds: bool) -> list[str]:
        """Return the lines that docker or BuildKit ended with, the very last one first."""
        told = self._last()
        if solved := [line for line in told if "failed to solve" in line]:
            return solved
        if not builds:
            return [line for line in told if "Error response from daemon: " in line]
        # The classic builder's last words; what stands above its last step is a RUN's own.
        return list(takewhile(lambda line: not _CLASSIC_STEP.match(line), told))[:3]

    def _image(self, line: str) -> str:
        """Return the image that a line is about; else the last one that was to be pulled."""
        for pattern in (
            r"manifest for (\S+) not found",
            r"pull access denied for ([^\s,]+)",
            r"failed to resolve source metadata for (\S+?):? ",
            r"failed to solve: (?=\S{1,300}[/:]\S)(\S{1,300}): ",
        ):
            if match := re.search(pattern, line):
                return match[1].rstrip(":")
        for before in reversed(self._segment):
            if match := _FROM.match(before) or _METADATA.search(before):
                return match[1]
        return ""

    def _host(self, line: str, image: str) -> str:
        if match := _URL_HOST.search(line):
            host = match[1]
            return "docker.io" if host.endswith("docker.io") else shown(host)
        if _HUB.search(line):
            return "docker.io"
        first, slash, _ = image.partition("/")
        named = slash and ("." in first or ":" in first)
        return shown(first) if named else "docker.io" if image else ""

    def _disk(self) -> Cause | None:
        full = [line for line in self._last(6) if _NO_SPACE.search(line)]
        return DiskFull(shown(full[0])) if full else None


def _named(image: str) -> str:
    """Return an image as the product names it: Docker Hub's have several names."""
    try:
        return str(ImageReference.parse(image))
    except InvalidReference:
        return image


def _pull_rule(line: str, image: str, host: str, bases: Collection[str]) -> Cause | None:
    name = shown(image or host)
    denied = _LOCKED.search(line) or (_DENIED.search(line) and host not in _PUBLIC)
    rules: tuple[tuple[object, Callable[[], Cause]], ...] = (
        (_RATE.search(line), lambda: RateLimited(shown(line), host, _asked(line))),
        (_CLOSED.search(line), lambda: RegistryClosed(shown(line), host)),
        (_NO_SPACE.search(line), lambda: DiskFull(shown(line))),
        (_MISSING.search(line), lambda: BaseMissing(shown(line), name, _named(image) in bases)),
        (denied, lambda: BaseDenied(shown(line), name)),
        # What a public registry refuses for once it gives again.
        (
            _UNREACHABLE.search(line) or _DENIED.search(line),
            lambda: RegistryUnavailable(shown(line), host),
        ),
    )
    return next((made() for found, made in rules if found), None)


def _push_rule(line: str, image: str, host: str) -> Cause | None:
    rules: tuple[tuple[re.Pattern[str], Callable[[], Cause]], ...] = (
        (_RATE, lambda: RateLimited(shown(line), host, _asked(line))),
        (_CLOSED, lambda: RegistryClosed(shown(line), host)),
        (_LOCKED, lambda: PushLocked(shown(line), image)),
        (_QUOTA, lambda: PushOverQuota(shown(line))),
        (_NO_SPACE, lambda: DiskFull(shown(line))),
        (_DENIED, lambda: PushDenied(shown(line), image)),
        (_UNREACHABLE, lambda: RegistryUnavailable(shown(line), host)),
    )
    return next((made() for pattern, made in rules if pattern.search(line)), None)


def _source_rule(line: str) -> Cause | None:
    if match := _ARTIFACT.search(line):
        said = match[1]
        if _DENIED.search(said):
            return SourceDenied(shown(line))
        if re.search(r"(?i)not found|unknown", said):
            return SourceMissing(shown(line))
        return SourceUnavailable(shown(line)) if _UNREACHABLE.search(said) else None
    if match := _GIT_DENIED.search(line):
        return SourceDenied(shown(line), _address(match))
    if match := _GIT_MISSING.search(line):
        return SourceMissing(shown(line), _address(match))
    return SourceUnavailable(shown(line)) if _GIT_OFFLINE.search(line) else None


def _address(match: re.Match[str]) -> str:
    """Return what a line names, without user, password and query."""
    found = next(filter(None, match.groups()), "")
    return shown(found.partition("?")[0].rstrip("/"))


def _asked(line: str) -> int | None:
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


def _is_error(line: str) -> bool:
    return bool(re.search(r"(?i)error|fatal|fail|cannot|denied|not found|exception|panic", line))


def _without_shell(command: str) -> str:
    return re.sub(r"^(?:/bin/(?:ba)?sh -c |cmd /S /C |powershell -Command )", "", command)
