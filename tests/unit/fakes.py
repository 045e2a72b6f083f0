"""Small stand-ins for the ports that a use case calls, with a clock moved by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rebuilder.core.acr.access import PullAccess
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import Registry, RegistryId, TaskId
from rebuilder.core.acr.tasks import (
    MANUAL,
    Dependency,
    DockerStep,
    Kind,
    Run,
    RunStatus,
    Task,
    TriggerType,
)
from rebuilder.core.dependencies.evidence import ImageContent
from rebuilder.errors import Denied, NotFound, RebuilderError, SourceUnavailable
from rebuilder.ports.acr import LogPart, TaskPage
from rebuilder.ports.dead_letters import DeadEvents
from rebuilder.ports.foreign import Seen
from rebuilder.ports.queue import Begun, Depth, PoisonMessage
from rebuilder.ports.sources import SourceFile
from rebuilder.settings import Settings
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from rebuilder.sqlite.index import SqliteIndex
from rebuilder.sqlite.ledger import SqliteLedger
from rebuilder.sqlite.steering import FileSteering
from rebuilder.usecases.context import Context

BASE = RegistryId("s1", "g", "mybase")
APPS = RegistryId("s1", "g", "myapps")
OTHERS = RegistryId("s2", "g", "theirapps")
OLD, NEW, NEWER = (f"sha256:{letter * 64}" for letter in "abc")
NODE = "mybase.azurecr.io/images/node:9"


def dependency(
    image: str = NODE, built_on: str | None = OLD, kind: Kind = Kind.RUNTIME
) -> Dependency:
    """Return a dependency."""
    return Dependency(ImageReference.parse(image), kind, built_on)


def task(
    name: str = "build-app",
    *dependencies: Dependency,
    registry: RegistryId = APPS,
    enabled: bool = True,
    has_step: bool = True,
    trigger: TriggerType | None = None,
) -> Task:
    """Return a task that is built on images/node:9 unless told otherwise.

    Its Dockerfile says so too; FakeSources reads it out of the context's address.
    """
    found = dependencies or (dependency(),)
    step = DockerStep(built_on(*found), "Dockerfile", images=(f"{name}:1",)) if has_step else None
    return Task(TaskId(registry, name), enabled, has_step, trigger, found, step=step)


def built_on(*dependencies: Dependency) -> str:
    """Return the address of a context whose Dockerfile names images, the last runtime one last."""
    order = sorted(dependencies, key=lambda found: found.kind is Kind.RUNTIME)
    lines = [
        f"COPY --from={found.reference} / /"
        for found in order
        if found.kind is not Kind.RUNTIME and found is not order[-1]
    ]
    base = [f"FROM {order[-1].reference}"] if order else ["FROM scratch"]
    stages = [
        f"FROM {found.reference} AS s{number}"
        for number, found in enumerate(order[:-1])
        if found.kind is Kind.RUNTIME
    ]
    used = [f"COPY --from=s{n} / /" for n, f in enumerate(order[:-1]) if f.kind is Kind.RUNTIME]
    text = "\n".join([*stages, *base, *lines, *used])
    return f"{_INLINE}{text.encode().hex()}.git"


_INLINE = "https://github.com/dockerfile/"


def run(run_id: str, **changes: object) -> Run:
    """Return a run that is going on."""
    values: dict[str, object] = {
        "run_id": run_id,
        "task": "build-app",
        "status": RunStatus.RUNNING,
        "platform": "Linux",
        "trigger": MANUAL,
        "created": None,
        "started": None,
        "finished": None,
        "output_images": (),
        "token": None,
        "error": None,
    }
    return Run(**{**values, **changes})  # type: ignore[arg-type] # checked by the dataclass's users


@dataclass
class Time:
    """A clock moved by hand."""

    now: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass
class FakeTasks:
    """Tasks and runs; `failures` are raised instead of the next answers.

    `listed_before` is what a list told of tasks some time ago, which their `age` says; `written`
    is when tasks were last written, as far as a list tells.
    """

    known: dict[TaskId, Task] = field(default_factory=dict)
    found_runs: dict[str, Run] = field(default_factory=dict)
    scheduled: list[tuple[TaskId, str]] = field(default_factory=list)
    failures: dict[str, list[RebuilderError]] = field(default_factory=dict)
    effect_first: bool = False
    page_size: int = 100
    written: dict[TaskId, datetime] = field(default_factory=dict)
    paged: list[RegistryId] = field(default_factory=list)
    list_is_brief: bool = False
    read: list[TaskId] = field(default_factory=list)
    listed_before: dict[TaskId, Task] = field(default_factory=dict)
    denied: set[TaskId] = field(default_factory=set)
    pages: list[TaskPage] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    logs_read: list[str] = field(default_factory=list)
    parts: dict[str, list[LogPart]] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    listed: int = 0
    out_of_order: dict[RegistryId, RebuilderError] = field(default_factory=dict)
    asked: list[RegistryId] = field(default_factory=list)
    secret_names: frozenset[str] = frozenset()
    asked_for_secrets: list[TaskId] = field(default_factory=list)

    def add(self, *tasks: Task) -> None:
        """Add or replace tasks."""
        self.known |= {task.id: task for task in tasks}

    def _fail(self, what: str) -> None:
        if waiting := self.failures.get(what):
            raise waiting.pop(0)

    def registry(self, registry: RegistryId) -> Registry:
        """Read a registry."""
        self._fail("registry")
        self.asked.append(registry)
        if registry in self.out_of_order:
            raise self.out_of_order[registry]
        return Registry(registry, f"{registry.name}.azurecr.io")

    def tasks(self, registry: RegistryId) -> Iterable[Task]:
        """Read the tasks of a registry."""
        self._fail(f"tasks of {registry.name}")
        return [task for task in self.known.values() if task.id.registry == registry]

    def page(self, registry: RegistryId, after: str = "") -> TaskPage:
        """Read some of the tasks of a registry."""
        self._fail(f"tasks of {registry.name}")
        if self.pages:
            return self.pages.pop(0)
        names = sorted(task.name for task in self.known if task.registry == registry)
        rest = [name for name in names if name > after]
        first = [TaskId(registry, name) for name in rest[: self.page_size]]
        more = first[-1].name if len(rest) > len(first) else None
        self.paged.append(registry)
        written = {task: self.written[task] for task in first if task in self.written}
        if self.list_is_brief:
            return TaskPage((), tuple(first), more, written)
        return TaskPage(tuple(self.known[task] for task in first), (), more, written)

    def task(self, task: TaskId, age: timedelta = timedelta()) -> Task:
        """Read a task."""
        listed = self.listed_before.get(task)
        if listed is not None and listed.age <= age:
            return listed
        self.read.append(task)
        self._fail("task")
        if task in self.denied:
            raise Denied(f"{task}: no role")
        if task not in self.known:
            raise NotFound(str(task))
        return self.known[task]

    def schedule(self, task: TaskId, token: str) -> str:
        """Start a run."""
        if not self.effect_first:
            self._fail("schedule")
        self.scheduled.append((task, token))
        run_id = f"ca{len(self.scheduled)}"
        self.found_runs[run_id] = run(run_id, token=token)
        self._fail("schedule")
        return run_id

    def run(self, registry: RegistryId, run_id: str) -> Run:
        """Read a run."""
        del registry
        self._fail("run")
        if run_id not in self.found_runs:
            raise NotFound(run_id)
        return self.found_runs[run_id]

    def secrets(self, task: TaskId) -> frozenset[str]:
        """Read the names of secret arguments."""
        self.asked_for_secrets.append(task)
        self._fail("secrets")
        return self.secret_names

    def runs(self, registry: RegistryId, *, task: str | None = None, top: int) -> list[Run]:
        """Read the newest runs."""
        del registry
        self.listed += 1
        self._fail("runs")
        found = [r for r in self.found_runs.values() if task in (None, r.task)]
        return found[::-1][:top]

    def log_end(self, registry: RegistryId, run_id: str) -> str:
        """Read the end of a run's log."""
        del registry
        self.logs_read.append(run_id)
        self._fail("log")
        return self.logs.get(run_id, "")

    def log_part(self, registry: RegistryId, run_id: str, place: str) -> LogPart:
        """Read the next part of a run's log, of which there are as many as were given."""
        del registry
        self.places.append(place)
        self._fail("log")
        return self.parts[run_id].pop(0)

    def close(self) -> None:
        """Do nothing."""


@dataclass
class FakeImages:
    """Digests by tag; a failure is raised instead."""

    digests: dict[str, str | None] = field(default_factory=dict)
    came: dict[str, datetime] = field(default_factory=dict)
    written: dict[str, datetime] = field(default_factory=dict)
    contents: dict[str, ImageContent] = field(default_factory=dict)
    failure: RebuilderError | None = None
    no_times: RebuilderError | None = None
    asked_times: int = 0

    def digest(self, login_server: str, repository: str, tag: str) -> str | None:
        """Return what a tag names."""
        if self.failure:
            raise self.failure
        return self.digests.get(f"{login_server}/{repository}:{tag}")

    def created(self, login_server: str, repository: str, digest: str) -> datetime | None:
        """Return when a digest came."""
        del login_server, repository
        self.asked_times += 1
        if error := self.failure or self.no_times:
            raise error
        return self.came.get(digest)

    def tagged(self, login_server: str, repository: str, tag: str, digest: str) -> datetime | None:
        """Return when a tag was last written: when its digest came, unless told otherwise."""
        name = f"{login_server}/{repository}:{tag}"
        if error := self.failure or self.no_times:
            raise error
        if self.digests.get(name) != digest:
            return None
        return self.written.get(name, self.came.get(digest))

    def content(
        self, login_server: str, repository: str, reference: str, platform: str
    ) -> ImageContent | None:
        """Return what an image is made of."""
        del platform
        if self.failure:
            raise self.failure
        return self.contents.get(f"{login_server}/{repository}:{reference}")

    def close(self) -> None:
        """Do nothing."""


@dataclass
class FakeAccess:
    """Who may pull; a failure is raised instead."""

    pullers: set[str] = field(default_factory=set)
    failure: RebuilderError | None = None

    def pull(self, registry: RegistryId, principal: str) -> PullAccess:
        """Tell whether an identity may pull."""
        del registry
        if self.failure:
            raise self.failure
        return PullAccess(principal in self.pullers, "AcrPull")

    def close(self) -> None:
        """Do nothing."""


@dataclass
class FakeSources:
    """Files by context and path."""

    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    failure: RebuilderError | None = None
    ends: dict[str, datetime] = field(default_factory=dict)

    def expires(self, host: str) -> datetime | None:
        """Tell when a token ends."""
        if self.failure:
            raise self.failure
        return self.ends.get(host)

    def read(self, context: str, path: str) -> SourceFile:
        """Read a file."""
        if self.failure:
            raise self.failure
        if context.startswith(_INLINE) and path == "Dockerfile":
            text = bytes.fromhex(context.removeprefix(_INLINE).removesuffix(".git"))
            return SourceFile(text, "c0ffee", context)
        if (context, path) not in self.files:
            raise SourceUnavailable(f"{path} of {context}")
        return SourceFile(self.files[context, path], "c0ffee", context)

    def close(self) -> None:
        """Do nothing."""


@dataclass
class FakeQueue:
    """What was sent; since when, where a test says so."""

    sent: list[tuple[str, str, timedelta]] = field(default_factory=list)
    since: datetime | None = None
    poison: list[PoisonMessage] = field(default_factory=list)

    def send(self, queue: str, body: str, delay: timedelta = timedelta()) -> None:
        """Put a message into a queue."""
        self.sent.append((queue, body, delay))

    def send_many(self, queue: str, bodies: Sequence[str]) -> None:
        """Put many messages into a queue."""
        self.sent += [(queue, body, timedelta()) for body in bodies]

    def begin(self, queue: str, body: str, hidden: timedelta) -> Begun:
        """Put a message into a queue and work it off oneself."""
        self.sent.append((queue, body, hidden))
        return Begun(queue, body, (str(len(self.sent)), ""))

    def finish(self, begun: Begun) -> None:
        """Delete a message that was worked off."""
        self.sent.remove(next(m for m in self.sent if m[:2] == (begun.queue, begun.body)))

    def leave(self, begun: Begun) -> None:
        """Let others see a message."""
        self.finish(begun)
        self.send(begun.queue, begun.body)

    def poisoned(self, queue: str) -> list[PoisonMessage]:
        """Return what the host gave up."""
        return [message for message in self.poison if message.queue == queue]

    def depth(self, queue: str, *, poison: bool = False) -> Depth:
        """Tell what waits; the times of messages are not kept."""
        name = [m for m in self.poison if m.queue == queue]
        here = [m for m in self.sent if m[0] == queue]
        return Depth(len(name if poison else here), self.since if here and not poison else None)

    def forget(self, message: PoisonMessage) -> None:
        """Delete a message that the host gave up."""
        self.poison.remove(message)

    def take(self, queue: str) -> list[tuple[str, timedelta]]:
        """Take every message out of a queue."""
        taken = [(body, delay) for name, body, delay in self.sent if name == queue]
        self.sent = [message for message in self.sent if message[0] != queue]
        return taken

    def close(self) -> None:
        """Do nothing."""


@dataclass
class FakeForeign:
    """What tags of foreign registries name; a failure is raised instead of the next answer."""

    seen: dict[str, Seen] = field(default_factory=dict)
    failures: list[RebuilderError] = field(default_factory=list)
    asked: list[tuple[str, Seen | None]] = field(default_factory=list)

    def look(self, reference: ImageReference, known: Seen | None) -> Seen:
        """Return what a tag names."""
        self.asked.append((str(reference), known))
        if self.failures:
            raise self.failures.pop(0)
        return self.seen.get(str(reference), Seen(None))

    def close(self) -> None:
        """Do nothing."""


@dataclass
class FakeDeadEvents:
    """Blobs by name."""

    blobs: dict[str, bytes] = field(default_factory=dict)

    def read(self) -> list[DeadEvents]:
        """Return the blobs."""
        return [DeadEvents(name, content) for name, content in self.blobs.items()]

    def forget(self, name: str) -> None:
        """Delete a blob."""
        self.blobs.pop(name, None)

    def close(self) -> None:
        """Do nothing."""


class World:
    """A context of fakes; the ledger is a real one."""

    def __init__(self, folder: Path) -> None:
        self.time = Time()
        self.tasks = FakeTasks()
        self.images = FakeImages({NODE: NEW})
        self.queue = FakeQueue()
        self.ledger = SqliteLedger(folder / "ledger.db")
        self.settings = Settings(frozenset({BASE}), (APPS, OTHERS), "sqlite:unused")
        self.access = FakeAccess()
        self.sources = FakeSources()
        self.index = SqliteIndex(folder / "ledger.db")
        self.foreign = FakeForeign()
        self.dead_events = FakeDeadEvents()
        self.context = Context(
            self.settings,
            self.ledger,
            self.queue,
            self.tasks,
            self.images,
            self.access,
            self.sources,
            self.index,
            SqliteBookmarks(folder / "ledger.db"),
            SqliteDeadLetters(folder / "ledger.db"),
            self.foreign,
            self.dead_events,
            self.time,
            FileSteering(folder / "ledger.db"),
        )
