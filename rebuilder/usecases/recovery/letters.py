"""Tell what dead letters are about."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from rebuilder.core.audit.model import PendingLetter
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.events.pushes import Push, read_event
from rebuilder.core.foreign_json import read_json
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    RUNS,
    PlanRebuilds,
    StartBuild,
    TrackBuild,
)
from rebuilder.errors import InvalidJson, InvalidMessage
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)


def waiting(context: Context) -> Iterator[PendingLetter]:
    """Yield every dead letter that nobody has replayed, with what it is about."""
    for letter in context.dead_letters.waiting():
        yield _about(context, letter)


def _about(context: Context, letter: DeadLetter) -> PendingLetter:
    """Tell which push and task a dead letter is about."""
    try:
        if letter.origin is Origin.EVENT:
            event = read_event(
                read_json(letter.body, repair=True), context.settings.base_registries
            )
            return PendingLetter(letter, event if isinstance(event, Push) else None)
        if letter.source == PUSHES:
            return PendingLetter(letter, PlanRebuilds.decode(letter.body).push)
        if letter.source == BUILDS:
            build = StartBuild.decode(letter.body)
            return PendingLetter(letter, build.push, build.task)
        if letter.source == RUNS:
            return PendingLetter(letter, None, TrackBuild.decode(letter.body).task)
    except (InvalidMessage, InvalidJson) as error:
        log.info("dead letter %s is about nothing known: %s", letter.id, error)
    return PendingLetter(letter)
