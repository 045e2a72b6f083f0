"""Runs: queued, run by a worker, ended; with their log, outputs and dependencies."""

from __future__ import annotations

import io
import logging
import re
import shutil
import tarfile
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from localcloud.blobs import Blobs
from localcloud.builds.client import split
from localcloud.builds.credentials import Credentials
from localcloud.builds.job import Builder, BuildError, Job
from localcloud.builds.scanner import ScanError, ScannedImage, scan
from localcloud.clock import Clock
from localcloud.directory import Directory
from localcloud.registry import RegistryService
from localcloud.state import Json, Registry, Run, State, Task, azure_time

log = logging.getLogger(__name__)

_TEMPLATE = re.compile(r"\{\{\s*\.?Run\.(\w+)\s*\}\}")
_WORKERS = 4


class Scheduler:
    """Runs what ARM has queued.

    Args:
        state: Registries, tasks and runs.
        clock: Cloud time.
        service: The registries' content and tokens.
        directory: Whose identities runs use.
        blobs: Where contexts were uploaded to.
        builder: Who builds.
        folder: For the builder's work.
    """

    def __init__(
        self,
        state: State,
        clock: Clock,
        service: RegistryService,
        directory: Directory,
        blobs: Blobs,
        builder: Builder,
        folder: Path,
    ) -> None:
        self._state = state
        self._clock = clock
        self._service = service
        self._credentials = Credentials(state, service, directory)
        self._blobs = blobs
        self._builder = builder
        self._folder = folder
        self._contexts: dict[str, Path] = {}
        self._pool = ThreadPoolExecutor(_WORKERS, "localcloud-run")
        self._futures: set[Future[None]] = set()
        self._lock = threading.Lock()

    def map_context(self, url: str, folder: Path) -> None:
        """Serve a build context's address from a folder."""
        self._contexts[_context_key(url)] = folder

    def submit(self, registry: Registry, run: Run) -> None:
        """Let a queued run begin when a worker is free."""
        future = self._pool.submit(self._run, registry, run)
        with self._lock:
            self._futures.add(future)
        future.add_done_callback(self._forget)

    def _forget(self, future: Future[None]) -> None:
        with self._lock:
            self._futures.discard(future)

    def wait_idle(self, seconds: float) -> bool:
        """Wait until no run is queued or running; tell whether that came in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._lock:
                if not self._futures:
                    return True
            time.sleep(0.01)
        return False

    def stop(self) -> None:
        """End every run."""
        self._builder.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def cancel(self, run: Run) -> bool:
        """Cancel a run that is not over; tell whether there was one to cancel."""
        with self._state.lock:
            if run.properties["status"] not in ("Queued", "Started", "Running"):
                return False
            self._end(run, "Canceled")
            return True

    def _run(self, registry: Registry, run: Run) -> None:
        with self._state.lock:
            if run.properties["status"] != "Queued":
                return
            run.properties["status"] = "Running"
            run.properties["startTime"] = azure_time(self._clock.now())
        started = self._clock.elapsed()
        work = Path(tempfile.mkdtemp(prefix=f"{run.run_id}-", dir=self._folder))
        try:
            outputs = self._build(registry, run, work)
        except (BuildError, ScanError) as error:
            self._log(run, f"failed to run step ID: build: {error}")
            self._finish(registry, run, "Failed", started, str(error))
        except Exception as error:
            log.exception("run %s of %s", run.run_id, registry.login_server)
            self._finish(registry, run, "Error", started, f"{type(error).__name__}: {error}")
        else:
            with self._state.lock:
                run.properties["outputImages"] = outputs
            self._finish(registry, run, "Succeeded", started, None)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _finish(
        self, registry: Registry, run: Run, status: str, started: float, error: str | None
    ) -> None:
        seconds = int(self._clock.elapsed() - started)
        word = "was successful" if status == "Succeeded" else "failed"
        self._log(run, f"Run ID: {run.run_id} {word} after {seconds}s")
        with self._state.lock:
            if run.properties["status"] != "Canceled":
                run.properties["runErrorMessage"] = error
                self._end(run, status)
        log.info("run %s of %s: %s", run.run_id, registry.login_server, status)

    def _end(self, run: Run, status: str) -> None:
        now = azure_time(self._clock.now())
        run.properties |= {"status": status, "finishTime": now, "lastUpdatedTime": now}

    def _log(self, run: Run, line: str) -> None:
        stamp = self._clock.now().strftime("%Y/%m/%d %H:%M:%S")
        with self._state.lock:
            run.log.append(f"{stamp} {line}")

    def _build(self, registry: Registry, run: Run, work: Path) -> list[Json]:
        request, task = run.request, self._task_of(registry, run)
        step = _step(request, task)
        context = self._context(step.get("contextPath", ""), work / "context", run)
        dockerfile = step.get("dockerFilePath") or "Dockerfile"
        values = self._values(registry, run)
        arguments = {
            item["name"]: _fill(str(item.get("value") or ""), values)
            for item in step.get("arguments") or []
        }
        names = [_fill(name, values) for name in step.get("imageNames") or []]
        images = tuple(_full_name(registry, name) for name in names)
        target = step.get("target") or ""
        path = (context / dockerfile).resolve()
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise BuildError(f"unable to find {dockerfile} in the context") from error
        if not path.is_relative_to(context.resolve()):
            raise BuildError(f"{dockerfile} is outside of the context")
        self._log(run, "Scanning for dependencies...")
        scanned = scan(text, arguments, target)
        job_folder = work / "builder"
        job_folder.mkdir()
        job = Job(
            context,
            dockerfile,
            images,
            arguments,
            target,
            bool(step.get("isPushEnabled", True)),
            job_folder,
            self._credentials.of(registry, run, task),
        )
        self._log(run, "Launching build step")

        def tell(line: str) -> None:
            if run.properties["status"] == "Canceled":
                raise BuildError("the run was canceled")
            self._log(run, line)

        digests = self._builder.build(job, tell)
        dependencies = self._dependencies(scanned.runtime, scanned.buildtime, len(images))
        self._log(run, "The following dependencies were found:")
        for found in dependencies:
            kind = "runtime" if found["type"] == "RunTime" else "buildtime"
            self._log(run, f"- {kind}-dependency:")
            for name in ("registry", "repository", "tag", "digest"):
                self._log(run, f"    {name}: {found[name]}")
        if task is not None:
            with self._state.lock:
                task.properties["step"]["baseImageDependencies"] = dependencies
        return [
            {
                "registry": registry.login_server,
                "repository": split(image)[1],
                "tag": split(image)[2],
                "digest": digest,
            }
            for image, digest in digests.items()
        ]

    def _task_of(self, registry: Registry, run: Run) -> Task | None:
        name = run.properties.get("task")
        with self._state.lock:
            return registry.tasks.get(name.lower()) if name else None

    def _values(self, registry: Registry, run: Run) -> dict[str, str]:
        return {
            "ID": run.run_id,
            "Registry": registry.login_server,
            "RegistryName": registry.name,
            "Date": self._clock.now().strftime("%Y%m%d-%H%M%Sz"),
            "OS": "linux",
            "Architecture": "amd64",
        }

    def _context(self, address: str, folder: Path, run: Run) -> Path:
        """Fetch a context into a folder; return the folder to build in."""
        self._log(run, "Downloading source code...")
        uploaded = self._blobs.read(address)
        if uploaded is not None:
            folder.mkdir()
            try:
                with tarfile.open(fileobj=io.BytesIO(uploaded)) as archive:
                    archive.extractall(folder, filter="data")
            except (tarfile.TarError, OSError) as error:
                raise BuildError(f"the context cannot be unpacked: {error}") from error
            inside = "."
        else:
            url, _, fragment = address.partition("#")
            source = self._contexts.get(_context_key(url))
            if source is None:
                raise BuildError(f"failed to download context: {url} is not mapped to a folder")
            shutil.copytree(source, folder)
            inside = fragment.partition(":")[2] or "."
        self._log(run, "Finished downloading source code")
        chosen = (folder / inside).resolve()
        if not chosen.is_dir() or not chosen.is_relative_to(folder.resolve()):
            raise BuildError(f"the context has no folder {inside}")
        return chosen

    def _dependencies(
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
        registry = self._state.by_host(image.registry) or self._service.hub()
        manifest = self._service.manifest(registry, image.repository, image.tag)
        return manifest.digest if manifest else ""


def _step(request: Json, task: Task | None) -> Json:
    if task is None:
        return {**request, "contextPath": request.get("sourceLocation", "")}
    step: Json = dict(task.properties.get("step") or {})
    if step.get("type") != "Docker":
        raise BuildError(f"the local cloud does not run {step.get('type')} steps")
    override = request.get("overrideTaskStepProperties") or {}
    if override.get("contextPath"):
        step["contextPath"] = override["contextPath"]
    if override.get("file"):
        step["dockerFilePath"] = override["file"]
    if override.get("target"):
        step["target"] = override["target"]
    if override.get("arguments"):
        merged = {item["name"]: item for item in step.get("arguments") or []}
        merged |= {item["name"]: item for item in override["arguments"]}
        step["arguments"] = list(merged.values())
    return step


def _fill(text: str, values: Mapping[str, str]) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise BuildError(f"the template {match[0]} is not known")
        return values[match[1]]

    return _TEMPLATE.sub(one, text)


def _full_name(registry: Registry, name: str) -> str:
    host = name.partition("/")[0]
    full = name if "." in host and "/" in name else f"{registry.login_server}/{name}"
    return full if ":" in full.rpartition("/")[2] else f"{full}:latest"


def _context_key(url: str) -> str:
    return url.partition("#")[0].lower().removesuffix("/").removesuffix(".git")
