"""What Tasks must do, through Azure's SDK against the local cloud's ARM."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.mgmt.containerregistrytasks import models

from localcloud.arm import Fault
from localcloud.blobs import Blobs
from localcloud.cloud import LocalCloud
from localcloud.state import Registry
from rebuilder.azure.acr._answers import _step
from rebuilder.azure.acr.tasks import ArmTasks
from rebuilder.azure.identity import credential
from rebuilder.azure.throttle import ArmThrottle as Manners
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import (
    IMAGE_UPDATE,
    MANUAL,
    Argument,
    DockerStep,
    EncodedStep,
    FileStep,
    Kind,
    RunStatus,
    TriggerType,
)
from rebuilder.errors import (
    Denied,
    NotFound,
    OutcomeUnknown,
    RebuilderError,
    Refused,
    Throttled,
    TransientError,
)
from rebuilder.ports.acr import LATELY, TaskPage
from tests import images
from tests.patience import SECONDS

ARM = "https://management.azure.com"
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(name="apps")
def _apps(cloud: LocalCloud) -> Registry:
    return images.task_registry(cloud)


@pytest.fixture(name="tasks")
def _tasks(cloud: LocalCloud) -> Iterator[ArmTasks]:
    del cloud  # its environment is what the credential looks for
    identity = credential("")

    def stopped() -> float:
        return 0.0

    made = ArmTasks(identity, ARM, Manners(clock=stopped), stopped)
    yield made
    made.close()
    getattr(identity, "close")()  # noqa: B009 - not part of the protocol


def ids(apps: Registry, name: str) -> TaskId:
    """Return a task's id."""
    return TaskId(RegistryId.parse(apps.id), name)


def let_look(cloud: LocalCloud, apps: Registry) -> None:
    """Let the function app read the details of tasks, which its own role does not."""
    role = "Container Registry Tasks Contributor"
    cloud.roles.assign(role, cloud.function_app.object_id, apps.id)


def test_a_registry_tells_its_login_server(cloud: LocalCloud, tasks: ArmTasks) -> None:
    """The login server is what ARM says, never made from the name."""
    dnl = images.task_registry(cloud, "contoso", login_server="contoso-a1b2.azurecr.io")

    found = tasks.registry(RegistryId.parse(dnl.id))
    assert found.login_server == "contoso-a1b2.azurecr.io"


def test_an_unknown_registry_is_not_found(tasks: ArmTasks) -> None:
    """What ARM does not know is a permanent error."""
    with pytest.raises(NotFound, match="nothere"):
        tasks.registry(RegistryId("s", "g", "nothere"))


def test_dependencies_are_read_as_acr_records_them(
    apps: Registry, tasks: ArmTasks, caplog: pytest.LogCaptureFixture
) -> None:
    """Pinned, tagged, build-time, doubled, Docker Hub's and unusable records are told apart."""
    images.task(
        apps,
        "builder",
        [
            images.dependency("MyBase.azurecr.io/node:9", DIGEST),
            images.dependency("MyBase.azurecr.io/node:9", DIGEST),
            images.dependency("mybase.azurecr.io/pinned", DIGEST),
            images.dependency("registry.hub.docker.com/library/golang:1", "", "BuildTime"),
            images.dependency("mybase.azurecr.io/Bad Name:1"),
        ],
        trigger={"baseImageTrigger": {"name": "d", "baseImageTriggerType": "Runtime"}},
    )
    with caplog.at_level(logging.WARNING):
        task = tasks.task(ids(apps, "builder"))

    assert task.enabled
    assert task.has_step
    assert task.trigger_type is TriggerType.RUNTIME
    assert [(str(d.reference), d.kind, d.built_on) for d in task.dependencies] == [
        ("mybase.azurecr.io/node:9", Kind.RUNTIME, DIGEST),
        (f"mybase.azurecr.io/pinned@{DIGEST}", Kind.RUNTIME, None),
        ("docker.io/library/golang:1", Kind.BUILD_TIME, None),
    ]
    assert "builder" in caplog.text
    assert "Bad Name" in caplog.text


def test_tasks_without_step_or_trigger(apps: Registry, tasks: ArmTasks) -> None:
    """System tasks, disabled tasks and tasks without a trigger are read without error."""
    images.task(apps, "quicktask", None, step=None, isSystemTask=True)
    images.task(apps, "disabled", [], status="Disabled", trigger=None)
    every = {"baseImageTrigger": {"name": "d", "baseImageTriggerType": "All"}}
    images.task(apps, "every", [], trigger=every)
    found = {task.id.name: task for task in tasks.tasks(RegistryId.parse(apps.id))}

    assert not found["quicktask"].has_step
    assert not found["disabled"].enabled
    assert found["disabled"].trigger_type is None
    assert found["every"].trigger_type is TriggerType.ALL


def test_a_docker_step_is_read_whole(apps: Registry, tasks: ArmTasks) -> None:
    """Context, file, target, names and arguments; a secret's value is not known."""
    made = images.task(apps, "builder", [], platform={"os": "Linux", "architecture": "x86"})
    made.properties["step"] |= {
        "contextPath": "https://github.com/contoso/app.git#main:src",
        "dockerFilePath": "docker/Dockerfile",
        "target": "final",
        "arguments": [
            {"name": "TAG", "value": "9", "isSecret": False},
            {"name": "EMPTY", "value": None},
            {"name": "TOKEN", "value": "hidden", "isSecret": True},
        ],
    }
    task = tasks.task(ids(apps, "builder"))

    assert task.step == DockerStep(
        "https://github.com/contoso/app.git#main:src",
        "docker/Dockerfile",
        "final",
        (Argument("TAG", "9"), Argument("EMPTY", ""), Argument("TOKEN", None)),
        ("builder:{{.Run.ID}}",),
    )
    assert task.platform == "linux/386"


@pytest.mark.parametrize("shown", [True, False])
def test_the_names_of_secret_arguments_are_told(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks, *, shown: bool
) -> None:
    """By listDetails, whether or not the task itself shows them; no value is."""
    cloud.arm.behaviour.shows_secret_arguments = shown
    made = images.task(apps, "builder", None)
    made.properties["step"] = {
        "type": "Docker",
        "dockerFilePath": "Dockerfile",
        "contextPath": "https://github.com/contoso/app.git",
        "arguments": [
            {"name": "TAG", "value": "9", "isSecret": False},
            {"name": "TOKEN", "value": "hidden", "isSecret": True},
        ],
    }
    step = tasks.task(ids(apps, "builder")).step
    assert isinstance(step, DockerStep)
    assert step.arguments == (
        Argument("TAG", "9"),
        *([Argument("TOKEN", None)] if shown else []),
    )
    with pytest.raises(Denied, match="tasks/listDetails/action"):
        tasks.secrets(ids(apps, "builder"))
    let_look(cloud, apps)
    assert tasks.secrets(ids(apps, "builder")) == {"TOKEN"}


def test_a_task_without_a_docker_step_gives_no_build_argument(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks
) -> None:
    """What a task file's values are is not asked for."""
    let_look(cloud, apps)
    images.task(apps, "system", None).properties.pop("step", None)
    assert tasks.secrets(ids(apps, "system")) == frozenset()


def test_steps_with_task_files_are_read_whole(apps: Registry, tasks: ArmTasks) -> None:
    """Both kinds carry their values, and no context where there is none."""
    values = [{"name": "v", "value": "1"}, {"name": "s", "value": "x", "isSecret": True}]
    file = {"type": "FileTask", "taskFilePath": "acb.yaml", "valuesFilePath": "values.yaml"}
    images.task(apps, "filed", []).properties["step"] = {
        **file,
        "contextPath": "https://github.com/contoso/app.git",
        "values": values,
    }
    encoded = {"type": "EncodedTask", "encodedTaskContent": "YTogMQ==", "values": values}
    images.task(
        apps, "encoded", [], platform={"os": "linux", "architecture": "arm", "variant": "v7"}
    ).properties["step"] = encoded
    known = (Argument("v", "1"), Argument("s", None))

    filed, found = tasks.task(ids(apps, "filed")), tasks.task(ids(apps, "encoded"))
    context = "https://github.com/contoso/app.git"
    assert filed.step == FileStep(context, "acb.yaml", "values.yaml", known)
    assert filed.platform == "linux/amd64"
    assert found.step == EncodedStep("", "YTogMQ==", "", known)
    assert found.platform == "linux/arm/v7"


def test_a_step_of_a_kind_that_is_not_known_is_none(apps: Registry, tasks: ArmTasks) -> None:
    """A step type that ACR adds one day is a step, of which nothing is known."""
    images.task(apps, "future", []).properties["step"] = {"type": "Buildpack"}
    task = tasks.task(ids(apps, "future"))

    assert (task.has_step, task.step) == (True, None)


@pytest.mark.parametrize(
    ("trigger", "on"),
    [
        (None, False),
        ({"baseImageTrigger": {"name": "d", "baseImageTriggerType": "All"}}, True),
        ({"baseImageTrigger": {"baseImageTriggerType": "All", "status": "Enabled"}}, True),
        ({"baseImageTrigger": {"baseImageTriggerType": "All", "status": "Disabled"}}, False),
    ],
)
def test_acrs_own_trigger_is_on_or_off(
    apps: Registry, tasks: ArmTasks, trigger: dict[str, Any] | None, *, on: bool
) -> None:
    """A base image trigger is on unless there is none or its status says otherwise."""
    images.task(apps, "builder", [], trigger=trigger)

    assert tasks.task(ids(apps, "builder")).native_trigger is on


_TIMER = {"name": "t", "schedule": "0 4 * * *"}
_COMMIT = {
    "name": "c",
    "sourceTriggerEvents": ["commit"],
    "sourceRepository": {"repositoryUrl": "https://github.com/o/r", "sourceControlType": "Github"},
}
_BASE_IMAGE = {"name": "d", "baseImageTriggerType": "All"}


@pytest.mark.parametrize(
    ("trigger", "on"),
    [
        (None, False),
        ({"baseImageTrigger": _BASE_IMAGE}, False),
        ({"timerTriggers": [_TIMER]}, True),
        ({"timerTriggers": [_TIMER | {"status": "Disabled"}]}, False),
        ({"sourceTriggers": [_COMMIT | {"status": "Enabled"}], "timerTriggers": []}, True),
    ],
)
def test_commits_and_timers_start_a_task_or_do_not(
    apps: Registry, tasks: ArmTasks, trigger: dict[str, Any] | None, *, on: bool
) -> None:
    """Each such trigger is on unless its status says otherwise."""
    images.task(apps, "builder", [], trigger=trigger)

    assert tasks.task(ids(apps, "builder")).other_triggers is on


def test_listing_asks_for_dependencies_that_it_leaves_out(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks
) -> None:
    """Whether the list carries dependencies or not, over several pages, the result is the same."""
    for number in range(5):
        images.task(apps, f"task{number}", [images.dependency(f"b.azurecr.io/i:{number}")])
    cloud.arm.behaviour.page_size = 2
    registry = RegistryId.parse(apps.id)
    with_list = list(tasks.tasks(registry))
    cloud.arm.behaviour.list_has_dependencies = False
    with_get = list(tasks.tasks(registry))

    assert [task.id.name for task in with_list] == [f"task{number}" for number in range(5)]
    assert with_get == with_list


def test_a_scheduled_run_carries_the_token_and_nothing_else(
    apps: Registry, tasks: ArmTasks
) -> None:
    """The run is the task's own: only our token is overridden."""
    images.task(apps, "builder", [])
    run_id = tasks.schedule(ids(apps, "builder"), "dG9rZW4=")

    request = apps.runs[run_id].request
    assert request["taskId"] == f"{apps.id}/tasks/builder"
    assert request["overrideTaskStepProperties"] == {"updateTriggerToken": "dG9rZW4="}
    assert tasks.run(RegistryId.parse(apps.id), run_id).token == "dG9rZW4="


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("POST", "scheduleRun", 500, times=9), OutcomeUnknown),
        (Fault("POST", "scheduleRun", 503, headers={"Retry-After": "0"}, times=9), OutcomeUnknown),
        (Fault("POST", "scheduleRun", 429, headers={"Retry-After": "7"}, times=9), Throttled),
        (Fault("POST", "scheduleRun", 0, times=9), OutcomeUnknown),
        (Fault("POST", "scheduleRun", 0, after=True, times=9), OutcomeUnknown),
        (Fault("POST", "scheduleRun", 400, "TasksOperationsNotAllowed", times=9), Refused),
        (Fault("POST", "scheduleRun", 403, "AuthorizationFailed", times=9), Denied),
        (Fault("POST", "scheduleRun", 404, "ResourceNotFound", times=9), NotFound),
    ],
)
def test_a_run_is_asked_for_once_whatever_happens(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks, fault: Fault, error: type[RebuilderError]
) -> None:
    """The SDK must not send scheduleRun again; each end has its own error."""
    images.task(apps, "builder", [])
    cloud.arm.faults.append(fault)
    with pytest.raises(error) as raised:
        tasks.schedule(ids(apps, "builder"), "dG9rZW4=")

    posts = [path for method, path in cloud.arm.requests if method == "POST"]
    assert len(posts) == 1
    assert len(apps.runs) == (1 if fault.after else 0)
    if isinstance(raised.value, Throttled):
        assert raised.value.retry_after == timedelta(seconds=7)
    if isinstance(raised.value, Refused):
        assert raised.value.code == "TasksOperationsNotAllowed"


def test_a_run_is_not_asked_for_too_late(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a token or a place took so long that the lease may be over, nothing is sent."""
    images.task(apps, "builder", [])
    monkeypatch.setattr("rebuilder.azure.acr.tasks._HURRY_SECONDS", -1.0)
    with pytest.raises(TransientError, match=r"builder: not sent") as raised:
        tasks.schedule(ids(apps, "builder"), "dG9rZW4=")

    assert not isinstance(raised.value, OutcomeUnknown)
    assert not [path for method, path in cloud.arm.requests if method == "POST"]


def test_the_end_of_a_log_is_read(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks, caplog: pytest.LogCaptureFixture
) -> None:
    """By the address that ARM gives; neither that nor its signature is logged."""
    images.task(apps, "builder", [])
    run_id = tasks.schedule(ids(apps, "builder"), "dG9rZW4=")
    assert cloud.wait_idle(SECONDS)
    with caplog.at_level(logging.DEBUG):
        text = tasks.log_end(RegistryId.parse(apps.id), run_id)

    assert text.splitlines()[0].endswith("Downloading source code...")
    assert f"Run ID: {run_id} failed after" in text.splitlines()[-1]
    ours = [record for record in caplog.records if not record.name.startswith("uvicorn")]
    assert ours
    assert not any("sig=" in record.getMessage() for record in ours)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("POST", "listLogSasUrl", 403, "AuthorizationFailed", times=9), Denied),
        (Fault("POST", "listLogSasUrl", 404, "ResourceNotFound", times=9), NotFound),
        (Fault("POST", "listLogSasUrl", 503, times=9), TransientError),
        (Fault("POST", "listLogSasUrl", 429, headers={"Retry-After": "7"}, times=9), Throttled),
    ],
)
def test_a_log_that_cannot_be_read(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks, fault: Fault, error: type[RebuilderError]
) -> None:
    """Each refusal has its own error, as everything that ARM is asked."""
    images.task(apps, "builder", [])
    run_id = tasks.schedule(ids(apps, "builder"), "dG9rZW4=")
    assert cloud.wait_idle(SECONDS)
    cloud.arm.faults.append(fault)
    with pytest.raises(error):
        tasks.log_end(RegistryId.parse(apps.id), run_id)


def test_a_run_without_a_log_is_said(
    apps: Registry, tasks: ArmTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ARM names no address then."""
    monkeypatch.setattr(Blobs, "share", lambda *_: None)
    images.task(apps, "builder", [])
    run_id = tasks.schedule(ids(apps, "builder"), "dG9rZW4=")
    with pytest.raises(NotFound, match="there is none"):
        tasks.log_end(RegistryId.parse(apps.id), run_id)


def test_a_throttled_read_is_not_repeated(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks
) -> None:
    """ARM's time to wait is the caller's; until it is over, no other read of it is sent."""
    images.task(apps, "builder", [])
    cloud.arm.faults.append(Fault("GET", "tasks/builder", 429, headers={"Retry-After": "7"}))
    with pytest.raises(Throttled) as raised:
        tasks.task(ids(apps, "builder"))
    assert raised.value.retry_after == timedelta(seconds=7)
    with pytest.raises(Throttled, match="ARM asked to wait"):
        tasks.runs(RegistryId.parse(apps.id), top=1)

    assert len([path for method, path in cloud.arm.requests if method == "GET"]) == 1


@pytest.mark.parametrize(
    ("headers", "requests"), [({}, 3), ({"Retry-After": "0"}, 1), ({"Retry-After": "60"}, 1)]
)
def test_a_read_that_fails_is_repeated_twice_and_soon(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks, headers: dict[str, str], requests: int
) -> None:
    """Longer waits are not slept through with a thread: the message waits in its queue."""
    images.task(apps, "builder", [])
    cloud.arm.faults.append(Fault("GET", "tasks/builder", 503, headers=headers, times=9))
    with pytest.raises(TransientError):
        tasks.task(ids(apps, "builder"))

    assert len([path for method, path in cloud.arm.requests if method == "GET"]) == requests


def test_many_looks_at_runs_are_few_requests(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks
) -> None:
    """The list of runs answers for all that it holds, as reading each would."""
    images.task(apps, "builder", [])
    started = [tasks.schedule(ids(apps, "builder"), "dG9rZW4=") for _ in range(40)]
    assert cloud.wait_idle(SECONDS)
    cloud.arm.behaviour.page_size = 20
    registry = RegistryId.parse(apps.id)
    cloud.arm.requests.clear()

    looked = [tasks.run(registry, run_id) for run_id in started]
    assert [run.run_id for run in looked] == started
    assert {run.status for run in looked} == {RunStatus.FAILED}
    assert len(cloud.arm.requests) <= 6
    with pytest.raises(NotFound):
        tasks.run(registry, "nothere")


def test_many_tasks_that_are_due_together_are_few_requests(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks
) -> None:
    """The list of tasks tells what reading each would, but for those that cannot be read."""
    names = [f"task{number}" for number in range(40)]
    for number, name in enumerate(names):
        images.task(apps, name, [images.dependency(f"b.azurecr.io/i:{number}")])
    images.task(apps, "bad", []).properties["platform"] = "linux"
    cloud.arm.behaviour.page_size = 20
    alone = {name: tasks.task(ids(apps, name)) for name in names}
    cloud.arm.requests.clear()

    assert {name: tasks.task(ids(apps, name), LATELY) for name in names} == alone
    assert len(cloud.arm.requests) <= 8
    with pytest.raises(TransientError, match=r"read .*/tasks/bad: the answer is not one of Azure"):
        tasks.task(ids(apps, "bad"), LATELY)
    with pytest.raises(NotFound):
        tasks.task(ids(apps, "nothere"), LATELY)


def test_what_may_not_be_old_is_never_off_a_list(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks
) -> None:
    """Whoever says so is told what ARM says now, though a list was just read."""
    for number in range(20):
        images.task(apps, f"task{number}", [images.dependency("b.azurecr.io/i:1")])
    for number in range(20):
        tasks.task(ids(apps, f"task{number}"), LATELY)
    apps.tasks["task19"].properties["status"] = "Disabled"

    assert tasks.task(ids(apps, "task19"), LATELY).enabled
    assert not tasks.task(ids(apps, "task19")).enabled
    assert [path for _, path in cloud.arm.requests if path.endswith("/tasks")] != []


def test_a_list_that_fails_keeps_no_task_from_being_read(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks
) -> None:
    """Each is read by itself then; the list is left alone for a while."""
    for number in range(20):
        images.task(apps, f"task{number}", [images.dependency("b.azurecr.io/i:1")])
    cloud.arm.faults.append(Fault("GET", "/tasks$", 503, times=3))

    found = [tasks.task(ids(apps, f"task{number}"), LATELY) for number in range(20)]
    assert [task.id.name for task in found] == [f"task{number}" for number in range(20)]
    assert len([path for _, path in cloud.arm.requests if path.endswith("/tasks")]) == 3


def test_without_a_connection_nothing_was_started(
    apps: Registry, tasks: ArmTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that never left is transient, and its end is known."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with pytest.raises(TransientError) as raised:
        tasks.schedule(ids(apps, "builder"), "dG9rZW4=")

    assert not isinstance(raised.value, OutcomeUnknown)


def run_properties(**more: object) -> dict[str, Any]:
    """Return what ARM tells of a run that succeeded."""
    return {
        "status": "Succeeded",
        "task": "builder",
        "platform": {"os": "linux"},
        "createTime": "2026-01-02T03:04:05.0000000Z",
        **more,
    }


@pytest.mark.parametrize(
    ("properties", "trigger"),
    [
        ({"sourceTrigger": {"eventType": "Commit"}}, "Commit"),
        ({"timerTrigger": {"timerTriggerName": "t"}}, "Timer"),
        ({"imageUpdateTrigger": {"id": "1"}}, IMAGE_UPDATE),
        ({}, MANUAL),
    ],
)
def test_triggers_are_named_as_the_azure_cli_does(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks, properties: dict[str, Any], trigger: str
) -> None:
    """What started a run is told in the CLI's words."""
    images.task(apps, "builder", [])
    run_id = tasks.schedule(ids(apps, "builder"), "dG9rZW4=")
    assert cloud.wait_idle(SECONDS)
    apps.runs[run_id].properties = {"runId": run_id, **run_properties(**properties)}

    assert tasks.run(RegistryId.parse(apps.id), run_id).trigger == trigger


def test_runs_are_filtered_and_cut(cloud: LocalCloud, apps: Registry, tasks: ArmTasks) -> None:
    """The newest runs of one task come first, over pages, and no more than asked for."""
    for name in ("first", "second"):
        images.task(apps, name, [])
    started = [tasks.schedule(ids(apps, name), "dG9rZW4=") for name in ("first", "second") * 3]
    assert cloud.wait_idle(SECONDS)
    output = {"registry": "r.io", "repository": "a", "tag": "1", "digest": DIGEST}
    apps.runs[started[0]].properties["outputImages"] = [output]
    apps.runs[started[0]].told = "boom"
    cloud.arm.behaviour.page_size = 2
    registry = RegistryId.parse(apps.id)

    every = tasks.runs(registry, top=4)
    of_first = tasks.runs(registry, task="first", top=9)
    assert [run.run_id for run in every] == started[:-5:-1]
    assert [run.run_id for run in of_first] == [started[4], started[2], started[0]]
    assert of_first[-1].output_images == (f"r.io/a:1@{DIGEST}",)
    assert of_first[-1].error == "boom"
    assert {run.status for run in every} == {RunStatus.FAILED}
    assert {run.platform for run in every} == {"Linux"}


@pytest.mark.parametrize("mind_case", [True, False])
def test_runs_of_a_task_are_found_in_any_case(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks, *, mind_case: bool
) -> None:
    """Whether ARM's filter minds the case of a task's name or not, its runs are found."""
    images.task(apps, "Build-App", [])
    images.task(apps, "build-other", [])
    started = [tasks.schedule(ids(apps, name), "dA==") for name in ("build-app", "build-other")]
    assert cloud.wait_idle(SECONDS)
    cloud.arm.behaviour.filters_mind_case = mind_case
    found = tasks.runs(RegistryId.parse(apps.id), task="build-app", top=5)

    assert [run.run_id for run in found] == started[:1]


class NoCredential:
    """A credential that finds none."""

    def get_token(self, *_: str, **__: object) -> AccessToken:
        """Raise what azure-identity raises."""
        raise ClientAuthenticationError("nobody is logged in\nsecond line with details")


def test_a_missing_credential_says_what_to_do(apps: Registry) -> None:
    """Without a token the error names the way out, on one line; it may be there the next time."""
    tasks = ArmTasks(NoCredential(), ARM)
    with pytest.raises(TransientError, match="az login") as raised:
        tasks.task(ids(apps, "builder"))

    assert "second line" not in str(raised.value)
    tasks.close()


@pytest.mark.parametrize(
    ("variable", "kind"),
    [
        ("IDENTITY_ENDPOINT", "ManagedIdentityCredential"),
        ("MSI_ENDPOINT", "ManagedIdentityCredential"),
        ("", "DefaultAzureCredential"),
    ],
)
def test_the_identity_fits_the_place(variable: str, kind: str) -> None:
    """Where Azure offers a managed identity it is used, else the developer's own."""
    made = credential("", {variable: "http://127.0.0.1:1"})

    assert type(made).__name__ == kind
    getattr(made, "close")()  # noqa: B009 - not part of the protocol


def test_a_federated_identity_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Kubernetes the workload identity is taken."""
    env = {"AZURE_FEDERATED_TOKEN_FILE": "/token", "AZURE_TENANT_ID": "t"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    assert type(credential("client", env)).__name__ == "WorkloadIdentityCredential"


def test_a_page_tells_where_the_next_one_is(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks
) -> None:
    """Pages hold every task once; tasks that the list does not describe are named for reading."""
    for number in range(5):
        images.task(apps, f"task{number}", [images.dependency(f"b.azurecr.io/i:{number}")])
    cloud.arm.behaviour.page_size = 2
    registry = RegistryId.parse(apps.id)

    def pages() -> list[TaskPage]:
        found = [tasks.page(registry)]
        while found[-1].after is not None:
            found.append(tasks.page(registry, found[-1].after))
        return found

    whole = pages()
    assert [len(page.tasks) for page in whole] == [2, 2, 1]
    assert [task for page in whole for task in page.tasks] == list(tasks.tasks(registry))
    assert not any(page.brief for page in whole)
    cloud.arm.behaviour.list_has_dependencies = False
    brief = [task.name for page in pages() for task in page.brief]
    assert brief == [f"task{number}" for number in range(5)]


@pytest.mark.parametrize("brief", [False, True])
def test_a_page_tells_when_tasks_were_written(
    cloud: LocalCloud, apps: Registry, tasks: ArmTasks, *, brief: bool
) -> None:
    """As far as ARM tells, of tasks that the list does not describe as well."""
    cloud.arm.behaviour.list_has_dependencies = not brief
    for name in ("told", "silent"):
        images.task(apps, name, [images.dependency("b.azurecr.io/i:1")])
    apps.tasks["told"].modified = "2026-10-11T12:13:14.1234567+00:00"
    page = tasks.page(RegistryId.parse(apps.id))

    assert {task.name: time for task, time in page.written.items()} == {
        "told": datetime(2026, 10, 11, 12, 13, 14, 123456, UTC)
    }


def test_an_empty_registry_has_one_page(apps: Registry, tasks: ArmTasks) -> None:
    """No task is no error."""
    assert tasks.page(RegistryId.parse(apps.id)) == TaskPage(())


def test_a_place_that_is_not_in_arm_is_not_asked(apps: Registry, tasks: ArmTasks) -> None:
    """A stored place that was tampered with does not send the token elsewhere."""
    with pytest.raises(Refused, match=r"evil\.example is not ARM"):
        tasks.page(RegistryId.parse(apps.id), "https://evil.example/subscriptions/?$skipToken=x")


@pytest.mark.parametrize(
    "changes",
    [
        {"platform": "linux"},
        {"trigger": {"baseImageTrigger": "x"}},
        {"step": {"type": "Docker", "imageNames": 5, "baseImageDependencies": []}},
        {"step": {"type": "Docker", "baseImageDependencies": 7}},
    ],
)
def test_a_task_that_cannot_be_read_hides_no_other(
    apps: Registry, tasks: ArmTasks, changes: dict[str, object]
) -> None:
    """Of a list it is left to be read by itself, and then it fails by itself."""
    for name in ("alpha", "bad", "zulu"):
        images.task(apps, name, [])
    apps.tasks["bad"].properties |= changes
    page = tasks.page(RegistryId.parse(apps.id))

    assert [task.id.name for task in page.tasks] == ["alpha", "zulu"]
    assert page.brief == (ids(apps, "bad"),)
    with pytest.raises(TransientError, match=r"read .*/tasks/bad: the answer is not one of Azure"):
        tasks.task(ids(apps, "bad"))


def test_a_list_of_what_has_no_names_is_no_list(apps: Registry, tasks: ArmTasks) -> None:
    """A task that is missing from a list is taken for gone, so no list is read in part."""
    images.task(apps, "alpha", [])
    apps.tasks["bad"] = images.task(apps, "bad", [])
    apps.tasks["bad"].name = ""
    with pytest.raises(TransientError, match="the answer is not one of Azure"):
        tasks.page(RegistryId.parse(apps.id))


def test_half_a_character_in_a_task_can_be_kept() -> None:
    """No store takes it, and no address and no file has it: it becomes a question mark."""
    half = "\ud800"
    step = models.DockerBuildStep(
        context_path=f"https://github.com/a/{half}.git",
        docker_file_path=half,
        target=half,
        arguments=[models.Argument(name=half, value=half)],
        image_names=[half],
    )

    assert _step(step) == DockerStep(
        "https://github.com/a/?.git", "?", "?", (Argument("?", "?"),), ("?",)
    )


@pytest.mark.parametrize("place", ["https://[x/", "https://u@management.azure.com/x"])
def test_a_place_that_is_no_address_is_not_asked(
    apps: Registry, tasks: ArmTasks, place: str
) -> None:
    """Nor one with a name before the host, or another port."""
    with pytest.raises(Refused, match="is not ARM"):
        tasks.page(RegistryId.parse(apps.id), place)


@pytest.mark.parametrize("pool", ["", "pool1"])
def test_the_agent_pool_of_a_task(apps: Registry, tasks: ArmTasks, pool: str) -> None:
    """Most have none."""
    made = images.task(apps, "build-app", [], **({"agentPoolName": pool} if pool else {}))
    assert tasks.task(TaskId(RegistryId.parse(apps.id), made.name)).agent_pool == pool


@pytest.mark.parametrize(
    ("source", "signs_in"),
    [({"identity": "[system]"}, True), ({"loginMode": "Default"}, False), (None, False)],
)
def test_whether_a_task_signs_in_to_its_own_registry(
    apps: Registry, tasks: ArmTasks, source: dict[str, str] | None, *, signs_in: bool
) -> None:
    """As an identity of its own, and not by the registry's leave."""
    given = {} if source is None else {"credentials": {"sourceRegistry": source}}
    made = images.task(apps, "build-app", [], **given)
    found = tasks.task(TaskId(RegistryId.parse(apps.id), made.name))

    assert found.own_sign_in is signs_in
