"""Mistakes with identities and roles."""

from __future__ import annotations

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.doctor._finding import Finding, Severity, assign, short


class NoToken(Finding, frozen=True):
    """The identity gets no token for a service.

    Attributes:
        service: The service.
        error: Why not.
    """

    code = "no-token"
    wrong = "there is no token for {self.service}: {self.error}"
    matters = "without a token nothing can be asked of it"
    service: str
    error: str

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return ("az login",)


class RoleMissing(Finding, frozen=True):
    """An identity lacks actions on a registry.

    Attributes:
        registry: The registry.
        principal: The identity's object id.
        actions: What it may not do.
        role: A role that allows them all; "" if there is none.
    """

    code = "role-missing"
    matters = "ARM refuses to tell of the registry, its tasks or its runs, or to start one"
    registry: RegistryId
    principal: str
    actions: tuple[str, ...]
    role: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        short = ", ".join(action.partition("/")[2] for action in self.actions)
        role = f"the role {self.role!r}" if self.role else "a role"
        return f"identity {self.principal} lacks {role} on {self.registry.name}: no {short}"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        define = "az role definition create --role-definition infra/rebuilder-role.json"
        role = self.role or "ACR Rebuilder"
        given = assign(self.principal, role, str(self.registry))
        return (given,) if self.role else (define, given)


class AdviceRoleMissing(RoleMissing, frozen=True):
    """An identity may not read who has which role on a base registry."""

    code = "advice-role-missing"
    severity = Severity.WARNING
    matters = "when a build may not pull its base, nothing can tell which role is missing"


class LogRoleMissing(RoleMissing, frozen=True):
    """An identity may not read the logs of runs."""

    code = "log-role-missing"
    severity = Severity.WARNING
    matters = (
        "why a run failed is not known then: what cannot heal by itself is tried again, and"
        " nobody is told what would fix it"
    )


class PullMissing(Finding, frozen=True):
    """An identity may not read the images of a base registry.

    Attributes:
        registry: The registry.
        principal: The identity's object id.
        role: The role that allows it there.
        abac: Whether the registry goes by repository permissions.
    """

    code = "pull-missing"
    matters = (
        "a plan asks the registry what the pushed tag names now; without an answer it has to"
        " believe the event, which may be old"
    )
    registry: RegistryId
    principal: str
    role: str
    abac: bool

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        note = "; it goes by repository permissions, where AcrPull does not count"
        return (
            f"identity {self.principal} lacks the role {self.role!r} on {self.registry.name}"
            f"{note if self.abac else ''}"
        )

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (assign(self.principal, self.role, str(self.registry)),)


class StorageRoleMissing(Finding, frozen=True):
    """An identity may not use a service of the storage account.

    Attributes:
        account: The account's resource id.
        principal: The identity's object id.
        role: The role that allows it.
    """

    code = "storage-role-missing"
    matters = "queues, tables and dead letters are where everything that was accepted is kept"
    account: str
    principal: str
    role: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"identity {self.principal} lacks the role {self.role!r} on {short(self.account)}"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (assign(self.principal, self.role, self.account),)
