"""What a run signs in with: its own registry, and those that its credentials name."""

from __future__ import annotations

from localcloud.builds.job import BuildError
from localcloud.directory import Directory, Principal
from localcloud.registry import RegistryService
from localcloud.registry.auth import TOKEN_USER
from localcloud.state import Json, Registry, Run, State, Task

# The agent's words, as azure-cli#28151 shows them for another status.
_REFUSED = (
    "failed to unmarshal task before running: failed to resolve secrets: failed to get ACR refresh"
    " token, exchange API response code: 401 Unauthorized"
)


class Credentials:
    """Finds the user and password for each registry that a run signs in to.

    Args:
        state: Which registries there are.
        service: Who gives registry tokens.
        directory: Whose identities they are.
    """

    def __init__(self, state: State, service: RegistryService, directory: Directory) -> None:
        self._state = state
        self._service = service
        self._directory = directory

    def of(self, registry: Registry, run: Run, task: Task | None) -> dict[str, tuple[str, str]]:
        """Return user and password by registry host.

        Raises:
            BuildError: An identity may do nothing in a registry that it is to sign in to.
        """
        given: Json = (task.properties if task else run.request).get("credentials") or {}
        source = given.get("sourceRegistry") or {}
        found: dict[str, tuple[str, str]] = {}
        if registry.abac:
            # Tasks of such a registry have no access of their own.
            if source.get("identity"):
                principal = self._principal(source["identity"], run, task)
                found[registry.login_server] = self._sign_in(registry, principal)
        elif source.get("loginMode") != "None":
            token = self._service.registry_token(registry, f"{registry.name}/tasks")
            found[registry.login_server] = (TOKEN_USER, token)
        for host, entry in (given.get("customRegistries") or {}).items():
            other = self._state.by_host(host)
            if (entry or {}).get("identity"):
                if other is None:
                    raise BuildError(f"{_REFUSED}: there is no registry at {host}")
                found[host] = self._sign_in(other, self._principal(entry["identity"], run, task))
            elif entry and entry.get("userName") and entry.get("password"):
                found[host] = (_opaque(host, entry["userName"]), _opaque(host, entry["password"]))
        return found

    def signed_in(self, name: str, task: Task | None) -> Principal:
        """Return the identity with which `az login --identity` signs in.

        Args:
            name: A client id, object id or resource id; empty for the system's own, or the only
                one.
            task: Whose identities there are.

        Raises:
            BuildError: There is none.
        """
        identity = (task.identity if task else None) or {}
        assigned = identity.get("userAssignedIdentities") or {}
        found = str(identity.get("principalId") or "")
        if name:
            ids = [
                str(entry["principalId"])
                for resource, entry in assigned.items()
                if name.lower() in (resource.lower(), entry["clientId"], entry["principalId"])
            ]
            found = ids[0] if ids else ""
        elif not found and len(assigned) == 1:
            found = str(next(iter(assigned.values()))["principalId"])
        principal = self._directory.by_object_id(found)
        if principal is None:
            words = f"no identity {name}" if name else "no identity of its own"
            raise BuildError(
                "ERROR: Failed to connect to MSI. Please make sure MSI is configured correctly."
                f" (The task has {words}.)"
            )
        return principal

    def _principal(self, name: str, run: Run, task: Task | None) -> Principal:
        """Return whom a credential names: [system], [caller] or a client id of the task's own."""
        identity = (task.identity if task else None) or {}
        if name in ("[system]", "system"):
            object_id = str(identity.get("principalId"))
        elif name == "[caller]":
            object_id = run.caller
        else:
            assigned = (identity.get("userAssignedIdentities") or {}).values()
            wanted = name.lower()
            ids = [entry["principalId"] for entry in assigned if entry["clientId"] == wanted]
            object_id = ids[0] if ids else ""
        principal = self._directory.by_object_id(object_id)
        if principal is None:
            raise BuildError(f"failed to resolve secrets: the run has no identity {name}")
        return principal

    def _sign_in(self, registry: Registry, principal: Principal) -> tuple[str, str]:
        token = self._service.auth.exchanged(registry, principal)
        if token is None:
            raise BuildError(_REFUSED)
        return TOKEN_USER, token


def _opaque(host: str, secret: Json) -> str:
    if secret.get("type", "Opaque") != "Opaque":
        raise BuildError(f"the local cloud has no Key Vault for the credentials of {host}")
    return str(secret["value"])
