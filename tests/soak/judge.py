"""Whether a run may begin, and why an image may be stale, by what operators decided.

The judge knows that from whoever decided it, and the truth from Azure; it asks nothing of the
product's that the product goes by itself. In doubt it lets a run go: what it says is wrong is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.policies.acts import Scope, Target
from tests.soak.azure import START, Azure, SimRun, SimTask, is_foreign
from tests.soak.decided import AHEAD, ATTEMPTS, FRESH, Decided, Means, name_of

_LONG = timedelta(hours=5)
"""A task that has not begun for about so long is waited for no longer."""


@dataclass(frozen=True)
class Voted:
    """What somebody said to a rebuild: on which images, and when."""

    who: str
    at: datetime
    task: TaskId
    bases: tuple[str, ...]


@dataclass
class Judge:
    """What operators decided, and what follows from it.

    Attributes:
        azure: The truth.
        decided: The policy file; None as long as there is none.
        since: The pauses that are in force, by what is paused, and since when that is recorded.
        quarantined: The images that nothing is built on, and since when that is recorded.
        released: The images that were released.
        votes: Who agreed to what.
        against: Who rejected what.
        binding: The same, of those who were told that it was rejected.
        touched: When somebody last created, edited, enabled or disabled a task.
    """

    azure: Azure
    decided: Decided | None = None
    since: dict[Target, datetime] = field(default_factory=dict)
    quarantined: dict[str, datetime] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    votes: list[Voted] = field(default_factory=list)
    against: list[Voted] = field(default_factory=list)
    binding: list[Voted] = field(default_factory=list)
    touched: dict[TaskId, datetime] = field(default_factory=dict)
    _least: dict[TaskId, int] = field(default_factory=dict)
    _roots: dict[tuple[object, str], frozenset[str]] = field(default_factory=dict)
    _whole: dict[tuple[TaskId, str, int], SimRun] = field(default_factory=dict)

    def decide(self, decided: Decided) -> None:
        """Hear of a policy file."""
        before, self.decided = self.decided, decided
        for task in self.azure.tasks:
            was = before is not None and before.means(task).ignore
            if was != decided.means(task).ignore:
                # What was decided of it until now may be that it is left alone, or is not.
                self.touched[task] = self.azure.now
            least = decided.means(task).attempts
            self._least[task] = min(least, self._least.get(task, ATTEMPTS))

    def means(self, task: TaskId) -> Means:
        """Return what the policy file means for a task."""
        assert self.decided is not None
        return self.decided.means(task)

    def least(self, task: TaskId) -> int:
        """Return how often a task was to be tried at least, by any policy until now."""
        return self._least.get(task, ATTEMPTS)

    # What it reads, and what led to that

    def roots(self, task: SimTask) -> frozenset[str]:
        """Return the pushes that all that the last image of a task lacks comes from."""
        built, found = task.built(), set[str]()
        for name, digest in self.azure.names_now(task).items():
            if built is None or built.pulled.get(name) != digest:
                found |= self._root(f"{name}@{digest}")
        return frozenset(found)

    def _root(self, image: str) -> frozenset[str]:
        maker = self.azure.makers.get(image)
        if maker is None or maker.by != "product":
            return frozenset({image})
        return self._roots.get((maker.task, maker.run_id)) or frozenset({image})

    def _above(self, task: SimTask, *, cycles: bool = False) -> list[SimTask]:
        """Return the tasks that one stands on; of those that stand on it, too, if wanted."""
        found, ahead = dict[TaskId, SimTask](), [task]
        while ahead:
            reads = ahead.pop().bases
            for other in self.azure.tasks.values():
                if other.output in reads and other.id not in found and other is not task:
                    found[other.id] = other
                    ahead.append(other)
        every = found.values()
        return [one for one in every if cycles or task.output not in self._read_by(one)]

    def _read_by(self, task: SimTask) -> set[str]:
        found, ahead = set[str](), [task]
        while ahead:
            for name in ahead.pop().bases:
                if name not in found:
                    found.add(name)
                    ahead += [t for t in self.azure.tasks.values() if t.output == name]
        return found

    def _known(self, task: SimTask, since: datetime) -> bool:
        """Whether the product must know what a task reads, and may rebuild it, since a time."""
        there = task.exists and task.enabled and not self._ignores(task)
        told = self.touched.get(task.id, START) < since
        return there and told and set(task.bases) <= set(self.azure.believed(task.id))

    def _ignores(self, task: SimTask) -> bool:
        return self.decided is not None and self.decided.means(task.id).ignore

    # Starts

    def starts(self, task: SimTask, run: SimRun) -> Iterator[str]:
        """Yield why a run of the product's ought not to have been asked for."""
        began = self.azure.caller_began()
        # Whoever is built once more lacks nothing: an image that it reads went away and came back.
        came_back = self.azure.came_back & _images(run.wanted)
        roots = self.roots(task) or frozenset(came_back)
        self._roots[task.id, run.run_id] = roots
        yield from self._paused(task, began)
        yield from self._quarantined(run, began)
        yield from self._rejected(task, run, began)
        if len(roots) == 1:
            yield from self._before_others(task, run, next(iter(roots)), began)
        if self.decided and self.decided.at + FRESH <= began:
            if self._ignores(task):
                yield "it is to be left alone"
            yield from self._too_many(task)
            yield from self._too_early(task, began)
            yield from self._not_agreed(task, run, began)
            for root in roots if len(roots) == 1 else self._beside(task, roots):
                yield from self._before_canaries(task, root, began)

    def _paused(self, task: SimTask, began: datetime) -> Iterator[str]:
        for target, since in self.since.items():
            if covers(target, task.id) and since + FRESH < began:
                yield f"{target} is paused since {since:%d %H:%M:%S}"

    def _quarantined(self, run: SimRun, began: datetime) -> Iterator[str]:
        for name, digest in run.wanted.items():
            image = f"{name}@{digest}"
            since = self.quarantined.get(image)
            # Whoever began before a tag came back has read what it named until then.
            here = self.azure.written.get(name, START) < began
            if since is not None and since + FRESH < began and here:
                yield f"{image[:-50]} is quarantined since {since:%d %H:%M:%S}"

    def _rejected(self, task: SimTask, run: SimRun, began: datetime) -> Iterator[str]:
        names = run.wanted.keys()
        still = all(self.azure.written.get(name, START) < began for name in names)
        for vote in self.binding:
            moved = any(vote.at < self.azure.written.get(name, START) for name in names)
            same = vote.task == task.id and _images(run.wanted) == {*vote.bases}
            if same and vote.at + FRESH < began and still and not moved:
                yield f"{vote.who} rejected it at {vote.at:%d %H:%M:%S}"

    def _too_many(self, task: SimTask) -> Iterator[str]:
        assert self.decided is not None
        # What began before a limit is none of those that it counts.
        known = self.decided.at + FRESH
        flying = [
            other
            for other in self.azure.runs.values()
            if other.by == "product" and other.created >= known and other.finished is None
        ]
        for room, most in self.means(task.id).rooms.items():
            there = sum(room in self.means(other.task).rooms for other in flying)
            if there >= most:
                yield f"{there + 1} are under way in {room}: {most}"

    def _too_early(self, task: SimTask, began: datetime) -> Iterator[str]:
        assert self.decided is not None
        now, means = self.azure.now, self.means(task.id)
        if not means.open(began + AHEAD) and not means.open(now + AHEAD):
            yield f"it is outside its window {means.windows}"
        if freeze := self.decided.frozen(task.id, began, now + AHEAD):
            yield f"{freeze} is a freeze"
        yield from self._cooling(task, means, began)

    def _cooling(self, task: SimTask, means: Means, began: datetime) -> Iterator[str]:
        built, now = task.built(), self.azure.now
        if built is None or built.started is None:
            return
        names = self.azure.names_now(task)
        lacking = {name for name, digest in names.items() if built.pulled.get(name) != digest}
        # For all that anybody knows, what moved while the last run went on is lacking, too.
        moved = {name for name in names if self.azure.written.get(name, START) >= built.started}
        # Whoever began before a tag moved may have read what it named until then.
        came = [self._oldest(name, began) for name in sorted(lacking | moved)]
        # What waits goes on waiting since the first that came, whoever else builds meanwhile.
        # A run that failed has built on nothing; nor has one, maybe, that read a tag as it moved.
        good = [run for run in task.runs if run.status is RunStatus.SUCCEEDED]
        sure = [run for run in good if run.by == "product" and not (run.lagged or run.unsure)]
        ours = [run.started for run in sure if run.started]
        since = max(ours, default=START)
        first = [at for at, name, _ in self.azure.pushed if name in names and at >= since]
        if not lacking or not first:
            return
        # Only if each of them is young: of a tag that came back the product knows since when.
        if now + AHEAD < min(min(came) + means.cooldown, first[0] + means.longest):
            yield f"an image of {max(came):%H:%M:%S} is to be {means.cooldown} old"

    def _oldest(self, name: str, since: datetime) -> datetime:
        """Return when the oldest image came that a tag named at any moment since a time."""
        repository = name.rpartition(":")[0]
        named = self._named_since(name, since)
        return min((self.azure.came.get((repository, d), START) for d in named), default=START)

    def _not_agreed(self, task: SimTask, run: SimRun, began: datetime) -> Iterator[str]:
        means = self.means(task.id)
        if not means.votes:
            return
        named = {name: self._named_since(name, began - _unseen(name)) for name in run.wanted}
        given = {
            vote.who
            for vote in self.votes
            if vote.task == task.id
            and began < vote.at + means.expires + AHEAD
            and all(digest in named.get(name, {digest}) for name, digest in _parts(vote.bases))
        }
        if len(given) < means.votes:
            yield f"{len(given)} of {means.votes} agreed to it"

    def _named_since(self, name: str, since: datetime) -> set[str]:
        """Return what a tag named at any moment since a time."""
        found = set[str]()
        for at, moved, digest in reversed(self.azure.pushed):
            if moved == name:
                found.add(digest)
                if at < since:
                    break
        return found

    # Waves

    def _mistaken(self, image: str) -> bool:
        """Whether an image may have been taken for the product's, and so for one of its waves.

        Somebody else's run of the task pushed it while one of the product's was under way. Or it is
        of a run that lacked nothing, in the wave of a foreign image: of that nobody tells the
        product since when a tag names it.
        """
        maker = self.azure.makers.get(image)
        if maker is None or maker.finished is None:
            return False
        if self._roots.get((maker.task, maker.run_id)) == frozenset():
            return any(is_foreign(name) for name in maker.wanted)
        at, runs = maker.finished, self.azure.tasks[maker.task].runs
        ours = [run for run in runs if run.by == "product" and run is not maker]
        return any(run.created <= at <= (run.finished or at) + FRESH for run in ours)

    def _before_others(
        self, task: SimTask, run: SimRun, root: str, began: datetime
    ) -> Iterator[str]:
        """Hold a start against what the task stands on, and which the same push reaches."""
        name, _, digest = root.partition("@")
        since, moves = self.azure.written.get(name, START), self.azure.moves.get(name, 0)
        gone = self.azure.tags.get(name) != digest or root in self.azure.came_back
        if gone or self._mistaken(root) or began - since > _LONG:
            return
        wave = (task.id, root, moves)
        above = self._above(task)
        sure = all(self._known(one, since) for one in (task, *above))
        before = self._whole.get(wave)
        good = before is not None and before.status is RunStatus.SUCCEEDED
        if sure and before and good and not (before.lagged or before.unsure):
            yield f"run {before.run_id} was for the same push of {name}"
        for other in above if self._known(task, since) else ():
            if self._known(other, since) and (state := self._to_come(other, root, began)):
                yield f"{other.id.name} {state}, and comes before it"
        if sure and task.output not in self._read_by(task):
            self._whole[wave] = run

    def _to_come(self, task: SimTask, root: str, began: datetime) -> str:
        """Tell how far a task is that is to be built in a wave; "" if it is over, or is not to."""
        for run in task.runs:
            flies = run.finished is None and run.by == "product" and run.created < began
            if flies and self._roots.get((task.id, run.run_id)) == frozenset({root}):
                return "goes on"
        on = self.azure.names_now(task)
        known = all(self.azure.written.get(base, START) < began for base in on)
        if self.roots(task) != {root} or not known:
            return ""
        tried = [run for run in task.runs if run.wanted == on]
        over = sum(run.finished is not None for run in tried) >= self.least(task.id)
        canceled = any(run.ends is RunStatus.CANCELED for run in tried)
        no = any(vote.task == task.id and _images(on) == {*vote.bases} for vote in self.against)
        return "" if over or canceled or no else "is to be built"

    def _before_canaries(self, task: SimTask, root: str, began: datetime) -> Iterator[str]:
        """Hold a start against those that go first."""
        means = self.means(task.id)
        name, _, digest = root.partition("@")
        since = self.azure.written.get(name, START)
        if means.waits_for(task.id) or root in self.released or began - since > _LONG:
            return
        if root in self.azure.came_back or self._mistaken(root):
            return  # what was decided when it was there before may count as decided
        if self.azure.tags.get(name) != digest or since >= began:
            return
        firsts = self._firsts(task, name)
        # What one of them stands on comes before it.
        leads = any(task.output in self._read_by(first) for first in firsts)
        for first in () if leads else firsts:
            if not self._known(first, since) or not self._known(task, since):
                continue
            on = [
                run for run in first.runs if digest in (run.wanted.get(name), run.pulled.get(name))
            ]
            good = [run for run in on if run.status is RunStatus.SUCCEEDED]
            # One that is on it already, by a run that was not for it, is left alone.
            soaked = any(
                run.by != "product"
                or run.wanted.get(name) != digest
                or (run.finished or START) + means.soak <= self.azure.now + AHEAD
                for run in good
            )
            if not soaked:
                yield f"{first.id.name} goes first on {root[:-50]} and is not done"

    def _beside(self, task: SimTask, images: Iterable[str]) -> Iterator[str]:
        """Yield the images of a task that no task pushes and no poll tells of, by ACR's record.

        What another task's image took in beside its wave was let go when that one was built.
        """
        made = {task.output for task in self.azure.tasks.values()}
        for image in sorted(images):
            name, _, digest = image.partition("@")
            theirs = name in made or is_foreign(name) or name not in task.bases
            if not theirs and task.record.get(name) != digest:
                yield image

    def _firsts(self, task: SimTask, name: str) -> list[SimTask]:
        """Return the tasks that read an image and go first where a task does."""
        means = self.means(task.id)
        every = self.azure.tasks.values()
        return [one for one in every if means.waits_for(one.id) and name in one.bases]

    # Rest

    def reason(self, task: SimTask, seen: frozenset[TaskId] = frozenset()) -> str:
        """Return why a task may be stale for as long as operators want it; "" if it may not."""
        now = self.azure.now
        for target in self.since:
            if covers(target, task.id):
                return f"{target} is paused"
        on = _images(self.azure.names_now(task))
        # Nor is anything built on what was built on it, in its wave.
        if bad := (on | self.roots(task)) & self.quarantined.keys():
            return f"{min(bad)[:-50]} is quarantined"
        if any(vote.task == task.id and on == {*vote.bases} for vote in self.against):
            return "it was rejected"
        if self.decided is None:
            return ""
        if freeze := self.decided.frozen(task.id, now, now):
            return f"{freeze} is a freeze"
        if self._ignores(task):
            return "it is left alone"
        means = self.means(task.id)
        agreed = {
            vote.who
            for vote in self.votes
            if vote.task == task.id
            and on == {*vote.bases}
            and now < vote.at + means.expires
            # Of an image that went away and came back they are asked anew.
            and all(vote.at > self.azure.written.get(name, START) for name, _ in _parts(vote.bases))
        }
        if len(agreed) < means.votes:
            return f"{len(agreed)} of {means.votes} agreed to it"
        return self._behind(task, seen | {task.id})

    def _behind(self, task: SimTask, seen: frozenset[TaskId]) -> str:
        """Return what is held for good that a task comes after."""
        names = {*task.bases, *(root.partition("@")[0] for root in self.roots(task))}
        firsts = {one.id: one for name in sorted(names) for one in self._firsts(task, name)}
        for other in (*self._above(task, cycles=True), *firsts.values()):
            wanted = self.roots(other) or _doubted(other.built())
            if other.id in seen or not (other.exists and other.enabled and wanted):
                continue
            if why := self.reason(other, seen):
                return f"after {other.id.name}: {why}"
        return ""


def _doubted(run: SimRun | None) -> bool:
    """Whether nobody can know what a run has read, though it is what the tags name.

    A tag moved meanwhile, or a foreign one may have: of those only the poll tells, some time later.
    """
    if run is None:
        return False
    foreign = any(map(is_foreign, run.pulled))
    return run.lagged or run.unsure or (foreign and run.by != "product")


def covers(target: Target, task: TaskId) -> bool:
    """Whether a pause is for a task."""
    if target.scope is Scope.REGISTRY:
        return target.pattern == task.registry.name
    return target.scope is Scope.ALL or target.pattern == name_of(task)


def _unseen(name: str) -> timedelta:
    """Return for how long the product may not have seen that a tag moved."""
    return _LONG if is_foreign(name) else timedelta()


def _images(named: Mapping[str, str | None]) -> set[str]:
    return {f"{name}@{digest}" for name, digest in named.items()}


def _parts(images: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, digest) for name, _, digest in (image.partition("@") for image in images)]
