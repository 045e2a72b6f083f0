"""The fields of REBUILDER_TUNING, and the settings of older versions that are fields of it now."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from rebuilder.settings.table import SOURCE_HOSTS, TUNING

TRACK_INTERVAL = "track_interval"
INDEX_MAX_AGE = "index_max_age"
REFRESH_SCHEDULE = "refresh_schedule"
SWEEP_SCHEDULE = "sweep_schedule"
POLL_SCHEDULE = "poll_schedule"
DEAD_LETTER_SCHEDULE = "dead_letter_schedule"

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_WHOLE = re.compile(r"[0-9]{1,9}")
_TIME = re.compile(r"([0-9]{1,9}) ?([smhd])")
_CRON_FIELD = re.compile(r"[A-Za-z0-9*,/-]+")
_CRON_FIELDS = (5, 6)

type Value = timedelta | int | str


class Time(NamedTuple):
    """A time, as `90s`, `15m`, `24h` or `90d`."""

    least: timedelta
    most: timedelta

    @property
    def form(self) -> str:
        """How it is written."""
        return f"{written(self.least)} to {written(self.most)}"

    def read(self, text: str) -> timedelta | None:
        """Return what a text says; None if it is not of this kind."""
        match = _TIME.fullmatch(text)
        value = int(match[1]) * _UNITS[match[2]] if match else None
        return value if value is not None and self.least <= value <= self.most else None


class Count(NamedTuple):
    """A whole number."""

    least: int
    most: int

    @property
    def form(self) -> str:
        """How it is written."""
        return f"{self.least} to {self.most}"

    def read(self, text: str) -> int | None:
        """Return what a text says; None if it is not of this kind."""
        value = int(text) if _WHOLE.fullmatch(text) else None
        return value if value is not None and self.least <= value <= self.most else None


class Schedule(NamedTuple):
    """NCRONTAB, in UTC."""

    example: str

    @property
    def form(self) -> str:
        """How it is written."""
        return f"six fields, as {self.example!r}"

    def read(self, text: str) -> str | None:
        """Return what a text says; None if it cannot be. Its ranges are the host's to check."""
        fields = text.split()
        right = len(fields) in _CRON_FIELDS and all(map(_CRON_FIELD.fullmatch, fields))
        return text if right else None


class Field(NamedTuple):
    """A field of REBUILDER_TUNING, which is the field of `Settings` of that name.

    Attributes:
        name: Its name.
        kind: What its value is.
        default: What is meant if it is not set.
        meaning: What it means, for docs/settings.md.
        old: The setting that it was in 0.2.0, and the unit of that.
    """

    name: str
    kind: Time | Count | Schedule
    default: Value
    meaning: str
    old: str
    old_unit: str = ""


def _schedule(name: str, default: str, meaning: str, old: str) -> Field:
    return Field(name, Schedule(default), default, meaning, old)


_S, _M, _H, _D = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))

FIELDS = (
    Field(
        *(TRACK_INTERVAL, Time(1 * _S, 1 * _H), 15 * _S),
        "How often a run is looked at, and a waiting build is tried again (what waits for a long"
        " run less often, every five minutes at least)",
        *("REBUILDER_TRACK_SECONDS", "s"),
    ),
    Field(
        *("retry_wait", Time(1 * _S, 1 * _D), 1 * _M),
        "How long after a failure of ACR's own (Error, Timeout) the next attempt begins; each"
        " further wait is twice as long, a day at most",
        *("REBUILDER_RETRY_SECONDS", "s"),
    ),
    Field(
        *("retry_build_wait", Time(1 * _S, 1 * _D), 5 * _M),
        "The same after a build that failed itself",
        *("REBUILDER_RETRY_BUILD_SECONDS", "s"),
    ),
    Field(
        # Twice the time that a request to ARM may take fits into no less.
        *("lease", Time(75 * _S, 1 * _H), 90 * _S),
        "How long a claimed rebuild keeps everybody else off",
        *("REBUILDER_LEASE_SECONDS", "s"),
    ),
    Field(
        *("arm_writes_per_second", Count(1, 1000), 10),
        "How many runs a second are scheduled in a subscription, by all instances together",
        "REBUILDER_ARM_WRITES_PER_SECOND",
    ),
    Field(
        *("arm_write_burst", Count(1, 10000), 200),
        "How many may be scheduled at once after a quiet time",
        "REBUILDER_ARM_WRITE_BURST",
    ),
    _schedule(
        *(REFRESH_SCHEDULE, "0 0 */6 * * *"),
        "When every task is read again for the index of dependencies; where no event has ever told"
        " of a task that was written, the list of tasks is looked at every hour besides",
        "REBUILDER_REFRESH_SCHEDULE",
    ),
    Field(
        *(INDEX_MAX_AGE, Time(1 * _H, 365 * _D), 24 * _H),
        "How old the index may be before decisions and `explain` say so",
        *("REBUILDER_INDEX_MAX_AGE_HOURS", "h"),
    ),
    _schedule(
        *(SWEEP_SCHEDULE, "0 */15 * * * *"),
        "When tags are compared with what was built on them",
        "REBUILDER_SWEEP_SCHEDULE",
    ),
    Field(
        *("sweep_reads", Count(1, 100000), 500),
        "How many requests to ARM one sweep may lead to; the next one goes on from there",
        "REBUILDER_SWEEP_READS",
    ),
    Field(
        *("sweep_patience", Time(1 * _M, 1 * _D), 15 * _M),
        "After so long a sweep takes a message for lost, and plans again",
        *("REBUILDER_SWEEP_PATIENCE_MINUTES", "m"),
    ),
    Field(
        *("sweep_again", Time(5 * _M, 7 * _D), 1 * _H),
        "After so long a sweep has a task that was left alone (disabled, say) decided about again",
        *("REBUILDER_SWEEP_AGAIN_MINUTES", "m"),
    ),
    _schedule(
        *(POLL_SCHEDULE, "0 */5 * * * *"),
        "When base images of foreign registries are looked at",
        "REBUILDER_POLL_SCHEDULE",
    ),
    Field(
        *("poll_interval", Time(5 * _M, 1 * _D), 30 * _M),
        "How often one foreign image is looked at, at most",
        *("REBUILDER_POLL_MINUTES", "m"),
    ),
    Field(
        *("message_limit", Time(1 * _H, 7 * _D), 24 * _H),
        "How long a message is put back while a service is out of order; then it is a dead letter",
        *("REBUILDER_MESSAGE_HOURS", "h"),
    ),
    _schedule(
        *(DEAD_LETTER_SCHEDULE, "30 */5 * * * *"),
        "When dead letters are collected",
        "REBUILDER_DEAD_LETTER_SCHEDULE",
    ),
    Field(
        # A message may be put off for a week.
        *("history", Time(8 * _D, 3650 * _D), 90 * _D),
        "How long pushes, decisions and what else is over are kept; of each task the newest 20"
        " rebuilds and the newest success stay",
        *("REBUILDER_HISTORY_DAYS", "d"),
    ),
)

DEFAULTS: dict[str, Any] = {field.name: field.default for field in FIELDS}
_BY_NAME = {field.name: field for field in FIELDS}

GITHUB_HOSTS = "REBUILDER_GITHUB_HOSTS"
"""A setting of 0.2.0 that is still read."""

GONE = {
    GITHUB_HOSTS: f"HOST=github in {SOURCE_HOSTS}",
    "REBUILDER_ARM_CONCURRENCY": "always 8: the pace of starts decides, not how many are under way",
    "REBUILDER_QUEUED_MINUTES": "always 30: it only has a run reported that no agent takes",
}
"""What else was a setting in 0.2.0, and what is instead."""


class Tuning(NamedTuple):
    """What REBUILDER_TUNING says, with the settings of older versions.

    Attributes:
        values: The fields that are set.
        old: The names of older versions that are still set, and what is instead.
        text: What REBUILDER_TUNING would say to mean the same without them.
    """

    values: dict[str, Any]
    old: tuple[tuple[str, str], ...]
    text: str


def read_tuning(env: Mapping[str, str], problems: list[str]) -> Tuning:
    """Read the fields; a setting of an older version counts where its field is not set.

    Args:
        env: The environment.
        problems: What is wrong is added here, with the field's name and what to write.
    """
    values: dict[str, Any] = {}
    for part in filter(None, map(str.strip, re.split(r"[;\n]", env.get(TUNING, "")))):
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if not equals:
            problems.append(f"{TUNING} has {part!r}: write FIELD=VALUE, and ; between fields")
        elif name not in _BY_NAME:
            problems.append(f"{TUNING} has no field {name!r}: write {_meant(name)}")
        elif name in values:
            problems.append(f"{TUNING}: {name} is there twice: leave one")
        else:
            field = _BY_NAME[name]
            wrong = f"{TUNING}: {name} is {text!r}"
            values[name] = _right(field, field.kind.read(text), wrong, problems)
    old = [(name, instead) for name, instead in GONE.items() if env.get(name, "").strip()]
    for field in FIELDS:
        text = env.get(field.old, "").strip()
        if not text:
            continue
        if field.name not in values:
            wrong = f"{field.old}, which is {field.name} in {TUNING} now, is {text!r}"
            value = field.kind.read(f"{text}{field.old_unit}")
            values[field.name] = _right(field, value, wrong, problems)
        old.append((field.old, f"{field.name}={written(values[field.name])} in {TUNING}"))
    text = "; ".join(
        f"{name}={written(value)}" for name, value in values.items() if value != DEFAULTS[name]
    )
    return Tuning(values, tuple(old), text)


def schedule(env: Mapping[str, str], name: str) -> str:
    """Return a timer's schedule, by its field; the trigger needs it before all settings are read.

    What is wrong is told when they are read.
    """
    return str(read_tuning(env, []).values.get(name, DEFAULTS[name]))


def written(value: Value) -> str:
    """Return how a value is written: times in the largest unit that is whole."""
    if not isinstance(value, timedelta):
        return str(value)
    unit, one = next((unit, one) for unit, one in _UNITS.items() if not value % one)
    return f"{value // one}{unit}"


def _right(field: Field, value: Value | None, wrong: str, problems: list[str]) -> Value:
    if value is None:
        problems.append(f"{wrong}: write {field.kind.form}")
        return field.default
    return value


def _meant(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only mistakes need it

    near = get_close_matches(name.lower(), _BY_NAME, 1)
    return near[0] if near else ", ".join(_BY_NAME)
