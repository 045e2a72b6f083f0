"""Which policies apply to whom, and how soon an image is to stand on a new base."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.policies.matching import Moved, Subject
from rebuilder.core.policies.policy import Applied, Policies, applied
from rebuilder.core.staleness.figures import OBJECTIVE
from rebuilder.errors import RebuilderError
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

_POLICY = "policy "


def policies_of(context: Context) -> Policies | None:
    """Return the policies in force; None if there are none, or they cannot be read now."""
    try:
        return context.in_force.now(context.steering, context.now()).policies
    except RebuilderError as error:
        log.warning("which policies apply is not known: %s", error)
        return None


def objective_of(policies: Policies | None) -> timedelta:
    """Return how soon an image is to stand on a new base, unless whoever asks says otherwise."""
    return OBJECTIVE if policies is None or policies.objective is None else policies.objective


def names_by(policies: Policies | None) -> Callable[[TaskId, ImageReference], str]:
    """Return what tells the policies of a task that follows a tag."""
    return partial(_names, policies)


def _names(policies: Policies | None, task: TaskId, reference: ImageReference) -> str:
    """Return the policies that the rules give a task; what its tags tighten is not known here."""
    if policies is None:
        return ""
    found: Applied = applied(policies, Subject.of(task, Moved(str(reference)), ()))
    names = (source.rpartition(_POLICY)[2] for _, source in found.sources if _POLICY in source)
    return ", ".join(sorted(dict.fromkeys(names)))
