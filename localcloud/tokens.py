"""Microsoft Entra's side: signed tokens that name a principal and are bound to an audience."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import jwt
from azure.core.credentials import AccessToken
from cryptography.hazmat.primitives.asymmetric import rsa

from localcloud.clock import Clock
from localcloud.directory import TENANT_ID, Directory, Principal

_ALGORITHM = "RS256"


class InvalidToken(Exception):
    """A token was not issued here, is for somebody else, or has expired."""


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


class Tokens:
    """Issues and checks tokens of one tenant, with a key made on start."""

    def __init__(self, clock: Clock, directory: Directory) -> None:
        self._clock = clock
        self._directory = directory
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def issue(
        self, principal: Principal, audience: str, lifetime: timedelta = timedelta(hours=24)
    ) -> str:
        """Return a token with the claims that Azure's clients read."""
        now = self._clock.now()
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{TENANT_ID}/",
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "tid": TENANT_ID,
            "oid": principal.object_id,
            "appid": principal.client_id,
            "xms_mirid": principal.resource_id,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def check(self, token: str, audiences: Collection[str]) -> Principal:
        """Return whom a token is for.

        Raises:
            InvalidToken: With the reason, never with the token.
        """
        claims = self.claims(token)
        audience = str(claims.get("aud", "")).rstrip("/")
        if audience not in {known.rstrip("/") for known in audiences}:
            raise InvalidToken(f"the token is for {audience}")
        principal = self._directory.by_object_id(str(claims.get("oid")))
        if principal is None:
            raise InvalidToken("the token names nobody known here")
        return principal

    def sign(self, claims: dict[str, Any], lifetime: timedelta) -> str:
        """Return a signed token with any claims, for the registry's own tokens."""
        now = self._clock.now()
        return jwt.encode(
            {**claims, "iat": now, "exp": now + lifetime}, self._key, algorithm=_ALGORITHM
        )

    def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that was signed here and has not expired.

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
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidTokenError as error:
            raise InvalidToken(type(error).__name__) from error
        if float(claims.get("exp", 0)) <= self._clock.now().timestamp():
            raise InvalidToken("the token has expired")
        return claims
