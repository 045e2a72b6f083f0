"""Local cloud and Functions host, side by side in the foreground: `make host`.

Settings come from local.settings.json, if there is one; its registries are made here. Another
shell reaches everything with the variables of .rebuilder/environment.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import sys
import threading
from pathlib import Path

from localcloud.cloud import LocalCloud
from localcloud.eventgrid import SystemTopic
from localcloud.functionshost import FunctionsHost
from localcloud.state import Registry

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".rebuilder"
SAMPLE = ROOT / "samples" / "helloworld-node"
CONTEXT = "https://github.com/contoso/acr-build-helloworld-node.git"

_REGISTRY = (
    "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerRegistry/registries/{}"
)


def read_settings() -> dict[str, str]:
    """Return the settings of local.settings.json, or ones that need nothing but Python."""
    file = ROOT / "local.settings.json"
    if file.exists():
        values = json.loads(file.read_text(encoding="utf-8"))["Values"]
        return {str(name): str(value) for name, value in values.items()}
    # The cloud begins anew each time, so what the ledger remembers of the last one is wrong.
    for old in DATA.glob("rebuilder.db*"):
        old.unlink()
    base, apps = ("1" * 8 + "-1111-4111-8111-" + "1" * 12, "2" * 8 + "-2222-4222-8222-" + "2" * 12)
    return {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": f"sqlite:{DATA / 'rebuilder.db'}",
        "REBUILDER_BASE_REGISTRIES": _REGISTRY.format(base, "base-images", "mybaseregistry"),
        "REBUILDER_TASK_REGISTRIES": _REGISTRY.format(apps, "applications", "myappregistry"),
        "REBUILDER_TRACK_SECONDS": "2",
    }


def make_registries(cloud: LocalCloud, ids: str) -> list[Registry]:
    """Make the registries of a setting, unless they are there."""
    made = []
    for resource_id in ids.replace(",", " ").split():
        registry = cloud.state.by_id(resource_id)
        if registry is None:
            _, _, subscription, _, group, *_, name = resource_id.split("/")
            registry = cloud.create_registry(
                subscription_id=subscription,
                resource_group=group,
                name=name,
                location="westeurope",
            )
        made.append(registry)
    return made


def main() -> int:
    """Run until Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("azure", "httpx", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    settings = read_settings()
    with LocalCloud(DATA / "cloud") as cloud:
        os.environ.update(cloud.environment())
        bases = make_registries(cloud, settings["REBUILDER_BASE_REGISTRIES"])
        tasks = make_registries(cloud, settings["REBUILDER_TASK_REGISTRIES"])
        cloud.authorize_rebuilder(bases, tasks)
        cloud.map_context(CONTEXT, SAMPLE)
        exports = {**cloud.environment(cloud.developer), **settings}
        file = DATA / "environment"
        file.touch(mode=0o600)
        file.write_text(
            "".join(f"export {name}={shlex.quote(value)}\n" for name, value in exports.items()),
            encoding="utf-8",
        )
        with FunctionsHost(ROOT, settings, data=DATA, require_keys=False) as host:
            for base in bases:
                cloud.eventgrid.subscribe(base, "rebuilder", host.eventgrid_url("image_pushed"))
            for subscription in {registry.subscription_id.lower() for registry in tasks}:
                changes = SystemTopic(f"/subscriptions/{subscription}")
                cloud.eventgrid.subscribe(changes, "rebuilder", host.eventgrid_url("task_changed"))
            sys.stdout.write(
                f"\nFunctions host: {host.url}\n"
                f"Base registries: {', '.join(r.login_server for r in bases)}\n"
                f"Task registries: {', '.join(r.login_server for r in tasks)}\n"
                f"Admin user of {bases[0].name}: {bases[0].name} {bases[0].admin_password}\n"
                f"Bad days (admin API): {cloud.admin_url}\n"
                f"In another shell:  . {file.relative_to(Path.cwd(), walk_up=True)}\n"
                "Ctrl-C ends both.\n\n"
            )
            sys.stdout.flush()
            done.wait()
        file.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
