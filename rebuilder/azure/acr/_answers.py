"""What ARM answers of tasks and runs, as the product's own values."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from azure.mgmt.containerregistrytasks import models

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId, canonical_host
from rebuilder.core.acr.tasks import (
    IMAGE_UPDATE,
    MANUAL,
    Argument,
    Dependency,
    DockerStep,
    EncodedStep,
    FileStep,
    Kind,
    Run,
    RunStatus,
    Task,
    TaskStep,
    TriggerType,
)
from rebuilder.errors import InvalidReference

log = logging.getLogger(__name__)


def name_of(value: str | None) -> str:
    """Return a task's name; a list with one that has none is no list of tasks."""
    if not value:
        raise ValueError(value)
    return value.lower()


def text_of(value: str | None) -> str:
    """Return a text of a task as it can be kept: half a character becomes a question mark."""
    return (value or "").encode(errors="replace").decode()


def task_of(task_id: TaskId, found: models.Task) -> Task:
    properties = found.properties
    step = properties.step if properties else None
    trigger = properties.trigger if properties else None
    base = trigger.base_image_trigger if trigger else None
    kind = str(base.base_image_trigger_type).rpartition(".")[2].lower() if base else None
    credentials = properties.credentials if properties else None
    own = credentials.source_registry if credentials else None
    status = str(properties.status if properties else "").rpartition(".")[2].lower()
    system = bool(properties and properties.is_system_task)
    on = _word(base.status).lower() != "disabled" if base else False
    return Task(
        task_id,
        status != "disabled",
        step is not None and not system,
        {"runtime": TriggerType.RUNTIME, "all": TriggerType.ALL}.get(kind or ""),
        _dependencies(task_id, (step.base_image_dependencies if step else None) or []),
        _principals(found.identity),
        frozenset(map(canonical_host, (credentials and credentials.custom_registries) or ())),
        None if system else _step(step),
        _platform(properties.platform if properties else None),
        on,
        _others(trigger),
        properties.creation_date if properties else None,
        tags=tuple((text_of(name), text_of(value)) for name, value in (found.tags or {}).items()),
        own_sign_in=bool(own and own.identity),
        agent_pool=text_of(properties.agent_pool_name if properties else None),
    )


def _others(trigger: models.TriggerProperties | None) -> bool:
    """Tell whether commits or a timer start a task."""
    if trigger is None:
        return False
    given = [*(trigger.source_triggers or ()), *(trigger.timer_triggers or ())]
    return any(_word(entry.status).lower() != "disabled" for entry in given)


def _step(found: models.TaskStepProperties | None) -> TaskStep | None:
    context = text_of(found.context_path if found else None)
    match found:
        case models.DockerBuildStep():
            return DockerStep(
                context,
                text_of(found.docker_file_path) or "Dockerfile",
                text_of(found.target),
                _arguments(found.arguments),
                tuple(map(text_of, found.image_names or ())),
                # ACR pushes unless it is told not to.
                found.is_push_enabled is not False,
            )
        case models.FileTaskStep():
            return FileStep(
                context,
                text_of(found.task_file_path),
                text_of(found.values_file_path),
                _arguments(found.values_property),
            )
        case models.EncodedTaskStep():
            return EncodedStep(
                context,
                text_of(found.encoded_task_content),
                text_of(found.encoded_values_content),
                _arguments(found.values_property),
            )
    return None


def _arguments(
    found: Sequence[models.Argument] | Sequence[models.SetValue] | None,
) -> tuple[Argument, ...]:
    # A secret's value is null on GET, or the entry is left out (see core.dependencies.hidden); an
    # empty value of one that is no secret is null too.
    return tuple(
        Argument(text_of(entry.name), None if entry.is_secret else text_of(entry.value))
        for entry in found or ()
    )


def _platform(found: models.PlatformProperties | None) -> str:
    """Return the platform in BuildKit's words; ACR's own default is linux/amd64."""
    system = _word(found.os).lower() if found else "linux"
    architecture = _word(found.architecture or "amd64").lower() if found else "amd64"
    variant = f"/{_word(found.variant).lower()}" if found and found.variant else ""
    return f"{system}/{'386' if architecture == 'x86' else architecture}{variant}"


def _principals(identity: models.IdentityProperties | None) -> tuple[str, ...]:
    if identity is None:
        return ()
    assigned = (identity.user_assigned_identities or {}).values()
    ids = [identity.principal_id, *(entry.principal_id for entry in assigned)]
    return tuple(str(principal) for principal in ids if principal)


def _dependencies(task: TaskId, found: list[models.BaseImageDependency]) -> tuple[Dependency, ...]:
    # ACR keeps one entry per output tag, so equal ones are usual.
    known: dict[Dependency, None] = {}
    for entry in found:
        tag, digest = entry.tag or "", entry.digest or ""
        try:
            # With a tag, the digest is what the last run used; without, the FROM is pinned to it.
            reference = ImageReference.from_parts(
                entry.registry or "", entry.repository or "", tag, "" if tag else digest
            )
        except InvalidReference as error:
            log.warning("task %s: a dependency is left out: %s", task, error)
            continue
        build_time = str(entry.type).rpartition(".")[2].lower().replace("_", "") == "buildtime"
        kind = Kind.BUILD_TIME if build_time else Kind.RUNTIME
        known[Dependency(reference, kind, (digest or None) if tag else None)] = None
    return tuple(known)


def run_of(found: models.Run) -> Run:
    properties = found.properties
    if properties is None:
        properties = models.RunProperties()
    outputs = tuple(
        f"{image.registry}/{image.repository}:{image.tag}@{image.digest}"
        for image in properties.output_images or []
    )
    platform = properties.platform.os if properties.platform else ""
    update = properties.image_update_trigger
    moved = tuple(
        f"{image.registry}/{image.repository}:{image.tag}@{image.digest}"
        for image in (update.images if update else None) or []
    )
    return Run(
        str(properties.run_id or found.name),
        properties.task,
        RunStatus(_word(properties.status)),
        _word(platform).capitalize(),
        _trigger(properties),
        properties.create_time,
        properties.start_time,
        properties.finish_time,
        outputs,
        properties.update_trigger_token,
        text_of(properties.run_error_message) or None,
        moved,
    )


def _word(value: object) -> str:
    """Return a value of ARM's enumerations, whether the SDK knows it or not."""
    return str(getattr(value, "value", value))


def _trigger(properties: models.RunProperties) -> str:
    """Return what `az acr task list-runs` shows as the trigger."""
    source = properties.source_trigger
    if source is not None and source.event_type:
        return str(source.event_type)
    if properties.timer_trigger is not None:
        return "Timer"
    return IMAGE_UPDATE if properties.image_update_trigger is not None else MANUAL
