"""Tokens: whom they name, who takes them, and ARM's words for those that it does not take."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.mgmt.containerregistry import ContainerRegistryManagementClient

from localcloud.clock import Clock
from localcloud.cloud import LocalCloud
from localcloud.directory import TENANT_ID, Directory
from localcloud.state import Registry
from localcloud.tokens import (
    ISSUER,
    Credential,
    ExpiredToken,
    InvalidToken,
    Tokens,
    UnknownPrincipal,
    WrongAudience,
    WrongIssuer,
)
from tests.clocks import StoppedClock

ARM = "https://management.azure.com"
CORE = "https://management.core.windows.net"


@pytest.fixture(name="anybody")
def _anybody(still: LocalCloud, apps: Registry) -> Iterator[httpx.Client]:
    """A client of ARM that has no token, at a registry's address."""
    params = {"api-version": "2025-04-01"}
    with still.network.client(base_url=f"{ARM}{apps.id}", params=params) as client:
        yield client


def refusal(client: httpx.Client, token: str, kind: str = "Bearer") -> tuple[str, str]:
    """Return the code and the sentence with which ARM refuses a token."""
    answer = client.get("", headers={"Authorization": f"{kind} {token}"})
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    error = answer.json()["error"]
    return error["code"], error["message"]


def test_a_token_names_its_principal(still: LocalCloud) -> None:
    """The claims are those that Azure's clients read."""
    claims = jwt.decode(
        still.tokens.issue(still.developer, ARM), options={"verify_signature": False}
    )

    assert claims["oid"] == claims["sub"] == still.developer.object_id
    assert claims["appid"] == still.developer.client_id
    assert (claims["aud"], claims["tid"], claims["iss"]) == (ARM, TENANT_ID, ISSUER)
    assert claims["exp"] - claims["nbf"] == timedelta(hours=24).total_seconds()


def test_each_reason_is_told_apart() -> None:
    """Expired, for others, by others, of nobody, not signed here: each has its type."""
    clock = StoppedClock()
    directory = Directory()
    tokens, me = Tokens(clock, directory), directory.create("me")
    good = tokens.issue(me, ARM, timedelta(hours=1))
    assert tokens.check(good, [f"{ARM}/"]) == me
    clock.forward(3599)
    assert tokens.check(good, [ARM]) == me
    clock.forward(2)
    with pytest.raises(ExpiredToken) as expired:
        tokens.check(good, [ARM])
    assert timedelta() <= expired.value.now - expired.value.expired < timedelta(seconds=3)
    fresh = tokens.issue(me, ARM)
    with pytest.raises(WrongAudience, match=ARM):
        tokens.check(fresh, [CORE])
    with pytest.raises(WrongIssuer, match="elsewhere"):
        tokens.check(tokens.sign({"aud": ARM}, timedelta(1), "elsewhere"), [ARM])
    with pytest.raises(UnknownPrincipal):
        tokens.check(tokens.sign({"aud": ARM}, timedelta(1)), [ARM])
    directory.delete(me.object_id)
    with pytest.raises(UnknownPrincipal):
        tokens.check(fresh, [ARM])


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_only_this_tenants_key_signs(algorithm: str) -> None:
    """Neither a token without a signature is taken nor one that is signed with a guessed key."""
    directory = Directory()
    me = directory.create("me")
    claims = {"aud": ARM, "iss": ISSUER, "oid": me.object_id, "exp": 9_999_999_999}
    key = "" if algorithm == "none" else "a guess that is 32 bytes long at least"
    forged = jwt.encode(claims, key, algorithm=algorithm)

    with pytest.raises(InvalidToken, match="InvalidAlgorithm"):
        Tokens(Clock(), directory).check(forged, [ARM])


def test_a_changed_token_is_not_taken(anybody: httpx.Client, still: LocalCloud) -> None:
    """Claims of one token with another's signature, a foreign key, garbage: all are invalid."""
    mine = still.tokens.issue(still.developer, ARM).split(".")
    other = still.tokens.issue(still.function_app, ARM).split(".")
    foreign = Tokens(still.clock, still.directory).issue(still.developer, ARM)
    expected = ("InvalidAuthenticationToken", "The access token is invalid.")

    assert refusal(anybody, ".".join([*other[:2], mine[2]])) == expected
    assert refusal(anybody, foreign) == expected
    assert refusal(anybody, "garbage") == expected
    assert anybody.get("", headers={"Authorization": f"Bearer {'.'.join(mine)}"}).is_success


def test_arm_takes_its_own_audiences_only(anybody: httpx.Client, still: LocalCloud) -> None:
    """Both names of ARM are good, with a slash or without; any other is named in the answer."""
    for audience in (ARM, f"{ARM}/", CORE, f"{CORE}/"):
        token = still.tokens.issue(still.developer, audience)
        assert anybody.get("", headers={"Authorization": f"Bearer {token}"}).is_success
    elsewhere = still.tokens.issue(still.developer, "https://vault.azure.net")

    assert refusal(anybody, elsewhere) == (
        "InvalidAuthenticationTokenAudience",
        (
            "The access token has been obtained for wrong audience or resource"
            " 'https://vault.azure.net'. It should exactly match with one of the allowed audiences"
            " 'https://management.core.windows.net/','https://management.core.windows.net',"
            "'https://management.azure.com/','https://management.azure.com'."
        ),
    )


def test_tokens_expire_by_the_clouds_clock(
    anybody: httpx.Client, still: LocalCloud, clock: StoppedClock
) -> None:
    """The answer tells both times as ARM writes them."""
    token = still.tokens.issue(still.developer, ARM, timedelta(hours=1))
    clock.forward(3601)
    code, message = refusal(anybody, token)
    now = still.clock.now()

    assert code == "ExpiredAuthenticationToken"
    assert message.startswith("The access token expiry UTC time '")
    assert "' is earlier than current UTC time '" in message
    assert f"'{now.month}/{now.day}/{now.year} " in message
    assert message.endswith(("AM'.", "PM'."))


def test_another_tenants_token_is_refused(anybody: httpx.Client, still: LocalCloud) -> None:
    """The answer names both tenants; a registry's own token is another issuer's as well."""
    claims = {"aud": ARM, "oid": still.developer.object_id}
    other = "https://sts.windows.net/00000000-1111-4222-8333-444444444444/"
    code, message = refusal(anybody, still.tokens.sign(claims, timedelta(1), other))
    registrys = still.registry.registry_token(still.state.registries()[0], "somebody")

    assert code == "InvalidAuthenticationTokenTenant"
    assert message.startswith(
        f"The access token is from the wrong issuer '{other}'. It must match the tenant '{ISSUER}'"
    )
    assert refusal(anybody, registrys)[0] == "InvalidAuthenticationTokenTenant"


def test_a_deleted_identity_is_nobody(anybody: httpx.Client, still: LocalCloud) -> None:
    """A token of an identity that was deleted is good for nothing."""
    gone = still.directory.create("gone")
    token = still.tokens.issue(gone, ARM)
    still.directory.delete(gone.object_id)
    code, message = refusal(anybody, token)

    assert code == "InvalidAuthenticationToken"
    assert "make sure service principal is properly created" in message


def test_a_request_without_a_bearer_token(anybody: httpx.Client) -> None:
    """No header and one of another kind have codes of their own."""
    missing = anybody.get("")

    assert missing.status_code == 401
    assert missing.json()["error"] == {
        "code": "AuthenticationFailed",
        "message": "Authentication failed. The 'Authorization' header is missing.",
    }
    assert refusal(anybody, "bWU6cGFzcw==", "Basic")[0] == "AuthenticationFailedInvalidHeader"


def test_azures_client_raises_for_a_token_that_is_refused(
    still: LocalCloud, apps: Registry
) -> None:
    """The SDK's ClientAuthenticationError carries ARM's code."""
    stranger = Credential(Tokens(still.clock, still.directory), still.developer)
    with (
        ContainerRegistryManagementClient(stranger, apps.subscription_id) as client,
        pytest.raises(ClientAuthenticationError) as raised,
    ):
        client.registries.get(apps.resource_group, apps.name)

    assert raised.value.status_code == 401
    assert raised.value.error is not None
    assert raised.value.error.code == "InvalidAuthenticationToken"
