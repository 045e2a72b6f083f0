from __future__ import annotations

from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from rebuilder.azure.identity import registry_tokens
from rebuilder.errors import TransientError

PUBLIC = "https://management.azure.com"


class Identity:
    """Gives tokens, and keeps what for."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.scopes: list[str] = []
        self._failure = failure

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:  # noqa: ANN401 - as it is
        """Return a token."""
        if self._failure:
            raise self._failure
        self.scopes += scopes
        return AccessToken("t0k", 0)


def test_only_azures_registries_are_shown_a_token() -> None:
    """The identity's token is for hosts that Microsoft runs, and for nobody whose name looks so."""
    identity = Identity()
    token = registry_tokens(identity, PUBLIC)

    assert [token(host) for host in ("team.azurecr.io", "ghcr.io", "azurecr.io.example.com")] == [
        "t0k",
        None,
        None,
    ]
    assert identity.scopes == ["https://containerregistry.azure.net/.default"]


def test_other_clouds_take_tokens_for_their_arm() -> None:
    """A registry of another cloud takes a token for that cloud's ARM."""
    identity = Identity()
    arm = "https://management.chinacloudapi.cn"

    assert registry_tokens(identity, arm)("team.azurecr.cn") == "t0k"
    assert identity.scopes == [f"{arm}/.default"]


def test_an_identity_that_is_none() -> None:
    """Without an identity the registry cannot be read, and what to do is said."""
    token = registry_tokens(Identity(ClientAuthenticationError("no")), PUBLIC)
    with pytest.raises(TransientError, match=r"get a token for team\.azurecr\.io: no credential"):
        token("team.azurecr.io")
