"""A story for the page: what a team's store holds on a day on which everything happens.

Written by the product's own stores, so that it reads as what the product writes.
`python -m tests.browser.story FOLDER` makes one and prints the settings that read it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from copy import replace
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry, RegistryId, TaskId
from rebuilder.core.acr.tasks import Kind, Makes, Output
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.decision import Decision
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.events.pushes import Push
from rebuilder.core.policies.acts import Act, Controls, Scope, Target, What
from rebuilder.core.policies.approval import NeedsApproval, Vote
from rebuilder.core.policies.holds import CoolingDown, Held, OutsideWindow, Paused
from rebuilder.core.policies.reason import Reason
from rebuilder.core.rebuilds.messages import PUSHES, PlanRebuilds
from rebuilder.core.rebuilds.rebuild import Check, Failure, Hold, Likely, Rebuild, State
from rebuilder.core.rebuilds.rebuild import rebuild_key as key_of
from rebuilder.core.waves.canary import Quarantined
from rebuilder.sqlite.bookmarks import SqliteBookmarks
from rebuilder.sqlite.dead_letters import SqliteDeadLetters
from rebuilder.sqlite.index import SqliteIndex
from rebuilder.sqlite.ledger import SqliteLedger
from rebuilder.sqlite.steering import FileSteering

SUBSCRIPTION = "6c1f3a52-9f0e-4c55-8a67-2f6d1f3f2b10"
BASE = RegistryId(SUBSCRIPTION, "images", "contosobase")
PLATFORM = RegistryId(SUBSCRIPTION, "platform", "contosoplatform")
APPS = RegistryId(SUBSCRIPTION, "shop", "contosoapps")
EDGE = RegistryId(SUBSCRIPTION, "edge", "contosoedge")
HUB = ForeignRegistry("docker.io")

NODE, PYTHON, DOTNET, JAVA, NGINX = (
    f"contosobase.azurecr.io/images/{name}"
    for name in ("node:22", "python:3.13", "dotnet:9.0", "java:21", "nginx:1.28")
)
ALPINE = "docker.io/library/alpine:3.22"
SERVICE = "contosoplatform.azurecr.io/platform/node-service:5"
JOB = "contosoplatform.azurecr.io/platform/python-job:2"

POLICY = """\
version: 1
policies:
  default: {cooldown: 0s}
  production:
    cooldown: 2h
    maxWait: 24h
    windows: [{days: [mon, tue, wed, thu], from: "22:00", to: "05:00", timezone: Europe/Berlin}]
  payments:
    approval: {votes: 2, expires: 48h}
freezes:
  - {name: year-end, from: 2026-12-23, to: 2027-01-03, timezone: Europe/Berlin}
rules:
  - {match: {task: "contosoapps/shop-*"}, policy: production}
  - {match: {task: "contosoapps/payments-*"}, policy: payments}
  - {match: {base: "*:*-rc*"}, ignore: true}
"""
LOG = """\
Step 7/9 : RUN npm ci --omit=dev
npm error code ETARGET
npm error notarget No matching version found for @contoso/telemetry@^4.2.0.
The command '/bin/sh -c npm ci --omit=dev' returned a non-zero code: 1
"""
_FAILED = "contosoapps/accounts-api failed (ca4327): its build failed at step 7 of 9"


def digest(*parts: object) -> str:
    """Return a digest of a name."""
    text = "/".join(map(str, parts))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass
class Story:
    """Writes a store.

    Attributes:
        path: The SQLite file.
        now: When it is.
    """

    path: Path
    now: datetime
    tasks: dict[str, TaskId] = field(default_factory=dict)
    runs: int = 4200

    def __post_init__(self) -> None:
        self.ledger = SqliteLedger(self.path)
        self.index = SqliteIndex(self.path)
        self.letters = SqliteDeadLetters(self.path)
        self.bookmarks = SqliteBookmarks(self.path)
        self.steering = FileSteering(self.path)
        self.sequences: dict[TaskId, int] = {}

    def ago(self, **span: float) -> datetime:
        """Return a time that has been."""
        return self.now - timedelta(**span)

    def push(self, image: str, number: int, at: datetime) -> Push:
        """Tell of a push."""
        reference = ImageReference.parse(image)
        name = reference.domain.partition(".")[0]
        registry = {r.name: r for r in (BASE, PLATFORM)}.get(name) or HUB
        push = Push(
            registry, reference.path, str(reference.tag), digest(image, number), at, f"e{number}"
        )
        self.ledger.record_events([push], at + timedelta(seconds=4))
        self.ledger.planned(push)
        return push

    def task(
        self,
        name: str,
        on: Sequence[tuple[str, str | None, Kind]],
        *,
        registry: RegistryId = APPS,
        file: Sequence[tuple[str, Kind, str]] | None = None,
        problem: str | None = None,
        output: Output | None = None,
    ) -> TaskId:
        """Have the index know a task."""
        task = TaskId(registry, name)
        recorded = tuple(
            Said(ImageReference.parse(image), kind, built) for image, built, kind in on
        )
        said = (
            tuple(
                Said(ImageReference.parse(image), kind, None, f"Dockerfile, line 1: FROM {image}")
                for image, _, kind in on
            )
            if file is None
            else tuple(Said(ImageReference.parse(i), kind, None, where) for i, kind, where in file)
        )
        view = join(
            task,
            [
                Evidence(Source.ACR_RECORD, recorded),
                Evidence(Source.BUILD_FILE, said, problem, "3f1c9ae"),
            ],
        )
        made = output or Output(
            Makes.IMAGE, (f"{name}:{{{{.Run.ID}}}}", f"{name}:latest"), "its step pushes it"
        )
        self.index.replace(replace(view, output=made), self.ago(hours=2))
        self.tasks[name] = task
        return task

    def rebuild(
        self, task: TaskId, push: Push, image: str, state: State, **more: object
    ) -> Rebuild:
        """Have the ledger know a rebuild; `at` is when it was claimed."""
        sequence = self.sequences[task] = self.sequences.get(task, 0) + 1
        at = more.pop("at", self.ago(minutes=10))
        assert isinstance(at, datetime)
        old = more.pop("old", digest(image, 0))
        reference = ImageReference.parse(image)
        decision = BaseMoved(task, image, "runtime", str(old), push.digest, "registry")
        self.ledger.record_decisions(push, [decision], at)
        run = None
        if state not in (State.HELD, State.CLAIMED):
            self.runs += 1
            run = f"ca{self.runs}"
        values: dict[str, object] = {
            "task": task,
            "sequence": sequence,
            "key": key_of(task, [Base(reference, push.digest, "registry")]),
            "bases": (f"{image}@{push.digest}",),
            "push": push.key,
            "state": state,
            "claimed_at": at,
            "owner": "instance",
            "lease_until": at + timedelta(seconds=90),
            "run_id": run,
        }
        if state is State.SUCCEEDED:
            over = at + timedelta(minutes=3)
            host = f"{task.registry.name}.azurecr.io"
            values |= {
                "finished_at": over,
                "run_ended": over,
                "outcome": "Succeeded",
                "check": Check.NEW,
                "check_reason": "its first layers are those of the new base",
                "output_images": (
                    f"{host}/{task.name}:{run}@{digest(task, run)}",
                    f"{host}/{task.name}:latest@{digest(task, run)}",
                ),
            }
        rebuild = Rebuild(**{**values, **more})  # type: ignore[arg-type] # as the callers say
        assert self.ledger.claim(rebuild)
        return self.ledger.save(rebuild) if rebuild.output_images else rebuild

    def held(self, task: TaskId, push: Push, image: str, *reasons: Reason) -> Rebuild:
        """Have a rebuild wait."""
        first = push.pushed_at or self.now
        told = Held(reasons, first, first, (image,), "v1")
        return self.rebuild(
            task,
            push,
            image,
            State.HELD,
            hold=Hold.GATE,
            held=told,
            outcome=told.sentence(),
            due=told.until or self.now + timedelta(hours=24),
        )

    def left(self, push: Push, decision: Decision, at: datetime) -> None:
        """Decide to leave a task alone."""
        self.ledger.record_decisions(push, [decision], at)

    def close(self) -> None:
        """Close the store."""
        for store in (self.ledger, self.index, self.letters, self.bookmarks, self.steering):
            store.close()


def seed(path: Path, now: datetime | None = None) -> dict[str, str]:
    """Write the story; return the settings that read it."""
    now = now or datetime.now(UTC).replace(microsecond=0)
    story = Story(path, now)
    _past(story)
    _today(story)
    _decided(story)
    for registry in (APPS, PLATFORM):
        story.index.mark_refreshed(registry, story.ago(hours=2))
    story.index.mark_refreshed(EDGE, story.ago(hours=31))
    story.close()
    return {
        "AzureWebJobsStorage": f"sqlite:{path}",
        "REBUILDER_BASE_REGISTRIES": f"{BASE} {PLATFORM}",
        "REBUILDER_TASK_REGISTRIES": f"{APPS} {PLATFORM} {EDGE}",
    }


_CATALOG = (
    *(("shop-web", NODE), ("shop-cart", SERVICE), ("shop-search", SERVICE)),
    *(("shop-reviews", SERVICE), ("shop-images", NGINX), ("payments-api", SERVICE)),
    *(("payments-worker", SERVICE), ("payments-ledger", JAVA), ("orders-api", DOTNET)),
    *(("orders-worker", DOTNET), ("stock-sync", JOB), ("stock-forecast", JOB)),
    *(("mail-render", PYTHON), ("mail-send", PYTHON), ("accounts-api", JAVA)),
    *(("accounts-web", NODE), ("admin-web", NODE), ("docs-site", NGINX)),
    *(("gateway", NGINX), ("reports-nightly", JOB)),
)


def _past(story: Story) -> None:
    """A week in which bases moved and everything caught up."""
    kind = Kind.RUNTIME
    story.task("node-service", [(NODE, digest(NODE, 6), kind)], registry=PLATFORM)
    story.task("python-job", [(PYTHON, digest(PYTHON, 6), kind)], registry=PLATFORM)
    for name, image in _CATALOG:
        story.task(name, [(image, digest(image, 6), kind)])
    for number, name in enumerate(("edge-proxy", "edge-cache", "edge-probe")):
        image = (NGINX, ALPINE, ALPINE)[number]
        story.task(name, [(image, digest(image, 6), kind)], registry=EDGE)
    followers: dict[str, list[TaskId]] = {NODE: [], PYTHON: []}
    for name, image in (*_CATALOG, ("node-service", NODE), ("python-job", PYTHON)):
        followers.setdefault(image, []).append(story.tasks[name])
    for number in range(1, 7):
        days = 7.2 - number
        for place, image in enumerate((NODE, PYTHON, DOTNET, JAVA, NGINX, SERVICE, JOB)):
            at = story.ago(days=days, minutes=-17 * place)
            push = story.push(image, number, at)
            for behind, task in enumerate(followers.get(image, ())):
                late = timedelta(minutes=4 + 9 * behind + 13 * (number % 3))
                story.rebuild(
                    task, push, image, State.SUCCEEDED, at=at + late, old=digest(image, number - 1)
                )
    story.push(ALPINE, 6, story.ago(days=3))


def _today(story: Story) -> None:
    """What happens now."""
    tasks = story.tasks
    node = story.push(NODE, 7, story.ago(minutes=48))
    service = story.push(SERVICE, 7, story.ago(minutes=31))
    python = story.push(PYTHON, 7, story.ago(minutes=9))
    java = story.push(JAVA, 7, story.ago(hours=9))
    nginx = story.push(NGINX, 7, story.ago(hours=3))
    old = digest(NODE, 6)
    story.rebuild(
        tasks["node-service"],
        node,
        NODE,
        State.SUCCEEDED,
        at=story.ago(minutes=45),
        old=old,
        output_images=(f"{SERVICE}@{service.digest}",),
    )
    for minutes, name in ((44, "accounts-web"), (41, "admin-web")):
        story.rebuild(
            tasks[name], node, NODE, State.SUCCEEDED, at=story.ago(minutes=minutes), old=old
        )
    window = OutsideWindow(
        ("mon,tue,wed,thu 22:00-05:00 Europe/Berlin",), story.now + timedelta(hours=6, minutes=24)
    )
    cooling = CoolingDown(
        story.ago(minutes=31),
        timedelta(hours=2),
        story.ago(minutes=31),
        story.now + timedelta(minutes=89),
    )
    story.held(tasks["shop-web"], node, NODE, window)
    for name in ("shop-cart", "shop-search", "shop-reviews"):
        story.held(tasks[name], service, SERVICE, cooling, window)
    vote = Vote("act-vote", "mira@contoso.com", "tested in staging", story.ago(minutes=12))
    for name, votes in (("payments-api", (vote,)), ("payments-worker", ())):
        needs = NeedsApproval(f"contosoapps/{name}", 2, votes, timedelta(hours=48))
        story.held(tasks[name], service, SERVICE, needs)
    story.rebuild(
        tasks["python-job"],
        python,
        PYTHON,
        State.RUNNING,
        at=story.ago(minutes=2),
        old=digest(PYTHON, 6),
    )
    story.rebuild(
        tasks["mail-send"],
        python,
        PYTHON,
        State.SCHEDULED,
        at=story.ago(seconds=40),
        old=digest(PYTHON, 6),
    )
    story.rebuild(
        tasks["mail-render"],
        python,
        PYTHON,
        State.FAILED,
        at=story.ago(minutes=7),
        old=digest(PYTHON, 6),
        finished_at=story.ago(minutes=4),
        failure=Failure.BUILD,
        outcome="Failed",
        due=story.now + timedelta(minutes=6),
    )
    story.rebuild(
        tasks["accounts-api"],
        java,
        JAVA,
        State.GIVEN_UP,
        at=story.ago(hours=7),
        old=digest(JAVA, 6),
        finished_at=story.ago(hours=6, minutes=50),
        failure=Failure.BUILD,
        outcome="Failed",
        attempt=3,
        advice="publish the version that package.json asks for, or ask for another;"
        " then `rebuilder retry contosoapps/accounts-api`",
        log=LOG,
    )
    story.rebuild(
        tasks["payments-ledger"],
        java,
        JAVA,
        State.SUCCEEDED,
        at=story.ago(hours=8, minutes=50),
        old=digest(JAVA, 6),
    )
    story.rebuild(
        tasks["docs-site"],
        nginx,
        NGINX,
        State.SUCCEEDED,
        at=story.ago(hours=2, minutes=50),
        old=digest(NGINX, 6),
        check=Check.STALE,
        stale_by=Likely.PIN,
        check_reason="its build file names the digest of the base before",
    )
    story.rebuild(
        tasks["shop-images"],
        nginx,
        NGINX,
        State.SUCCEEDED,
        at=story.ago(hours=2, minutes=40),
        old=digest(NGINX, 6),
    )
    paused = Paused(
        "--task contosoapps/gateway",
        "lena@contoso.com",
        "the upgrade of the mesh goes first",
        story.ago(hours=2, minutes=30),
        None,
    )
    story.held(tasks["gateway"], nginx, NGINX, paused)
    quarantined = Quarantined(f"{JAVA}@{digest(JAVA, 7)}", _FAILED, story.ago(hours=6, minutes=50))
    exports = story.task("billing-exports", [(JAVA, digest(JAVA, 6), Kind.RUNTIME)])
    story.held(exports, java, JAVA, quarantined)
    disabled = TaskDisabled(TaskId(EDGE, "edge-proxy"))
    story.left(nginx, disabled, story.ago(hours=3))
    story.task(
        "firmware-pack",
        [],
        registry=EDGE,
        file=(),
        problem="its context is on git.contoso.internal, which is not among REBUILDER_SOURCE_HOSTS",
        output=Output(Makes.UNKNOWN, (), "its files could not be read", read=False),
    )
    story.task(
        "stock-forecast",
        [(JOB, digest(JOB, 6), Kind.RUNTIME)],
        file=(
            (JOB, Kind.RUNTIME, f"Dockerfile, line 4: FROM {JOB}"),
            (PYTHON, Kind.BUILD_TIME, f"Dockerfile, line 1: FROM {PYTHON} AS wheels"),
        ),
    )


def _decided(story: Story) -> None:
    """What operators decided, and what was given up."""
    applied = "only *-rc* was missing"
    first = POLICY.replace('  - {match: {base: "*:*-rc*"}, ignore: true}\n', "")
    story.steering.apply(
        first,
        who="lena@contoso.com",
        at=story.ago(days=6),
        because="nights for the shop",
        before="",
    )
    token = story.steering.token()
    story.steering.apply(
        POLICY, who="jon@contoso.com", at=story.ago(days=2), because=applied, before=token
    )
    gateway = Target(Scope.TASK, "contosoapps/gateway")
    acts = [
        Act(
            "a1",
            What.APPLY,
            Target(),
            "lena@contoso.com",
            "policy version 1: nights for the shop",
            story.ago(days=6),
            came="0 rebuild(s) looked at again",
        ),
        Act(
            "a2",
            What.PAUSE,
            Target(Scope.BASE, "contosobase/images/java:*"),
            "jon@contoso.com",
            "21.0.9 breaks TLS",
            story.ago(days=4),
            came="what fits waits from now on",
        ),
        Act(
            "a3",
            What.RESUME,
            Target(Scope.BASE, "contosobase/images/java:*"),
            "jon@contoso.com",
            "21.0.9+2 is out",
            story.ago(days=3),
            came="2 rebuild(s) looked at again",
        ),
        Act(
            "a4",
            What.APPLY,
            Target(),
            "jon@contoso.com",
            f"policy version 2: {applied}",
            story.ago(days=2),
            came="4 rebuild(s) looked at again",
        ),
        Act(
            "a5",
            What.PAUSE,
            gateway,
            "lena@contoso.com",
            "the upgrade of the mesh goes first",
            story.ago(hours=2, minutes=30),
            came="what fits waits from now on",
        ),
        Act(
            "a6",
            What.QUARANTINE,
            Target(Scope.DIGEST, f"{JAVA}@{digest(JAVA, 7)}"),
            "the canary",
            _FAILED,
            story.ago(hours=6, minutes=50),
            came="what fits waits from now on",
        ),
        Act(
            "act-vote",
            What.APPROVE,
            Target(Scope.TASK, "contosoapps/payments-api"),
            "mira@contoso.com",
            "tested in staging",
            story.ago(minutes=12),
            came="1 rebuild(s) approved",
        ),
    ]
    controls = Controls()
    for act in acts:
        controls = controls.done(act).told(act.id, act.came)
    mark = story.steering.acts()
    story.steering.save_acts(replace(mark, place=controls.write()))
    lost = Push(BASE, "images/dotnet", "9.0", digest(DOTNET, 7), story.ago(hours=5), "e7")
    story.letters.record(
        DeadLetter(
            Origin.QUEUE,
            PUSHES,
            PlanRebuilds(lost).encode(),
            "given up after 24 hours: contosobase did not say what images/dotnet:9.0 names"
            " (403: the firewall of the registry keeps the function app out)",
            story.ago(hours=1),
        )
    )


def main() -> int:
    """Make a story in a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in seed(folder / "story.db").items():
        sys.stdout.write(f"export {name}='{value}'\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
