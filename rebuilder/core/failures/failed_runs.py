"""Tell why a run failed, from the end of its log.

A cause that cannot heal by itself ends all attempts, so a line counts only where docker, BuildKit
or ACR's agent would have written it: what a build prints itself proves nothing. What fits nothing
is not known.

Sources: Azure/acr-builder (builder, scan), moby/buildkit, and the logs of public issues that stand
in tests/unit/run_logs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import islice, takewhile

from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.failures._rules import (
    _UNITS,
    CLOSED,
    DENIED,
    NO_SPACE,
    RATE,
    UNREACHABLE,
    asked,
    pull_rule,
    push_rule,
    source_rule,
)
from rebuilder.core.failures.builds import BuildFailed, DiskFull, Killed, NotKnown, TimeOver
from rebuilder.core.failures.cause import Cause
from rebuilder.core.failures.contexts import SourceUnfetched
from rebuilder.core.failures.pulls import (
    RateLimited,
    RegistryClosed,
    RegistryUnavailable,
    SignInDenied,
)
from rebuilder.core.failures.run_logs import lines, shown

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
_URL_HOST = re.compile(r"https?://([\w.-]+(?::\d+)?)/(?:v2|oauth2|token)")
_HUB = re.compile(r"docker\.com/increase-rate-limit|auth\.docker\.io|registry-1\.docker\.io")

_CONTEXT = re.compile(r"(?i)failed to download context")
_GETS_CONTEXT = re.compile(
    r"unable to git clone|unable to download remote context|failed to pull artifact from registry"
    r"|failed to untar context"
)
_LOGIN = re.compile(r"failed to login, ran out of retries")
_LOGGING_IN = re.compile(r"^Logging in to registry: (\S+)")
_EXCHANGE = re.compile(r"failed to get ACR refresh token, exchange API response code: (\d+)")
_NO_CREDENTIAL = re.compile(r"when specifying push, at least one credential is required")

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
            found = next(filter(None, map(source_rule, told)), None)
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
                if CLOSED.search(line):
                    return RegistryClosed(shown(line), host)
                if RATE.search(line):
                    return RateLimited(shown(line), host, asked(line))
                # Docker tells that it is refused as "unauthorized" or "denied".
                if DENIED.search(line):
                    return SignInDenied(shown(line), host)
                return RegistryUnavailable(shown(line), host) if UNREACHABLE.search(line) else None
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
            if full := [text for text in self._last(_BEFORE) if NO_SPACE.search(text)]:
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
            if found := push_rule(line, shown(image), self._host(line, image)):
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
                found = push_rule(line, shown(image), self._host(line, image))
            else:
                image = self._image(line)
                found = pull_rule(line, image, self._host(line, image), self._bases)
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
        full = [line for line in self._last(6) if NO_SPACE.search(line)]
        return DiskFull(shown(full[0])) if full else None


def _is_error(line: str) -> bool:
    return bool(re.search(r"(?i)error|fatal|fail|cannot|denied|not found|exception|panic", line))


def _without_shell(command: str) -> str:
    return re.sub(r"^(?:/bin/(?:ba)?sh -c |cmd /S /C |powershell -Command )", "", command)
