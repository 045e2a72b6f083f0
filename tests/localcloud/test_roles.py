"""Roles: what a definition allows, where an assignment holds."""

from __future__ import annotations

import pytest

from localcloud.roles import BUILT_IN, Assignment, Permission, Role, Roles, covers

ACR = "Microsoft.ContainerRegistry/registries"
IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
SUBSCRIPTION = "/subscriptions/1111"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg"
REGISTRY = f"{GROUP}/providers/{ACR}/mybase"
TASK = f"{REGISTRY}/tasks/one"


def roles_with(role: str, scope: str = REGISTRY) -> Roles:
    """Return roles of which somebody has one."""
    roles = Roles()
    roles.assign(role, "somebody", scope)
    return roles


@pytest.mark.parametrize(
    ("name", "guid"),
    [
        ("AcrPull", "7f951dda-4ed3-4680-a7ca-43fe172d538d"),
        ("AcrPush", "8311e382-0749-4cb8-b61a-304f252e45ec"),
        ("AcrDelete", "c2f4ef07-c644-48eb-af81-4b1b4947fb11"),
        ("Reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7"),
        ("Contributor", "b24988ac-6180-42a0-ab88-20f7382dd24c"),
        ("Container Registry Tasks Contributor", "fb382eab-e894-4461-af04-94435c366c3f"),
        ("Container Registry Repository Reader", "b93aa761-3e63-49ed-ac28-beffa264f7ac"),
        ("Container Registry Repository Writer", "2a1e307c-b015-4ebd-883e-5b7698a07328"),
        ("Container Registry Repository Contributor", "2efddaa5-3f1f-4df3-97df-af3f13818f4c"),
        ("Container Registry Repository Catalog Lister", "bfdb9389-c9a5-478a-bb2f-ba9ca092c3c7"),
        (
            "Container Registry Data Importer and Data Reader",
            "577a9874-89fd-4f24-9dbd-b5034d0ad23a",
        ),
    ],
)
def test_built_in_roles_have_azures_ids(name: str, guid: str) -> None:
    """A role is found by its name in any case, and has the GUID that it has on Azure."""
    found = Roles().role(name.upper())

    assert found is not None
    assert (found.id, found.name, found.built_in) == (guid, name, True)
    assert Roles().role(guid) == found


def test_names_and_ids_are_unique() -> None:
    """No two built-in roles share a GUID or a name."""
    assert len({role.id for role in BUILT_IN}) == len({role.name for role in BUILT_IN})
    assert len({role.id for role in BUILT_IN}) == len(BUILT_IN)


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        ("Owner", "Microsoft.Authorization/roleAssignments/write", True),
        ("Contributor", f"{ACR}/tasks/write", True),
        ("Contributor", "Microsoft.Authorization/roleAssignments/read", True),
        ("Contributor", "microsoft.authorization/ROLEASSIGNMENTS/write", False),
        ("Contributor", "Microsoft.Authorization/roleDefinitions/delete", False),
        ("User Access Administrator", "Microsoft.Authorization/roleAssignments/write", True),
        ("User Access Administrator", f"{ACR}/tasks/write", False),
        ("Reader", f"{ACR}/tasks/read", True),
        ("Reader", f"{ACR}/pull/read", True),
        ("Reader", f"{ACR}/scheduleRun/action", False),
        ("Reader", f"{ACR}/runs/listLogSasUrl/action", False),
        ("AcrPull", f"{ACR}/pull/read", True),
        ("AcrPull", f"{ACR}/read", False),
        ("AcrPull", f"{ACR}/push/write", False),
        ("AcrPush", f"{ACR}/pull/read", True),
        ("AcrPush", f"{ACR}/push/write", True),
        ("AcrPush", f"{ACR}/artifacts/delete", False),
        ("AcrDelete", f"{ACR}/artifacts/delete", True),
        ("AcrDelete", f"{ACR}/pull/read", False),
        ("Managed Identity Operator", f"{IDENTITIES}/assign/action", True),
        ("Managed Identity Operator", f"{IDENTITIES}/write", False),
        ("Container Registry Tasks Contributor", f"{ACR}/scheduleRun/action", True),
        ("Container Registry Tasks Contributor", f"{ACR}/tasks/listDetails/action", True),
        ("Container Registry Tasks Contributor", f"{ACR}/write", False),
        ("Container Registry Tasks Contributor", f"{ACR}/pull/read", False),
    ],
)
def test_built_in_roles_allow_what_they_allow_on_azure(
    role: str, action: str, *, allowed: bool
) -> None:
    """Actions match in any case, wildcards stand for anything, and notActions take away."""
    assert roles_with(role).allows("somebody", action, REGISTRY) is allowed


@pytest.mark.parametrize(
    ("role", "granted"),
    [
        ("Owner", ""),
        ("Contributor", ""),
        ("Reader", ""),
        ("AcrPull", ""),
        ("Container Registry Repository Reader", "content/read metadata/read"),
        (
            "Container Registry Repository Writer",
            "content/read content/write metadata/read metadata/write",
        ),
        (
            "Container Registry Repository Contributor",
            (
                "content/delete content/read content/write metadata/delete metadata/read"
                " metadata/write"
            ),
        ),
        ("Container Registry Repository Catalog Lister", ""),
    ],
)
def test_data_actions_are_apart_from_actions(role: str, granted: str) -> None:
    """Not even Owner's `*` is a data action; each repository role has those of its name."""
    roles = roles_with(role)
    asked = [f"{part}/{verb}" for part in ("content", "metadata") for verb in _VERBS]
    found = [
        action
        for action in asked
        if roles.allows("somebody", f"{ACR}/repositories/{action}", REGISTRY, data=True)
    ]

    assert sorted(found) == granted.split()
    lister = roles.allows("somebody", f"{ACR}/catalog/read", REGISTRY, data=True)
    assert lister == role.endswith("Lister")


_VERBS = ("read", "write", "delete")


@pytest.mark.parametrize(
    ("scope", "holds"),
    [
        ("/", True),
        (SUBSCRIPTION, True),
        (SUBSCRIPTION.upper() + "/", True),
        (GROUP, True),
        (REGISTRY, True),
        (TASK, False),
        ("/subscriptions/111", False),
        (f"{SUBSCRIPTION}/resourceGroups/r", False),
        (f"{SUBSCRIPTION}/resourceGroups/rg2", False),
        (f"{REGISTRY}2", False),
    ],
)
def test_assignments_are_inherited_downwards_only(scope: str, *, holds: bool) -> None:
    """A role counts on its scope and below it, not on what merely begins with the same letters."""
    assert roles_with("Reader", scope).allows("somebody", f"{ACR}/read", REGISTRY) is holds
    assert covers(scope, REGISTRY) is holds


def test_what_one_role_takes_away_another_may_give() -> None:
    """NotActions are no denial: roles add up."""
    roles = roles_with("Contributor")
    write = "Microsoft.Authorization/roleAssignments/write"
    assert not roles.allows("somebody", write, REGISTRY)
    roles.assign("User Access Administrator", "somebody", GROUP)
    assert roles.allows("somebody", write, REGISTRY)
    assert not roles.allows("other", write, REGISTRY)


def test_data_actions_may_have_wildcards_and_exceptions() -> None:
    """A custom role's dataActions and notDataActions work like its actions."""
    roles = Roles()
    given = Permission(
        data_actions=(f"{ACR}/repositories/*",),
        not_data_actions=(f"{ACR}/repositories/*/delete",),
    )
    roles.define(Role("custom", "Custom", "", (given,), built_in=False))
    roles.put(Assignment("a", "custom", "somebody", "User", SUBSCRIPTION))

    def may(action: str) -> bool:
        return roles.allows("somebody", f"{ACR}/repositories/{action}", REGISTRY, data=True)

    assert may("content/write")
    assert not may("content/delete")
    assert not roles.allows("somebody", f"{ACR}/repositories/content/write", REGISTRY)
    roles.forget("custom")
    assert not may("content/write")


def test_what_is_revoked_counts_no_more() -> None:
    """Revoking an assignment, or deleting the resource that it is on, takes effect at once."""
    roles = Roles()
    one = roles.assign("AcrPull", "somebody", REGISTRY)
    two = roles.assign("AcrPull", "somebody", GROUP)
    pull = f"{ACR}/pull/read"
    assert roles.revoke(two.id) == two
    assert roles.revoke(two.id) is None
    assert roles.allows("somebody", pull, REGISTRY)
    roles.forget_scope(f"{REGISTRY}2")
    assert roles.assignments() == [one]
    roles.forget_scope(GROUP)
    assert not roles.allows("somebody", pull, REGISTRY)
    assert roles.assignments() == []


def test_only_known_roles_are_assigned() -> None:
    """An unknown role's name is an error."""
    with pytest.raises(ValueError, match="no role Puller"):
        Roles().assign("Puller", "somebody", REGISTRY)
