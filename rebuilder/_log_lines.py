"""Lines of the log that hold texts from outside: one record is one line, and obeys nobody."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date, timedelta

from rebuilder.core.shown import shown
from rebuilder.telemetry.dimensions import current

_OURS = ("rebuilder", "functions")
_PLAIN = (int, float, date, timedelta, type(None))


class Lines(str):
    """A text of the product's own that keeps its line breaks: a stack."""

    __slots__ = ()


def install() -> None:
    """Have every record of the product's loggers escape and cut what it is given to show.

    Each also has what the work in hand is about as attributes of its own: `rebuilder.task` and so
    on, for whatever handler there is.

    Done where records are made, so that it holds for every handler, the Functions worker's too.
    """
    if logging.getLogRecordFactory() is not _record:
        logging.setLogRecordFactory(_record)


def _record(name: str, *given: object, **more: object) -> logging.LogRecord:
    record = logging.LogRecord(name, *given, **more)  # type: ignore[arg-type] # as logging gives them
    if name.partition(".")[0] in _OURS:
        if record.args and not isinstance(record.args, Mapping):
            record.args = tuple(map(_safe, record.args))
        vars(record).update({name: _safe(value) for name, value in current().items()})
    return record


def _safe(value: object) -> object:
    return value if isinstance(value, (*_PLAIN, Lines)) else shown(str(value))
