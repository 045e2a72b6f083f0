"""The registry of the live checks; see README.md in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.azure import Live, missing


def pytest_sessionstart(session: pytest.Session) -> None:
    """End at once, and say what to set, where there is no subscription."""
    assert session.config
    if problem := missing():
        raise pytest.UsageError(problem)


@pytest.fixture(scope="session", name="live")
def _live() -> Iterator[Live]:
    """Give the registry, its task, and one run of it, so that ACR has recorded the base image."""
    live = Live.from_env()
    live.move(live.images[0])
    live.write_task()
    run_id = live.run()
    assert live.status(run_id) == "Succeeded", f"run {run_id} of {live.task} has to succeed first"
    yield live
    live.ask("DELETE", live.task_place).raise_for_status()
    live.close()
