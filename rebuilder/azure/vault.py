"""Secrets of Key Vault that the app reads itself.

App settings may refer to Key Vault, but not to a vault with network rules: the platform resolves
them from outside of the app's network.
"""

from __future__ import annotations

import logging
import threading
import time

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.rest import HttpRequest, HttpResponse
from msgspec import Struct

from rebuilder.azure._clients import TIMEOUTS, Clients
from rebuilder.azure._errors import answered
from rebuilder.azure.throttle import ReadRetryPolicy
from rebuilder.core.secret_values import SecretAddress
from rebuilder.errors import Denied, NotFound, RebuilderError, TransientError

log = logging.getLogger(__name__)

_VERSION = "7.6"
_FRESH_SECONDS = 600.0
_AGAIN_SECONDS = 30.0


class _Known(Struct, frozen=True):
    """What was read, or why nothing was; until when nobody asks again, by the monotonic clock."""

    until: float
    value: str | None
    problem: str = ""


class VaultSecrets:
    """Secrets by their addresses. May be used by several threads.

    Args:
        identity: Who reads; it needs Key Vault Secrets User on the vault.
        fresh: For how many seconds a secret is not asked for again; it may be rotated.
        again: The same for one that could not be read.
    """

    def __init__(
        self,
        identity: TokenCredential,
        *,
        fresh: float = _FRESH_SECONDS,
        again: float = _AGAIN_SECONDS,
    ) -> None:
        def client(audience: str) -> PipelineClient[HttpRequest, HttpResponse]:
            signed = BearerTokenCredentialPolicy(identity, f"{audience}/.default")
            return PipelineClient(audience, policies=[ReadRetryPolicy(), signed], **TIMEOUTS)

        self._clients = Clients(client)
        self._fresh = fresh
        self._again = again
        self._lock = threading.Lock()
        self._known: dict[SecretAddress, _Known] = {}

    def close(self) -> None:
        """Close the connections."""
        self._clients.close()

    def read(self, address: SecretAddress) -> str:
        """Return a secret. One that was read stays good while its vault is out of order.

        Raises:
            TransientError: It cannot be read now; the message is the same for the same reason.
        """
        now = time.monotonic()
        with self._lock:
            known = self._known.get(address)
        if known is None or now >= known.until:
            known = self._ask(address, known, now)
            with self._lock:
                self._known[address] = known
        if known.value is None:
            raise TransientError(known.problem)
        return known.value

    def _ask(self, address: SecretAddress, before: _Known | None, now: float) -> _Known:
        client = self._clients[address.audience]
        request = HttpRequest("GET", f"{address.text}?api-version={_VERSION}")
        try:
            with answered(f"read the secret {address.text}"):
                answer = client.send_request(request)
                answer.raise_for_status()
                value = answer.json()["value"]
                if not isinstance(value, str):
                    raise TypeError
                return _Known(now + self._fresh, value)
        except RebuilderError as error:
            log.warning("secret %s: %s", address.text, error)
            kept = before.value if before and not isinstance(error, Denied | NotFound) else None
            return _Known(now + self._again, kept, f"{address.text}: {_reason(error)}")


def _reason(error: RebuilderError) -> str:
    """Tell why a secret cannot be read, in the same words for the same reason.

    Azure's own have a number of the request; the log has them.
    """
    if isinstance(error, Denied):
        return (
            "the identity may not read it: give it Key Vault Secrets User on the vault, and let"
            " the vault be reached from the app's network"
        )
    if isinstance(error, NotFound):
        return "there is none"
    return "the vault gives no usable answer"
