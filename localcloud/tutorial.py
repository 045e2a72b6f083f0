"""The tutorial, command for command, with the real Azure CLI: `make tutorial`.

Each command is typed into bash as the tutorial has it, only the names are filled in. What comes
out otherwise than the tutorial promises ends it with an error.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localcloud.cloud import BuilderName, LocalCloud, node_for_images
from localcloud.functionshost import FunctionsHost
from localcloud.network import free_port
from localcloud.sample import (
    APP_ID,
    BASE_ID,
    NAMES,
    REPOSITORY,
    ROOT,
    SAMPLE,
    SUBSCRIPTION,
    TOKEN,
    cli_environment,
    fork,
    path,
)
from localcloud.screen import Failed, Screen, perform
from localcloud.shell import Shell

_WAIT_SECONDS = 600


class Tutorial:
    """The steps; each types its commands and looks at what comes of them."""

    def __init__(
        self, cloud: LocalCloud, shell: Shell, screen: Screen, folder: Path, *, node: bool
    ) -> None:
        self._cloud = cloud
        self._shell = shell
        self._screen = screen
        self._folder = folder
        self._runnable = node and shutil.which("skopeo") is not None
        # What a step commands, only buildah runs.
        self._tasks = ["taskhelloworld", "taskuser"]
        if cloud.builder == "buildah":
            self._tasks.append("taskmulti")

    def _type(self, command: str, *, fails: bool = False) -> str:
        code, output = self._shell.run(command)
        if (code != 0) != fails:
            ended = "succeeded and was to fail" if fails else f"ended with {code}"
            raise Failed(f"this command {ended}:\n{command}\n{output}")
        return output

    def _ask(self, command: str) -> str:
        """Return what a command prints, run unseen."""
        code, output = self._shell.run(command, quiet=True)
        if code != 0:
            raise Failed(f"this command ended with {code}:\n{command}\n{output}")
        return output.strip()

    def _expect(self, text: str, *wanted: str) -> None:
        for one in wanted:
            if one not in text:
                raise Failed(f"the output does not hold {one!r}")

    # The tutorial's own chapters.

    def prepare(self) -> None:
        """Sign in, create the registries in two regions."""
        self._screen.step("Sign in, and create two registries in two regions")
        self._expect(self._type("az login --identity --output table"), "Contoso")
        self._type("az group create --name $BASE_GROUP --location westeurope --output none")
        self._type("az group create --name $APP_GROUP --location eastus --output none")
        for name, group, region in (
            ("$BASE_ACR", "$BASE_GROUP", "westeurope"),
            ("$ACR_NAME", "$APP_GROUP", "eastus"),
        ):
            made = self._type(
                f"az acr create --resource-group {group} --name {name} --sku Premium"
                f" --location {region} --output table"
            )
            self._expect(made, ".azurecr.io", region)

    def build_base(self) -> None:
        """Build the base image with a quick task."""
        built = self._type(
            "az acr build --registry $BASE_ACR --image baseimages/node:9-alpine"
            " --file Dockerfile-base ."
        )
        self._expect(built, "was successful after", "runtime-dependency")

    def create_task(self) -> None:
        """Create the task; its identity may pull nothing yet."""
        self._screen.step("Create a task to track the private base image")
        self._type(
            "az acr task create \\\n"
            "    --registry $ACR_NAME \\\n"
            "    --name taskhelloworld \\\n"
            "    --image helloworld:{{.Run.ID}} \\\n"
            "    --context https://github.com/$GIT_USER/acr-build-helloworld-node.git \\\n"
            "    --file Dockerfile-app \\\n"
            "    --git-access-token $GIT_PAT \\\n"
            "    --arg REGISTRY_NAME=$BASE_ACR.azurecr.io \\\n"
            "    --assign-identity"
        )

    def give_pull_permission(self) -> None:
        """Give the task's identity AcrPull on the base registry."""
        self._screen.step("Give the task's identity pull permissions to the base registry")
        self._type(
            "principalID=$(az acr task show --name taskhelloworld --registry $ACR_NAME"
            " --query identity.principalId --output tsv)"
        )
        self._type("baseregID=$(az acr show --name $BASE_ACR --query id --output tsv)")
        self._ask("appregID=$(az acr show --name $ACR_NAME --query id --output tsv)")
        self._type(
            "az role assignment create \\\n"
            "  --assignee $principalID \\\n"
            "  --scope $baseregID --role acrpull"
        )

    def add_credentials(self) -> None:
        """Add the base registry's credentials to the task."""
        self._screen.step("Add target registry credentials to the task")
        added = self._type(
            "az acr task credential add \\\n"
            "  --name taskhelloworld \\\n"
            "  --registry $ACR_NAME \\\n"
            "  --login-server $BASE_ACR.azurecr.io \\\n"
            "  --use-identity [system]"
        )
        self._expect(added, "mybaseregistry.azurecr.io")

    def run_task(self) -> str:
        """Run the task by hand; return the run's id."""
        self._screen.step("Manually run the task")
        ran = self._type("az acr task run --registry $ACR_NAME --name taskhelloworld")
        self._expect(ran, "was successful after", "repository: baseimages/node")
        return self._newest("taskhelloworld")

    def change_base(self, old: str, new: str) -> None:
        """Change NODE_VERSION, and build the base image again."""
        self._screen.step("Update the base image")
        self._type(f"sed -i 's/{old}$/{new}/' Dockerfile-base && cat Dockerfile-base")
        self.build_base()

    def list_runs(self) -> str:
        """List the runs as the tutorial does."""
        return self._type("az acr task list-runs --registry $ACR_NAME --output table")

    def show_rebuild(self, first: str, second: str) -> None:
        """Show the run that the pushed base image led to, as ACR and as the product see it."""
        self._screen.step("List updated build")
        table = self.list_runs()
        listed = {row.split()[0]: row for row in table.splitlines()[2:]}
        for run in (first, second):
            self._expect(listed.get(run, ""), "taskhelloworld", "linux", "Succeeded")
        # ARM lets nobody but itself say that an image started a run; the product remembers.
        self._screen.detail("(ARM calls every run that somebody schedules Manual.)")
        rows = self._type("rebuilder runs").splitlines()
        triggers = {row.split()[0]: row for row in rows[2:]}
        self._expect(triggers[second], "Image Update", "Succeeded")
        self._expect(triggers[first], "Manual", "Succeeded")
        told = self._type("rebuilder explain $BASE_ACR.azurecr.io/baseimages/node:9-alpine")
        self._expect(told, "rebuild myappregistry/taskhelloworld", f"run {second}: Succeeded")

    def look_into_the_registry(self, run_id: str) -> None:
        """List tags and manifests."""
        self._screen.step("What the registry holds now")
        tags = self._type("az acr repository show-tags --name $ACR_NAME --repository helloworld")
        self._expect(tags, f'"{run_id}"')
        listed = self._type(
            "az acr manifest list-metadata --registry $ACR_NAME --name helloworld"
            " --query '[].[digest,tags[0]]' --output table"
        )
        self._expect(listed, "sha256:", run_id)

    def user_assigned_identity(self) -> None:
        """The same with a user-assigned identity."""
        self._screen.step("The same once more with a user-assigned identity")
        self._type("az identity create --resource-group $APP_GROUP --name puller --output none")
        for variable, key in (
            ("resourceID", "id"),
            ("clientID", "clientId"),
            ("userID", "principalId"),
        ):
            self._type(
                f"{variable}=$(az identity show --resource-group $APP_GROUP --name puller"
                f" --query {key} --output tsv)"
            )
        self._type(
            "az acr task create --registry $ACR_NAME --name taskuser"
            " --image hellouser:{{.Run.ID}} \\\n"
            "  --context https://github.com/$GIT_USER/acr-build-helloworld-node.git"
            " --file Dockerfile-app \\\n"
            "  --git-access-token $GIT_PAT --arg REGISTRY_NAME=$BASE_ACR.azurecr.io"
            # azure-cli 2.91 cannot update a task with a commit trigger: it sends a Python set.
            " --commit-trigger-enabled false --assign-identity $resourceID --output none"
        )
        self._type(
            "az role assignment create --assignee $userID --scope $baseregID --role acrpull"
            " --output none"
        )
        self._type(
            "az acr task credential add --name taskuser --registry $ACR_NAME"
            " --login-server $BASE_ACR.azurecr.io --use-identity $clientID"
        )
        ran = self._type("az acr task run --registry $ACR_NAME --name taskuser")
        self._expect(ran, "was successful after")

    def multi_step_task(self) -> None:
        """The same with a multi-step task."""
        self._screen.step("The same once more with a multi-step task")
        if "taskmulti" not in self._tasks:
            self._screen.good("not played: its commands take buildah, as root (make tools)")
            return
        self._type("cat taskmulti.yaml")
        self._type(
            "az acr task create --registry $ACR_NAME --name taskmulti \\\n"
            "  --context https://github.com/$GIT_USER/acr-build-helloworld-node.git"
            " --file taskmulti.yaml \\\n"
            "  --git-access-token $GIT_PAT --set baseRegistry=$BASE_ACR.azurecr.io"
            " --commit-trigger-enabled false --assign-identity --output none"
        )
        self._type(
            "multiID=$(az acr task show --name taskmulti --registry $ACR_NAME"
            " --query identity.principalId --output tsv)"
        )
        self._type(
            "az role assignment create --assignee $multiID --scope $baseregID --role acrpull"
            " --output none"
        )
        self._type(
            "az acr task credential add --name taskmulti --registry $ACR_NAME"
            " --login-server $BASE_ACR.azurecr.io --use-identity [system]"
        )
        ran = self._type("az acr task run --registry $ACR_NAME --name taskmulti")
        self._expect(ran, "was successful after", "built on Node.js 9.11.2a")

    def rebuild_all(self) -> None:
        """Push the base once more: every task is rebuilt."""
        before = {task: self._newest(task) for task in self._tasks}
        self.change_base("9.11.2a", "9.11.2b")
        after = {task: self.await_rebuild(task, before[task]) for task in self._tasks}
        self._screen.step("All of the tasks were rebuilt")
        rows = self._type("rebuilder runs").splitlines()
        for task, run in after.items():
            self._expect(next(row for row in rows if row.startswith(run)), "Image Update", task)
        if "taskmulti" in after:
            log = self._type(f"az acr task logs --registry $ACR_NAME --run-id {after['taskmulti']}")
            self._expect(log, "built on Node.js 9.11.2b")
        self.show_page("hellouser", after["taskuser"], "9.11.2b")

    def quick_run(self) -> None:
        """Run a command in an image, without a task."""
        self._screen.step("az acr run")
        if "taskmulti" not in self._tasks:
            self._screen.good("not played: it takes buildah, as root (make tools)")
            return
        ran = self._type(
            "az acr run --registry $BASE_ACR"
            " --cmd '$Registry/baseimages/node:9-alpine env' /dev/null"
        )
        self._expect(ran, "NODE_VERSION=9.11.2b", "was successful after")

    def everyday_commands(self) -> None:
        """The commands that the tutorial's readers use next."""
        self._screen.step("task update, cancel-run, taskrun, import")
        updated = self._type(
            "az acr task update --registry $ACR_NAME --name taskuser --timeout 1200 --query timeout"
        )
        self._expect(updated, "1200")
        # A run is quicker than a person, so it waits in the queue for its end.
        self._pause(paused=True)
        self._type("az acr task run --registry $ACR_NAME --name taskuser --no-wait --output none")
        run_id = self._newest("taskuser")
        self._type(f"az acr task cancel-run --registry $ACR_NAME --run-id {run_id}")
        status = self._type(
            f"az acr task show-run --registry $ACR_NAME --run-id {run_id} --query status"
        )
        self._expect(status, "Canceled")
        self._pause(paused=False)
        self._type(
            "az rest --method put --url"
            ' "https://management.azure.com$appregID/taskRuns/rerun?api-version=2019-06-01-preview"'
            ' \\\n  --body \'{"properties": {"runRequest": {"type": "TaskRunRequest",'
            ' "taskId": "\'$appregID\'/tasks/taskuser"}}}\' --output none'
        )
        self._expect(
            self._type(
                "az acr taskrun show --registry $ACR_NAME --resource-group $APP_GROUP"
                " --name rerun --query runResult.task"
            ),
            "taskuser",
        )
        self._type(
            "az acr import --name $ACR_NAME"
            " --source $BASE_ACR.azurecr.io/baseimages/node:9-alpine --image imported/node:9"
        )
        self._expect(
            self._type("az acr repository show-tags --name $ACR_NAME --repository imported/node"),
            '"9"',
        )

    def _pause(self, *, paused: bool) -> None:
        body = json.dumps({"runs.paused": paused})
        self._type(
            f"curl --silent --noproxy '*' --request PATCH $LOCALCLOUD_ADMIN/switches"
            f" --data '{body}' --output /dev/null"
        )

    def take_the_role_away(self) -> None:
        """Without the role, the rebuild fails, and the product says which one is missing."""
        self._screen.step("Without the role assignment")
        self._type(
            "az role assignment delete --assignee $principalID --scope $baseregID --role acrpull"
        )
        failed = self._type(
            "az acr task run --registry $ACR_NAME --name taskhelloworld", fails=True
        )
        self._expect(failed, "401 Unauthorized", "Run failed")
        before = self._newest("taskhelloworld")
        self.change_base("9.11.2b", "9.11.2c")
        self.await_rebuild("taskhelloworld", before, status="Failed")
        self._screen.step("rebuilder explain says which role is missing where")
        told = self._type("rebuilder explain $BASE_ACR.azurecr.io/baseimages/node:9-alpine")
        principal = self._ask("echo $principalID")
        self._expect(told, f"its identity {principal} lacks the role AcrPull on {BASE_ID.lower()}")

    # What stands behind them.

    def _newest(self, task: str) -> str:
        run = self._cloud.newest_run(APP_ID, task)
        if run is None:
            raise Failed(f"{task} has no run")
        return run.run_id

    def await_rebuild(self, task: str, before: str, *, status: str = "Succeeded") -> str:
        """Wait until a task has another run than `before`, and it is over; return its id."""
        # The CLI is asked once: each of its answers is seconds of work for this machine.
        self._cloud.await_run(APP_ID, task, before, _WAIT_SECONDS)
        query = f"az acr task list-runs --registry $ACR_NAME --name {task} --output json"
        newest: dict[str, Any] = json.loads(self._ask(query))[0]
        if newest["runId"] == before or newest["status"] != status:
            raise Failed(f"{task} was not rebuilt: {newest}")
        self._await_ledger(str(newest["runId"]))
        return str(newest["runId"])

    def _await_ledger(self, run_id: str) -> None:
        """Wait until the product has seen the run's end."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            for run in json.loads(self._ask("rebuilder runs --json")):
                if run["runId"] == run_id and run["rebuild"] and run["rebuild"]["finished"]:
                    return
            time.sleep(0.5)
        raise Failed(f"the product does not know that run {run_id} is over")

    @contextmanager
    def function_app(self) -> Iterator[None]:
        """Deploy the product as a user of the local cloud does, and subscribe it to pushes."""
        self._screen.step("The function app: its role, its settings, its event subscription")
        self._type(
            f"sed 's/00000000-0000-0000-0000-000000000000/{SUBSCRIPTION}/'"
            f" {ROOT}/infra/rebuilder-role.json > role.json\n"
            "az role definition create --role-definition @role.json --query roleName"
        )
        for role, scope in (
            ('"ACR Rebuilder"', BASE_ID),
            ('"ACR Rebuilder"', APP_ID),
            ("AcrPull", BASE_ID),
        ):
            self._type(
                f"az role assignment create --assignee {self._cloud.function_app.object_id}"
                f" --role {role} --scope {scope} --output none"
            )
        settings = {
            **self._cloud.environment(self._cloud.function_app),
            "AzureWebJobsStorage": f"sqlite:{self._folder / 'rebuilder.db'}",
            "REBUILDER_BASE_REGISTRIES": BASE_ID,
            "REBUILDER_TASK_REGISTRIES": APP_ID,
            "REBUILDER_TUNING": "track_interval=1s",
            # The native trigger is off here: nobody is to wait for it.
            "REBUILDER_NATIVE_WAIT_SECONDS": "2",
        }
        for name, value in settings.items():
            if name.startswith(("AzureWebJobs", "REBUILDER_")):
                self._ask(f"export {name}={value}")
        with FunctionsHost(ROOT, settings, data=self._folder) as host:
            self._ask(f"endpoint='{host.eventgrid_url('image_pushed')}'")
            self._type(
                "az eventgrid event-subscription create --name rebuilder"
                " --source-resource-id $baseregID \\\n"
                "  --endpoint $endpoint"
                " --included-event-types Microsoft.ContainerRegistry.ImagePushed --output none"
            )
            self._ask(f"changes='{host.eventgrid_url('task_changed')}'")
            self._type(
                "az eventgrid event-subscription create --name rebuilder-tasks"
                f" --source-resource-id {APP_ID.partition('/providers/')[0]} \\\n"
                "  --endpoint $changes --included-event-types"
                " Microsoft.Resources.ResourceWriteSuccess"
                " Microsoft.Resources.ResourceDeleteSuccess --output none"
            )
            yield

    def show_page(self, repository: str, tag: str, version: str) -> None:
        """Pull an image with skopeo, run it, and read its page."""
        self._screen.step(f"Run the application container locally: {repository}:{tag}")
        if not self._runnable:
            self._screen.good("not run: it takes Node.js, skopeo, and buildah as root (make tools)")
            return
        self._type(
            "az acr login --name $ACR_NAME --expose-token --query accessToken --output tsv"
            " 2>/dev/null \\\n"
            "  | skopeo login $ACR_NAME.azurecr.io --authfile $AUTH \\\n"
            "    --username 00000000-0000-0000-0000-000000000000 --password-stdin"
        )
        image = f"oci:$PULLED:{tag}"
        self._type(
            f"skopeo copy --insecure-policy --authfile $AUTH --quiet \\\n"
            f"  docker://$ACR_NAME.azurecr.io/{repository}:{tag} {image}"
        )
        self._type(f"container=$($BUILDAH from --quiet --signature-policy $POLICY {image})")
        config = json.loads(self._ask(f"skopeo inspect --config {image}"))["config"]
        command, port = " ".join(config["Cmd"]), free_port()
        self._type(f"$BUILDAH run --isolation chroot --env PORT={port} $container -- {command} &")
        page = _read(f"http://127.0.0.1:{port}/")
        self._type(f"curl --silent --noproxy '*' http://127.0.0.1:{port}/")
        self._ask("kill %% && wait; $BUILDAH rm $container; rm -rf $PULLED")
        self._expect(page, f"Version: {version}\n")
        self._screen.good(f"the page says {version}")


def _read(address: str) -> str:
    """Return a page as soon as it is served."""
    deadline = time.monotonic() + _WAIT_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(address, timeout=_WAIT_SECONDS) as page:
                text: str = page.read().decode()
                return text
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise Failed(f"nothing answers at {address}: {error}") from error
            time.sleep(0.1)


def play(screen: Screen, folder: Path, builder: BuilderName) -> None:
    """Play the tutorial.

    Raises:
        Failed: Something came out otherwise than the tutorial promises.
    """
    source = folder / "source"
    shutil.copytree(SAMPLE, source)
    node = node_for_images(builder)
    screen.step("A cloud on this machine, with the Azure CLI in front of it")
    with LocalCloud(folder / "cloud", builder=builder, node=node) as cloud:
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
            # Where images are pulled to and run from.
            "AUTH": str(folder / "auth.json"),
            "PULLED": str(folder / "pulled"),
            "POLICY": str(folder / "policy.json"),
            "BUILDAH": (
                f"buildah --storage-driver vfs --root {folder}/storage --runroot {folder}/run"
            ),
        }
        (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        with Shell(source, environment, screen.detail) as shell:
            tutorial = Tutorial(cloud, shell, screen, folder, node=node is not None)
            tell(tutorial, screen)


def tell(tutorial: Tutorial, screen: Screen) -> None:
    """Go through the chapters."""
    tutorial.prepare()
    screen.step("Build the base image")
    tutorial.build_base()
    tutorial.create_task()
    tutorial.give_pull_permission()
    tutorial.add_credentials()
    first = tutorial.run_task()
    tutorial.show_page("helloworld", first, "9.11.2")
    screen.step("List the builds")
    tutorial.list_runs()
    with tutorial.function_app():
        tutorial.change_base("9.11.2", "9.11.2a")
        second = tutorial.await_rebuild("taskhelloworld", first)
        tutorial.show_rebuild(first, second)
        tutorial.look_into_the_registry(second)
        tutorial.show_page("helloworld", second, "9.11.2a")
        tutorial.user_assigned_identity()
        tutorial.multi_step_task()
        tutorial.rebuild_all()
        tutorial.quick_run()
        tutorial.everyday_commands()
        tutorial.take_the_role_away()


def main() -> int:
    """Play the tutorial; the exit code says whether it came out as promised."""
    return perform("tutorial", "Play the whole tutorial with the Azure CLI.", play)


if __name__ == "__main__":
    sys.exit(main())
