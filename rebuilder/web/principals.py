"""Who asks, and what they may."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus

import msgspec
from msgspec import Struct

from rebuilder.core.structs import prepared
from rebuilder.settings.table import EASY_AUTH, SIGN_IN
from rebuilder.web.http import Refusal, Request

_PLATFORM = "WEBSITE_AUTH_ENABLED"
"""What App Service tells of its authentication, where it tells."""

HEADER = "x-ms-client-principal"
_LARGEST = 64 * 1024
_ID = ("http://schemas.microsoft.com/identity/claims/objectidentifier", "oid")
_NAMES = (
    "preferred_username",
    "name",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
)


class Role(StrEnum):
    """What somebody may; the values of the app's roles in Entra."""

    READER = "Reader"  # look
    OPERATOR = "Operator"  # stop, let go on, try again
    APPROVER = "Approver"  # agree to rebuilds, or reject them
    ADMIN = "Admin"  # all of that, and decide on policies


EVERYBODY = frozenset(Role)
OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
APPROVERS = frozenset({Role.APPROVER, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})


class Principal(Struct, frozen=True):
    """Who asks.

    Attributes:
        id: The name that acts carry: as for the command, the object id of their token.
        name: Their name, for a person.
        roles: What they may.
    """

    id: str
    name: str
    roles: frozenset[Role]


class _Claim(Struct, frozen=True):
    typ: str
    val: str


@prepared
class _Header(Struct, frozen=True):
    claims: tuple[_Claim, ...]
    role_typ: str = "roles"


def vouched(env: Mapping[str, str], request: Request) -> Principal:
    """Return who asks, where the settings say that Easy Auth vouches for them.

    Raises:
        Refusal: Nobody is signed in, or nobody would vouch for it.
    """
    if env.get(SIGN_IN, "").strip().lower() != EASY_AUTH:
        problem = f"nobody is let in: {SIGN_IN} is not {EASY_AUTH}, so anybody could be anybody"
        raise Refusal(HTTPStatus.FORBIDDEN, "sign-in-off", problem)
    if env.get(_PLATFORM, "").strip().lower() == "false":
        problem = "nobody is let in: App Service authentication is off"
        raise Refusal(HTTPStatus.FORBIDDEN, "sign-in-off", problem)
    return from_easy_auth(request)


def from_easy_auth(request: Request) -> Principal:
    """Return who asks, as Easy Auth tells.

    The platform takes the header out of whatever comes from outside and writes it itself: it is to
    be believed behind Easy Auth only.

    Raises:
        Refusal: Nobody is signed in, or the header is none of the platform's.
    """
    text = request.header(HEADER)
    if not text:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "not-signed-in", "sign in first")
    try:
        if len(text) > _LARGEST:
            raise ValueError(text[:20])  # noqa: TRY301 - told as what else is none
        header = msgspec.json.decode(base64.b64decode(text, validate=True), type=_Header)
    except (binascii.Error, ValueError) as error:
        problem = "who is signed in cannot be read"
        raise Refusal(HTTPStatus.FORBIDDEN, "principal-unreadable", problem) from error
    told = {claim.typ: claim.val for claim in reversed(header.claims)}
    who = next((told[name] for name in _ID if told.get(name)), "")
    if not who:
        problem = "the sign-in tells no object id"
        raise Refusal(HTTPStatus.FORBIDDEN, "principal-unreadable", problem)
    name = next((told[name] for name in _NAMES if told.get(name)), who)
    given = {claim.val for claim in header.claims if claim.typ in ("roles", header.role_typ)}
    return Principal(who, name[:200], frozenset(role for role in Role if role.value in given))
