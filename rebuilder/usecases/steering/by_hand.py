"""Have tasks built because somebody asks for it: again, or though no image moved.

It goes the way of every rebuild, through the same claim, so that nothing is built twice by it.
"""

from __future__ import annotations

import logging
from functools import partial

from rebuilder.core.acr.registries import ForeignRegistry, TaskId
from rebuilder.core.acr.tasks import Dependency, Kind
from rebuilder.core.dependencies.index import moving
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.acts import Act, Hand, What
from rebuilder.errors import InvalidMessage, NotFound, RebuilderError, TransientError
from rebuilder.isolation import attempts
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.refresh_index import refresh_task
from rebuilder.usecases.recovery.replay import ask_for, retry

log = logging.getLogger(__name__)

MOST_TASKS = 100
"""How many tasks one act can be about: their ids are long, and a message is not."""

_SHOWN = 5
_EVENT = "operator"


def named(task: TaskId, newest: int) -> str:
    """A task in an act: what is asked for is done once, however often the act is delivered.

    Args:
        task: The task.
        newest: The sequence of its newest rebuild that whoever asks knows of; 0 for none.
    """
    return f"{task}#{newest}"


def build_tasks(context: Context, act: Act) -> str:
    """Ask for the rebuilds that an act is about; safe to repeat.

    Returns:
        What came of it, as a sentence.

    Raises:
        InvalidMessage: It names no task, or too many.
        TransientError: Some could not be asked for now; the others are.
    """
    if not 0 < len(act.of) <= MOST_TASKS:
        raise InvalidMessage(f"act {act.id} names {len(act.of)} tasks, not 1 to {MOST_TASKS}")
    failed = []
    for name, found in zip(act.of, attempts(partial(_asked, context, act), act.of), strict=True):
        if isinstance(found, TransientError):
            raise found
        if isinstance(found, RebuilderError):
            log.warning("act %s: %s: %s", act.id, name, found)
            failed.append(str(found))
    asked = f"{len(act.of) - len(failed)} task(s) asked for"
    told = [f"not: {problem}" for problem in failed[:_SHOWN]]
    more = [f"and {len(failed) - _SHOWN} more"] if len(failed) > _SHOWN else []
    return "; ".join((asked, *told, *more))


def _asked(context: Context, act: Act, name: str) -> None:
    text, _, number = name.rpartition("#")
    task = TaskId.parse(text)
    if not number.isdecimal() or len(number) > len(str(2**31)):
        raise InvalidMessage(f"{name!a:.300} does not tell the newest rebuild of the task")
    if task.registry not in context.settings.task_registries:
        raise NotFound(f"{task.short}: its registry is none of the task registries")
    after = min(int(number), 2**31 - 1)
    if context.index.view(task) is None:
        refresh_task(context, task)  # nobody has told of it yet
    if act.what is What.RETRY:
        retry(context, task, act.hand, after)
    else:
        build_now(context, task, act.hand, after)


def build_now(context: Context, task: TaskId, hand: Hand, after: int) -> None:
    """Ask for one more rebuild of a task though no image moved.

    Args:
        context: The ports.
        task: The task.
        hand: Who asks for it.
        after: The sequence of the newest rebuild that they know of, 0 for none.

    Raises:
        NotFound: It is built on no tag that can be looked at.
        TransientError: It was not asked for.
    """
    try:
        retry(context, task, hand, after)
    except NotFound:
        ask_for(context, task, _standing(context, task), after, hand)


def _standing(context: Context, task: TaskId) -> Push:
    """Return, as a push, what a tag names that a task is built on: nobody told of one.

    Raises:
        NotFound: It is built on no tag that can be looked at.
        TransientError: A registry cannot be asked now.
    """
    indexed = context.index.view(task)
    tags = () if indexed is None else moving(indexed.view, context.settings.policy)
    for dependency in sorted(tags, key=_first):
        reference = dependency.reference
        registry = context.base_registry(reference.domain)
        if registry is not None:
            digest = context.images.digest(reference.domain, reference.path, reference.tag or "")
        elif context.settings.polls(reference.domain):
            digest = context.foreign.look(reference, None).digest
        else:
            continue
        if digest is not None:
            pushed = registry or ForeignRegistry(reference.domain)
            push = Push(pushed, reference.path, reference.tag or "", digest, None, _EVENT)
            context.ledger.record_events([push], context.now())
            # Whoever else is built on it is not asked about.
            context.ledger.planned(push)
            return push
    raise NotFound(
        f"{task.short} is built on no tag that can be looked at; `az acr task run` starts it"
    )


def _first(dependency: Dependency) -> tuple[bool, str]:
    return dependency.kind is not Kind.RUNTIME, str(dependency.reference)
