"""Decide for a task with what its registry and the ledger know."""

from __future__ import annotations

import logging
from dataclasses import replace

from rebuilder.core.decisions import (
    AlreadyBuiltOn,
    Base,
    NothingRecorded,
    TaskDecision,
    decide,
)
from rebuilder.core.events import Push
from rebuilder.core.rebuilds import State
from rebuilder.core.references import ImageReference
from rebuilder.core.tasks import RunStatus, Task
from rebuilder.errors import Denied
from rebuilder.usecases._access import missing_pull
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

# Looking for the last successful run; a task with more failures than this in a row has bigger
# problems than a base that moved during a build.
_RUNS = 15


def pushed_reference(context: Context, push: Push) -> ImageReference:
    """Return the tag that was pushed, under its registry's login server."""
    return ImageReference.from_parts(context.host(push.registry), push.repository, push.tag, "")


def current_base(context: Context, reference: ImageReference, otherwise: str) -> Base | None:
    """Return what a tag names now; None if the tag is gone.

    Args:
        context: Where to look.
        reference: The tag.
        otherwise: The digest to go by if the registry does not let us look.
    """
    try:
        digest = context.images.digest(reference.domain, reference.path, reference.tag or "")
    except Denied as error:
        log.warning("%s: going by the event's digest %s: %s", reference, otherwise, error)
        return Base(reference, otherwise, "event")
    return None if digest is None else Base(reference, digest, "registry")


def decide_for(context: Context, task: Task, base: Base) -> TaskDecision:
    """Decide, and do not take the record's word for it if it already names the new digest.

    A BuildKit run records what the tag names when it ends. Only a rebuild of ours that succeeded
    on the digest, or a run that began when the digest was there, proves that it was used.
    """
    decision = decide(task, base)
    if isinstance(decision, NothingRecorded) and base.reference.domain in task.signs_in_to:
        # It is meant to be built on something there, and never was.
        return missing_pull(context, task, base.reference.domain) or decision
    if not isinstance(decision, AlreadyBuiltOn):
        return decision
    head = context.ledger.head(task.id)
    proof = str(base.reference.at(base.digest))
    if head is not None and head.state is State.SUCCEEDED and proof in head.bases:
        return replace(decision, known_from="ledger of rebuilds")
    try:
        since = context.images.created(base.reference.domain, base.reference.path, base.digest)
    except Denied:
        return decision
    started = [
        run.started
        for run in context.tasks.runs(task.id.registry, task=task.id.name, top=_RUNS)
        if run.status is RunStatus.SUCCEEDED and run.started is not None
    ]
    return decide(task, replace(base, since=since), max(started, default=None))
