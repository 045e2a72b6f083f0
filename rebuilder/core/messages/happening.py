"""Something that happened, with its facts: what people read and machines are sent is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct, field

from rebuilder.core.events.dead_letters import DeadLetter
from rebuilder.core.messages.rules import What
from rebuilder.core.policies.approval import NeedsApproval
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.core.shown import shown
from rebuilder.core.staleness.spells import Spell
from rebuilder.core.waves.canary import Quarantined

_MOST = 30
"""How many images of a kind are told; a queue takes no more."""

_SENTENCE = 1000


class Image(Struct, frozen=True):
    """An image that changed.

    Attributes:
        name: Its name, with its tag.
        digest: What the name stands for now.
        before: What it stood for before; None if that is not known.
    """

    name: str
    digest: str
    before: str | None = None


class Happening(Struct, frozen=True):
    """Something that happened.

    Attributes:
        what: What.
        event: Tells it from others of its source; the same told twice is one.
        source: The resource id of what it happened to.
        subject: What it is about, in a few words.
        at: When.
        sentence: What happened, for a person.
        task: The task, as REGISTRY/TASK; "" if it is about none.
        registry: The task's registry; "" if it is about none.
        images: What was pushed.
        bases: What it stands on, or is to.
        facts: More, by names.
    """

    what: What
    event: str
    source: str
    subject: str
    at: datetime
    sentence: str
    task: str = ""
    registry: str = ""
    images: tuple[Image, ...] = ()
    bases: tuple[Image, ...] = ()
    facts: Mapping[str, str | None] = field(default_factory=dict)


def what_of(rebuild: Rebuild) -> What | None:
    """Return what is to be told of a rebuild in its state; None if nothing is."""
    if rebuild.state is State.HELD:
        reasons = () if rebuild.held is None else rebuild.held.reasons
        held = (what for kind, what in _HELD for reason in reasons if isinstance(reason, kind))
        return next(held, None)
    return _TOLD.get(rebuild.state)


_HELD = ((Quarantined, What.QUARANTINED), (NeedsApproval, What.NEEDS_APPROVAL))
"""What is told of holds that somebody may have to end, and which is told of several."""

_TOLD = {
    State.SUCCEEDED: What.REBUILT,
    State.FAILED: What.FAILED,
    State.GIVEN_UP: What.GIVEN_UP,
}


def of_rebuild(rebuild: Rebuild, what: What, before: Iterable[Rebuild], now: datetime) -> Happening:
    """Return what happened to a rebuild.

    Args:
        rebuild: The rebuild.
        what: What.
        before: The task's rebuilds before it, newest first.
        now: The time, where the record tells none.
    """
    last = next((older for older in before if older.state is State.SUCCEEDED), None)
    name = rebuild.task.short
    images = _images(rebuild.output_images, () if last is None else last.output_images)
    bases = _images(rebuild.bases, () if last is None else last.bases)
    cause = None if rebuild.cause is None else rebuild.cause.sentence()
    return Happening(
        what,
        f"{rebuild.id}/{what}",
        str(rebuild.task),
        images[0].name if images else name,
        rebuild.finished_at or (now if rebuild.state is State.HELD else rebuild.claimed_at),
        shown(_SENTENCES[what](rebuild, name), _SENTENCE),
        name,
        rebuild.task.registry.name,
        images,
        bases,
        {
            "rebuild": rebuild.id,
            "runId": rebuild.run_id,
            "push": rebuild.push,
            "attempt": str(rebuild.attempt),
            "outcome": _kept(rebuild.outcome),
            "cause": _kept(cause),
            "advice": _kept(rebuild.advice),
            "check": rebuild.check,
            "nextAttempt": rebuild.due.isoformat() if rebuild.due and what is What.FAILED else None,
        },
    )


def _kept(text: str | None) -> str | None:
    return None if text is None else shown(text, _SENTENCE)


def _why(rebuild: Rebuild) -> str:
    cause = None if rebuild.cause is None else rebuild.cause.sentence()
    return "; ".join(filter(None, (rebuild.outcome, cause, rebuild.advice)))


_SENTENCES = {
    What.REBUILT: lambda rebuild, name: (
        f"{name} was rebuilt by run {rebuild.run_id} on {', '.join(rebuild.bases)}"
    ),
    What.FAILED: lambda rebuild, name: (
        f"run {rebuild.run_id} of {name} failed, and is tried again: {_why(rebuild)}"
    ),
    What.GIVEN_UP: lambda rebuild, name: (
        f"{name} was given up after {rebuild.attempt} attempt(s): {_why(rebuild)}"
    ),
    What.QUARANTINED: lambda rebuild, name: f"{name} is held: {rebuild.outcome}",
    What.NEEDS_APPROVAL: lambda rebuild, name: f"{name} waits for approval: {rebuild.outcome}",
}


def of_spell(spell: Spell, source: str, now: datetime, objective_hours: float) -> Happening:
    """Return that a task stands on an old base beyond the objective."""
    hours = spell.length(now)
    told = "?" if hours is None else f"{hours.total_seconds() / 3600:.1f}"
    since = "unknown" if spell.since is None else spell.since.isoformat()
    return Happening(
        What.STALE,
        f"{spell.base}@{since}/{What.STALE}",
        source,
        spell.name,
        now,
        shown(
            f"{spell.name} stands on an old {spell.base} for {told} hours, and the objective is"
            f" {objective_hours:g}: {spell.why}, {spell.sentence}",
            _SENTENCE,
        ),
        spell.name,
        spell.task.registry.name,
        (),
        (Image(spell.base, spell.digest),),
        {
            "since": since,
            "hours": told,
            "objectiveHours": f"{objective_hours:g}",
            "why": spell.why,
            "rebuild": None if spell.rebuild is None else spell.rebuild.id,
        },
    )


def of_letter(letter: DeadLetter) -> Happening:
    """Return that something was given up, which nobody does again by itself."""
    return Happening(
        What.DEAD_LETTER,
        f"{letter.id}/{letter.at.isoformat()}/{What.DEAD_LETTER}",
        f"acr-rebuilder/{letter.source}",
        letter.id,
        letter.at,
        shown(
            f"dead letter {letter.id} of {letter.source}: {letter.reason};"
            f" `rebuilder replay {letter.id}` does it again",
            _SENTENCE,
        ),
        facts={"letter": letter.id, "of": letter.source, "reason": _kept(letter.reason)},
    )


def _images(names: Iterable[str], before: Iterable[str]) -> tuple[Image, ...]:
    known = dict(_parted(name) for name in before)
    found = (Image(name, digest, known.get(name)) for name, digest in map(_parted, names))
    return tuple(found)[:_MOST]


def _parted(name: str) -> tuple[str, str]:
    tag, _, digest = name.partition("@")
    return tag, digest
