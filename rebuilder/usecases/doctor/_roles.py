"""Whose roles are looked at, and which are missing on registries."""

from __future__ import annotations

from collections.abc import Iterator

from rebuilder.core import doctor
from rebuilder.core.acr.access import (
    BASE_ADVICE,
    READ_LOG,
    READ_REGISTRY,
    TASK_ACTIONS,
    may_pull,
    missing,
)
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.doctor import Unchecked
from rebuilder.usecases.doctor._known import READ_ROLES, Check, Known, Result


def identity_of(known: Known, identity: str) -> tuple[str, list[Result]]:
    """Return whose roles are looked at, by object id; "" and why, if that is not known."""
    if identity:
        for site in known.sites.values():
            for client, principal in site.principals:
                if client and client.lower() == identity.lower():
                    return principal, []
        return known.preflight.principal(identity), []
    if not known.site:
        return "", []
    app = known.sites.get(known.site.lower())
    held = dict(app.principals) if app else {}
    fallback = next(iter(held.values())) if len(held) == 1 else ""
    if principal := held.get(known.context.settings.client_id, fallback):
        return principal, []
    reason = "the function app could not be asked for its identity"
    return "", [Unchecked("the function app's roles", reason, "give --identity")]


def base_roles(known: Known, registry: RegistryId) -> Check:
    """Judge the roles on a registry whose pushes start rebuilds."""

    def look() -> Iterator[Result]:
        held = known.preflight.permissions(str(registry), known.principal)
        if absent := missing(held, (READ_REGISTRY, *BASE_ADVICE)):
            kind = doctor.RoleMissing if READ_REGISTRY in absent else doctor.AdviceRoleMissing
            role = _role(known, registry, (READ_REGISTRY, *BASE_ADVICE))
            yield kind(registry, known.who, absent, role)
        access = may_pull(held, abac=known.setups[registry].abac)
        if not access.allowed:
            abac = known.setups[registry].abac
            yield doctor.PullMissing(registry, known.who, access.role, abac)

    return Check(f"roles on {registry.name}", READ_ROLES, look)


def task_roles(known: Known, registry: RegistryId) -> Check:
    """Judge the roles on a registry whose tasks are rebuilt."""

    def look() -> Iterator[Result]:
        held = known.preflight.permissions(str(registry), known.principal)
        if absent := missing(held, (*TASK_ACTIONS, READ_LOG)):
            kind = doctor.LogRoleMissing if absent == (READ_LOG,) else doctor.RoleMissing
            role = _role(known, registry, (*TASK_ACTIONS, READ_LOG))
            yield kind(registry, known.who, absent, role)

    return Check(f"roles on {registry.name}", READ_ROLES, look)


def _role(known: Known, registry: RegistryId, actions: tuple[str, ...]) -> str:
    """Return the custom role that allows actions and the least besides; "" if there is none."""
    suiting = [
        (sum(len(permission.actions) for permission in role.permissions), role.name)
        for role in known.preflight.roles(str(registry))
        if role.custom and not missing(role.permissions, actions)
    ]
    return min(suiting)[1] if suiting else ""
