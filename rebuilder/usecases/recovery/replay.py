"""Do again what was given up: replay dead letters or discard them, try a task's rebuild again."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from copy import replace
from functools import partial

from rebuilder.core.acr.registries import ForeignRegistry, TaskId
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.events.pushes import Ignored, Push
from rebuilder.core.foreign_json import read_json
from rebuilder.core.policies.acts import Hand
from rebuilder.core.rebuilds.messages import BUILDS, QUEUES, StartBuild, afresh
from rebuilder.core.rebuilds.rebuild import Check, State
from rebuilder.errors import InvalidJson, NotFound, RebuilderError, TransientError
from rebuilder.isolation import attempt
from rebuilder.ports.ledger import PushRecord
from rebuilder.usecases.context import Context
from rebuilder.usecases.events.accept import accept_event

log = logging.getLogger(__name__)

_OUT_OF_ORDER = 3


def chosen_letters(
    context: Context, ids: Collection[str], *, everything: bool = False
) -> list[DeadLetter]:
    """Return the dead letters that a person means, oldest first.

    Args:
        context: The ports.
        ids: Their ids; one that was replayed already may be replayed again.
        everything: Whether all that nobody has replayed are meant, too.

    Raises:
        NotFound: There is none of one of the ids.
    """
    named = {letter_id: context.dead_letters.letter(letter_id) for letter_id in ids}
    if missing := sorted(letter_id for letter_id, letter in named.items() if letter is None):
        raise NotFound(
            f"there is no dead letter {', '.join(missing)}; see `rebuilder dead-letters`"
        )
    waiting = context.dead_letters.waiting() if everything else []
    chosen = {letter.id: letter for letter in (*named.values(), *waiting) if letter is not None}
    return sorted(chosen.values(), key=lambda letter: letter.at)


def discard(context: Context, letter: DeadLetter) -> None:
    """Forget a dead letter for good, because a person says that nothing is to be done about it.

    Raises:
        TransientError: The store cannot be reached.
    """
    context.dead_letters.remove(letter.id)
    log.warning("dead letter %s of %s discarded: %.1000r", letter.id, letter.source, letter.body)


def replay_each(
    context: Context, letters: Iterable[DeadLetter]
) -> Iterator[tuple[DeadLetter, str | RebuilderError]]:
    """Replay dead letters; one that cannot be replayed does not keep the others from it.

    Yields:
        Each with what came of it, or with why it waits on. The rest is left alone once several in
        a row failed for the time being: then it is not they, but the store.
    """
    in_a_row = 0
    for letter in letters:
        outcome = attempt(partial(replay, context), letter)
        yield letter, outcome
        in_a_row = in_a_row + 1 if isinstance(outcome, TransientError) else 0
        if in_a_row == _OUT_OF_ORDER:
            return


def replay(context: Context, letter: DeadLetter) -> str:
    """Do with a dead letter what was to be done with it; safe to repeat.

    It counts as replayed once it was taken over: what dies before that leaves it waiting.

    Returns:
        What came of it, as a sentence.

    Raises:
        TransientError: It was not taken over.
        NotFound: It is of a queue that there is not any more.
    """
    outcome = (
        _event(context, letter) if letter.origin is Origin.EVENT else _message(context, letter)
    )
    context.dead_letters.mark_replayed(letter.id, context.now())
    log.info("dead letter %s replayed: %s", letter.id, outcome)
    return outcome


def _message(context: Context, letter: DeadLetter) -> str:
    if letter.source not in QUEUES:
        raise NotFound(f"dead letter {letter.id}: there is no queue {letter.source}")
    context.queue.send(letter.source, afresh(letter.body))
    return f"back in {letter.source}"


def _event(context: Context, letter: DeadLetter) -> str:
    try:
        raw = read_json(letter.body, repair=True)
    except InvalidJson:
        raw = letter.body
    accepted = accept_event(context, raw)
    if isinstance(accepted, Ignored):
        return f"nothing comes of it: {accepted.sentence()}"
    if isinstance(accepted, Push):
        return f"push {accepted.key} is planned"
    return f"{accepted.task} is read again"


def retry(
    context: Context, task: TaskId, hand: Hand | None = None, after: int | None = None
) -> Push:
    """Have a task rebuilt although its rebuild was given up, or is thought to have succeeded.

    Args:
        context: The ports.
        task: The task.
        hand: Who asks for it.
        after: The sequence of the newest rebuild that they know of, 0 for none: if another one has
            begun since, nothing comes of it. None for the one that there is.

    Returns:
        The push that it is rebuilt for: that of its newest rebuild unless its image stands on the
        new base, else the newest push of an image that it is built on.

    Raises:
        NotFound: No such push is known.
        TransientError: It was not asked for.
    """
    head = context.ledger.head(task)
    if head is not None and (head.state is not State.SUCCEEDED or head.check is Check.STALE):
        push = Push.from_key(head.push)
    elif newest := _newest_push(context, task):
        push = newest.push
    elif head is not None:
        push = Push.from_key(head.push)
    else:
        raise NotFound(
            f"no push of an image that {task} is built on is known: nothing to rebuild for"
        )
    if after is None:
        after = 0 if head is None else head.sequence
    ask_for(context, task, push, after, hand)
    return push


def ask_for(context: Context, task: TaskId, push: Push, after: int, hand: Hand | None) -> None:
    """Ask for one more rebuild of a task, for a push.

    Raises:
        TransientError: It was not asked for.
    """
    told = replace(push, event="retry")
    message = StartBuild(told, task, forced=True, after=after, hand=hand)
    context.queue.send(BUILDS, message.encode())
    log.info("task %s: asked for again, for push %s", task, push.key)


def _newest_push(context: Context, task: TaskId) -> PushRecord | None:
    """Return the newest push of a tag that a task follows, as far as the index knows."""
    indexed = context.index.view(task)
    tags = {
        dependency.reference
        for dependency in (indexed.view.dependencies if indexed else ())
        if dependency.reference.digest is None
    }
    found = [
        record
        for tag in tags
        for record in context.ledger.pushes(
            context.base_registry(tag.domain) or ForeignRegistry(tag.domain),
            tag.path,
            tag.tag or "",
            1,
        )
    ]
    return max(found, key=lambda record: record.first_at, default=None)
