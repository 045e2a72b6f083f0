"""Replay dead letters, or discard them, because somebody asks for it by an act."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rebuilder.core.policies.acts import MOST, Act
from rebuilder.core.shown import shown
from rebuilder.errors import InvalidMessage, RebuilderError, TransientError
from rebuilder.isolation import attempts
from rebuilder.usecases.context import Context
from rebuilder.usecases.recovery.replay import discard, replay

_SHOWN = 5
_LONGEST = 1000  # characters


def replay_letters(context: Context, act: Act) -> str:
    """Do what was to be done with dead letters; safe to repeat.

    Returns:
        What came of it, for a person.

    Raises:
        InvalidMessage: The act names none, or too many.
        TransientError: Some could not be replayed now; the others are.
    """
    return _each(context, act, _replay)


def discard_letters(context: Context, act: Act) -> str:
    """Forget dead letters for good; safe to repeat.

    Returns:
        What came of it, for a person.

    Raises:
        InvalidMessage: The act names none, or too many.
        TransientError: Some could not be discarded now; the others are.
    """
    return _each(context, act, _discard)


def _each(context: Context, act: Act, do: Callable[[Context, Act, str], str]) -> str:
    if not 0 < len(act.of) <= MOST:
        raise InvalidMessage(f"act {act.id} names {len(act.of)} dead letters, not 1 to {MOST}")
    found = attempts(partial(do, context, act), act.of)
    for outcome in found:
        if isinstance(outcome, TransientError):
            raise outcome
    told = [
        f"{name}: {f'not: {outcome}' if isinstance(outcome, RebuilderError) else outcome}"
        for name, outcome in zip(act.of, found, strict=True)
    ]
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return shown("; ".join(told[:_SHOWN]), _LONGEST) + more


def _replay(context: Context, act: Act, name: str) -> str:
    letter = context.dead_letters.letter(name)
    if letter is None:
        return "it is gone"
    if letter.replayed_at is not None and letter.replayed_at >= act.at:
        return "it is replayed"  # by an earlier delivery of the act, or by somebody meanwhile
    return replay(context, letter)


def _discard(context: Context, act: Act, name: str) -> str:
    del act
    letter = context.dead_letters.letter(name)
    if letter is None:
        return "it is gone"
    discard(context, letter)
    return "discarded"
