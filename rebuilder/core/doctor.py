"""What is wrong with a set-up: one small type per mistake, each with the command that mends it.

`judge_*` look at what Azure tells (`preflight`) and are pure. A command names the real resources; a
word in capital letters in it is one that Azure could not be asked for.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from rebuilder.core.access import REPOSITORY_WRITER
from rebuilder.core.preflight import (
    FUNCTIONS,
    IMAGE_PUSHED,
    PUSH_FUNCTION,
    EventSubscription,
    RegistrySetup,
    Site,
    Topic,
    part,
)
from rebuilder.core.registries import RegistryId, TaskId
from rebuilder.core.tasks import Task

SITE = "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Web/sites/FUNCTION_APP"
"""Stands for the function app's resource id where that is not known."""

_ACCOUNT = (
    "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage"
    "/storageAccounts/ACCOUNT"
)
_FEW_ATTEMPTS = 2
_FEW_MINUTES = 60


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # something is not rebuilt
    WARNING = "warning"  # something will be missed one day, or is done twice
    NOTE = "note"  # to know


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake in a set-up. Each kind is a subclass."""

    code: ClassVar[str]
    severity: ClassVar[Severity] = Severity.ERROR

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        raise NotImplementedError

    def why(self) -> str:
        """Why it matters."""
        raise NotImplementedError

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order; empty if no command does."""
        return ()


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Something that could not be looked at.

    Attributes:
        what: What was to be looked at.
        reason: Why it was not, in Azure's words.
        right: What the caller needs to look at it; "" if that is not known.
    """

    what: str
    reason: str
    right: str = ""


def _az(*words: str) -> str:
    return " ".join(["az", *(shlex.quote(word) for word in words)])


def _assign(principal: str, role: str, scope: str) -> str:
    return _az(
        *("role", "assignment", "create", "--assignee-object-id", principal),
        *("--assignee-principal-type", "ServicePrincipal", "--role", role, "--scope", scope),
    )


def _container_id(account: str, container: str) -> str:
    return f"{account}/blobServices/default/containers/{container}"


def _rest(method: str, place: str, body: object) -> str:
    text = json.dumps(body)
    return _az(
        "rest", "--method", method, "--url", f"{place}?api-version=2025-02-15", "--body", text
    )


def _filter() -> dict[str, object]:
    return {
        "includedEventTypes": [IMAGE_PUSHED],
        "subjectBeginsWith": "",
        "subjectEndsWith": "",
        "advancedFilters": [],
    }


def _dead_letter_place(account: str, container: str) -> dict[str, object]:
    return {
        "identity": {"type": "SystemAssigned"},
        "deadLetterDestination": {
            "endpointType": "StorageBlob",
            "properties": {"resourceId": account, "blobContainerName": container},
        },
    }


_RETRIES = {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440}


def _short(resource_id: str) -> str:
    return resource_id.rpartition("/")[2]


# Identity and roles.


@dataclass(frozen=True, slots=True)
class NoToken(Finding):
    """The identity gets no token for a service.

    Attributes:
        service: The service.
        error: Why not.
    """

    code: ClassVar[str] = "no-token"
    service: str
    error: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"there is no token for {self.service}: {self.error}"

    def why(self) -> str:
        """Why it matters."""
        return "without a token nothing can be asked of it"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return ("az login",)


@dataclass(frozen=True, slots=True)
class RoleMissing(Finding):
    """An identity lacks actions on a registry.

    Attributes:
        registry: The registry.
        principal: The identity's object id.
        actions: What it may not do.
        role: A role that allows them all; "" if there is none.
    """

    code: ClassVar[str] = "role-missing"
    registry: RegistryId
    principal: str
    actions: tuple[str, ...]
    role: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        short = ", ".join(action.partition("/")[2] for action in self.actions)
        role = f"the role {self.role!r}" if self.role else "a role"
        return f"identity {self.principal} lacks {role} on {self.registry.name}: no {short}"

    def why(self) -> str:
        """Why it matters."""
        return "ARM refuses to tell of the registry, its tasks or its runs, or to start one"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        define = "az role definition create --role-definition infra/rebuilder-role.json"
        role = self.role or "ACR Rebuilder"
        given = _assign(self.principal, role, str(self.registry))
        return (given,) if self.role else (define, given)


@dataclass(frozen=True, slots=True)
class AdviceRoleMissing(RoleMissing):
    """An identity may not read who has which role on a base registry."""

    code: ClassVar[str] = "advice-role-missing"
    severity: ClassVar[Severity] = Severity.WARNING

    def why(self) -> str:
        """Why it matters."""
        return "when a build may not pull its base, nothing can tell which role is missing"


@dataclass(frozen=True, slots=True)
class PullMissing(Finding):
    """An identity may not read the images of a base registry.

    Attributes:
        registry: The registry.
        principal: The identity's object id.
        role: The role that allows it there.
        abac: Whether the registry goes by repository permissions.
    """

    code: ClassVar[str] = "pull-missing"
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

    def why(self) -> str:
        """Why it matters."""
        return "a plan begins by asking the registry what the pushed tag names now"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return (_assign(self.principal, self.role, str(self.registry)),)


@dataclass(frozen=True, slots=True)
class StorageRoleMissing(Finding):
    """An identity may not use a service of the storage account.

    Attributes:
        account: The account's resource id.
        principal: The identity's object id.
        role: The role that allows it.
    """

    code: ClassVar[str] = "storage-role-missing"
    account: str
    principal: str
    role: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"identity {self.principal} lacks the role {self.role!r} on {_short(self.account)}"

    def why(self) -> str:
        """Why it matters."""
        return "queues, tables and dead letters are where everything that was accepted is kept"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return (_assign(self.principal, self.role, self.account),)


# Registries.


@dataclass(frozen=True, slots=True)
class RegistryNotThere(Finding):
    """A configured registry does not exist.

    Attributes:
        registry: The registry.
        setting: The setting that names it.
    """

    code: ClassVar[str] = "registry-not-there"
    registry: RegistryId
    setting: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self.setting} names {self.registry}, which is not there"

    def why(self) -> str:
        """Why it matters."""
        return "nothing that is pushed to it, or built in it, is seen"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        subscription = self.registry.subscription
        return (_az("acr", "list", "--subscription", subscription, "--query", "[].id"),)


@dataclass(frozen=True, slots=True)
class TasksShutOut(Finding):
    """A registry's firewall keeps out the tasks that pull from it or push to it.

    Attributes:
        registry: The registry.
    """

    code: ClassVar[str] = "tasks-shut-out"
    registry: RegistryId

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"the firewall of {self.registry.name} is closed, and tasks may not pass it"

    def why(self) -> str:
        """Why it matters."""
        return (
            "since June 2025 a task passes a firewall only where networkRuleBypassAllowedForTasks"
            " is on, unless it runs in an agent pool inside the network"
        )

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return (
            _az(
                *("resource", "update", "--ids", str(self.registry)),
                *("--api-version", "2025-11-01"),
                *("--set", "properties.networkRuleBypassAllowedForTasks=true"),
                "properties.networkRuleBypassOptions=AzureServices",
            ),
        )


@dataclass(frozen=True, slots=True)
class AppShutOut(Finding):
    """A base registry's firewall keeps out the function app.

    Attributes:
        registry: The registry.
        site: The function app's resource id.
    """

    code: ClassVar[str] = "app-shut-out"
    registry: RegistryId
    site: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return (
            f"the firewall of {self.registry.name} is closed, and the function app"
            f" {_short(self.site)} is in no virtual network"
        )

    def why(self) -> str:
        """Why it matters."""
        return "the app asks the registry what a pushed tag names; trusted services are not it"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return (
            _az(
                *("functionapp", "vnet-integration", "add", "--name", _short(self.site)),
                *("--resource-group", part(self.site, "resourcegroups")),
                *("--subscription", part(self.site, "subscriptions")),
                *("--vnet", "VNET", "--subnet", "SUBNET"),
            ),
        )


@dataclass(frozen=True, slots=True)
class TasksNotAllowed(Finding):
    """Azure refuses to run tasks in a registry's subscription.

    Attributes:
        registry: The registry.
        task: A task whose run was refused.
    """

    code: ClassVar[str] = "tasks-not-allowed"
    registry: RegistryId
    task: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return (
            f"Azure refused to run {self.task} in {self.registry.name}: TasksOperationsNotAllowed"
        )

    def why(self) -> str:
        """Why it matters."""
        return (
            "ACR Tasks are paused for subscriptions on free credits: no command mends it; move to"
            " pay-as-you-go, or ask Azure support, and then retry the task"
        )

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return (f"rebuilder retry {self.registry.name}/{self.task}",)


# Events.


@dataclass(frozen=True, slots=True)
class EventFinding(Finding):
    """Something about a base registry's events.

    Attributes:
        registry: The registry.
        subscription: What is subscribed.
    """

    registry: RegistryId
    subscription: EventSubscription

    def _patch(self, **changes: object) -> tuple[str, ...]:
        # `az eventgrid system-topic event-subscription update` takes neither retries nor dead
        # letters by an identity.
        topic = self.subscription.topic
        place = f"{self.registry}/providers/Microsoft.EventGrid" if topic is None else topic.id
        return (_rest("patch", f"{place}/eventSubscriptions/{self.subscription.name}", changes),)

    def _named(self) -> str:
        return f"event subscription {self.subscription.name} of {self.registry.name}"


@dataclass(frozen=True, slots=True)
class NotSubscribed(Finding):
    """No subscription brings a base registry's pushes to image_pushed.

    Attributes:
        registry: The registry.
        topic: Its system topic; None if it has none.
        site: The function app's resource id; "" if it is not known.
        dead_letters: The account's resource id and the container of dead letters, if known.
    """

    code: ClassVar[str] = "not-subscribed"
    registry: RegistryId
    topic: Topic | None
    site: str
    dead_letters: tuple[str, str] | None = None

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        if self.topic is None:
            return f"{self.registry.name} has no system topic and no event subscription"
        return (
            f"nothing brings the pushes of system topic {self.topic.name}"
            f" ({self.registry.name}) to {PUSH_FUNCTION}"
        )

    def why(self) -> str:
        """Why it matters."""
        return "no push to the registry is ever heard of"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        topic = self.topic
        first: tuple[str, ...] = ()
        if topic is None:
            registry = self.registry
            group = f"/subscriptions/{registry.subscription}/resourceGroups/"
            place = f"{group}{registry.resource_group}/providers/Microsoft.EventGrid/systemTopics/"
            topic = Topic(f"{place}rebuilder-{registry.name}", str(registry))
            first = (
                _az(
                    *("eventgrid", "system-topic", "create", "--name", topic.name),
                    *("--subscription", topic.subscription, "--resource-group", topic.group),
                    *("--source", str(registry), "--location", "LOCATION"),
                    *("--topic-type", "Microsoft.ContainerRegistry.Registries"),
                    *("--identity", "systemassigned"),
                ),
            )
        properties: dict[str, object] = {
            "destination": {
                "endpointType": "AzureFunction",
                "properties": {"resourceId": f"{self.site or SITE}/functions/{PUSH_FUNCTION}"},
            },
            "filter": _filter(),
            "eventDeliverySchema": "CloudEventSchemaV1_0",
            "retryPolicy": _RETRIES,
        }
        if self.dead_letters is not None:
            properties["deadLetterWithResourceIdentity"] = _dead_letter_place(*self.dead_letters)
        place = f"{topic.id}/eventSubscriptions/rebuilder-pushes"
        return (*first, _rest("put", place, {"properties": properties}))


@dataclass(frozen=True, slots=True)
class PushesFiltered(EventFinding):
    """A subscription lets no ImagePushed through."""

    code: ClassVar[str] = "pushes-filtered"

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        types = ", ".join(sorted(self.subscription.event_types))
        return f"{self._named()} lets only {types} through"

    def why(self) -> str:
        """Why it matters."""
        return f"a push is an event of the type {IMAGE_PUSHED}: none is delivered"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return self._patch(filter=_filter())


@dataclass(frozen=True, slots=True)
class PushesNarrowed(EventFinding):
    """A subscription's filters let only some pushes through."""

    code: ClassVar[str] = "pushes-narrowed"
    severity: ClassVar[Severity] = Severity.WARNING

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        found = self.subscription
        filters = [
            *([f"subjects that begin with {found.begins_with!r}"] if found.begins_with else []),
            *([f"subjects that end with {found.ends_with!r}"] if found.ends_with else []),
            *([f"what {found.advanced} advanced filter(s) allow"] if found.advanced else []),
        ]
        return f"{self._named()} lets only {', '.join(filters)} through"

    def why(self) -> str:
        """Why it matters."""
        return "what is built on an image of another repository or tag is not rebuilt"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return self._patch(filter=_filter())


@dataclass(frozen=True, slots=True)
class FewAttempts(EventFinding):
    """A subscription gives an event up too soon."""

    code: ClassVar[str] = "few-attempts"
    severity: ClassVar[Severity] = Severity.WARNING

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        found = self.subscription
        return f"{self._named()} tries {found.attempts} time(s), for {found.minutes} minute(s)"

    def why(self) -> str:
        """Why it matters."""
        return "the first delivery after a pause may be refused, and an outage lasts for hours"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return self._patch(retryPolicy=_RETRIES)


@dataclass(frozen=True, slots=True)
class SubscriptionNotReady(EventFinding):
    """A subscription's provisioning did not succeed."""

    code: ClassVar[str] = "subscription-not-ready"

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self._named()} was not provisioned to its end"

    def why(self) -> str:
        """Why it matters."""
        return "Event Grid delivers nothing by it"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return self._patch(filter=_filter())


@dataclass(frozen=True, slots=True)
class NoDeadLetters(EventFinding):
    """A subscription loses what it cannot deliver.

    Attributes:
        place: The account's resource id and the container of dead letters, if known.
    """

    code: ClassVar[str] = "no-dead-letters"
    severity: ClassVar[Severity] = Severity.WARNING
    place: tuple[str, str] | None = None

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self._named()} has no place for dead letters"

    def why(self) -> str:
        """Why it matters."""
        return "an event that cannot be delivered within its time is lost without a word"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        account, container = self.place or (_ACCOUNT, "CONTAINER")
        return self._patch(deadLetterWithResourceIdentity=_dead_letter_place(account, container))


@dataclass(frozen=True, slots=True)
class DeadLetterContainerMissing(EventFinding):
    """The container of a subscription's dead letters is not there."""

    code: ClassVar[str] = "dead-letter-container-missing"

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        account, container = self.subscription.dead_letters or ("", "")
        return f"{self._named()}: storage account {_short(account)} has no container {container}"

    def why(self) -> str:
        """Why it matters."""
        return "Event Grid then drops what it cannot deliver"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        account, container = self.subscription.dead_letters or ("", "")
        return (
            _az(
                *("storage", "container-rm", "create", "--name", container),
                *("--storage-account", account),
            ),
        )


@dataclass(frozen=True, slots=True)
class DeadLettersNotWritable(EventFinding):
    """A topic's identity may not write dead letters."""

    code: ClassVar[str] = "dead-letters-not-writable"

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        _, container = self.subscription.dead_letters or ("", "")
        return f"{self._named()}: the topic's identity may not write into container {container}"

    def why(self) -> str:
        """Why it matters."""
        return "Event Grid then drops what it cannot deliver"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        account, container = self.subscription.dead_letters or ("", "")
        scope = _container_id(account, container)
        principals = self.subscription.topic.principals if self.subscription.topic else ()
        return tuple(
            _assign(principal, "Storage Blob Data Contributor", scope) for principal in principals
        )


@dataclass(frozen=True, slots=True)
class DeadLettersUnread(EventFinding):
    """A subscription's dead letters go where the app does not look.

    Attributes:
        read: Where it looks: REBUILDER_DEAD_LETTERS.
    """

    code: ClassVar[str] = "dead-letters-unread"
    severity: ClassVar[Severity] = Severity.WARNING
    read: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        account, container = self.subscription.dead_letters or ("", "")
        looks = self.read or "nowhere"
        return (
            f"{self._named()} puts dead letters into {_short(account)}/{container},"
            f" and REBUILDER_DEAD_LETTERS looks {looks}"
        )

    def why(self) -> str:
        """Why it matters."""
        return "events that could not be delivered are kept, and nobody replays them"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        account, container = self.subscription.dead_letters or ("", "")
        address = f"https://{_short(account)}.blob.core.windows.net/{container}"
        return (
            _az(
                *("functionapp", "config", "appsettings", "set"),
                *("--ids", self.subscription.site or SITE),
                *("--settings", f"REBUILDER_DEAD_LETTERS={address}"),
            ),
        )


# The function app.


@dataclass(frozen=True, slots=True)
class SiteNotThere(Finding):
    """The function app does not exist.

    Attributes:
        site: Its resource id.
    """

    code: ClassVar[str] = "app-not-there"
    site: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"there is no function app {self.site}"

    def why(self) -> str:
        """Why it matters."""
        return "events are sent to it, and nobody works them off"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return ("azd up",)


@dataclass(frozen=True, slots=True)
class SiteStopped(Finding):
    """The function app does not run.

    Attributes:
        site: The app.
    """

    code: ClassVar[str] = "app-stopped"
    site: Site

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"the function app {_short(self.site.id)} is {self.site.state}"

    def why(self) -> str:
        """Why it matters."""
        return "nothing is delivered to it, and nothing works off its queues"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return (_az("functionapp", "start", "--ids", self.site.id),)


@dataclass(frozen=True, slots=True)
class FunctionsMissing(Finding):
    """Functions are not in the app.

    Attributes:
        site: The app's resource id.
        names: The functions.
    """

    code: ClassVar[str] = "functions-missing"
    site: str
    names: tuple[str, ...]

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"the function app {_short(self.site)} has no {', '.join(self.names)}"

    def why(self) -> str:
        """Why it matters."""
        return "the code was not published, or the host could not load it: see the app's log"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return (
            _az(
                *("functionapp", "deployment", "source", "config-zip", "--src", "app.zip"),
                *("--subscription", part(self.site, "subscriptions")),
                *("--resource-group", part(self.site, "resourcegroups")),
                *("--name", _short(self.site)),
            ),
        )


# Tasks.


def _task_az(task: TaskId, *words: str) -> str:
    registry = task.registry
    return _az(
        *("acr", "task", *words, "--name", task.name, "--registry", registry.name),
        *("--resource-group", registry.resource_group, "--subscription", registry.subscription),
    )


@dataclass(frozen=True, slots=True)
class TaskFinding(Finding):
    """Something about a task.

    Attributes:
        task: The task.
    """

    task: TaskId

    def _named(self) -> str:
        return f"task {self.task.registry.name}/{self.task.name}"


@dataclass(frozen=True, slots=True)
class TaskWithoutCredentials(TaskFinding):
    """A task has no credentials for the base registry that it pulls from.

    Attributes:
        host: The base registry's login server.
        identity: Whether the task has an identity.
    """

    code: ClassVar[str] = "task-without-credentials"
    host: str
    identity: bool

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self._named()} is built on an image of {self.host} and has no credentials for it"

    def why(self) -> str:
        """Why it matters."""
        return "its next run cannot pull the base image, and fails"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        assign = _task_az(self.task, "identity", "assign", "--identities", "[system]")
        add = _task_az(
            *(self.task, "credential", "add", "--login-server", self.host),
            *("--use-identity", "[system]"),
        )
        return (add,) if self.identity else (assign, add)


@dataclass(frozen=True, slots=True)
class TaskMayNotPull(TaskFinding):
    """None of a task's identities may pull from the base registry.

    Attributes:
        registry: The base registry.
        principals: The object ids of the identities.
        role: The role that allows it there.
    """

    code: ClassVar[str] = "task-may-not-pull"
    registry: RegistryId
    principals: tuple[str, ...]
    role: str

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        registry = self.registry.name
        return f"{self._named()}: no identity of it has the role {self.role!r} on {registry}"

    def why(self) -> str:
        """Why it matters."""
        return "its next run cannot pull the base image, and fails"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return (_assign(self.principals[0], self.role, str(self.registry)),)


@dataclass(frozen=True, slots=True)
class TaskMayNotPush(TaskFinding):
    """None of a task's identities may push to its own registry, which goes by repositories.

    Attributes:
        principals: The object ids of the identities; a task without one cannot push at all.
    """

    code: ClassVar[str] = "task-may-not-push"
    principals: tuple[str, ...]

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return (
            f"{self._named()}: {self.task.registry.name} goes by repository permissions, and no"
            f" identity of the task has the role {REPOSITORY_WRITER!r} there"
        )

    def why(self) -> str:
        """Why it matters."""
        return "in such a registry a task may pull and push nothing by itself: its runs fail"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        scope = str(self.task.registry)
        if not self.principals:
            return (
                _task_az(self.task, "identity", "assign", "--identities", "[system]"),
                _assign("OBJECT_ID_OF_THE_IDENTITY", REPOSITORY_WRITER, scope),
                _task_az(self.task, "update", "--source-acr-auth-id", "[system]"),
            )
        return (_assign(self.principals[0], REPOSITORY_WRITER, scope),)


@dataclass(frozen=True, slots=True)
class NativeTriggerOn(TaskFinding):
    """ACR's own base image trigger rebuilds a task, too."""

    code: ClassVar[str] = "native-trigger-on"
    severity: ClassVar[Severity] = Severity.WARNING

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self._named()}: ACR's own base image trigger is on"

    def why(self) -> str:
        """Why it matters."""
        return (
            "where both see a push, the rebuild first waits whether ACR's run comes: it is later"
            " than it need be, and may be made twice"
        )

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return (_task_az(self.task, "update", "--base-image-trigger-enabled", "false"),)


# What is kept.


@dataclass(frozen=True, slots=True)
class IndexNeverFilled(Finding):
    """The tasks of a registry were never all read.

    Attributes:
        registry: The registry.
    """

    code: ClassVar[str] = "index-never-filled"
    severity: ClassVar[Severity] = Severity.NOTE
    registry: RegistryId

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"the tasks of {self.registry.name} were never all read"

    def why(self) -> str:
        """Why it matters."""
        return "the first plan has to read them all; after that it should not be so any more"


@dataclass(frozen=True, slots=True)
class IndexOld(Finding):
    """The index of a registry is older than its limit.

    Attributes:
        registry: The registry.
        since: When the last complete sweep began.
        site: The function app's resource id; "" if it is not known.
    """

    code: ClassVar[str] = "index-old"
    severity: ClassVar[Severity] = Severity.WARNING
    registry: RegistryId
    since: datetime
    site: str = ""

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return (
            f"the tasks of {self.registry.name} were last all read at {self.since.isoformat()},"
            " longer ago than REBUILDER_INDEX_MAX_AGE_HOURS"
        )

    def why(self) -> str:
        """Why it matters."""
        return "refresh_index or refresh_tasks does not run: see its log; new tasks may be missed"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return (_az("functionapp", "restart", "--ids", self.site or SITE),)


@dataclass(frozen=True, slots=True)
class RebuildOverdue(TaskFinding):
    """Nothing has happened to a rebuild for long.

    Attributes:
        due: When something was to happen to it.
    """

    code: ClassVar[str] = "rebuild-overdue"
    severity: ClassVar[Severity] = Severity.WARNING
    due: datetime

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self._named()}: its rebuild was to go on at {self.due.isoformat()}"

    def why(self) -> str:
        """Why it matters."""
        return "the sweep should have taken it up: it does not run, or cannot; see its log"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return (f"rebuilder retry {self.task.registry.name}/{self.task.name}",)


@dataclass(frozen=True, slots=True)
class DeadLettersWait(Finding):
    """Dead letters wait for somebody.

    Attributes:
        count: How many.
    """

    code: ClassVar[str] = "dead-letters-wait"
    severity: ClassVar[Severity] = Severity.WARNING
    count: int

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"{self.count} dead letter(s) wait"

    def why(self) -> str:
        """Why it matters."""
        return "what they were to start has not happened"

    def commands(self) -> tuple[str, ...]:
        """What mends it, to be typed in this order."""
        return ("rebuilder dead-letters", "rebuilder replay --all")


# What is judged without asking anybody further.


def judge_firewall(found: RegistrySetup) -> Iterator[Finding]:
    """Tell whether a registry's firewall keeps its tasks out."""
    if found.closed and not (found.trusted and found.tasks_pass):
        yield TasksShutOut(found.id)


def judge_subscriptions(
    registry: RegistryId,
    topics: Sequence[Topic],
    found: Sequence[EventSubscription],
    site: str,
    dead_letters: str,
    place: tuple[str, str] | None = None,
) -> Iterator[Finding]:
    """Tell what is wrong with the subscriptions to a base registry's events.

    Args:
        registry: The registry.
        topics: Its system topics.
        found: Its subscriptions.
        site: The function app's resource id; "" if it is not known, then any app will do.
        dead_letters: Where the app looks for dead letters; "" for nowhere.
        place: The same as the account's resource id and the container, if they are known.
    """
    ours = [
        entry
        for entry in found
        if entry.ours and (not site or entry.webhook or entry.site.lower() == site.lower())
    ]
    if not ours:
        app = site or next((entry.site for entry in found if entry.site), "")
        yield NotSubscribed(registry, topics[0] if topics else None, app, place)
        return
    for entry in ours:
        if not entry.ready:
            yield SubscriptionNotReady(registry, entry)
        if entry.event_types and IMAGE_PUSHED.lower() not in {
            name.lower() for name in entry.event_types
        }:
            yield PushesFiltered(registry, entry)
        if entry.begins_with or entry.ends_with or entry.advanced:
            yield PushesNarrowed(registry, entry)
        if entry.attempts < _FEW_ATTEMPTS or entry.minutes < _FEW_MINUTES:
            yield FewAttempts(registry, entry)
        if entry.dead_letters is None:
            yield NoDeadLetters(registry, entry, place)
        elif not _same_place(entry.dead_letters, dead_letters):
            yield DeadLettersUnread(registry, entry, dead_letters)


def _same_place(place: tuple[str, str], address: str) -> bool:
    host, _, container = address.removeprefix("https://").partition("/")
    account = host.partition(".")[0]
    return (account.lower(), container.strip("/")) == (_short(place[0]).lower(), place[1])


def judge_functions(site: Site, names: Iterable[str]) -> Iterator[Finding]:
    """Tell whether a function app runs and has every function."""
    if site.state.lower() != "running":
        yield SiteStopped(site)
        return
    absent = FUNCTIONS - {name.lower() for name in names}
    if absent:
        yield FunctionsMissing(site.id, tuple(sorted(absent)))


def judge_task(task: Task) -> Iterator[Finding]:
    """Tell what a task shows to be wrong by itself."""
    if task.has_step and task.enabled and task.native_trigger:
        yield NativeTriggerOn(task.id)
