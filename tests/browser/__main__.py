"""Pictures of every page, wide and narrow, light and dark: `make screenshots`.

They go to build/screenshots; those that the documents show, to docs/images.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM, Site, Window
from tests.browser.story import NODE, seed

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build" / "screenshots"
PAGES = {
    "now": "/",
    "images": "/tasks",
    "task": "/task?name=contosoapps/accounts-api",
    "pushes": "/pushes",
    "graph": f"/graph?focus={NODE}&depth=3",
    "waves": "/waves",
    "policies": "/policies?task=contosoapps/shop-web",
    "report": "/report",
    "health": "/health",
    "audit": "/audit",
}
SHOWN = {"now-1440-light": "dashboard-now", "graph-1440-dark": "dashboard-graph"}


def main() -> int:
    """Take them."""
    if not CHROMIUM:
        sys.stderr.write("there is no Chromium: `make tools` installs it\n")
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Site(seed(Path(folder) / "story.db"))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in (1440, 390):
            for scheme in ("light", "dark"):
                window = Window(browser, site.server.address, width, scheme)
                for name, path in PAGES.items():
                    window.go(path)
                    window.page.wait_for_load_state("networkidle")
                    picture = PICTURES / f"{name}-{width}-{scheme}.png"
                    window.page.screenshot(path=picture, full_page=width < 1000)
                window.close()
        browser.close()
        site.close()
    for taken, name in SHOWN.items():
        target = ROOT / "docs" / "images" / f"{name}.png"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(PICTURES / f"{taken}.png", target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
