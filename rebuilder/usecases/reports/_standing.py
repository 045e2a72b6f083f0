"""Compare what every task stands on with what its tags name now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from functools import partial

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry, TaskId
from rebuilder.core.audit.model import AuditFinding, DatedDecision
from rebuilder.core.audit.standing import Standing, judge
from rebuilder.core.decisions.decide import Base
from rebuilder.core.dependencies.index import unread
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt, attempts
from rebuilder.usecases.catch_up.missed import Follower, followers
from rebuilder.usecases.catch_up.poll_bases import polled_digest
from rebuilder.usecases.context import Context
from rebuilder.usecases.plan.deciding import decide_for

_AUDIT = "audit"


class Stood(Struct, frozen=True):
    """What the comparison found.

    Attributes:
        tags: How many tags were compared.
        findings: The tasks that do not stand on what a tag of theirs names.
        remarks: What could not be compared, and why.
    """

    tags: int
    findings: tuple[AuditFinding, ...]
    remarks: tuple[str, ...]


def stands(context: Context, patience: timedelta, *, ask: bool) -> Stood:
    """Compare what the index knows of every task with what its tags name now.

    Args:
        context: The ports.
        patience: How long something may take before it counts as lost.
        ask: Whether base registries are asked what their tags name; else the newest push tells.

    Raises:
        TransientError: The index could not be read.
    """
    following = followers(context)
    refreshed = context.index.refreshes()
    remarks = [
        f"the tasks of {registry} were never all read"
        for registry in context.settings.task_registries
        if registry not in refreshed
    ]
    findings: list[AuditFinding] = []
    compare = partial(_compare, context, following, patience, ask=ask)
    for reference, found in zip(following, attempts(compare, following), strict=True):
        if isinstance(found, RebuilderError):
            remarks.append(f"what stands on {reference}: {found}")
        else:
            findings += found
    return Stood(len(following), tuple(findings), tuple(remarks))


def _compare(
    context: Context,
    following: Mapping[ImageReference, Iterable[Follower]],
    patience: timedelta,
    reference: ImageReference,
    *,
    ask: bool,
) -> list[AuditFinding]:
    push = _now_named(context, reference, ask=ask)
    if push is None:
        return []  # the tag is gone, or nobody has seen what it names: nobody can be built on it
    image = str(reference.at(push.digest))
    heads = context.ledger.heads({follower.task for follower in following[reference]})
    behind: dict[TaskId, str | None] = {}
    for follower in following[reference]:
        head = heads.get(follower.task)
        if follower.built_on != push.digest:
            behind[follower.task] = follower.built_on
        elif (
            # What is recorded need not be what the run read: the tag may have come back since.
            head is not None
            and _in_doubt(context, head, reference, image)
            and _to_rebuild(context, head, reference, push)
        ):
            behind[follower.task] = None
    if not behind:
        return []
    known = context.ledger.push(push.key)
    since = None if known is None else known.last_at
    if known is None and not isinstance(push.registry, ForeignRegistry):
        created = attempt(
            lambda digest: context.images.created(reference.domain, reference.path, digest),
            push.digest,
        )
        since = None if isinstance(created, RebuilderError) else created
    now = context.now()
    judged = (
        judge(
            Standing(
                task,
                push,
                image,
                since,
                built_on,
                head,
                _success(context, head),
                () if known is None else tuple(_decided(context, push, task)),
            ),
            now,
            patience,
        )
        for task, built_on in behind.items()
        for head in (heads.get(task),)
    )
    return [finding for finding in judged if finding is not None]


def _in_doubt(context: Context, head: Rebuild, reference: ImageReference, image: str) -> bool:
    """Tell whether the newest rebuild that succeeded was on another digest of the tag."""
    success = _success(context, head)
    bases = () if success is None else success.bases
    return image not in bases and any(base.startswith(f"{reference}@") for base in bases)


def _to_rebuild(context: Context, head: Rebuild, reference: ImageReference, push: Push) -> bool:
    indexed = context.index.view(head.task)
    base = Base(reference, push.digest, "registry")
    return indexed is not None and decide_for(context, unread(indexed.view), base).rebuild


def _success(context: Context, head: Rebuild | None) -> Rebuild | None:
    return None if head is None else context.ledger.newest_success(head.task)


def _decided(context: Context, push: Push, task: TaskId) -> Iterator[DatedDecision]:
    for record in context.ledger.decisions(push, task):
        yield DatedDecision(record.decision, record.last_at)


def _now_named(context: Context, reference: ImageReference, *, ask: bool) -> Push | None:
    """Return the push of what a tag names now; None if it names nothing, or nobody knows what."""
    tag = reference.tag or ""
    registry = context.base_registry(reference.domain)
    if registry is None:
        foreign = ForeignRegistry(reference.domain)
        digest = polled_digest(context, reference)
        return None if digest is None else Push(foreign, reference.path, tag, digest, None, _AUDIT)
    if not ask:
        newest = context.ledger.pushes(registry, reference.path, tag, 1)
        return newest[0].push if newest else None
    digest = context.images.digest(reference.domain, reference.path, tag)
    return None if digest is None else Push(registry, reference.path, tag, digest, None, _AUDIT)
