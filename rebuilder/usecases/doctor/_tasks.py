"""Tasks: what they may pull and push."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from rebuilder.core import doctor
from rebuilder.core.acr.access import PUSH_CONTENT, TASK_ACTIONS, Permission, allows, may_pull
from rebuilder.core.acr.registries import RegistryId, canonical_host
from rebuilder.core.acr.tasks import Task
from rebuilder.core.doctor import Unchecked
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt
from rebuilder.usecases.doctor._known import READ_ROLES, Check, Known, Result


def tasks_examined(known: Known, registry: RegistryId) -> Check:
    """Judge each task of a registry."""

    def look() -> Iterator[Result]:
        for task in known.context.tasks.tasks(registry):
            found = attempt(partial(_of_one, known), task)
            if isinstance(found, RebuilderError):
                yield Unchecked(f"task {task.id.short}", str(found))
            else:
                yield from found

    return Check(f"tasks of {registry.name}", f"{TASK_ACTIONS[1]} and {READ_ROLES}", look)


def _of_one(known: Known, task: Task) -> list[Result]:
    found: list[Result] = [*doctor.judge_task(task)]
    if task.has_step and task.enabled:
        found += _access(known, task)
    return found


def _access(known: Known, task: Task) -> Iterator[Result]:
    own = task.id.registry
    bases = {
        canonical_host(setup.login_server): setup
        for setup in known.setups.values()
        if setup.id in known.context.settings.base_registries and setup.id != own
    }
    signs = {canonical_host(host) for host in task.signs_in_to}
    named = {canonical_host(entry.reference.domain) for entry in task.dependencies}
    for host in sorted(bases.keys() & (signs | named)):
        setup = bases[host]
        if host not in signs:
            yield doctor.TaskWithoutCredentials(task.id, host, bool(task.principals))
        elif task.principals:
            access = may_pull(_of_task(known, task, setup.id), abac=setup.abac)
            if not access.allowed:
                yield doctor.TaskMayNotPull(task.id, setup.id, task.principals, access.role)
    if known.setups[own].abac and not allows(_of_task(known, task, own), PUSH_CONTENT, data=True):
        yield doctor.TaskMayNotPush(task.id, task.principals)
    if known.setups[own].abac and task.principals and not task.own_sign_in:
        yield doctor.TaskNotSignedIn(task.id)


def _of_task(known: Known, task: Task, registry: RegistryId) -> list[Permission]:
    # Which of its identities it signs in with, ARM does not show.
    return [
        permission
        for principal in task.principals
        for permission in known.preflight.permissions(str(registry), principal)
    ]
