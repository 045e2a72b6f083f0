"""What the product tells of itself: spans, numbers, and what lines of the log are about.

Until `turn_on` was called no span and no number leaves, and nothing of OpenTelemetry is imported;
lines of the log say what they are about either way. Names of attributes are OpenTelemetry's where
it has one for the thing (semantic conventions 1.38, "Messaging", "FaaS" and "HTTP"), else they
begin with `rebuilder.`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING

from rebuilder.telemetry import dimensions
from rebuilder.telemetry.dimensions import NOTHING, About, Value, cut, lines_about
from rebuilder.telemetry.metrics import METRICS, Metric, Shape

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

type _Write = Callable[[float, Mapping[str, Value]], None]


class _Signals:
    """OpenTelemetry's own objects."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - only where it is used
        from opentelemetry.context import Context  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self.trace = trace
        self.tracer = tracer
        self.nowhere = Context()
        self.propagator = TraceContextTextMapPropagator()
        self.writers: dict[str, _Write] = {m.name: _writer(meter, m) for m in METRICS}


_signals: _Signals | None = None
# The queue of the message in hand, and the trace that it came with.
_in_hand: ContextVar[tuple[str, str]] = ContextVar("_in_hand", default=("", ""))
# Whether there is a span of ours.
_inside: ContextVar[bool] = ContextVar("_inside", default=False)


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

    The Functions worker leaves the trace of one invocation where the next finds it, and several
    events are taken over together: a trace of the host is none that we go on with.

    Args:
        name: The span's name; few different ones.
        parent: The `traceparent` that it goes on with (W3C Trace Context); "" for the span of ours
            that this is called in, or a new trace. What is no `traceparent` begins a new one, too.
        about: Its attributes; one that is None is left out.
    """
    with lines_about(about):
        if _signals is None:
            yield
            return
        with _span(_signals, name, parent, about):
            yield


@contextmanager
def _span(on: _Signals, name: str, parent: str, about: About) -> Iterator[None]:
    inside = _inside.get()
    context = on.nowhere if parent or not inside else None
    if parent:
        context = on.propagator.extract({"traceparent": parent}, context)
    kinds = on.trace.SpanKind
    kind = kinds.INTERNAL if inside else kinds.SERVER
    if "messaging.operation.type" in about:
        kind = kinds.CONSUMER
    held = _inside.set(True)
    try:
        with on.tracer.start_as_current_span(
            name,
            context,
            kind=kind,
            attributes=cut(about),
            # An error's text may hold anything.
            record_exception=False,
            set_status_on_exception=False,
        ) as current:
            try:
                yield
            except BaseException as error:
                code = on.trace.StatusCode.ERROR
                current.set_status(on.trace.Status(code, type(error).__name__))
                raise
    finally:
        _inside.reset(held)


@contextmanager
def processing(queue: str, parent: str) -> Iterator[None]:
    """Tell of a message that is worked off.

    Args:
        queue: Where it came from.
        parent: The trace that it came with; "" if it came with none.
    """
    held = _in_hand.set((queue, parent))
    about: About = {"messaging.destination.name": queue, "messaging.operation.type": "process"}
    try:
        # A message may be worked off by the call that has sent it, and is about something else.
        with lines_about(NOTHING, afresh=True), span(f"process {queue}", parent, about):
            yield
    finally:
        _in_hand.reset(held)


def note(about: About) -> None:
    """Say more of the work in hand, for its span and for the lines that it logs from now on."""
    dimensions.note(about)
    if _signals is not None:
        _signals.trace.get_current_span().set_attributes(cut(about))


def traceparent(queue: str) -> str:
    """Return the trace that a message goes on with; "" if there is none.

    A message that goes back into the queue it came from belongs where it belonged before: a run
    that is looked at a hundred times would else be a hundred spans deep.
    """
    if _signals is None or not _inside.get():
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
    _signals.writers[metric.name](number, cut(by))


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
