"""Roles in ARM, by azure-mgmt-authorization: who is let in, and how that is changed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.models import RoleDefinition
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient

from localcloud.arm.access import action_of
from localcloud.cloud import LocalCloud
from localcloud.directory import Principal
from localcloud.state import Registry
from localcloud.tokens import Credential
from tests import images
from tests.armversions import version_of

ARM = "https://management.azure.com"
SUBSCRIPTION, OTHER = (f"/subscriptions/{name}" for name in images.SUBSCRIPTIONS)
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-myapps"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/myapps"
TASKS = "Container Registry Tasks Contributor"
ROLES = "/providers/Microsoft.Authorization/roleDefinitions"
NOBODY = "00000000-0000-4000-8000-000000000000"
VERSION = {"api-version": "2022-04-01"}

type As = Callable[[Principal], AuthorizationManagementClient]


@pytest.fixture(name="somebody")
def _somebody(still: LocalCloud, apps: Registry) -> Principal:
    """Somebody without any role, in a cloud with a registry that has a task."""
    images.task(apps, "builder", None)
    return still.directory.create("somebody")


@pytest.fixture(name="as_")
def _as(still: LocalCloud) -> Iterator[As]:
    """Give the SDK's client for a principal."""
    with ExitStack() as stack:

        def made_for(principal: Principal) -> AuthorizationManagementClient:
            credential = Credential(still.tokens, principal)
            made: AuthorizationManagementClient = AuthorizationManagementClient(
                credential, images.SUBSCRIPTIONS[0]
            )
            stack.callback(made.close)
            return made

        yield made_for


@pytest.fixture(name="owner")
def _owner(still: LocalCloud, as_: As) -> AuthorizationManagementClient:
    """The client of the developer, who is Owner."""
    return as_(still.developer)


def task_names(cloud: LocalCloud, principal: Principal) -> list[str]:
    """List the tasks as somebody, by the SDK."""
    credential = Credential(cloud.tokens, principal)
    with ContainerRegistryTasksMgmtClient(credential, images.SUBSCRIPTIONS[0]) as client:
        return [str(task.name) for task in client.tasks.list("rg-myapps", "myapps")]


def role_id(client: AuthorizationManagementClient, name: str) -> str:
    """Return a role's id, found by its name."""
    (found,) = client.role_definitions.list(SUBSCRIPTION, filter=f"roleName eq '{name}'")
    return str(found.id)


def give(
    client: AuthorizationManagementClient,
    role: str,
    principal: Principal,
    scope: str,
    name: str = "",
) -> Any:  # noqa: ANN401 - the SDK's models have no types
    """Assign a role by the SDK, as `az role assignment create` does."""
    body: Any = {
        "properties": {
            "roleDefinitionId": role_id(client, role),
            "principalId": principal.object_id,
            "principalType": "ServicePrincipal",
        }
    }
    return client.role_assignments.create(scope, name or str(uuid.uuid4()), body)


def called(principal: Principal) -> str:
    """Return how ARM names a principal."""
    return f"The client '{principal.client_id}' with object id '{principal.object_id}'"


def denial(call: Callable[[], object]) -> tuple[int, str, str]:
    """Return the status, the code and the sentence of an error that the SDK raises."""
    with pytest.raises(HttpResponseError) as raised:
        call()
    error = raised.value.error
    assert error is not None
    return raised.value.status_code or 0, str(error.code), str(error.message)


def test_without_a_role_nothing_is_allowed(still: LocalCloud, somebody: Principal) -> None:
    """403 AuthorizationFailed names client, object, action and scope in Azure's own words."""
    assert denial(lambda: task_names(still, somebody)) == (
        403,
        "AuthorizationFailed",
        (
            f"{called(somebody)} does not have"
            " authorization to perform action 'Microsoft.ContainerRegistry/registries/tasks/read'"
            f" over scope '{REGISTRY}' or the scope is invalid. If access was recently"
            " granted, please refresh your credentials."
        ),
    )


def test_a_person_is_named_by_the_sign_in_name(still: LocalCloud, apps: Registry) -> None:
    """Azure calls an application by its client id and a person by name."""
    del apps
    ada = still.directory.create("ada@contoso.com", kind="User")
    message = denial(lambda: task_names(still, ada))[2]

    assert message.startswith(
        f"The client 'ada@contoso.com' with object id '{ada.object_id}' does not"
    )


@pytest.mark.parametrize("scope", [SUBSCRIPTION, GROUP, REGISTRY])
def test_a_role_counts_from_its_scope_down_and_while_it_is_there(
    still: LocalCloud, owner: AuthorizationManagementClient, somebody: Principal, scope: str
) -> None:
    """What was assigned is allowed at once, and no more once it is deleted."""
    images.registry(still, "other")
    elsewhere = f"{SUBSCRIPTION}/resourceGroups/rg-other"
    give(owner, TASKS, somebody, elsewhere)
    assert denial(lambda: task_names(still, somebody))[0] == 403
    made = give(owner, TASKS, somebody, scope)
    assert task_names(still, somebody) == ["builder"]
    assert made.scope == scope
    owner.role_assignments.delete_by_id(str(made.id))
    assert denial(lambda: task_names(still, somebody))[0] == 403
    with pytest.raises(HttpResponseError) as gone:
        owner.role_assignments.get_by_id(str(made.id))
    assert gone.value.status_code == 404
    owner.role_assignments.delete_by_id(str(made.id))  # once more: 204


def test_an_assignment_is_not_changed_into_another(
    still: LocalCloud, owner: AuthorizationManagementClient, somebody: Principal
) -> None:
    """The same again is no error; neither another principal under its name nor a second one is."""
    name = str(uuid.uuid4())
    first = give(owner, "AcrPull", somebody, REGISTRY, name)
    again = give(owner, "AcrPull", somebody, REGISTRY, name)
    other = still.directory.create("other")

    assert again.id == first.id
    assert denial(lambda: give(owner, "AcrPull", other, REGISTRY, name)) == (
        400,
        "RoleAssignmentUpdateNotPermitted",
        "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
    )
    assert denial(lambda: give(owner, "AcrPull", somebody, GROUP, name))[1] == (
        "RoleAssignmentUpdateNotPermitted"
    )
    assert denial(lambda: give(owner, "AcrPull", somebody, REGISTRY)) == (
        409,
        "RoleAssignmentExists",
        "The role assignment already exists.",
    )
    give(owner, "AcrPush", somebody, REGISTRY)
    assert len(list(owner.role_assignments.list_for_scope(REGISTRY, filter="atScope()"))) == 3


def test_what_cannot_be_assigned(still: LocalCloud, arm: httpx.Client, somebody: Principal) -> None:
    """Unknown principals, roles and scopes are refused, each with its code."""
    role = still.roles.role("AcrPull")
    assert role is not None
    still.roles.assign("Owner", still.developer.object_id, "/")

    def refused(scope: str = REGISTRY, name: str = NOBODY, **changes: str) -> str:
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
        usual = {"roleDefinitionId": f"{ROLES}/{role.id}", "principalId": somebody.object_id}
        answer = arm.put(path, params=VERSION, json={"properties": {**usual, **changes}})
        return f"{answer.status_code} {answer.json()['error']['code']}"

    assert refused(principalId=NOBODY) == "400 PrincipalNotFound"
    assert refused(principalType="User") == "400 UnmatchedPrincipalType"
    assert refused(roleDefinitionId=f"{ROLES}/{NOBODY}") == "404 RoleDefinitionDoesNotExist"
    assert refused(name="mine") == "400 InvalidRoleAssignmentId"
    assert refused(condition="(x)", conditionVersion="2.0") == "400 ConditionNotSupported"
    assert refused(OTHER) == "404 SubscriptionNotFound"
    assert refused(f"{SUBSCRIPTION}/resourceGroups/none") == "404 ResourceGroupNotFound"
    assert refused(f"{REGISTRY}x") == "404 ResourceNotFound"
    assert refused(f"{REGISTRY}/tasks/none") == "404 ResourceNotFound"
    assert refused("/providers/Microsoft.Management/managementGroups/m") == "400 InvalidScope"
    assert [a for a in still.roles.assignments() if a.principal_id == somebody.object_id] == []


def test_a_role_may_be_given_on_a_single_task(
    still: LocalCloud, owner: AuthorizationManagementClient, somebody: Principal
) -> None:
    """A task is a scope of its own: it may be read, its registry's list may not."""
    give(owner, "Reader", somebody, f"{REGISTRY}/tasks/builder")
    credential = Credential(still.tokens, somebody)
    with ContainerRegistryTasksMgmtClient(credential, images.SUBSCRIPTIONS[0]) as client:
        assert client.tasks.get("rg-myapps", "myapps", "builder").name == "builder"
    assert denial(lambda: task_names(still, somebody))[1] == "AuthorizationFailed"


def test_lists_are_filtered_as_azure_does(
    still: LocalCloud, owner: AuthorizationManagementClient, somebody: Principal
) -> None:
    """Without a filter: at, above and below; atScope(): at and above; by principal: only its."""
    other = still.directory.create("other")
    for role, who, scope in (
        ("Reader", somebody, SUBSCRIPTION),
        ("AcrPull", somebody, REGISTRY),
        ("AcrPush", other, GROUP),
    ):
        give(owner, role, who, scope)

    def scopes(scope: str, text: str | None = None) -> list[str]:
        found = owner.role_assignments.list_for_scope(scope, filter=text)
        mine = [a for a in found if a.principal_id != still.developer.object_id]
        return sorted(str(a.scope) for a in mine)

    assert scopes(GROUP) == sorted([SUBSCRIPTION, GROUP, REGISTRY])
    assert scopes(GROUP, "atScope()") == sorted([SUBSCRIPTION, GROUP])
    for text in (f"principalId eq '{somebody.object_id}'", f"assignedTo('{somebody.object_id}')"):
        assert scopes(GROUP, text) == sorted([SUBSCRIPTION, REGISTRY])
        assert scopes(GROUP, f"atScope() and {text}") == [SUBSCRIPTION]
    assert scopes(REGISTRY, f"assignedTo('{other.object_id.upper()}')") == [GROUP]
    assert denial(lambda: scopes(GROUP, "roleName eq 'x'"))[:2] == (400, "UnsupportedQuery")
    whole = owner.role_assignments.list_for_subscription(filter="atScope()")
    assert {a.scope for a in whole} == {SUBSCRIPTION}


def test_who_may_assign_roles(
    owner: AuthorizationManagementClient, as_: As, somebody: Principal
) -> None:
    """A Contributor may not, a User Access Administrator may, each only on its scope."""
    give(owner, "Contributor", somebody, GROUP)
    mine = as_(somebody)
    code = denial(lambda: give(mine, "AcrPull", somebody, REGISTRY))
    assert code[:2] == (403, "AuthorizationFailed")
    give(owner, "Reader", somebody, SUBSCRIPTION)  # to find roles by name
    status, _, message = denial(lambda: give(mine, "AcrPull", somebody, REGISTRY))
    assert status == 403
    assert "perform action 'Microsoft.Authorization/roleAssignments/write' over" in message
    give(owner, "User Access Administrator", somebody, GROUP)
    give(mine, "AcrPull", somebody, REGISTRY)
    assert denial(lambda: give(mine, "AcrPull", somebody, SUBSCRIPTION))[0] == 403


def test_an_assignment_is_reached_by_its_own_scope_only(
    still: LocalCloud, owner: AuthorizationManagementClient, as_: As, somebody: Principal
) -> None:
    """Who may delete assignments in one group cannot name another group's assignment there."""
    images.registry(still, "other")
    other = f"{SUBSCRIPTION}/resourceGroups/rg-other"
    made = give(owner, "AcrPull", somebody, other)
    give(owner, "User Access Administrator", somebody, GROUP)
    as_(somebody).role_assignments.delete(GROUP, str(made.name))

    assert owner.role_assignments.get(other, str(made.name)).scope == other


def custom(*scopes: str, **kinds: list[str]) -> RoleDefinition:
    """Return a custom role; `kinds` are its actions and data actions, in the SDK's names."""
    body: Any = {
        "properties": {
            "roleName": "Image watcher",
            "assignableScopes": list(scopes),
            "permissions": [kinds],
        }
    }
    return RoleDefinition.deserialize(body)


def test_a_custom_role_with_data_actions(
    still: LocalCloud, owner: AuthorizationManagementClient, somebody: Principal
) -> None:
    """Created, assigned, changed and deleted by ARM; each counts in the registry at once."""
    abac = images.registry(still, "abacbase", roleAssignmentMode="AbacRepositoryPermissions")
    key = str(uuid.uuid4())
    data = ["Microsoft.ContainerRegistry/registries/repositories/content/*"]
    made = owner.role_definitions.create_or_update(
        SUBSCRIPTION, key, custom(SUBSCRIPTION, dataActions=data)
    )
    assert made.role_type == "CustomRole"
    assert made.permissions is not None
    assert made.permissions[0].data_actions == data

    def may(action: str) -> bool:
        return still.registry.auth.may(abac, somebody, action)

    assigned = give(owner, "Image watcher", somebody, abac.id)
    assert [may(action) for action in ("pull", "push", "delete")] == [True, True, True]
    changed = custom(SUBSCRIPTION, dataActions=data, notDataActions=[data[0][:-1] + "delete"])
    owner.role_definitions.create_or_update(SUBSCRIPTION, key, changed)
    assert [may(action) for action in ("pull", "push", "delete")] == [True, True, False]
    refused = denial(lambda: owner.role_definitions.delete(SUBSCRIPTION, key))
    assert refused[:2] == (400, "RoleDefinitionHasAssignments")
    twin = denial(
        lambda: owner.role_definitions.create_or_update(
            SUBSCRIPTION, str(uuid.uuid4()), custom(SUBSCRIPTION, actions=["*/read"])
        )
    )
    assert twin[:2] == (409, "RoleDefinitionWithSameNameExists")
    owner.role_assignments.delete_by_id(str(assigned.id))
    assert not may("pull")
    owner.role_definitions.delete(SUBSCRIPTION, key)
    owner.role_definitions.delete(SUBSCRIPTION, key)  # once more: 204
    assert denial(lambda: owner.role_definitions.get(SUBSCRIPTION, key))[0] == 404


def test_custom_roles_stay_where_they_may_be_assigned(
    still: LocalCloud, owner: AuthorizationManagementClient, somebody: Principal
) -> None:
    """Nobody defines a role for a subscription of other people, or changes a built-in one."""
    key = str(uuid.uuid4())
    linked = denial(
        lambda: owner.role_definitions.create_or_update(
            SUBSCRIPTION, key, custom(SUBSCRIPTION, OTHER, actions=["*"])
        )
    )
    assert linked[:2] == (403, "LinkedAuthorizationFailed")
    assert f"on the linked scope(s) '{OTHER}'" in linked[2]
    assert still.roles.role("Image watcher") is None
    images.registry(still, "other")
    group = f"{SUBSCRIPTION}/resourceGroups/rg-other"
    owner.role_definitions.create_or_update(group, key, custom(group, actions=["*/read"]))

    def found(scope: str, text: str | None = None) -> bool:
        return any(r.name == key for r in owner.role_definitions.list(scope, filter=text))

    assert found(group)
    assert not found(SUBSCRIPTION)
    assert found(SUBSCRIPTION, "atScopeAndBelow() and type eq 'CustomRole'")
    assert not found(group, "atScope() and type eq 'BuiltInRole'")
    body: Any = {
        "properties": {"roleDefinitionId": f"{ROLES}/{key}", "principalId": somebody.object_id}
    }
    refused = denial(lambda: owner.role_assignments.create(REGISTRY, str(uuid.uuid4()), body))
    assert refused[0] == 400
    built_in = role_id(owner, "AcrPull").rpartition("/")[2]
    change = denial(
        lambda: owner.role_definitions.create_or_update(
            SUBSCRIPTION, built_in, custom(SUBSCRIPTION, actions=["*"])
        )
    )
    assert change[0] == 400
    assert denial(lambda: owner.role_definitions.delete(SUBSCRIPTION, built_in))[0] == 400
    empty = denial(
        lambda: owner.role_definitions.create_or_update(SUBSCRIPTION, key, custom(SUBSCRIPTION[:0]))
    )
    assert empty[0] in (400, 403)
    odd = denial(lambda: found(SUBSCRIPTION, "permissions eq 1"))
    assert odd[:2] == (400, "InvalidFilter")


def test_lists_show_what_may_be_read(
    still: LocalCloud, apps: Registry, owner: AuthorizationManagementClient, somebody: Principal
) -> None:
    """Who may read one registry sees it, its subscription, and nothing else."""
    images.registry(still, "other")
    images.registry(still, "faraway", 1)
    token = still.tokens.issue(somebody, ARM)
    headers = {"Authorization": f"Bearer {token}"}

    def names(path: str) -> list[str]:
        with still.network.client(base_url=ARM, headers=headers) as client:
            answer = client.get(path, params={"api-version": version_of(path)})
        return [entry["id"] for entry in answer.json()["value"]]

    assert names("/subscriptions") == names(f"{SUBSCRIPTION}/resourceGroups") == []
    give(owner, "Reader", somebody, apps.id)
    credential = Credential(still.tokens, somebody)
    with ContainerRegistryManagementClient(credential, apps.subscription_id) as client:
        assert [registry.name for registry in client.registries.list()] == ["myapps"]
        status = denial(lambda: client.registries.get("rg-other", "other"))[0]
    assert status == 403
    assert names("/subscriptions") == [SUBSCRIPTION]
    assert names(f"{SUBSCRIPTION}/resources") == [apps.id]
    assert names(f"{SUBSCRIPTION}/resourceGroups") == []


def test_roles_go_with_their_resource(
    still: LocalCloud, arm: httpx.Client, owner: AuthorizationManagementClient, somebody: Principal
) -> None:
    """A registry of the same name begins without the roles on the one that was deleted."""
    give(owner, TASKS, somebody, REGISTRY)
    kept = give(owner, "Reader", somebody, GROUP)
    assert arm.delete(REGISTRY).status_code == 202

    mine = [a for a in still.roles.assignments() if a.principal_id == somebody.object_id]
    assert [a.id for a in mine] == [kept.name]
    assert arm.delete(GROUP).status_code == 202
    assert [a for a in still.roles.assignments() if a.principal_id == somebody.object_id] == []


def test_giving_a_task_an_identity_needs_a_role_on_it(
    still: LocalCloud, arm: httpx.Client, owner: AuthorizationManagementClient, somebody: Principal
) -> None:
    """LinkedAuthorizationFailed without assign/action; Managed Identity Operator has it."""
    identity = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller"
    location = {"location": "westeurope"}
    assert arm.put(identity, params={"api-version": "2023-01-31"}, json=location).is_success
    give(owner, TASKS, somebody, REGISTRY)
    credential = Credential(still.tokens, somebody)
    body: Any = {
        **location,
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}},
        "properties": {"step": {"type": "Docker", "dockerFilePath": "Dockerfile"}},
    }
    with ContainerRegistryTasksMgmtClient(credential, images.SUBSCRIPTIONS[0]) as client:
        create = client.tasks.create
        refused = denial(lambda: create("rg-myapps", "myapps", "second", body))
        give(owner, "Managed Identity Operator", somebody, identity)
        made = create("rg-myapps", "myapps", "second", body)

    assert refused == (
        403,
        "LinkedAuthorizationFailed",
        (
            f"{called(somebody)} has permission"
            " to perform action 'Microsoft.ContainerRegistry/registries/tasks/write' on scope"
            f" '{REGISTRY}/tasks/second'; however, it does not have permission to perform action"
            " 'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action' on the linked"
            f" scope(s) '{identity}' or the linked scope(s) are invalid."
        ),
    )
    assert made.identity is not None
    assert list(made.identity.user_assigned_identities or {}) == [identity]


@pytest.mark.parametrize(
    ("method", "path", "action", "scope"),
    [
        ("GET", f"{REGISTRY}/tasks", "registries/tasks/read", REGISTRY),
        ("GET", f"{REGISTRY}/tasks/one", "registries/tasks/read", f"{REGISTRY}/tasks/one"),
        ("PATCH", f"{REGISTRY}/tasks/one", "registries/tasks/write", f"{REGISTRY}/tasks/one"),
        ("DELETE", REGISTRY, "registries/delete", REGISTRY),
        ("POST", f"{REGISTRY}/scheduleRun", "registries/scheduleRun/action", REGISTRY),
        (
            "POST",
            f"{REGISTRY}/runs/ca1/cancel",
            "registries/runs/cancel/action",
            f"{REGISTRY}/runs/ca1",
        ),
        (
            "GET",
            f"{GROUP}/providers/Microsoft.ContainerRegistry/registries",
            "registries/read",
            GROUP,
        ),
    ],
)
def test_a_request_is_an_action_on_a_scope(method: str, path: str, action: str, scope: str) -> None:
    """The action and the scope of a request to ACR are those that Azure's roles name."""
    assert action_of(method, path) == (f"Microsoft.ContainerRegistry/{action}", scope)


def test_actions_outside_of_a_provider() -> None:
    """Groups are resources of Microsoft.Resources; what extends a resource counts last."""
    group = "Microsoft.Resources/subscriptions/resourceGroups"
    extension = f"{REGISTRY}/providers/Microsoft.Authorization/roleAssignments"
    write = "Microsoft.Authorization/roleAssignments/write"

    assert action_of("PUT", GROUP) == (f"{group}/write", GROUP)
    assert action_of("GET", f"{SUBSCRIPTION}/resourceGroups") == (f"{group}/read", SUBSCRIPTION)
    assert action_of("PUT", f"{extension}/1") == (write, f"{extension}/1")
    assert action_of("GET", extension) == (write.replace("/write", "/read"), REGISTRY)
