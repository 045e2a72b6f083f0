"""The local cloud in a process of its own: `python -m tests.chaos.cloud FOLDER`.

It is told what to do by lines of JSON on standard input, answers each with one on standard output,
and ends when standard input does.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcloud.builds.client import Client
from localcloud.clock import Clock
from localcloud.cloud import LocalCloud
from localcloud.registry.auth import TOKEN_USER
from localcloud.state import Registry, Run
from tests import images

BASES = ("images/node", "images/python")
"""The repositories that are pushed to; each task is built on one of them."""

TASKS = 4
"""How many tasks of each task registry are built on each base image."""

_BASE = "mybase.azurecr.io"
_SOON = 10.0


class _Hasty(Clock):
    """Cloud time in which nobody waits as long as he should: Event Grid tries again sooner."""

    def real(self, seconds: float) -> float:
        return super().real(seconds) / _SOON


class _Cloud:
    """What the process can do; every public method is a command."""

    def __init__(self, cloud: LocalCloud, folder: Path) -> None:
        self._cloud = cloud
        self._base = images.registry(cloud, "mybase")
        self._apps = [images.registry(cloud, "myapps"), images.registry(cloud, "theirapps", 1)]
        # Which no setting names, although the function app might run its tasks.
        self._stranger = images.registry(cloud, "strangers")
        self._made: dict[str, str] = {}
        cloud.authorize_rebuilder([self._base], [*self._apps, self._stranger], proof=True)
        cloud.scheduler.behaviour.seconds = 0.5
        for repository in (*BASES, "images/other"):
            digest = self.push(repository, f"{repository} as it was")["digest"]
            self._tasks(folder, repository, digest)

    def _tasks(self, folder: Path, repository: str, digest: str) -> None:
        image, name = f"{_BASE}/{repository}:9", repository.rpartition("/")[2]
        context = folder / name
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM {image}\nLABEL a=b\n")
        url = f"https://github.com/contoso/{name}.git"
        self._cloud.map_context(url, context)
        for registry in (*self._apps, self._stranger):
            for number in range(TASKS):
                self._task(registry, f"{name}-{number}", image, digest, url)
            self._task(registry, f"{name}-off", image, digest, url, status="Disabled")

    def _task(
        self, registry: Registry, name: str, image: str, digest: str, url: str, **more: str
    ) -> None:
        credentials = {"customRegistries": {_BASE: {"identity": "[system]"}}}
        recorded = [images.dependency(image, digest)]
        made = images.task(registry, name, recorded, credentials=credentials, **more)
        made.properties["step"]["contextPath"] = url
        images.identify(self._cloud, registry, made, ("AcrPull", self._base))

    def about(self) -> dict[str, Any]:
        """Tell how the cloud is reached, and what is in it."""
        newest = [
            f"{registry.name}/{repository.rpartition('/')[2]}-{number}"
            for registry in self._apps
            for repository in BASES
            for number in range(TASKS)
        ]
        return {
            "environment": self._cloud.environment(),
            "base": self._base.id,
            "apps": [registry.id for registry in self._apps],
            "stranger": self._stranger.id,
            "tasks": newest,
        }

    def subscribe(self, url: str) -> dict[str, Any]:
        """Let every push of the base registry be told to a webhook."""
        self._cloud.eventgrid.subscribe(self._base, "rebuilder", url)
        return {}

    def push(self, repository: str, text: str) -> dict[str, Any]:
        """Push an image that says this of itself, with the tag 9; return its digest."""
        return {"digest": images.push(self._cloud, self._base, repository, "9", text)}

    def runs(self) -> list[dict[str, str]]:
        """Tell of every run: its task, how it is, and what its image says it stands on."""
        with self._cloud.state.lock:
            seen = [
                (registry, run)
                for registry in (*self._apps, self._stranger)
                for run in registry.runs.values()
            ]
        return [
            {
                "task": f"{registry.name}/{run.properties['task']}",
                "status": str(run.properties["status"]),
                "base": self._base_of(registry, run),
            }
            for registry, run in seen
        ]

    def _base_of(self, registry: Registry, run: Run) -> str:
        """Read from a run's image what its base image has handed down to it."""
        outputs = run.properties.get("outputImages") or []
        if not run.over or not outputs:
            return ""
        key = f"{registry.name}/{run.run_id}"
        if key not in self._made:
            host, image = registry.login_server, outputs[0]
            token = self._cloud.registry.registry_token(registry, "t")
            with Client(self._cloud.network, {host: (TOKEN_USER, token)}) as client:
                manifest = client.manifest(host, image["repository"], image["digest"])
                config = json.loads(manifest.data)["config"]["digest"]
                settings = json.loads(client.blob(host, image["repository"], config))["config"]
            told = dict(entry.split("=", 1) for entry in settings["Env"])
            self._made[key] = told["TEXT"]
        return self._made[key]


def main() -> int:
    """Do what standard input says until it ends."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("azure", "httpx", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    folder = Path(sys.argv[1])
    cloud = LocalCloud(folder / "cloud", builder="embedded")
    cloud.eventgrid._clock = _Hasty()
    with cloud:
        commands = _Cloud(cloud, folder)
        for line in sys.stdin:
            asked = json.loads(line)
            command: Callable[..., object] = getattr(commands, asked.pop("do"))
            sys.stdout.write(json.dumps(command(**asked)) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
