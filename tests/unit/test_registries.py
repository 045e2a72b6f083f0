from __future__ import annotations

import pytest

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.errors import InvalidResourceId

REGISTRY = (
    "/subscriptions/Faa080af/resourceGroups/Base-RG"
    "/providers/Microsoft.ContainerRegistry/registries/MyBase"
)


def test_case_does_not_matter() -> None:
    """Two spellings of a resource id are one registry."""
    assert RegistryId.parse(REGISTRY) == RegistryId.parse(REGISTRY.upper() + "/")
    assert str(RegistryId.parse(REGISTRY)) == REGISTRY.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mybase.azurecr.io",
        "/subscriptions/s/resourceGroups/g",
        REGISTRY.replace("ContainerRegistry", "Storage"),
        REGISTRY + "/tasks/build",
        REGISTRY + "-x",
    ],
)
def test_other_ids_are_refused(text: str) -> None:
    """What is not a registry's id is refused, and the error shows the form."""
    with pytest.raises(InvalidResourceId, match="subscriptions/SUBSCRIPTION"):
        RegistryId.parse(text)


def test_a_connected_registry_is_its_cloud_registry() -> None:
    """An event of a connected registry names the cloud registry."""
    source = REGISTRY.lower() + "/connectedRegistries/edge1"

    assert RegistryId.parse_source(source) == RegistryId.parse(REGISTRY)
    assert RegistryId.parse_source(REGISTRY) == RegistryId.parse(REGISTRY)


@pytest.mark.parametrize(
    "rest", ["/webhooks/x", "/connectedRegistries", "/connectedRegistries/a/b"]
)
def test_other_children_are_no_source(rest: str) -> None:
    """Only connected registries may follow a registry's id in a source."""
    with pytest.raises(InvalidResourceId):
        RegistryId.parse_source(REGISTRY + rest)


def test_task_ids() -> None:
    """A task is known by its registry and name, in any case."""
    task = TaskId.parse(REGISTRY + "/tasks/Build_App-1")

    assert task == TaskId(RegistryId.parse(REGISTRY), "build_app-1")
    assert TaskId.parse(str(task)) == task


@pytest.mark.parametrize(
    "text", [REGISTRY, REGISTRY + "/tasks/", REGISTRY + "/tasks/a b", "x/tasks/y"]
)
def test_other_ids_are_no_tasks(text: str) -> None:
    """What is not a task's id is refused."""
    with pytest.raises(InvalidResourceId):
        TaskId.parse(text)
