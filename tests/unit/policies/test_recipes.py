"""Every recipe of docs/policies.md does what its title says."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.policies.approval import NeedsApproval
from rebuilder.core.policies.gate import Go, InForce, applies, gate
from rebuilder.core.policies.holds import CoolingDown, Frozen, OutsideWindow
from rebuilder.core.policies.matching import Moved
from rebuilder.core.policies.reading import read_policies
from rebuilder.core.policies.reason import Reason
from rebuilder.core.waves.canary import Canary
from tests.unit.policies.making import NODE, asked

PAGE = (Path(__file__).parents[3] / "docs" / "policies.md").read_text("utf-8")
RECIPES = dict(re.findall(r"### ([^\n]+)\n\n```yaml\n(.*?)```", PAGE, re.DOTALL))
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday
NIGHT = datetime(2026, 11, 26, 23, tzinfo=UTC)
PROD, STAGING = (TaskId(RegistryId("s", "g", name), "web") for name in ("prod1", "staging"))
LEGACY = TaskId(RegistryId("s", "g", "staging"), "team-legacy-web")


def held(
    title: str,
    now: datetime,
    task: TaskId = PROD,
    base: str = NODE,
    age: timedelta = timedelta(),
    **tags: str,
) -> list[type[Reason]]:
    """Return why a task waits by a recipe."""
    question = asked(
        task=task,
        moved=(base,),
        tags={name.replace("_", "-"): value for name, value in tags.items()},
        first=now - age,
        newest=now - age,
    )
    found = gate(question, InForce(read_policies(RECIPES[title])), now)
    return [] if isinstance(found, Go) else [type(reason) for reason in found.reasons]


def ignored(title: str, task: TaskId, base: str, kind: str = "runtime") -> bool:
    """Tell whether a task is left alone by a recipe."""
    moved = (Moved(base, frozenset({kind})),)
    return applies(read_policies(RECIPES[title]), task, moved, ()).ignore


def test_every_recipe_is_tested() -> None:
    """A new one gets its test here."""
    told = Path(__file__).read_text("utf-8")
    assert len(RECIPES) >= 10
    assert [title for title in RECIPES if f'"{title}"' not in told] == []


def test_nights_only() -> None:
    """Whatever it is."""
    assert held("Nights only", NOON) == [OutsideWindow]
    assert held("Nights only", NIGHT) == []


def test_canaries_first() -> None:
    """For tasks of production; the flow is tested in test_canary."""
    policies = read_policies(RECIPES["Canaries first"])
    canary = applies(policies, PROD, (Moved(NODE),), ()).canary
    assert applies(policies, PROD, (Moved(NODE),), ()).breaker == 3
    assert canary == Canary(("*/canary-*",), timedelta(hours=1))
    assert canary.names("staging/Canary-web")
    assert applies(policies, STAGING, (Moved(NODE),), ()).canary is None


def test_production_at_night() -> None:
    """And staging at once."""
    title = "Production at night, staging at once"
    assert held(title, NOON) == [OutsideWindow]
    assert held(title, NOON, STAGING) == []
    assert held(title, NIGHT) == []
    assert held(title, NIGHT + timedelta(days=1)) == [OutsideWindow]  # a Friday


def test_an_image_ages() -> None:
    """A day, for production."""
    title = "Let an image age before production is built on it"
    assert held(title, NOON) == [CoolingDown]
    assert held(title, NOON, age=timedelta(hours=24)) == []
    assert held(title, NOON, STAGING) == []


def test_a_security_base() -> None:
    """It waits for nothing."""
    title = "A security base at once"
    assert held(title, NOON) == [CoolingDown, OutsideWindow]
    assert held(title, NOON, base="baseimages.azurecr.io/security/node:20") == []


def test_production_is_approved() -> None:
    """Staging begins at once."""
    assert held("Approve production", NOON) == [NeedsApproval]
    assert held("Approve production", NOON, STAGING) == []


def test_limits() -> None:
    """What has a place where, and what comes first."""
    file = read_policies(RECIPES["Spare a registry's agents, what is urgent first"])
    task = TaskId(RegistryId("s", "g", "prodregistry"), "test-web")
    found = applies(file, task, (Moved(NODE),), ())
    assert file.rooms(task, "Pool1", found) == (
        "agent pool prodregistry/pool1",
        "policy tests",
        "registry prodregistry",
    )
    assert file.rooms(task, "", found) == ("policy tests", "registry prodregistry")
    assert found.priority == 10
    urgent = applies(file, STAGING, (Moved("baseimages.azurecr.io/security/node:20"),), ())
    assert (file.rooms(STAGING, "", urgent), urgent.priority) == (("policy default",), 90)
    assert file.limits == {
        "policy default": 20,
        "policy tests": 2,
        "registry prodregistry": 10,
        "agent pool prodregistry/pool1": 4,
    }


def test_ages_and_attempts() -> None:
    """Each for its registry."""
    file = read_policies(RECIPES["Build production every month, and give up early in staging"])
    prod, staging = (applies(file, task, (Moved(NODE),), ()) for task in (PROD, STAGING))
    assert (prod.max_age, prod.attempts) == (timedelta(days=30), None)
    assert (staging.max_age, staging.attempts) == (None, 1)


def test_tags_that_count() -> None:
    """The others are left alone, those of other registries are not."""
    title = "Only releases of a base count"
    for tag, left in (("nightly", True), ("20.1.3", False), ("lts", False)):
        assert ignored(title, PROD, f"baseimages.azurecr.io/node:{tag}") is left
    assert not ignored(title, PROD, "docker.io/library/node:nightly")


def test_freezes() -> None:
    """From their beginning to their end."""
    year_end, sale = "Freeze at the end of the year", "Freeze production during a sale"
    assert held(year_end, datetime(2027, 1, 3, 22, tzinfo=UTC)) == [Frozen]
    assert held(year_end, datetime(2027, 1, 3, 23, tzinfo=UTC)) == []
    assert held(sale, datetime(2026, 11, 27, 11, tzinfo=UTC)) == [Frozen]
    assert held(sale, datetime(2026, 11, 27, 11, tzinfo=UTC), STAGING) == []
    assert held(sale, datetime(2026, 11, 27, 10, tzinfo=UTC)) == []


def test_what_is_left_alone() -> None:
    """By task, by tag and by what it is used for."""
    assert ignored("Pin a team out", LEGACY, NODE)
    assert not ignored("Pin a team out", STAGING, NODE)
    assert ignored("Leave release candidates alone", PROD, "b.azurecr.io/node:21-rc1")
    assert not ignored("Leave release candidates alone", PROD, NODE)
    assert ignored("Leave build-time images alone", PROD, NODE, "build-time")
    assert not ignored("Leave build-time images alone", PROD, NODE)


def test_teams_choose() -> None:
    """By the tag of their task."""
    title = "Let teams choose to wait"
    assert held(title, NOON) == []
    assert held(title, NOON, rebuilder_policy="weekends") == [OutsideWindow]


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_every_file_of_the_page_is_right(block: str) -> None:
    """Nobody copies a fault."""
    assert read_policies(block) is not None
