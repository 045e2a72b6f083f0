"""What a probe writes into registries, by the SDKs that the product reads with."""

from __future__ import annotations

import io
import uuid
from contextlib import suppress

from azure.containerregistry import ContainerRegistryClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient, models

from rebuilder.azure._clients import TIMEOUTS, Clients
from rebuilder.azure._errors import answered
from rebuilder.azure.acr.access import by_repository
from rebuilder.azure.acr.images import read_refusal
from rebuilder.azure.identity import registry_audience
from rebuilder.azure.throttle import ReadRetryPolicy, arm_options
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.probe.artifacts import Artifact
from rebuilder.core.probe.sample import ROLE_IDS, Sample
from rebuilder.errors import Denied, NotFound, Refused

_SYSTEM = "[system]"
# Of the names of role assignments that a probe makes: the second time it is the same one.
_NAMES = uuid.UUID("0d4a3c52-5d0b-4f3e-9a3c-6f0f2f6f6d1e")
_SECONDS = 600


class AcrProbe:
    """A ProbeRegistries; see rebuilder.ports.

    Args:
        credential: Who asks.
        arm_endpoint: ARM's address, without a slash at the end.
    """

    def __init__(self, credential: TokenCredential, arm_endpoint: str) -> None:
        arm = arm_options(arm_endpoint)
        audience = registry_audience(arm_endpoint)
        self._registries = Clients(
            lambda subscription: ContainerRegistryManagementClient(credential, subscription, **arm)
        )
        self._tasks = Clients(
            lambda subscription: ContainerRegistryTasksMgmtClient(credential, subscription, **arm)
        )
        self._roles = Clients(
            lambda subscription: AuthorizationManagementClient(credential, subscription, **arm)
        )
        self._images = Clients(
            lambda host: ContainerRegistryClient(
                f"https://{host}",
                credential,
                audience=audience,
                raw_response_hook=read_refusal,
                retry_policy=ReadRetryPolicy(),
                **TIMEOUTS,
            )
        )

    def close(self) -> None:
        """Close the connections."""
        for clients in (self._registries, self._tasks, self._roles, self._images):
            clients.close()

    def abac(self, registry: RegistryId) -> bool:
        """Tell whether a registry goes by repository permissions; see ProbeRegistries."""
        return self._registry(registry)[1]

    def _registry(self, registry: RegistryId) -> tuple[str, bool]:
        """Return a registry's region, and whether it goes by repository permissions."""
        operations = self._registries[registry.subscription].registries
        with answered(f"read {registry}"):
            found = operations.get(registry.resource_group, registry.name)
            return found.location, by_repository(found)

    def push(self, login_server: str, repository: str, tag: str, artifact: Artifact) -> None:
        """Push an artifact; see ProbeRegistries."""
        client = self._images[login_server]
        with answered(f"push {login_server}/{repository}:{tag}"):
            for blob in artifact.blobs:
                client.upload_blob(repository, io.BytesIO(blob))
            client.set_manifest(repository, io.BytesIO(artifact.manifest), tag=tag)

    def make(self, sample: Sample) -> str:
        """Make the sample task; see ProbeRegistries."""
        registry = sample.task.registry
        location, abac = self._registry(registry)
        operations = self._tasks[registry.subscription].tasks
        with answered(f"make {sample.task}"):
            made = operations.create(
                *(registry.resource_group, registry.name, sample.task.name),
                _task(sample, location, abac=abac),
            )
            return str(made.identity.principal_id if made.identity else "")

    def grant(self, registry: RegistryId, principal: str, role: str) -> bool:
        """Give an identity a role; see ProbeRegistries."""
        definitions = f"/subscriptions/{registry.subscription}/providers/Microsoft.Authorization"
        given = RoleAssignmentCreateParameters(
            role_definition_id=f"{definitions}/roleDefinitions/{ROLE_IDS[role]}",
            principal_id=principal,
            # Else Azure looks the identity up, which is too new to be found everywhere.
            principal_type="ServicePrincipal",
        )
        roles = self._roles[registry.subscription].role_assignments
        # Whoever may not look may still be let give it, and the other way round.
        with suppress(Denied), answered(f"read the roles of {principal} on {registry.name}"):
            held = roles.list_for_scope(str(registry), filter=f"assignedTo('{principal}')")
            if any(str(a.role_definition_id).lower().endswith(ROLE_IDS[role]) for a in held):
                return False
        try:
            with answered(f"give {principal} the role {role} on {registry.name}"):
                roles.create(str(registry), _assignment(registry, principal, role), given)
        except Refused as error:
            if error.code != "RoleAssignmentExists":
                raise
            return False
        return True

    def revoke(self, registry: RegistryId, principal: str, role: str) -> bool:
        """Take back a role; see ProbeRegistries."""
        roles = self._roles[registry.subscription].role_assignments
        with answered(f"take the role {role} on {registry.name} from {principal}"):
            name = _assignment(registry, principal, role)
            return roles.delete(str(registry), name) is not None

    def delete_task(self, task: TaskId) -> bool:
        """Delete a task; see ProbeRegistries."""
        registry = task.registry
        operations = self._tasks[registry.subscription].tasks
        try:
            with answered(f"delete {task}"):
                operations.get(registry.resource_group, registry.name, task.name)
                operations.delete(registry.resource_group, registry.name, task.name)
        except NotFound:
            return False
        return True

    def delete_repository(self, login_server: str, repository: str) -> bool:
        """Delete a repository; see ProbeRegistries."""
        client = self._images[login_server]
        with answered(f"delete {login_server}/{repository}"):
            try:
                client.get_repository_properties(repository)
            except ResourceNotFoundError:
                return False
            client.delete_repository(repository)
        return True


def _task(sample: Sample, location: str, *, abac: bool) -> models.Task:
    """Return the sample task, as infra/modules/sample-task.bicep makes one of another context."""
    step = sample.step
    source = models.SourceRegistryCredentials(
        **({"identity": _SYSTEM} if abac else {"login_mode": "Default"})
    )
    custom = {sample.host: models.CustomRegistryCredentials(identity=_SYSTEM)}
    return models.Task(
        location=location,
        identity=models.IdentityProperties(type="SystemAssigned"),
        properties=models.TaskProperties(
            status="Enabled",
            platform=models.PlatformProperties(os="Linux", architecture="amd64"),
            agent_configuration=models.AgentProperties(cpu=2),
            timeout=_SECONDS,
            credentials=models.Credentials(
                source_registry=source, custom_registries=custom if sample.apart else None
            ),
            step=models.DockerBuildStep(
                context_path=step.context,
                docker_file_path=step.dockerfile,
                image_names=list(step.images),
                is_push_enabled=True,
                no_cache=False,
            ),
            # ACR would rebuild the image, too.
            trigger=models.TriggerProperties(
                base_image_trigger=models.BaseImageTrigger(
                    name="defaultBaseimageTriggerName",
                    base_image_trigger_type="Runtime",
                    status="Disabled",
                )
            ),
        ),
    )


def _assignment(registry: RegistryId, principal: str, role: str) -> str:
    return str(uuid.uuid5(_NAMES, f"{registry}|{principal}|{role}"))
