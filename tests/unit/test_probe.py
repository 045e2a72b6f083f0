"""`rebuilder probe`: what is pushed, what is waited for, what is told where it does not come."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from copy import replace
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from msgspec import structs

from rebuilder import composition
from rebuilder.cli import main as cli
from rebuilder.cli.setup import probe as command
from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import DockerStep, Kind, RunStatus, Task
from rebuilder.core.decisions.runs import TaskDisabled
from rebuilder.core.dependencies.evidence import Evidence, Said, Source, join
from rebuilder.core.events.pushes import NotABase, Push
from rebuilder.core.policies.holds import Frozen, Held
from rebuilder.core.probe.artifacts import Artifact, sample_context, scratch_image
from rebuilder.core.probe.sample import Sample
from rebuilder.core.rebuilds.rebuild import Hold, Rebuild, State
from rebuilder.errors import Denied, RebuilderError, Refused, TransientError
from tests.unit.fakes import APPS, BASE, OTHERS, World, run
from tests.unit.fakes import task as other_task

SCRATCH = "mybase.azurecr.io/acr-rebuilder/scratch:latest"
SAMPLE = Sample(TaskId(APPS, "acr-rebuilder-sample"), BASE, "mybase.azurecr.io")
GIVES = (
    "az role assignment create --assignee-object-id p1 --assignee-principal-type ServicePrincipal"
    f" --role AcrPull --scope {BASE}"
)


@dataclass
class Registries:
    """Registries that take what is pushed; what happens meanwhile, somebody else does."""

    world: World
    abacs: frozenset[RegistryId] = frozenset()
    failures: dict[str, list[RebuilderError]] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    pushed: list[Artifact] = field(default_factory=list)
    then: Callable[[Push], None] = lambda _: None

    def _do(self, what: str, name: str = "") -> None:
        if waiting := self.failures.get(what):
            raise waiting.pop(0)
        self.did.append(f"{what} {name}".strip())

    def abac(self, registry: RegistryId) -> bool:
        """Tell whether a registry goes by repository permissions."""
        return registry in self.abacs

    def push(self, login_server: str, repository: str, tag: str, artifact: Artifact) -> None:
        """Keep an artifact."""
        self._do("push", repository)
        self.pushed.append(artifact)
        self.world.images.digests[f"{login_server}/{repository}:{tag}"] = artifact.digest
        self.then(Push(BASE, repository, tag, artifact.digest, None, "event"))

    def make(self, sample: Sample) -> str:
        """Make the task."""
        self._do("make", sample.task.short)
        self.world.tasks.add(made(sample.step))
        return "p1"

    def grant(self, registry: RegistryId, principal: str, role: str) -> bool:
        """Give a role."""
        self._do("grant", f"{role} on {registry.name} to {principal}")
        return self.did.count(self.did[-1]) == 1

    def revoke(self, registry: RegistryId, principal: str, role: str) -> bool:
        """Take a role."""
        self._do("revoke", f"{role} on {registry.name} from {principal}")
        return role == "AcrPull"

    def delete_task(self, task: TaskId) -> bool:
        """Delete a task."""
        self._do("delete", task.short)
        return self.world.tasks.known.pop(task, None) is not None

    def delete_repository(self, login_server: str, repository: str) -> bool:
        """Delete a repository."""
        self._do("delete", f"{login_server}/{repository}")
        return (
            self.world.images.digests.pop(f"{login_server}/{repository}:latest", None) is not None
        )

    def close(self) -> None:
        """Be told of it."""
        self.did.append("close")


def made(step: DockerStep, principals: tuple[str, ...] = ("p1",)) -> Task:
    """Return the sample task as ARM tells of it, of this or another step."""
    return replace(
        other_task("acr-rebuilder-sample"), dependencies=(), step=step, principals=principals
    )


def by_hand(run_id: str) -> str:
    """Return what a run of the sample is called."""
    return f"run {run_id} of myapps/acr-rebuilder-sample, by hand"


@dataclass
class Probe:
    """The command, in a world where something happens each time that it waits."""

    world: World
    registries: Registries
    capsys: pytest.CaptureFixture[str]
    meanwhile: list[Callable[[], object]] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Let time pass, and the next thing happen."""
        self.world.time.pass_(seconds)
        if self.meanwhile:
            self.meanwhile.pop(0)()

    def __call__(self, *arguments: str) -> tuple[int, list[str], str]:
        """Type the command."""
        code = cli.main(["probe", *arguments])
        told = self.capsys.readouterr()
        return code, told.out.splitlines(), told.err

    def sees(self) -> None:
        """Have each push of the scratch image in the ledger at once."""
        self.registries.then = self.see

    def see(self, push: Push) -> None:
        """Have a push in the ledger."""
        if push.repository.endswith("/scratch"):
            self.world.ledger.record_events([push], self.world.time.now)

    def run(self, run_id: str, status: RunStatus) -> Callable[[], object]:
        """Return what has a run of the sample end."""
        ended = run(run_id, task="acr-rebuilder-sample", status=status)
        return lambda: self.world.tasks.found_runs.update({run_id: ended})

    def run_and_known(self, run_id: str) -> Callable[[], object]:
        """Return what has a run of the sample succeed, and the index know of it."""

        def happen() -> None:
            self.run(run_id, RunStatus.SUCCEEDED)()
            self.knows()

        return happen

    def knows(self) -> None:
        """Have the index know what the sample is built on."""
        said = Said(ImageReference.parse(SCRATCH), Kind.RUNTIME)
        view = join(SAMPLE.task, [Evidence(Source.BUILD_FILE, (said,))])
        self.world.index.replace(view, self.world.time.now)

    def ready(self) -> None:
        """Have a sample that was made before."""
        self.sees()
        self.world.tasks.add(made(SAMPLE.step))
        digests = self.world.images.digests
        digests[SCRATCH] = scratch_image("before").digest
        digests["mybase.azurecr.io/acr-rebuilder/sample-context:latest"] = sample_context(
            SCRATCH
        ).digest
        self.run("cb1", RunStatus.SUCCEEDED)()
        self.knows()

    @property
    def image(self) -> str:
        """The image that was pushed last, with its digest."""
        return f"{SCRATCH}@{self.registries.pushed[-1].digest}"

    def rebuild(self, state: State, **changes: object) -> Callable[[], object]:
        """Return what has a rebuild of the sample on the newest image in the ledger."""

        def happen() -> None:
            now = self.world.time.now
            push = f"{BASE}|acr-rebuilder/scratch|latest|{self.registries.pushed[-1].digest}"
            kept = Rebuild(
                *(SAMPLE.task, 1, "key", (self.image,), push, state, now, "owner", now),
                run_id="cb2",
            )
            assert self.world.ledger.claim(structs.replace(kept, **changes))

        return happen


@pytest.fixture(name="probe")
def _probe(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Probe:
    made_probe = Probe(world, Registries(world), capsys)
    monkeypatch.setattr(composition, "compose", lambda _: world.context)
    monkeypatch.setattr(command, "probe_registries", lambda _: made_probe.registries)
    monkeypatch.setattr(command, "sleep", made_probe.sleep)
    return made_probe


def test_the_scratch_image_is_an_image() -> None:
    """Its manifest names its config and its one layer; another mark is another digest."""
    one, other = scratch_image("one"), scratch_image("other")
    manifest = json.loads(one.manifest)
    (layer,) = manifest["layers"]
    config, packed = one.blobs
    unpacked = gzip.decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        file = archive.extractfile("acr-rebuilder-probe")
        assert file is not None
        assert file.read() == b"one"

    assert scratch_image("one") == one
    assert one.digest != other.digest
    assert manifest["config"]["size"] == len(config)
    assert layer["size"] == len(packed)
    assert len(json.loads(config)["rootfs"]["diff_ids"]) == 1


def test_the_context_is_a_dockerfile() -> None:
    """As oras stores a file: a layer with its name; the same for the same base."""
    artifact = sample_context(SCRATCH)
    (layer,) = json.loads(artifact.manifest)["layers"]

    assert layer["annotations"] == {"org.opencontainers.image.title": "Dockerfile"}
    assert artifact.blobs[1].splitlines()[0] == f"FROM {SCRATCH}".encode()
    assert sample_context(SCRATCH) == artifact


def test_a_push_that_is_seen(probe: Probe) -> None:
    """How long it took is told; nothing else is done."""
    probe.registries.then = lambda push: probe.meanwhile.append(lambda: probe.see(push))
    code, out, err = probe()

    assert (code, err) == (0, "")
    assert out == [f"pushed {probe.image}", "seen by the app 1.0 s after the push"]
    assert probe.registries.did == ["push acr-rebuilder/scratch", "close"]


def test_a_push_that_is_not_seen(probe: Probe) -> None:
    """It is told when the time is over, with who looks for the reason."""
    before = probe.world.time.now
    code, out, _ = probe("--minutes", "2")

    assert code == 1
    assert out[1] == "not seen: no event of it came; `rebuilder doctor` looks for the reason"
    assert probe.world.time.now - before == timedelta(minutes=2)


def test_a_push_whose_event_was_left_aside(probe: Probe) -> None:
    """The reason is the event's own."""
    ignored = NotABase("event", str(BASE), "acr-rebuilder/scratch:latest")
    probe.meanwhile.append(
        lambda: probe.world.ledger.record_events([ignored], probe.world.time.now)
    )
    old = NotABase("event", str(BASE), "acr-rebuilder/scratch:old")
    probe.world.ledger.record_events([old], probe.world.time.now - timedelta(hours=1))
    code, out, _ = probe("--minutes", "1")

    assert code == 1
    assert out[1].startswith("not seen: an event of it was left aside: ")
    assert "is not among REBUILDER_BASE_REGISTRIES" in out[1]


@pytest.mark.parametrize(
    ("away", "minutes", "told"),
    [
        ("push", "0.1", "not seen: whether it was seen is unknown: the store is away"),
        ("ignored", "0", "what came of it is unknown: the store is away"),
    ],
    ids=["after the push", "at the end"],
)
def test_what_cannot_be_read_is_unknown(
    probe: Probe, monkeypatch: pytest.MonkeyPatch, away: str, minutes: str, told: str
) -> None:
    """A store that is out of order tells neither that nothing came nor that nothing was done."""

    def broken(*_: object) -> None:
        raise TransientError("the store is away")

    monkeypatch.setattr(probe.world.ledger, away, broken)
    code, out, _ = probe("--minutes", minutes)

    assert code == 1
    assert out[1] == told


def test_nothing_is_pushed_that_could_not_be_seen(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may not read the ledger is told the role first."""

    def denied(*_: object, **__: object) -> None:
        raise Denied("read tables: AuthorizationPermissionMismatch")

    monkeypatch.setattr(probe.world.ledger, "pushes", denied)
    code, out, err = probe()

    assert (code, out) == (2, [])
    assert "AuthorizationPermissionMismatch" in err
    assert "Storage Table Data Reader" in err
    assert probe.registries.did == ["close"]


def test_whoever_may_not_push_is_told_the_role(probe: Probe) -> None:
    """In one sentence, for both kinds of registries."""
    probe.registries.failures["push"] = [Denied("push mybase: HTTP 401: Unauthorized")]
    code, out, err = probe()

    assert (code, out) == (2, [])
    assert err == (
        "rebuilder: push mybase: HTTP 401: Unauthorized; to push there takes the role AcrPush"
        f" (ABAC: Container Registry Repository Writer) on {BASE}\n"
    )


def test_which_base_registry_is_meant(probe: Probe) -> None:
    """The only one, or the one that is named."""
    probe.sees()
    assert probe("--base", "MyBase")[0] == 0
    assert probe("--base", str(BASE))[0] == 0
    code, _, err = probe("--base", "myapps")
    assert (code, err) == (2, "rebuilder: myapps is none of the base registries: mybase\n")
    both = replace(probe.world.settings, base_registries=frozenset({BASE, OTHERS}))
    world = replace(probe.world.context, settings=both)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "compose", lambda _: world)
        code, _, err = probe()
    assert (code, err) == (2, "rebuilder: say --base, one of mybase, theirapps\n")


def test_a_sample_is_made_ready_once(probe: Probe) -> None:
    """Image, context, task, role and a run by hand, in this order; then the push that counts."""
    probe.sees()
    probe.meanwhile += [
        probe.run("ca1", RunStatus.SUCCEEDED),
        probe.knows,
        probe.rebuild(State.SUCCEEDED, output_images=("myapps.azurecr.io/acr-rebuilder/sample:1",)),
    ]
    code, out, err = probe("--sample", "myapps")

    assert (code, err) == (0, "")
    assert probe.registries.did == [
        "push acr-rebuilder/scratch",
        "push acr-rebuilder/sample-context",
        "make myapps/acr-rebuilder-sample",
        "grant AcrPull on mybase to p1",
        "push acr-rebuilder/scratch",
        "close",
    ]
    assert [t for t, _ in probe.world.tasks.scheduled] == [SAMPLE.task]
    assert out[2:] == [
        "made the task myapps/acr-rebuilder-sample, its triggers off",
        "gave the task's identity the role AcrPull on mybase",
        "run ca1 of myapps/acr-rebuilder-sample, by hand: Succeeded",
        f"pushed {probe.image}",
        "seen by the app 0.0 s after the push",
        "myapps/acr-rebuilder-sample was rebuilt by run cb2, 1.0 s after the push",
        "    myapps.azurecr.io/acr-rebuilder/sample:1",
    ]


def test_a_sample_that_is_there_is_not_touched(probe: Probe) -> None:
    """The second time nothing is new but the digest of the scratch image."""
    probe.ready()
    probe.meanwhile.append(probe.rebuild(State.SUCCEEDED))
    code, out, err = probe("--sample", "myapps")

    assert (code, err) == (0, "")
    assert probe.registries.did == ["push acr-rebuilder/scratch", "close"]
    assert probe.world.tasks.scheduled == []
    assert len(out) == 3


def test_another_task_of_that_name_is_left_alone(probe: Probe) -> None:
    """Nothing is pushed, and nothing deleted."""
    probe.ready()
    probe.world.tasks.add(made(replace(SAMPLE.step, context="https://github.com/a/b.git")))
    for more in ((), ("--remove",)):
        code, out, err = probe("--sample", "myapps", *more)
        assert (code, out) == (2, [])
        assert "is there, and is not the sample on mybase.azurecr.io" in err
    assert probe.registries.did == ["close", "close"]


def test_a_role_that_one_may_not_give_is_told_as_a_command(probe: Probe) -> None:
    """Somebody else types it; the next time the sample goes on from there."""
    probe.sees()
    probe.registries.failures["grant"] = [Denied("give p1 AcrPull: AuthorizationFailed")]
    code, _, err = probe("--sample", "myapps")

    assert code == 2
    assert "which you may not give (give p1 AcrPull: AuthorizationFailed)" in err
    assert f"`{GIVES}`" in err
    assert probe.world.tasks.scheduled == []

    probe.registries.did.append("grant AcrPull on mybase to p1")
    probe.meanwhile += [
        probe.run_and_known("ca1"),
        probe.rebuild(State.SUCCEEDED),
    ]
    code, out, err = probe("--sample", "myapps")
    assert (code, err) == (0, "")
    assert not [line for line in out if line.startswith(("gave", "made"))]


def test_an_identity_that_is_not_known_yet_is_waited_for(probe: Probe) -> None:
    """For as long as there is time."""
    probe.sees()
    unknown = Refused("PrincipalNotFound", "Principal p1 does not exist")
    probe.registries.failures["grant"] = [unknown] * 99
    code, _, err = probe("--sample", "myapps", "--minutes", "1")

    assert code == 2
    assert "Principal p1 does not exist" in err
    assert len(probe.registries.failures["grant"]) < 97


def test_a_run_before_a_new_role_is_known_is_tried_again(probe: Probe) -> None:
    """Where no role is new, it is told at once."""
    probe.sees()
    probe.meanwhile += [
        probe.run("ca1", RunStatus.FAILED),
        lambda: None,
        probe.run_and_known("ca2"),
        probe.rebuild(State.SUCCEEDED),
    ]
    code, out, err = probe("--sample", "myapps")
    assert (code, err) == (0, "")
    assert out[4:6] == [
        f"{by_hand('ca1')}: Failed; again, for a new role takes minutes",
        f"{by_hand('ca2')}: Succeeded",
    ]

    probe.world.tasks.found_runs.clear()
    probe.meanwhile.append(probe.run("ca3", RunStatus.FAILED))
    code, _, err = probe("--sample", "myapps")
    assert code == 2
    assert "by hand: Failed; `rebuilder logs ca3` tells why" in err


def test_a_run_that_does_not_end_is_told(probe: Probe) -> None:
    """It is not started again."""
    probe.sees()
    code, _, err = probe("--sample", "myapps", "--minutes", "1")

    assert code == 2
    assert "run ca1 of myapps/acr-rebuilder-sample is not over in time" in err
    assert len(probe.world.tasks.scheduled) == 1


def test_a_task_that_the_app_does_not_know_is_told(probe: Probe) -> None:
    """A push would not reach it."""
    probe.ready()
    probe.world.index.remove(SAMPLE.task, probe.world.time.now + timedelta(seconds=1))
    code, out, err = probe("--sample", "myapps", "--minutes", "1")

    assert (code, out) == (2, [])
    assert "the app does not know yet that myapps/acr-rebuilder-sample is built on" in err
    assert "no event of the task came" in err


def test_in_abac_registries_repository_roles_are_given(probe: Probe) -> None:
    """To read the base, and to push in the task's own registry, too."""
    probe.sees()
    probe.registries.abacs = frozenset({BASE, APPS})
    probe("--sample", "myapps", "--minutes", "0")

    assert [did for did in probe.registries.did if did.startswith("grant")] == [
        "grant Container Registry Repository Reader on mybase to p1",
        "grant Container Registry Repository Writer on myapps to p1",
    ]


def test_one_registry_for_both_needs_no_credentials() -> None:
    """A task may pull from its own registry."""
    own = Sample(TaskId(BASE, "acr-rebuilder-sample"), BASE, "mybase.azurecr.io")
    assert not own.apart
    assert own.roles(base_abac=False, task_abac=False) == []


def test_a_rebuild_that_failed_is_told(probe: Probe) -> None:
    """With its outcome and its run."""
    probe.ready()
    probe.meanwhile.append(probe.rebuild(State.GIVEN_UP, outcome="Failed: no space"))
    code, out, _ = probe("--sample", "myapps")

    assert code == 1
    assert out[-1] == (
        "myapps/acr-rebuilder-sample was not rebuilt: given up: Failed: no space (run cb2)"
    )


def test_a_rebuild_that_is_held_is_told(probe: Probe) -> None:
    """With the reasons that hold it."""
    probe.ready()
    now = probe.world.time.now
    held = Held((Frozen("christmas", now + timedelta(days=1)),), now, now)
    probe.meanwhile.append(
        probe.rebuild(State.HELD, hold=Hold.GATE, held=held, run_id=None, due=now)
    )
    code, out, _ = probe("--sample", "myapps", "--minutes", "1")

    assert code == 1
    assert out[-1] == (
        "myapps/acr-rebuilder-sample was not rebuilt: it is held still: frozen: christmas"
    )


def test_a_rebuild_that_goes_on_is_told(probe: Probe) -> None:
    """When the time is over."""
    probe.ready()
    probe.meanwhile.append(probe.rebuild(State.RUNNING))
    code, out, _ = probe("--sample", "myapps", "--minutes", "1")

    assert code == 1
    assert out[-1] == "myapps/acr-rebuilder-sample was not rebuilt: it is running still"


def test_a_decision_against_it_is_told(probe: Probe) -> None:
    """Its sentence says why; without one, who tells more."""
    probe.ready()
    code, out, _ = probe("--sample", "myapps", "--minutes", "0")
    assert code == 1
    assert f"nothing was decided about it; `rebuilder explain {probe.image}` tells more" in out[-1]

    def decide() -> None:
        digest = probe.registries.pushed[-1].digest
        push = Push(BASE, "acr-rebuilder/scratch", "latest", digest, None, "event")
        decision = TaskDisabled(SAMPLE.task)
        probe.world.ledger.record_decisions(push, [decision], probe.world.time.now)

    probe.meanwhile.append(decide)
    code, out, _ = probe("--sample", "myapps", "--minutes", "1")
    assert code == 1
    assert TaskDisabled(SAMPLE.task).sentence() in out[-1]


def test_what_became_of_it_may_be_unknown(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the ledger is out of order."""
    probe.ready()

    def broken(_: TaskId) -> None:
        raise TransientError("the store is away")

    monkeypatch.setattr(probe.world.ledger, "head", broken)
    code, out, _ = probe("--sample", "myapps", "--minutes", "1")

    assert code == 1
    assert "what became of it is unknown: the store is away" in out[-1]


def test_what_was_made_goes_again(probe: Probe) -> None:
    """Roles, task and images; the second time there is nothing."""
    probe.ready()
    probe.registries.abacs = frozenset({APPS})
    code, out, _ = probe("--sample", "myapps", "--remove")
    assert code == 0
    assert out == [
        "deleted the role AcrPull of the sample's identity on mybase",
        "deleted the task myapps/acr-rebuilder-sample",
        "deleted mybase.azurecr.io/acr-rebuilder/scratch",
        "deleted mybase.azurecr.io/acr-rebuilder/sample-context",
    ]
    assert probe("--remove")[1] == ["There is nothing to delete."]
