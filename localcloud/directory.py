"""Who there is: the managed identities and people of one Microsoft Entra tenant."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from typing import Literal

TENANT_ID = "72f988bf-0000-4000-8000-2d7cd011db47"

type Kind = Literal["ServicePrincipal", "User"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a token is for.

    Attributes:
        object_id: Names it in role assignments.
        client_id: Names its application; a person has none.
        name: What a person reads.
        resource_id: The resource whose identity it is, if it is one.
        kind: What role assignments call it.
    """

    object_id: str
    client_id: str
    name: str
    resource_id: str = ""
    kind: Kind = "ServicePrincipal"


class Directory:
    """Every principal, found by object id or client id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._principals: dict[str, Principal] = {}

    def create(
        self, name: str, resource_id: str = "", kind: Kind = "ServicePrincipal"
    ) -> Principal:
        """Add a principal with ids of its own."""
        principal = Principal(str(uuid.uuid4()), str(uuid.uuid4()), name, resource_id, kind)
        with self._lock:
            self._principals[principal.object_id] = principal
        return principal

    def delete(self, object_id: str) -> None:
        """Remove a principal; its tokens are good for nothing from now on."""
        with self._lock:
            self._principals.pop(object_id, None)

    def principals(self) -> list[Principal]:
        """Every principal, oldest first."""
        with self._lock:
            return list(self._principals.values())

    def by_object_id(self, object_id: str) -> Principal | None:
        """The principal of an object id, in any case."""
        with self._lock:
            return self._principals.get(object_id.lower())

    def by_client_id(self, client_id: str) -> Principal | None:
        """The principal of a client id."""
        return next((p for p in self.principals() if p.client_id == client_id), None)
