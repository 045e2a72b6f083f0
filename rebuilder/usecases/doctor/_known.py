"""What all checks go by."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.doctor import Finding, Unchecked
from rebuilder.core.doctor.setup import EventSubscription, RegistrySetup, Site, Topic
from rebuilder.ports.preflight import Preflight
from rebuilder.usecases.context import Context

STORAGE = "Microsoft.Storage/storageAccounts"
READ_ROLES = "Microsoft.Authorization/roleAssignments/read and roleDefinitions/read (Reader)"

type Result = Finding | Unchecked


class Check(Struct, frozen=True):
    """Something to look at.

    Attributes:
        what: What, for a person.
        right: What the caller needs for it.
        look: Looks.
    """

    what: str
    right: str
    look: Callable[[], Iterable[Result]]


class Known:
    """What is examined, and what is known of it so far.

    Attributes:
        context: The settings, and what the product itself asks.
        preflight: What else is asked of Azure.
        site: The function app's resource id; "" for any that pushes are sent to.
        principal: Whose roles are looked at, by object id; "" for the caller.
        who: The same, for a person.
        setups: How the registries are set up that could be read.
        subscribed: The topics of base registries, and what is subscribed to them.
        sites: The function apps that could be read, by their resource ids in lower case.
    """

    def __init__(self, context: Context, preflight: Preflight, site: str) -> None:
        self.context = context
        self.preflight = preflight
        self.site = site
        self.principal = ""
        self.who = ""
        self.setups: dict[RegistryId, RegistrySetup] = {}
        self.subscribed: dict[RegistryId, tuple[list[Topic], list[EventSubscription]]] = {}
        self.sites: dict[str, Site] = {}
