"""Which wave an image belongs to: the push that the first of its tasks was rebuilt for."""

from __future__ import annotations

from copy import replace

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import PushedRegistry, RegistryId
from rebuilder.core.decisions.decide import Base
from rebuilder.core.dependencies.index import IndexedTask
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.core.waves.layers import Member
from rebuilder.usecases.context import Context

_AT_WORK = (State.CLAIMED, State.SCHEDULED, State.RUNNING)


def began_with(context: Context, base: Base, push: Push, producer: Rebuild | None) -> str:
    """Return the key of the push that the wave of an image began with.

    An event is often quicker than the record of the run that pushed the image, so a task whose run
    pushes the tag counts while it is at work.

    Args:
        context: Where to look.
        base: The tag and the digest that it names.
        push: The push that told of it.
        producer: The rebuild that is recorded to have pushed it, if one is.

    Raises:
        TransientError: The store cannot be read.
    """
    if producer is None:
        makers = [found.view.task for found in makers_of(context, base.reference)]
        heads = context.ledger.heads(makers) if makers else {}
        at_work = (heads[task] for task in makers if task in heads)
        producer = next((head for head in at_work if head.state in _AT_WORK), None)
    if producer is None:
        return replace(push, digest=base.digest).key
    return producer.began_with


def makers_of(context: Context, image: ImageReference) -> list[IndexedTask]:
    """Return the tasks whose runs push a tag, as far as the index tells.

    Only configured registries are looked at: no task that is followed pushes to another.
    """
    if registry_of(context, image) is None:
        return []
    registries = set(context.settings.task_registries)
    return [
        found
        for found in context.index.producers(image.repository)
        if found.view.task.registry in registries and image in Member.of(found.view).pushes
    ]


def readers_of(context: Context, image: ImageReference) -> list[IndexedTask]:
    """Return the tasks that are rebuilt when a tag moves, as far as the index tells."""
    registries, policy = set(context.settings.task_registries), context.settings.policy
    return [
        found
        for found in context.index.dependents(image.repository)
        if found.view.task.registry in registries and image in Member.of(found.view, policy).reads
    ]


def registry_of(context: Context, image: ImageReference) -> RegistryId | None:
    """Return the configured registry that an image is in."""
    return context.base_registry(image.domain) or context.task_registry(image.domain)


def push_of(context: Context, image: ImageReference) -> Push | None:
    """Return the push of an image with its digest; None if nobody is told of such a push."""
    registry: PushedRegistry | None = context.base_registry(image.domain)
    if registry is None or image.tag is None or image.digest is None:
        return None
    return Push(registry, image.path, image.tag, image.digest, None, "")


def wave_of(context: Context, image: str) -> Push | None:
    """Return the push that the wave began with in which an image was pushed; None if in none."""
    producer = context.ledger.producer(image)
    return None if producer is None else Push.from_key(producer.began_with)
