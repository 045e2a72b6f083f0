"""Microsoft Entra's side: signed tokens that name a principal and are bound to an audience."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from azure.core.credentials import AccessToken
from cryptography.hazmat.primitives.asymmetric import rsa

from localcloud.clock import Clock
from localcloud.directory import TENANT_ID, Directory, Principal

ISSUER = f"https://sts.windows.net/{TENANT_ID}/"
"""Who issues the tokens of this tenant: the `iss` of version 1.0."""

_ALGORITHM = "RS256"


class InvalidToken(Exception):
    """A token was not signed here; other reasons are subclasses."""


class ExpiredToken(InvalidToken):
    """A token is too old.

    Attributes:
        expired: When it expired.
        now: What the clock says.
    """

    def __init__(self, expired: datetime, now: datetime) -> None:
        super().__init__("the token has expired")
        self.expired = expired
        self.now = now


class WrongAudience(InvalidToken):
    """A token is for another service.

    Attributes:
        audience: Which.
    """

    def __init__(self, audience: str) -> None:
        super().__init__(f"the token is for {audience}")
        self.audience = audience


class WrongIssuer(InvalidToken):
    """A token is another tenant's, or another service's.

    Attributes:
        issuer: Whose.
    """

    def __init__(self, issuer: str) -> None:
        super().__init__(f"the token was issued by {issuer}")
        self.issuer = issuer


class UnknownPrincipal(InvalidToken):
    """A token names nobody, or somebody who is no longer there."""


class Credential:
    """What Azure's SDKs sign in with, for a principal of this cloud, without an endpoint."""

    def __init__(self, tokens: Tokens, principal: Principal) -> None:
        self._tokens = tokens
        self._principal = principal

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        """Return a token for the audience of the first scope; see azure.core's TokenCredential."""
        lifetime = timedelta(hours=1)
        token = self._tokens.issue(self._principal, scopes[0].removesuffix("/.default"), lifetime)
        return AccessToken(token, int(time.time() + lifetime.total_seconds()))


def new_key() -> rsa.RSAPrivateKey:
    """Return a key to sign with."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Tokens:
    """Issues and checks tokens of one tenant.

    Args:
        clock: Cloud time.
        directory: Whom tokens may name.
        key: The tenant's; by default another one than every other tenant's.
    """

    def __init__(
        self, clock: Clock, directory: Directory, key: rsa.RSAPrivateKey | None = None
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._key = key or new_key()

    def issue(
        self, principal: Principal, audience: str, lifetime: timedelta = timedelta(hours=24)
    ) -> str:
        """Return a token with the claims that Azure's clients read."""
        claims = {
            "aud": audience,
            "tid": TENANT_ID,
            "oid": principal.object_id,
            "sub": principal.object_id,
            "appid": principal.client_id,
            "xms_mirid": principal.resource_id,
        }
        return self.sign(claims, lifetime)

    def check(self, token: str, audiences: Collection[str]) -> Principal:
        """Return whom a token is for.

        Raises:
            InvalidToken: With the reason, never with the token.
        """
        claims = self.claims(token)
        audience = str(claims.get("aud", ""))
        if audience.rstrip("/") not in {known.rstrip("/") for known in audiences}:
            raise WrongAudience(audience)
        principal = self._directory.by_object_id(str(claims.get("oid")))
        if principal is None:
            raise UnknownPrincipal("the token names nobody known here")
        return principal

    def sign(self, claims: dict[str, Any], lifetime: timedelta, issuer: str = ISSUER) -> str:
        """Return a signed token with any claims; the registries have an issuer of their own."""
        now = self._clock.now()
        times = {"iat": now, "nbf": now, "exp": now + lifetime}
        complete = {**claims, **times, "iss": issuer, "jti": str(uuid.uuid4())}
        return jwt.encode(complete, self._key, algorithm=_ALGORITHM)

    def claims(self, token: str, issuer: str = ISSUER) -> dict[str, Any]:
        """Return the claims of a token that was signed here, by an issuer, and has not expired.

        Raises:
            InvalidToken: It was not, or has.
        """
        try:
            # Expiry is checked by the cloud's clock below, not by the machine's.
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=[_ALGORITHM],
                options={
                    "require": ["exp", "iss"],
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidTokenError as error:
            raise InvalidToken(type(error).__name__) from error
        if claims["iss"] != issuer:
            raise WrongIssuer(str(claims["iss"]))
        now = self._clock.now()
        if float(claims["exp"]) <= now.timestamp():
            raise ExpiredToken(datetime.fromtimestamp(float(claims["exp"]), UTC), now)
        return claims
