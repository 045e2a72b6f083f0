"""One run, carried out: its context, its steps, what they push and are built on."""

from __future__ import annotations

import base64
import binascii
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcloud.builds.client import split
from localcloud.builds.contexts import Context, Contexts
from localcloud.builds.credentials import Credentials
from localcloud.builds.job import Build, Builder, BuildError, Command, Session
from localcloud.builds.scanner import ScanError, ScannedImage, scan
from localcloud.builds.steps import Step, Values, parse_build, parse_steps, parse_values, render
from localcloud.clock import Clock
from localcloud.registry import RegistryService
from localcloud.state import Json, Registry, Run, State, Task

_WORKSPACE = "/workspace"
# Seconds that a build of one image and its push have; source: acr-builder, cmd/acb/commands/build.
_BUILD_TIMEOUT = 8 * 3600
_PUSH_TIMEOUT = 3600


@dataclass(frozen=True, slots=True)
class Tools:
    """What every run uses."""

    state: State
    clock: Clock
    service: RegistryService
    contexts: Contexts
    credentials: Credentials
    builder: Builder


class Execution:
    """A run that is carried out once.

    Args:
        tools: What every run uses.
        registry: The run's registry.
        run: The run.
    """

    def __init__(self, tools: Tools, registry: Registry, run: Run) -> None:
        self._tools = tools
        self._registry = registry
        self._run = run
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._secrets: list[str] = []
        self._outputs: list[Json] = []
        self._dependencies: list[Json] = []

    def stop(self) -> None:
        """End the run at once; from any thread."""
        with self._lock:
            self._stopped.set()
            session = self._session
        if session is not None:
            session.stop()

    def wait(self, seconds: float) -> None:
        """Let cloud time pass.

        Raises:
            BuildError: The run was stopped meanwhile.
        """
        if self._tools.clock.wait(self._stopped, seconds):
            raise BuildError("the run was stopped")

    def mask(self, text: str) -> str:
        """Return a text without the run's secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def log(self, line: str) -> None:
        """Add a line to the run's log; values that are secret stay out of it."""
        line = self.mask(line)
        stamp = self._tools.clock.now().strftime("%Y/%m/%d %H:%M:%S")
        with self._tools.state.lock:
            if not self._run.over:
                self._run.log.append(f"{stamp} {line}")

    def carry_out(self, work: Path) -> list[Json]:
        """Do every step; return the images that were pushed, in ARM's form.

        Args:
            work: A folder for everything, empty at first.

        Raises:
            BuildError: A step failed.
            ScanError: ACR's scanner does not understand a Dockerfile.
        """
        task = self._task()
        step = _step(self._run.request, task)
        self._secrets = [
            str(entry["value"])
            for kind in ("arguments", "values")
            for entry in step.get(kind) or []
            if entry.get("isSecret") and entry.get("value")
        ]
        credentials = self._tools.credentials.of(self._registry, self._run, task)
        self.log("Downloading source code...")
        context = self._tools.contexts.fetch(
            str(step.get("contextPath") or ""),
            str(step.get("contextAccessToken") or ""),
            work / "context",
        )
        self.log("Finished downloading source code")
        values = self._values(context, task)
        if step["type"] == "Docker":
            doings = self._docker(step, context, values)
        else:
            doings = self._multi(step, context, values, work)
        pushes = any(pushed for _, pushed, _ in doings)
        if pushes and self._registry.login_server not in credentials:
            # An ABAC registry's tasks have no access of their own; azure-facts names the words.
            raise BuildError("when specifying push, at least one credential is required")
        (work / "builder").mkdir()
        self._open(work / "builder", credentials)
        for one, _, do in doings:
            self._carry_out(one, do)
        self._record(task)
        return self._outputs

    def _task(self) -> Task | None:
        name = self._run.properties.get("task")
        with self._tools.state.lock:
            return self._registry.tasks.get(name.lower()) if name else None

    def _values(self, context: Context, task: Task | None) -> Values:
        updated = self._run.properties.get("imageUpdateTrigger")
        return {
            "ID": self._run.run_id,
            "Registry": self._registry.login_server,
            "RegistryName": self._registry.name,
            "Date": self._tools.clock.now().strftime("%Y%m%d-%H%M%Sz"),
            "OS": "linux",
            "Architecture": "amd64",
            "Commit": context.commit,
            "Branch": context.branch,
            "GitTag": context.branch,
            "TaskName": task.name if task else "quickrun",
            "TriggeredBy": "Image Update" if updated else "Manual",
            "SharedVolume": "home",
        }

    def _open(self, folder: Path, credentials: dict[str, tuple[str, str]]) -> None:
        session = self._tools.builder.open(folder, credentials, self.log)
        with self._lock:
            self._session = session
            if self._stopped.is_set():
                raise BuildError("the run was stopped")

    # A doing is a step, whether it pushes, and how it is done.

    def _docker(self, step: Json, context: Context, values: Values) -> list[_Doing]:
        arguments = {
            item["name"]: render(str(item.get("value") or ""), values, {})
            for item in step.get("arguments") or []
        }
        names = [render(name, values, {}) for name in step.get("imageNames") or []]
        images = tuple(_full_name(self._registry, name) for name in names)
        file = _within(context.folder, step.get("dockerFilePath") or "Dockerfile")
        build = Build(context.folder, file, images, arguments, step.get("target") or "")
        own = Step("build", timeout=_BUILD_TIMEOUT)
        doings: list[_Doing] = [(own, False, lambda: self._build(build))]
        if step.get("isPushEnabled", True) and images:
            push = Step("push", timeout=_PUSH_TIMEOUT)
            doings.append((push, True, lambda: self._push(images)))
        return doings

    def _multi(self, step: Json, context: Context, values: Values, work: Path) -> list[_Doing]:
        if step["type"] == "FileTask":
            text = _read(context.folder, step.get("taskFilePath") or "acb.yaml")
            path = step.get("valuesFilePath")
            given = parse_values(_read(context.folder, path)) if path else {}
        else:
            text = _decode(step.get("encodedTaskContent"))
            given = parse_values(_decode(step.get("encodedValuesContent")))
        given |= {entry["name"]: entry.get("value") for entry in step.get("values") or []}
        steps = parse_steps(text, values, given)
        return [(one, bool(one.push), self._doing(one, context, work)) for one in steps]

    def _doing(self, step: Step, context: Context, work: Path) -> Callable[[], None]:
        if step.push:
            # An image that is named twice is pushed once, as the agent does it.
            named = dict.fromkeys(_full_name(self._registry, image) for image in step.push)
            return lambda: self._push(tuple(named))
        if step.cmd:
            directory = step.directory
            if directory is not None and not directory.startswith("/"):
                directory = f"{_WORKSPACE}/{directory}".rstrip("/")
            command = Command(
                step.cmd[0],
                step.cmd[1:],
                step.entry_point,
                step.environment,
                context.folder,
                directory or "",
            )
            return lambda: self._opened().run(command)
        asked = parse_build(step.id, step.build, step.environment)

        def build() -> None:
            root, start = context.folder, _below_workspace(step)
            if "://" in asked.context:
                # A folder of its own each time, as a step may be repeated.
                place = Path(tempfile.mkdtemp(prefix="remote-", dir=work)) / "context"
                fetched = self._tools.contexts.fetch(asked.context, "", place)
                root, start, folder = fetched.folder, ".", fetched.folder
            else:
                folder = _within(root, f"{start}/{asked.context}")
            file = _within(root, f"{start}/{asked.file}") if asked.file else folder / "Dockerfile"
            self._build(Build(folder, file, asked.tags, asked.arguments, asked.target))

        return build

    def _opened(self) -> Session:
        if self._session is None:
            raise BuildError("the builder is not open")
        return self._session

    def _carry_out(self, step: Step, do: Callable[[], None]) -> None:
        self.log(f"Executing step ID: {step.id}. Timeout(sec): {step.timeout}")
        if step.start_delay:
            self.log(f"Waiting {step.start_delay} seconds before executing step ID: {step.id}")
            self.wait(step.start_delay)
        try:
            for _ in range(1 + step.repeat):
                self._try(step, do)
        except BuildError as error:
            if self._stopped.is_set():
                raise
            if not step.ignore_errors:
                raise BuildError(f"failed to run step ID: {step.id}: {error}") from error
            self.log(
                f"Step ID: {step.id} encountered an error: {error}, but is set to ignore errors."
                " Continuing..."
            )
        else:
            self.log(f"Successfully executed step ID: {step.id}")

    def _try(self, step: Step, do: Callable[[], None]) -> None:
        for attempt in range(1 + step.retries):
            try:
                self._within_time(step, do)
            except BuildError as error:
                if attempt == step.retries or self._stopped.is_set():
                    raise
                self.log(f"Step ID: {step.id} failed: {error}. Retrying...")
                self.wait(step.retry_delay)
            else:
                return

    def _within_time(self, step: Step, do: Callable[[], None]) -> None:
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._opened().interrupt()

        call_off = self._tools.clock.alarm(step.timeout, expire) if step.timeout else None
        try:
            do()
        except BuildError as error:
            if expired.is_set():
                raise _timed_out(step) from error
            raise
        finally:
            if call_off is not None:
                call_off()
        if expired.is_set():  # too late to be ended, but late
            raise _timed_out(step)

    def _build(self, build: Build) -> None:
        try:
            text = build.dockerfile.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            name = build.dockerfile.name
            raise BuildError(f"unable to find {name} in the context") from error
        self.log("Scanning for dependencies...")
        try:
            found = scan(text, build.arguments, build.target)
        except ScanError as error:
            raise BuildError(f"failed to scan dependencies: {error}") from error
        self.log("Launching build")
        self._opened().build(build)
        self._dependencies += self._found(found.runtime, found.buildtime, len(build.images))

    def _push(self, images: tuple[str, ...]) -> None:
        for image in images:
            digest = self._opened().push(image)
            host, repository, tag = split(image)
            self._outputs.append(
                {"registry": host, "repository": repository, "tag": tag, "digest": digest}
            )

    def _found(
        self, runtime: ScannedImage, buildtime: tuple[ScannedImage, ...], outputs: int
    ) -> list[Json]:
        """Return the record as ACR keeps it: one entry per image and per output tag."""
        kinds = [("RunTime", runtime), *(("BuildTime", image) for image in buildtime)]
        return [
            {
                "type": kind,
                "registry": image.registry,
                "repository": image.repository,
                "tag": image.tag,
                "digest": image.digest or self._digest(image),
            }
            for kind, image in kinds
            for _ in range(max(1, outputs))
        ]

    def _digest(self, image: ScannedImage) -> str:
        service = self._tools.service
        registry = self._tools.state.by_host(image.registry) or service.hub()
        manifest = service.manifest(registry, image.repository, image.tag)
        return manifest.digest if manifest else ""

    def _record(self, task: Task | None) -> None:
        if not self._dependencies:
            return
        self.log("The following dependencies were found:")
        for found in self._dependencies:
            kind = "runtime" if found["type"] == "RunTime" else "buildtime"
            self.log(f"- {kind}-dependency:")
            for name in ("registry", "repository", "tag", "digest"):
                self.log(f"    {name}: {found[name]}")
        if task is not None:
            with self._tools.state.lock:
                task.properties["step"]["baseImageDependencies"] = self._dependencies


type _Doing = tuple[Step, bool, Callable[[], None]]


def _step(request: Json, task: Task | None) -> Json:
    """Return a run's step, of its task or of its request, with what the request overrides."""
    if task is None:
        kinds = {"FileTaskRunRequest": "FileTask", "EncodedTaskRunRequest": "EncodedTask"}
        kind = kinds.get(str(request.get("type")), "Docker")
        return {**request, "type": kind, "contextPath": request.get("sourceLocation", "")}
    step: Json = dict(task.properties.get("step") or {})
    if not step:
        raise BuildError("the task has no step")
    override = request.get("overrideTaskStepProperties") or {}
    file = "dockerFilePath" if step["type"] == "Docker" else "taskFilePath"
    for name, key in (("contextPath", "contextPath"), ("file", file), ("target", "target")):
        if override.get(name):
            step[key] = override[name]
    for name in ("arguments", "values"):
        if override.get(name):
            merged = {item["name"]: item for item in step.get(name) or []}
            merged |= {item["name"]: item for item in override[name]}
            step[name] = list(merged.values())
    return step


def _timed_out(step: Step) -> BuildError:
    return BuildError(f"timed out after {step.timeout} seconds")


def _full_name(registry: Registry, name: str) -> str:
    host = name.partition("/")[0]
    full = name if "." in host and "/" in name else f"{registry.login_server}/{name}"
    return full if ":" in full.rpartition("/")[2] else f"{full}:latest"


def _below_workspace(step: Step) -> str:
    """Return where a build begins, relative to the context, which /workspace is."""
    directory = step.directory or "."
    if not directory.startswith("/"):
        return directory
    below = f"{directory}/".removeprefix(f"{_WORKSPACE}/")
    if below.startswith("/"):
        raise BuildError(f"workingDirectory: the local cloud builds only below {_WORKSPACE}")
    return below or "."


def _within(folder: Path, name: str) -> Path:
    chosen = (folder / name).resolve()
    if not chosen.is_relative_to(folder.resolve()):
        raise BuildError(f"{name} is outside of the context")
    return chosen


def _read(folder: Path, name: str) -> str:
    try:
        return _within(folder, name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(f"unable to find {name} in the context") from error


def _decode(encoded: object) -> str:
    try:
        return base64.b64decode(str(encoded or ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BuildError("the encoded content is not text in Base64") from error
