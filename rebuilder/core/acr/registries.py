"""Which registry is meant: resource ids, login servers and the other names of one registry."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Self

from msgspec import Struct

from rebuilder.errors import InvalidResourceId

DOCKER_HUB = "docker.io"

# ACR Tasks records Docker Hub as registry.hub.docker.com; the others are its older names.
_DOCKER_HUB_ALIASES = frozenset(
    {DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}
)

# The public cloud, 21Vianet and US Government.
_REGIONAL_ENDPOINT = re.compile(r"([a-z0-9-]+)\.[a-z0-9]+\.geo\.(azurecr\.(?:io|cn|us))")

_REGISTRY_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)"
    r"/resourcegroups/(?P<group>[^/]+)"
    r"/providers/microsoft\.containerregistry"
    r"/registries/(?P<name>[a-z0-9]{5,50})"
    r"(?P<rest>/.*)?"
)
_TASK_NAME = re.compile(r"[a-z0-9-_]{1,50}")
_ID_FORM = (
    "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP"
    "/providers/Microsoft.ContainerRegistry/registries/NAME"
)

# As in references: without a dot or a port it would be a part of the path.
_HOST = re.compile(r"(?=.*[.:])[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?")


def canonical_host(host: str) -> str:
    """The one name under which a registry host is compared.

    Hosts have no case. Docker Hub has four names. A regional endpoint of an ACR
    (`name.westeurope.geo.azurecr.io`) is the registry itself; a DNL name (`name-hash.azurecr.io`)
    is the login server already.
    """
    host = host.lower()
    if host in _DOCKER_HUB_ALIASES:
        return DOCKER_HUB
    if match := _REGIONAL_ENDPOINT.fullmatch(host):
        return f"{match[1]}.{match[2]}"
    return host


def host_matches(host: str, pattern: str) -> bool:
    """Tell whether a host is meant by an entry of a list.

    An entry without a port means 443; `*.example.com` means every host below, not itself; `*`
    means every host.
    """
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return pattern in ("*", host)


class RegistryId(Struct, frozen=True, order=True, gc=False):
    """The ARM resource id of a registry. Lower case, because ARM compares without case."""

    subscription: str
    resource_group: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a registry's resource id, in any case.

        Raises:
            InvalidResourceId: It is something else, or the id of something inside a registry.
        """
        registry, rest = cls._split(text)
        if rest:
            raise InvalidResourceId(f"{text!r:.300} is not a registry; expected {_ID_FORM}")
        return registry

    def may_be(self, host: str) -> bool:
        """Tell whether a login server can be this registry's: it begins with the registry's name.

        Source: learn.microsoft.com, "Azure Container Registry: unique domain name label": it is
        `name.azurecr.io`, or `name-hash.azurecr.io`.
        """
        return host.partition(".")[0].partition("-")[0] == self.name

    @classmethod
    def parse_source(cls, text: str) -> Self:
        """Read the topic or source of an event: a registry, or a connected registry of it.

        A connected registry is a cache of its cloud registry, under the same login server names,
        so it is known as that one.

        Raises:
            InvalidResourceId: It is something else.
        """
        registry, rest = cls._split(text)
        kind, _, name = rest.strip("/").partition("/")
        if rest and (kind != "connectedregistries" or not name or "/" in name):
            raise InvalidResourceId(f"{text!r:.300} is not a registry; expected {_ID_FORM}")
        return registry

    @classmethod
    def _split(cls, text: str) -> tuple[Self, str]:
        match = _REGISTRY_ID.fullmatch(text.strip().lower().rstrip("/"))
        if match is None:
            raise InvalidResourceId(f"{text!r:.300} is not a registry's resource id: {_ID_FORM}")
        return cls(match["subscription"], match["group"], match["name"]), match["rest"] or ""

    def __str__(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourcegroups/{self.resource_group}"
            f"/providers/microsoft.containerregistry/registries/{self.name}"
        )


class ForeignRegistry(Struct, frozen=True, order=True):
    """A registry that is none of Azure's, known by its host as references name it."""

    host: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a registry's host.

        Raises:
            InvalidResourceId: It is none that an image reference could name.
        """
        if not _HOST.fullmatch(text):
            raise InvalidResourceId(f"{text!r:.300} is neither a registry's resource id nor a host")
        return cls(text)

    def __str__(self) -> str:
        return self.host


type PushedRegistry = RegistryId | ForeignRegistry
"""Where a push may come from."""


class TaskId(Struct, frozen=True, order=True, gc=False):
    """The ARM resource id of an ACR task; lower case, like its registry's."""

    registry: RegistryId
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a task's resource id, in any case.

        Raises:
            InvalidResourceId: It is something else.
        """
        parent, separator, name = text.strip().lower().rstrip("/").rpartition("/tasks/")
        if not separator or not _TASK_NAME.fullmatch(name):
            raise InvalidResourceId(
                f"{text!r:.300} is not a task's resource id: {_ID_FORM}/tasks/TASK"
            )
        return cls(_registry(parent), name)

    @property
    def short(self) -> str:
        """REGISTRY/TASK, as people write it, and as patterns are compared with it."""
        return f"{self.registry.name}/{self.name}"

    def __str__(self) -> str:
        return f"{self.registry}/tasks/{self.name}"


@lru_cache(maxsize=1000)
def _registry(text: str) -> RegistryId:
    # The tasks of one registry are read by the thousand, and parsing takes its time.
    return RegistryId.parse(text)


class Registry(Struct, frozen=True):
    """A registry as ARM tells of it.

    Attributes:
        id: Its resource id.
        login_server: The host that image references name, as ARM says it; never made up from
            the registry's name, because sovereign clouds and DNL names differ.
    """

    id: RegistryId
    login_server: str
