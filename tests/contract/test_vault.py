"""Secrets that the app reads from Key Vault itself, by requests to the local cloud's vaults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcloud.cloud import LocalCloud
from localcloud.tokens import Credential
from rebuilder.azure.vault import VaultSecrets
from rebuilder.composition import compose, release
from rebuilder.core.secret_values import SecretAddress
from rebuilder.errors import TransientError
from rebuilder.settings import Settings
from tests import images

VAULT = (
    f"/subscriptions/{images.SUBSCRIPTIONS[0]}/resourceGroups/rg-mybase/providers"
    "/Microsoft.KeyVault/vaults/kv-secrets"
)
CREDENTIALS = '{"git.contoso.com": "tok-en-1"}'
PEOPLE = '{"team": {"topic": "https://ours.westeurope-1.eventgrid.azure.net/api/events"}}'


@pytest.fixture(name="cloud")
def _cloud(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    """Let this process be the function app, which may read the vault's secrets."""
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    images.registry(cloud, "mybase")
    cloud.vaults.keep(VAULT, "git", CREDENTIALS)
    cloud.roles.assign("Key Vault Secrets User", cloud.function_app.object_id, VAULT)
    yield cloud
    release()


def _address(name: str = "git") -> SecretAddress:
    found = SecretAddress.read(f"https://kv-secrets.vault.azure.net/secrets/{name}/")
    assert found is not None
    return found


def _vault(cloud: LocalCloud, **more: float) -> VaultSecrets:
    return VaultSecrets(Credential(cloud.tokens, cloud.function_app), **more)


def test_a_secret_is_read_once(cloud: LocalCloud) -> None:
    """It is not asked for at every invocation."""
    vault = _vault(cloud)

    assert [vault.read(_address()), vault.read(_address())] == [CREDENTIALS, CREDENTIALS]
    assert cloud.vaults.asked == 1
    vault.close()


def test_a_secret_that_was_rotated(cloud: LocalCloud) -> None:
    """It is asked for again when it is old enough."""
    vault = _vault(cloud, fresh=0)
    vault.read(_address())
    cloud.vaults.keep(VAULT, "git", "new")

    assert vault.read(_address()) == "new"


def test_a_vault_that_is_out_of_order_takes_nothing_away(cloud: LocalCloud) -> None:
    """What was read stays good; what was not is waited for, and not asked for each time."""
    vault = _vault(cloud, fresh=0)
    vault.read(_address())
    cloud.vaults.available = False
    asked = cloud.vaults.asked

    assert vault.read(_address()) == CREDENTIALS
    assert vault.read(_address()) == CREDENTIALS
    for _ in range(2):
        with pytest.raises(TransientError, match="secrets/other: the vault gives no usable answer"):
            vault.read(_address("other"))
    # Each was asked for once, and twice again at once.
    assert cloud.vaults.asked - asked == 6


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("git", "secrets/git: the identity may not read it: give it Key Vault Secrets User"),
        ("gone", "secrets/gone: there is none"),
    ],
)
def test_what_cannot_be_read_says_what_would_help(cloud: LocalCloud, name: str, said: str) -> None:
    """In the same words each time; a right that was taken away ends what was read, too."""
    vault = _vault(cloud, fresh=0, again=0)
    vault.read(_address())
    if name == "git":
        (mine,) = [a for a in cloud.roles.assignments() if a.scope == VAULT]
        cloud.roles.revoke(mine.id)
    told = []
    for _ in range(2):
        with pytest.raises(TransientError) as raised:
            vault.read(_address(name))
        told.append(str(raised.value))

    assert said in told[0]
    assert told[0] == told[1]


@pytest.mark.parametrize("value", ['{"error": 1}', '{"value": 5}', "[]", "no JSON"])
def test_an_answer_that_is_none(cloud: LocalCloud, value: str) -> None:
    """It is a vault out of order."""
    cloud.vaults.answer = value
    with pytest.raises(TransientError, match="no usable answer"):
        _vault(cloud).read(_address())


def _environment(cloud: LocalCloud, folder: object) -> dict[str, str]:
    people = cloud.vaults.keep(VAULT, "people", PEOPLE)
    registry = images.registry(cloud, "myapps").id
    return {
        "AzureWebJobsStorage": f"sqlite:{folder}/rebuilder.db",
        "REBUILDER_BASE_REGISTRIES": registry,
        "REBUILDER_TASK_REGISTRIES": registry,
        "REBUILDER_SOURCE_HOSTS": "git.contoso.com",
        "REBUILDER_SOURCE_CREDENTIALS": _address().text,
        "REBUILDER_DESTINATIONS": people,
    }


def test_settings_that_are_addresses_are_opened(cloud: LocalCloud, tmp_path: object) -> None:
    """As if their values were there; by themselves, without asking, they say nothing wrong."""
    env = _environment(cloud, tmp_path)
    assert Settings.from_env(env).source_credentials == ()
    settings = compose(env).settings

    (shown,) = settings.source_credentials
    assert (shown.host, shown.secret) == ("git.contoso.com", "tok-en-1")
    assert [destination.name for destination in settings.destinations] == ["team"]
    assert settings.unread == ()
    assert "tok-en-1" not in repr(settings)
    assert compose(env) is compose(env)


def test_a_secret_that_cannot_be_read_stops_what_needs_it_alone(
    cloud: LocalCloud, tmp_path: object
) -> None:
    """The app goes on; build files of any host are waited for, since one may need it."""
    env = _environment(cloud, tmp_path)
    cloud.vaults.available = False
    context = compose(env)

    assert dict(context.settings.unread).keys() == {
        "REBUILDER_SOURCE_CREDENTIALS",
        "REBUILDER_DESTINATIONS",
    }
    assert context.settings.source_credentials == ()
    with pytest.raises(TransientError, match="the vault gives no usable answer"):
        context.sources.read("https://git.contoso.com/a/b.git", "Dockerfile")
    assert context.settings.without("REBUILDER_TOOLS") == ""


@pytest.mark.parametrize(
    "text",
    [
        "https://kv.vault.azure.net/secrets/a/0123456789abcdef0123456789ABCDEF",
        " https://KV-a.vault.azure.cn/secrets/A-1/ ",
        "https://kv1.vault.usgovcloudapi.net/secrets/a",
    ],
)
def test_addresses(text: str) -> None:
    """Of the newest version or of one, in every cloud."""
    found = SecretAddress.read(text)
    assert found is not None
    assert found.audience == "https://" + found.text.split("/")[2].partition(".")[2].lower()


@pytest.mark.parametrize(
    "text",
    [
        *("", "tok", '{"a": "b"}', "@Microsoft.KeyVault(SecretUri=https://kv.vault.azure.net/)"),
        "http://kv1.vault.azure.net/secrets/a",
        "https://kv1.vault.azure.net.evil.com/secrets/a",
        "https://evil.com/kv1.vault.azure.net/secrets/a",
        "https://kv1.vault.azure.net:444/secrets/a",
        "https://u@kv1.vault.azure.net/secrets/a",
        "https://kv1.vault.azure.net/secrets/a?x=1",
        "https://kv1.vault.azure.net/keys/a",
        "https://kv1.vault.azure.net/secrets/a/b/c",
    ],
)
def test_what_is_no_address(text: str) -> None:
    """A token is shown to Azure's vaults alone."""
    assert SecretAddress.read(text) is None
