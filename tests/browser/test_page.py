"""The page in a real browser: every page, links, filters, acts, keys; what changes by itself."""

from __future__ import annotations

from copy import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from rebuilder.core.rebuilds.rebuild import Check, State
from rebuilder.usecases.steering.policy_file import apply_policy
from rebuilder.web.principals import Role
from tests.browser.conftest import Site, Window, violations
from tests.browser.story import BASE, JAVA, NODE, PYTHON, digest, seed
from tests.patience import until

pytestmark = pytest.mark.needs("chromium")
PAGES = {
    "/": "Now",
    "/tasks": "Images",
    "/task?name=contosoapps/accounts-api": "contosoapps/accounts-api",
    "/task?name=contosoapps/shop-cart": "contosoapps/shop-cart",
    "/task?name=contosoapps/billing-exports": "contosoapps/billing-exports",
    "/task?name=contosoedge/firmware-pack": "contosoedge/firmware-pack",
    "/pushes": "Pushes",
    f"/graph?focus={NODE}&depth=4": "Graph",
    "/graph": "Graph",
    "/waves": "Waves and approvals",
    "/policies?task=contosoapps/shop-web": "Policies",
    "/report": "Report",
    "/health": "Health",
    "/audit": "Audit",
}


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_every_page_is_there_for_everybody(
    chromium: Browser, site: Site, width: int, scheme: str
) -> None:
    """axe-core finds nothing, nothing is said on the console, nothing is wider than the screen."""
    window = Window(chromium, site.server.address, width, scheme)
    found: list[str] = []
    # Nine hours ago, which may be the day before.
    (java,) = site.context.ledger.pushes(BASE, "images/java", "21", limit=1)
    window.go(f"/pushes?day={java.first_at.date()}")
    push = window.page.locator('main a[href^="/push?"]', has_text="images/java:21").first
    pages = {**PAGES, push.get_attribute("href") or "": "images/java:21"}
    for path, title in pages.items():
        window.go(path)
        expect(window.page.locator("main h1").first).to_contain_text(title)
        found += [f"{path}: {wrong}" for wrong in violations(window)]
        if window.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{path}: it is wider than the screen")
    window.close()
    assert not found, "\n".join(found)


def test_one_comes_from_anywhere_to_anywhere(window: Window) -> None:
    """From a number to what it is made of, from there to a task, its push, its graph and back."""
    page = window.page
    page.locator("a.tile", has_text="Waiting").click()
    expect(page).to_have_url(f"{window.base}/tasks?standing=waiting")
    expect(page.get_by_role("row")).to_have_count(9)
    page.get_by_role("link", name="contosoapps/gateway").click()
    expect(page.locator("h1")).to_contain_text("contosoapps/gateway")
    expect(page.get_by_text("the upgrade of the mesh goes first").first).to_be_visible()
    window.ready()  # what comes later moves the link away from under the click
    page.get_by_role("link", name="the push").first.click()
    expect(page.locator("h1")).to_have_text("contosobase/images/nginx:1.28")
    expect(page.get_by_text("2 rebuilt")).to_be_visible()
    page.get_by_role("link", name="Graph").last.click()
    expect(page.get_by_role("group", name="Graph around")).to_be_visible()
    page.go_back()
    expect(page.locator("h1")).to_have_text("contosobase/images/nginx:1.28")
    page.reload()
    window.ready()
    expect(page.locator("h1")).to_have_text("contosobase/images/nginx:1.28")


def test_filters_stand_in_the_address(window: Window) -> None:
    """Words, states and the order; who opens the address sees the same."""
    page = window.page
    window.go("/tasks")
    page.get_by_label("Task or base").fill("node-service")
    expect(page).to_have_url(f"{window.base}/tasks?q=node-service")
    page.get_by_role("button", name="waiting", exact=True).click()
    page.get_by_role("button", name="Behind").click()
    expect(page.get_by_role("row")).to_have_count(6)
    behind = page.get_by_role("columnheader", name="Behind")
    expect(behind).to_have_attribute("aria-sort", "ascending")
    address = page.url
    assert "standing=waiting" in address
    assert "sort=behind" in address
    page.reload()
    window.ready()
    expect(page.get_by_role("row")).to_have_count(6)
    expect(page.get_by_label("Task or base")).to_have_value("node-service")
    page.get_by_role("button", name="waiting", exact=True).click()
    expect(page.get_by_role("row")).to_have_count(7)
    window.go(f"/tasks?q={quote('nothing of this name')}")
    expect(page.get_by_text("No task fits.")).to_be_visible()


def test_a_pause_is_ended_and_the_page_shows_it_by_itself(window: Window, site: Site) -> None:
    """A click, a reason, a message; the first app does it, and the banner goes without a reload."""
    page = window.page
    banner = page.locator(".banner.held")
    expect(banner).to_contain_text("contosoapps/gateway")
    banner.get_by_role("button", name="Resume").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("contosoapps/gateway")
    assert violations(window) == []
    dialog.get_by_label("Why").fill("the mesh is done")
    dialog.get_by_role("button", name="Resume").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("status").last).to_contain_text("is asked for")
    assert until(site.carry_out) == ["resume"]
    expect(banner).to_have_count(0)
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_text("the mesh is done")).to_be_visible()
    expect(page.get_by_text("1 rebuild(s) looked at again").first).to_be_visible()


def test_a_quarantined_digest_is_released_by_the_page(window: Window, site: Site) -> None:
    """It says what and why; what waits for it offers the release, too, and goes on by it."""
    page = window.page
    window.go("/task?name=contosoapps/billing-exports")
    expect(page.get_by_role("button", name="Release").first).to_be_visible()
    window.go("/")
    banner = page.locator(".banner.fail", has_text="Quarantined")
    expect(banner).to_contain_text(f"images/java:21@{digest(JAVA, 7)}")
    expect(banner).to_contain_text("contosoapps/accounts-api failed")
    banner.get_by_role("button", name="Release").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why").fill("the canary's own test was wrong")
    dialog.get_by_role("button", name="Release").click()
    expect(dialog).to_have_count(0)
    assert until(site.carry_out) == ["release"]
    expect(banner).to_have_count(0)
    page.get_by_role("link", name="Audit").click()
    row = page.get_by_role("row", name="the canary's own test was wrong")
    expect(row).to_contain_text("mira")
    expect(row).to_contain_text("1 rebuild(s) looked at again")


def test_many_are_rejected_at_once(window: Window, site: Site) -> None:
    """Chosen by their boxes; they are left alone, with who and why."""
    page = window.page
    window.go("/waves")
    page.get_by_role("checkbox", name="Choose contosoapps/payments-api").check()
    page.get_by_role("checkbox", name="Choose contosoapps/payments-worker").check()
    page.get_by_role("button", name="Reject 2").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Reject").click()
    expect(dialog).to_be_visible()  # it asks for a reason
    dialog.get_by_label("Why").fill("breaks the login")
    dialog.get_by_role("button", name="Reject").click()
    expect(dialog).to_have_count(0)
    assert until(site.carry_out) == ["reject"]
    expect(page.get_by_text("Nothing waits for approval.")).to_be_visible()


def test_what_changes_is_seen_without_a_reload(window: Window, site: Site) -> None:
    """A run ends: the number goes down, and whoever reads the page keeps their place."""
    page, ledger = window.page, site.context.ledger
    tile = page.locator("a.tile", has_text="Building").locator(".number")
    expect(tile).to_have_text("2")
    page.get_by_role("link", name="contosoapps/payments-api").first.focus()
    found = next(r for r in ledger.unsettled() if r.task.name == "mail-send")
    over = replace(
        found,
        state=State.SUCCEEDED,
        outcome="Succeeded",
        check=Check.NEW,
        finished_at=found.claimed_at,
    )
    ledger.save(over)
    expect(tile).to_have_text("1")
    expect(page.get_by_role("link", name="contosoapps/payments-api").first).to_be_focused()


def test_all_of_it_works_by_keys(window: Window) -> None:
    """Past the navigation, into a dialog, out of it, and back to where one was."""
    page = window.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    resume = page.locator(".banner.held").get_by_role("button", name="Resume")
    expect(resume).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("dialog").locator(":focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(resume).to_be_focused()
    window.go(f"/graph?focus={PYTHON}&depth=2")
    node = page.locator("a.task-node", has_text="contosoplatform/python-job")
    node.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{window.base}/graph?focus=contosoplatform%2Fpython-job&depth=2")
    window.go("/")
    page.get_by_text("outside its window").locator("xpath=ancestor::summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="contosoapps/shop-web")).to_be_visible()


def test_who_only_reads_is_offered_no_act(chromium: Browser, tmp_path: Path) -> None:
    """And sees everything else."""
    site = Site(seed(tmp_path / "story.db"), frozenset({Role.READER}))
    window = Window(chromium, site.server.address)
    for path in ("/", "/waves", "/task?name=contosoapps/payments-api", "/health", "/policies"):
        window.go(path)
        for name in (
            *("Resume", "Approve", "Reject", "Stop the line …", "Hold until …", "Release"),
            *("Replay", "Discard", "Go back to 1"),
        ):
            expect(window.page.get_by_role("button", name=name)).to_have_count(0)
    window.close()
    site.close()


def test_a_changed_policy_file_is_tried_out(window: Window) -> None:
    """Its faults by their line; then what it would change for a task."""
    page = window.page
    window.go("/policies?task=contosoapps/shop-web")
    file = page.get_by_label("policy.yaml")
    text = file.input_value()
    file.fill(text.replace("cooldown: 2h", "cooldwn: 2h"))
    page.get_by_role("button", name="Try it out").click()
    expect(page.get_by_text("line 5")).to_be_visible()
    file.fill(text.replace("cooldown: 2h", "cooldown: 5h"))
    page.get_by_role("button", name="Try it out").click()
    expect(page.get_by_text("It can be applied: 3 policies.")).to_be_visible()
    expect(page.get_by_text("5h rule 1")).to_be_visible()


def asked(window: Window, button: str, why: str) -> None:
    """Ask for something by its button and a dialog, with a reason."""
    page = window.page
    page.get_by_role("button", name=button, exact=True).click()
    dialog = page.get_by_role("dialog")
    assert violations(window) == []
    dialog.get_by_label("Why").fill(why)
    dialog.locator("button.primary").click()
    expect(dialog).to_have_count(0)


def test_a_file_that_was_tried_out_is_applied_and_gone_back_from(
    window: Window, site: Site
) -> None:
    """It is a new version, with who and why; so is the one before it, gone back to."""
    page = window.page
    window.go("/policies")
    versions = page.locator("section", has=page.get_by_role("heading", name="Versions"))
    file = page.get_by_label("policy.yaml")
    before = file.input_value()
    file.fill(before.replace("cooldown: 2h", "cooldown: 5h"))
    expect(page.get_by_role("button", name="Apply it …")).to_have_count(0)  # not tried out
    page.get_by_role("button", name="Try it out").click()
    asked(window, "Apply it …", "two were too few")
    assert until(site.carry_out) == ["apply"]
    expect(versions.get_by_text("two were too few")).to_be_visible()
    in_force = page.locator("section", has=page.get_by_role("heading", name="In force"))
    expect(in_force).to_contain_text("5h")
    expect(page.get_by_role("button", name="Back to what is there")).to_have_count(0)
    asked(window, "Go back to 2", "they were not")
    assert until(site.carry_out) == ["rollback"]
    expect(versions.get_by_text("back to version 2: they were not")).to_be_visible()
    expect(file).to_have_value(before)
    window.go("/audit")
    row = page.get_by_role("row", name="they were not")
    expect(row).to_contain_text("mira")
    expect(row).to_contain_text("version 4 is in force; 8 rebuild(s) looked at again")


def test_nobody_applies_a_file_over_one_that_they_have_not_seen(window: Window, site: Site) -> None:
    """Who changed the file while another was applied is told, and Audit tells it as well."""
    page, context = window.page, site.context
    window.go("/policies")
    file = page.get_by_label("policy.yaml")
    mine = file.input_value().replace("cooldown: 2h", "cooldown: 5h")
    file.fill(mine)
    apply_policy(context, "version: 1\n", file="p.yaml", who="lena", because="all of it at once")
    assert until(site.carry_out) == ["apply"]
    expect(page.get_by_text("Another file was applied since you began")).to_be_visible()
    page.get_by_role("button", name="Try it out").click()
    asked(window, "Apply it …", "two were too few")
    assert until(site.carry_out) == ["apply"]
    window.go("/audit")
    row = page.get_by_role("row", name="two were too few")
    expect(row).to_contain_text("nothing: another policy file was applied meanwhile")
    newest = context.steering.policy()
    assert newest is not None
    assert newest.who == "lena"


@pytest.mark.parametrize(
    ("button", "told"), [("Replay", "back in rebuilder-pushes"), ("Discard", "discarded")]
)
def test_a_dead_letter_is_done_with_on_the_page(
    window: Window, site: Site, button: str, told: str
) -> None:
    """Replayed, or discarded; the count beside Health goes, and Audit tells who it was."""
    page = window.page
    window.go("/health")
    expect(page.get_by_role("link", name="Health 1 dead letters")).to_be_visible()
    asked(window, button, "the firewall lets us in again")
    assert until(site.carry_out) == [button.lower()]
    expect(page.get_by_text("None waits.")).to_be_visible()
    expect(page.get_by_role("link", name="Health 1 dead letters")).to_have_count(0)
    window.go("/audit")
    row = page.get_by_role("row", name="the firewall lets us in again")
    expect(row).to_contain_text("mira")
    expect(row).to_contain_text(told)
