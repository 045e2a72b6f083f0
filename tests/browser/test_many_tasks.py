"""The page of somebody who has ten thousand tasks, in twelve layers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from bench._layers import Layers
from bench.web import LAYERS, layered
from rebuilder.composition import release
from rebuilder.usecases.views.graph import MOST
from tests.browser.conftest import Site, Window

pytestmark = pytest.mark.needs("chromium")

TASKS = 10_000
MOST_BYTES = 400_000
# What is seen at every so many pixels: a row, the head of the table, or what is not of the list.
GAPS = """() => {
  const body = document.querySelector("table.list tbody").getBoundingClientRect();
  const found = [];
  for (let y = Math.max(1, body.top + 1); y < Math.min(innerHeight, body.bottom) - 1; y += 7) {
    const row = document.elementFromPoint(body.left + body.width / 2, y)?.closest("tr");
    if (!row || row.classList.contains("spacer")) found.push(y);
  }
  return found;
}"""
SHOWN = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"""


@pytest.fixture(name="crowd", scope="module")
def _crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Layers]]:
    layers = Layers(TASKS, LAYERS, datetime.now(UTC).replace(microsecond=0))
    file: Path = tmp_path_factory.mktemp("crowd") / "crowd.db"
    site = Site(layered(layers, file))
    yield site, layers
    site.close()
    release()


def scrolled(page: Page, to: int) -> None:
    """Scroll to a place, and wait until the browser has drawn what is there."""
    page.evaluate("(to) => scrollTo(0, to)", to)
    page.evaluate(SHOWN)


def test_the_first_view_is_small(chromium: Browser, crowd: tuple[Site, Layers]) -> None:
    """All that is loaded until everything on Now is there, as it went over the wire."""
    site, _ = crowd
    window = Window(chromium, site.server.address)
    expect(window.page.locator("a.tile", has_text="On an old base")).not_to_contain_text("…")
    window.page.wait_for_load_state("networkidle")
    sizes = [(request.url, request.sizes()) for request in window.requests]
    loaded = sum(size["responseBodySize"] + size["responseHeadersSize"] for _, size in sizes)
    assert any("/api/report" in url for url, _ in sizes)
    assert 10_000 < loaded <= MOST_BYTES, sizes
    window.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_a_long_list_has_no_gaps(chromium: Browser, crowd: tuple[Site, Layers], width: int) -> None:
    """Wherever one scrolls to, rows fill the view; few of them are there at once."""
    site, _ = crowd
    window = Window(chromium, site.server.address, width)
    page = window.page
    window.go("/tasks?sort=last")
    expect(page.get_by_text("only those that are here are in this order")).to_be_visible()
    window.go("/tasks")
    rows = page.locator("table.list tbody tr:not(.spacer)")
    known = 0
    while known < 1000:  # each end of what is there brings more
        height = page.evaluate("document.documentElement.scrollHeight")
        scrolled(page, height)
        page.wait_for_function(
            "(before) => document.documentElement.scrollHeight > before", arg=height
        )
        known = int(page.locator("table.list").get_attribute("aria-rowcount") or 0)
    height = page.evaluate("document.documentElement.scrollHeight")
    places = [height * part // 100 for part in (0, 73, 12, 50, 51, 98, 3, 100, 34)]
    for place in places:
        scrolled(page, place)
        assert page.evaluate(GAPS) == [], f"at {place} of {height}"
        assert rows.count() < 80
    first = int(rows.first.get_attribute("aria-rowindex") or 0)
    assert 200 < first < 600
    rows.nth(15).get_by_role("link").first.click()
    expect(page.locator("h1")).to_contain_text("layer-")
    window.close()


def test_the_graph_around_an_image_is_drawn(chromium: Browser, crowd: tuple[Site, Layers]) -> None:
    """Twelve steps up and down; and of an image with too much around it, as much as fits."""
    site, layers = crowd
    window = Window(chromium, site.server.address)
    page = window.page
    middle = layers.image(layers.begins[LAYERS // 2])
    window.go(f"/graph?focus={quote(str(middle))}&depth=12")
    tasks = page.locator("svg a.task-node")
    expect(page.get_by_role("group", name="Graph around")).to_be_visible()
    names = set(tasks.locator("title").all_text_contents())
    # Each step is a task or an image, so that the first layer is one step too far.
    for layer in range(2, LAYERS + 1):
        assert any(f"layer-{layer:02}-" in name for name in names), layer
    places = tasks.locator("rect").evaluate_all(
        "(all) => all.map((each) => `${each.getAttribute('x')} ${each.getAttribute('y')}`)"
    )
    assert len(set(places)) == len(places) == len(names)
    window.go(f"/graph?focus={quote(str(layers.tag(0)))}&depth=12")
    expect(page.get_by_role("group", name="Graph around")).to_be_visible()
    expect(page.locator("main")).to_contain_text("and more that are left out")
    assert page.locator("svg a.task-node, svg a.image-node").count() == MOST
    window.close()
