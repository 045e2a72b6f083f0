"""How a registry asks to be signed in to, and the token that it gives.

Source of the rules: distribution.github.io/distribution/spec/auth/token; RFC 9110, 11.3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from rebuilder.core.foreign_json import read_object
from rebuilder.errors import InvalidJson

_PARAMETER = re.compile(r'([a-zA-Z]++)="([^"]*)"')
_LONGEST = 4096
_TOKEN = re.compile(r"[\x21-\x7e]+")

TOKEN_LIMIT = 256 * 1024
"""Bytes of an answer that holds a token."""


class Challenge(Struct, frozen=True):
    """What a WWW-Authenticate header asks for.

    Attributes:
        scheme: In lower case; "" if the header cannot be read.
        realm: Where tokens are given out, an https address; "" if it names none.
        service: Who is to take the token; "" if it is not told.
        scope: What the token is to be for; "" if it is not told.
    """

    scheme: str = ""
    realm: str = ""
    service: str = ""
    scope: str = ""


def read_challenge(header: str) -> Challenge:
    """Read a WWW-Authenticate header; nothing in it raises."""
    if len(header) > _LONGEST:
        return Challenge()
    scheme, _, rest = header.strip().partition(" ")
    named = {name.lower(): value for name, value in _PARAMETER.findall(rest)}
    realm = named.get("realm", "")
    return Challenge(
        scheme.lower(),
        realm if realm.startswith("https://") else "",
        named.get("service", ""),
        named.get("scope", ""),
    )


def read_token(body: bytes, names: Sequence[str]) -> str | None:
    """Return the token of an answer, under the first of its names; None if there is none.

    One that could not stand in a header is none.
    """
    try:
        found = read_object(body, limit=TOKEN_LIMIT)
    except InvalidJson:
        return None
    token = next((found[name] for name in names if found.get(name)), None)
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else None
