"""Rules of messages: read with their places, quiet times, and whom they are for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rebuilder.core.messages.rules import MessageRule, What
from rebuilder.core.policies.matching import Subject
from rebuilder.core.policies.reading import read_policies
from rebuilder.core.policies.windows import Window
from rebuilder.errors import InvalidPolicy
from tests.unit.policies.making import policies

FILE = """
objective: 6h
messages:
  - name: roll-out
    what: [rebuilt]
    to: [flux]
    match: {task: "prod*/*"}
  - name: people
    to: [team]
    quiet: [{from: "22:00", to: "07:00", timezone: Europe/Berlin}]
    digest: 1h
"""


def subject(task: str = "prodregistry/web", image: str = "docker.io/library/node:9") -> Subject:
    """Return what rules are asked about."""
    return Subject(task, task.partition("/")[0], (image,), frozenset(), {})


def test_rules_are_read() -> None:
    """Without `what` everything is told; each is for what its match fits."""
    found = policies(FILE)

    assert found.objective == timedelta(hours=6)
    first, second = found.messages
    assert (first.name, first.to) == ("roll-out", ("flux",))
    assert first.what == frozenset({What.REBUILT})
    assert (second.what, second.digest) == (frozenset(What), timedelta(hours=1))
    assert found.telling(subject()) == [first, second]
    assert found.telling(subject("test/web")) == [second]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("objective: 0s", "2:12: nothing can be built in no time: write 4h, say"),
        ("objective: soon", "2:12: 'soon': write a whole number of s, m, h or d, as 90m or 3d"),
        ("messages: [{name: a}]", "2:12: to is missing: write a rule with name and to, and"),
        ("messages: [{to: [x]}]", "2:12: name is missing: write a rule with name and to, and"),
        ("messages: [{name: A, to: [x]}]", "2:19: 'A': write a name of lower-case letters"),
        ("messages: [{name: a, to: x}]", "2:26: 'x': write a list of names that REBUILDER_DEST"),
        ("messages: [{name: a, to: []}]", "2:26: it is empty, or half: write a list of names"),
        ("messages: [{name: a, to: ['https://x']}]", "2:27: 'https://x': write a name of lower"),
        (
            "messages: [{name: a, to: [x], what: [built]}]",
            "2:38: 'built': write rebuilt, failed, given-up, needs-approval, quarantined, ",
        ),
        ("messages: [{name: a, to: [x], digest: 0s}]", "2:39: 0s: write 1m to 1d"),
        ("messages: [{name: a, to: [x], digest: 2d}]", "2:39: 2d: write 1m to 1d"),
        (
            "messages: [{name: a, to: [x]}, {name: a, to: [z]}]",
            "2:39: there are two of the name a: write another one",
        ),
        (
            "messages: [{name: a, to: [x], match: {tags: {team: b}}}]",
            "2:39: tags: a message is told without asking ARM, which knows them: leave it out",
        ),
        (
            "messages: [{name: a, to: [x], match: {kinds: [runtime]}}]",
            "2:39: kinds: a message is told without asking ARM, which knows them: leave it out",
        ),
        (
            'messages: [{name: a, to: [x], quiet: [{from: "1:00", to: "02:00", timezone: UTC}]}]',
            "2:46: '1:00': write ",
        ),
        (
            'messages: [{name: a, to: [x], quiet: [{from: "01:00", to: "02:00", timezone: X}]}]',
            "2:78: there is no time zone 'X': write an IANA time zone",
        ),
        ("messages: [{name: a, to: [x], secret: y}]", "2:31: unknown key 'secret': write digest"),
    ],
)
def test_faults_are_told_with_their_places(text: str, fault: str) -> None:
    """And what would be right."""
    with pytest.raises(InvalidPolicy) as raised:
        read_policies(f"version: 1\n{text}\n", "p.yaml")

    assert f"p.yaml:{fault}" in str(raised.value)


BERLIN = "Europe/Berlin"
NIGHT = Window((0, 1, 2, 3, 4), 22 * 60, 7 * 60, BERLIN)
WEEKEND = Window((5, 6), 0, 24 * 60, BERLIN)
MORNING = Window(tuple(range(7)), 7 * 60, 8 * 60, BERLIN)


@pytest.mark.parametrize(
    ("at", "loud"),
    [
        ("2026-11-26T12:00", "2026-11-26T12:00"),  # Thursday noon
        ("2026-11-26T21:30", "2026-11-27T07:00"),  # 22:30 in Berlin, over the morning as well
        ("2026-11-27T01:00", "2026-11-27T07:00"),
        ("2026-11-27T22:00", "2026-11-29T23:00"),  # Friday night, and the weekend after it
        ("2026-10-25T00:30", "2026-10-25T23:00"),  # the hour that comes twice is in a Sunday
    ],
)
def test_quiet_times_are_waited_for(at: str, loud: str) -> None:
    """Those that follow each other as one, by the clock on a wall."""
    quiet = (NIGHT, WEEKEND, MORNING) if not at.startswith("2026-10") else (WEEKEND,)
    rule = MessageRule("a", frozenset(What), ("x",), quiet)

    found = rule.loud(datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(loud).replace(tzinfo=UTC)


def test_a_rule_that_is_always_quiet_tells_in_the_end() -> None:
    """So nothing waits for ever."""
    always = Window(tuple(range(7)), 0, 24 * 60, "UTC")
    rule = MessageRule("a", frozenset(What), ("x",), (always,))
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert now < rule.loud(now) < now + timedelta(days=60)
