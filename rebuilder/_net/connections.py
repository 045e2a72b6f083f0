"""Connections to addresses that were looked at.

One method of urllib3's connection is replaced, so that it connects to no other.
"""

from __future__ import annotations

import socket
from typing import Any

import requests
import requests.adapters
import urllib3.exceptions
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from rebuilder._net.addresses import HTTPS
from rebuilder._net.deadlines import current
from rebuilder._net.guard import Guard

CONNECT_SECONDS = 10.0


def _pool_class(guard: Guard) -> type[HTTPSConnectionPool]:
    class Connection(HTTPSConnection):
        """Connects to addresses that the guard lets pass."""

        # A second handle of the connection: TLS takes the first away from its owner.
        _handle: socket.socket | None = None

        def _new_conn(self) -> socket.socket:
            connection = self._connect()
            self._handle = connection.dup()
            self._watch()
            return connection

        def _connect(self) -> socket.socket:
            if self.proxy is not None:
                # The operator's own; the proxy decides on addresses.
                return super()._new_conn()
            failure: OSError | None = None
            deadline = current.get()
            for family, address in guard.addresses(self._dns_host, int(self.port or HTTPS)):
                connection = socket.socket(family, socket.SOCK_STREAM)
                try:
                    for option in self.socket_options or ():
                        connection.setsockopt(*option)
                    left = deadline.remaining() if deadline else CONNECT_SECONDS
                    connection.settimeout(min(CONNECT_SECONDS, left))
                    connection.connect(address)
                except OSError as error:
                    connection.close()
                    failure = error
                else:
                    return connection
            raise urllib3.exceptions.NewConnectionError(self, f"no connection: {failure}")

        def _watch(self) -> None:
            deadline = current.get()
            if deadline is not None and self._handle is not None:
                deadline.watch(self._handle)

        def putrequest(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as it is
            # A connection that is used again belongs to another deadline.
            self._watch()
            super().putrequest(*args, **kwargs)

        def close(self) -> None:
            super().close()
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    class Pool(HTTPSConnectionPool):
        """Makes such connections."""

        ConnectionCls = Connection

    return Pool


class Adapter(requests.adapters.HTTPAdapter):
    def __init__(self, guard: Guard) -> None:
        self._pools = {"https": _pool_class(guard)}
        super().__init__(max_retries=0)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:  # noqa: ANN401 - as it is
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


class Session(requests.Session):
    """Leaves redirects alone; `requests` reads each of them, even where none is to be followed."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find none: who asked reads the header, and looks at each hop."""
        del resp
