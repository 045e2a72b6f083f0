"""ACR tasks and runs through ARM."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from azure.core.credentials import TokenCredential
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient, models

from rebuilder.azure._clients import Clients
from rebuilder.azure._errors import answered
from rebuilder.azure._places import host_of, is_of
from rebuilder.azure.acr._answers import name_of, run_of, task_of, text_of
from rebuilder.azure.acr._run_cache import RunCache
from rebuilder.azure.acr._task_cache import TaskCache
from rebuilder.azure.acr.log_ends import LinkExpired, LogEnds
from rebuilder.azure.throttle import ArmThrottle, arm_options
from rebuilder.azure.throttle import Kind as Counted
from rebuilder.core.acr.registries import Registry, RegistryId, TaskId
from rebuilder.core.acr.tasks import Run, Task
from rebuilder.errors import NotFound, Refused, TransientError
from rebuilder.ports.acr import LogPart, TaskPage

log = logging.getLogger(__name__)

_NEWEST = 100
_HURRY_SECONDS = 10.0
_LINKS = 100
"""How many addresses of logs are kept at most."""


class ArmTasks:
    """A Tasks; see rebuilder.ports.

    Args:
        credential: The identity.
        arm_endpoint: ARM's address, without a slash at the end.
        throttle: Bounds the requests under way.
        clock: Seconds that only grow, by which answers about runs and tasks get old.
    """

    def __init__(
        self,
        credential: TokenCredential,
        arm_endpoint: str,
        throttle: ArmThrottle | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._throttle = throttle or ArmThrottle()
        self._clock = clock
        self._looks: dict[RegistryId, RunCache] = {}
        self._lists: dict[RegistryId, TaskCache] = {}
        self._log_ends = LogEnds()
        self._links: dict[tuple[RegistryId, str], str] = {}
        self._options = arm_options(arm_endpoint)
        self._registries = Clients(
            lambda subscription: ContainerRegistryManagementClient(
                credential, subscription, **self._options
            )
        )
        self._tasks = Clients(
            lambda subscription: ContainerRegistryTasksMgmtClient(
                credential, subscription, **self._options
            )
        )

    def close(self) -> None:
        """Close the connections."""
        self._registries.close()
        self._tasks.close()
        self._log_ends.close()

    def registry(self, registry: RegistryId) -> Registry:
        """Read a registry; see Tasks."""
        operations = self._registries[registry.subscription].registries
        with self._throttle.request(registry), answered(f"read {registry}"):
            found = operations.get(registry.resource_group, registry.name)
            properties = found.properties
            return Registry(registry, str(properties.login_server if properties else ""))

    def tasks(self, registry: RegistryId) -> Iterator[Task]:
        """Read every task of a registry; see Tasks."""
        after: str | None = ""
        while after is not None:
            page = self.page(registry, after)
            yield from page.tasks
            yield from map(self.task, page.brief)
            after = page.after

    def page(self, registry: RegistryId, after: str = "") -> TaskPage:
        """Read some of the tasks of a registry; see Tasks."""
        if after and not is_of(after, str(self._options["base_url"])):
            # The place was stored, and the identity's token is sent to where it is.
            raise Refused("InvalidPlace", f"{registry}: {host_of(after)} is not ARM")
        found: list[models.Task] = []
        operations = self._client(registry).tasks
        with self._throttle.request(registry), answered(f"list the tasks of {registry}"):
            pages = operations.list(registry.resource_group, registry.name).by_page(after or None)
            found += next(pages, ())
            names = [name_of(entry.name) for entry in found]
        tasks, brief, written = [], [], {}
        for name, entry in zip(names, found, strict=True):
            task_id = TaskId(registry, name)
            if entry.system_data and entry.system_data.last_modified_at:
                written[task_id] = entry.system_data.last_modified_at
            try:
                with answered(f"read {task_id}"):
                    step = entry.properties.step if entry.properties else None
                    # Whether the list carries them is not documented.
                    whole = step is None or step.base_image_dependencies is not None
                    listed = task_of(task_id, entry) if whole else None
            except TransientError as error:
                # Read by itself, it fails by itself.
                log.warning("%s", error)
                listed = None
            if listed is None:
                brief.append(task_id)
            else:
                tasks.append(listed)
        following = str(getattr(pages, "continuation_token", None) or "")
        return TaskPage(tuple(tasks), tuple(brief), following or None, written)

    def task(self, task: TaskId, age: timedelta = timedelta()) -> Task:
        """Read one task; see Tasks."""
        if age > timedelta():
            tasks = self._lists.get(task.registry)
            if tasks is None:
                tasks = TaskCache(partial(self.page, task.registry), self._clock)
                tasks = self._lists.setdefault(task.registry, tasks)
            if found := tasks.get(task, age):
                return found
        group, registry = task.registry.resource_group, task.registry.name
        with self._throttle.request(task.registry), answered(f"read {task}"):
            return task_of(task, self._client(task.registry).tasks.get(group, registry, task.name))

    def secrets(self, task: TaskId) -> frozenset[str]:
        """Read the names of a task's secret arguments; see Tasks.

        The answer has their values and the tokens of its triggers, too: none of it is kept.
        """
        group, registry = task.registry.resource_group, task.registry.name
        what = f"read the details of {task}"
        with self._throttle.request(task.registry, Counted.WRITE, _HURRY_SECONDS), answered(what):
            found = self._client(task.registry).tasks.get_details(group, registry, task.name)
        step = found.properties.step if found.properties else None
        given = step.arguments if isinstance(step, models.DockerBuildStep) else None
        return frozenset(text_of(entry.name) for entry in given or () if entry.is_secret)

    def schedule(self, task: TaskId, token: str) -> str:
        """Start a run of a task; see Tasks."""
        request = models.TaskRunRequest(
            task_id=_arm_id(task),
            override_task_step_properties=models.OverrideTaskStepProperties(
                update_trigger_token=token
            ),
        )
        began = time.monotonic()

        def in_time(_: object) -> None:
            # Called when the request is about to be sent. What comes before, a place and a token,
            # may take longer than the caller's lease.
            late = time.monotonic() - began
            if late > _HURRY_SECONDS:
                raise TransientError(f"schedule {task}: not sent, for it took {late:.0f} s so far")

        with (
            self._throttle.request(task.registry, Counted.WRITE, _HURRY_SECONDS),
            answered(f"schedule {task}", once=True),
        ):
            # azure-core sends a POST again after 500, 503, 504 and any Retry-After; each time
            # would be another run.
            run = self._client(task.registry).registries.schedule_run(
                task.registry.resource_group,
                task.registry.name,
                request,
                retry_total=0,
                permit_redirects=False,
                raw_request_hook=in_time,
            )
            return str(run.properties.run_id if run.properties else run.name)

    def run(self, registry: RegistryId, run_id: str) -> Run:
        """Read one run; see Tasks."""
        looks = self._looks.get(registry)
        if looks is None:
            looks = RunCache(lambda: self._run_pages(registry), self._clock)
            looks = self._looks.setdefault(registry, looks)
        if found := looks.get(run_id):
            return found
        with self._throttle.request(registry), answered(f"read run {run_id} of {registry}"):
            runs = self._client(registry).runs
            return run_of(runs.get(registry.resource_group, registry.name, run_id))

    def _run_pages(self, registry: RegistryId) -> Iterator[list[Run]]:
        pages = self._client(registry).runs.list(registry.resource_group, registry.name).by_page()
        while True:
            with self._throttle.request(registry), answered(f"list the runs of {registry}"):
                page = next(pages, None)
                found = None if page is None else [run_of(run) for run in page]
            if found is None:
                return
            yield found

    def runs(self, registry: RegistryId, *, task: str | None = None, top: int) -> list[Run]:
        """Read the newest runs; see Tasks."""
        if task is None:
            return self._runs(registry, None, top)
        # Task ids have no case here; whether the filter minds it is not documented.
        found = self._runs(registry, f"TaskName eq '{task}'", top)
        found = found or self._runs(registry, None, _NEWEST)
        return [run for run in found if (run.task or "").lower() == task.lower()][:top]

    def _runs(self, registry: RegistryId, wanted: str | None, top: int) -> list[Run]:
        found: list[Run] = []
        with self._throttle.request(registry), answered(f"list the runs of {registry}"):
            pages = self._client(registry).runs.list(
                registry.resource_group, registry.name, filter=wanted, top=top
            )
            for run in pages:
                found.append(run_of(run))
                if len(found) == top:
                    break
        return found

    def log_end(self, registry: RegistryId, run_id: str) -> str:
        """Read the end of a run's log; see Tasks."""
        what = f"read the log of run {run_id} of {registry}"
        return self._log_ends.read(self._log_link(registry, run_id, what), what)

    def log_part(self, registry: RegistryId, run_id: str, place: str) -> LogPart:
        """Read a part of a run's log; see Tasks.

        The address is kept here while a log is read, and nowhere else.
        """
        what = f"read the log of run {run_id} of {registry}"
        known = self._links.get((registry, run_id))
        if known is not None:
            try:
                return self._log_ends.part(known, what, place)
            except LinkExpired:
                log.info("%s: its address is asked for again", what)
        link = self._log_link(registry, run_id, what)
        if len(self._links) >= _LINKS:
            self._links.clear()
        self._links[registry, run_id] = link
        return self._log_ends.part(link, what, place)

    def _log_link(self, registry: RegistryId, run_id: str, what: str) -> str:
        with self._throttle.request(registry, Counted.WRITE, _HURRY_SECONDS), answered(what):
            runs = self._client(registry).runs
            found = runs.get_log_sas_url(registry.resource_group, registry.name, run_id)
        if not found.log_link:
            raise NotFound(f"{what}: there is none")
        return str(found.log_link)

    def _client(self, registry: RegistryId) -> ContainerRegistryTasksMgmtClient:
        return self._tasks[registry.subscription]


def _arm_id(task: TaskId) -> str:
    """Return the id as ARM writes it: whether a body's ids have no case is not documented."""
    registry = task.registry
    return (
        f"/subscriptions/{registry.subscription}/resourceGroups/{registry.resource_group}"
        f"/providers/Microsoft.ContainerRegistry/registries/{registry.name}/tasks/{task.name}"
    )
