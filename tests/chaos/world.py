"""A world of processes: a cloud, a store, hosts, and the judge, who asks only the cloud."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Self

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.queue import QueueServiceClient

from localcloud.functionshost.queues import open_service
from tests.azurite import Azurite
from tests.chaos.cloud import BASES
from tests.chaos.judge import SeenRun, Verdict, judge
from tests.chaos.processes import ROOT, Child, Door, Host, new_keys
from tests.patience import until

QUEUES = (
    *("rebuilder-pushes", "rebuilder-builds", "rebuilder-runs", "rebuilder-refresh"),
    *("rebuilder-acts", "rebuilder-messages"),
)

_PATIENCE = 4
"""How often the common limit is waited for while things still happen: the machine may be busy."""

_WRONG = ("given up", "stale", "doubled", "dead letter waiting", "lost", "registry unreadable")
"""The verdicts of an audit that are not clean."""

SHORT = {
    "REBUILDER_TUNING": (
        "track_interval=1s; retry_wait=1s; lease=75s; sweep_schedule=*/20 * * * * *;"
        " sweep_patience=1m; sweep_again=5m; dead_letter_schedule=*/10 * * * * *"
    ),
    "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.5",
}
"""Settings with which what takes a quarter of an hour in production takes a minute."""


class World:
    """One app with its hosts in one cloud, on one store.

    Args:
        store: sqlite or azurite.
        folder: Where everything is kept.
        seed: What decides when things happen.

    Attributes:
        chance: What decides, too.
        data: The folder of the embedded store's file.
        hosts: The hosts that there are.
        newest: What the image that each task is to stand on says of itself.
        problems: What went wrong beside what the judge sees.
        notes: What was seen that is worth telling.
        settings: The app's settings.
        open: What is closed at the end, before everything else.
    """

    def __init__(self, store: str, folder: Path, seed: int) -> None:
        self.store = store
        self.chance = random.Random(seed)  # noqa: S311 - it is to be the same each time
        self.data = folder / "data"
        self.newest: dict[str, str] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.settings: dict[str, str] = {}
        self.stranger = ""
        self.base = ""
        self.apps: list[str] = []
        self._folder = folder
        self.open = ExitStack()
        self._door = Door()
        self._keys = new_keys()
        self.hosts: list[Host] = []
        self._azurite: Azurite | None = None
        self._pushes = 0
        self._never = threading.Event()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self.data.mkdir(parents=True)
            self._door.start()
            opened.callback(self._door.stop)
            command = [sys.executable, "-m", "tests.chaos.cloud", str(self._folder)]
            self._cloud = Child(command, self._folder / "cloud.log")
            opened.callback(self._cloud.end)
            opened.callback(self._end_azurite)
            opened.callback(self._end_hosts)
            storage = f"sqlite:{self.data / 'rebuilder.db'}"
            if self.store == "azurite":
                self._azurite = Azurite(self._disk(), kept=True)
                storage = self._azurite.connection_string
            about = self._cloud.ask("about")
            self.base, self.apps, self.stranger = about["base"], about["apps"], about["stranger"]
            self._tasks: list[str] = about["tasks"]
            self.settings = {
                **about["environment"],
                **SHORT,
                "AzureWebJobsStorage": storage,
                "REBUILDER_BASE_REGISTRIES": self.base,
                "REBUILDER_TASK_REGISTRIES": " ".join(self.apps),
            }
            self.open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End every process; whoever still plays finds nobody there."""
        self.open.close()

    def _disk(self) -> Path:
        disk = self._folder / "azurite"
        disk.mkdir(exist_ok=True)
        return disk

    def _end_hosts(self) -> None:
        self.kill(*self.hosts)

    def _end_azurite(self) -> None:
        if self._azurite is not None:
            self._azurite.stop()

    # Hosts and stores

    def host(self, *, ahead: float = 0, code: Path = ROOT, name: str = "host") -> Host:
        """Begin to start a host; hosts of one name remember the same of their timers."""
        host = Host(code, self.settings, self._folder / name, self._door, self._keys, ahead)
        self.hosts.append(host)
        return host

    def kill(self, *hosts: Host) -> None:
        """End hosts at once."""
        for host in hosts:
            self.hosts.remove(host)
            host.kill()

    def subscribe(self) -> None:
        """Let pushes be told to whoever is behind the door; a host has to be there."""
        key = self._keys["eventgrid"]
        path = f"runtime/webhooks/eventgrid?functionName=image_pushed&code={key}"
        self._cloud.ask("subscribe", url=f"http://127.0.0.1:{self._door.port}/{path}")

    def storage_anew(self) -> None:
        """End Azurite while it is asked, and start it again on the same disk and ports.

        By SIGTERM: it writes its disk every few seconds only, so SIGKILL would take back what it
        has answered, which Azure Storage does not.
        """
        assert self._azurite is not None
        ports = self._azurite.ports
        self._azurite.stop()
        self.pause(0.5, 3)
        self._azurite = Azurite(self._disk(), ports, kept=True)

    def send(self, queue: str, body: str) -> None:
        """Put a message into a queue, as it is."""
        service = open_service(self.settings["AzureWebJobsStorage"], {})
        try:
            service.send(queue, body)
        finally:
            service.close()

    # What happens

    def pause(self, least: float, most: float) -> None:
        """Let some time pass, as chance will have it."""
        self._never.wait(self.chance.uniform(least, most))

    def push(self, *bases: str) -> str:
        """Push each of the base images anew, or those that are named; return the last digest."""
        digest = ""
        for repository in bases or BASES:
            self._pushes += 1
            text = f"{repository} {self._pushes}"
            digest = self._cloud.ask("push", repository=repository, text=text)["digest"]
            kind = f"/{repository.rpartition('/')[2]}-"
            self.newest |= dict.fromkeys((t for t in self._tasks if kind in t), text)
        return digest

    def event(self, repository: str, tag: str, digest: str) -> dict[str, Any]:
        """Return an event of a push to the base registry."""
        number = f"{self.chance.getrandbits(64):016x}"
        target = {"digest": digest, "repository": repository} | ({"tag": tag} if tag else {})
        return {
            "id": number,
            "topic": self.base,
            "subject": f"{repository}:{tag}",
            "eventType": "Microsoft.ContainerRegistry.ImagePushed",
            "eventTime": "2026-01-01T00:00:00Z",
            "dataVersion": "2.0",
            "metadataVersion": "1",
            "data": {
                "id": number,
                "timestamp": "2026-01-01T00:00:00Z",
                "action": "push",
                "target": target,
            },
        }

    # What is true

    def runs(self) -> list[SeenRun]:
        """Ask the cloud for every run."""
        return [SeenRun(**run) for run in self._cloud.ask("runs")]

    def waiting(self) -> int | None:
        """Count the messages that the store holds, hidden ones too; None if it does not tell."""
        storage = self.settings["AzureWebJobsStorage"]
        try:
            if self.store == "sqlite":
                path = f"file:{storage.removeprefix('sqlite:')}?mode=ro"
                marks = ", ".join("?" * len(QUEUES))
                query = f"SELECT COUNT(*) FROM messages WHERE queue IN ({marks})"  # noqa: S608 - ?
                with closing(sqlite3.connect(path, uri=True)) as db:
                    return int(db.execute(query, QUEUES).fetchone()[0])
            with QueueServiceClient.from_connection_string(storage) as service:
                return sum(_length(service, queue) for queue in QUEUES)
        except (sqlite3.Error, AzureError):
            return None

    def verdict(self) -> Verdict:
        """Judge what is there now."""
        return judge(self.newest, self.runs(), self.waiting() or 0)

    def settle(self) -> None:
        """Wait until everything is rebuilt and at rest; as long as anything happens, or twice."""
        quiet = 0

        def twice() -> bool:
            nonlocal quiet
            rest = self.waiting() == 0 and judge(self.newest, self.runs(), 0)
            quiet = quiet + 1 if rest and not (rest.lost or rest.stuck) else 0
            return quiet > 2

        for _ in range(_PATIENCE):
            before = self.runs()
            with suppress(AssertionError):  # the judge tells what has not come
                until(twice, "rest")
                return
            if self.runs() == before:
                return

    def ask_product(self, *arguments: str) -> tuple[int, str]:
        """Ask by the product's own command; return its exit code and what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "rebuilder.cli", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.settings},
            capture_output=True,
            text=True,
            check=False,
        )
        if "Traceback" in done.stderr:
            self.problems.append(f"rebuilder {arguments[0]} ended in a traceback: {done.stderr}")
        return done.returncode, done.stdout or done.stderr

    def audit(self) -> str:
        """Return the answer of the product's own audit, which may take what a sweep takes."""
        answer = ""
        wrong: list[str] = []

        def clean() -> bool:
            nonlocal answer, wrong
            answer, wrong = self._audit()
            return answer == "Clean"

        try:
            until(clean, "a clean audit")
        except AssertionError:
            self.notes += wrong
        return answer

    def _audit(self) -> tuple[str, list[str]]:
        """Return the answer, and what is not clean, line by line."""
        # A sweep that was killed leaves a lease of eight minutes, and with it what it alone finds.
        code, told = self.ask_product("audit", "--patience", "10", "--json")
        if code == 0:
            return "Clean", []
        try:
            found = json.loads(told)
        except ValueError:
            return f"no answer: {told.strip()[-200:]}", []
        wrong = [
            f"audit: {one['verdict']}: {one['task']}: {one['sentence']}"
            for one in found["findings"]
            if one["verdict"] in _WRONG
        ]
        counts = {name: number for name, number in found["counts"].items() if number}
        answer = f"NOT clean: {counts}, {len(found['deadLetters'])} dead letter(s)"
        return answer, [*wrong, *(f"audit: not looked at: {one}" for one in found["notLookedAt"])]

    def replay_letters(self) -> int:
        """Replay every dead letter as a person does; return how many there were."""
        _, told = self.ask_product("dead-letters", "--json")
        letters = len(json.loads(told))
        if letters:
            self.ask_product("replay", "--all")
        return letters

    def discard_letters(self) -> int:
        """Discard every dead letter as a person does; return how many there were."""
        _, told = self.ask_product("dead-letters", "--json")
        letters = [letter["id"] for letter in json.loads(told)]
        if letters:
            self.ask_product("discard", *letters)
        return len(letters)


def _length(service: QueueServiceClient, queue: str) -> int:
    try:
        properties = service.get_queue_client(queue).get_queue_properties()
    except ResourceNotFoundError:
        return 0
    return int(properties.approximate_message_count or 0)
