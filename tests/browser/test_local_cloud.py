"""The page beside the whole product: real pushes, and what comes of them, in a real browser.

The store is what the functions made of it on the local cloud; the page is `rebuilder web`, the
process that `make cloud` starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from localcloud.cloud import LocalCloud
from localcloud.page import page
from rebuilder.composition import release
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.rebuilds.messages import PUSHES
from rebuilder.core.rebuilds.rebuild import Hold, Rebuild, State
from rebuilder.usecases.steering.policy_file import apply_policy
from tests import images
from tests.browser.conftest import Window, violations
from tests.e2e.conftest import World
from tests.patience import until

pytestmark = pytest.mark.needs("chromium")

NODE, JAVA = (f"mybase.azurecr.io/images/{name}" for name in ("node:9", "java:21"))
POLICY = """\
version: 1
policies:
  default: {canary: {tasks: "*/canary"}}
  agreed: {approval: {votes: 1}}
rules:
  - {match: {task: "*/shop"}, policy: agreed}
"""


class Team:
    """Four tasks on two bases, of which one does not build, and what they came to."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self._folder = folder
        node, java = self.push(NODE, "one"), self.push(JAVA, "one")
        self.site = self._task("site", NODE, node)
        self.shop = self._task("shop", NODE, node)
        self.canary = self._task("canary", JAVA, java, "COPY none /none\n")
        self.batch = self._task("batch", JAVA, java)
        apply_policy(world.context, POLICY, file="policy.yaml", who="ann", because="nobody hurries")
        world.subscribe()

    def push(self, image: str, text: str) -> str:
        """Push a base image; return its digest."""
        repository, _, tag = image.partition("/")[2].partition(":")
        files = {"hello": text.encode()}
        return images.push(self.world.cloud, self.world.base, repository, tag, text, files)

    def _task(self, name: str, base: str, digest: str, more: str = "") -> TaskId:
        context = self._folder / name
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM {base}\nLABEL name={name}\n{more}")
        url = f"https://github.com/contoso/{name}.git"
        self.world.cloud.map_context(url, context)
        recorded = [images.dependency(base, digest)]
        credentials = {"customRegistries": {"mybase.azurecr.io": {"identity": "[system]"}}}
        made = images.task(self.world.apps, name, recorded, credentials=credentials)
        made.properties["step"]["contextPath"] = url
        images.identify(self.world.cloud, self.world.apps, made, ("AcrPull", self.world.base))
        return TaskId(RegistryId.parse(self.world.apps.id), name)

    def head(self, task: TaskId) -> Rebuild | None:
        """Return the newest rebuild of a task."""
        return self.world.context.ledger.head(task)

    def is_(self, task: TaskId, state: State, *held: str) -> bool:
        """Tell whether the newest rebuild of a task is so, and held for these reasons."""
        found = self.head(task)
        if found is None or found.state is not state:
            return False
        reasons = found.held.reasons if found.hold is Hold.GATE and found.held else ()
        return tuple(reason.code for reason in reasons if state is State.HELD) == held

    def story(self) -> None:
        """Push, and wait until everything has come to its end, good or bad."""
        self.push(NODE, "two")
        self.push(JAVA, "two")
        self.world.context.queue.send(PUSHES, "of somebody who writes into the wrong queue")
        until(lambda: self.is_(self.site, State.SUCCEEDED), "what is rebuilt")
        until(lambda: self.is_(self.shop, State.HELD, "needs-approval"), "what is held")
        until(lambda: self.is_(self.canary, State.GIVEN_UP), "what fails")
        until(lambda: self.is_(self.batch, State.HELD, "quarantined"), "what is quarantined")
        until(lambda: len(self.world.context.dead_letters.waiting()) == 1, "the dead letter")


@pytest.fixture(name="team")
def _team(cloud: LocalCloud, tmp_path: Path) -> Iterator[Team]:
    world = World(cloud, f"sqlite:{tmp_path / 'rebuilder.db'}", tmp_path)
    world.host.start()
    yield Team(world, tmp_path)
    world.host.stop()
    release()


def test_all_pages_of_what_the_product_did(chromium: Browser, team: Team) -> None:
    """Rebuilt, failed, held, quarantined, dead letter: each is told, and can be gone on with."""
    team.story()
    world = team.world
    settings = {**world.cloud.environment(world.cloud.developer), **world.settings}
    with page(settings) as address:
        window = Window(chromium, address)
        found = walk(window)
        assert not found, "\n".join(found)
        approve(window, team)
        discard(window, team)
        window.close()
    assert not world.failed()


def walk(window: Window) -> list[str]:
    """Look at every page; return what axe-core has against them."""
    tab = window.page
    told = {
        "/": ["needs approval", "Quarantined: images/java:21@", "somebody has to look"],
        "/tasks": ["myapps/site", "myapps/shop", "myapps/canary", "myapps/batch"],
        "/tasks?standing=failed": ["myapps/canary"],
        "/task?name=myapps/site": ["It stands on what its tags name now", "succeeded"],
        "/task?name=myapps/canary": ["Given up after 2 attempts"],
        "/task?name=myapps/batch": ["is quarantined since"],
        "/pushes": ["images/node:9", "images/java:21"],
        f"/graph?focus={NODE}&depth=3": ["myapps/site", "myapps/shop"],
        "/waves": ["myapps/shop", "1 rebuilt"],
        "/policies?task=myapps/shop": ["nobody hurries", "1 vote(s)"],
        "/report": ["myapps/batch", "held"],
        "/health": ["message of rebuilder-pushes"],
        "/audit": ["policy version 1: nobody hurries", "quarantine", "myapps/canary failed"],
    }
    found = []
    for path, texts in told.items():
        window.go(path)
        for text in texts:
            expect(tab.locator("main")).to_contain_text(text)
        found += [f"{path}: {wrong}" for wrong in violations(window)]
    window.go("/pushes")
    tab.get_by_role("link", name="images/node:9").first.click()
    expect(tab.locator("main")).to_contain_text("1 rebuilt")
    found += [f"/push: {wrong}" for wrong in violations(window)]
    window.go("/task?name=myapps/canary")
    tab.get_by_text("The run's log").first.click()
    expect(tab.locator("pre.log")).to_contain_text("COPY")
    return found


def approve(window: Window, team: Team) -> None:
    """Approve what waits for it, by the page; see its run, and that the page tells of it."""
    tab, runs = window.page, len(team.world.apps.runs)
    window.go("/waves")
    tab.get_by_role("checkbox", name="Choose myapps/shop").check()
    tab.get_by_role("button", name="Approve 1").click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_label("Why").fill("tried it myself")
    dialog.get_by_role("button", name="Approve").click()
    expect(tab.get_by_text("Nothing waits for approval.")).to_be_visible()
    until(lambda: team.is_(team.shop, State.SUCCEEDED), "the run that was approved")
    assert len(team.world.apps.runs) == runs + 1
    run = team.world.cloud.newest_run(team.world.apps.id, "shop")
    assert run is not None
    assert run.properties["status"] == "Succeeded"
    window.go("/audit")
    row = tab.get_by_role("row", name="tried it myself")
    expect(row).to_contain_text("1 rebuild(s) approved")
    window.go("/task?name=myapps/shop")
    expect(tab.locator("h1")).to_contain_text("current")


def discard(window: Window, team: Team) -> None:
    """Discard the dead letter; the function does it, with rights that the page does not need."""
    tab = window.page
    window.go("/health")
    tab.get_by_role("button", name="Discard").click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_label("Why").fill("no push of ours")
    dialog.get_by_role("button", name="Discard").click()
    expect(tab.get_by_text("None waits.")).to_be_visible()
    assert team.world.context.dead_letters.all() == []
