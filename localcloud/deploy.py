"""The product, deployed on the local cloud with the real Azure CLI: `make deploy-local`.

What the template predicts (`infra/minimal.snapshot.json`) is created as the developer; everything
else is typed into bash as a person would: publish the code, subscribe its functions, push a base
image. The application image must be rebuilt by the app so deployed.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from localcloud.cloud import BuilderName, LocalCloud
from localcloud.sample import (
    NAMES,
    REPOSITORY,
    ROOT,
    SAMPLE,
    TOKEN,
    cli_environment,
    fork,
    path,
)
from localcloud.screen import Failed, Screen, perform
from localcloud.shell import Shell
from localcloud.snapshot import Deployer, SnapshotError

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"  # the snapshot's
GROUP = "registries"
_SNAPSHOT = ROOT / "infra" / "minimal.snapshot.json"
_WAIT_SECONDS = 180
_CODE = "function_app.py functions rebuilder host.json requirements.txt"


class Deployment:
    """The steps; each types its commands and looks at what comes of them."""

    def __init__(self, cloud: LocalCloud, shell: Shell, screen: Screen) -> None:
        self._cloud = cloud
        self._shell = shell
        self._screen = screen
        self._places: list[str] = []

    def _type(self, command: str, *, quiet: bool = False) -> str:
        code, output = self._shell.run(command, quiet=quiet)
        if code != 0:
            raise Failed(f"this command ended with {code}:\n{command}\n{output}")
        return output.strip()

    def _place(self, kind: str, start: str = "") -> str:
        """Return the resource of a type that the template made, by how its name begins."""
        for place in self._places:
            parent, _, name = place.rpartition("/")
            if parent.lower().endswith(f"/{kind.lower()}") and name.startswith(start):
                return place
        raise Failed(f"the template made no {kind} {start}")

    def registries(self) -> None:
        """Two registries, a base image, and a task that was run once."""
        self._screen.step("Two registries, a base image and a task: what was there before")
        self._type("az login --identity --output none")
        self._type(f"az group create --name {GROUP} --location westeurope --output none")
        for name in ("$BASE_ACR", "$ACR_NAME"):
            self._type(
                f"az acr create --resource-group {GROUP} --name {name} --sku Basic --output none"
            )
        self.build_base()
        self._type(
            "az acr task create --registry $ACR_NAME --name taskhelloworld"
            " --image helloworld:{{.Run.ID}} \\\n"
            "  --context https://github.com/$GIT_USER/acr-build-helloworld-node.git"
            " --file Dockerfile-app --git-access-token $GIT_PAT \\\n"
            "  --arg REGISTRY_NAME=$BASE_ACR.azurecr.io --assign-identity"
            " --commit-trigger-enabled false --base-image-trigger-enabled false --output none"
        )
        self._type(
            "az role assignment create --role AcrPull --output none"
            " --scope $(az acr show --name $BASE_ACR --query id --output tsv) \\\n"
            "  --assignee $(az acr task show --name taskhelloworld --registry $ACR_NAME"
            " --query identity.principalId --output tsv)"
        )
        self._type(
            "az acr task credential add --name taskhelloworld --registry $ACR_NAME"
            " --login-server $BASE_ACR.azurecr.io --use-identity [system] --output none"
        )
        self._type("az acr task run --registry $ACR_NAME --name taskhelloworld")

    def build_base(self) -> None:
        """Build and push the base image."""
        self._type(
            "az acr build --registry $BASE_ACR --image baseimages/node:9-alpine"
            " --file Dockerfile-base ."
        )

    def resources(self) -> None:
        """Create what the template predicts; the second time nothing may change."""
        self._screen.step("infra/minimal.bicepparam: everything that the template predicts")
        deployer = Deployer(self._cloud, self._cloud.developer)
        try:
            self._places = deployer.deploy(_SNAPSHOT)
            before = self._state()
            deployer.deploy(_SNAPSHOT)
        except SnapshotError as error:
            raise Failed(str(error)) from error
        finally:
            deployer.close()
        self._screen.detail("\n".join(place.partition("/providers/")[2] for place in self._places))
        if self._state() != before:
            raise Failed("the template changed something when it was deployed again")
        self._screen.good(f"{len(self._places)} resources; a second time changed nothing")

    def _state(self) -> dict[str, Any]:
        kept = {place: self._cloud.state.resource(place) for place in self._places}
        return {**kept, "assignments": self._cloud.roles.assignments()}

    def publish(self) -> None:
        """Publish the code as a zip archive, and wait for the functions."""
        self._screen.step("Publish the code; its functions appear")
        site = self._place("sites")
        group, name = site.split("/")[4], site.rpartition("/")[2]
        self._type(
            f"(cd {shlex.quote(str(ROOT))} && {shlex.quote(sys.executable)} -m zipfile"
            f" -c $HOME/app.zip {_CODE})"
        )
        self._type(
            f"az functionapp deployment source config-zip --resource-group {group} --name {name}"
            " --src $HOME/app.zip"
        )
        listed = self._type(
            f"az functionapp function list --resource-group {group} --name {name}"
            " --query '[].name' --output tsv"
        )
        for function in ("image_pushed", "task_changed"):
            if f"{name}/{function}" not in listed:
                raise Failed(f"the app has no function {function}")

    def subscribe(self) -> None:
        """Subscribe the functions to the topics that the template made."""
        self._screen.step("Event subscriptions, now that the functions are there")
        account, site = self._place("storageAccounts"), self._place("sites")
        container = f"{account}/blobServices/default/containers/dead-letters"
        for function, topic, types, more in (
            ("image_pushed", "egst-my", "Microsoft.ContainerRegistry.ImagePushed", ""),
            (
                "task_changed",
                "egst-tasks",
                "Microsoft.Resources.ResourceWriteSuccess"
                " Microsoft.Resources.ResourceDeleteSuccess",
                " --advanced-filter data.operationName StringBeginsWith"
                " Microsoft.ContainerRegistry/registries/tasks/",
            ),
        ):
            place = self._place("systemTopics", topic)
            self._type(
                "az eventgrid system-topic event-subscription create"
                f" --resource-group {place.split('/')[4]}"
                f" --system-topic-name {place.rpartition('/')[2]} \\\n"
                f"  --name rebuilder-{function.replace('_', '-')} --endpoint-type azurefunction"
                f" --endpoint {site}/functions/{function} \\\n"
                f"  --included-event-types {types}{more} \\\n"
                "  --deadletter-identity systemassigned"
                f" --deadletter-identity-endpoint {container} --output none"
            )

    def rebuild(self) -> None:
        """Push a changed base image; the app rebuilds what is built on it."""
        self._screen.step("The base image changes and is pushed")
        self._type("sed -i 's/9.11.2$/9.11.2a/' Dockerfile-base")
        self.build_base()
        account = self._place("storageAccounts")
        self._screen.step("rebuilder runs: who looks needs to read the ledger")
        self._type(
            'az role assignment create --role "Storage Table Data Reader" --output none'
            f" --assignee {self._cloud.developer.object_id} --scope {account}"
        )
        registries = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers"
        registries += "/Microsoft.ContainerRegistry/registries"
        for name, value in (
            ("AzureWebJobsStorage__accountName", account.rpartition("/")[2]),
            ("REBUILDER_BASE_REGISTRIES", f"{registries}/{NAMES['BASE_ACR']}"),
            ("REBUILDER_TASK_REGISTRIES", f"{registries}/{NAMES['ACR_NAME']}"),
        ):
            self._type(f"export {name}={value}")
        self._await()
        table = self._type("rebuilder runs")
        rebuilt = [row for row in table.splitlines() if "Image Update" in row]
        if len(rebuilt) != 1 or "Succeeded" not in rebuilt[0]:
            raise Failed("the table does not show one rebuild that succeeded")
        self._screen.good("rebuilt by the app, with the template's settings and roles alone")

    def _await(self) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            runs = json.loads(self._type("rebuilder runs --json", quiet=True))
            if any(run["rebuild"] and run["rebuild"]["finished"] for run in runs):
                return
            time.sleep(1)
        raise Failed(f"nothing was rebuilt:\n{self._cloud.apps.log(self._place('sites'))[-6000:]}")


def play(screen: Screen, folder: Path, builder: BuilderName) -> None:
    """Deploy the product and see it rebuild.

    Raises:
        Failed: Something came out otherwise than promised.
    """
    source = folder / "source"
    shutil.copytree(SAMPLE, source)
    screen.step("A cloud on this machine, with the Azure CLI in front of it")
    with LocalCloud(folder / "cloud", builder=builder) as cloud:
        cloud.create_subscription(SUBSCRIPTION, "Contoso")
        cloud.map_context(REPOSITORY, fork(folder / "fork"), TOKEN)
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
            deployment = Deployment(cloud, shell, screen)
            deployment.registries()
            deployment.resources()
            deployment.publish()
            deployment.subscribe()
            deployment.rebuild()


def main() -> int:
    """Deploy; the exit code says whether it came out as promised."""
    return perform("deployment", "Deploy the product on the local cloud.", play)


if __name__ == "__main__":
    sys.exit(main())
