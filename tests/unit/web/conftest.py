"""A store with a story, and the page's app over it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rebuilder.composition import compose, release
from rebuilder.core.policies.acts import Act
from rebuilder.core.rebuilds.messages import ACTS, OperatorAct
from rebuilder.sqlite.queues import SqliteQueues
from rebuilder.usecases.context import Context
from rebuilder.web.app import App
from rebuilder.web.http import Answer, Request
from rebuilder.web.principals import EVERYBODY, Principal, Role
from tests.browser.story import seed

HOST = "127.0.0.1:1"


@pytest.fixture(name="story", scope="module")
def _story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    path: Path = tmp_path_factory.mktemp("story") / "story.db"
    yield compose(seed(path))
    release()


class Browser:
    """Asks an app as somebody.

    Args:
        context: The ports.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.roles: frozenset[Role] = EVERYBODY
        self.app = App(lambda: context, lambda _: Principal("oid-1", "Mira", self.roles), {HOST})

    def ask(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: object = None,
        **headers: str,
    ) -> Answer:
        """Ask as the page does."""
        sent = {"host": HOST, "sec-fetch-site": "same-origin"}
        if method == "POST":
            sent |= {"content-type": "application/json", "x-rebuilder": "1"}
            sent |= {"origin": f"http://{HOST}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = b"" if body is None else json.dumps(body).encode()
        return self.app.answer(Request(method, path, query or {}, sent, content))

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON
        """Return an answer's values."""
        found = self.ask("GET", path, query)
        assert found.status == 200, found.body
        return json.loads(found.body)


@pytest.fixture(name="browser")
def _browser(story: Context) -> Browser:
    return Browser(story)


@pytest.fixture(name="acts")
def _acts(browser: Browser) -> Callable[[], list[Act]]:
    """Return what was sent to be carried out since, and forget it."""
    queue = browser.context.queue
    assert isinstance(queue, SqliteQueues)

    def taken() -> list[Act]:
        found = []
        while received := queue.receive(ACTS, 32, timedelta(minutes=1)):
            for message in received:
                found.append(OperatorAct.decode(message.body).act)
                queue.delete(ACTS, message.id, message.pop_receipt)
        return found

    taken()
    return taken
