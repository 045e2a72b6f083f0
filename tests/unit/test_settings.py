from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rebuilder import settings
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.decisions.policy import RebuildFor
from rebuilder.errors import InvalidSettings
from rebuilder.settings import REFRESH_SCHEDULE, Settings, schedule
from rebuilder.source_credentials import SourceCredential

ROOT = Path(__file__).resolve().parent.parent.parent
REGISTRY = (
    "/subscriptions/S/resourceGroups/G/providers/Microsoft.ContainerRegistry/registries/mybase"
)
GOOD = {
    "REBUILDER_BASE_REGISTRIES": REGISTRY,
    "REBUILDER_TASK_REGISTRIES": f"{REGISTRY},\n{REGISTRY.upper()} ,{REGISTRY}2",
    "AzureWebJobsStorage": "sqlite:/tmp/x.db",
}


def test_the_least_that_is_needed() -> None:
    """Three settings are enough; lists take commas and lines and hold each registry once."""
    read = Settings.from_env(GOOD)

    assert read.base_registries == {RegistryId("s", "g", "mybase")}
    assert [registry.name for registry in read.task_registries] == ["mybase", "mybase2"]
    assert read.arm_endpoint == "https://management.azure.com"
    assert read.track_interval == timedelta(seconds=15)
    assert read.policy.rebuild_for is RebuildFor.ALL
    assert read.refresh_schedule == "0 0 */6 * * *"
    assert read.index_max_age == timedelta(hours=24)


def test_how_long_the_past_is_kept() -> None:
    """Longer than a message may be put off; ninety days unless it is said."""
    assert Settings.from_env(GOOD).history == timedelta(days=90)
    chosen = Settings.from_env({**GOOD, "REBUILDER_HISTORY_DAYS": "8"})
    assert chosen.history == timedelta(days=8)
    with pytest.raises(InvalidSettings, match="HISTORY_DAYS is '7': write 8 to 3650 days"):
        Settings.from_env({**GOOD, "REBUILDER_HISTORY_DAYS": "7"})


def test_the_index_and_what_counts_can_be_set() -> None:
    """Case does not matter, and five fields are a schedule too."""
    chosen = {
        "REBUILDER_REBUILD_FOR": " Runtime ",
        "REBUILDER_REFRESH_SCHEDULE": "30 */2 * * MON-FRI",
        "REBUILDER_INDEX_MAX_AGE_HOURS": "48",
    }
    read = Settings.from_env({**GOOD, **chosen})

    assert read.policy.rebuild_for is RebuildFor.RUNTIME
    assert read.refresh_schedule == schedule(chosen, REFRESH_SCHEDULE) == "30 */2 * * MON-FRI"
    assert read.index_max_age == timedelta(days=2)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"REBUILDER_BASE_REGISTRIES": ""}, "REBUILDER_BASE_REGISTRIES is missing"),
        ({"REBUILDER_TASK_REGISTRIES": "myapps"}, "REBUILDER_TASK_REGISTRIES: 'myapps'"),
        ({"AzureWebJobsStorage": ""}, "AzureWebJobsStorage is missing"),
        ({"AzureWebJobsStorage": "sqlite:"}, "names no file"),
        ({"REBUILDER_ARM_ENDPOINT": "http://arm"}, "write https://HOST"),
        ({"REBUILDER_ARM_ENDPOINT": "https://"}, "write https://HOST"),
        ({"REBUILDER_TRACK_SECONDS": "0"}, "1 to 3600"),
        ({"REBUILDER_TRACK_SECONDS": "soon"}, "1 to 3600"),
        ({"REBUILDER_TRACK_SECONDS": "3601"}, "1 to 3600"),
        ({"REBUILDER_REBUILD_FOR": "some"}, "all, runtime, trigger"),
        ({"REBUILDER_REFRESH_SCHEDULE": "hourly"}, "write six fields"),
        ({"REBUILDER_REFRESH_SCHEDULE": "0 0 * * * ; rm"}, "write six fields"),
        ({"REBUILDER_INDEX_MAX_AGE_HOURS": "0"}, "1 to 8760"),
        ({"REBUILDER_INDEX_MAX_AGE_HOURS": "a day"}, "1 to 8760"),
        ({"REBUILDER_BUILD_ATTEMPTS": "0"}, "REBUILDER_BUILD_ATTEMPTS is '0': write 1 to 10"),
        ({"REBUILDER_LEASE_SECONDS": "5"}, "75 to 3600 seconds"),
        ({"REBUILDER_SWEEP_SCHEDULE": "now"}, "REBUILDER_SWEEP_SCHEDULE is 'now'"),
        ({"REBUILDER_POLL_HOSTS": "ghcr.io/x"}, "REBUILDER_POLL_HOSTS: 'ghcr.io/x'"),
        ({"REBUILDER_DEAD_LETTERS": "http://a/b"}, "REBUILDER_DEAD_LETTERS: write https"),
        ({"REBUILDER_DEAD_LETTERS": "https://a.b/c?sig=s3cr3t"}, "REBUILDER_DEAD_LETTERS: write"),
        ({"REBUILDER_SOURCE_HOSTS": "https://github.com"}, "write HOST, HOST:PORT or"),
        ({"REBUILDER_SOURCE_PRIVATE_HOSTS": "a*.b"}, "REBUILDER_SOURCE_PRIVATE_HOSTS: 'a"),
        ({"REBUILDER_GITHUB_HOSTS": "a/b"}, "REBUILDER_GITHUB_HOSTS: 'a/b'"),
        ({"REBUILDER_SOURCE_CREDENTIALS": "s3cr3t"}, "write a JSON object"),
        ({"REBUILDER_SOURCE_CREDENTIALS": '["s3cr3t"]'}, "write a JSON object"),
        ({"REBUILDER_SOURCE_CREDENTIALS": "[" * 100_000}, "nested deeper than 64"),
        ({"REBUILDER_SOURCE_CREDENTIALS": '{"a.b": "\\ud800"}'}, "half a character"),
        (
            {"REBUILDER_SOURCE_CREDENTIALS": "@Microsoft.KeyVault(SecretUri=https://s3cr3t)"},
            "a Key Vault reference that was not resolved",
        ),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, str], problem: str) -> None:
    """A wrong setting is named with what it should be."""
    with pytest.raises(InvalidSettings, match=problem) as raised:
        Settings.from_env({**GOOD, **changes})
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            {"ghcr.io:443": "s3cr3t"},
            "the entry 'ghcr.io:443': 443 is meant anyway: write 'ghcr.io'",
        ),
        ({"[fd00::1]:443": "s3cr3t"}, r"443 is meant anyway: write '\[fd00::1\]'"),
        ({"*.x.io": "s3cr3t"}, r"the entry '\*\.x\.io': .*write an entry for each host"),
        ({"*": "s3cr3t"}, "the entry number 1: write HOST or HOST:PORT"),
        ({"https://ghcr.io": "s3cr3t"}, "the entry 'https://ghcr.io': write HOST or HOST:PORT"),
        ({"ghcr.io/team": "s3cr3t"}, "write HOST or HOST:PORT"),
        ({" ghcr.io": "s3cr3t"}, "write HOST or HOST:PORT"),
        ({"ghcr.io.": "s3cr3t"}, "write HOST or HOST:PORT"),
        ({"": "s3cr3t"}, "the entry number 1: write HOST or HOST:PORT"),
        ({"ghcr.io:0": "s3cr3t"}, "the port is not 1 to 65535"),
        ({"ghcr.io:65536": "s3cr3t"}, "the port is not 1 to 65535"),
        ({"api.github.com": "s3cr3t"}, "write 'github.com'"),
        ({"ghcr.io": "s3cr3t", "GHCR.io": "s3cr3t"}, "'ghcr.io' is there twice"),
        ({"a.b": 1}, "the entry 'a.b': write a token"),
        ({"a.b": ""}, "the entry 'a.b': write a token"),
        ({"a.b": "s3cr3t\n"}, "the entry 'a.b': write a token, without white space"),
        ({"a.b": "s3cr3t é"}, "the entry 'a.b': write a token, without white space"),
        ({"a.b": {"password": "s3cr3t"}}, "the entry 'a.b': write a token"),
        ({"a.b": {"username": "", "password": "s3cr3t"}}, "neither empty"),
        ({"a.b": {"username": "u", "password": "s3cr3t\n"}}, "nor with line breaks"),
        # The two sides mixed up: a secret is not told, whatever it looks like.
        ({"ok.io": "t", "s3cr3t_": "github.com"}, "the entry number 2: write HOST"),
        ({"eyJ" + "s3cr3t." * 20: "github.com"}, "the entry number 1: write HOST"),
    ],
)
def test_an_entry_that_could_never_be_used_is_refused(
    entry: dict[str, object], problem: str
) -> None:
    """Its name and what would help are told, and nothing of what is secret."""
    env = {**GOOD, "REBUILDER_SOURCE_CREDENTIALS": json.dumps(entry)}
    with pytest.raises(InvalidSettings, match=problem) as raised:
        Settings.from_env(env)
    assert len(raised.value.problems) == 1
    assert "s3cr3t" not in str(raised.value)


def test_every_wrong_entry_is_told() -> None:
    """Nobody should have to try again for each of them."""
    env = {**GOOD, "REBUILDER_SOURCE_CREDENTIALS": '{"*.a": "t", "b.c:443": "t", "d.e": 7}'}
    with pytest.raises(InvalidSettings) as raised:
        Settings.from_env(env)

    assert len(raised.value.problems) == 3


@pytest.mark.parametrize(
    "host", ["github.com", "registry", "localhost:5000", "10.0.0.1", "[fd00::1]", "[fd00::1]:8443"]
)
def test_names_that_hosts_are_looked_up_by(host: str) -> None:
    """Names and addresses, with or without a port."""
    env = {**GOOD, "REBUILDER_SOURCE_CREDENTIALS": json.dumps({host.upper(): "t"})}

    assert Settings.from_env(env).source_credentials == (SourceCredential(host, "t"),)


def test_all_problems_are_told_at_once() -> None:
    """Nobody should have to try again for each mistake."""
    with pytest.raises(InvalidSettings) as raised:
        Settings.from_env({})

    assert len(raised.value.problems) == 3


@pytest.mark.parametrize(
    "parts",
    [
        {"AzureWebJobsStorage__accountName": "store"},
        {
            "AzureWebJobsStorage__queueServiceUri": "https://q",
            "AzureWebJobsStorage__tableServiceUri": "https://t",
            "AzureWebJobsStorage__clientId": "id",
        },
    ],
)
def test_an_account_can_be_named_without_a_key(parts: dict[str, str]) -> None:
    """Storage by identity needs no connection string."""
    read = Settings.from_env({**GOOD, "AzureWebJobsStorage": "", **parts})

    assert read.storage == ""
    assert (read.storage_account or read.queue_endpoint) in parts.values()


def test_secrets_are_not_shown() -> None:
    """A connection string holds a key, so the settings do not print it."""
    shown = repr(
        Settings.from_env(
            {
                **GOOD,
                "AzureWebJobsStorage": "AccountKey=secret",
                "REBUILDER_SOURCE_CREDENTIALS": '{"github.com": "s3cr3t"}',
            }
        )
    )

    assert "AccountKey" not in shown
    assert "s3cr3t" not in shown
    assert "github.com" in shown


def test_where_build_contexts_are_read_from() -> None:
    """Hosts are lists, credentials are by host; without them, ACR's own kinds of host are known."""
    read = Settings.from_env(
        {
            **GOOD,
            "REBUILDER_SOURCE_HOSTS": "GitHub.com, *.azurecr.io git.example.com:8443,github.com",
            "REBUILDER_SOURCE_PRIVATE_HOSTS": "ghe.example.com [fd00::1]:8443",
            "REBUILDER_GITHUB_HOSTS": "ghe.example.com",
            "REBUILDER_SOURCE_CREDENTIALS": json.dumps(
                {"GitHub.com": "t", "git.example.com:8443": {"username": "u", "password": "p"}}
            ),
        }
    )

    assert read.source_hosts == ("github.com", "*.azurecr.io", "git.example.com:8443")
    assert read.private_source_hosts == ("ghe.example.com", "[fd00::1]:8443")
    assert read.github_hosts == ("ghe.example.com",)
    assert read.source_credentials == (
        SourceCredential("github.com", "t"),
        SourceCredential("git.example.com:8443", "p", "u"),
    )
    assert "dev.azure.com" in Settings.from_env(GOOD).source_hosts
    assert Settings.from_env(GOOD).source_credentials == ()


def test_what_is_asked_of_failures_and_timers_can_be_set() -> None:
    """Each number and schedule has its setting; `*` polls any foreign registry."""
    chosen = {
        "REBUILDER_BUILD_ATTEMPTS": "5",
        "REBUILDER_RETRY_SECONDS": "7",
        "REBUILDER_NATIVE_WAIT_SECONDS": "0",
        "REBUILDER_POLL_HOSTS": "*",
        "REBUILDER_DEAD_LETTERS": "https://st.blob.core.windows.net/deadletter/",
        "REBUILDER_DEAD_LETTER_SCHEDULE": "0 0 * * * *",
    }
    read = Settings.from_env({**GOOD, **chosen})

    assert (read.build_attempts, read.retry_wait) == (5, timedelta(seconds=7))
    assert read.native_wait == timedelta()
    assert read.poll_hosts == ("*",)
    assert read.dead_letters == "https://st.blob.core.windows.net/deadletter"
    assert read.dead_letter_schedule == "0 0 * * * *"
    # What nobody sets has the default of the class.
    assert Settings.from_env(GOOD) == Settings(
        read.base_registries, read.task_registries, read.storage
    )


def test_the_sample_holds_exactly_the_settings() -> None:
    """local.settings.sample.json, settings.py and docs/settings.md name the same settings."""
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    names = {
        value
        for name, value in vars(settings).items()
        if name.isupper() and not name.startswith("_") and name != "SQLITE"
    }

    assert set(values) == names | {"FUNCTIONS_WORKER_RUNTIME"}
    written = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in names if f"`{name}`" not in written] == []
    filled = {**values, "AZURE_CLIENT_ID": ""}
    assert Settings.from_env(filled).storage == "UseDevelopmentStorage=true"


def test_the_page_of_settings_has_their_defaults_and_bounds() -> None:
    """docs/settings.md tells of each number and schedule what settings.py has."""
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \|(.*)\|$", page))
    for name, number in settings._NUMBERS.items():
        default: Any = Settings.__dataclass_fields__[name].default
        value = default if number.one is None else default // number.one
        assert rows[number.setting].endswith(f"; {number.least} to {number.most} | `{value}` ")
    for name, when in settings._SCHEDULES.items():
        assert rows[name].endswith(f"| `{when}` ")
