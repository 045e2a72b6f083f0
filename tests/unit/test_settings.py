from __future__ import annotations

import json
from copy import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import fields

from rebuilder.azure.storage._storage import endpoint
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.decisions.policy import RebuildFor
from rebuilder.errors import InvalidSettings
from rebuilder.settings import Settings
from rebuilder.settings.table import SETTINGS
from rebuilder.settings.tuning import (
    FIELDS,
    REFRESH_SCHEDULE,
    SWEEP_SCHEDULE,
    Count,
    Field,
    Schedule,
    schedule,
    written,
)
from rebuilder.source_credentials import SourceCredential
from tools import settings as pages

REGISTRY = (
    "/subscriptions/S/resourceGroups/G/providers/Microsoft.ContainerRegistry/registries/mybase"
)
STORE = "https://st.table.core.windows.net"
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
    chosen = Settings.from_env({**GOOD, "REBUILDER_TUNING": "history=8d"})
    assert chosen.history == timedelta(days=8)
    with pytest.raises(InvalidSettings, match="history is '7d': write 8d to 3650d"):
        Settings.from_env({**GOOD, "REBUILDER_TUNING": "history=7d"})


def test_the_index_and_what_counts_can_be_set() -> None:
    """Case does not matter, and five fields are a schedule too."""
    chosen = {
        "REBUILDER_REBUILD_FOR": " Runtime ",
        "REBUILDER_TUNING": "refresh_schedule = 30 */2 * * MON-FRI;index_max_age=48h;",
    }
    read = Settings.from_env({**GOOD, **chosen})

    assert read.policy.rebuild_for is RebuildFor.RUNTIME
    assert read.refresh_schedule == schedule(chosen, REFRESH_SCHEDULE) == "30 */2 * * MON-FRI"
    assert read.index_max_age == timedelta(days=2)


def test_the_page_reads_the_account_of_another_app() -> None:
    """Its own account is the host's, and holds nothing of the product."""
    own = {"AzureWebJobsStorage": "", "AzureWebJobsStorage__accountName": "own"}
    own |= {f"AzureWebJobsStorage__{s}ServiceUri": f"https://own.{s}.c" for s in ("blob", "queue")}
    read = Settings.from_env({**GOOD, **own, "REBUILDER_APP": "web", "REBUILDER_STORE": STORE})

    found = [endpoint(read, service) for service in ("table", "queue", "blob")]
    assert found == [STORE, STORE.replace("table", "queue"), STORE.replace("table", "blob")]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"REBUILDER_BASE_REGISTRIES": ""}, "REBUILDER_BASE_REGISTRIES is missing"),
        ({"REBUILDER_TASK_REGISTRIES": "myapps"}, "REBUILDER_TASK_REGISTRIES: 'myapps'"),
        ({"AzureWebJobsStorage": ""}, "AzureWebJobsStorage is missing"),
        ({"AzureWebJobsStorage": "sqlite:"}, "names no file"),
        ({"REBUILDER_ARM_ENDPOINT": "http://arm"}, "write https://HOST"),
        ({"REBUILDER_ARM_ENDPOINT": "https://"}, "write https://HOST"),
        ({"REBUILDER_REBUILD_FOR": "some"}, "all, runtime, trigger"),
        ({"REBUILDER_BUILD_ATTEMPTS": "0"}, "REBUILDER_BUILD_ATTEMPTS is '0': write 1 to 10"),
        ({"REBUILDER_BUILD_ATTEMPTS": "11"}, "write 1 to 10"),
        ({"REBUILDER_NATIVE_WAIT_SECONDS": "2m"}, "SECONDS is '2m': write 0 to 3600"),
        ({"REBUILDER_POLL_HOSTS": "ghcr.io/x"}, "REBUILDER_POLL_HOSTS: 'ghcr.io/x'"),
        ({"REBUILDER_DEAD_LETTERS": "http://a/b"}, "REBUILDER_DEAD_LETTERS: write https"),
        ({"REBUILDER_DEAD_LETTERS": "https://a.b/c?sig=s3cr3t"}, "REBUILDER_DEAD_LETTERS: write"),
        ({"REBUILDER_STORE": STORE}, "REBUILDER_STORE is for REBUILDER_APP=web only"),
        ({"REBUILDER_APP": "web", "REBUILDER_STORE": STORE}, "leave AzureWebJobsStorage empty"),
        ({"REBUILDER_APP": "web", "REBUILDER_STORE": "https://st"}, "REBUILDER_STORE: write https"),
        ({"REBUILDER_APP": "web", "REBUILDER_STORE": f"{STORE}/x?s3cr3t"}, "REBUILDER_STORE: wri"),
        ({"REBUILDER_SOURCE_HOSTS": "https://github.com"}, "write HOST, HOST:PORT or"),
        ({"REBUILDER_SOURCE_PRIVATE_HOSTS": "a*.b"}, "REBUILDER_SOURCE_PRIVATE_HOSTS: 'a"),
        ({"REBUILDER_SOURCE_HOSTS": "a/b=github"}, "REBUILDER_SOURCE_HOSTS: 'a/b' is not"),
        ({"REBUILDER_SOURCE_HOSTS": "a.b=gitlab"}, "'a.b=gitlab' is not a host"),
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
                "REBUILDER_DESTINATIONS": '{"ops": "slack://s3cr3t"}',
            }
        )
    )

    assert "AccountKey" not in shown
    assert "s3cr3t" not in shown
    assert "github.com" in shown
    assert "ops" in shown


def test_where_build_contexts_are_read_from() -> None:
    """Hosts are lists, credentials are by host; without them, ACR's own kinds of host are known."""
    read = Settings.from_env(
        {
            **GOOD,
            "REBUILDER_SOURCE_HOSTS": "GitHub.com, *.azurecr.io git.example.com:8443,github.com",
            "REBUILDER_SOURCE_PRIVATE_HOSTS": "GHE.example.com=GitHub [fd00::1]:8443",
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
        "REBUILDER_NATIVE_WAIT_SECONDS": "0",
        "REBUILDER_POLL_HOSTS": "*",
        "REBUILDER_DEAD_LETTERS": "https://st.blob.core.windows.net/deadletter/",
        "REBUILDER_TUNING": "retry_wait=7s;\n dead_letter_schedule=0 0 * * * *",
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


WRONG = {
    "track_interval": "REBUILDER_TUNING has 'track_interval': write FIELD=VALUE",
    "trak_interval=5s": "has no field 'trak_interval': write track_interval",
    "TRACK_INTERVAL=5s": "has no field 'TRACK_INTERVAL': write track_interval",
    "x=1": "has no field 'x': write track_interval, retry_wait, ",
    "track_interval=5s; track_interval=5s": "track_interval is there twice",
    "track_interval=0s": "track_interval is '0s': write 1s to 1h",
    "track_interval=3601s": "track_interval is '3601s': write 1s to 1h",
    "track_interval=5": "track_interval is '5': write 1s to 1h",
    "track_interval=5s, lease=80s": "is '5s, lease=80s': write 1s to 1h",
    "lease=5s": "lease is '5s': write 75s to 1h",
    "arm_write_burst=10s": "arm_write_burst is '10s': write 1 to 10000",
    "arm_write_burst=0": "arm_write_burst is '0': write 1 to 10000",
    "sweep_reads=" + "9" * 5000: "write 1 to 100000",
    "history=": "history is '': write 8d to 3650d",
    "sweep_schedule=now": r"sweep_schedule is 'now': write six fields, as '0 \*/15",
    "refresh_schedule=0 0 * * * $": "refresh_schedule is .*: write six fields",
    '{"lease": 90}': "write FIELD=VALUE",
}


@pytest.mark.parametrize(("text", "problem"), WRONG.items(), ids=range(len(WRONG)))
def test_wrong_fields_are_named(text: str, problem: str) -> None:
    """A field that is none, and a value that cannot be, are refused with what to write."""
    with pytest.raises(InvalidSettings, match=problem) as raised:
        Settings.from_env({**GOOD, "REBUILDER_TUNING": text})
    assert len(raised.value.problems) == 1


@pytest.mark.parametrize("field", FIELDS, ids=[field.name for field in FIELDS])
def test_every_field_can_be_set(field: Field) -> None:
    """Its bounds are values of it, and what is written is read as the same."""
    for value in (
        [field.default]
        if isinstance(field.kind, Schedule)
        else [field.kind.least, field.kind.most, field.default]
    ):
        read = Settings.from_env({**GOOD, "REBUILDER_TUNING": f"{field.name}={written(value)}"})
        assert getattr(read, field.name) == value
    assert getattr(Settings.from_env(GOOD), field.name) == field.default


@pytest.mark.parametrize("field", FIELDS, ids=[field.name for field in FIELDS])
def test_an_old_setting_is_read_and_told(field: Field) -> None:
    """It counts where its field is not set; what is to be written instead is told."""
    value: Any
    if isinstance(field.kind, Schedule):
        text, value = "1 2 * * * *", "1 2 * * * *"
    elif isinstance(field.kind, Count):
        text, value = str(field.kind.least), field.kind.least
    else:
        value = field.kind.least
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[field.old_unit]
        text = str(value // timedelta(**{unit: 1}))
    read = Settings.from_env({**GOOD, field.old: f" {text} "})
    beside = Settings.from_env(
        {**GOOD, field.old: text, "REBUILDER_TUNING": f"{field.name}={written(field.default)}"}
    )

    assert getattr(read, field.name) == value
    assert read.tuning == f"{field.name}={written(value)}"
    assert read.old == ((field.old, f"{read.tuning} in REBUILDER_TUNING"),)
    again = Settings.from_env({**GOOD, "REBUILDER_TUNING": read.tuning})
    assert replace(read, old=()) == again
    assert getattr(beside, field.name) == field.default
    assert [name for name, _ in beside.old] == [field.old]
    assert schedule({field.old: text}, field.name) == str(value)


def test_a_wrong_old_setting_names_its_new_place() -> None:
    """Whoever mends it mends it where it belongs."""
    problem = "REBUILDER_TRACK_SECONDS, which is track_interval in REBUILDER_TUNING now, is 'soon'"
    with pytest.raises(InvalidSettings, match=f"{problem}: write 1s to 1h"):
        Settings.from_env({**GOOD, "REBUILDER_TRACK_SECONDS": "soon"})


def test_old_settings_that_are_no_fields_are_told() -> None:
    """GitHub's hosts are still read; what is a constant now is said to be one."""
    read = Settings.from_env(
        {
            **GOOD,
            "REBUILDER_SOURCE_HOSTS": "a.example.com=github",
            "REBUILDER_GITHUB_HOSTS": "b.example.com",
            "REBUILDER_ARM_CONCURRENCY": "4",
            "REBUILDER_QUEUED_MINUTES": "",
        }
    )

    assert read.github_hosts == ("a.example.com", "b.example.com")
    assert [name for name, _ in read.old] == ["REBUILDER_GITHUB_HOSTS", "REBUILDER_ARM_CONCURRENCY"]
    assert read.tuning == ""


def test_a_schedule_is_known_before_the_settings_are() -> None:
    """A timer has its default where the setting is wrong; the error is told when it runs."""
    assert schedule({"REBUILDER_TUNING": "sweep_schedule=now"}, SWEEP_SCHEDULE) == "0 */15 * * * *"
    assert schedule({}, SWEEP_SCHEDULE) == "0 */15 * * * *"


def test_defaults_are_those_of_the_table() -> None:
    """What the docs and the sample call a default means what nothing means."""
    defaults = {entry.name: entry.default for entry in SETTINGS if entry.name not in GOOD}

    assert Settings.from_env({**GOOD, **defaults}) == Settings.from_env(GOOD)


def test_every_default_of_a_field_is_the_classs() -> None:
    """`Settings` takes its defaults from the table."""
    defaults = {field.name: field.default for field in fields(Settings)}
    for field in FIELDS:
        assert defaults[field.name] == field.default


def test_what_tells_of_the_settings_is_current() -> None:
    """docs/settings.md, the sample and the template's type are written from the table."""
    assert pages.PAGE.read_text("utf-8") == pages.page()
    assert pages.SAMPLE.read_text("utf-8") == pages.sample()
    types = pages.TYPES.read_text("utf-8")
    assert types == pages.types(types)
    for field in FIELDS:
        assert f"| `{field.name}` | {field.meaning} | " in pages.page()
    assert Settings.from_env(json.loads(pages.sample())["Values"]).old == ()
