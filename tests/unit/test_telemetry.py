"""What telemetry is told, and that a message carries its trace."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
from azure_functions_runtime import invocation_id_cv
from msgspec import Struct
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import attach, detach
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rebuilder._log_lines import install
from rebuilder.azure.throttle import ReadRetryPolicy
from rebuilder.core.acr.tasks import IMAGE_UPDATE, Kind, RunStatus, TriggerType
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    QUEUES,
    RUNS,
    PlanRebuilds,
    Refresh,
    StartBuild,
    TrackBuild,
    afresh,
    in_trace,
    put_back,
    trace_of,
)
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.errors import Denied, Refused, TransientError
from rebuilder.isolation import together
from rebuilder.ports.queue import Depth, PoisonMessage
from rebuilder.sources.git._github import GitHub, expiry
from rebuilder.telemetry import dimensions, exporters, metrics, signals
from rebuilder.telemetry.azure_monitor import ASKED, CONNECTION
from rebuilder.telemetry.log_records import hand_on
from rebuilder.telemetry.queues import TracedQueues
from rebuilder.usecases.at_once import _Begins
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.catch_up.sweep import sweep
from rebuilder.usecases.events.accept import accept_events
from rebuilder.usecases.index.refresh_index import refresh_index, scan_registry
from rebuilder.usecases.plan.plan_rebuilds import plan_rebuilds
from rebuilder.usecases.recovery.collect_dead_letters import collect_dead_letters
from rebuilder.usecases.recovery.delivery import deliver
from rebuilder.usecases.reports.now import tell_of_now
from tests.collector import Collector
from tests.unit.fakes import (
    APPS,
    BASE,
    NEW,
    OLD,
    OTHERS,
    FakeQueue,
    World,
    dependency,
    run,
    task,
)

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
CONNECTED = "InstrumentationKey=00000000-0000-0000-0000-000000000000"
BODY = '{"schema":1,"task":"t"}'


class Heard(Struct):
    """What was told so far."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that ended, oldest first."""
        return self.exporter.get_finished_spans()

    def values(self, metric: metrics.Metric) -> dict[tuple[object, ...], float]:
        """Return the values of a metric by those of its attributes: sums of what was told."""
        found: dict[tuple[object, ...], float] = {}
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for told in scope.metrics:
                    if told.name == metric.name:
                        assert (told.unit, told.description) == (metric.unit, metric.meaning)
                        for point in told.data.data_points:
                            key = tuple(dict(point.attributes or {}).values())
                            found[key] = float(getattr(point, "sum", getattr(point, "value", 0)))
        return found


@pytest.fixture(name="heard")
def _heard() -> Iterator[Heard]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    signals.turn_on(tracers.get_tracer("t"), meters.get_meter("t"))
    yield Heard(exporter, reader)
    signals.turn_off()
    tracers.shutdown()
    meters.shutdown()


def _parent(span: ReadableSpan) -> str:
    """Return the id of a span's parent."""
    return f"{span.parent.span_id:016x}" if span.parent else ""


def test_a_message_carries_its_trace(heard: Heard) -> None:
    """Into another queue as the span that sent it, back into its own as the one it came with."""
    inner = FakeQueue()
    queues = TracedQueues(inner)
    with signals.processing(BUILDS, TRACE):
        queues.send(RUNS, BODY)
        queues.send(BUILDS, BODY, timedelta(seconds=9))
        queues.send_many(PUSHES, [BODY, BODY])
    (span,) = heard.spans

    traces = [(queue, trace_of(body), delay) for queue, body, delay in inner.sent]
    own = f"00-0af7651916cd43dd8448eb211c80319c-{span.context.span_id:016x}-01"
    assert traces == [
        (RUNS, own, timedelta()),
        (BUILDS, TRACE, timedelta(seconds=9)),
        (PUSHES, own, timedelta()),
        (PUSHES, own, timedelta()),
    ]
    assert (span.name, _parent(span)) == ("process rebuilder-builds", "b7ad6b7169203331")


def test_queues_that_carry_a_trace_are_queues(heard: Heard) -> None:
    """What the host gave up is read and forgotten as ever."""
    del heard
    poison = PoisonMessage(BUILDS, BODY, NOW, ("a", "b"))
    inner = FakeQueue(poison=[poison])
    queues = TracedQueues(inner)

    assert queues.poisoned(BUILDS) == [poison]
    assert queues.depth(BUILDS, poison=True) == Depth(1, None)
    assert _Begins(queues, {}).depth(BUILDS) == Depth(0, None)
    queues.forget(poison)
    assert inner.poison == []
    queues.close()


@pytest.mark.parametrize(
    "body", ["", "{", "[1]", '{"traceparent":1}', f'{{"traceparent":"{"0" * 65}"}}']
)
def test_a_message_without_a_trace_begins_one(heard: Heard, body: str) -> None:
    """Whatever stands in it: it is none of ours, or too long, or no text."""
    assert trace_of(body) == ""
    with signals.processing(BUILDS, trace_of(body)):
        pass
    assert heard.spans[0].parent is None


def test_a_traceparent_that_is_none_begins_a_trace(heard: Heard) -> None:
    """It came with an event, so it may be anything."""
    with signals.span("s", "00-nonsense"):
        pass
    assert heard.spans[0].parent is None


def test_a_trace_is_no_part_of_what_a_message_asks_for() -> None:
    """Given up twice it is one dead letter, and put back it stays in its trace."""
    body = StartBuild(PUSH, task().id).encode()
    traced = in_trace(body, TRACE)

    assert json.loads(traced) == {**json.loads(body), "traceparent": TRACE}
    assert StartBuild.decode(traced) == StartBuild.decode(body)
    assert "traceparent" not in afresh(traced)
    assert trace_of(put_back(traced, NOW)) == TRACE
    assert in_trace(traced, TRACE.replace("b7", "c7")) == traced
    assert in_trace("none of ours", TRACE) == "none of ours"
    assert in_trace(body, "") == body


def test_an_error_is_told_by_its_type_alone(heard: Heard) -> None:
    """Nobody knows what stands in its text."""
    with pytest.raises(Denied), signals.span("s", about={"rebuilder.task": None}):
        raise Denied("a secret")
    (span,) = heard.spans

    assert (span.status.is_ok, span.status.description) == (False, "Denied")
    assert "a secret" not in span.to_json()
    assert span.events == ()
    assert not span.attributes


def test_long_texts_are_cut(heard: Heard) -> None:
    """A push's key may have hundreds of characters; a span is no place for more."""
    with signals.span("s", about={"rebuilder.push": "x" * 600, "rebuilder.n": 7}):
        pass
    assert heard.spans[0].attributes == {"rebuilder.push": "x" * 512, "rebuilder.n": 7}


def test_what_is_done_at_once_belongs_to_the_trace(heard: Heard) -> None:
    """Threads take the span over that they were begun in."""
    with signals.span("s"):
        traces = together(lambda _: signals.traceparent(PUSHES), [1, 2, 3])
    (span,) = heard.spans

    assert {trace.split("-")[2] for trace in traces} == {f"{span.context.span_id:016x}"}


def test_an_event_goes_on_with_its_trace(heard: Heard, world: World) -> None:
    """CloudEvents have an extension for it; without one the event begins a trace."""
    event = {
        "specversion": "1.0",
        "id": "e1",
        "source": str(BASE),
        "subject": "images/node:9",
        "type": "Microsoft.ContainerRegistry.ImagePushed",
        "data": {
            "id": "e1",
            "timestamp": "2026-11-24T01:02:03Z",
            "action": "push",
            "target": {"repository": "images/node", "tag": "9", "digest": NEW},
            "request": {"host": "mybase.azurecr.io"},
        },
    }
    accept_events(world.context, [{**event, "traceparent": TRACE}])
    accept_events(world.context, [{**event, "traceparent": 7}])
    first, second = heard.spans

    assert (first.name, _parent(first)) == ("accept event", "b7ad6b7169203331")
    assert second.parent is None
    bodies = [body for body, _ in world.queue.take(PUSHES)]
    assert [trace_of(body).split("-")[2] for body in bodies] == [
        f"{span.context.span_id:016x}" for span in heard.spans
    ]


def _started(world: World) -> Rebuild:
    world.tasks.add(task())
    found = start_build(world.context, StartBuild(PUSH, task().id), "me")
    assert isinstance(found, Rebuild)
    return found


def _ended(world: World, status: RunStatus) -> Rebuild | None:
    started = _started(world)
    world.tasks.found_runs["ca1"] = replace(world.tasks.found_runs["ca1"], status=status)
    world.time.pass_(60)
    return track_build(world.context, TrackBuild(started.task, started.sequence, started.version))


def _recorded(world: World) -> None:
    """Record the push, half a minute ago."""
    pushed = replace(PUSH, pushed_at=world.time.now - timedelta(seconds=30))
    world.ledger.record_events([pushed], world.time.now)


def test_a_rebuild_is_counted_and_timed(heard: Heard, world: World) -> None:
    """When it is scheduled, and when its end is found."""
    _recorded(world)
    _ended(world, RunStatus.SUCCEEDED)

    assert heard.values(metrics.REBUILDS) == {
        ("myapps", "scheduled"): 1,
        ("myapps", "succeeded", "unknown"): 1,
    }
    assert heard.values(metrics.TO_SCHEDULED) == {("myapps",): 30}
    assert heard.values(metrics.TO_REBUILT) == {("myapps",): 90}


def test_a_clock_that_is_behind_tells_no_time_below_zero(heard: Heard, world: World) -> None:
    """The push came from a clock that is ahead of ours."""
    pushed = replace(PUSH, pushed_at=world.time.now + timedelta(seconds=30))
    world.ledger.record_events([pushed], world.time.now)
    _started(world)

    assert heard.values(metrics.TO_SCHEDULED) == {("myapps",): 0}


@pytest.mark.parametrize("error", [None, TransientError("503")])
def test_a_push_that_cannot_be_read_is_not_timed(
    heard: Heard, world: World, monkeypatch: pytest.MonkeyPatch, error: TransientError | None
) -> None:
    """The rebuild goes on: it is counted, without a time."""
    if error is not None:

        def push(*_: object) -> None:
            raise error

        monkeypatch.setattr(type(world.ledger), "push", push)
    _started(world)

    assert heard.values(metrics.REBUILDS) == {("myapps", "scheduled"): 1}
    assert heard.values(metrics.TO_SCHEDULED) == {}


def test_a_failure_is_counted(heard: Heard, world: World) -> None:
    """So is what Azure refused."""
    _ended(world, RunStatus.FAILED)
    assert ("myapps", "failed") in heard.values(metrics.REBUILDS)
    world.tasks.add(task("other"))
    world.tasks.failures["schedule"] = [Refused("TasksOperationsNotAllowed", "no")]
    start_build(world.context, StartBuild(PUSH, task("other").id), "me")
    assert ("myapps", "given up") in heard.values(metrics.REBUILDS)


def test_what_waits_for_arm_is_counted_as_held(heard: Heard, world: World) -> None:
    """Nothing was sent; it is asked again."""
    world.tasks.add(task())
    world.tasks.failures["schedule"] = [TransientError("503")]
    with pytest.raises(TransientError):
        start_build(world.context, StartBuild(PUSH, task().id), "me")
    assert heard.values(metrics.REBUILDS) == {("myapps", "held"): 1}


def test_native_runs_are_counted(heard: Heard, world: World) -> None:
    """The run of ACR's own trigger came, and is the rebuild's."""
    found = task("build-app", dependency(kind=Kind.RUNTIME), trigger=TriggerType.RUNTIME)
    world.tasks.add(replace(found, native_trigger=True))
    start_build(world.context, StartBuild(PUSH, found.id), "me")
    assert heard.values(metrics.REBUILDS) == {("myapps", "held"): 1}
    ((body, _),) = world.queue.take(BUILDS)
    moved = (f"mybase.azurecr.io/images/node:9@{NEW}",)
    world.tasks.found_runs["n"] = run("n", trigger=IMAGE_UPDATE, moved=moved)
    started = start_build(world.context, StartBuild.decode(body), "me")
    assert isinstance(started, Rebuild)
    world.tasks.found_runs["n"] = replace(world.tasks.found_runs["n"], status=RunStatus.SUCCEEDED)
    track_build(world.context, TrackBuild(started.task, started.sequence, started.version))
    assert heard.values(metrics.NATIVE) == {("myapps", "adopted"): 1}


def test_dead_letters_are_counted(heard: Heard, world: World) -> None:
    """Those of the product, and those that the host gave up."""
    deliver(world.context, BUILDS, BODY, _refusing)
    world.queue.poison = [PoisonMessage(BUILDS, BODY, world.time.now, ("a", "b"))]
    collect_dead_letters(world.context)
    assert heard.values(metrics.DEAD_LETTERS) == {(): 2}


def _refusing(*_: object) -> None:
    raise Denied("no")


def test_a_run_that_no_agent_takes_is_counted_once(heard: Heard, world: World) -> None:
    """However often it is looked at."""
    started = _started(world)
    message = TrackBuild(started.task, started.sequence, started.version, started.follower or "")
    world.queue.take(RUNS)
    world.tasks.found_runs["ca1"] = replace(world.tasks.found_runs["ca1"], status=RunStatus.QUEUED)
    for _ in range(2):
        world.time.pass_(3600)
        track_build(world.context, message)
        ((body, _),) = world.queue.take(RUNS)
        message = TrackBuild.decode(body)
    assert heard.values(metrics.WITHOUT_AGENT) == {("myapps",): 1}


def test_looks_that_find_nothing_new_say_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A build that takes long is no more lines than one that is quick."""
    started = _started(world)
    message = TrackBuild(started.task, started.sequence, started.version, started.follower or "")
    world.queue.take(RUNS)
    with caplog.at_level(logging.INFO, "rebuilder.usecases.build"):
        for _ in range(3):
            track_build(world.context, message)
            ((body, _),) = world.queue.take(RUNS)
            message = TrackBuild.decode(body)
    said = [r.getMessage() for r in caplog.records if "track_build" in r.name]
    assert [text.endswith("run ca1 is running") for text in said] == [True]


def test_what_may_not_be_read_is_counted(heard: Heard, world: World) -> None:
    """By registry: a plan's, and a refresh's."""
    world.tasks.add(task())
    world.tasks.failures["tasks of theirapps"] = [Denied("no")]
    with suppress(TransientError):
        plan_rebuilds(world.context, PlanRebuilds(PUSH))
    assert heard.values(metrics.UNREADABLE) == {("theirapps",): 1}
    world.tasks.failures["tasks of theirapps"] = [Denied("no")]
    refresh_index(world.context, Refresh(OTHERS, None, world.time.now))
    assert heard.values(metrics.UNREADABLE) == {("theirapps",): 2}


def test_how_things_stand_is_told(heard: Heard, world: World) -> None:
    """What is stale, by registry, and what waits, by queue; zero, too, so that alerts end."""
    world.tasks.add(task("build-app", dependency(built_on=OLD)))
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    world.queue.take(PUSHES)
    pushed = replace(PUSH, pushed_at=world.time.now)
    world.ledger.record_events([pushed], world.time.now)
    world.queue.send(PUSHES, PlanRebuilds(PUSH).encode())
    world.queue.since = world.time.now
    world.queue.poison = [PoisonMessage(BUILDS, BODY, world.time.now, ("a", "b"))]
    world.time.pass_(5 * 3600)
    tell_of_now(world.context)

    assert heard.values(metrics.STALE) == {("myapps",): 1, ("theirapps",): 0}
    assert heard.values(metrics.STALE_LATE) == {("myapps",): 1, ("theirapps",): 0}
    assert heard.values(metrics.STALE_HOURS) == {("myapps",): 5, ("theirapps",): 0}
    queued = heard.values(metrics.QUEUED)
    assert {k: n for k, n in queued.items() if n} == {(PUSHES,): 1, (f"{BUILDS}-poison",): 1}
    assert len(queued) == 2 * len(QUEUES)
    ages = heard.values(metrics.QUEUED_OLDEST)
    assert {k: n for k, n in ages.items() if n} == {(PUSHES,): 5 * 3600}
    assert len(ages) == len(QUEUES)


def test_what_cannot_be_told_keeps_nothing_else(
    heard: Heard, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep is over; the next one tells."""

    def depth(*_: object, **__: object) -> None:
        raise TransientError("503")

    monkeypatch.setattr(type(world.queue), "depth", depth)
    tell_of_now(world.context)
    assert heard.values(metrics.QUEUED) == {}
    assert set(heard.values(metrics.STALE).values()) == {0}


def test_nothing_is_read_for_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without telemetry a sweep costs no request more."""
    monkeypatch.delattr(type(world.queue), "depth")
    tell_of_now(world.context)


@pytest.mark.parametrize("status", [200, 429, 500])
def test_answers_of_azure_are_counted_by_status(heard: Heard, status: int) -> None:
    """Also those that are asked for again; 429 is throttled."""
    response = SimpleNamespace(
        http_request=SimpleNamespace(url="https://management.azure.com/x", method="GET"),
        http_response=SimpleNamespace(status_code=status, headers={}),
    )
    ReadRetryPolicy().is_retry(
        {"total": 1, "status_codes": (), "methods": ()}, cast("Any", response)
    )
    assert heard.values(metrics.REQUESTS) == {("management.azure.com", "GET", status): 1}


@pytest.mark.parametrize(
    ("told", "ends"),
    [
        ("2026-12-31 09:00:00 UTC", datetime(2026, 12, 31, 9, tzinfo=UTC)),
        ("2026-12-31 09:00:00 +0200", datetime(2026, 12, 31, 7, tzinfo=UTC)),
        ("soon", None),
        ("", None),
    ],
)
def test_when_a_token_of_github_ends_is_read(told: str, ends: datetime | None) -> None:
    """As it writes it; another form is none that we know."""
    assert expiry({"github-authentication-token-expiration": told}) == ends


@pytest.mark.parametrize(("shown", "left"), [("Bearer t", {("github.com",)}), (None, set())])
def test_how_long_a_token_is_good_yet_is_told(
    heard: Heard, shown: str | None, left: set[tuple[str]]
) -> None:
    """With each answer to a request that showed one."""
    ends = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d %H:%M:%S} UTC"
    answer = SimpleNamespace(headers={"github-authentication-token-expiration": ends})
    http = SimpleNamespace(ask=lambda *_, **__: answer)
    tools = SimpleNamespace(http=http, authorization=lambda _: shown)
    host = GitHub(cast("Any", tools))
    where = SimpleNamespace(host="github.com", url="https://github.com/a/b.git")
    host._ask(cast("Any", where), "https://api.github.com/x", {}, cast("Any", None))
    found = heard.values(metrics.TOKEN_LEFT)

    assert set(found) == left
    assert all(2 * 86400 < seconds <= 3 * 86400 for seconds in found.values())


def test_a_sweep_tells_what_it_found(heard: Heard, world: World) -> None:
    """What nobody has gone on with, since when, and what no event told of."""
    _started(world)
    world.time.pass_(600)
    other = task("other", dependency(built_on=OLD))
    world.tasks.add(other)
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    report = sweep(world.context, "me")

    assert heard.values(metrics.UNSETTLED) == {(): 1}
    assert heard.values(metrics.OLDEST_UNSETTLED) == {(): 600}
    assert heard.values(metrics.MISSED) == {(): len(report.missed)}
    assert report.missed
    assert heard.values(metrics.PROBLEMS) == {(): 0}


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {CONNECTION: CONNECTED},
        {CONNECTION: CONNECTED, ASKED: "false"},
        {CONNECTION: " ", ASKED: "true"},
    ],
)
def test_without_being_asked_for_nothing_is_told(env: dict[str, str]) -> None:
    """No span, no trace, no number; nobody signs in, and nothing is to be ended."""
    assert exporters.turn_on(env, _nobody) is None
    with signals.span("s"), signals.processing(BUILDS, TRACE):
        signals.note({dimensions.TASK: "t"})
        signals.tell(metrics.REBUILDS)
        assert signals.traceparent(PUSHES) == ""
    assert not signals.on()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "/v1/metrics"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "/v1/logs"),
    ],
)
def test_a_collector_of_one_signal_gets_that_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    """The others have nowhere to go: the SDK would try the default address."""
    with Collector() as collector:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv(name, f"{collector.endpoint}{path}")
        end = exporters.turn_on({name: "set"}, _nobody)
        assert end is not None
        with signals.span("s"):
            signals.tell(metrics.REBUILDS)
            logging.getLogger("rebuilder.t").warning("w")
        end()
    assert collector.paths == {path}
    assert not signals.on()


def _nobody() -> NoReturn:
    raise AssertionError


def test_the_hosts_sampler_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps the host's looks at its queues away, and none of what the product tells."""
    with Collector() as collector:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        env = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.endpoint}/v1/traces",
            "OTEL_TRACES_SAMPLER": "microsoft.fixed_percentage",
            "OTEL_TRACES_SAMPLER_ARG": "0",
        }
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        end = exporters.turn_on(env, _nobody)
        assert end is not None
        with signals.span("s"):
            pass
        end()
    assert [span.name for _, span in collector.spans] == ["s"]


def test_lines_go_on_with_what_they_are_about() -> None:
    """Text, severity and dimensions; nothing below INFO."""
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call] # it comes so
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    install()
    log = logging.getLogger("rebuilder.lines")
    log.setLevel(logging.DEBUG)
    end = hand_on(provider)
    try:
        with dimensions.lines_about({dimensions.TASK: "t\n", "server.address": "h"}):
            log.info("one %s", "x\ny")
            log.debug("two")
            log.critical("three")
        log.warning("four")
    finally:
        end()
    log.warning("five")

    told = [
        (r.log_record.body, r.log_record.severity_number, dict(r.log_record.attributes or {}))
        for r in exporter.get_finished_logs()
    ]
    assert told == [
        (r"one x\x0ay", SeverityNumber.INFO, {"rebuilder.task": r"t\x0a"}),
        ("three", SeverityNumber.FATAL, {"rebuilder.task": r"t\x0a"}),
        ("four", SeverityNumber.WARN, {}),
    ]
    provider.shutdown()


def test_a_line_that_cannot_be_written_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who logged it goes on."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call] # it comes so
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    log = logging.getLogger("rebuilder.lines")
    end = hand_on(provider)
    log.warning("%d", "no number")
    end()
    assert exporter.get_finished_logs() == ()
    provider.shutdown()


def test_what_lines_are_about_ends_with_the_work() -> None:
    """More is learnt while it goes on; threads know it; what is left is as it was before."""
    with dimensions.lines_about({dimensions.TASK: "a"}):
        with dimensions.lines_about({dimensions.RUN: "r" * 600, dimensions.PUSH: None}):
            dimensions.note({dimensions.TASK: "b"})
            known = together(lambda _: dict(dimensions.current()), [1, 2])
            assert known == [{"rebuilder.task": "b", "rebuilder.run": "r" * 512}] * 2
        assert dimensions.current()["rebuilder.task"] == "a"
        with signals.processing(BUILDS, ""):
            assert dimensions.current() == {}


def test_what_is_said_of_no_work_stays_with_nothing() -> None:
    """A thread works on one thing after another: what no block ends would be told of the next."""
    dimensions.note({dimensions.TASK: "a"})
    assert dimensions.current() == {}


def test_threads_log_under_the_invocation_that_began_them() -> None:
    """The worker's own variable goes with them, and with it the host's id of the invocation."""
    held = invocation_id_cv.set("one")
    try:
        assert together(lambda _: invocation_id_cv.get(), [1, 2, 3]) == ["one"] * 3
    finally:
        invocation_id_cv.reset(held)


def test_the_hosts_trace_is_not_gone_on_with(heard: Heard) -> None:
    """The worker leaves one invocation's where the next finds it; each message has its own."""
    hosts = TraceContextTextMapPropagator().extract({"traceparent": TRACE})
    token = attach(hosts)
    try:
        assert signals.traceparent(PUSHES) == ""
        with signals.processing(BUILDS, ""), signals.span("inner"):
            pass
        with signals.span("sweep"):
            pass
    finally:
        detach(token)
    inner, message, timer = heard.spans

    assert (message.parent, timer.parent) == (None, None)
    assert _parent(inner) == f"{message.context.span_id:016x}"
    kinds = [span.kind for span in heard.spans]
    assert kinds == [SpanKind.INTERNAL, SpanKind.CONSUMER, SpanKind.SERVER]


def test_the_docs_name_every_metric() -> None:
    """Those there are, and no others."""
    page = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text()
    rows = re.findall(r"^\| `(rebuilder\.[a-z_.]+)` \|", page, re.MULTILINE)

    assert rows == [metric.name for metric in metrics.METRICS]
