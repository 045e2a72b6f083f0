"""host.json, app settings, and what bindings refer to in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

_REFERENCE = re.compile(r"%([^%]+)%")
_TIME = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,7})?)?")
_RECEIVE_LIMIT = 32
_OVERRIDE = "AzureFunctionsJobHost__"


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
class HostSettings:
    """What host.json says."""

    queues: QueueOptions
    route_prefix: str = "api"
    function_timeout: timedelta | None = timedelta(minutes=30)


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
    """Read and check host.json.

    Args:
        folder: Where it is.
        settings: App settings; `AzureFunctionsJobHost__a__b` comes before `a.b` of the file.

    Raises:
        HostError: It is missing, not JSON, of another version, or has a value out of range.
    """
    try:
        content = json.loads((folder / "host.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HostError(f"host.json cannot be read: {error}") from error
    _override(content, settings)
    if content.get("version") != "2.0":
        raise HostError("host.json is missing the property 'version' of value '2.0'")
    extensions = content.get("extensions") or {}
    timeout = content.get("functionTimeout", "00:30:00")
    return HostSettings(
        _queues(extensions.get("queues") or {}),
        str((extensions.get("http") or {}).get("routePrefix", "api")),
        None if str(timeout) == "-1" else parse_time(str(timeout)),
    )


def _override(content: dict[str, Any], settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        if not name.startswith(_OVERRIDE):
            continue
        *parents, last = name.removeprefix(_OVERRIDE).split("__")
        target = content
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = int(value) if value.isdecimal() else value


def _queues(values: Mapping[str, Any]) -> QueueOptions:
    def number(name: str, default: int, low: int, high: int | None = None) -> int:
        value = values.get(name, default)
        if not isinstance(value, int) or value < low or (high is not None and value > high):
            raise HostError(f"extensions.queues.{name} is {value!r}: out of range")
        return value

    def span(name: str, default: str) -> timedelta:
        return parse_time(str(values.get(name, default)))

    batch_size = number("batchSize", 16, 1, _RECEIVE_LIMIT)
    encoding = str(values.get("messageEncoding", "base64")).lower()
    if encoding not in ("base64", "none"):
        raise HostError(f"extensions.queues.messageEncoding is {encoding!r}")
    return QueueOptions(
        batch_size,
        number("newBatchThreshold", max(1, batch_size // 2), 0),
        max(span("maxPollingInterval", "00:01:00"), timedelta(milliseconds=100)),
        number("maxDequeueCount", 5, 1),
        span("visibilityTimeout", "00:00:00"),
        encoding,
    )


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
    name = name or "AzureWebJobsStorage"
    for prefix in (f"AzureWebJobs{name}", name):
        if value := settings.get(prefix):
            return value, {}
        start = f"{prefix}__"
        parts = {k.removeprefix(start): v for k, v in settings.items() if k.startswith(start)}
        if parts.get("accountName") or parts.get("queueServiceUri"):
            return "", parts
    raise HostError(f"Storage account connection string 'AzureWebJobs{name}' does not exist")
