"""What the product tells of itself: spans and metrics.

Until `turn_on` was called, each function here returns at once, and nothing of OpenTelemetry is
imported. Names of attributes are OpenTelemetry's where it has one for the thing (semantic
conventions 1.38, "Messaging" and "HTTP"), else they begin with `rebuilder.`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

_LONGEST = 512  # characters of an attribute


class Shape(StrEnum):
    """How values of a metric are added up."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


class Metric(Struct, frozen=True):
    """A metric.

    Attributes:
        name: Its name.
        shape: How its values are added up.
        unit: Their unit, as UCUM writes it.
        meaning: What it counts, for a person.
    """

    name: str
    shape: Shape
    unit: str
    meaning: str


TO_SCHEDULED = Metric(
    "rebuilder.push.to_scheduled",
    Shape.HISTOGRAM,
    "s",
    "From a push's time, as its event tells it, to the start of a run for it.",
)
TO_REBUILT = Metric(
    "rebuilder.push.to_rebuilt",
    Shape.HISTOGRAM,
    "s",
    "From a push's time to when a rebuild for it was found to have succeeded.",
)
REBUILDS = Metric(
    "rebuilder.rebuilds",
    Shape.COUNTER,
    "{rebuild}",
    "Rebuilds by what became of them: scheduled, held, succeeded, failed, given up; and, once they"
    " succeeded, by what their image stands on.",
)
NATIVE = Metric(
    "rebuilder.native",
    Shape.COUNTER,
    "{run}",
    "Runs of ACR's own trigger that were waited for: adopted, or missed.",
)
DEAD_LETTERS = Metric(
    "rebuilder.dead_letters",
    Shape.COUNTER,
    "{message}",
    "Messages and events that were given up and kept as dead letters.",
)
REQUESTS = Metric(
    "rebuilder.azure.requests",
    Shape.COUNTER,
    "{request}",
    "Answers of ARM and of registries, by host and status; 429 is throttled.",
)
MISSED = Metric(
    "rebuilder.sweep.missed",
    Shape.COUNTER,
    "{push}",
    "Pushes that no event told of, found by the sweep.",
)
PROBLEMS = Metric(
    "rebuilder.sweep.problems",
    Shape.GAUGE,
    "{problem}",
    "What the newest sweep could not look at.",
)
UNSETTLED = Metric(
    "rebuilder.unsettled",
    Shape.GAUGE,
    "{rebuild}",
    "Rebuilds that something is still to happen with, at the newest sweep.",
)
OLDEST_UNSETTLED = Metric(
    "rebuilder.unsettled.oldest",
    Shape.GAUGE,
    "s",
    "How long ago the oldest of them was claimed.",
)

METRICS = (
    TO_SCHEDULED,
    TO_REBUILT,
    REBUILDS,
    NATIVE,
    DEAD_LETTERS,
    REQUESTS,
    MISSED,
    PROBLEMS,
    UNSETTLED,
    OLDEST_UNSETTLED,
)

PUSH = "rebuilder.push"
TASK = "rebuilder.task"
REGISTRY = "rebuilder.registry"
REBUILD = "rebuilder.rebuild"
RUN = "rebuilder.run"
STATE = "rebuilder.state"
CHECK = "rebuilder.check"
"""Attributes: what a span, or a number of a metric, is about."""

type Value = str | int | float | bool
type About = Mapping[str, Value | None]

NOTHING: About = MappingProxyType({})
type _Write = Callable[[float, Mapping[str, Value]], None]


class _Signals:
    """OpenTelemetry's own objects."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - only where it is used
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self.trace = trace
        self.tracer = tracer
        self.propagator = TraceContextTextMapPropagator()
        self.writers: dict[str, _Write] = {m.name: _writer(meter, m) for m in METRICS}


_signals: _Signals | None = None
# The queue of the message in hand, and the trace that it came with.
_in_hand: ContextVar[tuple[str, str]] = ContextVar("_in_hand", default=("", ""))


def turn_on(tracer: Tracer, meter: Meter) -> None:
    """Tell of everything from now on."""
    global _signals  # noqa: PLW0603 - one process has one
    _signals = _Signals(tracer, meter)


def turn_off() -> None:
    """Tell of nothing any more."""
    global _signals  # noqa: PLW0603 - one process has one
    _signals = None


def on() -> bool:
    """Tell whether anything is told: what only telemetry needs is read then."""
    return _signals is not None


@contextmanager
def span(name: str, parent: str = "", about: About = NOTHING) -> Iterator[None]:
    """Tell of a piece of work, and of the error that ends it, by its type alone.

    Args:
        name: The span's name; few different ones.
        parent: The `traceparent` that it goes on with (W3C Trace Context); "" for the span that
            this is called in, or a new trace. What is no `traceparent` begins a new one, too.
        about: Its attributes; one that is None is left out.
    """
    if _signals is None:
        yield
        return
    context = _signals.propagator.extract({"traceparent": parent}) if parent else None
    with _signals.tracer.start_as_current_span(
        name,
        context,
        attributes=_told(about),
        # An error's text may hold anything.
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield
        except BaseException as error:
            code = _signals.trace.StatusCode.ERROR
            current.set_status(_signals.trace.Status(code, type(error).__name__))
            raise


@contextmanager
def processing(queue: str, parent: str) -> Iterator[None]:
    """Tell of a message that is worked off.

    Args:
        queue: Where it came from.
        parent: The trace that it came with; "" if it came with none.
    """
    if _signals is None:
        yield
        return
    about: About = {"messaging.destination.name": queue, "messaging.operation.type": "process"}
    held = _in_hand.set((queue, parent))
    try:
        with span(f"process {queue}", parent, about):
            yield
    finally:
        _in_hand.reset(held)


def note(about: About) -> None:
    """Say more of the work in hand."""
    if _signals is not None:
        _signals.trace.get_current_span().set_attributes(_told(about))


def traceparent(queue: str) -> str:
    """Return the trace that a message goes on with; "" if there is none.

    A message that goes back into the queue it came from belongs where it belonged before: a run
    that is looked at a hundred times would else be a hundred spans deep.
    """
    if _signals is None:
        return ""
    came_from, parent = _in_hand.get()
    if queue == came_from and parent:
        return parent
    carrier: dict[str, str] = {}
    _signals.propagator.inject(carrier)
    return carrier.get("traceparent", "")


def tell(metric: Metric, value: float | timedelta = 1, by: About = NOTHING) -> None:
    """Tell a value of a metric: add to a counter, take down what a histogram or gauge is given.

    Args:
        metric: The metric.
        value: The value, in the metric's unit. A length of time below zero, by two clocks that do
            not agree, is told as zero.
        by: The attributes that it is counted apart by; few different values each.
    """
    if _signals is None:
        return
    number = max(0.0, value.total_seconds()) if isinstance(value, timedelta) else value
    _signals.writers[metric.name](number, _told(by))


def _told(about: About) -> dict[str, Value]:
    return {
        name: value[:_LONGEST] if isinstance(value, str) else value
        for name, value in about.items()
        if value is not None
    }


def _writer(meter: Meter, metric: Metric) -> _Write:
    told = (metric.name, metric.unit, metric.meaning)
    match metric.shape:
        case Shape.COUNTER:
            counter = meter.create_counter(*told)
            return counter.add
        case Shape.HISTOGRAM:
            histogram = meter.create_histogram(*told)
            return histogram.record
        case Shape.GAUGE:
            gauge = meter.create_gauge(*told)
            return gauge.set
