"""What machines are sent: CloudEvents by their specification, as docs/messages.md shows them."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.failures.builds import NotKnown
from rebuilder.core.messages import events, texts
from rebuilder.core.messages.happening import (
    Happening,
    of_letter,
    of_rebuild,
    of_spell,
    what_of,
)
from rebuilder.core.messages.rules import What
from rebuilder.core.policies.approval import NeedsApproval
from rebuilder.core.policies.holds import Held
from rebuilder.core.rebuilds.rebuild import Check, Hold, Rebuild, State
from rebuilder.core.staleness.spells import Attempt, Spell, Why
from rebuilder.core.waves.canary import Quarantined

EXAMPLES = Path(__file__).parents[2] / "events" / "messages"
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
TASK = TaskId(RegistryId("1c0ffee0-0000-4000-8000-000000000001", "apps", "myapps"), "web")
NODE = "mybase.azurecr.io/images/node:22"
WEB = "myapps.azurecr.io/web:1"
A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")
PUSH = "/subscriptions/s/resourcegroups/g/providers/microsoft.containerregistry/registries/mybase"


def rebuild(state: State, on: str, pushed: str, sequence: int, **more: object) -> Rebuild:
    """Return a rebuild."""
    return Rebuild(
        TASK, sequence, "0123456789abcdef" * 4, (f"{NODE}@{on}",), f"{PUSH}|images/node|22|{on}",
        state, NOW - timedelta(minutes=3), "me", NOW, run_id=f"ca{sequence}",
        output_images=(f"{WEB}@{pushed}",) if pushed else (), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def made() -> dict[What, Happening]:
    """Return something of each kind."""
    before = [rebuild(State.SUCCEEDED, A, C, 1)]
    done = rebuild(State.SUCCEEDED, B, D, 2, finished_at=NOW, check=Check.NEW, outcome="Succeeded")
    cause = NotKnown("", "the log says nothing that is known")
    failed = rebuild(
        State.FAILED, B, "", 2, finished_at=NOW, outcome="Failed", cause=cause,
        due=NOW + timedelta(minutes=5),
    )  # fmt: skip
    given_up = rebuild(
        State.GIVEN_UP, B, "", 3, finished_at=NOW, outcome="Failed", cause=cause, attempt=2,
        advice="`az acr task logs --run-id ca3`",
    )  # fmt: skip
    needs = NeedsApproval("myapps/web", 1, (), timedelta(days=7))
    held = Held((needs,), NOW, NOW, (NODE,))
    waits = rebuild(State.HELD, B, "", 2, hold=Hold.GATE, held=held, outcome=held.sentence())
    bad = Quarantined(f"{NODE}@{B}", "canary myapps/first failed", NOW)
    caught = Held((bad, needs), NOW, NOW, (NODE,))
    kept = rebuild(State.HELD, B, "", 2, hold=Hold.GATE, held=caught, outcome=caught.sentence())
    spell = Spell(
        TASK, NODE, B, NOW, NOW - timedelta(hours=5), None, Why.GIVEN_UP, "after 3 attempt(s)",
        rebuild=Attempt(given_up.id, given_up.run_id),
    )  # fmt: skip
    letter = DeadLetter(Origin.QUEUE, "rebuilder-pushes", "{}", "no message of ours", NOW)
    return {
        What.REBUILT: of_rebuild(done, What.REBUILT, before, NOW),
        What.FAILED: of_rebuild(failed, What.FAILED, before, NOW),
        What.GIVEN_UP: of_rebuild(given_up, What.GIVEN_UP, before, NOW),
        What.NEEDS_APPROVAL: of_rebuild(waits, What.NEEDS_APPROVAL, before, NOW),
        What.QUARANTINED: of_rebuild(kept, What.QUARANTINED, before, NOW),
        What.STALE: of_spell(spell, str(TASK), NOW, 4),
        What.DEAD_LETTER: of_letter(letter),
    }


@pytest.mark.parametrize("what", What)
def test_an_event_is_as_the_example_shows_it(what: What) -> None:
    """Each of tests/events/messages is what is sent."""
    example = json.loads((EXAMPLES / f"{what}.json").read_text(encoding="utf-8"))

    assert events.cloud_event(made()[what]) == example
    assert json.loads(events.body(made()[what])) == example


@pytest.mark.parametrize("what", What)
def test_an_event_is_a_cloud_event(what: What) -> None:
    """The specification's own SDK reads it, from the body that is sent."""
    message = HTTPMessage({"content-type": events.CONTENT_TYPE}, events.body(made()[what]))
    found = from_http_event(message, JSONFormat())

    assert found.get_specversion() == "1.0"
    assert found.get_type() == events.TYPES[what]
    assert found.get_time() == NOW
    assert found.get_id() == made()[what].event


def test_an_image_is_told_with_its_digests_old_and_new() -> None:
    """Which is what a roll-out needs; what was before the first rebuild, nobody knows."""
    data = events.cloud_event(made()[What.REBUILT])["data"]
    assert data["images"] == [{"image": WEB, "digest": D, "previousDigest": C}]
    assert data["bases"] == [{"image": NODE, "digest": B, "previousDigest": A}]
    first = of_rebuild(rebuild(State.SUCCEEDED, B, D, 1), What.REBUILT, [], NOW)
    assert events.cloud_event(first)["data"]["images"][0]["previousDigest"] is None


def test_a_body_is_signed() -> None:
    """By what openssl and Flux's generic-hmac compute."""
    body = events.body(made()[What.REBUILT])
    expected = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()

    assert events.signature("s3cret", body) == f"sha256={expected}"


@pytest.mark.parametrize("what", What)
def test_people_read_what_happened(what: What) -> None:
    """A title, and the evidence; an image with what it was and is."""
    happening = made()[what]
    assert texts.title(happening).startswith("ACR Rebuilder: ")
    assert happening.sentence in texts.text(happening)
    assert happening.sentence in texts.line(happening)
    if what is What.REBUILT:
        assert f"{WEB}: {C} -> {D}" in texts.text(happening)
    together = texts.digest_text(["a", "b"], 3)
    assert together.splitlines()[:2] == ["a", "b"]
    assert "3 more" in together
    assert texts.digest_title(1) == "ACR Rebuilder: 1 message"


def test_only_what_somebody_may_want_to_know_is_told_of_a_rebuild() -> None:
    """Of holds, those that wait for people; nothing of what goes on by itself."""
    held = Held((NeedsApproval("a", 1, (), timedelta(days=7)),), NOW, NOW)
    assert what_of(rebuild(State.HELD, B, "", 1, held=held)) is What.NEEDS_APPROVAL
    assert what_of(rebuild(State.HELD, B, "", 1, held=Held((), NOW, NOW))) is None
    assert what_of(rebuild(State.HELD, B, "", 1)) is None
    bad = Held((held.reasons[0], Quarantined(NODE, "why", NOW)), NOW, NOW)
    assert what_of(rebuild(State.HELD, B, "", 1, held=bad)) is What.QUARANTINED
    assert what_of(rebuild(State.RUNNING, B, "", 1)) is None
    assert what_of(rebuild(State.SKIPPED, B, "", 1)) is None
