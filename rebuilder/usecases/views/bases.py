"""What a task stands on beside what its tags name now, as far as the product was told."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry, PushedRegistry
from rebuilder.core.acr.tasks import Dependency, Kind
from rebuilder.core.dependencies.evidence import TaskView
from rebuilder.core.rebuilds.rebuild import Check, Rebuild, State
from rebuilder.ports.ledger import PushRecord
from rebuilder.usecases.context import Context
from rebuilder.usecases.views._values import Value


class Standing(StrEnum):
    """How a task is."""

    RUNNING = "building"  # a run, or what is about to be one
    WAITING = "waiting"  # it is held: the reasons are told
    RETRYING = "retrying"  # an attempt failed, the next one is due
    FAILED = "failed"  # given up on these digests
    STALE = "stale"  # behind, and nothing is under way
    CURRENT = "current"  # on what its tags name now
    UNKNOWN = "unknown"  # nobody can say


class BaseState(Value, frozen=True):
    """An image that a task reads.

    Attributes:
        image: The image.
        kind: What the task uses it for.
        built_on: The digest that it was built on; None if nothing is recorded.
        now: What the tag names now; None if nobody has told.
        since: When that digest came; None if that is not known.
        push: The key of the push that told; None if none did.
        behind: Whether the task stands on another digest; None if that is not known.
        known_from: Who says that the task reads it.
    """

    image: str
    kind: str
    built_on: str | None
    now: str | None
    since: datetime | None
    push: str | None
    behind: bool | None
    known_from: str


class Tags:
    """What tags name now; each is looked up once.

    Args:
        context: The ports.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, PushRecord | None] = {}

    def newest(self, reference: ImageReference) -> PushRecord | None:
        """Return the push of a tag that was told of last; None if none was."""
        name = str(reference)
        if name not in self._known:
            registry = registry_of(self._context, reference.domain)
            found = (
                self._context.ledger.pushes(registry, reference.path, reference.tag or "", 1)
                if registry is not None and reference.tag is not None
                else []
            )
            self._known[name] = found[0] if found else None
        return self._known[name]


def registry_of(context: Context, host: str) -> PushedRegistry | None:
    """Return which registry a host is, without asking ARM; None if its name leaves a doubt."""
    settings = context.settings
    known = {*settings.base_registries, *settings.task_registries}
    fitting = [registry for registry in known if registry.may_be(host)]
    if len(fitting) > 1:
        return None
    return fitting[0] if fitting else ForeignRegistry(host)


def bases_of(view: TaskView, head: Rebuild | None, tags: Tags) -> tuple[BaseState, ...]:
    """Return what a task reads, and whether that has moved."""
    return tuple(_base(dependency, head, tags) for dependency in view.dependencies)


def _base(dependency: Dependency, head: Rebuild | None, tags: Tags) -> BaseState:
    reference = dependency.reference
    newest = None if reference.digest else tags.newest(reference)
    now = reference.digest or (None if newest is None else newest.push.digest)
    built_on = dependency.built_on
    if head is not None and now is not None and _stands(head, f"{reference}@{now}"):
        built_on = now
    behind = None if now is None or built_on is None else now != built_on
    if head is not None and head.check is Check.STALE and f"{reference}@{now}" in head.bases:
        behind = True
    return BaseState(
        str(reference),
        dependency.kind.value,
        built_on,
        now,
        None if newest is None else newest.push.pushed_at or newest.first_at,
        None if newest is None else newest.push.key,
        behind,
        dependency.known_from,
    )


def _stands(head: Rebuild, on: str) -> bool:
    return head.state is State.SUCCEEDED and head.check is not Check.STALE and on in head.bases


_COUNTING = frozenset({Kind.RUNTIME.value, Kind.BUILD_TIME.value, Kind.FRONTEND.value})


def standing(bases: tuple[BaseState, ...], head: Rebuild | None) -> Standing:
    """Tell how a task is."""
    if head is not None and not head.state.over:
        return Standing.WAITING if head.state is State.HELD else Standing.RUNNING
    counting = [base for base in bases if base.kind in _COUNTING]
    behind = [base for base in counting if base.behind]
    if head is not None and head.state in (State.FAILED, State.GIVEN_UP):
        if head.due is not None:
            return Standing.RETRYING
        if behind or not counting:
            return Standing.FAILED
    if behind:
        return Standing.STALE
    if not counting or any(base.behind is None for base in counting):
        return Standing.UNKNOWN
    return Standing.CURRENT
