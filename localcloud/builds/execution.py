"""One run, carried out: its context, its steps, what they push and are built on."""

from __future__ import annotations

import base64
import binascii
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from localcloud.builds import artifacts, dockercli, scanner
from localcloud.builds.azcli import AzCli
from localcloud.builds.builder import Builder, Session
from localcloud.builds.client import Client, split
from localcloud.builds.commands import WORKSPACE
from localcloud.builds.contexts import Context, Contexts
from localcloud.builds.credentials import Credentials
from localcloud.builds.docker import Docker, Place
from localcloud.builds.dockercli import DockerBuild
from localcloud.builds.job import BuildError
from localcloud.builds.performing import Performer
from localcloud.builds.scanner import Request, ScanError, Scanned, ScannedImage
from localcloud.builds.steps import (
    Step,
    Values,
    parse_steps,
    parse_values,
    render,
    working_directory,
)
from localcloud.clock import Clock
from localcloud.directory import Principal
from localcloud.network import Network
from localcloud.registry import RegistryService
from localcloud.state import Json, Registry, Run, State, Task
from localcloud.tokens import Tokens

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
    network: Network
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class _Doing:
    """A step, and how it is done.

    Attributes:
        step: The step.
        do: Does it; again for each time that it is tried again or repeated.
        prepare: What comes before the first time, if anything.
    """

    step: Step
    do: Callable[[], None]
    prepare: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """What the scanner found of a build step: what it builds, and on what."""

    step: Step
    scanned: Scanned
    images: tuple[ScannedImage, ...]


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
        self._expired = threading.Event()  # the time of the step that is tried now is over
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._secrets: list[str] = []
        self._credentials: dict[str, tuple[str, str]] = {}
        self._work = Path()
        self._found: list[_Found] = []

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

    def _tell(self, line: str) -> None:
        """Add a line of a step to the log; where the step is to end, it ends here."""
        if self._ends():
            raise BuildError("the run was stopped")
        self.log(line)

    def _ends(self) -> bool:
        return self._stopped.is_set() or self._expired.is_set()

    def carry_out(self, work: Path) -> list[Json]:
        """Do every step; return the images that build steps made and that were pushed.

        Args:
            work: A folder for everything, empty at first.

        Raises:
            BuildError: A step failed.
            ScanError: ACR's scanner does not understand a Dockerfile.
        """
        self._work = work
        task = self._task()
        step = _step(self._run.request, task)
        self._secrets = [
            str(entry["value"])
            for kind in ("arguments", "values")
            for entry in step.get(kind) or []
            if entry.get("isSecret") and entry.get("value")
        ]
        self._credentials = self._tools.credentials.of(self._registry, self._run, task)
        self.log("Downloading source code...")
        context = self._fetch(
            str(step.get("contextPath") or ""),
            str(step.get("contextAccessToken") or ""),
            work / "context",
        )
        self.log("Finished downloading source code")
        values = self._values(context, task)
        docker = self._open(work / "builder")
        if step["type"] == "Docker":
            doings = self._docker(docker, step, Place(context.folder), values)
        else:
            doings = self._multi(docker, step, Place(context.folder), values)
        pushes = any(doing.step.push for doing in doings)
        if pushes and self._registry.login_server not in self._credentials:
            # An ABAC registry's tasks have no access of their own; azure-facts names the words.
            raise BuildError("when specifying push, at least one credential is required")
        for doing in doings:
            self._carry_out(doing)
        return self._record(docker, task)

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

    def _open(self, folder: Path) -> Docker:
        folder.mkdir()
        session = self._tools.builder.open(folder, self._credentials, self._tell)
        with self._lock:
            self._session = session
            if self._stopped.is_set():
                raise BuildError("the run was stopped")
        network, fetch = self._tools.network, self._fetched
        return Docker(session, network, self._credentials, fetch, self._tell)

    def _fetched(self, address: str) -> Path:
        """Fetch a context that a command names, each time into a folder of its own."""
        folder = Path(tempfile.mkdtemp(prefix="remote-", dir=self._work)) / "context"
        return self._fetch(address, "", folder).folder

    def _fetch(self, address: str, token: str, folder: Path) -> Context:
        return self._tools.contexts.fetch(address, token, folder, self._pull)

    def _pull(self, reference: str, folder: Path) -> None:
        """Pull an artifact, with the credentials that the run has for registries."""
        with Client(self._tools.network, self._credentials) as client:
            artifacts.pull(client, reference, folder)

    def _docker(self, docker: Docker, step: Json, place: Place, values: Values) -> list[_Doing]:
        arguments = {
            item["name"]: render(str(item.get("value") or ""), values, {})
            for item in step.get("arguments") or []
        }
        names = [render(name, values, {}) for name in step.get("imageNames") or []]
        images = tuple(
            dockercli.reference(_full_name(self._registry, name), "-t, --tag") for name in names
        )
        file = str(step.get("dockerFilePath") or "Dockerfile")
        target = str(step.get("target") or "")
        # Nothing in such a step can ask for BuildKit.
        build = DockerBuild(".", images, file, arguments=arguments, target=target, kit=False)
        own = Step("build", timeout=_BUILD_TIMEOUT)
        asked = Request(".", file, target, images, arguments)
        prepare = partial(self._scan, own, asked, place)
        doings = [_Doing(own, partial(docker.run, build, place), prepare)]
        if step.get("isPushEnabled", True) and images:
            push = Step("push", push=images, timeout=_PUSH_TIMEOUT)
            doings.append(_Doing(push, partial(_push, docker, images)))
        return doings

    def _multi(self, docker: Docker, step: Json, place: Place, values: Values) -> list[_Doing]:
        if step["type"] == "FileTask":
            text = _read(place.folder, step.get("taskFilePath") or "acb.yaml")
            path = step.get("valuesFilePath")
            given = parse_values(_read(place.folder, path)) if path else {}
        else:
            text = _decode(step.get("encodedTaskContent"))
            given = parse_values(_decode(step.get("encodedValuesContent")))
        # Each is a text, and stands for the file's value of its name, whatever that is.
        given |= {
            entry["name"]: str(entry.get("value") or "") for entry in step.get("values") or []
        }
        az = AzCli(
            self._tools.network,
            self._tools.tokens,
            self._identity,
            self._exchanged,
            self._credentials,
            self._tell,
        )
        host, clock = self._registry.login_server, self._tools.clock
        performer = Performer(docker, az, host, clock, self._tell, self._ends)
        return [
            self._doing(one, docker, performer, place) for one in parse_steps(text, values, given)
        ]

    def _doing(self, step: Step, docker: Docker, performer: Performer, place: Place) -> _Doing:
        if step.push:
            # An image that is named twice is pushed once, as the agent does it.
            return _Doing(step, partial(_push, docker, _tagged(step.push)))
        if step.cmd:
            return _Doing(step, partial(performer.perform, step.script(), place.folder))
        asked = scanner.request(step.build)
        if not asked.remote:
            where = Place(place.folder, working_directory(step.directory or ""))
            do = partial(performer.perform, step.script(), place.folder)
            return _Doing(step, do, partial(self._scan, step, asked, where))
        # The context is fetched once, into a folder that the build begins in.
        below: list[str] = []

        def prepare() -> None:
            target = place.folder / step.id
            if target.exists():  # where the agent would clone into it
                target = Path(tempfile.mkdtemp(prefix=f"{step.id}-", dir=place.folder)) / "context"
            fetched = self._fetch(asked.context, "", target).folder
            below[:] = [str(fetched.relative_to(place.folder.resolve()))]
            self._scan(step, asked, Place(place.folder, f"{WORKSPACE}/{below[0]}"))

        def do_it() -> None:
            build = scanner.with_context(step.build, ".")
            performer.perform(step.script(build, below[0]), place.folder)

        return _Doing(step, do_it, prepare)

    def _identity(self, name: str) -> Principal:
        return self._tools.credentials.signed_in(name, self._task())

    def _exchanged(self, host: str, principal: Principal) -> str | None:
        registry = self._tools.state.by_host(host)
        return self._tools.service.auth.exchanged(registry, principal) if registry else None

    def _scan(self, step: Step, asked: Request, place: Place) -> None:
        """Look for what a build step is built on, as the agent does before it builds."""
        self.log("Scanning for dependencies...")
        name = asked.file or "Dockerfile"
        if not asked.file and not asked.remote:
            name = f"{asked.context}/Dockerfile"
        try:
            text = place.path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            shown = name.removeprefix("./")
            raise BuildError(f"unable to find {shown} in the context") from error
        try:
            scanned = scanner.scan(text, asked.arguments, asked.target)
            images = tuple(scanner.image_of(tag) for tag in asked.tags)
        except ScanError as error:
            raise BuildError(f"failed to scan dependencies: {error}") from error
        self._found.append(_Found(step, scanned, images))

    def _opened(self) -> Session:
        if self._session is None:
            raise BuildError("the builder is not open")
        return self._session

    def _carry_out(self, doing: _Doing) -> None:
        step = doing.step
        self.log(f"Executing step ID: {step.id}. Timeout(sec): {step.timeout}")
        if step.start_delay:
            self.log(f"Waiting {step.start_delay} seconds before executing step ID: {step.id}")
            self.wait(step.start_delay)
        try:
            if doing.prepare is not None:
                doing.prepare()
            for _ in range(1 + step.repeat):
                self._try(step, doing.do)
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
        self._expired.clear()

        def expire() -> None:
            self._expired.set()
            self._opened().interrupt()

        call_off = self._tools.clock.alarm(step.timeout, expire) if step.timeout else None
        try:
            do()
        except BuildError as error:
            if self._expired.is_set():
                raise _timed_out(step) from error
            raise
        finally:
            if call_off is not None:
                call_off()
        if self._expired.is_set():  # too late to be ended, but late
            raise _timed_out(step)

    def _record(self, docker: Docker, task: Task | None) -> list[Json]:
        """Record what build steps are built on; return what they made and somebody pushed.

        As in the agent, digests are looked for at the end: what docker has never seen, or a
        registry does not have, fails the run.
        """
        outputs: list[Json] = []
        dependencies: list[Json] = []
        for found in self._found:
            for image in found.images:
                digest = _inspected(docker, image)
                if split(image.reference) in docker.pushed:
                    outputs.append({**_wire(image), "digest": digest})
            kinds = [("Runtime", found.scanned.runtime)]
            kinds += [("BuildTime", image) for image in found.scanned.buildtime]
            for kind, image in kinds:
                digest = self._digest(docker, image, kit=found.step.kit)
                entry = {"type": kind, **_wire(image), "digest": digest}
                # One for each name that the step gives its image.
                dependencies += [dict(entry) for _ in range(max(1, len(found.images)))]
        if dependencies:
            self._tell_of(dependencies)
        if dependencies and task is not None:
            with self._tools.state.lock:
                task.properties["step"]["baseImageDependencies"] = dependencies
        return outputs

    def _digest(self, docker: Docker, image: ScannedImage, *, kit: bool) -> str:
        if image.digest or image.is_scratch:
            return image.digest
        if not kit:
            return _inspected(docker, image)
        with docker.client() as client:
            try:
                return client.manifest(*split(image.reference)).digest
            except BuildError as error:
                words = f"Failed to Resolve the reference '{image.reference}'"
                raise BuildError(f"{words}: {error}") from error

    def _tell_of(self, dependencies: Iterable[Json]) -> None:
        self.log("The following dependencies were found:")
        for found in dependencies:
            kind = "runtime" if found["type"] == "Runtime" else "buildtime"
            self.log(f"- {kind}-dependency:")
            for name in ("registry", "repository", "tag", "digest"):
                self.log(f"    {name}: {found[name]}")


def _inspected(docker: Docker, image: ScannedImage) -> str:
    """Return the digest that docker knows of an image; empty if no registry has it."""
    digest = docker.images.digest(image.reference)
    if digest is None:
        words = "failed to query digests, msg: Error: No such object"
        raise BuildError(f"{words}: {image.reference}")
    return digest


def _wire(image: ScannedImage) -> Json:
    return {"registry": image.registry, "repository": image.repository, "tag": image.tag}


def _push(docker: Docker, images: Iterable[str]) -> None:
    for image in images:
        docker.push(image)


def _tagged(images: Iterable[str]) -> list[str]:
    """Return images as the agent names them: `latest` where neither tag nor digest is said."""
    return list(dict.fromkeys(i if "@" in i or ":" in i else f"{i}:latest" for i in images))


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
