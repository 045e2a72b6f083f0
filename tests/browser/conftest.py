"""A browser, and the page over a store with a story.

Chromium is installed by `make tools`; where it is not there, these tests are left out by name.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from rebuilder.composition import compose, release
from rebuilder.core.rebuilds.messages import ACTS, OperatorAct
from rebuilder.sqlite.queues import SqliteQueues
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import carry_out
from rebuilder.web.local import LocalServer
from rebuilder.web.principals import EVERYBODY, Role
from tests.browser.story import seed
from tests.patience import SECONDS

CHROMIUM = shutil.which("chromium") or ""
AXE = (Path(__file__).parent / "vendor" / "axe.js").read_text("utf-8")
expect.set_options(timeout=SECONDS * 1000)


# Not for the whole session: while it is there a loop runs in this thread, and no other can.
@pytest.fixture(name="chromium", scope="module")
def _chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # It runs as root in containers, where its sandbox cannot; it sees nothing but this page.
        options = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


class Site:
    """The page, served for one test.

    Args:
        settings: What the store is.
        roles: What may be done on it.
    """

    def __init__(self, settings: Mapping[str, str], roles: frozenset[Role] = EVERYBODY) -> None:
        self.context: Context = compose(settings)
        self.server = LocalServer(self.context, "mira", roles)
        self._thread = threading.Thread(target=self.server.serve)
        self._thread.start()

    def carry_out(self) -> list[str]:
        """Do what was asked for, as the first app does it; return what that was."""
        queue = self.context.queue
        assert isinstance(queue, SqliteQueues)
        done = []
        for message in queue.receive(ACTS, 32, timedelta(seconds=SECONDS)):
            act = OperatorAct.decode(message.body).act
            carry_out(self.context, act)
            queue.delete(ACTS, message.id, message.pop_receipt)
            done.append(act.what.value)
        return done

    def close(self) -> None:
        """End it."""
        self.server.stop()
        self._thread.join()
        self.server.close()
        release()


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Iterator[Site]:
    site = Site(seed(tmp_path / "story.db"))
    yield site
    site.close()


class Window:
    """A page of the browser, which remembers what it should not do.

    Args:
        browser: The browser.
        address: What it looks at, with the token.
        width: How wide it is, in pixels.
        scheme: `light` or `dark`.
    """

    def __init__(
        self, browser: Browser, address: str, width: int = 1440, scheme: str = "light"
    ) -> None:
        self.base = address.partition("/?")[0]
        self._context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        self._context.set_default_timeout(SECONDS * 1000)
        self.page: Page = self._context.new_page()
        self.wrong: list[str] = []
        self.requests: list[Request] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._asked)
        self.page.goto(address)
        self.ready()

    def _said(self, message: ConsoleMessage) -> None:
        self.wrong.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        self.requests.append(request)
        parts = urlsplit(request.url)
        ours = f"{parts.scheme}://{parts.netloc}" == self.base
        if parts.scheme not in ("data", "blob") and not ours:
            self.wrong.append(f"it asked {request.url}")

    def go(self, path: str) -> None:
        """Open an address, as from a link that somebody sent."""
        self.page.goto(f"{self.base}{path}")
        self.ready()

    def ready(self) -> None:
        """Wait until what is looked up is there."""
        self.page.locator("main h1").first.wait_for()
        self.page.locator(".waiting").first.wait_for(state="detached")

    def close(self) -> None:
        """Close it; nothing was said on the console and nobody else was asked."""
        self._context.close()
        assert self.wrong == []


@pytest.fixture(name="window")
def _window(chromium: Browser, site: Site) -> Iterator[Window]:
    window = Window(chromium, site.server.address)
    yield window
    window.close()


def violations(window: Window) -> list[str]:
    """Return what axe-core finds against WCAG 2.2 A and AA, and its best practices."""
    session = window.page.context.new_cdp_session(window.page)
    session.send("Runtime.evaluate", {"expression": AXE + ";0"})
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = window.page.evaluate(
        "(tags) => axe.run({runOnly: {type: 'tag', values: tags}}).then((r) => r.violations)", tags
    )
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')[:300]}"
        for one in found
        for node in one["nodes"]
    ]
