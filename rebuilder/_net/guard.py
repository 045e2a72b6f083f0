"""Which hosts may be asked, and at which addresses.

A context is written by whoever may write a task, and a redirect by whoever runs a server: neither
may make this product ask something inside of its own network. Two rules hold for every connection:
the host is on a list that the operator wrote, and the address that is connected to is a public
one, unless the operator listed the host as private. The connection goes to the very address that
was looked at, so that a name cannot mean two things.

Behind an HTTPS proxy the proxy resolves names, and only the list holds; addresses written in place
of names are looked at all the same.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

from rebuilder._net.addresses import HTTPS
from rebuilder.core.acr.registries import host_matches
from rebuilder.errors import SourceUnavailable, TransientError
from rebuilder.settings.table import PRIVATE_SOURCE_HOSTS, SOURCE_HOSTS

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address
type Resolver = Callable[[str, int], list[Any]]
"""`socket.getaddrinfo`, or what stands for it."""

# Azure's platform address (DNS, DHCP, health, the agents' keys) is a public one.
_PLATFORM = (ipaddress.ip_address("168.63.129.16"), ipaddress.ip_address("fd00:ec2::254"))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOOPBACK = ipaddress.ip_address("::1")
# Old or local ways to write another address in: what reaches which, only its network knows.
_NOT_ASKED = (
    ipaddress.ip_network("::/96"),  # IPv4-compatible (RFC 4291, 2.5.5.1)
    ipaddress.ip_network("::ffff:0:0:0/96"),  # IPv4-translated (RFC 2765)
    ipaddress.ip_network("64:ff9b:1::/48"),  # NAT64 of a network's own (RFC 8215)
    ipaddress.ip_network("fec0::/10"),  # site-local (RFC 3879)
)


class Guard:
    """Decides on hosts and addresses.

    Args:
        hosts: Hosts that may be asked: `github.com`, `*.azurecr.io`, `git.example.com:8443`.
        private: Those of them whose addresses may be private.
        resolve: Resolves names.
        setting: The setting that lists the hosts, for the message.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        private: Iterable[str] = (),
        resolve: Resolver = socket.getaddrinfo,
        setting: str = SOURCE_HOSTS,
    ) -> None:
        self._setting = setting
        self._private = tuple(private)
        self._hosts = (*hosts, *self._private)
        self._resolve = resolve

    def check_host(self, host: str, also: Iterable[str] = ()) -> None:
        """Let a host pass.

        Args:
            host: Lower case, with its port unless that is 443.
            also: Hosts that an allowed one sends its clients to.

        Raises:
            SourceUnavailable: It is on no list, or is an address that may not be asked.
        """
        if not any(host_matches(host, pattern) for pattern in (*self._hosts, *also)):
            raise SourceUnavailable(
                f"the host {host} may not be asked; if it is to be, add it to {self._setting}"
            )
        address = _literal(host)
        if address is not None:
            self._check_address(host, address)

    def addresses(self, host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
        """Return the families and addresses to connect to.

        Raises:
            SourceUnavailable: One of them may not be asked, or the name does not exist.
            TransientError: The name cannot be resolved now.
        """
        written = f"[{host}]" if ":" in host else host
        name = written if port == HTTPS else f"{written}:{port}"
        try:
            found = self._resolve(host, port)
        except socket.gaierror as error:
            if error.errno == socket.EAI_NONAME:
                raise SourceUnavailable(f"the host {name} does not exist") from None
            raise TransientError(f"the host {name} cannot be resolved") from None
        except UnicodeError:
            raise SourceUnavailable("the host's name is not one") from None
        for _, _, _, _, sockaddr in found:
            self._check_address(name, ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]))
        # A name with several protocols is answered once per protocol.
        return list(dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found))

    def _check_address(self, host: str, address: Address) -> None:
        for inner in _inner(address):
            if _never(inner):
                raise SourceUnavailable(
                    f"the host {host} has the address {address}, which is never asked"
                )
            private = any(host_matches(host, pattern) for pattern in self._private)
            if not inner.is_global and not private:
                raise SourceUnavailable(
                    f"the host {host} has the private address {address}; if it may be asked, add"
                    f" the host to {PRIVATE_SOURCE_HOSTS}"
                )


def _literal(host: str) -> Address | None:
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host
    if not host.startswith("["):
        name = name.partition(":")[0]
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _inner(address: Address) -> list[Address]:
    """Return an address and what is inside of it: an IPv6 address may stand for an IPv4 one."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        embedded: list[ipaddress.IPv4Address | None] = [address.ipv4_mapped, address.sixtofour]
        embedded += address.teredo or ()
        if address in _NAT64:
            embedded.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        found += [inner for inner in embedded if inner is not None]
        # What stands for an IPv4 address is judged as that.
        found = found[1:] or found
    return found


def _never(address: Address) -> bool:
    return (
        address in _PLATFORM
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (address != _LOOPBACK and any(address in network for network in _NOT_ASKED))
    )
