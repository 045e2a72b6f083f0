"""tools/deploy.py: the order, what is tried again and what is not, with a stand-in for `az`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.cloud import LocalCloud
from localcloud.sample import cli_environment, path
from localcloud.shell import Shell
from tests.infra.templates import INFRA, ROOT
from tests.infra.test_deployments import BASE, SUBSCRIPTION, Deployer, values

PARAMETERS = {
    "functionAppName": {"value": "app"},
    "functionAppResourceGroupName": {"value": "group"},
    "storageAccountResourceId": {"value": "/s"},
    "deadLetterContainerName": {"value": "dead-letters"},
    "eventQueueName": {"value": ""},
    "pushTopics": {"value": []},
    "taskTopics": {"value": []},
}
_AZ = """#!{python}
import json, os, pathlib, sys, zipfile
folder = pathlib.Path({folder!r})
args = sys.argv[1:]
with (folder / "said").open("a") as said:
    said.write(json.dumps([*args, os.environ.get("AZURE_ENV_NAME", "")]) + "\\n")
kind = "-".join(args[:2])
if args[0] == "deployment":
    kind = args[2] + ("-events" if args[args.index("--name") + 1].endswith("-events") else "")
refusal = folder / f"refuse-{{kind}}"
if refusal.exists():
    text = refusal.read_text()
    refusal.unlink()
    sys.exit(text)
if args[0] == "functionapp" and args[1] == "function":
    print((folder / "functions").read_text())
elif kind == "functionapp-show":
    print('"/sites/app"')
elif kind == "functionapp-deployment":
    with zipfile.ZipFile(args[args.index("--src") + 1]) as package:
        (folder / "package").write_text(json.dumps(package.namelist()))
elif kind == "what-if":
    print((folder / "changes").read_text())
elif kind == "show":
    print((folder / "properties").read_text())
elif kind == "create-events":
    file = args[args.index("--parameters") + 1].removeprefix("@")
    (folder / "given").write_text(pathlib.Path(file).read_text())
"""
PAGE = "DASHBOARD_APP_NAME"
DEFAULTS = ("--environment", "one", "--location", "westeurope")
BY_HAND = ("--steps", "publish,wait,subscribe", *DEFAULTS)


def _run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    az = folder / "az"
    az.write_text(_AZ.format(python=sys.executable, folder=str(folder)))
    az.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AZURE_")}
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "deploy.py"), *arguments],
        env={**kept, "PATH": f"{folder}:{os.environ['PATH']}", **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "functions").write_text('["app/image_pushed", "app/task_changed", "app/sweep"]')
    outputs = {"EVENT_SUBSCRIPTION_PARAMETERS": {"value": PARAMETERS}}
    properties = {"provisioningState": "Succeeded", "outputs": outputs}
    (tmp_path / "properties").write_text(json.dumps(properties))
    (tmp_path / "changes").write_text('{"changes": []}')
    return tmp_path


def _said(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "said").read_text().splitlines()]


def _kinds(folder: Path) -> list[str]:
    """Return what was asked of az, but what is only read."""
    words = [" ".join(args[:3]) for args in _said(folder)]
    return [text for text in words if not text.startswith("deployment sub show")]


def test_the_order(folder: Path) -> None:
    """Everything but subscriptions, the code, the functions, the subscriptions; each is told."""
    file = folder / "main.bicepparam"
    file.touch()
    steps = "provision,publish,wait,subscribe"
    done = _run(folder, *DEFAULTS, "--parameters", str(file), "--steps", steps)

    assert done.returncode == 0, done.stderr
    assert _kinds(folder) == [
        "deployment sub create",
        "functionapp deployment source",
        "rest --method post",
        "functionapp function list",
        "deployment sub create",
    ]
    first, *_, last = _said(folder)
    assert first[first.index("--name") + 1] == "acr-rebuilder-one"
    assert first[first.index("--parameters") + 1] == str(file)
    assert first[-1] == "one"  # which the .bicepparam reads
    assert last[last.index("--name") + 1] == "acr-rebuilder-one-events"
    assert str(INFRA / "event-subscriptions.json") in last
    assert json.loads((folder / "given").read_text()) == PARAMETERS
    for number, step in enumerate(steps.split(","), 1):
        assert f"[{number}/4] {step}\n" in done.stdout
    assert "done in " in done.stdout


_TOPIC = "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventGrid/systemTopics/egst-base"
_ACCOUNT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/stours"


def _check(
    folder: Path, place: str, before: dict[str, str], after: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    sides = {"before": {"tags": before}, "after": {"tags": after}}
    child = {"resourceId": f"{place}/x", "before": {}, "after": {"properties": {}}}
    changes = [{"resourceId": place, "changeType": "Modify", **sides}, child]
    (folder / "changes").write_text(json.dumps({"changes": changes}))
    file = folder / "main.parameters.json"
    file.touch()
    return _run(folder, *DEFAULTS, "--parameters", str(file), "--steps", "check,provision")


@pytest.mark.parametrize(
    ("place", "before", "said"),
    [
        (
            _TOPIC,
            {"azd-env-name": "two", "rebuilder-token": "b"},
            "egst-base is of the environment two: write its name as topicName",
        ),
        (_TOPIC, {}, "egst-base is there already, and not ours: write its name as topicName"),
        (
            _ACCOUNT,
            {"azd-env-name": "two", "rebuilder-token": "b"},
            "stours is of the environment two: choose another name",
        ),
    ],
)
def test_what_another_has_made_is_not_taken_over(
    folder: Path, place: str, before: dict[str, str], said: str
) -> None:
    """It is named before anything is made, with what to do."""
    done = _check(folder, place, before, {"azd-env-name": "one", "rebuilder-token": "a"})

    assert done.returncode == 1
    assert said in done.stderr
    assert _kinds(folder) == ["deployment sub what-if"]


@pytest.mark.parametrize(
    ("place", "before", "after"),
    [
        (_TOPIC, {"rebuilder-token": "a"}, {"rebuilder-token": "a", "owner": "platform"}),
        (_TOPIC, {"azd-env-name": "one"}, {"azd-env-name": "one", "rebuilder-token": "a"}),
        (_ACCOUNT, {}, {"rebuilder-token": "a"}),
    ],
)
def test_what_is_ones_own_is_changed(
    folder: Path, place: str, before: dict[str, str], after: dict[str, str]
) -> None:
    """By the token, as an older version left it, or what somebody made for it."""
    done = _check(folder, place, before, after)

    assert done.returncode == 0, done.stderr
    assert "2 resources are there already, and none is another's" in done.stdout
    assert _kinds(folder) == ["deployment sub what-if", "deployment sub create"]


def test_what_cannot_be_foreseen_is_told(folder: Path) -> None:
    """Whether it can be deployed is for the deployment to say."""
    (folder / "refuse-what-if").write_text("ERROR: what-if is out of order")
    done = _check(folder, _TOPIC, {}, {})

    assert done.returncode == 0, done.stderr
    assert "what would change is not known: ERROR: what-if is out of order" in done.stdout
    assert _kinds(folder)[-1] == "deployment sub create"


@pytest.mark.timeout(900)  # two commands of the Azure CLI
@pytest.mark.usefixtures("az")
def test_a_second_environment_is_refused_the_topic_of_the_first(
    cloud: LocalCloud, tmp_path: Path
) -> None:
    """With the real Azure CLI; with the topic's name it has nothing to say."""
    deployer = Deployer(cloud)
    first = deployer.deploy(values("one"))
    given = values("two")
    # Its tasks are in a group of their own: only the base registry's topic is the same.
    cloud.create_registry(
        subscription_id=SUBSCRIPTION, resource_group="other", name="others", location="westeurope"
    )
    given["registries"][1] = {"name": "others", "use": "tasks", "resourceGroupName": "other"}
    environment = {
        "PATH": path(),
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        **cli_environment(tmp_path / "azure"),
        **cloud.environment(cloud.developer),
    }
    file = tmp_path / "main.parameters.json"
    check = (
        f"python3 {ROOT}/tools/deploy.py --environment two --location westeurope"
        f" --parameters {file} --steps check"
    )
    asked = ("registries", "eventDelivery")
    heard: list[str] = []
    with Shell(tmp_path, environment, heard.append) as shell:
        assert shell.run("az login --identity --output none")[0] == 0
        told = []
        for topic in (None, first["PUSH_TOPICS"][0]["name"]):
            if topic:
                given["registries"][0]["topicName"] = topic
            chosen = {name: {"value": given[name]} for name in asked if name in given}
            file.write_text(json.dumps({"parameters": chosen}))
            told.append(shell.run(check))

    (refused, why), (taken, what) = told
    assert refused == 1, why
    assert f"egst-{BASE} is of the environment one: write its name as topicName" in why
    assert taken == 0, what
    assert "none is another's" in what
    # Nothing but the first environment is there.
    assert {e["name"] for e in deployer.of("Microsoft.Web/sites")} == {first["FUNCTION_APP_NAME"]}


def test_the_page_gets_the_same_code(folder: Path) -> None:
    """Its app is named by the deployment, or by azd's environment; where there is none, nobody."""
    without = _run(folder, *DEFAULTS, "--steps", "page")
    assert without.returncode == 0, without.stderr
    assert "there is none" in without.stdout
    assert _kinds(folder) == []
    properties = json.loads((folder / "properties").read_text())
    properties["outputs"]["DASHBOARD_APP_NAME"] = {"value": "func-page"}
    (folder / "properties").write_text(json.dumps(properties))
    for env in ({}, {"EVENT_SUBSCRIPTION_PARAMETERS": json.dumps(PARAMETERS)} | {PAGE: "by-azd"}):
        (folder / "said").unlink()
        done = _run(folder, *DEFAULTS, "--steps", "page", **env)
        assert done.returncode == 0, done.stderr
        (published,) = [said for said in _said(folder) if said[0] == "functionapp"]
        assert published[published.index("--name") + 1] == env.get(PAGE, "func-page")
        assert "function_app.py" in json.loads((folder / "package").read_text())


def test_a_parameter_file_in_json_needs_no_compiler(folder: Path) -> None:
    """The committed template is deployed with it."""
    file = folder / "main.parameters.json"
    file.touch()
    done = _run(folder, *DEFAULTS, "--parameters", str(file), "--steps", "provision")

    assert done.returncode == 0, done.stderr
    (created,) = _said(folder)
    assert created[created.index("--template-file") + 1] == str(INFRA / "main.json")
    place = created.index("--parameters")
    assert created[place + 1 : place + 4] == [
        f"@{file}",
        "environmentName=one",
        "location=westeurope",
    ]


def test_the_package_holds_the_app_alone(folder: Path) -> None:
    """No bytecode of this machine's."""
    done = _run(folder, *BY_HAND)

    assert done.returncode == 0, done.stderr
    names = json.loads((folder / "package").read_text())
    assert {"function_app.py", "host.json", "requirements.txt"} <= set(names)
    assert "functions/event_queued.py" in names
    assert {"functions/web.py", "rebuilder/web/static/vendor/preact.js"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_the_package_is_the_same_each_time(folder: Path) -> None:
    """It is written for those who publish by hand, too; nothing else is done."""
    for name in ("one.zip", "two.zip"):
        assert _run(folder, "--package", str(folder / name)).returncode == 0

    assert (folder / "one.zip").read_bytes() == (folder / "two.zip").read_bytes()
    assert not (folder / "said").exists()


@pytest.mark.parametrize(
    ("what", "text", "step"),
    [
        ("create", "ERROR: RoleDefinitionDoesNotExist: The specified role", "provision"),
        ("create", "ERROR: PrincipalNotFound: Principal x does not exist", "provision"),
        (
            "functionapp-deployment",
            "InaccessibleStorageException: Failed to access storage account: 403 (Forbidden)",
            "publish",
        ),
        ("create-events", "Destination endpoint not found. Resource details", "subscribe"),
    ],
)
def test_what_time_heals_is_tried_again(folder: Path, what: str, text: str, step: str) -> None:
    """New roles and new functions need minutes to be known everywhere; that is told."""
    (folder / f"refuse-{what}").write_text(text)
    file = folder / "main.bicepparam"
    file.touch()
    # The first wait is ten seconds, and no longer than there is time.
    more = ("--parameters", str(file), "--minutes", "0.5")
    done = _run(folder, *DEFAULTS, "--steps", step, *more)

    assert done.returncode == 0, done.stderr
    assert f"not yet: {text}" in done.stdout


def test_what_is_refused_for_good_is_told_at_once(folder: Path) -> None:
    """Nothing further is done."""
    (folder / "refuse-functionapp-deployment").write_text("AuthorizationFailed: no")
    done = _run(folder, *BY_HAND)

    assert done.returncode == 1
    assert "AuthorizationFailed: no" in done.stderr
    assert _kinds(folder) == ["functionapp deployment source"]


def test_azd_gives_the_parameters_by_its_environment(folder: Path) -> None:
    """It has provisioned and published already; what it knows is not asked for again."""
    queue = {**PARAMETERS, "eventQueueName": {"value": "rebuilder-events"}}
    (folder / "functions").write_text('["app/event_queued"]')
    done = _run(
        folder,
        "--azd",
        PATH=f"{folder}:/usr/bin:/bin",
        AZURE_ENV_NAME="one",
        AZURE_LOCATION="westeurope",
        AZURE_SUBSCRIPTION_ID="sub",
        EVENT_SUBSCRIPTION_PARAMETERS=json.dumps(queue),
    )

    assert "[1/4] page\n  there is none\n" in done.stdout, done.stderr
    assert json.loads((folder / "given").read_text()) == queue
    assert _kinds(folder)[:3] == [
        "rest --method post",
        "functionapp function list",
        "deployment sub create",
    ]
    synced, _, created, *_ = _said(folder)
    assert synced[4].startswith("/subscriptions/sub/resourceGroups/group/providers/")
    assert synced[4].endswith("/sites/app/host/default/sync?api-version=2024-11-01")
    assert created[created.index("--subscription") + 1] == "sub"


def _rebuilder(folder: Path, code: int = 0) -> None:
    """Put a stand-in for `rebuilder` there, which writes down how it is called."""
    program = folder / "rebuilder"
    program.write_text(f'#!/bin/sh\necho "$*" >> {folder}/typed\nexit {code}\n')
    program.chmod(0o755)


def _typed(folder: Path) -> list[str]:
    file = folder / "typed"
    # How many minutes are left is not the test's to know.
    lines = file.read_text().splitlines() if file.exists() else []
    return [re.sub(r" --minutes [0-9.]+", " --minutes N", line) for line in lines]


_PROBE = "--function-app /sites/app probe --minutes N"


@pytest.mark.parametrize(
    ("arguments", "env", "typed"),
    [
        (("--steps", "probe"), {}, _PROBE),
        (("--steps", "wait", "--probe"), {}, _PROBE),
        (("--steps", "wait", "--probe", "mybase"), {}, f"{_PROBE} --base mybase"),
        (("--steps", "wait", "--sample", "myapps"), {}, f"{_PROBE} --sample myapps"),
        (("--azd",), {"ACR_REBUILDER_PROBE": "true"}, _PROBE),
        (
            ("--azd",),
            {"ACR_REBUILDER_PROBE": "mybase", "ACR_REBUILDER_SAMPLE": "myapps"},
            f"{_PROBE} --base mybase --sample myapps",
        ),
    ],
)
def test_a_probe_is_made_where_it_is_asked_for(
    folder: Path, arguments: tuple[str, ...], env: dict[str, str], typed: str
) -> None:
    """By an option, or by azd's environment; it is the last step."""
    _rebuilder(folder)
    done = _run(folder, *DEFAULTS, *arguments, **env)

    assert done.returncode == 0, done.stderr
    assert _typed(folder)[-1] == typed
    steps = re.findall(r"^\[\d+/\d+\] (\w+)$", done.stdout, re.MULTILINE)
    assert steps[-1] == "probe"


@pytest.mark.parametrize("arguments", [("--azd",), ("--steps", "wait,doctor")])
def test_nothing_is_pushed_unasked(folder: Path, arguments: tuple[str, ...]) -> None:
    """And azd's environment is for azd's hook of that name alone."""
    _rebuilder(folder)
    env = {} if "--azd" in arguments else {"ACR_REBUILDER_PROBE": "true"}
    done = _run(folder, *DEFAULTS, *arguments, **env)

    assert done.returncode == 0, done.stderr
    assert _typed(folder) == ["--function-app /sites/app doctor"]


def test_a_probe_that_is_not_seen_is_a_failure(folder: Path) -> None:
    """So is one of which nobody could tell: the command is not there."""
    _rebuilder(folder, code=1)
    done = _run(folder, *DEFAULTS, "--steps", "probe")
    assert done.returncode == 1

    (folder / "rebuilder").unlink()
    tools = folder / "elsewhere" / "tools"
    shutil.copytree(ROOT / "tools", tools, ignore=shutil.ignore_patterns("azurite", "azure-cli"))
    done = subprocess.run(
        [sys.executable, str(tools / "deploy.py"), *DEFAULTS, "--steps", "probe"],
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "rebuilder is not installed here (make env), so nothing is pushed" in done.stderr


def test_missing_functions_are_named(folder: Path) -> None:
    """Nothing is subscribed to a function that did not come."""
    (folder / "functions").write_text('["app/image_pushed"]')
    done = _run(folder, *BY_HAND, "--minutes", "0")

    assert done.returncode == 1
    assert "did not come: not there yet: task_changed" in done.stderr
    assert not (folder / "given").exists()


def test_a_deployment_that_failed_is_told(folder: Path) -> None:
    """Its outputs are empty: the state says why, and what is to be done first."""
    (folder / "properties").write_text('{"provisioningState": "Failed", "outputs": null}')
    done = _run(folder, *BY_HAND)

    assert done.returncode == 1
    assert "acr-rebuilder-one has no outputs, its state is Failed: deploy" in done.stderr


def test_whoever_may_not_sync_triggers_waits_for_the_platform(folder: Path) -> None:
    """It is told, and the functions are waited for all the same."""
    (folder / "refuse-rest---method").write_text("no right")
    done = _run(folder, *BY_HAND)

    assert done.returncode == 0, done.stderr
    assert "triggers were not synced: no right" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--environment", "one"), "say --location"),
        (("--location", "x"), "say --environment"),
        ((*DEFAULTS, "--steps", "fly"), "there is no step fly"),
        ((*DEFAULTS, "--parameters", "none"), "there is no file 'none'"),
    ],
)
def test_what_is_not_said_is_asked_for(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    """Before anything is done."""
    done = _run(folder, *arguments)

    assert done.returncode == 2
    assert said in done.stderr
    assert not (folder / "said").exists()
