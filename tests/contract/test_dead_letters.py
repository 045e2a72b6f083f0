"""What every DeadLetters must do; run on SQLite and on Azure Storage tables (Azurite)."""

from __future__ import annotations

import uuid
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.core.pipeline import PipelineResponse
from azure.data.tables import TableServiceClient

from rebuilder.azure.storage.tables.dead_letters import TableDeadLetters
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.ports.dead_letters import DeadLetters
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from tests.azurite import Azurite

NOW = datetime(2026, 3, 4, 5, 6, 7, 891234, UTC)
LATER = NOW + timedelta(minutes=1)


@pytest.fixture(name="letters")
def _letters(place: Path | TableServiceClient) -> DeadLetters:
    return SqliteDeadLetters(place) if isinstance(place, Path) else TableDeadLetters(place)


@pytest.fixture(name="letter")
def _letter() -> DeadLetter:
    # Its own body for every test: Azurite is shared.
    return DeadLetter(
        Origin.QUEUE, "rebuilder-pushes", f"{uuid.uuid4()} ü{'x' * 70_000}", "why", NOW
    )


def kept(letters: DeadLetters, letter: DeadLetter) -> list[DeadLetter]:
    """Return what is kept of a dead letter."""
    return [found for found in letters.all() if found.id == letter.id]


def test_a_dead_letter_is_kept_once(letters: DeadLetters, letter: DeadLetter) -> None:
    """The same body of the same source again keeps its first reason and time."""
    letters.record(letter)
    letters.record(replace(letter, reason="another", at=LATER))

    assert kept(letters, letter) == [letter]


def test_they_come_oldest_first(letters: DeadLetters, letter: DeadLetter) -> None:
    """Events beside messages, in order of time."""
    event = replace(letter, origin=Origin.EVENT, source="/subscriptions/s", at=LATER)
    letters.record(event)
    letters.record(letter)

    ours = [found for found in letters.all() if found.body == letter.body]
    assert ours == [letter, event]


def test_one_that_was_replayed_may_die_again(letters: DeadLetters, letter: DeadLetter) -> None:
    """Then it waits again, with its new reason; what is told late does not undo the replay."""
    letters.record(letter)
    letters.mark_replayed(letter.id, LATER)
    replayed = replace(letter, replayed_at=LATER)
    assert kept(letters, letter) == [replayed]
    letters.record(replace(letter, reason="late", at=NOW))
    assert kept(letters, letter) == [replayed]
    again = replace(letter, reason="again", at=LATER + timedelta(seconds=1))
    letters.record(again)

    assert kept(letters, letter) == [again]


def test_an_unknown_one_cannot_be_replayed(letters: DeadLetters, letter: DeadLetter) -> None:
    """Nothing happens, and nothing is made up."""
    letters.mark_replayed(letter.id, NOW)

    assert kept(letters, letter) == []


def test_the_last_reason_of_a_message_counts(letters: DeadLetters, letter: DeadLetter) -> None:
    """Each queue has its own."""
    assert letters.failure("a", letter.body) is None
    letters.record_failure("a", letter.body, "first", NOW)
    letters.record_failure("a", letter.body, "secönd" * 10_000, LATER)

    assert letters.failure("a", letter.body) == "secönd" * 10_000
    assert letters.failure("b", letter.body) is None


def test_one_that_is_removed_is_gone(letters: DeadLetters, letter: DeadLetter) -> None:
    """For good, and again does no harm; others stay, and the same may come again."""
    other = replace(letter, source="rebuilder-runs")
    letters.record(letter)
    letters.record(other)
    for _ in range(2):
        letters.remove(letter.id)

    assert kept(letters, letter) == []
    assert kept(letters, other) == [other]
    letters.record(letter)
    assert kept(letters, letter) == [letter]


def test_what_another_has_recorded_meanwhile_stays(azurite: Azurite, letter: DeadLetter) -> None:
    """Who read a letter before it died again does not write over its new reason."""
    theirs = replace(letter, reason="theirs", at=LATER + timedelta(seconds=2))
    met = False
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        others = TableDeadLetters(service)
        others.record(letter)
        others.mark_replayed(letter.id, LATER)

        def meet(response: PipelineResponse[object, object]) -> None:
            nonlocal met
            request = response.http_request
            if request.method == "GET" and letter.id in request.url and not met:  # type: ignore[attr-defined] # of any kind
                met = True
                others.record(theirs)

        with TableServiceClient.from_connection_string(
            azurite.connection_string, raw_response_hook=meet
        ) as mine:
            ours = replace(letter, reason="ours", at=LATER + timedelta(seconds=1))
            TableDeadLetters(mine).record(ours)

        assert met
        assert kept(others, letter) == [theirs]
