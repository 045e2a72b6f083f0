"""A registry's tokens are asked for once a minute, not with each request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.containerregistry._exchange_client import ACRExchangeClient

from localcloud.cloud import LocalCloud
from localcloud.tokens import Tokens
from rebuilder.azure.acr.images import AcrImages
from rebuilder.azure.identity import credential
from rebuilder.errors import Denied
from tests import images


@pytest.fixture(name="acr")
def _acr(cloud: LocalCloud) -> Iterator[AcrImages]:
    del cloud  # its environment is what the credential looks for
    identity = credential("")
    made = AcrImages(identity, "https://management.azure.com")
    yield made
    made.close()
    getattr(identity, "close")()  # noqa: B009 - not part of the protocol


@pytest.fixture(name="asked")
def _asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the challenges for which tokens were asked."""
    asked: list[str] = []
    ask = ACRExchangeClient.get_acr_access_token

    def counted(client: ACRExchangeClient, challenge: str) -> str | None:
        asked.append(challenge)
        return ask(client, challenge)

    monkeypatch.setattr(ACRExchangeClient, "get_acr_access_token", counted)
    return asked


def test_a_token_is_shown_again_where_it_was_taken(
    cloud: LocalCloud, acr: AcrImages, asked: list[str]
) -> None:
    """Each repository has its own, and what a tag names is asked of the registry all the same."""
    base = images.base_registry(cloud)
    host = base.login_server
    images.push(cloud, base, "images/go", "1", "go")
    for text in ("one", "two", "three"):
        pushed = images.push(cloud, base, "images/node", "9", text)
        assert acr.digest(host, "images/node", "9") == pushed
    assert len(asked) == 1

    assert acr.digest(host, "images/go", "1") is not None
    assert len(asked) == 2
    assert acr.digest(host, "images/node", "10") is None


def test_a_token_is_not_shown_for_long(
    cloud: LocalCloud, acr: AcrImages, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its time is over there is a new one, which is shown again."""
    base = images.base_registry(cloud)
    images.push(cloud, base, "images/node", "9", "one")
    with monkeypatch.context() as patch:
        patch.setattr("rebuilder.azure.acr.images._TOKEN_SECONDS", -1.0)
        acr.digest(base.login_server, "images/node", "9")

    for _ in range(3):
        acr.digest(base.login_server, "images/node", "9")
    assert len(asked) == 2


def test_a_token_that_is_not_taken_any_more_is_forgotten(
    cloud: LocalCloud, acr: AcrImages, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused, then a new one is, and that is what the caller is told."""
    base = images.base_registry(cloud)
    images.push(cloud, base, "images/node", "9", "one")
    acr.digest(base.login_server, "images/node", "9")
    # Tokens of another tenant's key: the registry knows nobody any more.
    monkeypatch.setattr(cloud.registry.auth, "_tokens", Tokens(cloud.clock, cloud.directory))

    for _ in range(2):
        with pytest.raises(Denied):
            acr.digest(base.login_server, "images/node", "9")
    # The first of them was shown what it does not take any more, the second nothing.
    assert ["invalid_token" in challenge for challenge in asked] == [False, True, False]


def test_few_tokens_are_kept(
    cloud: LocalCloud, acr: AcrImages, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry of very many repositories does not fill the memory."""
    monkeypatch.setattr("rebuilder.azure.acr.images._TOKENS", 1)
    base = images.base_registry(cloud)
    for repository in ("images/node", "images/go"):
        images.push(cloud, base, repository, "9", "one")
    for _ in range(2):
        for repository in ("images/node", "images/go"):
            acr.digest(base.login_server, repository, "9")

    assert len(asked) == 4
