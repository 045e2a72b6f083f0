"""The product, deployed on the local cloud with the real Azure CLI: `make deploy-local`.

The order of docs/deploy.md, command for command: the template, the code, the event subscriptions.
Then a base image is pushed, and the application image must be rebuilt by the app so deployed, with
no setting and no role but the template's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from localcloud.cloud import BuilderName, LocalCloud
from localcloud.sample import (
    NAMES,
    REPOSITORY,
    ROOT,
    SAMPLE,
    SUBSCRIPTION,
    cli_environment,
    fork,
    path,
)
from localcloud.screen import Failed, Screen, perform
from localcloud.shell import Shell

GROUP = "registries"
_ENVIRONMENT = "local"
_DEPLOYED = f"acr-rebuilder-{_ENVIRONMENT}"
PARAMETERS = {
    "environmentName": _ENVIRONMENT,
    "location": "westeurope",
    "registries": [
        {"name": NAMES["BASE_ACR"], "use": "base", "resourceGroupName": GROUP},
        {"name": NAMES["ACR_NAME"], "use": "tasks", "resourceGroupName": GROUP},
    ],
    "sampleTask": {
        "registryName": NAMES["ACR_NAME"],
        "baseRegistryName": NAMES["BASE_ACR"],
        "contextPath": f"{REPOSITORY}#master",
    },
}
"""The template's parameters: two registries that are there, and the sample task."""

_DELIVERIES = ("webhook", "queue")
_TASK = "taskhelloworld"
_INFRA = shlex.quote(str(ROOT / "infra"))
_WAIT_SECONDS = 600
_CODE = "function_app.py functions rebuilder host.json requirements.txt"


class Deployment:
    """The steps; each types its commands and looks at what comes of them."""

    def __init__(self, cloud: LocalCloud, shell: Shell, screen: Screen, events: str) -> None:
        self._cloud = cloud
        self._events = events
        self._shell = shell
        self._screen = screen
        self._places: list[str] = []

    def _type(self, command: str, *, quiet: bool = False) -> str:
        code, output = self._shell.run(command, quiet=quiet)
        if code != 0:
            raise Failed(f"this command ended with {code}:\n{command}\n{output}")
        return output.strip()

    def registries(self) -> None:
        """Two registries and a base image: what was there before."""
        self._screen.step("Two registries and a base image: what was there before")
        self._type("az login --identity --output none")
        self._type(f"az group create --name {GROUP} --location westeurope --output none")
        for name in ("$BASE_ACR", "$ACR_NAME"):
            self._type(
                f"az acr create --resource-group {GROUP} --name {name} --sku Basic --output none"
            )
        self.build_base()

    def build_base(self) -> None:
        """Build and push the base image."""
        self._type(
            "az acr build --registry $BASE_ACR --image baseimages/node:9-alpine"
            " --file Dockerfile-base ."
        )

    def resources(self) -> None:
        """Deploy the template, and learn what the next steps need from its outputs."""
        self._screen.step("az deployment sub create: everything but the event subscriptions")
        self._type(
            f"cat > main.parameters.json <<'END'\n"
            f"{_parameters({**PARAMETERS, 'eventDelivery': self._events})}\nEND",
            quiet=True,
        )
        self._type(
            f"az deployment sub create --name {_DEPLOYED} --location westeurope \\\n"
            f"  --template-file {_INFRA}/main.json --parameters @main.parameters.json"
            " --query properties.provisioningState --output tsv"
        )
        for variable, output in (
            ("APP_GROUP", "AZURE_RESOURCE_GROUP"),
            ("APP", "FUNCTION_APP_NAME"),
            ("SITE", "FUNCTION_APP_RESOURCE_ID"),
            ("STORAGE", "STORAGE_ACCOUNT_RESOURCE_ID"),
            ("COMPONENT", "APPLICATION_INSIGHTS_RESOURCE_ID"),
        ):
            self._type(
                f"{variable}=$(az deployment sub show --name {_DEPLOYED}"
                f" --query properties.outputs.{output}.value --output tsv)"
            )
        self._screen.step("The sample task runs once: now ACR knows its base image")
        self._type(f"az acr task run --registry $ACR_NAME --name {_TASK}")

    def publish(self) -> None:
        """Publish the code as a zip archive, and wait for the functions."""
        self._screen.step("Publish the code; its functions appear (the CLI itself waits a minute)")
        self._type(
            f"(cd {shlex.quote(str(ROOT))} && {shlex.quote(sys.executable)} -m zipfile"
            f" -c $HOME/app.zip {_CODE})"
        )
        self._type(
            "az functionapp deployment source config-zip --resource-group $APP_GROUP --name $APP"
            " --src $HOME/app.zip"
        )
        listed = self._type(
            "az functionapp function list --resource-group $APP_GROUP --name $APP"
            " --query '[].name' --output tsv"
        )
        for function in ("image_pushed", "task_changed", "event_queued"):
            if f"/{function}" not in listed:
                raise Failed(f"the app has no function {function}")

    def subscribe(self) -> None:
        """Deploy the event subscriptions."""
        self._screen.step("Event subscriptions, now that the functions are there")
        self._type(
            f"az deployment sub show --name {_DEPLOYED}"
            " --query properties.outputs.EVENT_SUBSCRIPTION_PARAMETERS.value \\\n"
            "  > events.parameters.json"
        )
        self._type(
            f"az deployment sub create --name {_DEPLOYED}-events --location westeurope \\\n"
            f"  --template-file {_INFRA}/event-subscriptions.json"
            " --parameters @events.parameters.json"
            " --query properties.provisioningState --output tsv"
        )

    def nothing_changes(self) -> None:
        """Ask what the templates would change now, and deploy them again."""
        self._screen.step("A second time: nothing changes")
        for name, template, parameters in (
            (_DEPLOYED, "main", "main"),
            (f"{_DEPLOYED}-events", "event-subscriptions", "events"),
        ):
            what = (
                f"--name {name} --location westeurope --template-file {_INFRA}/{template}.json"
                f" --parameters @{parameters}.parameters.json"
            )
            told = self._type(f"az deployment sub what-if {what}", quiet=True)
            summary = told.splitlines()[-1]
            self._screen.detail(f"$ az deployment sub what-if {what}\n{summary}")
            if not re.fullmatch(r"Resource changes: \d+ no change\.", summary):
                raise Failed(f"the second time is not without change:\n{told}")
            self._type(
                f"az deployment sub create {what} --query properties.provisioningState --output tsv"
            )

    def rebuild(self) -> None:
        """Push a changed base image; the app rebuilds what is built on it."""
        registries = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers"
        registries += "/Microsoft.ContainerRegistry/registries"
        apps = f"{registries}/{NAMES['ACR_NAME']}"
        first = self._cloud.newest_run(apps, _TASK)
        self._screen.step("The base image changes and is pushed")
        self._type("sed -i 's/9.11.2$/9.11.2a/' Dockerfile-base")
        self.build_base()
        self._screen.step("rebuilder runs: who looks needs to read the ledger")
        self._type(
            'az role assignment create --role "Storage Table Data Reader" --output none'
            f" --assignee {self._cloud.developer.object_id} --scope $STORAGE"
        )
        for name, value in (
            ("AzureWebJobsStorage__accountName", "${STORAGE##*/}"),
            ("REBUILDER_BASE_REGISTRIES", f"{registries}/{NAMES['BASE_ACR']}"),
            ("REBUILDER_TASK_REGISTRIES", apps),
        ):
            self._type(f"export {name}={value}")
        # Before, the ledger need not be asked: each answer is a process.
        self._cloud.await_run(apps, _TASK, first.run_id if first else "", _WAIT_SECONDS)
        self._await()
        self.show_runs()

    def show_runs(self) -> None:
        """Show the table of runs, in which one rebuild succeeded."""
        self._screen.step("rebuilder runs")
        table = self._type("rebuilder runs")
        rows = [row for row in table.splitlines() if f" {_TASK} " in row]
        rebuilt = [row for row in rows if "Image Update" in row]
        if len(rebuilt) != 1 or "Succeeded" not in rebuilt[0]:
            raise Failed("the table does not show one rebuild that succeeded")
        self._screen.good("rebuilt by the app, with the template's settings and roles alone")

    def probe(self) -> None:
        """Push a scratch image, and see a sample rebuilt; the second time nothing else is new."""
        self._screen.step("tools/deploy.py --sample: a push is seen, a sample task is rebuilt")
        command = (
            f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT))}/tools/deploy.py"
            f" --environment {_ENVIRONMENT} --location westeurope --steps probe --sample $ACR_NAME"
        )
        for made in (True, False):
            told = self._type(command)
            rebuilt = f"{NAMES['ACR_NAME']}/acr-rebuilder-sample was rebuilt by run "
            if "seen by the app " not in told or rebuilt not in told:
                raise Failed(f"nothing came of the push:\n{told}")
            if ("made the task " in told, told.count("pushed ")) != (made, 3 if made else 1):
                raise Failed(f"it was not made once:\n{told}")
        self._screen.good("seen by the app, and rebuilt; made once")

    def telemetry(self) -> None:
        """See that the app's own telemetry has come: by its identity, with the template's role."""
        component = self._type("echo $COMPONENT", quiet=True)
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            for envelope in self._cloud.insights.kept(component):
                told = envelope["data"]["baseData"].get("properties") or {}
                if told.get("rebuilder.rebuild"):
                    self._screen.good("Application Insights was told of it, by identity")
                    return
            time.sleep(1)
        raise Failed("Application Insights was not told of the rebuild")

    def _await(self) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            runs = json.loads(self._type("rebuilder runs --json", quiet=True))
            if any(run["rebuild"] and run["rebuild"]["finished"] for run in runs):
                return
            time.sleep(1)
        site = self._type("echo $SITE", quiet=True)
        raise Failed(f"nothing was rebuilt:\n{self._cloud.apps.log(site)[-6000:]}")


def _parameters(values: Mapping[str, object]) -> str:
    """Return a file of parameters for `az deployment`."""
    return json.dumps(
        {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01"
            "/deploymentParameters.json#",
            "contentVersion": "1.0.0.0",
            "parameters": {name: {"value": value} for name, value in values.items()},
        },
        indent=2,
    )


def play(screen: Screen, folder: Path, builder: BuilderName, events: str) -> None:
    """Deploy the product and see it rebuild.

    Args:
        screen: Where it is shown.
        folder: For all that it needs.
        builder: Who builds images.
        events: How events reach the app: webhook or queue.

    Raises:
        Failed: Something came out otherwise than promised.
    """
    source = folder / "source"
    shutil.copytree(SAMPLE, source)
    screen.step("A cloud on this machine, with the Azure CLI in front of it")
    with LocalCloud(folder / "cloud", builder=builder) as cloud:
        cloud.create_subscription(SUBSCRIPTION, "Contoso")
        cloud.map_context(REPOSITORY, fork(folder / "fork"))
        environment = {
            "PATH": path(),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            **cli_environment(folder / "azure"),
            **cloud.environment(cloud.developer),
            **NAMES,
        }
        with Shell(source, environment, screen.detail) as shell:
            deployment = Deployment(cloud, shell, screen, events)
            deployment.registries()
            deployment.resources()
            deployment.publish()
            deployment.subscribe()
            deployment.rebuild()
            deployment.telemetry()
            deployment.probe()
            deployment.nothing_changes()
            deployment.show_runs()


def main() -> int:
    """Deploy; the exit code says whether it came out as promised."""
    events = os.environ.get("EVENTS") or "webhook"
    if events not in _DELIVERIES:
        print(f"EVENTS is one of {' and '.join(_DELIVERIES)}, not {events}.", file=sys.stderr)  # noqa: T201 - a command
        return 2
    described = "Deploy the product on the local cloud."
    return perform("deployment", described, partial(play, events=events))


if __name__ == "__main__":
    sys.exit(main())
