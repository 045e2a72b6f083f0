"""Mistakes with registries, their firewalls and their subscription."""

from __future__ import annotations

from collections.abc import Iterator

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.doctor._finding import Finding, Severity, az, short
from rebuilder.core.doctor.setup import RegistrySetup, part


class RegistryNotThere(Finding, frozen=True):
    """A configured registry does not exist.

    Attributes:
        registry: The registry.
        setting: The setting that names it.
    """

    code = "registry-not-there"
    wrong = "{self.setting} names {self.registry}, which is not there"
    matters = "nothing that is pushed to it, or built in it, is seen"
    registry: RegistryId
    setting: str

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        subscription = self.registry.subscription
        return (az("acr", "list", "--subscription", subscription, "--query", "[].id"),)


class TasksShutOut(Finding, frozen=True):
    """A registry's firewall keeps out the tasks that pull from it or push to it.

    Attributes:
        registry: The registry.
    """

    code = "tasks-shut-out"
    wrong = "the firewall of {self.registry.name} is closed, and tasks may not pass it"
    matters = (
        "since June 2025 a task passes a firewall only where networkRuleBypassAllowedForTasks"
        " is on, unless it runs in an agent pool inside the network"
    )
    registry: RegistryId

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (
            az(
                *("resource", "update", "--ids", str(self.registry)),
                *("--api-version", "2025-11-01"),
                *("--set", "properties.networkRuleBypassAllowedForTasks=true"),
                "properties.networkRuleBypassOptions=AzureServices",
            ),
        )


class AppShutOut(Finding, frozen=True):
    """A base registry's firewall keeps out the function app.

    Attributes:
        registry: The registry.
        site: The function app's resource id.
    """

    code = "app-shut-out"
    matters = "the app asks the registry what a pushed tag names; trusted services are not it"
    registry: RegistryId
    site: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return (
            f"the firewall of {self.registry.name} is closed, and the function app"
            f" {short(self.site)} is in no virtual network"
        )

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (
            az(
                *("functionapp", "vnet-integration", "add", "--name", short(self.site)),
                *("--resource-group", part(self.site, "resourcegroups")),
                *("--subscription", part(self.site, "subscriptions")),
                *("--vnet", "VNET", "--subnet", "SUBNET"),
            ),
        )


class TasksNotAllowed(Finding, frozen=True):
    """Azure refuses to run tasks in a registry's subscription.

    Attributes:
        registry: The registry.
        task: A task whose run was refused.
    """

    code = "tasks-not-allowed"
    wrong = "Azure refused to run {self.task} in {self.registry.name}: TasksOperationsNotAllowed"
    matters = (
        "ACR Tasks are paused for subscriptions on free credits: no command fixes it; move to"
        " pay-as-you-go, or ask Azure support, and then retry the task"
    )
    registry: RegistryId
    task: str

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (f"rebuilder retry {self.registry.name}/{self.task}",)


class BasesOpenToRuns(Finding, frozen=True):
    """A base registry whose tasks are rebuilt, too: a run in it may push to its base images.

    Attributes:
        registry: The registry.
    """

    code = "bases-open-to-runs"
    severity = Severity.WARNING
    wrong = (
        "{self.registry.name} is both base and task registry, and its runs may push to any"
        " of its repositories"
    )
    matters = (
        "who acts as the function app may start runs in it (scheduleRun) that change base"
        " images, for all that are built on them; keep base images in a registry of their own,"
        " or let permissions go by repository, after whoever pulls or pushes has roles for that"
        " (Container Registry Repository Reader, Writer): AcrPull and AcrPush then do not count"
    )
    registry: RegistryId

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (
            az(
                *("role", "assignment", "list", "--scope", str(self.registry)),
                *("--include-inherited", "--output", "table"),
            ),
            az(
                *("acr", "update", "--name", self.registry.name),
                *("--resource-group", self.registry.resource_group),
                *("--subscription", self.registry.subscription),
                *("--role-assignment-mode", "rbac-abac"),
            ),
        )


def judge_uses(found: RegistrySetup, *, base: bool, tasks: bool) -> Iterator[Finding]:
    """Tell whether runs in a registry may change what others are built on.

    Args:
        found: The registry.
        base: Whether its pushes start rebuilds.
        tasks: Whether its tasks are rebuilt, so that the function app may start runs in it.
    """
    if base and tasks and not found.abac:
        yield BasesOpenToRuns(found.id)


def judge_firewall(found: RegistrySetup) -> Iterator[Finding]:
    """Tell whether a registry's firewall keeps its tasks out."""
    if found.closed and not (found.trusted and found.tasks_pass):
        yield TasksShutOut(found.id)
