"""What Azure tells of a set-up: registries, topics, subscriptions, the function app."""

from __future__ import annotations

from msgspec import Struct

from rebuilder.core.acr.access import Permission
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.rebuilds.messages import EVENTS

IMAGE_PUSHED = "Microsoft.ContainerRegistry.ImagePushed"
"""The type of the event that starts everything."""

PUSH_FUNCTION = "image_pushed"
"""The function that Event Grid is to deliver pushes to."""

FUNCTIONS = frozenset(
    {
        *("image_pushed", "plan_rebuilds", "start_build", "track_build"),
        *("event_queued", "task_changed", "refresh_index", "refresh_tasks"),
        *("sweep", "poll_bases", "collect_dead_letters", "retire_history", "carry_out_act"),
        *("send_message", "sum_staleness"),
    }
)
"""Every function of the app."""


class RegistrySetup(Struct, frozen=True):
    """How a registry is set up.

    Attributes:
        id: Its resource id.
        login_server: Its host.
        abac: Whether it goes by repository permissions, so that AcrPull does not count.
        closed: Whether its firewall keeps out whoever is not listed.
        trusted: Whether trusted services of Azure may pass the firewall.
        tasks_pass: Whether its tasks may pass it with them (networkRuleBypassAllowedForTasks).
    """

    id: RegistryId
    login_server: str
    abac: bool = False
    closed: bool = False
    trusted: bool = True
    tasks_pass: bool = False


class Topic(Struct, frozen=True):
    """An Event Grid system topic.

    Attributes:
        id: Its resource id.
        source: The resource id of what it tells of.
        principals: The object ids of its identities.
    """

    id: str
    source: str
    principals: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name."""
        return self.id.rpartition("/")[2]

    @property
    def group(self) -> str:
        """Its resource group."""
        return part(self.id, "resourcegroups")

    @property
    def subscription(self) -> str:
        """Its subscription."""
        return part(self.id, "subscriptions")


class EventSubscription(Struct, frozen=True):
    """A subscription to the events of a registry.

    Attributes:
        name: Its name.
        topic: The system topic that it was made on; None if it was made on the registry.
        function: The resource id of the function that it delivers to; "" for other destinations.
        webhook: The address, without its query, of the webhook that it delivers to; else "".
        event_types: The types that it lets through; empty for all.
        begins_with: What subjects must begin with.
        ends_with: What subjects must end with.
        advanced: How many advanced filters it has.
        attempts: How often an event is delivered at most.
        minutes: For how long it is tried.
        dead_letters: The storage account and the container of its dead letters; None if events
            that cannot be delivered are lost.
        ready: Whether its provisioning succeeded.
        queue: The storage account's resource id and the queue that events go into; None for other
            destinations.
    """

    name: str
    topic: Topic | None
    function: str = ""
    webhook: str = ""
    event_types: frozenset[str] = frozenset()
    begins_with: str = ""
    ends_with: str = ""
    advanced: int = 0
    attempts: int = 30
    minutes: int = 1440
    dead_letters: tuple[str, str] | None = None
    ready: bool = True
    queue: tuple[str, str] | None = None

    @property
    def ours(self) -> bool:
        """Whether it delivers to image_pushed or into the queue of events, as far as can be told.

        Event Grid shows of a webhook only what stands before the query, which names the function.
        """
        if self.queue is not None:
            return self.queue[1] == EVENTS
        if self.webhook:
            return self.webhook.lower().rstrip("/").endswith("/runtime/webhooks/eventgrid")
        return self.function.lower().endswith(f"/functions/{PUSH_FUNCTION}")

    @property
    def site(self) -> str:
        """The resource id of the function app that it delivers to; "" for other destinations."""
        return self.function.rpartition("/functions/")[0] or ""


class Site(Struct, frozen=True):
    """A function app.

    Attributes:
        id: Its resource id.
        state: Running or Stopped, in Azure's words.
        principals: The object id of each of its identities, by client id; that of the
            system-assigned one by "".
        integrated: Whether what it sends leaves through a virtual network.
    """

    id: str
    state: str
    principals: tuple[tuple[str, str], ...]
    integrated: bool = False


class RoleDefinition(Struct, frozen=True):
    """A role that may be assigned somewhere.

    Attributes:
        name: Its name.
        custom: Whether somebody made it.
        permissions: What it allows.
    """

    name: str
    custom: bool
    permissions: tuple[Permission, ...]


def part(resource_id: str, kind: str) -> str:
    """Return the name that follows a word in a resource id, in any case; "" if it has none."""
    pieces = resource_id.strip("/").split("/")
    named = dict(zip((p.lower() for p in pieces[::2]), pieces[1::2], strict=False))
    return named.get(kind.lower(), "")
