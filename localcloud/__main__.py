"""Local cloud, Functions host and operators' page, side by side in the foreground: `make cloud`.

Settings come from local.settings.json, if there is one; its registries are made here. Another
shell reaches everything, with the Azure CLI too, by the variables of .rebuilder/environment.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from localcloud.cloud import LocalCloud, node_for_images
from localcloud.eventgrid import SystemTopic
from localcloud.functionshost import FunctionsHost
from localcloud.page import page
from localcloud.sample import (
    APP_ID,
    APP_REGION,
    BASE_ID,
    BASE_REGION,
    NAMES,
    REPOSITORY,
    ROOT,
    SUBSCRIPTION,
    TOKEN,
    cli_environment,
    commands,
    fork,
)
from localcloud.state import Registry


def read_settings(data: Path) -> dict[str, str]:
    """Return this folder's local.settings.json, or settings that need nothing but Python."""
    file = Path("local.settings.json")
    if file.exists():
        values = json.loads(file.read_text(encoding="utf-8"))["Values"]
        return {str(name): str(value) for name, value in values.items()}
    # The cloud begins anew each time, so what the ledger remembers of the last one is wrong.
    for old in data.glob("rebuilder.db*"):
        old.unlink()
    return {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": f"sqlite:{data / 'rebuilder.db'}",
        "REBUILDER_BASE_REGISTRIES": BASE_ID,
        "REBUILDER_TASK_REGISTRIES": APP_ID,
        "REBUILDER_TUNING": "track_interval=2s",
        # The native trigger is off here: nobody is to wait for it.
        "REBUILDER_NATIVE_WAIT_SECONDS": "2",
        "REBUILDER_SOURCE_CREDENTIALS": json.dumps({"github.com": TOKEN}),
    }


def make_registries(cloud: LocalCloud, ids: str, location: str) -> list[Registry]:
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
                location=location,
            )
        made.append(registry)
    return made


def set_up(cloud: LocalCloud, settings: Mapping[str, str]) -> tuple[list[Registry], list[Registry]]:
    """Make the registries of the settings; return those of bases and those of tasks.

    The function app may do all that it can make use of there, so that no explanation ends in a role
    that is missing.
    """
    bases = make_registries(cloud, settings["REBUILDER_BASE_REGISTRIES"], BASE_REGION)
    tasks = make_registries(cloud, settings["REBUILDER_TASK_REGISTRIES"], APP_REGION)
    cloud.authorize_rebuilder(bases, tasks, proof=True)
    return bases, tasks


def write_environment(file: Path, values: Mapping[str, str]) -> None:
    """Write what a shell sources: readable by its user only, for it holds keys."""
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    lines.append(f'export PATH={shlex.quote(os.pathsep.join(commands()))}{os.pathsep}"$PATH"')
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(
        description="Run local cloud, Functions host and operators' page."
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        type=_mapping,
        metavar="URL=FOLDER",
        help="serve a git address, or any build context, from a folder or a repository of yours;"
        " may be repeated",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT / ".rebuilder",
        metavar="FOLDER",
        help="where everything is kept (.rebuilder)",
    )
    options = parser.parse_args()
    data: Path = options.data
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("azure", "httpx", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    settings = read_settings(data)
    sample = data / "acr-build-helloworld-node"
    if not sample.exists():
        fork(sample)
    file = data / "environment"
    with LocalCloud(data / "cloud", node=node_for_images()) as cloud:
        os.environ.update(cloud.environment())
        cloud.create_subscription(SUBSCRIPTION, "Contoso")
        bases, tasks = set_up(cloud, settings)
        cloud.map_context(REPOSITORY, sample, TOKEN)
        for url, folder in options.map:
            cloud.map_context(url, folder)
        person = {**cloud.environment(cloud.developer), **settings}
        write_environment(
            file,
            {**person, **cli_environment(data / "azure"), **NAMES},
        )
        try:
            with (
                FunctionsHost(ROOT, settings, data=data, require_keys=False) as host,
                page(person) as address,
            ):
                for base in bases:
                    cloud.eventgrid.subscribe(base, "rebuilder", host.eventgrid_url("image_pushed"))
                url = host.eventgrid_url("task_changed")
                for subscription in {registry.subscription_id.lower() for registry in tasks}:
                    changes = SystemTopic(f"/subscriptions/{subscription}")
                    cloud.eventgrid.subscribe(changes, "rebuilder", url)
                sys.stdout.write(
                    f"\nFunctions host: {host.url}\n"
                    f"Operators' page: {address}\n"
                    f"Base registries: {', '.join(r.login_server for r in bases)}\n"
                    f"Task registries: {', '.join(r.login_server for r in tasks)}\n"
                    f"Admin user of {bases[0].name}: {bases[0].name} {bases[0].admin_password}\n"
                    f"Fault injection (admin API): {cloud.admin_url}\n"
                    f"The tutorial's sample, served as {REPOSITORY}:\n"
                    f"  {_shown(sample)}\n"
                    f"In another shell, then az login --identity, and az as usual:\n"
                    f"  . {_shown(file)}\n"
                    "Ctrl-C ends it all.\n\n"
                )
                sys.stdout.flush()
                done.wait()
        finally:
            file.unlink()
    return 0


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd(), walk_up=True)


def _mapping(text: str) -> tuple[str, Path]:
    url, separator, folder = text.rpartition("=")
    if not separator or not url:
        raise argparse.ArgumentTypeError(f"{text!r} is not URL=FOLDER")
    if not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"{folder!r} is not a folder")
    return url, Path(folder)


if __name__ == "__main__":
    sys.exit(main())
