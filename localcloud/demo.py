"""The tutorial, played: a base image changes and the functions rebuild what is built on it.

`make demo`, or `python -m localcloud.demo [--builder embedded]`.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from azure.containerregistry import ContainerRegistryClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient

from localcloud.cloud import BuilderName, LocalCloud
from localcloud.eventgrid import SystemTopic
from localcloud.functionshost import FunctionsHost, Invocation
from localcloud.page import page
from localcloud.screen import INTERRUPTS, Failed, Screen, perform
from localcloud.tokens import Credential

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "samples" / "helloworld-node"

BASE = ("11111111-1111-4111-8111-111111111111", "base-images", "mybaseregistry", "westeurope")
APP = ("22222222-2222-4222-8222-222222222222", "applications", "myappregistry", "eastus")
IMAGE = "baseimages/node:9-alpine"
TASK = "taskhelloworld"
CONTEXT = "https://github.com/contoso/acr-build-helloworld-node.git"

_OLD, _NEW = "9.11.2", "9.11.2a"
_RUN_SECONDS = 600


class Tutorial:
    """The tutorial's steps, by Azure's own SDKs."""

    def __init__(self, cloud: LocalCloud, screen: Screen, folder: Path) -> None:
        self._cloud = cloud
        self._screen = screen
        self._source = folder / "source"
        shutil.copytree(SAMPLE, self._source)
        self._credential = Credential(cloud.tokens, cloud.developer)

    def registries(self) -> None:
        """Create the two registries."""
        for subscription, group, name, location in (BASE, APP):
            self._cloud.create_group(subscription, group, location)
            with ContainerRegistryManagementClient(self._credential, subscription) as client:
                created = client.registries.begin_create(
                    group, name, {"location": location, "sku": {"name": "Premium"}}
                ).result()
            server = created.properties.login_server if created.properties else ""
            self._screen.detail(f"{server} in {location}, subscription {subscription[:8]}...")

    def build_base(self) -> None:
        """Build and push the base image, as `az acr build` does."""
        subscription, group, name, _ = BASE
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as packed:
            packed.add(self._source, arcname=".")
        with self._tasks(subscription) as client:
            upload = client.registries.get_build_source_upload_url(group, name)
            with self._cloud.network.client() as http:
                headers = {"x-ms-blob-type": "BlockBlob"}
                url = str(upload.upload_url)
                http.put(url, content=archive.getvalue(), headers=headers).raise_for_status()
            request: Any = {
                "type": "DockerBuildRequest",
                "imageNames": [IMAGE],
                "dockerFilePath": "Dockerfile-base",
                "sourceLocation": upload.relative_path,
                "platform": {"os": "Linux", "architecture": "amd64"},
                "isPushEnabled": True,
            }
            run = client.registries.schedule_run(group, name, request)
        self._await(BASE, str(run.name))

    def create_task(self) -> None:
        """Create the task, with an identity and the base registry's credentials."""
        subscription, group, name, location = APP
        task: Any = {
            "location": location,
            "identity": {"type": "SystemAssigned"},
            "properties": {
                "platform": {"os": "Linux", "architecture": "amd64"},
                "step": {
                    "type": "Docker",
                    "contextPath": CONTEXT,
                    "dockerFilePath": "Dockerfile-app",
                    "imageNames": ["helloworld:{{.Run.ID}}"],
                    "arguments": [{"name": "REGISTRY_NAME", "value": f"{BASE[2]}.azurecr.io"}],
                    "isPushEnabled": True,
                },
                "credentials": {
                    "customRegistries": {f"{BASE[2]}.azurecr.io": {"identity": "[system]"}}
                },
            },
        }
        self._cloud.map_context(CONTEXT, self._source)
        with self._tasks(subscription) as client:
            created = client.tasks.create(group, name, TASK, task)
        principal = str(created.identity.principal_id if created.identity else "")
        self._cloud.roles.assign("AcrPull", principal, registry_id(BASE))
        self._screen.detail(f"{TASK} in {name}; its identity {principal} has AcrPull on {BASE[2]}")

    def run_task(self) -> str:
        """Run the task by hand, so that ACR learns what it is built on."""
        subscription, group, name, _ = APP
        task_id = (
            f"/subscriptions/{subscription}/resourceGroups/{group}/providers"
            f"/Microsoft.ContainerRegistry/registries/{name}/tasks/{TASK}"
        )
        request: Any = {"type": "TaskRunRequest", "taskId": task_id}
        with self._tasks(subscription) as client:
            run = client.registries.schedule_run(group, name, request)
        self._await(APP, str(run.name))
        return str(run.name)

    def change_base(self) -> None:
        """Change NODE_VERSION in the base image's Dockerfile."""
        path = self._source / "Dockerfile-base"
        path.write_text(path.read_text().replace(_OLD, _NEW))
        self._screen.detail(f"Dockerfile-base: ENV NODE_VERSION {_NEW}")

    def version(self, run_id: str) -> str:
        """Return NODE_VERSION of the application image of a run, read from the registry."""
        server = f"https://{APP[2]}.azurecr.io"
        with ContainerRegistryClient(server, self._credential) as client:
            manifest = client.get_manifest("helloworld", run_id).manifest
            blob = client.download_blob("helloworld", str(manifest["config"]["digest"]))
            config = json.loads(b"".join(blob))
        values = dict(entry.split("=", 1) for entry in config["config"]["Env"])
        return str(values["NODE_VERSION"])

    def runs(self) -> list[str]:
        """Return the ids of the application registry's runs, newest first."""
        subscription, group, name, _ = APP
        with self._tasks(subscription) as client:
            return [str(run.name) for run in client.runs.list(group, name)]

    def _tasks(self, subscription: str) -> ContainerRegistryTasksMgmtClient:
        return ContainerRegistryTasksMgmtClient(self._credential, subscription)

    def _await(self, registry: tuple[str, str, str, str], run_id: str) -> None:
        subscription, group, name, _ = registry
        deadline = time.monotonic() + _RUN_SECONDS
        with self._tasks(subscription) as client:
            while True:
                run = client.runs.get(group, name, run_id).properties
                status = str(getattr(run.status, "value", run.status)) if run else ""
                if run and status not in ("Queued", "Started", "Running"):
                    break
                if time.monotonic() > deadline:
                    raise Failed(f"run {run_id} did not end")
                time.sleep(0.1)
            if status != "Succeeded":
                link = client.runs.get_log_sas_url(group, name, run_id).log_link
                with self._cloud.network.client() as http:
                    raise Failed(f"run {run_id}: {status}\n{http.get(str(link)).text}")
            outputs = [f"{i.repository}:{i.tag}@{i.digest}" for i in run.output_images or []]
        self._screen.detail(f"run {run_id} succeeded, pushed {', '.join(outputs)}")


def registry_id(registry: tuple[str, str, str, str]) -> str:
    """Return a registry's resource id."""
    subscription, group, name, _ = registry
    return (
        f"/subscriptions/{subscription}/resourceGroups/{group}"
        f"/providers/Microsoft.ContainerRegistry/registries/{name}"
    )


def play(screen: Screen, folder: Path, builder: BuilderName) -> None:
    """Play the tutorial.

    Raises:
        Failed: Something came out otherwise than the tutorial promises.
    """
    with LocalCloud(folder / "cloud", builder=builder) as cloud:
        os.environ.update(cloud.environment())
        screen.step(f"A cloud on this machine; images are built by the {cloud.builder} builder")
        tutorial = Tutorial(cloud, screen, folder)
        settings = {
            "AzureWebJobsStorage": f"sqlite:{folder / 'rebuilder.db'}",
            "REBUILDER_BASE_REGISTRIES": registry_id(BASE),
            "REBUILDER_TASK_REGISTRIES": registry_id(APP),
            "REBUILDER_TUNING": "track_interval=1s",
            # The native trigger is off here: nobody is to wait for it.
            "REBUILDER_NATIVE_WAIT_SECONDS": "2",
        }
        screen.step("Two registries, in two subscriptions and regions")
        tutorial.registries()
        screen.step("The base image is built and pushed")
        tutorial.build_base()
        screen.step("A task tracks it from the other registry")
        tutorial.create_task()
        screen.step("The task runs by hand once: now ACR knows its base image")
        first = tutorial.run_task()
        base, apps = (cloud.state.by_id(registry_id(registry)) for registry in (BASE, APP))
        if base is None or apps is None:
            raise Failed("a registry is gone")
        cloud.authorize_rebuilder([base], [apps], proof=True)
        screen.step(
            "The function app starts and subscribes to pushes of base images and changes of tasks"
        )
        with FunctionsHost(ROOT, settings, data=folder, on_invocation=_show(screen)) as host:
            cloud.eventgrid.subscribe(base, "rebuilder", host.eventgrid_url("image_pushed"))
            changes = SystemTopic(f"/subscriptions/{apps.subscription_id}")
            cloud.eventgrid.subscribe(changes, "rebuilder", host.eventgrid_url("task_changed"))
            screen.step("rebuilder runs")
            screen.detail(_command("runs"))
            screen.step("A framework patch: the base image changes and is pushed again")
            tutorial.change_base()
            tutorial.build_base()
            second = _await_rebuild(cloud, tutorial, first)
            screen.step("rebuilder runs")
            table = _command("runs")
            screen.detail(table)
            screen.step(f"rebuilder explain {BASE[2]}.azurecr.io/{IMAGE}")
            screen.detail(_command("explain", f"{BASE[2]}.azurecr.io/{IMAGE}"))
            if os.environ.get("WEB"):
                _keep_page_open(screen)
        before, after = tutorial.version(first), tutorial.version(second)
        screen.step("NODE_VERSION in the application image, read back from the registry")
        screen.good(f"before: {before} (helloworld:{first})")
        screen.good(f"after:  {after} (helloworld:{second})")
        if (before, after) != (_OLD, _NEW) or "Image Update" not in table:
            raise Failed("the application image was not rebuilt on the new base image")


def _keep_page_open(screen: Screen) -> None:
    """Serve the operators' page until somebody ends it."""
    screen.step("rebuilder web: open this address; Ctrl-C goes on")
    with page({}) as address, suppress(KeyboardInterrupt):
        screen.detail(address)
        while address:
            signal.pause()


def _show(screen: Screen) -> Callable[[Invocation], None]:
    def show(invocation: Invocation) -> None:
        how = "done" if invocation.result.ok else f"FAILED: {invocation.result.error}"
        screen.detail(f"function {invocation.function}: {how}")

    return show


def _await_rebuild(cloud: LocalCloud, tutorial: Tutorial, first: str) -> str:
    """Wait until the ledger says that the rebuild is over; return its run."""
    deadline = time.monotonic() + _RUN_SECONDS
    # Before, the ledger need not be asked: each answer is a process.
    cloud.await_run(registry_id(APP), TASK, first, _RUN_SECONDS)
    while time.monotonic() < deadline:
        for run in json.loads(_command("runs", "--json")):
            rebuild = run["rebuild"]
            if run["runId"] != first and rebuild and rebuild["finished"]:
                if rebuild["state"] != "succeeded":
                    raise Failed(f"the rebuild ended with {rebuild['outcome']}")
                return str(run["runId"])
        time.sleep(0.2)
    raise Failed(f"nothing was rebuilt; runs: {tutorial.runs()}")


def _command(*arguments: str) -> str:
    """Run the product's own command as a user would."""
    command = [sys.executable, "-m", "rebuilder.cli", *arguments]
    # An interrupt while the process is made would leave it to nobody.
    INTERRUPTS.held = True
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            INTERRUPTS.release()
            output, errors = process.communicate()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise Failed(f"rebuilder {' '.join(arguments)}: {errors}")
    return output.rstrip()


def main() -> int:
    """Play the demo; the exit code says whether it came out as promised."""
    return perform("demo", "Play the base image tutorial on this machine.", play)


if __name__ == "__main__":
    sys.exit(main())
