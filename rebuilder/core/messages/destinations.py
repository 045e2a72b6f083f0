"""Whom messages go to, as a setting names them: its values are secrets."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import ClassVar
from urllib.parse import urlsplit

from rebuilder.core.secret_values import SecretValue, read_secrets

NAME = r"[a-z0-9][a-z0-9-]{0,62}"
"""How destinations and rules are named."""

_NAME = re.compile(NAME)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{1,30}://[^\s]{1,4000}", re.IGNORECASE)
_SECRET = re.compile(r"[\x21-\x7e]{16,512}")
_AUDIENCE = re.compile(r"[\x21-\x7e]{1,500}")
_FORM = (
    'write a JSON object of names, each with an address of Apprise\'s, or with {"url": "https://'
    '...", "secret": "..."}, {"url": "https://...", "audience": "api://..."} or {"topic": "https:/'
    '/..."}'
)


class Kind(StrEnum):
    """What a destination is."""

    PEOPLE = "people"  # Apprise knows how to reach them
    SIGNED = "signed"  # HTTPS, with an HMAC of the body
    BEARER = "bearer"  # HTTPS, with a token of Entra's
    TOPIC = "topic"  # a topic of Event Grid's, by identity


class Destination(SecretValue, frozen=True):
    """Whom messages go to.

    Attributes:
        name: What rules call it.
        kind: What it is.
        address: Where it is; a secret.
        key: The secret that bodies are signed with, or for whom a token is to be.
    """

    HIDDEN: ClassVar = frozenset({"address", "key"})

    name: str
    kind: Kind
    address: str
    key: str = ""


def read_destinations(text: str, setting: str, problems: list[str]) -> tuple[Destination, ...]:
    """Read whom messages go to; no problem holds any of it but names.

    Args:
        text: The setting's value.
        setting: Its name.
        problems: What is wrong with it is added here.
    """
    found = []
    given = read_secrets(text, setting, _FORM, problems)
    for number, (name, value) in enumerate(given.items(), 1):
        if not _NAME.fullmatch(name):
            # Whoever mixes up the two sides of an entry has a secret for a name.
            right = "name it with lower-case letters, digits and '-'"
            problems.append(f"{setting}: the entry number {number}: {right}")
        elif (one := _destination(name, value)) is None:
            problems.append(f"{setting}: the entry {name!r}: {_FORM}; a secret has 16 characters")
        else:
            found.append(one)
    return tuple(found)


def _destination(name: str, value: object) -> Destination | None:
    match value:
        case str(address) if _SCHEME.fullmatch(address):
            return Destination(name, Kind.PEOPLE, address)
        case {"url": str(url), "secret": str(secret), **rest} if (
            not rest and _is_https(url) and _SECRET.fullmatch(secret)
        ):
            return Destination(name, Kind.SIGNED, url, secret)
        case {"url": str(url), "audience": str(audience), **rest} if (
            not rest and _is_https(url) and _AUDIENCE.fullmatch(audience)
        ):
            return Destination(name, Kind.BEARER, url, audience)
        case {"topic": str(url), **rest} if not rest and _is_https(url):
            return Destination(name, Kind.TOPIC, url)
    return None


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        plain = bool(parts.hostname) and parts.username is None and parts.password is None
    except ValueError:
        return False
    return plain and parts.scheme == "https" and _SCHEME.fullmatch(url) is not None
