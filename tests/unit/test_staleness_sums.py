"""What is summed up by the day says what the ledger says, whenever and however often it is done."""

from __future__ import annotations

from copy import replace
from datetime import timedelta
from random import Random

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry, TaskId
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.holds import Held
from rebuilder.core.rebuilds.rebuild import Check, Hold, Rebuild, State
from rebuilder.core.staleness import figures as rules
from rebuilder.core.staleness.sums import MICROSECOND
from rebuilder.usecases.staleness.report import Summary, staleness, summary
from rebuilder.usecases.staleness.sum_up import sum_up
from tests.unit.fakes import BASE, World, task

TAGS = (
    "mybase.azurecr.io/images/node:9",
    "mybase.azurecr.io/images/java:17",
    "docker.io/library/alpine:3",
)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MOST_PUSHES = 18  # of a tag: of more than twenty, not all are looked at


class Life:
    """Tasks, their bases, and what becomes of them."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.chance = world, Random(seed)  # noqa: S311 - the same each time
        self.number = 0
        self.pushed = dict.fromkeys(TAGS, 0)
        self.names: dict[str, Push] = {}
        self.on: dict[TaskId, dict[str, str]] = {}
        for tag in TAGS:
            self.push(tag)
        # What everybody stands on in the beginning came long before.
        world.time.pass_(12 * 86_400)
        self.begun = world.time.now
        for number in range(6):
            follows = self.chance.sample(TAGS, self.chance.choice([1, 1, 2]))
            self.on[task(f"t{number}").id] = {tag: self.names[tag].digest for tag in follows}
        for each in self.on:
            self.index(each)
        for registry in world.settings.task_registries:
            world.index.mark_refreshed(registry, world.time.now)

    def index(self, each: TaskId) -> None:
        """Have the index know what a task stands on."""
        said = tuple(
            Said(ImageReference.parse(tag), Kind.RUNTIME, digest)
            for tag, digest in self.on[each].items()
        )
        view = join(each, [Evidence(Source.BUILD_FILE, said)])
        self.world.index.replace(view, self.world.time.now)

    def push(self, tag: str) -> None:
        """Push an image; whoever follows it is decided about, now or never."""
        if self.pushed[tag] == MOST_PUSHES:
            return
        self.number += 1
        self.pushed[tag] += 1
        now, reference = self.world.time.now, ImageReference.parse(tag)
        own = reference.domain.startswith(BASE.name)
        registry = BASE if own else ForeignRegistry(reference.domain)
        late = self.chance.choice([None, *[MINUTE / 3] * 4, HOUR * 30])
        push = Push(
            registry,
            reference.path,
            str(reference.tag),
            f"sha256:{self.number:064x}",
            None if late is None else now - late,
            "event",
        )
        self.world.ledger.record_events([push], now)
        self.names[tag] = push
        for each, on in self.on.items():
            if tag in on:
                self.decide(each, tag, push)

    def decide(self, each: TaskId, tag: str, push: Push) -> None:
        """Decide about a task."""
        before = self.on[each][tag]
        made = (
            TaskDisabled(each)
            if self.chance.random() < 0.2
            else BaseMoved(each, tag, "runtime", before, push.digest, "registry")
        )
        self.world.ledger.record_decisions(push, [made], self.world.time.now)

    def claim(self, each: TaskId) -> None:
        """Begin a rebuild of a task that has none under way."""
        head, now = self.world.ledger.head(each), self.world.time.now
        behind = [tag for tag, d in self.on[each].items() if d != self.names[tag].digest]
        if (head is not None and head.unsettled) or not behind:
            return
        bases = tuple(f"{tag}@{self.names[tag].digest}" for tag in sorted(behind))
        held = self.chance.random() < 0.4
        made = Rebuild(
            each, head.sequence + 1 if head else 1, "key", bases, self.names[behind[0]].key,
            State.HELD if held else State.RUNNING, now, "me", now,
            run_id=None if held else f"ca{self.number}",
            hold=Hold.GATE, held=Held((), now, now) if held else None,
        )  # fmt: skip
        assert self.world.ledger.claim(made)

    def go_on(self, each: TaskId) -> None:
        """Let what is under way end, one way or the other."""
        head, now = self.world.ledger.head(each), self.world.time.now
        if head is None or not head.unsettled:
            return
        if head.state is State.HELD:
            changed = replace(head, state=State.RUNNING, claimed_at=now, run_id=f"cb{self.number}")
        elif self.chance.random() < 0.25:
            failed = self.chance.choice([State.FAILED, State.GIVEN_UP])
            changed = replace(head, state=failed, due=None, finished_at=now, outcome="Failed")
        else:
            check = self.chance.choice([Check.NEW, Check.NEW, Check.UNKNOWN, Check.STALE])
            ended = self.chance.choice([None, *[now - MINUTE / 4] * 3])
            changed = replace(
                head, state=State.SUCCEEDED, check=check, finished_at=now, run_ended=ended
            )
        self.world.ledger.save(changed)
        if changed.state is State.SUCCEEDED and changed.check is not Check.STALE:
            for base in changed.bases:
                tag, _, digest = base.partition("@")
                self.on[each][tag] = digest
            self.index(each)

    def step(self) -> None:
        """Let time pass, and something happen."""
        self.world.time.pass_(self.chance.choice([60, 240, 900, 4000, 30_000, 90_000]))
        each = self.chance.choice(list(self.on))
        what = self.chance.random()
        if what < 0.3:
            self.push(self.chance.choice(TAGS))
        elif what < 0.6:
            self.claim(each)
        else:
            self.go_on(each)

    def wanted(self, days: int, objective: timedelta | None) -> Summary:
        """Return what the ledger says, if it is looked at from the beginning."""
        # Not from before that: who was told of nothing then counts as built otherwise.
        whole = (self.world.time.now - self.begun).days + 4
        found = staleness(self.world.context, days=whole, objective=objective)
        since = (found.now - days * 24 * HOUR).replace(hour=0, minute=0, second=0, microsecond=0)
        spells = tuple(s for s in found.spells if not s.over or (s.since or s.told) >= since)
        return replace(found, since=since, spells=spells).summary

    def same(self) -> None:
        """Compare what is summed up with what the ledger says, spell by spell."""
        for days in (1, 6):
            objective = self.chance.choice([None, HOUR / 2, 20 * HOUR])
            told = summary(self.world.context, days=days, objective=objective)
            assert told.kept
            assert told == replace(self.wanted(days, objective), kept=True)


@pytest.mark.parametrize("seed", range(4))
def test_sums_say_what_the_ledger_says(world: World, seed: int) -> None:
    """Whatever happens, whenever it is summed up, and by however many spans and objectives."""
    life = Life(world, seed)
    sum_up(world.context, "me")
    life.same()
    for _ in range(40):
        life.step()
        if life.chance.random() < 0.6:
            sum_up(world.context, "me")
            life.same()


@pytest.mark.parametrize("most", [0, 10_000])
def test_a_percentile_is_that_of_all_of_them(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """In however many lists they are, and whether they are put in order or not."""
    monkeypatch.setattr(rules, "_SORTED", most)
    chance = Random(7)  # noqa: S311 - the same each time
    for _ in range(200):
        lists = [
            sorted(chance.randrange(50) for _ in range(chance.randrange(1, 9)))
            for _ in range(chance.randrange(1, 5))
        ]
        ordered = sorted(each for some in lists for each in some)
        wanted = [ordered[-(-len(ordered) * part // 100) - 1] for part in (1, 50, 95, 100)]
        found = list(rules.percentiles(lists, (1, 50, 95, 100)))
        assert [each // MICROSECOND for each in found if each is not None] == wanted
    assert list(rules.percentiles([], (50,))) == [None]
