"""The numbers that the product tells of itself: names, units, and what each counts.

Alerts, the workbook and docs/telemetry.md name these and no others; tests hold them together.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


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

WITHOUT_AGENT = Metric(
    "rebuilder.runs.without_agent",
    Shape.COUNTER,
    "{run}",
    "Runs that were found to wait in ACR's queue for too long: no agent takes them.",
)
UNREADABLE = Metric(
    "rebuilder.unreadable",
    Shape.COUNTER,
    "{read}",
    "Reads of tasks and registries that were refused: what of them is stale is not known.",
)
STALE = Metric(
    "rebuilder.stale",
    Shape.GAUGE,
    "{task}",
    "Tasks that stand on an old base, at the newest sweep.",
)
STALE_LATE = Metric(
    "rebuilder.stale.late",
    Shape.GAUGE,
    "{task}",
    "Those of them that do for longer than the objective, and that nobody holds.",
)
STALE_HOURS = Metric(
    "rebuilder.stale.hours",
    Shape.GAUGE,
    "h",
    "For how long the oldest of them does, of those that nobody holds or leaves alone.",
)
QUEUED = Metric(
    "rebuilder.queue.messages",
    Shape.GAUGE,
    "{message}",
    "About how many messages a queue holds, delayed ones among them, at the newest sweep.",
)
QUEUED_OLDEST = Metric(
    "rebuilder.queue.oldest",
    Shape.GAUGE,
    "s",
    "How long ago the message was put into its queue that is to be worked off next.",
)
TOKEN_LEFT = Metric(
    "rebuilder.token.left",
    Shape.GAUGE,
    "s",
    "How long the token for a source host is good yet, where the host tells.",
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
    WITHOUT_AGENT,
    UNREADABLE,
    STALE,
    STALE_LATE,
    STALE_HOURS,
    QUEUED,
    QUEUED_OLDEST,
    TOKEN_LEFT,
)

STATE = "rebuilder.state"
CHECK = "rebuilder.check"
"""What rebuilds are counted apart by, besides the registry."""
