from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from copy import replace
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.cli.setup import doctor as cli_doctor
from rebuilder.core import doctor
from rebuilder.core.acr.access import BASE_ADVICE, PULL, READ_REGISTRY, TASK_ACTIONS, Permission
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.acr.tasks import Task
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.doctor import Finding
from rebuilder.core.doctor.events import NotSubscribed
from rebuilder.core.doctor.setup import (
    EventSubscription,
    RegistrySetup,
    RoleDefinition,
    Site,
    Topic,
)
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.messages.destinations import Destination, Kind
from rebuilder.core.rebuilds.messages import BUILDS
from rebuilder.core.rebuilds.rebuild import Failure, Rebuild, State
from rebuilder.errors import Denied, NotFound, RebuilderError, TransientError
from rebuilder.settings import Settings
from rebuilder.source_credentials import SourceCredential
from rebuilder.usecases.context import Context
from rebuilder.usecases.doctor._events import _by_queue
from rebuilder.usecases.doctor._known import Known
from rebuilder.usecases.doctor._store import OVERDUE
from rebuilder.usecases.doctor.examine import Report, examine
from rebuilder.usecases.index.refresh_index import scan_registry
from rebuilder.usecases.index.task_news import note_events
from tests.unit.fakes import APPS, BASE, OTHERS, World, task

SITE = "/subscriptions/s1/resourceGroups/g/providers/Microsoft.Web/sites/app"
ACCOUNT = "/subscriptions/s1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/kept"
TOPIC = Topic(
    "/subscriptions/s1/resourceGroups/g/providers/Microsoft.EventGrid/systemTopics/t", str(BASE)
)
LETTERS = (ACCOUNT, "letters")
PUSHES = EventSubscription("pushes", TOPIC, f"{SITE}/functions/image_pushed", dead_letters=LETTERS)
EVERYTHING = Permission(("*",), (), ("*",))
NAMES = [
    *("image_pushed", "plan_rebuilds", "start_build", "track_build", "task_changed"),
    "event_queued",
    *("refresh_index", "refresh_tasks", "sweep", "poll_bases", "collect_dead_letters"),
    "retire_history",
    *("carry_out_act", "send_message", "sum_staleness"),
]


@dataclass
class FakePreflight:
    """What Azure tells, as a test wants it."""

    setups: dict[RegistryId, RegistrySetup] = field(
        default_factory=lambda: {
            registry: RegistrySetup(registry, f"{registry.name}.azurecr.io")
            for registry in (BASE, APPS, OTHERS)
        }
    )
    held: dict[str, list[Permission]] = field(default_factory=dict)
    custom: list[RoleDefinition] = field(default_factory=list)
    topic: list[Topic] = field(default_factory=lambda: [TOPIC])
    subscribed: list[EventSubscription] = field(default_factory=lambda: [PUSHES])
    app: Site | None = field(default_factory=lambda: Site(SITE, "Running", (("c1", "app-id"),)))
    names: list[str] = field(default_factory=lambda: list(NAMES))
    account: str | None = ACCOUNT
    container: bool = True
    refused: list[tuple[str, RebuilderError]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    denied: str = ""

    def tokens(self) -> list[tuple[str, RebuilderError]]:
        """Return the services without a token."""
        return self.refused

    def caller(self) -> str:
        """Return who asks."""
        return "caller-id"

    def principal(self, name: str) -> str:
        """Name an identity."""
        return f"object of {name}"

    def registry(self, registry: RegistryId) -> RegistrySetup:
        """Read a registry."""
        if registry not in self.setups:
            raise NotFound(f"no {registry}")
        return self.setups[registry]

    def permissions(self, scope: str, principal: str) -> list[Permission]:
        """Return what an identity holds."""
        self.asked.append((scope, principal))
        if self.denied and self.denied in scope:
            raise Denied(f"may not read the roles on {scope}")
        return self.held.get(f"{principal}@{scope}", self.held.get(scope, [EVERYTHING]))

    def permissions_below(self, scope: str, principal: str) -> list[Permission]:
        """Return the same."""
        return self.permissions(scope, principal)

    def roles(self, scope: str) -> list[RoleDefinition]:
        """Return roles."""
        assert scope
        return self.custom

    def topics(self, registry: RegistryId) -> list[Topic]:
        """Return topics."""
        assert registry == BASE
        return self.topic

    def subscriptions(
        self, registry: RegistryId, topics: Sequence[Topic]
    ) -> list[EventSubscription]:
        """Return subscriptions."""
        assert registry == BASE
        assert topics == self.topic
        return self.subscribed

    def site(self, resource_id: str) -> Site:
        """Read the app."""
        if self.app is None or self.app.id.lower() != resource_id.lower():
            raise NotFound(resource_id)
        return self.app

    def functions(self, site: str) -> list[str]:
        """Return the app's functions."""
        assert site
        return self.names

    def storage_account(self, subscription: str, name: str) -> str | None:
        """Return the account."""
        assert (subscription, name) == ("s1", "kept")
        return self.account

    def has_container(self, account: str, container: str) -> bool:
        """Tell whether the container is there."""
        assert (account, container) == LETTERS
        return self.container

    def peek(self) -> None:
        """Refuse to look into the queues."""
        raise Denied("no right to look into the queues")

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture(name="asked")
def _asked() -> FakePreflight:
    return FakePreflight()


@pytest.fixture(name="good")
def _good(world: World) -> World:
    """A world that nothing is wrong with: its tasks were read, and one was run."""
    letters = "https://kept.blob.core.windows.net/letters"
    settings = replace(world.settings, dead_letters=letters)
    world.context = replace(world.context, settings=settings)
    world.tasks.add(replace(task(), signs_in_to=frozenset({"mybase.azurecr.io"})))
    world.tasks.add(
        replace(task("other", registry=OTHERS), signs_in_to=frozenset({"mybase.azurecr.io"}))
    )
    for registry in (APPS, OTHERS):
        scan_registry(world.context, registry)
    note_events(world.context, [APPS, OTHERS])
    for found in (task(), task("other", registry=OTHERS)):
        world.ledger.claim(rebuild(world, state=State.SUCCEEDED, task=found.id, run_id="r1"))
    return world


def rebuild(world: World, **changes: object) -> Rebuild:
    """Return a rebuild that was claimed now."""
    values: dict[str, object] = {
        "task": task().id,
        "sequence": 1,
        "key": "k" * 64,
        "bases": (),
        "push": "p",
        "state": State.CLAIMED,
        "claimed_at": world.time.now,
        "owner": "o",
        "lease_until": world.time.now,
    }
    return Rebuild(**{**values, **changes})  # type: ignore[arg-type]  # each as the field wants it


def codes(report: Report) -> list[str]:
    """Return the codes of what was found."""
    return [finding.code for finding in report.findings]


def one(report: Report) -> Finding:
    """Return the only finding."""
    (finding,) = report.findings
    return finding


def test_a_good_set_up(good: World, asked: FakePreflight) -> None:
    """Nothing is wrong, and everything was looked at, as the app's own identity."""
    report = examine(good.context, asked, site=SITE)

    assert report == Report((), (), SITE)
    assert (str(BASE), "app-id") in asked.asked
    assert not report.errors


def test_whose_roles_are_looked_at(good: World, asked: FakePreflight) -> None:
    """The caller's by default; an identity's by any of its names."""
    for identity, expected in (("", ""), ("C1", "app-id"), ("other", "object of other")):
        asked.asked.clear()
        examine(good.context, asked, identity=identity)
        assert (str(APPS), expected) in asked.asked


def test_an_app_that_cannot_be_asked_for_its_identity(good: World, asked: FakePreflight) -> None:
    """It is said, and the caller's roles are looked at instead."""
    asked.app = None
    report = examine(good.context, asked, site=SITE)

    assert codes(report) == ["app-not-there"]
    assert [entry.right for entry in report.unchecked] == ["give --identity"]
    assert one(report).commands() == ("azd up",)


def test_a_registry_that_is_not_there(good: World) -> None:
    """The setting that names it is told."""
    for registry, setting in (
        (BASE, "REBUILDER_BASE_REGISTRIES"),
        (OTHERS, "REBUILDER_TASK_REGISTRIES"),
    ):
        found = FakePreflight()
        del found.setups[registry]
        report = examine(good.context, found)
        assert codes(report) == ["registry-not-there"]
        assert one(report).what().startswith(setting)
        assert one(report).commands()[0].startswith("az acr list --subscription s")


def test_roles_that_are_missing(good: World, asked: FakePreflight) -> None:
    """One finding for each role, with the custom role that gives the least besides."""
    asked.held = {str(BASE): [Permission((PULL,))], str(APPS): [Permission((READ_REGISTRY,))]}
    asked.custom = [
        RoleDefinition("All of it", custom=True, permissions=(Permission(("*",)),)),
        RoleDefinition(
            "Base", custom=True, permissions=(Permission((READ_REGISTRY, *BASE_ADVICE)),)
        ),
        RoleDefinition(
            "Tasks", custom=True, permissions=(Permission((*TASK_ACTIONS, *BASE_ADVICE)),)
        ),
        RoleDefinition("Contributor", custom=False, permissions=(Permission(("*",)),)),
    ]
    report = examine(good.context, asked)

    assert codes(report) == ["role-missing", "role-missing"]
    assert "no registries/tasks/read, registries/scheduleRun/action, registries/runs/read" in (
        report.findings[1].what()
    )
    (command,) = report.findings[0].commands()
    assert command == (
        "az role assignment create --assignee-object-id caller-id"
        f" --assignee-principal-type ServicePrincipal --role 'All of it' --scope {BASE}"
    )
    asked.custom = []
    assert report.errors
    assert examine(good.context, asked).findings[0].commands()[0] == (
        "az role definition create --role-definition infra/rebuilder-role.json"
    )


def test_the_role_for_advice_alone(good: World, asked: FakePreflight) -> None:
    """Without it nothing stops, so it is a warning."""
    asked.held = {str(BASE): [Permission((PULL, READ_REGISTRY))]}
    report = examine(good.context, asked)

    assert codes(report) == ["advice-role-missing"]
    assert not report.errors
    assert "which role is missing" in one(report).why()


def test_the_role_for_logs_alone(good: World, asked: FakePreflight) -> None:
    """Without it runs are started and followed, but nobody is told why one failed: a warning."""
    asked.held = {str(APPS): [Permission(TASK_ACTIONS)]}
    report = examine(good.context, asked)

    assert codes(report) == ["log-role-missing"]
    assert not report.errors
    assert "no registries/runs/listLogSasUrl/action" in one(report).what()
    assert "why a run failed is not known" in one(report).why()


def test_a_registry_of_repositories(good: World, asked: FakePreflight) -> None:
    """AcrPull does not count there, and a task needs a role in its own registry."""
    for registry in (BASE, APPS):
        asked.setups[registry] = replace(asked.setups[registry], abac=True)
    asked.held = {str(BASE): [Permission(("*",))]}
    report = examine(good.context, asked)
    assert codes(report) == ["pull-missing", "task-may-not-push"]
    assert "AcrPull does not count" in report.findings[0].what()
    assert "--identities '[system]'" in report.findings[1].commands()[0]

    held = replace(task(), principals=("p1",), signs_in_to=frozenset({"mybase.azurecr.io"}))
    good.tasks.add(held)
    asked.held |= {f"p1@{registry}": [Permission(("*",))] for registry in (BASE, APPS)}
    report = examine(good.context, asked)
    absent = ["task-may-not-pull", "task-may-not-push", "task-not-signed-in"]
    assert codes(report) == ["pull-missing", *absent]
    assert "'Container Registry Repository Reader'" in report.findings[1].what()
    assert "--assignee-object-id p1" in report.findings[2].commands()[0]
    (command,) = report.findings[3].commands()
    assert command.startswith("az acr task update --source-acr-auth-id '[system]' --name")
    assert "does not sign in there as its identity" in report.findings[3].what()

    good.tasks.add(replace(held, own_sign_in=True))
    assert "task-not-signed-in" not in codes(examine(good.context, asked))


def test_a_base_registry_that_runs_may_push_to(good: World, asked: FakePreflight) -> None:
    """It warns where one registry is both, unless permissions go by repository there."""
    both = replace(good.context.settings, task_registries=(BASE, APPS, OTHERS))
    good.context = replace(good.context, settings=both)
    scan_registry(good.context, BASE)
    finding = one(examine(good.context, asked, site=SITE))

    assert (finding.code, finding.severity) == ("bases-open-to-runs", "warning")
    assert "mybase is both base and task registry" in finding.what()
    assert "scheduleRun" in finding.why()
    assert finding.commands()[-1] == (
        "az acr update --name mybase --resource-group g --subscription s1"
        " --role-assignment-mode rbac-abac"
    )
    assert not examine(good.context, asked, site=SITE).errors
    asked.setups[BASE] = replace(asked.setups[BASE], abac=True)
    assert "bases-open-to-runs" not in codes(examine(good.context, asked, site=SITE))


def test_a_task_without_an_identity(good: World, asked: FakePreflight) -> None:
    """It is given one first."""
    good.tasks.add(task("bare"))
    found = one(examine(good.context, asked))

    assert found.code == "task-without-credentials"
    assert [command.split()[3] for command in found.commands()] == ["identity", "credential"]


def test_what_cannot_be_looked_at(good: World, asked: FakePreflight) -> None:
    """It is told with the right that it takes, and the rest is looked at."""
    asked.denied = APPS.name
    asked.topic = []
    asked.subscribed = []
    report = examine(good.context, asked)

    assert codes(report) == ["not-subscribed"]
    assert [(entry.what, entry.reason) for entry in report.unchecked] == [
        ("roles on myapps", f"may not read the roles on {APPS}")
    ]
    assert "roleAssignments/read" in report.unchecked[0].right
    create, subscribe = one(report).commands()
    assert create.startswith("az eventgrid system-topic create --name rebuilder-mybase")
    assert "/sites/FUNCTION_APP/functions/image_pushed" in subscribe


def test_subscriptions_in_a_bad_way(good: World, asked: FakePreflight) -> None:
    """Each mistake is one finding, with the command for a topic's or a registry's."""
    asked.subscribed = [
        replace(
            PUSHES,
            topic=None,
            event_types=frozenset({"Microsoft.ContainerRegistry.ImageDeleted"}),
            ends_with=":9",
            advanced=2,
            minutes=1,
            dead_letters=None,
            ready=False,
        ),
        EventSubscription("elsewhere", None, webhook="https://example.com/hook"),
    ]
    report = examine(good.context, asked, site=SITE)

    assert codes(report) == [
        *("subscription-not-ready", "pushes-filtered"),
        *("pushes-narrowed", "few-attempts", "no-dead-letters"),
    ]
    assert all(
        finding.commands()[0].startswith(
            f"az rest --method patch --url '{BASE}/providers/Microsoft.EventGrid/eventSubscriptions"
        )
        for finding in report.findings
    )
    assert '"blobContainerName": "letters"' in report.findings[4].commands()[0]
    narrowed = report.findings[2]
    assert "subjects that end with ':9', what 2 advanced filter(s) allow" in narrowed.what()
    assert '"advancedFilters": []' in narrowed.commands()[0]


def test_a_webhook_may_be_ours(good: World, asked: FakePreflight) -> None:
    """Event Grid does not show which function it is for."""
    hook = "https://app.azurewebsites.net/runtime/webhooks/EventGrid"
    asked.subscribed = [EventSubscription("hook", TOPIC, webhook=hook, dead_letters=LETTERS)]

    assert codes(examine(good.context, asked)) == []


def test_a_queue_is_ours_by_its_account(good: World, asked: FakePreflight) -> None:
    """Another environment on the same registry has a queue of the same name."""
    settings = replace(good.context.settings, storage="", storage_account="kept")
    context = replace(good.context, settings=settings)
    queue = (ACCOUNT, "rebuilder-events")
    asked.subscribed = [EventSubscription("q", TOPIC, dead_letters=LETTERS, queue=queue)]
    assert codes(examine(context, asked, site=SITE)) == []
    assert codes(examine(good.context, asked, site=SITE)) == []

    for place in ((f"{ACCOUNT}2", "rebuilder-events"), (ACCOUNT, "other")):
        asked.subscribed = [EventSubscription("q", TOPIC, dead_letters=LETTERS, queue=place)]
        assert codes(examine(context, asked, site=SITE)) == ["not-subscribed"]


def test_who_takes_events_from_the_queue_is_told_how_to_subscribe(
    good: World, asked: FakePreflight
) -> None:
    """A topic that may write into the app's queue shows it; so does another registry's way."""
    settings = replace(good.context.settings, storage="", storage_account="kept")
    context = replace(good.context, settings=settings)
    queue = (ACCOUNT, "rebuilder-events")
    scope = f"{ACCOUNT}/queueServices/default/queues/rebuilder-events"
    topic = replace(TOPIC, principals=("topic-id",))
    asked.topic, asked.subscribed = [topic], []
    asked.held[f"topic-id@{scope}"] = []
    found = [f for f in examine(context, asked, site=SITE).findings if f.code == "not-subscribed"]
    assert ["image_pushed" in f.what() for f in found] == [True]

    right = "Microsoft.Storage/storageAccounts/queueServices/queues/messages/add/action"
    asked.held[f"topic-id@{scope}"] = [Permission(data_actions=(right,))]
    found = [f for f in examine(context, asked, site=SITE).findings if f.code == "not-subscribed"]
    assert len(found) == 1
    for finding in found:
        (command,) = finding.commands()
        told = json.loads(shlex.split(command)[-1])["properties"]
        assert "destination" not in told
        assert told["deliveryWithResourceIdentity"] == {
            "identity": {"type": "SystemAssigned"},
            "destination": {
                "endpointType": "StorageQueue",
                "properties": {
                    "resourceId": ACCOUNT,
                    "queueName": "rebuilder-events",
                    "queueMessageTimeToLiveInSeconds": -1,
                },
            },
        }
        assert "to rebuilder-events" in finding.what()

    new = NotSubscribed(BASE, None, SITE, LETTERS, queue)
    topic_made, role, subscribed = new.commands()
    assert "--identity systemassigned" in topic_made
    assert f"--role 'Storage Queue Data Message Sender' --scope {scope}" in role
    assert "StorageQueue" in subscribed

    asked.account = None
    assert _by_queue(_known(context, asked, []), [topic]) is None
    assert _by_queue(_known(good.context, asked, []), [topic]) is None
    others = [EventSubscription("q", None, queue=queue)]
    assert _by_queue(_known(context, asked, others), []) == queue
    elsewhere = [EventSubscription("q", None, queue=(f"{ACCOUNT}2", "rebuilder-events"))]
    assert _by_queue(_known(context, asked, elsewhere), []) is None


def _known(context: Context, asked: FakePreflight, others: list[EventSubscription]) -> Known:
    known = Known(context, asked, SITE)
    known.subscribed[OTHERS] = ([], others)
    return known


def test_a_topic_that_may_not_write_into_the_queue(good: World, asked: FakePreflight) -> None:
    """The role is named for that topic and that queue; without an identity nothing is known."""
    queue = (ACCOUNT, "rebuilder-events")
    topic = replace(TOPIC, principals=("topic-id",))
    asked.subscribed = [EventSubscription("q", topic, dead_letters=LETTERS, queue=queue)]
    scope = f"{ACCOUNT}/queueServices/default/queues/rebuilder-events"
    asked.held[f"topic-id@{scope}"] = []
    found = one(examine(good.context, asked, site=SITE))

    assert found.code == "queue-not-writable"
    assert "the topic's identity may not put messages into queue rebuilder-events" in found.what()
    assert "dead letter" in found.why()
    (command,) = found.commands()
    assert "Storage Queue Data Message Sender" in command
    assert "topic-id" in command
    assert scope in command
    for action in ("add/action", "write"):
        right = f"Microsoft.Storage/storageAccounts/queueServices/queues/messages/{action}"
        asked.held[f"topic-id@{scope}"] = [Permission(data_actions=(right,))]
        assert codes(examine(good.context, asked, site=SITE)) == []
    asked.subscribed = [EventSubscription("q", None, dead_letters=LETTERS, queue=queue)]
    assert codes(examine(good.context, asked, site=SITE)) == []


def test_dead_letters_that_nobody_reads(good: World, asked: FakePreflight) -> None:
    """The setting that is to name them is told."""
    context = replace(good.context, settings=replace(good.context.settings, dead_letters=""))
    found = one(examine(context, asked))

    assert found.code == "dead-letters-unread"
    assert "REBUILDER_DEAD_LETTERS looks nowhere" in found.what()
    assert found.commands()[0].endswith(
        "--settings REBUILDER_DEAD_LETTERS=https://kept.blob.core.windows.net/letters"
    )


def test_a_token_that_ends_soon(good: World, asked: FakePreflight) -> None:
    """It is named two weeks before, with the host; what a host does not tell is not known."""
    hosts = ("github.com", "dev.azure.com")
    shown = tuple(SourceCredential(host, "secret") for host in hosts)
    settings = replace(good.context.settings, source_credentials=shown)
    context = replace(good.context, settings=settings)
    good.sources.ends = {"github.com": good.time.now + timedelta(days=15)}
    assert codes(examine(context, asked)) == []
    good.sources.ends = {"github.com": good.time.now + timedelta(days=13)}
    found = one(examine(context, asked))

    assert (found.code, found.severity, found.commands()) == ("token-ends", "warning", ())
    assert found.what().startswith("the token for github.com ends on 20")
    assert "secret" not in f"{found}{found.what()}"
    good.sources.failure = TransientError("github.com answers HTTP 503")
    report = examine(context, asked)
    assert [u.what for u in report.unchecked] == [f"token for {host}" for host in hosts]


def test_a_secret_that_cannot_be_read(good: World, asked: FakePreflight) -> None:
    """What rests on it was not looked at, and why."""
    unread = (("REBUILDER_DESTINATIONS", "https://kv1.vault.azure.net/secrets/a: there is none"),)
    settings = replace(good.context.settings, unread=unread)
    found = examine(replace(good.context, settings=settings), asked)

    assert [(u.what, u.reason) for u in found.unchecked] == list(unread)


def test_old_settings(good: World, asked: FakePreflight) -> None:
    """Settings of an older version are told, with the commands that replace them."""
    env = {
        "AzureWebJobsStorage": "sqlite:unused",
        "REBUILDER_BASE_REGISTRIES": str(BASE),
        "REBUILDER_TASK_REGISTRIES": f"{APPS} {OTHERS}",
        "REBUILDER_DEAD_LETTERS": "https://kept.blob.core.windows.net/letters",
        "REBUILDER_SWEEP_SCHEDULE": "0 0 * * * *",
        "REBUILDER_GITHUB_HOSTS": "ghe.example.com",
    }
    found = one(examine(replace(good.context, settings=Settings.from_env(env)), asked))

    assert found.code == "old-settings"
    assert "REBUILDER_GITHUB_HOSTS (now HOST=github in REBUILDER_SOURCE_HOSTS)" in found.what()
    told = "REBUILDER_SWEEP_SCHEDULE (now sweep_schedule=0 0 * * * * in REBUILDER_TUNING)"
    assert told in found.what()
    new, delete = found.commands()
    assert new.endswith(" --settings 'REBUILDER_TUNING=sweep_schedule=0 0 * * * *'")
    assert delete.endswith(" --setting-names REBUILDER_SWEEP_SCHEDULE")

    by_hand = {name: text for name, text in env.items() if name != "REBUILDER_SWEEP_SCHEDULE"}
    found = one(examine(replace(good.context, settings=Settings.from_env(by_hand)), asked))
    assert found.commands() == ()


def test_storage(good: World, asked: FakePreflight) -> None:
    """A queue that the caller may not look into, a role that the app lacks, no account."""
    settings = replace(good.context.settings, storage="", storage_account="kept")
    context = replace(good.context, settings=settings)
    asked.held = {ACCOUNT: [Permission(data_actions=("*/queues/*", "*/blobs/*"))]}
    report = examine(context, asked)
    assert codes(report) == ["storage-role-missing"]
    assert "'Storage Table Data Contributor' on kept" in one(report).what()
    assert [entry.what for entry in report.unchecked] == ["queues"]

    asked.account = None
    report = examine(context, asked)
    assert codes(report) == []
    assert [entry.what for entry in report.unchecked] == [
        *("queues", "roles on storage account kept"),
    ]
    by_key = replace(context, settings=replace(settings, storage="AccountKey=x"))
    assert [entry.what for entry in examine(by_key, asked).unchecked] == ["queues"]


def test_what_is_kept(good: World, asked: FakePreflight) -> None:
    """An old index, rebuilds that nothing happens to, dead letters."""
    good.ledger.claim(rebuild(good, sequence=2))
    letter = DeadLetter(Origin.QUEUE, BUILDS, "x", "KeyError", good.time.now)
    good.context.dead_letters.record(letter)
    good.time.pass_(timedelta(hours=25).total_seconds())
    report = examine(good.context, asked)

    assert codes(report) == [
        *("index-old", "index-old", "rebuild-overdue", "dead-letters-wait"),
    ]
    assert report.findings[0].commands() == (f"az functionapp restart --ids {SITE}",)
    assert report.findings[2].commands() == ("rebuilder retry myapps/build-app",)
    assert report.findings[3].commands()[1] == "rebuilder replay --all"


def test_a_policy_that_is_not_in_force(good: World, asked: FakePreflight) -> None:
    """Without a good version before it nothing begins; with one, it counts."""
    steering, now = good.context.steering, good.time.now
    steering.apply("version: 7", who="", at=now, because="", before="")
    (found,) = examine(good.context, asked).findings
    assert found.code == "policy-not-in-force"
    assert "policy version 1:1:10: 7: write 1" in found.what()
    assert found.why() == "no version of it can be read, so nothing begins"
    assert found.commands()[0] == "rebuilder policy show"
    for text in ("version: 1", "version: 7"):
        steering.apply(text, who="", at=now, because="", before=steering.token())
    good.context.in_force.forget()
    (found,) = examine(good.context, asked).findings
    assert "the last good version is in force" in found.why()


def test_messages_to_somebody_unknown(good: World, asked: FakePreflight) -> None:
    """Each rule and name; where nobody is named here, the app may know them, and that is said."""
    text = "version: 1\nmessages: [{name: all, to: [team, gate]}, {name: some, to: [team]}]"
    steering, now = good.context.steering, good.time.now
    steering.apply(text, who="", at=now, because="", before="")
    report = examine(good.context, asked)
    assert codes(report) == []
    assert [u.what for u in report.unchecked] == ["whom messages go to"]
    team = Destination("team", Kind.PEOPLE, "json://127.0.0.1/x")
    settings = replace(good.context.settings, destinations=(team,))
    found = one(examine(replace(good.context, settings=settings), asked))
    assert (found.code, found.severity) == ("destination-unknown", "warning")
    assert found.what().startswith("the rule of messages all tells gate, whom ")
    assert found.commands() == ("rebuilder policy apply FILE",)


def test_an_index_that_was_never_filled(world: World, asked: FakePreflight) -> None:
    """It is a note; and whether Azure runs tasks at all is not known yet, which is said."""
    asked.subscribed = [replace(PUSHES, dead_letters=None)]
    report = examine(world.context, asked)

    assert codes(report) == ["no-dead-letters", "index-never-filled", "index-never-filled"]
    assert not report.findings[1].commands()
    assert [entry.what for entry in report.unchecked] == [
        "whether events tell of the tasks of myapps, theirapps",
        *("whether Azure allows tasks in myapps", "whether Azure allows tasks in theirapps"),
    ]


def test_times_of_a_clock_that_was_ahead(good: World, asked: FakePreflight) -> None:
    """Leases, due times and paces that cannot be; those that can are not told."""
    tomorrow = good.time.now + timedelta(days=1)
    good.ledger.claim(rebuild(good, sequence=2, state=State.FAILED, due=tomorrow + OVERDUE))
    good.ledger.claim(rebuild(good, sequence=3, state=State.FAILED, due=good.time.now + OVERDUE))
    soon = good.time.now + timedelta(minutes=7)
    for name, until in (("sweep", tomorrow), ("poll", soon), ("history", None)):
        good.context.bookmarks.save(Bookmark(name, lease_until=until))
    for name, end in (("s1", tomorrow), ("s2", soon)):
        good.context.bookmarks.save(Bookmark(f"pace/{name}", end.isoformat()))
    found = [f for f in examine(good.context, asked).findings if f.code == "time-ahead"]

    assert sorted(finding.what().partition(" is of ")[0] for finding in found) == [
        "the lease of sweep",
        "the pace of subscription s1",
        "the rebuild of build-app",
    ]
    assert "set by NTP" in found[0].why()


def test_free_credits(good: World, asked: FakePreflight) -> None:
    """A run that Azure refused is the only sign that it would."""
    refused = rebuild(
        good,
        sequence=2,
        state=State.GIVEN_UP,
        failure=Failure.REFUSED,
        outcome="TasksOperationsNotAllowed: ACR Tasks requests are not permitted",
    )
    good.ledger.claim(refused)
    found = one(examine(good.context, asked))

    assert found.code == "tasks-not-allowed"
    assert found.commands() == ("rebuilder retry myapps/build-app",)


def test_the_command(
    good: World,
    asked: FakePreflight,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Findings with their commands, what was not looked at; exit code 1, 0, or 2."""

    def preflight(_: Settings) -> FakePreflight:
        return asked

    monkeypatch.setattr(composition, "compose", lambda _: good.context)
    monkeypatch.setattr(cli_doctor, "preflight", preflight)
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out == "Nothing wrong was found.\n"

    asked.refused = [("storage", Denied("no credential"))]
    asked.denied = OTHERS.name
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == [
        "error: there is no token for storage: no credential",
        "    without a token nothing can be asked of it",
        "    $ az login",
    ]
    assert told[3].startswith("not looked at: roles on theirapps: may not read the roles")
    assert told[4].startswith("    needs Microsoft.Authorization/roleAssignments/read")

    assert cli.main(["doctor", "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["findings"][0]["code"] == "no-token"
    assert record["unchecked"][0]["what"] == "roles on theirapps"

    asked.refused = [("ARM", Denied("no credential"))]
    assert cli.main(["doctor"]) == 2
    assert capsys.readouterr().err == "rebuilder: no credential\n"


@pytest.mark.parametrize(
    ("arguments", "own"),
    [
        (["doctor"], f"rebuilder --function-app {SITE} "),
        (["doctor", "--function-app", SITE], f"rebuilder --function-app {SITE} "),
        (["--function-app", SITE, "doctor"], f"rebuilder --function-app {SITE} "),
        (["--settings", "my settings.json", "doctor"], "rebuilder --settings 'my settings.json' "),
        (["--settings", "", "doctor"], "rebuilder "),
    ],
)
def test_commands_name_where_their_settings_come_from(
    good: World,
    asked: FakePreflight,
    arguments: list[str],
    own: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Whoever types them may have another shell; the app is the one that pushes are sent to."""
    settings = tmp_path / "my settings.json"
    settings.write_text('{"Values": {}}')
    monkeypatch.chdir(tmp_path)
    good.context.dead_letters.record(
        DeadLetter(Origin.QUEUE, BUILDS, "x", "KeyError", good.time.now)
    )
    if "settings" in own or own == "rebuilder ":
        asked.subscribed = []
    values = {"AZURE_CLIENT_ID": "c1"}
    monkeypatch.setattr(composition, "app_environment", lambda *_: dict(values))
    monkeypatch.setattr(composition, "compose", lambda _: good.context)
    monkeypatch.setattr(cli_doctor, "preflight", lambda _: asked)
    cli.main(arguments)
    told = capsys.readouterr().out

    assert f"    $ {own}dead-letters\n    $ {own}replay --all\n" in told
    assert ("app-id" in {who for _, who in asked.asked}) == ("--function-app" in arguments)


def test_one_task_that_cannot_be_judged_is_one(
    good: World, asked: FakePreflight, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named as not looked at, and the findings about the others are there."""
    good.tasks.add(task("bad"), replace(task("worse"), enabled=True, signs_in_to=frozenset()))
    real = doctor.judge_task

    def failing(given: Task) -> Iterable[Finding]:
        if given.id.name == "bad":
            raise LookupError
        return real(given)

    before = examine(good.context, asked, site=SITE)
    monkeypatch.setattr(doctor, "judge_task", failing)
    after = examine(good.context, asked, site=SITE)

    assert [e.what for e in after.unchecked if "bad" in e.what] == ["task myapps/bad"]
    of_others = [f.what() for f in before.findings if "bad" not in f.what()]
    assert of_others
    assert [f.what() for f in after.findings] == of_others
