"""A registry's own sign-in: who gets which token, and what it opens."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta

import httpx
import jwt
import pytest

from localcloud.cloud import LocalCloud
from localcloud.directory import Principal
from localcloud.registry.auth import TOKEN_USER
from localcloud.state import Registry
from localcloud.tokens import Tokens
from tests import images
from tests.clocks import StoppedClock

ACR = "https://containerregistry.azure.net"
ARM = "https://management.azure.com"
SCOPE = "repository:a/node:pull,push,delete,metadata_read,metadata_write"
CATALOG = "registry:catalog:*"
ABAC = "AbacRepositoryPermissions"
REPOSITORY = "Container Registry Repository"


@pytest.fixture(name="base")
def _base(still: LocalCloud) -> Registry:
    base = images.registry(still, "mybase", adminUserEnabled=False)
    images.push(still, base, "a/node", "1", "x")
    return base


@pytest.fixture(name="http")
def _http(still: LocalCloud, base: Registry) -> Iterator[httpx.Client]:
    """A client of the registry without credentials."""
    with still.network.client(base_url=f"https://{base.login_server}") as client:
        yield client


def exchange(http: httpx.Client, token: str) -> httpx.Response:
    """Ask for a refresh token, as Azure's client does."""
    form = {"grant_type": "access_token", "service": http.base_url.host, "access_token": token}
    return http.post("/oauth2/exchange", data=form)


def access(http: httpx.Client, refresh: str, scope: str) -> str:
    """Return an access token."""
    form = {"grant_type": "refresh_token", "service": http.base_url.host, "scope": scope}
    answer = http.post("/oauth2/token", data={**form, "refresh_token": refresh})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def bearer(token: str) -> dict[str, str]:
    """Return the header of a token."""
    return {"Authorization": f"Bearer {token}"}


def granted(still: LocalCloud, http: httpx.Client, principal: Principal) -> str:
    """Return what a principal's access token says of a repository, and of the catalog."""
    answer = exchange(http, still.tokens.issue(principal, ACR))
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.json()['errors'][0]['code']}"
    token = access(http, answer.json()["refresh_token"], f"{SCOPE} {CATALOG}")
    claims = jwt.decode(token, options={"verify_signature": False})
    repository, catalog = (entry["actions"] for entry in claims["access"])
    return " ".join([*sorted(repository), *(["catalog"] if catalog else [])])


def given(still: LocalCloud, base: Registry, http: httpx.Client, *roles: str) -> dict[str, str]:
    """Return what each role grants to somebody who has it and no other."""
    found = {}
    for role in roles:
        principal = still.directory.create(role)
        still.roles.assign(role, principal.object_id, base.id)
        found[role] = granted(still, http, principal)
    return found


def test_roles_of_a_registry_without_abac(
    still: LocalCloud, base: Registry, http: httpx.Client
) -> None:
    """AcrPull, AcrPush and AcrDelete grant what they say; repository roles nothing at all."""
    reads = "metadata_read pull catalog"
    pushes = "metadata_read metadata_write pull push catalog"
    everything = "delete metadata_read metadata_write pull push catalog"

    assert given(
        still,
        base,
        http,
        *("AcrPull", "AcrPush", "AcrDelete", "Reader", "Contributor", "Owner"),
        *("Container Registry Data Importer and Data Reader", f"{REPOSITORY} Contributor"),
        "Container Registry Tasks Contributor",
    ) == {
        "AcrPull": reads,
        "AcrPush": pushes,
        "AcrDelete": "delete",
        "Reader": reads,
        "Contributor": everything,
        "Owner": everything,
        "Container Registry Data Importer and Data Reader": reads,
        f"{REPOSITORY} Contributor": "401 UNAUTHORIZED",
        "Container Registry Tasks Contributor": "401 UNAUTHORIZED",
    }


def test_roles_of_an_abac_registry(still: LocalCloud, base: Registry, http: httpx.Client) -> None:
    """Only repository roles count, not AcrPull or Owner; the catalog has a role of its own."""
    base.properties["roleAssignmentMode"] = ABAC

    assert given(
        still,
        base,
        http,
        *("AcrPull", "AcrPush", "AcrDelete", "Reader", "Contributor", "Owner"),
        *(f"{REPOSITORY} {kind}" for kind in ("Reader", "Writer", "Contributor")),
        f"{REPOSITORY} Catalog Lister",
    ) == {
        **dict.fromkeys(
            ("AcrPull", "AcrPush", "AcrDelete", "Reader", "Contributor", "Owner"),
            "401 UNAUTHORIZED",
        ),
        f"{REPOSITORY} Reader": "metadata_read pull",
        f"{REPOSITORY} Writer": "metadata_read metadata_write pull push",
        f"{REPOSITORY} Contributor": "delete metadata_read metadata_write pull push",
        f"{REPOSITORY} Catalog Lister": "catalog",
    }


def test_a_token_opens_what_its_role_allows(
    still: LocalCloud, base: Registry, http: httpx.Client
) -> None:
    """With AcrPull alone a pull succeeds; push, delete and another repository are refused."""
    somebody = still.directory.create("somebody")
    still.roles.assign("AcrPull", somebody.object_id, base.id)
    refresh = exchange(http, still.tokens.issue(somebody, ACR)).json()["refresh_token"]
    headers = bearer(access(http, refresh, f"{SCOPE} {CATALOG}"))
    manifest = "/v2/a/node/manifests/1"
    asked = [
        ("GET", manifest, 200),
        ("GET", "/v2/_catalog", 200),
        ("GET", "/acr/v1/a/node/_tags", 200),
        ("PUT", "/v2/a/node/manifests/2", 401),
        ("POST", "/v2/a/node/blobs/uploads/", 401),
        ("PATCH", "/acr/v1/a/node/_tags/1", 401),
        ("DELETE", manifest, 401),
        ("DELETE", "/acr/v1/a/node", 401),
        ("GET", "/v2/b/node/manifests/1", 401),
    ]
    answers = [(m, path, http.request(m, path, headers=headers)) for m, path, _ in asked]

    assert [(m, path, answer.status_code) for m, path, answer in answers] == asked
    refused = [answer for _, _, answer in answers if answer.status_code == 401]
    for answer in refused:
        assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="repository:a/node:push"' in refused[0].headers["www-authenticate"]


def test_a_role_that_is_taken_away_counts_for_the_next_token(
    still: LocalCloud, base: Registry, http: httpx.Client
) -> None:
    """An access token is good until it expires, as in ACR; a new one grants nothing any more."""
    somebody = still.directory.create("somebody")
    made = still.roles.assign("AcrPull", somebody.object_id, base.id)
    refresh = exchange(http, still.tokens.issue(somebody, ACR)).json()["refresh_token"]
    held = access(http, refresh, SCOPE)
    still.roles.revoke(made.id)

    def status(token: str) -> int:
        return http.get("/v2/a/node/manifests/1", headers=bearer(token)).status_code

    assert status(held) == 200
    assert status(access(http, refresh, SCOPE)) == 401
    assert exchange(http, still.tokens.issue(somebody, ACR)).status_code == 401


def test_only_good_tokens_are_exchanged(
    still: LocalCloud, base: Registry, http: httpx.Client
) -> None:
    """Of this tenant, for the registry or ARM, signed and not expired; no answer tells a token."""
    developer = still.developer
    foreign = Tokens(still.clock, still.directory).issue(developer, ACR)
    bad = {
        "audience": still.tokens.issue(developer, "https://vault.azure.net"),
        "expired": still.tokens.issue(developer, ACR, timedelta(0)),
        "signature": foreign,
        "issuer": still.tokens.sign(
            {"aud": ACR, "oid": developer.object_id}, timedelta(1), "https://sts.windows.net/x/"
        ),
        "refresh": still.registry.registry_token(base, "me"),
        "none": "",
    }
    answers = {why: exchange(http, token) for why, token in bad.items()}

    assert {why: answer.status_code for why, answer in answers.items()} == dict.fromkeys(bad, 401)
    for why, answer in answers.items():
        assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"
        assert not bad[why] or bad[why] not in answer.text
    assert exchange(http, still.tokens.issue(developer, ARM)).status_code == 200


def test_tokens_for_arm_may_be_kept_out(
    still: LocalCloud, base: Registry, http: httpx.Client
) -> None:
    """With azureADAuthenticationAsArmPolicy disabled only tokens for registries are exchanged."""
    base.properties["policies"] = {"azureADAuthenticationAsArmPolicy": {"status": "disabled"}}

    assert exchange(http, still.tokens.issue(still.developer, ARM)).status_code == 401
    assert exchange(http, still.tokens.issue(still.developer, ACR)).status_code == 200


def test_the_admin_user_signs_in_only_if_enabled(
    still: LocalCloud, base: Registry, http: httpx.Client
) -> None:
    """It may do everything with the password that ARM tells, until that is made anew."""
    arm = {"headers": bearer(still.tokens.issue(still.developer, ARM))}
    version = {"api-version": "2025-04-01"}

    def ask(action: str, body: dict[str, str] | None = None) -> httpx.Response:
        with still.network.client(base_url=f"{ARM}{base.id}", **arm) as client:
            return client.post(f"/{action}", params=version, json=body or {})

    off = ask("listCredentials")
    assert off.status_code == 400
    assert off.json()["error"]["code"] == "UnAuthorizedForCredentialOperations"
    pair = (base.name, base.admin_password)
    assert http.get("/v2/", auth=pair).status_code == 401
    base.properties["adminUserEnabled"] = True
    told = ask("listCredentials").json()
    assert (told["username"], told["passwords"][0]["value"]) == pair
    tag = "/v2/a/node/manifests/1"
    assert http.get("/v2/_catalog", auth=pair).json() == {"repositories": ["a/node"]}
    token = http.get(
        "/oauth2/token", params={"service": base.login_server, "scope": SCOPE}, auth=pair
    )
    assert http.get(tag, headers=bearer(token.json()["access_token"])).status_code == 200
    password = {"grant_type": "password", "username": pair[0], "password": pair[1]}
    assert http.post("/oauth2/token", data={**password, "scope": SCOPE}).status_code == 200
    ask("regenerateCredential", {"name": "password"})
    assert http.get(tag, auth=pair).status_code == 401
    assert http.get(tag, auth=(base.name, base.admin_password)).status_code == 200
    assert http.delete(tag, auth=(base.name, base.admin_password)).status_code == 202


def test_tokens_expire_by_the_clouds_clock(
    still: LocalCloud, base: Registry, http: httpx.Client, clock: StoppedClock
) -> None:
    """An access token lives 75 minutes, a refresh token three hours."""
    refresh = exchange(http, still.tokens.issue(still.developer, ACR)).json()["refresh_token"]
    token = access(http, refresh, SCOPE)
    path = "/v2/a/node/manifests/1"
    clock.forward(75 * 60 - 5)
    assert http.get(path, headers=bearer(token)).status_code == 200
    clock.forward(10)
    expired = http.get(path, headers=bearer(token))
    assert expired.status_code == 401
    assert 'error="invalid_token"' in expired.headers["www-authenticate"]
    assert http.get(path, headers=bearer(access(http, refresh, SCOPE))).status_code == 200
    clock.forward(2 * 3600)
    late = http.post(
        "/oauth2/token", data={"grant_type": "refresh_token", "refresh_token": refresh}
    )
    assert late.status_code == 401
    assert http.get("/v2/", auth=(TOKEN_USER, refresh)).status_code == 401
    assert base.login_server in expired.headers["www-authenticate"]


def test_each_token_is_for_its_own_use(
    still: LocalCloud, base: Registry, http: httpx.Client
) -> None:
    """Refresh, access, ARM's and another registry's tokens do not stand for each other."""
    other = images.registry(still, "other")
    refresh = still.registry.registry_token(base, "me")
    token = access(http, refresh, SCOPE)
    path = "/v2/a/node/manifests/1"
    arms = still.tokens.issue(still.developer, ARM)
    named = still.tokens.issue(still.developer, base.login_server)
    foreign = still.registry.registry_token(other, "me")
    basic = base64.b64encode(b"no colon").decode()

    for wrong in (refresh, arms, named, foreign):
        assert http.get(path, headers=bearer(wrong)).status_code == 401
    for wrong in (token, arms, foreign):
        assert http.get(path, auth=(TOKEN_USER, wrong)).status_code == 401
    for header in (f"Basic {basic}", "Basic ***", f"Negotiate {token}"):
        assert http.get(path, headers={"Authorization": header}).status_code == 401
    assert http.get(path, auth=(TOKEN_USER, refresh)).status_code == 200
    with still.network.client(base_url=f"https://{other.login_server}") as elsewhere:
        assert elsewhere.get("/v2/", headers=bearer(token)).status_code == 401


def test_a_refresh_token_tells_what_acrs_tells(still: LocalCloud, base: Registry) -> None:
    """Issuer, audience and kind are those that Azure/acr documents, and nothing is secret."""
    text = still.registry.registry_token(base, "me").split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))

    assert claims["iss"] == "Azure Container Registry"
    assert (claims["aud"], claims["grant_type"]) == (base.login_server, "refresh_token")
    assert claims["exp"] - claims["iat"] == 3 * 3600
    assert base.admin_password not in json.dumps(claims)
