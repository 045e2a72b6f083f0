"""Every command of the docs is typed into a shell in front of the local cloud, or listed here.

docs/deploy.md and docs/operations.md are carried out from the first registry to the last role, with
the real Azure CLI; what is there before is there again afterwards, and nothing else. The commands
of `rebuilder` are typed beside the running app.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from localcloud.directory import TENANT_ID
from localcloud.sample import cli_environment, path
from localcloud.shell import Shell
from rebuilder.composition import release
from rebuilder.core.policies.acts import Scope, Target
from rebuilder.core.rebuilds.messages import ACTS
from rebuilder.usecases.steering.policy_file import apply_policy
from rebuilder.usecases.steering.votes import to_be_approved
from rebuilder.web.principals import Role
from tests import images
from tests.e2e.conftest import World
from tests.infra.templates import ROOT
from tests.infra.test_deployments import APPS, BASE, GROUP, SUBSCRIPTION, Deployer, values
from tests.infra.test_remove_tool import Remover
from tests.patience import until

PAGES = (
    # docs/dependencies.md is typed whole by tests/unit/test_dependencies_page.py.
    *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "dependencies.md"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
)
_PROGRAMS = "az|azd|make|python3?|rebuilder|zip|cp|export|output|curl|eval|printf|uvx"
_BEGINS = re.compile(rf"(?:{_PROGRAMS})(?![\w-])|_REBUILDER_COMPLETE=|[A-Z]+=\$\(|output\(\)")
_PLACEHOLDERS = {
    "ENV": "docs",
    "LOCATION": "westeurope",
    "SUBSCRIPTION": SUBSCRIPTION,
    "PROVIDER": "EventGrid",
    "NAME": BASE,
    "BASE": BASE,
    "REGISTRY": APPS,
    "TASK": "mytask",
    "REGISTRY_ID": "$BASE_ID",
    "BASE_REGISTRY_ID": "$BASE_ID",
    "FUNCTION_APP_ID": "$SITE",
    "WORKSPACE_ID": "$WORKSPACE",
    "TOPIC": f"egst-{BASE}",
    "YOUR_IP": "127.0.0.1",
    "RESOURCE_ID": "$SITE",
}

_LISTED = (Path(__file__).parent / "docs_commands.txt").read_text("utf-8")
_PARTS = [[line for line in part.splitlines()[1:] if line] for part in _LISTED.split("\n# ")[1:]]

RUN, BESIDE, PAGE, _OTHERS = _PARTS
"""What is typed from clone to removal, beside the running app, and for the operators' page; each in
this order."""

NOT_RUN = dict(line.split("  ### ") for line in _OTHERS)
"""What cannot be typed here, or is typed elsewhere, and why."""


def _commands(page: Path) -> Iterator[str]:
    """Give every command of a page; what only names a command is none."""
    text = page.read_text("utf-8")
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in _whole_lines(block.replace("\\\n", " ")):
            command = " ".join(line.split())
            if _BEGINS.match(command):
                yield command
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for span in re.findall(r"`([^`]+)`", outside):
        command = " ".join(span.split())
        named = "--" not in command and "=" not in command
        if _BEGINS.match(command) and not named and "..." not in command:
            yield command


def _whole_lines(block: str) -> Iterator[str]:
    """Give lines, those whose quotes go on joined."""
    line = ""
    for part in block.splitlines():
        said = re.sub(r"\s+# .*", "", part)
        line = f"{line} {said}" if line else said
        try:
            shlex.split(line)
        except ValueError:
            continue
        yield line
        line = ""


def test_every_command_is_run_or_listed() -> None:
    """None is in the docs without having been tried, and none is tried that is not there."""
    found = {command for page in PAGES for command in _commands(page)}

    assert len(PAGES) > 15
    typed = {*RUN, *BESIDE, *PAGE}
    assert found - typed - NOT_RUN.keys() == set()
    assert (typed | NOT_RUN.keys()) - found == set()
    assert all(len(reason) > 5 for reason in NOT_RUN.values())
    named = re.findall(r"tests/[\w/]+(?:\.py)?", "\n".join(NOT_RUN.values()))
    assert len(named) > 10
    assert [place for place in named if not (ROOT / place).exists()] == []


def _typed(command: str) -> str:
    def chosen(match: re.Match[str]) -> str:
        return _PLACEHOLDERS.get(match[0], match[0])

    # $GROUP and $APP are the shell's; GROUP by itself is the registries' group.
    text = re.sub(r"(?<![\w$@./=\"])GROUP(?!=)\b", GROUP, command)
    return re.sub(r"(?<![\w$])[A-Z]+(?:_[A-Z]+)*(?![\w=(])", chosen, text)


@pytest.mark.timeout(3000)  # some sixty commands of the Azure CLI
@pytest.mark.usefixtures("az")
def test_the_docs_are_carried_out(cloud: LocalCloud, tmp_path: Path) -> None:
    """From two registries to a deployed product with a task, and back to what was before."""
    remover = Remover(cloud, tmp_path)
    folder = tmp_path / "clone"
    for name in ("infra", "tools", "functions", "rebuilder"):
        ignored = shutil.ignore_patterns("__pycache__", "azure-cli", "azurite", "checkov")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("function_app.py", "host.json", "requirements.txt"):
        shutil.copy(ROOT / name, folder / name)
    role = json.loads((folder / "infra" / "rebuilder-role.json").read_text("utf-8"))
    role["AssignableScopes"] = [f"/subscriptions/{SUBSCRIPTION}"]
    (folder / "infra" / "rebuilder-role.json").write_text(json.dumps(role), "utf-8")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {BASE}.azurecr.io/images/node:9\n", "utf-8")
    cloud.map_context("https://github.com/contoso/app.git", context)
    images.push(cloud, remover.deployer.base, "images/node", "9", "first")
    # A task of one's own, which has an identity and no credentials yet.
    task = images.task(remover.deployer.apps, "mytask", None)
    images.identify(cloud, remover.deployer.apps, task, ("AcrPull", remover.deployer.base))
    before = remover.listed()
    environment = {
        "PATH": path(),
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        **cli_environment(tmp_path / "azure"),
        **cloud.environment(cloud.developer),
        "BASE_ID": remover.deployer.base.id,
    }
    printed: list[str] = []
    with Shell(folder, environment, printed.append) as shell:
        _must(shell, "az login --identity --output none")
        for command in RUN:
            _must(shell, _typed(command))
            if "minimal.parameters.json" in command:
                _choose(folder / "main.parameters.json")
            if command.startswith("GROUP="):
                _must(shell, "SITE=$(output FUNCTION_APP_RESOURCE_ID)")
    left = remover.listed() - before

    assert {place for place in left if not place.startswith("role ")} == set()
    assert left == {f"role {role['Name']}"}  # made by hand, so it is for a hand to delete
    assert before <= remover.listed()


@pytest.mark.timeout(1800)  # some thirty starts of Python
@pytest.mark.usefixtures("az")
def test_the_commands_are_typed_beside_the_app(cloud: LocalCloud, tmp_path: Path) -> None:
    """What is asked for is carried out by the running app; what is told ends well."""
    world = World(cloud, f"sqlite:{tmp_path / 'rebuilder.db'}", tmp_path)
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM alpine\n", "utf-8")
    shutil.copy(ROOT / "local.settings.sample.json", folder)
    # The file that the page shows; its tasks are these.
    (policies,) = re.findall(
        r"## The file\n\n```yaml\n(.*?)```",
        (ROOT / "docs" / "policies.md").read_text("utf-8"),
        re.DOTALL,
    )
    (folder / "policy.yaml").write_text(_beside(policies), "utf-8")
    environment = {
        "PATH": path(),
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        **cloud.environment(cloud.developer),
        **world.settings,
    }
    world.host.start()
    try:
        world.task(world.apps, "website", world.push("first"))
        world.subscribe()
        world.push("second")
        world.settle()
        _in_force(world, "version: 1\n")
        heard: list[str] = []
        with Shell(folder, environment, heard.append) as shell:
            for command in BESIDE:
                _prepare(world, command)
                _must(shell, _beside(command))
                until(lambda: _acts(world) == 0, f"{command} to be carried out")
    finally:
        world.host.stop()
        release()
    assert not world.failed()


@pytest.mark.timeout(1800)  # some ten commands of the Azure CLI
@pytest.mark.usefixtures("az")
def test_the_page_is_registered(cloud: LocalCloud, tmp_path: Path) -> None:
    """By whoever may: people sign in to it, its identity vouches for it, and there is no secret."""
    deployer = Deployer(cloud)
    shutil.copytree(ROOT / "infra", tmp_path / "infra")
    environment = {
        "PATH": path(),
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        **cli_environment(tmp_path / "azure"),
        **cloud.environment(cloud.developer),
    }
    heard: list[str] = []
    told = {}
    with Shell(tmp_path, environment, heard.append) as shell:
        _must(shell, "az login --identity --output none")
        for command in PAGE:
            if command.startswith("az ad app update") and "redirect" in command:
                # Here the reader deploys, with what was registered.
                client = shell.run('echo "$CLIENT"')[1].strip()
                given = values("docs", dashboard={"clientId": client})
                told = deployer.made("acr-rebuilder-docs", given)["outputs"]
                _must(shell, _typed(next(c for c in RUN if c.startswith("output()"))))
            _must(shell, _typed(command))

    (app,) = cloud.registrations.applications.values()
    (principal,) = cloud.registrations.principals.values()
    ((vouched,),) = cloud.registrations.credentials.values()
    assert app["appId"] == client
    assert app["identifierUris"] == [f"api://{client}"]
    assert {role["value"] for role in app["appRoles"]} == {str(role) for role in Role}
    back = f"{told['DASHBOARD_URL']['value']}/.auth/login/aad/callback"
    assert app["web"]["redirectUris"] == [back]
    assert principal["appRoleAssignmentRequired"] is True
    assert vouched["subject"] == told["DASHBOARD_PRINCIPAL_ID"]["value"]
    assert vouched["issuer"] == f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"
    assert vouched["audiences"] == ["api://AzureADTokenExchange"]
    assert not any(app.get(kind) for kind in ("passwordCredentials", "keyCredentials"))


def _beside(text: str) -> str:
    return text.replace("prodregistry/web", "myapps/website").replace("prodregistry", "myapps")


def _in_force(world: World, text: str) -> None:
    apply_policy(world.context, text, file="policy.yaml", who="ann", because="test")


def _prepare(world: World, command: str) -> None:
    """Have something wait for the vote that is about to be given."""
    if not command.startswith(("rebuilder approve", "rebuilder reject")):
        return
    _in_force(world, "version: 1\npolicies: {default: {approval: {votes: 1}}}\n")
    world.push(command)
    tasks = [Target(Scope.TASK, "myapps/*")]
    until(lambda: len(list(to_be_approved(world.context, tasks))) == 1, "something to approve")


def _acts(world: World) -> int:
    """Return how many acts are not carried out yet."""
    with closing(sqlite3.connect(world.settings["AzureWebJobsStorage"].partition(":")[2])) as db:
        (found,) = db.execute("SELECT COUNT(*) FROM messages WHERE queue = ?", (ACTS,)).fetchone()
    return int(found)


def _must(shell: Shell, command: str) -> None:
    code, said = shell.run(command)
    # The doctor may find that the task has not run yet: its word, and no failure of the steps.
    fine = code == 0 or (code == 1 and "Events of pushes and of changed tasks" in said)
    assert fine, f"{command}\nended with {code}:\n{said}"


def _choose(file: Path) -> None:
    """Write what a reader writes: which registries, and here a task, too."""
    given = json.loads(file.read_text("utf-8"))
    given["parameters"]["registries"]["value"] = [
        {"name": BASE, "use": "base", "resourceGroupName": GROUP},
        {"name": APPS, "use": "tasks", "resourceGroupName": GROUP},
    ]
    given["parameters"]["sampleTask"] = {
        "value": {
            "registryName": APPS,
            "baseRegistryName": BASE,
            "contextPath": "https://github.com/contoso/app.git",
            "dockerFilePath": "Dockerfile",
        }
    }
    file.write_text(json.dumps(given), "utf-8")
