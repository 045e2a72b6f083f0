"""Events of Azure resources, in Event Grid's schema or as CloudEvents 1.0: changes of tasks.

They come from the system topic of a subscription or a resource group. Source:
learn.microsoft.com, "Azure subscription as an Event Grid source" and "Azure resource group as an
Event Grid source". Their data also tells who made the change; nothing of that is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.events.pushes import Ignored, Malformed, storable
from rebuilder.errors import InvalidResourceId

_PREFIX = "microsoft.resources."
_WRITTEN, _DELETED = "resourcewritesuccess", "resourcedeletesuccess"
_TASKS = "/providers/microsoft.containerregistry/registries/"


class TaskChanged(Struct, frozen=True):
    """A task was created, changed or deleted.

    Attributes:
        task: The task.
        event: The event's id, for the log.
        written: Whether it was created or changed; else it was deleted.
    """

    task: TaskId
    event: str
    written: bool = True


class NoChange(Ignored, frozen=True):
    """The event is not about a resource that was written or deleted."""

    code = "no-change"
    template = "{self.event_type!r} is no change of a resource"
    event_type: str


class NotATask(Ignored, frozen=True):
    """Another kind of resource was changed."""

    code = "not-a-task"
    template = "the resource is not an ACR task"


class NotATaskRegistry(Ignored, frozen=True):
    """The task's registry is not configured as a task registry."""

    code = "not-a-task-registry"
    template = "{self.registry} is not among REBUILDER_TASK_REGISTRIES"
    registry: str


def read_task_event(raw: object, registries: Collection[RegistryId]) -> TaskChanged | Ignored:
    """Tell a change of a task of one of `registries` from everything else.

    Args:
        raw: The event as JSON gives it, in either schema.
        registries: The registries whose tasks count.

    Returns:
        The change, or the reason why the event starts nothing. Never raises.
    """
    envelope = raw if isinstance(raw, Mapping) else {}
    cloud = "specversion" in envelope
    source_field, type_field = ("source", "type") if cloud else ("topic", "eventType")
    source, subject = _text(envelope, source_field), _text(envelope, "subject")
    event, event_type = _text(envelope, "id"), _text(envelope, type_field)

    def malformed(field: str, problem: str) -> Malformed:
        return Malformed(event, source, subject, field, storable(problem))

    if not isinstance(raw, Mapping):
        return malformed("event", f"is {type(raw).__name__}, not an object")
    if not event_type:
        return malformed(type_field, "is missing or not text")
    change = event_type.lower().removeprefix(_PREFIX)
    if change not in (_WRITTEN, _DELETED):
        return NoChange(event, source, subject, event_type)
    data = envelope.get("data")
    resource = (_text(data, "resourceUri") if isinstance(data, Mapping) else "") or subject
    if not resource:
        return malformed("data.resourceUri", "is missing or not text, and so is subject")
    _, found, rest = resource.lower().rstrip("/").partition(_TASKS)
    kind = rest.split("/")[1::2]
    if not found or kind != ["tasks"]:
        return NotATask(event, source, subject)
    try:
        task = TaskId.parse(resource)
    except InvalidResourceId as error:
        return malformed("data.resourceUri", f"cannot be used: {error}")
    if task.registry not in registries:
        return NotATaskRegistry(event, source, subject, str(task.registry))
    return TaskChanged(task, event, change == _WRITTEN)


def _text(values: Mapping[str, object], name: str) -> str:
    value = values.get(name)
    return storable(value) if isinstance(value, str) else ""
