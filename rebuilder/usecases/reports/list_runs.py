"""List the newest runs of a registry, with the trigger that ARM cannot know."""

from __future__ import annotations

from copy import replace

from msgspec import Struct

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import IMAGE_UPDATE, Run
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.usecases.context import Context
from rebuilder.usecases.history.lookups import rebuilds_since


class ListedRun(Struct, frozen=True):
    """A run, and the rebuild it belongs to if it is one of ours."""

    run: Run
    rebuild: Rebuild | None


def list_runs(context: Context, registry: RegistryId, top: int) -> list[ListedRun]:
    """Return the newest `top` runs of a registry, newest first.

    ARM shows a run that we scheduled as started by hand; the ledger knows that a base image was
    the reason.
    """
    runs = context.tasks.runs(registry, top=top)
    oldest = min((run.created for run in runs if run.created), default=context.now())
    ours: dict[tuple[str, str], Rebuild] = {}
    for name in {run.task.lower() for run in runs if run.task is not None}:
        since = rebuilds_since(context.ledger, TaskId(registry, name), oldest)
        ours |= {(name, each.run_id): each for each in since if each.run_id}
    listed = []
    for run in runs:
        rebuild = ours.get(((run.task or "").lower(), run.run_id))
        shown = replace(run, trigger=IMAGE_UPDATE) if rebuild else run
        listed.append(ListedRun(shown, rebuild))
    return listed
