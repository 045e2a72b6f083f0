"""ACR's own base image trigger: whether it could see a dependency, and whether its run came."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry
from rebuilder.core.acr.tasks import Run, RunStatus, Task
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.policy import Policy, RebuildFor, follows, wants
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.errors import InvalidReference
from rebuilder.ports.acr import NEWEST_RUNS
from rebuilder.usecases.context import Context
from rebuilder.usecases.history.lookups import rebuilds_since
from rebuilder.usecases.plan.moves import tag_moved_at

log = logging.getLogger(__name__)

_ITS_OWN = Policy(RebuildFor.TRIGGER)

# Foreign hosts that ACR looks at by itself, and how often at least: "a random interval of between
# 10 and 60 minutes"; learn.microsoft.com, "About base image updates for ACR Tasks".
_POLLED = frozenset({"docker.io", "mcr.microsoft.com"})
_POLL = timedelta(minutes=60)


def could_see(task: Task, base: Base, push: Push) -> bool:
    """Tell whether a task's own trigger is on and knows the dependency.

    Args:
        task: The task as ARM tells of it: its dependencies are those of ACR's record.
        base: The tag that moved.
        push: The push that told so.
    """
    if isinstance(push.registry, ForeignRegistry) and push.registry.host not in _POLLED:
        return False
    return task.native_trigger and any(
        follows(dependency, base.reference) and wants(task, dependency, _ITS_OWN)
        for dependency in task.dependencies
    )


def wait_until(context: Context, push: Push) -> datetime:
    """Return until when the native run is waited for."""
    now = context.now()
    # An event may be late; a clock of somebody else may be ahead.
    pushed = min(push.pushed_at or now, now)
    polled = isinstance(push.registry, ForeignRegistry)
    return pushed + context.settings.native_wait + (_POLL if polled else timedelta())


class Runs(Struct, frozen=True):
    """The newest runs of a task that others than we start, too.

    Attributes:
        newest: The runs, newest first, ours among them; empty if only we start some.
        ours: The ids of those that are ours, or were adopted.
    """

    newest: tuple[Run, ...] = ()
    ours: frozenset[str | None] = frozenset()

    def native(self, base: Base) -> Run | None:
        """Return the run that the trigger started for a base, if there is one.

        One that is over counts only while no run that succeeded has ended later: that one made
        the image that is there now.
        """
        succeeded = (run for run in self.newest if run.status is RunStatus.SUCCEEDED)
        made = max((run.finished for run in succeeded if run.finished), default=None)
        for run in self.newest:
            useless = run.finished is not None and made is not None and run.finished < made
            if run.run_id not in self.ours and not useless and _moved(run, base):
                return run
        return None

    def under_way(self, before: Run | None = None) -> Run | None:
        """Return a run of somebody else's that is not over, if there is one.

        It may have begun on an older image, and whichever run ends last makes the image that stays.

        Args:
            before: Only runs that are older than this one.
        """
        older = self.newest if before is None else self.newest[self.newest.index(before) + 1 :]
        flying = (run for run in older if not run.status.terminal and run.run_id not in self.ours)
        return next(flying, None)

    def ended_since(self, time: datetime) -> bool:
        """Tell whether some run has ended since a time."""
        return any(run.finished is not None and run.finished > time for run in self.newest)


def newest_runs(context: Context, task: Task) -> Runs:
    """Read the newest runs of a task, if others than we start some.

    Runs that somebody starts by hand are not looked for: that would be a request for each build.
    """
    if not (task.native_trigger or task.other_triggers):
        return Runs()
    found = context.tasks.runs(task.id.registry, task=task.id.name, top=NEWEST_RUNS)
    oldest = min((run.created for run in found if run.created), default=context.now())
    since = rebuilds_since(context.ledger, task.id, oldest)
    return Runs(tuple(found), frozenset(rebuild.run_id for rebuild in since))


def newer_run(context: Context, rebuild: Rebuild) -> Run | None:
    """Return a run of the task that succeeded and ended after a rebuild's: it made the image."""
    runs = context.tasks.runs(rebuild.task.registry, task=rebuild.task.name, top=NEWEST_RUNS)
    own = next((run for run in runs if run.run_id == rebuild.run_id), None)
    ended = rebuild.finished_at if own is None else own.finished
    for run in runs:
        later = run.finished is not None and (ended is None or run.finished > ended)
        if run.status is RunStatus.SUCCEEDED and run.run_id != rebuild.run_id and later:
            return run
    return None


def used_bases(context: Context, run: Run, rebuild: Rebuild, base: Base) -> list[Base] | None:
    """Return what a native run for a base is known to have used of what the task's tags name now.

    Returns:
        The base and others, but no foreign one of which nobody knows since when its tag names the
        digest: the poll finds out. None if one came after the run began: it was missed. So was the
        base itself if the run was for it when it came first, and it came back after the run began.
    """
    if run.started is not None and base.known_from != "poll":
        since = tag_moved_at(context, base)
        if since is not None and run.started < since:
            return None
    used = [base]
    for other in rebuild.bases:
        name, _, digest = other.rpartition("@")
        reference = ImageReference.parse(name)
        if reference == base.reference:
            continue
        foreign = context.base_registry(reference.domain) is None
        found = Base(reference, digest, "poll" if foreign else "registry")
        if run.started is not None:  # else it reads what the tags name when it begins
            since = tag_moved_at(context, found)
            if since is not None and run.started < since:
                return None
            if since is None and foreign:
                continue
        used.append(found)
    return used


def _moved(run: Run, base: Base) -> bool:
    """Tell whether a base is among the images that started a run."""
    moved = base.reference.at(base.digest)
    for image in run.moved:
        try:
            # ARM's names are not always ours: Docker Hub has several.
            if ImageReference.parse(image) == moved:
                return True
        except InvalidReference as error:
            log.warning("run %s: what started it is left out: %s", run.run_id, error)
    return False
