"""Tell a person what came of a push: every decision, every rebuild, every event left aside."""

from __future__ import annotations

from dataclasses import dataclass

from rebuilder.core.decisions import BaseMoved, Decision, TaskDecision
from rebuilder.core.rebuilds import Rebuild
from rebuilder.core.references import ImageReference
from rebuilder.core.registries import RegistryId
from rebuilder.errors import NotFound
from rebuilder.ports import DecisionRecord, IgnoredRecord, PushRecord
from rebuilder.usecases.context import Context


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision, with the rebuild that it led to."""

    record: DecisionRecord
    rebuild: Rebuild | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known about an image.

    Attributes:
        image: The image asked for.
        push: Its newest push; None if none is known.
        earlier: How many older pushes of it are known.
        decisions: What was decided after that push.
        ignored: Events about the same repository that started nothing.
    """

    image: ImageReference
    push: PushRecord | None
    earlier: int
    decisions: tuple[Explained, ...]
    ignored: tuple[IgnoredRecord, ...]


def explain(context: Context, image: ImageReference) -> Explanation:
    """Collect what the ledger knows about the newest push of an image.

    Args:
        context: The ports.
        image: A tag, a tag with digest, or a digest of a base registry.

    Raises:
        NotFound: The image's registry is not one of the base registries.
    """
    registry = _registry(context, image)
    pushes = [
        record
        for record in context.ledger.pushes(registry, image.path)
        if image.tag in (None, record.push.tag) and image.digest in (None, record.push.digest)
    ]
    ignored = tuple(
        record
        for record in context.ledger.ignored(str(registry))
        if record.subject.partition("@")[0].partition(":")[0] == image.path
    )
    if not pushes:
        return Explanation(image, None, 0, (), ignored)
    decisions = context.ledger.decisions(pushes[0].push)
    explained = tuple(
        Explained(record, _rebuild(context, record.decision, pushes[0])) for record in decisions
    )
    return Explanation(image, pushes[0], len(pushes) - 1, explained, ignored)


def _registry(context: Context, image: ImageReference) -> RegistryId:
    for registry in context.settings.base_registries:
        if context.host(registry) == image.domain:
            return registry
    raise NotFound(f"{image.domain} is none of the registries in REBUILDER_BASE_REGISTRIES")


def _rebuild(context: Context, decision: Decision, pushed: PushRecord) -> Rebuild | None:
    """Return the rebuild that a decision led to: the one on the digest that it names."""
    if not isinstance(decision, TaskDecision) or not decision.rebuild:
        return None
    built_on = decision.new if isinstance(decision, BaseMoved) else pushed.push.digest
    for rebuild in context.ledger.rebuilds(decision.task):
        if any(base.endswith(built_on) for base in rebuild.bases):
            return rebuild
    return None
