"""Runs: queued, begun when their registry has room, ended; what comes of them."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from localcloud.blobs import Blobs
from localcloud.builds.builder import Builder
from localcloud.builds.contexts import ContextError, Contexts
from localcloud.builds.credentials import Credentials
from localcloud.builds.execution import Execution, Tools
from localcloud.builds.job import BuildError
from localcloud.builds.scanner import ScanError
from localcloud.builds.words import ending
from localcloud.clock import Clock
from localcloud.directory import Directory
from localcloud.network import Network
from localcloud.registry import RegistryService
from localcloud.state import Registry, Run, State, acr_time
from localcloud.switches import AtLeast
from localcloud.tokens import Tokens

log = logging.getLogger(__name__)

_WORKERS = 16
_LOOK_SECONDS = 0.05
_DEFAULT_TIMEOUT = 3600.0
_EXITED = "failed during run, err: exit status 1"


@dataclass(slots=True)
class RunBehaviour:
    """How runs go.

    Attributes:
        concurrency: How many runs of one registry go on at once; the others stay Queued.
        paused: Whether no run begins.
        outcomes: How the next runs end without building, one each: Failed, Error, Canceled,
            Timeout.
        seconds: How many more seconds of cloud time each run takes.
    """

    concurrency: Annotated[int, AtLeast(1)] = 4
    paused: bool = False
    outcomes: list[Literal["Failed", "Error", "Canceled", "Timeout"]] = field(default_factory=list)
    seconds: float = 0.0


class Scheduler:
    """Runs what ARM has queued.

    Args:
        state: Registries, tasks and runs.
        clock: Cloud time.
        service: The registries' content and tokens.
        directory: Whose identities runs use.
        blobs: Where contexts were uploaded to.
        builder: Who builds.
        network: Where registries and ARM are.
        tokens: Who gives tokens to the identities of tasks.
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
        network: Network,
        tokens: Tokens,
        folder: Path,
    ) -> None:
        self.behaviour = RunBehaviour()
        self.contexts = Contexts(blobs)
        self._state = state
        self._clock = clock
        self._tools = Tools(
            state,
            clock,
            service,
            self.contexts,
            Credentials(state, service, directory),
            builder,
            network,
            tokens,
        )
        self._folder = folder
        self._pool = ThreadPoolExecutor(_WORKERS, "localcloud-run")
        self._changed = threading.Condition()
        self._queued: list[tuple[Registry, Run]] = []
        self._going: list[tuple[Registry, Run, Execution]] = []
        self._stopped = False
        self._dispatcher = threading.Thread(
            target=self._dispatch, name="localcloud-runs", daemon=True
        )
        self._dispatcher.start()

    def map_context(self, url: str, folder: Path, token: str | None = None) -> None:
        """Serve a build context's address from a folder or a git repository.

        Args:
            url: For example https://github.com/contoso/app.git.
            folder: A folder, a working copy or a bare repository.
            token: The access token that is needed to read it; None if none is.
        """
        self.contexts.map(url, folder, token)

    def submit(self, registry: Registry, run: Run) -> None:
        """Let a queued run begin when its registry has room."""
        with self._changed:
            self._queued.append((registry, run))
            self._changed.notify_all()

    def wait_idle(self, seconds: float) -> bool:
        """Wait until no run is queued or running; tell whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queued and not self._going, seconds)

    def stop(self) -> None:
        """End every run."""
        with self._changed:
            self._stopped = True
            self._queued.clear()
            going = list(self._going)
            self._changed.notify_all()
        for _, _, execution in going:
            execution.stop()
        self._dispatcher.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def cancel(self, run: Run) -> bool:
        """Cancel a run that is not over; tell whether there was one to cancel."""
        return self._halt(run, "Canceled")

    def _halt(self, run: Run, status: str, error: str | None = None) -> bool:
        """End a run that is not over with a status, at once."""
        with self._changed:
            if run.over:
                return False
            self._end(run, status, error)
            self._queued = [entry for entry in self._queued if entry[1] is not run]
            mine = [execution for _, going, execution in self._going if going is run]
            self._changed.notify_all()
        for execution in mine:
            execution.stop()
        return True

    def _dispatch(self) -> None:
        """Start queued runs, oldest first, until the scheduler stops."""
        with self._changed:
            while not self._stopped:
                for registry, run in list(self._queued):
                    if not self._has_room(registry):
                        continue
                    self._queued.remove((registry, run))
                    execution = Execution(self._tools, registry, run)
                    entry = (registry, run, execution)
                    self._going.append(entry)
                    future = self._pool.submit(self._run, registry, run, execution)
                    future.add_done_callback(partial(self._over, entry))
                # The behaviour is changed from outside without a word, so look again soon.
                self._changed.wait(_LOOK_SECONDS if self._queued else None)

    def _has_room(self, registry: Registry) -> bool:
        going = sum(1 for other, _, _ in self._going if other is registry)
        return not self.behaviour.paused and going < self.behaviour.concurrency

    def _over(self, entry: tuple[Registry, Run, Execution], done: Future[None]) -> None:
        with self._changed:
            self._going.remove(entry)
            self._changed.notify_all()
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("run %s: %s", entry[1].run_id, error, exc_info=error)

    def _run(self, registry: Registry, run: Run, execution: Execution) -> None:
        with self._state.lock:
            if run.over:
                return
            run.properties["status"] = "Running"
            run.properties["startTime"] = acr_time(self._clock.now())
        started = self._clock.elapsed()
        seconds = self._timeout(registry, run)
        over = f"the run's time, {seconds:g} seconds, is over"
        call_off = self._clock.alarm(seconds, lambda: self._halt(run, "Timeout", over))
        work = Path(tempfile.mkdtemp(prefix=f"{run.run_id}-", dir=self._folder))
        try:
            execution.wait(self.behaviour.seconds)
            if outcome := self._outcome():
                self._finish(registry, run, outcome, started, "the local cloud was told so")
                return
            outputs = execution.carry_out(work)
        except (BuildError, ScanError) as error:
            if isinstance(error, ContextError):
                told = error.summary
                log.warning("run %s: %s", run.run_id, execution.mask(error.reason))
            else:
                told = _EXITED
                for line in ending(str(error)):
                    execution.log(line)
            self._finish(registry, run, "Failed", started, execution.mask(str(error)), told)
        except Exception as error:
            log.exception("run %s of %s", run.run_id, registry.login_server)
            self._finish(registry, run, "Error", started, f"{type(error).__name__}: {error}")
        else:
            with self._state.lock:
                run.properties["outputImages"] = outputs
            self._finish(registry, run, "Succeeded", started, None)
        finally:
            call_off()
            shutil.rmtree(work, ignore_errors=True)

    def _outcome(self) -> str:
        with self._changed:
            return self.behaviour.outcomes.pop(0) if self.behaviour.outcomes else ""

    def _timeout(self, registry: Registry, run: Run) -> float:
        task = registry.tasks.get(str(run.properties.get("task")).lower())
        given = task.properties if task else run.request
        return float(given.get("timeout") or _DEFAULT_TIMEOUT)

    def _finish(
        self,
        registry: Registry,
        run: Run,
        status: str,
        started: float,
        error: str | None,
        told: str = _EXITED,
    ) -> None:
        seconds = int(self._clock.elapsed() - started)
        if status == "Succeeded":
            line = f"Run ID: {run.run_id} was successful after {seconds}s"
        else:
            line = f"Run ID: {run.run_id} failed after {seconds}s. Error: {told}"
        with self._state.lock:
            if not run.over:
                run.log.append(line)
                run.told = told if status == "Failed" else ""
                self._end(run, status, error)
        log.info("run %s of %s: %s", run.run_id, registry.login_server, run.properties["status"])

    def _end(self, run: Run, status: str, error: str | None) -> None:
        now = acr_time(self._clock.now())
        with self._state.lock:
            run.properties |= {
                "status": status,
                "finishTime": now,
                "lastUpdatedTime": now,
                "runErrorMessage": error,
            }
