"""host.json, app settings, and what bindings refer to in them."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_REFERENCE = re.compile(r"%([^%]+)%")
_TIME = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,7})?)?")
_RECEIVE_LIMIT = 32
_LEAST_POLLING = timedelta(milliseconds=100)
_OVERRIDE = "AzureFunctionsJobHost__"
_BUNDLE = {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}
_STORAGE = "Storage"  # what a blank connection means


class HostError(Exception):
    """The host cannot run with what it was given."""


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """`extensions.queues` of host.json; the defaults are the extension's."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_polling_interval: timedelta = timedelta(minutes=1)
    max_dequeue_count: int = 5
    visibility_timeout: timedelta = timedelta()
    message_encoding: str = "base64"


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry policy, of one function or of the whole app.

    Attributes:
        most: How often a failed run is repeated; -1 for ever.
        delay: The pause before the first repetition.
        longest: Pauses double up to this; absent, they are all the same.
    """

    most: int
    delay: timedelta
    longest: timedelta | None = None

    def pause(self, repetition: int) -> timedelta:
        """Return the pause before a repetition; the first is 0."""
        if self.longest is None:
            return self.delay
        # Capped before it is multiplied: the default longest is 68 years.
        factor: int = 2 ** min(repetition, 20)
        return min(self.longest, self.delay * factor)


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What host.json says."""

    queues: QueueOptions
    route_prefix: str = "api"
    function_timeout: timedelta | None = timedelta(minutes=30)
    retry: Retry | None = None
    bundle: Mapping[str, Any] | None = None


def parse_time(text: str) -> timedelta:
    """Read a .NET TimeSpan: `[d.]hh:mm[:ss[.fffffff]]`.

    Raises:
        HostError: It is not one.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise HostError(f"{text!r} is not a time span hh:mm:ss")
    days, hours, minutes, seconds, fraction = match.groups()
    return timedelta(
        days=int(days or 0),
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds or 0) + float(fraction or 0),
    )


def read_host_json(folder: Path, settings: Mapping[str, str]) -> HostSettings:
    """Read and check host.json; a missing one is written with the default, as in Azure.

    Args:
        folder: Where it is.
        settings: App settings; `AzureFunctionsJobHost__a__b` comes before `a.b` of the file.

    Raises:
        HostError: It is not JSON, of another version, or has a value out of range.
    """
    path = folder / "host.json"
    if not path.exists():
        default = {"version": "2.0", "extensionBundle": _BUNDLE}
        path.write_text(json.dumps(default, indent=2), encoding="utf-8")
        log.info("host.json is missing; wrote the default one")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HostError(f"host.json cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise HostError("host.json is not a JSON object")
    _override(content, settings)
    if _get(content, "version") != "2.0":
        raise HostError("host.json is missing the property 'version' of value '2.0'")
    extensions = _section(content, "extensions")
    timeout = str(_get(content, "functionTimeout", "00:30:00"))
    return HostSettings(
        _queues(_section(extensions, "queues"), settings),
        str(_get(_section(extensions, "http"), "routePrefix", "api")),
        None if timeout.startswith("-1") else parse_time(timeout),
        _retry(_section(content, "retry")),
        _get(content, "extensionBundle"),
    )


def _override(content: dict[str, Any], settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        if not name.startswith(_OVERRIDE):
            continue
        *parents, last = name.removeprefix(_OVERRIDE).split("__")
        target = content
        for parent in parents:
            target = target.setdefault(_spelled(target, parent), {})
            if not isinstance(target, dict):
                raise HostError(f"host.json: {parent} is not an object")
        target[_spelled(target, last)] = value


def _spelled(values: Mapping[str, Any], name: str) -> str:
    """Return a name as it is spelled here, for .NET's configuration knows no case."""
    return next((key for key in values if key.lower() == name.lower()), name)


def _get(values: Mapping[str, Any], name: str, default: Any = None) -> Any:  # noqa: ANN401 - JSON
    found = values.get(_spelled(values, name))
    return default if found is None else found


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = _get(values, name, {})
    if not isinstance(found, dict):
        raise HostError(f"host.json: {name} is not an object")
    return found


def _number(values: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = _get(values, name, default)
    try:
        number = int(str(value))  # .NET reads "16" as well as 16, but neither 1.5 nor true
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise HostError(f"host.json: {name} is {value!r}, not a number from {low} to {high}")
    return number


def _queues(values: Mapping[str, Any], settings: Mapping[str, str]) -> QueueOptions:
    unlimited = 2**31 - 1
    batch_size = _number(values, "batchSize", 16, 1, _RECEIVE_LIMIT)
    threshold = max(1, batch_size // 2) * (os.cpu_count() or 1)
    developing = settings.get("AZURE_FUNCTIONS_ENVIRONMENT", "").lower() == "development"
    default = "00:00:02" if developing else "00:01:00"
    polling = parse_time(str(_get(values, "maxPollingInterval", default)))
    if polling < _LEAST_POLLING:
        raise HostError("host.json: maxPollingInterval is below 100 ms")
    encoding = str(_get(values, "messageEncoding", "base64")).lower()
    if encoding not in ("base64", "none"):
        raise HostError(f"host.json: messageEncoding is {encoding!r}")
    return QueueOptions(
        batch_size,
        _number(values, "newBatchThreshold", threshold, 0, unlimited),
        polling,
        _number(values, "maxDequeueCount", 5, 1, unlimited),
        parse_time(str(_get(values, "visibilityTimeout", "00:00:00"))),
        encoding,
    )


def _retry(values: Mapping[str, Any]) -> Retry | None:
    if not values:
        return None
    most = _number(values, "maxRetryCount", 0, -1, 2**31 - 1)
    strategy = str(_get(values, "strategy")).lower()
    if strategy == "fixeddelay":
        return Retry(most, parse_time(str(_get(values, "delayInterval"))))
    if strategy == "exponentialbackoff":
        shortest = parse_time(str(_get(values, "minimumInterval")))
        return Retry(most, shortest, parse_time(str(_get(values, "maximumInterval"))))
    raise HostError(f"host.json: retry.strategy is {strategy!r}")


def resolve(text: str, settings: Mapping[str, str]) -> str:
    """Replace every %NAME% by the setting of that name.

    Raises:
        HostError: There is no such setting.
    """

    def one(match: re.Match[str]) -> str:
        if not settings.get(match[1]):
            raise HostError(f"'%{match[1]}%' does not resolve to a value.")
        return settings[match[1]]

    return _REFERENCE.sub(one, text)


def disabled(name: str, settings: Mapping[str, str]) -> bool:
    """Tell whether a setting switches a function off."""
    values = (
        settings.get(f"AzureWebJobs.{name}.Disabled"),
        settings.get(f"AzureWebJobs_{name}_Disabled"),
    )
    return any(str(value).lower() in ("1", "true") for value in values if value)


def connection(name: str, settings: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return a storage connection: its string, or else the parts of an identity connection.

    Raises:
        HostError: The settings hold neither.
    """
    name = name or _STORAGE
    for prefix in (f"AzureWebJobs{name}", name):
        if value := settings.get(prefix):
            return value, {}
        start = f"{prefix}__"
        parts = {k.removeprefix(start): v for k, v in settings.items() if k.startswith(start)}
        if parts.get("accountName") or parts.get("queueServiceUri"):
            return "", parts
    raise HostError(f"Storage account connection string 'AzureWebJobs{name}' does not exist")
