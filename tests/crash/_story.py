"""The story of a push, undisturbed, and again with a process killed at some boundary of it."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest

from rebuilder.core.policies.acts import Target, What
from rebuilder.core.policies.reading import read_policies
from rebuilder.core.rebuilds.messages import BUILDS
from rebuilder.usecases import at_once
from rebuilder.usecases.steering import in_force
from rebuilder.usecases.steering.acts import ask
from rebuilder.usecases.steering.policy_file import apply_policy
from tests.crash._boundaries import BOUNDARIES, count
from tests.crash._host import (
    HIDE,
    TIMERS,
    WAVE,
    Host,
)
from tests.crash._world import BASE, NEW, TASKS


def _events() -> list[tuple[str, object]]:
    pushed: dict[str, object] = {
        "timestamp": "2026-03-01T00:00:00Z",
        "action": "push",
        "target": {"repository": "images/node", "tag": "9", "digest": NEW},
    }
    task = str(next(iter(TASKS)))
    told: dict[str, object] = {"resourceUri": task, "operationName": "write"}
    kind = "Microsoft.ContainerRegistry.ImagePushed"
    return [
        ("image_pushed", _event(str(BASE), "images/node:9", kind, pushed)),
        (
            "task_changed",
            _event("/subscriptions/s1", task, "Microsoft.Resources.ResourceWriteSuccess", told),
        ),
    ]


def _event(topic: str, subject: str, kind: str, data: dict[str, object]) -> func.EventGridEvent:
    return func.EventGridEvent(
        id="e1",
        data=data,
        topic=topic,
        subject=subject,
        event_type=kind,
        event_time=None,
        data_version="1",
    )


def _prepare(folder: Path, policy: str) -> Host:
    host = Host(folder)
    if policy == WAVE:
        host.azure.have_wave()
        apply_policy(host.context(), policy, file="p.yaml", who="ann", because="careful")
        ask(host.context(), What.PAUSE, Target(), who="ann", because="to be looked at")
    elif policy:
        host.context().steering.apply(policy, who="", at=host.azure.now, because="", before="")
    host.queues.send(f"{BUILDS}-poison", '{"schema":1,"old":true}')
    dead = {"id": "e9", "topic": str(BASE), "subject": "s", "eventType": "x", "data": {}}
    (folder / "1.blob").write_text(
        json.dumps([{**dead, "deadLetterReason": "MaxDeliveryAttempts"}])
    )
    return host


@dataclass
class Point:
    """A call of a function in the undisturbed story, and all there was before it."""

    name: str
    argument: object
    snapshot: Path
    now: Any
    boundaries: int
    message: bool


def _story(folder: Path, policy: str) -> list[Point]:
    """Let everything happen undisturbed, and keep what was there before each call."""
    here = folder / "here"
    here.mkdir()
    host = _prepare(here, policy)
    points: list[Point] = []

    def meet(name: str, argument: object) -> int:
        snapshot = folder / f"at{len(points)}"
        shutil.copytree(here, snapshot)
        count = host.call(name, argument)
        message = isinstance(argument, func.QueueMessage)
        points.append(Point(name, argument, snapshot, host.azure.now, count, message))
        return count

    while host.worked_off(meet):
        pass  # what people asked for before
    for name, event in _events():
        meet(name, event)
    host.until_quiet(meet)
    for name in TIMERS:
        meet(name, SimpleNamespace(past_due=False))
        host.until_quiet(meet)
    host.timers()
    host.check()
    return points


@contextmanager
def played(most: int, policy: str = "", *, reads: bool = True) -> Iterator[list[Point]]:
    """Play the story.

    Args:
        most: With how many messages whoever sends them goes on.
        policy: The policy file that is in force; "" for none.
        reads: Whether a process dies before and after requests that change nothing, too.
    """
    shm = Path("/dev/shm")  # noqa: S108 - memory, where there is one
    with (
        tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        count(patch)
        patch.setattr(at_once, "MOST", most)
        patch.setattr(BOUNDARIES, "reads", reads)
        # Each call is a process of its own, which reads the same policies for the first time.
        patch.setattr(in_force, "read_policies", cache(read_policies))
        logging.disable(logging.CRITICAL)
        try:
            yield _story(Path(name), policy)
        finally:
            logging.disable(logging.NOTSET)


def kill(function: str, points: list[Point]) -> None:
    failures = []
    for number, point in enumerate(points):
        for boundary in range(point.boundaries if point.name == function else 0):
            where = f"{point.name} (call {number}) at boundary {boundary} of {point.boundaries}"
            again = point.snapshot.with_name("again")
            shutil.copytree(point.snapshot, again)
            try:
                _kill_and_go_on(again, point, boundary)
            except Exception as error:  # noqa: BLE001 - all of them are told, not the first
                failures.append(f"{where}: {type(error).__name__} {error}")
            shutil.rmtree(again)
    assert not failures, "\n".join(failures)


def _kill_and_go_on(folder: Path, point: Point, boundary: int) -> None:
    host = Host(folder)
    host.azure.now = point.now
    host.killed(point.name, point.argument, boundary)
    if not point.message:
        # Event Grid delivers again; a timer fires again when it is time.
        host.azure.now += timedelta(seconds=10)
        host.call(point.name, point.argument)
    else:
        host.azure.now += HIDE
    if point.name == "image_pushed":
        for name, event in _events()[1:]:
            host.call(name, event)
    host.until_quiet(host.call)
    for _ in range(2):
        # Past every lease, and past everything a sweep waits for.
        host.azure.now += timedelta(minutes=30)
        host.timers()
    host.check()
