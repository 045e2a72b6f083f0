"""Lines of the product's log as OpenTelemetry's records, with what each is about.

The Functions host is handed a line's text alone; as a record it keeps its dimensions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from rebuilder.telemetry.dimensions import NAMES

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider

_OURS = ("rebuilder", "functions")
# OpenTelemetry's logs data model: each name has four numbers.
_SEVERITIES = (
    (logging.CRITICAL, 21),
    (logging.ERROR, 17),
    (logging.WARNING, 13),
    (logging.INFO, 9),
    (logging.NOTSET, 5),
)
_BILLION = 10**9


class _Handler(logging.Handler):
    """Hands records on; those of INFO and above, for each is paid for.

    Args:
        provider: Where they go.
    """

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__(logging.INFO)
        from opentelemetry._logs import LogRecord, SeverityNumber  # noqa: PLC0415

        self._provider = provider
        self._record, self._number = LogRecord, SeverityNumber

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one on; what is wrong with it is told as logging tells it, and harms nobody."""
        try:
            told = vars(record)
            number = next(number for level, number in _SEVERITIES if record.levelno >= level)
            self._provider.get_logger(record.name).emit(
                self._record(
                    timestamp=int(record.created * _BILLION),
                    severity_text=record.levelname,
                    severity_number=self._number(number),
                    body=record.getMessage(),
                    attributes={name: told[name] for name in NAMES if name in told},
                )
            )
        except Exception:  # noqa: BLE001 - as every handler of logging does
            self.handleError(record)


def hand_on(provider: LoggerProvider) -> Callable[[], None]:
    """Hand what the product logs on from now on.

    Returns:
        What ends it.
    """
    handler = _Handler(provider)
    loggers = [logging.getLogger(name) for name in _OURS]
    for logger in loggers:
        logger.addHandler(handler)

    def end() -> None:
        for logger in loggers:
            logger.removeHandler(handler)

    return end
