"""Find out whether a task may pull its base image, and what to do if it may not."""

from __future__ import annotations

import logging

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Task
from rebuilder.core.decisions.runs import MayNotPull
from rebuilder.errors import RebuilderError
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)


def missing_pull(context: Context, task: Task, host: str) -> MayNotPull | None:
    """Return what keeps a task from pulling from a base registry.

    Nothing that is found out here may stop a plan or a build, so what cannot be read is only
    logged: the function app may lack the role to read role assignments.

    Args:
        context: Where to look.
        task: The task.
        host: The base registry's login server.

    Returns:
        None if nothing does, or nothing is known to.
    """
    try:
        registry = context.base_registry(host)
    except RebuilderError as error:
        log.warning("task %s: not known whether it may pull from %s: %s", task.id, host, error)
        return None
    if registry is None or registry == task.id.registry:
        # A task has access to its own registry without credentials.
        return None
    if host not in task.signs_in_to:
        return MayNotPull(task.id, str(registry), host, (), "")
    role = ""
    for principal in task.principals:
        try:
            access = context.access.pull(registry, principal)
        except RebuilderError as error:
            log.warning("task %s: not known whether it may pull from %s: %s", task.id, host, error)
            return None
        if access.allowed:
            # Which of its identities it signs in with, ARM does not show.
            return None
        role = access.role
    # Without an identity of its own it signs in with a password, of which nothing is known.
    return MayNotPull(task.id, str(registry), host, task.principals, role) if role else None


def pull_advice(context: Context, task: Task, bases: tuple[str, ...]) -> str | None:
    """Return what keeps a task from pulling the images it is to be built on, in a sentence."""
    hosts = sorted({ImageReference.parse(base).domain for base in bases})
    missing = (missing_pull(context, task, host) for host in hosts)
    return next((found.sentence() for found in missing if found), None)
