from __future__ import annotations

import re
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from rebuilder.core.rebuilds.next_step import Step, Wanted, next_step, of_claim, waits
from rebuilder.core.rebuilds.rebuild import Failure, Hold, Likely, Rebuild, State
from tests.unit.fakes import BASE, task

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
IMAGE = "mybase.azurecr.io/images/node:9@sha256:" + "1" * 64
OTHER = "mybase.azurecr.io/images/node:9@sha256:" + "2" * 64
WANTED = Wanted("key", IMAGE, "me")
HEAD = Rebuild(
    task=task().id,
    sequence=1,
    key="key",
    bases=(IMAGE,),
    push=f"{BASE} push",
    state=State.SUCCEEDED,
    claimed_at=NOW - 10 * MINUTE,
    owner="another",
    lease_until=NOW - 9 * MINUTE,
)
CLAIMED = replace(HEAD, state=State.CLAIMED)
FAILED = replace(HEAD, state=State.FAILED, failure=Failure.BUILD, due=NOW + MINUTE)
STALE = replace(HEAD, stale_by=Likely.REPLICA, due=NOW + MINUTE)
HELD = replace(HEAD, state=State.HELD, due=NOW + MINUTE)
RUNNING = replace(HEAD, state=State.RUNNING)
ASKED = replace(WANTED, asked=True)
AWAY = replace(WANTED, away=True)
MOVED = replace(WANTED, key="other")


class Row(NamedTuple):
    """A row of the table in docs/architecture.md, and what it is true of."""

    words: str
    step: Step
    heads: tuple[Rebuild | None, ...]
    wanted: Wanted = WANTED


ROWS = [
    Row("none", Step.BEGIN, (None,)),
    Row(
        "claimed, its lease live",
        Step.WAIT_FOR_CLAIM,
        (
            replace(CLAIMED, lease_until=NOW + MINUTE),
            replace(CLAIMED, lease_until=NOW + 60 * MINUTE),
        ),
    ),
    Row("claimed, its lease over", Step.TAKE_OVER, (CLAIMED, replace(CLAIMED, lease_until=NOW))),
    Row(
        "claimed, its lease longer than one can be, or over for longer",
        Step.PUT_RIGHT,
        (
            replace(CLAIMED, lease_until=NOW + 61 * MINUTE),
            replace(CLAIMED, lease_until=NOW - 61 * MINUTE),
        ),
    ),
    Row(
        "other digests, over",
        Step.BEGIN,
        (
            HEAD,
            replace(FAILED, due=None),
            replace(HEAD, state=State.GIVEN_UP),
            replace(HEAD, state=State.SKIPPED),
        ),
        MOVED,
    ),
    Row(
        "other digests, its run pushed the image in question itself",
        Step.OWN_OUTPUT,
        (replace(HEAD, output_images=(OTHER, IMAGE.replace("node", "Node"))),),
        MOVED,
    ),
    Row(
        "other digests, with a run under way",
        Step.WAIT_FOR_RUN,
        (RUNNING, replace(RUNNING, state=State.SCHEDULED)),
        MOVED,
    ),
    Row(
        "other digests, held or its next attempt due later",
        Step.BEGIN_INSTEAD,
        (HELD, FAILED, replace(CLAIMED, owner="me")),
        MOVED,
    ),
    Row("other digests, its repair due later", Step.BEGIN_BESIDE_REPAIR, (STALE,), MOVED),
    Row("same digests, taken over, no run found", Step.GO_ON, (replace(CLAIMED, owner="me"),)),
    Row(
        "same digests, scheduled or running",
        Step.UNDER_WAY,
        (RUNNING, replace(RUNNING, state=State.SCHEDULED)),
    ),
    Row(
        "same digests, scheduled or running, and the tag named another image meanwhile",
        Step.WAIT_FOR_RUN,
        (RUNNING,),
        AWAY,
    ),
    Row("same digests, succeeded", Step.BUILT, (HEAD,)),
    Row(
        "same digests, succeeded, and `rebuilder retry` asked since",
        Step.BEGIN_AGAIN,
        (HEAD, STALE),
        ASKED,
    ),
    Row(
        "same digests, succeeded, and the image may stand on another one",
        Step.BEGIN_AGAIN,
        (HEAD, STALE),
        AWAY,
    ),
    Row(
        "same digests, succeeded, but not on the image in question",
        Step.BEGIN,
        (replace(HEAD, bases=(OTHER,)), replace(STALE, bases=())),
    ),
    Row(
        "same digests, succeeded, its image on an old base, the repair due",
        Step.REPAIR,
        (replace(STALE, due=NOW), replace(STALE, due=None)),
    ),
    Row(
        "same digests, succeeded, its image on an old base, the repair due later",
        Step.WAIT_UNTIL_DUE,
        (STALE,),
    ),
    Row(
        "same digests, succeeded, its image on an old base after three repairs",
        Step.BUILT,
        (replace(STALE, repair=3),),
    ),
    Row(
        "same digests, succeeded, its image on an old base, and the tag moved on and came back",
        Step.BEGIN_AGAIN,
        (replace(HEAD, stale_by=Likely.MOVED),),
    ),
    Row(
        "same digests, failed, the next attempt due",
        Step.ATTEMPT,
        (replace(FAILED, due=NOW), replace(FAILED, due=None)),
    ),
    Row("same digests, failed, the next attempt due later", Step.WAIT_UNTIL_DUE, (FAILED,)),
    Row(
        "same digests, failed, the next attempt due later, and `rebuilder retry` asked",
        Step.ATTEMPT,
        (FAILED,),
        ASKED,
    ),
    Row(
        "same digests, failed, the next attempt later than it can be",
        Step.ATTEMPT,
        (replace(FAILED, due=NOW + timedelta(hours=25)),),
    ),
    Row("same digests, given up", Step.GIVEN_UP, (replace(HEAD, state=State.GIVEN_UP),)),
    Row(
        "same digests, given up, and `rebuilder retry` asked",
        Step.BEGIN,
        (replace(HEAD, state=State.GIVEN_UP),),
        replace(WANTED, retry=True),
    ),
    Row(
        "same digests, given up, but its run was adopted and had not used this one",
        Step.BEGIN,
        (replace(HEAD, state=State.GIVEN_UP, bases=(OTHER,)),),
    ),
    Row("same digests, skipped", Step.BEGIN, (replace(HEAD, state=State.SKIPPED),)),
    Row(
        "same digests, held for the native trigger or by the gate",
        Step.GO_ON,
        (HELD, replace(HELD, hold=Hold.GATE)),
    ),
    Row(
        "same digests, held for ARM, due later",
        Step.WAIT_UNTIL_DUE,
        (replace(HELD, hold=Hold.ARM),),
    ),
    Row(
        "same digests, held for ARM, due",
        Step.GO_ON,
        (
            replace(HELD, hold=Hold.ARM, due=NOW + timedelta(milliseconds=900)),
            replace(HELD, hold=Hold.ARM, due=None),
        ),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.words for row in ROWS])
def test_what_comes_next(row: Row) -> None:
    """Each row of the table is what next_step answers."""
    assert [next_step(head, row.wanted, NOW) for head in row.heads] == [row.step] * len(row.heads)


def test_the_table_of_the_docs_is_this_one() -> None:
    """docs/architecture.md has these rows, in this order, and no others; every step is in it."""
    page = Path(__file__).parents[2] / "docs" / "architecture.md"
    table = (
        page.read_text("utf-8").partition("newest rebuild in the ledger |")[2].partition("\n\n")[0]
    )
    written = re.findall(r"(?m)^\| ([^|]+) \| ([^|]+) \|$", table)

    assert written == [(row.words, row.step.value) for row in ROWS]
    assert {row.step for row in ROWS} == set(Step)


def test_a_claim_is_judged_before_anything_is_read() -> None:
    """Whatever is wanted; what is no claim is none of another delivery's."""
    assert of_claim(RUNNING, NOW) is None
    assert of_claim(CLAIMED, NOW) is next_step(CLAIMED, MOVED, NOW) is Step.TAKE_OVER


def test_nobody_waits_for_what_a_wrong_clock_has_written() -> None:
    """What is due later than it can be is not waited for, nor what has no time."""
    assert waits(FAILED, NOW)
    assert not waits(replace(FAILED, due=NOW + timedelta(hours=25)), NOW)
    assert not waits(replace(FAILED, due=None), NOW)
