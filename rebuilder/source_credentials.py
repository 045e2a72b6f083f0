"""What hosts of build contexts and registries are shown."""

from __future__ import annotations

import re
from typing import ClassVar

from rebuilder.core.secret_values import SecretValue, read_secrets

_HOST = re.compile(
    r"(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?|\[[0-9a-f:]+\](?::[0-9]{1,5})?"
)


class SourceCredential(SecretValue, frozen=True):
    """What a host of build contexts is shown.

    Attributes:
        host: The host, lower case, with its port unless that is 443.
        secret: A token, or the password of `username`.
        username: The user; "" for a token alone.
    """

    HIDDEN: ClassVar = frozenset({"secret"})

    host: str
    secret: str
    username: str = ""


_TOKEN = re.compile(r"[\x21-\x7e]+")
_WORD = re.compile(r"[^\x00-\x1f\x7f]+")
_NAME = 64  # characters of a name that is shown
_PORTS = 65535
_GITHUB_API = "api.github.com"
_FORM = 'write a JSON object of hosts, each with a token or with {"username": ..., "password": ...}'


def is_host(text: str) -> bool:
    """Tell whether a text may be `HOST`, `HOST:PORT` or `*.DOMAIN`, in lower case."""
    return _HOST.fullmatch(text) is not None


def read_credentials(text: str, setting: str, problems: list[str]) -> tuple[SourceCredential, ...]:
    """Read what hosts are shown; no message holds any of it.

    Args:
        text: The setting's value.
        setting: Its name.
        problems: What is wrong with it is added here.
    """
    found: dict[str, SourceCredential] = {}
    given = read_secrets(text, setting, _FORM, problems)
    for number, (key, shown) in enumerate(given.items(), 1):
        host = key.lower()
        # Whoever mixes up the two sides of an entry has a secret for a name.
        called = repr(key) if len(key) <= _NAME and re.search("[.:]", key) else f"number {number}"
        problem = _host_problem(host) or (f"{host!r} is there twice" if host in found else None)
        match shown:
            case str(token) if _TOKEN.fullmatch(token):
                found[host] = SourceCredential(host, token)
            case {"username": str(user), "password": str(password)} if _WORD.fullmatch(
                user
            ) and _WORD.fullmatch(password):
                found[host] = SourceCredential(host, password, user)
            case _:
                problem = problem or (
                    "write a token, without white space, or"
                    ' {"username": ..., "password": ...}, neither empty nor with line breaks'
                )
        if problem:
            problems.append(f"{setting}: the entry {called}: {problem}")
    return tuple(found.values())


def _host_problem(host: str) -> str | None:
    """Tell why the name of an entry is none that a host could be looked up by."""
    name, colon, port = host.rpartition(":")
    if not is_host(host):
        return "write HOST or HOST:PORT, without https://, path and white space"
    if host.startswith("*."):
        return "a credential is one host's own: write an entry for each host"
    if host == _GITHUB_API:
        return "write 'github.com': contexts name that one"
    if colon and port == "443":
        return f"443 is meant anyway: write {name!r}"
    if colon and port.isdecimal() and not 0 < int(port) <= _PORTS:
        return f"the port is not 1 to {_PORTS}"
    return None
