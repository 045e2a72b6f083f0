"""What tags name now: the one that was pushed, and the others that a task reads."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry, PushedRegistry
from rebuilder.core.acr.tasks import Task
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.policy import wants
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.errors import Denied, PermanentError, RebuilderError
from rebuilder.settings.table import BASE_REGISTRIES, POLL_HOSTS
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)


def pushed_reference(context: Context, push: Push) -> ImageReference:
    """Return the tag that was pushed, under its registry's login server."""
    return ImageReference.from_parts(context.host(push.registry), push.repository, push.tag, "")


def not_named(context: Context, registry: PushedRegistry) -> str:
    """Return the setting that does not name the registry of a push; "" if it is named.

    Messages outlive the settings, and whoever may write into a queue may forge one.
    """
    settings = context.settings
    if isinstance(registry, ForeignRegistry):
        return "" if settings.polls(registry.host) else POLL_HOSTS
    return "" if registry in settings.base_registries else BASE_REGISTRIES


def pushed_base(context: Context, reference: ImageReference, push: Push) -> Base | None:
    """Return what the tag of a push names now; None if it is gone.

    If a foreign registry does not let us look, what the poll saw last counts: the newest push of
    the tag, which need not be this one, for messages overtake each other.

    Raises:
        TransientError: The registry cannot be asked now. A build could not pull from it either.
        Denied: A base registry may not be read. An event may be old, so that its digest alone is
            no reason to build.
    """
    if isinstance(push.registry, ForeignRegistry):
        return _foreign_pushed(context, reference, push)
    try:
        digest = context.images.digest(reference.domain, reference.path, reference.tag or "")
    except Denied as error:
        raise Denied(
            f"{error}; give the function app's identity AcrPull on {push.registry}, or Container"
            " Registry Repository Reader if it goes by repository permissions"
        ) from error
    return None if digest is None else Base(reference, digest, "registry")


def _foreign_pushed(context: Context, reference: ImageReference, push: Push) -> Base | None:
    try:
        digest = context.foreign.look(reference, None).digest
    except PermanentError as error:
        log.warning("%s: going by what was seen last: %s", reference, error)
        newest = context.ledger.pushes(push.registry, push.repository, push.tag, limit=1)
        if not newest:
            raise  # no poll has told of it, whatever the message says
        return Base(reference, newest[0].push.digest, "poll")
    return None if digest is None else Base(reference, digest, "poll")


def registry_remark(context: Context, push: Push) -> str:
    """Return what its registry knows otherwise of a push; "" if it knows it as it was told.

    An event may be forged, and a tag be moved or deleted since.
    """
    if isinstance(push.registry, ForeignRegistry):
        return ""
    try:
        reference = pushed_reference(context, push)
        names = context.images.digest(reference.domain, reference.path, push.tag)
        if names == push.digest:
            return ""
        known = context.images.created(reference.domain, reference.path, push.digest)
    except RebuilderError as error:
        return f"whether the registry knows of it could not be asked: {error}"
    if known is None:
        return (
            "the registry has no manifest of this digest: it was deleted since, or never was there"
            " and the event was wrong"
        )
    if names is None:
        return "the tag is gone from the registry: tasks that follow it follow nothing"
    return f"the tag names {names} now"


def other_bases(context: Context, task: Task, pushed: Base, head: Rebuild | None) -> list[Base]:
    """Return what the task's other tags name now: a run will use them too.

    Args:
        context: Where to look.
        task: The task, with every dependency that is known of it.
        pushed: The tag that was pushed.
        head: The task's newest rebuild, which tells of a foreign tag that cannot be looked at now.
    """
    policy = context.settings.policy
    recorded = {
        dependency.reference: dependency.built_on or ""
        for dependency in task.dependencies
        if dependency.reference.digest is None
        and dependency.reference != pushed.reference
        and wants(task, dependency, policy)
    }
    found = [
        _other_base(context, reference, built_on)
        if context.base_registry(reference.domain)
        else _foreign_base(context, reference, () if head is None else head.bases)
        for reference, built_on in recorded.items()
    ]
    return [base for base in found if base is not None and base.digest]


def _other_base(context: Context, reference: ImageReference, built_on: str) -> Base | None:
    """Return what a tag of a base registry names that was not pushed; None if the tag is gone.

    Args:
        context: Where to look.
        reference: The tag.
        built_on: The digest to go by if the registry does not let us look.
    """
    try:
        digest = context.images.digest(reference.domain, reference.path, reference.tag or "")
    except Denied as error:
        log.warning("%s: going by the digest of the last build: %s", reference, error)
        return Base(reference, built_on, "registry")
    return None if digest is None else Base(reference, digest, "registry")


def _foreign_base(
    context: Context, reference: ImageReference, before: Iterable[str]
) -> Base | None:
    """Return what a tag of a foreign registry names now; None if that cannot be told.

    A build uses what the tag names when it runs, which may be newer than what any poll has seen.
    If it cannot be looked at, what the rebuild before was asked for is taken, or an attempt would
    not be known for one on the same digests.
    """
    try:
        digest = context.foreign.look(reference, None).digest
    except RebuilderError as error:
        log.info("%s: not looked at: %s", reference, error)
        known = (base.rpartition("@") for base in before)
        digest = next((digest for name, _, digest in known if name == str(reference)), None)
    return None if digest is None else Base(reference, digest, "poll")
