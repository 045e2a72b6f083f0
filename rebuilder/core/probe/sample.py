"""The sample task, and the roles that its identity needs."""

from __future__ import annotations

from msgspec import Struct

from rebuilder.core.acr.access import ACR_PULL, REPOSITORY_READER, REPOSITORY_WRITER
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import DockerStep
from rebuilder.core.probe.artifacts import CONTEXT, SAMPLE, TAG

NAME = "acr-rebuilder-sample"

ROLE_IDS = {
    ACR_PULL: "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    REPOSITORY_READER: "b93aa761-3e63-49ed-ac28-beffa264f7ac",
    REPOSITORY_WRITER: "2a1e307c-b015-4ebd-883e-5b7698a07328",
}
"""The ids of built-in roles: MicrosoftDocs/azure-docs, built-in-roles/containers.md."""


class Sample(Struct, frozen=True):
    """A task whose image is built on the scratch image of a base registry.

    Attributes:
        task: The task.
        base: The base registry.
        host: Its login server.
    """

    task: TaskId
    base: RegistryId
    host: str

    @property
    def apart(self) -> bool:
        """Whether base and task are in two registries: then the task needs credentials."""
        return self.task.registry != self.base

    @property
    def step(self) -> DockerStep:
        """What the task does."""
        context = f"oci://{self.host}/{CONTEXT}:{TAG}"
        return DockerStep(context, "Dockerfile", images=(f"{SAMPLE}:{TAG}",))

    def roles(self, *, base_abac: bool, task_abac: bool) -> list[tuple[RegistryId, str]]:
        """Return the roles that the task's identity needs, and where.

        Args:
            base_abac: Whether the base registry goes by repository permissions (ABAC).
            task_abac: The same of the task's registry, where a task has no rights of its own then.
        """
        pull = REPOSITORY_READER if base_abac else ACR_PULL
        wanted = [(self.base, pull)] if self.apart else []
        return [*wanted, *([(self.task.registry, REPOSITORY_WRITER)] if task_abac else [])]
