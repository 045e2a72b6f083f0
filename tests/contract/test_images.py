"""What Images must do, through Azure's SDK against the local cloud's registries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from localcloud.cloud import LocalCloud
from localcloud.tokens import Tokens
from rebuilder.azure.identity import credential
from rebuilder.azure.images import AcrImages
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


def test_a_tag_names_its_newest_digest(cloud: LocalCloud, acr: AcrImages) -> None:
    """What a tag names is asked of the registry each time."""
    base = images.base_registry(cloud)
    host = base.login_server
    first = images.push(cloud, base, "images/node", "9", "one")
    assert acr.digest(host, "images/node", "9") == first
    second = images.push(cloud, base, "images/node", "9", "two")

    assert acr.digest(host, "images/node", "9") == second
    assert first != second


def test_what_is_not_there_is_none(cloud: LocalCloud, acr: AcrImages) -> None:
    """A missing tag, repository or manifest is no error."""
    base = images.base_registry(cloud)
    digest = images.push(cloud, base, "images/node", "9", "one")
    host = base.login_server

    assert acr.digest(host, "images/node", "10") is None
    assert acr.digest(host, "images/other", "9") is None
    assert acr.created(host, "images/other", digest) is None


def test_a_digest_tells_when_it_came(cloud: LocalCloud, acr: AcrImages) -> None:
    """A manifest keeps the time of its first push, pushed again or not."""
    base = images.base_registry(cloud)
    digest = images.push(cloud, base, "images/node", "9", "one")
    first = acr.created(base.login_server, "images/node", digest)
    images.push(cloud, base, "images/node", "9", "one")

    assert first is not None
    assert acr.created(base.login_server, "images/node", digest) == first
    assert abs(first - cloud.clock.now()) < timedelta(minutes=1)


def test_who_may_not_read_is_denied(
    cloud: LocalCloud, acr: AcrImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that does not take the identity's token is a permanent error."""
    base = images.base_registry(cloud)
    # Tokens of another tenant's key: the registry knows nobody any more.
    monkeypatch.setattr(cloud.registry.auth, "_tokens", Tokens(cloud.clock, cloud.directory))
    with pytest.raises(Denied, match=r"mybase\.azurecr\.io"):
        acr.digest(base.login_server, "images/node", "9")
