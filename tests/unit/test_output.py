from __future__ import annotations

from copy import replace

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind, Task
from rebuilder.core.decisions.decision import Decision
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.dependencies.evidence import Evidence, ImageContent, Said, Source, join
from rebuilder.core.dependencies.outputs import NewBase, Verdict, judge, together, used_by_log
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.rebuild import Check, Rebuild, State
from rebuilder.errors import Denied, RebuilderError, TransientError
from rebuilder.usecases.build.output import check_output
from rebuilder.usecases.context import Context
from tests.unit.fakes import BASE, NEW, NEWER, NODE, OLD, FakeImages, World, dependency, task

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
APP = f"sha256:{'d' * 64}"
OUTPUT = f"myapps.azurecr.io/app:ca1@{APP}"
TAG = ImageReference.parse(NODE)
NODE_NAME = NODE.partition(":")[0]


def content(digest: str, *layers: str, name: str = "", base: str = "") -> ImageContent:
    """Return an image of some layers."""
    return ImageContent(digest, digest, name, base, layers, tuple(f"d{layer}" for layer in layers))


OLD_BASE, NEW_BASE = content(OLD, "1", "2"), content(NEW, "1", "3")


class Platforms(FakeImages):
    """Images that differ by platform: `IMAGE|PLATFORM` comes before `IMAGE`."""

    def content(
        self, login_server: str, repository: str, reference: str, platform: str
    ) -> ImageContent | None:
        """Return what an image is made of."""
        name = f"{login_server}/{repository}:{reference}"
        if f"{name}|{platform}" in self.contents:
            return self.contents[f"{name}|{platform}"]
        return super().content(login_server, repository, reference, platform)


def rebuild(world: World, **changes: object) -> Rebuild:
    """Return a rebuild that succeeded on the new base."""
    values: dict[str, object] = {
        "task": task().id,
        "sequence": 2,
        "key": "k" * 64,
        "bases": (f"{NODE}@{NEW}",),
        "push": PUSH.key,
        "state": State.SUCCEEDED,
        "claimed_at": world.time.now,
        "owner": "me",
        "lease_until": world.time.now,
        "output_images": (OUTPUT, f"myapps.azurecr.io/app:latest@{APP}"),
    }
    return Rebuild(**{**values, **changes})  # type: ignore[arg-type] # checked by the test's users


def pushed(world: World, image: ImageContent, **more: ImageContent) -> None:
    """Put an output image and both bases into the registries."""
    images = world.context.images
    assert isinstance(images, FakeImages)
    images.contents |= {
        f"myapps.azurecr.io/app:{APP}": image,
        f"{NODE_NAME}:{OLD}": OLD_BASE,
        f"{NODE_NAME}:{NEW}": NEW_BASE,
        **more,
    }


def looked(context: Context, rebuild: Rebuild, task: Task | None = None) -> tuple[Check, str]:
    """Return what is found of what a rebuild pushed, and why."""
    verdict = check_output(context, rebuild, task)
    return verdict.check, verdict.reason


@pytest.fixture(name="built")
def _built(world: World) -> World:
    """A task whose push said that its base moved from OLD to NEW."""
    world.context = replace(world.context, images=Platforms({NODE: NEW}))
    world.tasks.add(task())
    moved: list[Decision] = [
        BaseMoved(task().id, NODE, "runtime", OLD, NEW, "registry"),
        BaseMoved(task("other").id, NODE, "runtime", NEWER, NEW, "registry"),
    ]
    world.ledger.record_decisions(PUSH, moved, world.time.now)
    return world


def test_layers_of_the_new_base_prove_it(built: World) -> None:
    """An image that begins with them stands on it; said once, whatever number of tags it has."""
    pushed(built, content(APP, "1", "3", "9"))

    assert looked(built.context, rebuild(built)) == (
        Check.NEW,
        f"myapps.azurecr.io/app:ca1: its first 2 layers are those of {NODE}@{NEW}",
    )


def test_layers_of_the_old_base_prove_the_contrary(built: World) -> None:
    """It is stale, and a cache is the likely cause."""
    pushed(built, content(APP, "1", "2", "9"))
    check, reason = looked(built.context, rebuild(built), task())

    assert check is Check.STALE
    assert f"those of {NODE}@{OLD}, not {NODE}@{NEW}: likely a cache" in reason


def test_an_older_rebuild_tells_what_the_tag_named(world: World) -> None:
    """Where no decision is known, the bases of the rebuilds before are compared with."""
    world.tasks.add(task("build-app", dependency(built_on=NEW)))
    pushed(world, content(APP, "1", "2", "9"))
    assert world.ledger.claim(
        rebuild(world, sequence=1, bases=(f"{NODE}@{OLD}", "mybase.azurecr.io/x:1"))
    )

    assert looked(world.context, rebuild(world))[0] is Check.STALE


@pytest.mark.parametrize(
    ("digest", "check"), [(NEW, Check.NEW), (OLD, Check.STALE), ("", Check.NEW)]
)
def test_an_annotation_tells_it_first(built: World, digest: str, check: Check) -> None:
    """What the builder wrote counts; a name alone leaves it to the layers."""
    pushed(built, content(APP, "1", "3", name=NODE, base=digest))

    assert looked(built.context, rebuild(built))[0] is check


def test_an_annotation_that_is_no_reference_tells_nothing(built: World) -> None:
    """The layers decide then."""
    pushed(built, content(APP, "1", "3", name="NOT A NAME", base=OLD))

    assert looked(built.context, rebuild(built))[0] is Check.NEW


def test_the_digest_of_the_platforms_manifest_is_the_bases_too(built: World) -> None:
    """Builders annotate the index or what they took from it."""
    part = f"sha256:{'e' * 64}"
    pushed(
        built,
        content(APP, "x", name=NODE, base=part),
        **{f"{NODE_NAME}:{NEW}": replace(NEW_BASE, manifest=part)},
    )

    assert looked(built.context, rebuild(built))[0] is Check.NEW


def test_another_tag_is_named_as_the_cause(built: World) -> None:
    """The annotation names the same repository by another tag."""
    pushed(built, content(APP, "1", "2", name=f"{NODE_NAME}:10", base=OLD))
    check, reason = looked(built.context, rebuild(built))

    assert check is Check.STALE
    assert "it is built on the tag 10, so the build file names another tag" in reason


def test_a_pin_is_named_as_the_cause(built: World) -> None:
    """The index knows that the build file pins the base beside naming it."""
    uses = [
        Said(TAG, Kind.RUNTIME, OLD, "Dockerfile, line 1"),
        Said(TAG.at(OLD), Kind.RUNTIME, OLD, "Dockerfile, line 2"),
    ]
    view = join(task().id, [Evidence(Source.BUILD_FILE, tuple(uses))])
    built.index.replace(view, built.time.now)
    pushed(built, content(APP, "1", "2"))
    check, reason = looked(built.context, rebuild(built))

    assert check is Check.STALE
    assert f"the build file pins {NODE}@{OLD}; write the tag without digest" in reason


@pytest.mark.parametrize(
    ("now", "cause"),
    [
        (NEWER, f"the tag names {NEWER} by now: it moved while the run went on"),
        (None, "likely a cache"),
    ],
)
def test_a_tag_that_moved_is_named_as_the_cause(built: World, now: str | None, cause: str) -> None:
    """What the tag names by now is asked if the image is not as it should be."""
    images = built.context.images
    assert isinstance(images, FakeImages)
    images.digests[NODE] = now
    pushed(built, content(APP, "1", "2"))
    check, reason = looked(built.context, rebuild(built))

    assert check is Check.STALE
    assert cause in reason


@pytest.mark.parametrize("annotated", [True, False])
def test_what_the_tag_names_by_now_is_new(built: World, *, annotated: bool) -> None:
    """The tag moved between the claim and the run, or was moved back: the image is up to date."""
    images = built.context.images
    assert isinstance(images, FakeImages)
    images.digests[NODE] = OLD
    image = content(APP, "1", "2")
    pushed(built, replace(image, base_name=NODE, base_digest=OLD) if annotated else image)
    check, reason = looked(built.context, rebuild(built))

    assert check is Check.NEW
    assert f"{OLD}, which the tag names now; it named {NEW} before" in reason


@pytest.mark.parametrize(
    ("layers", "check"),
    [(("a", "b"), Check.NEW), (("o", "p"), Check.STALE), (("y", "z"), Check.STALE)],
)
def test_other_platforms_of_the_index_are_compared_with(
    built: World, layers: tuple[str, ...], check: Check
) -> None:
    """A run may build for another platform than the task tells."""
    arm, old_arm = content(NEW, "a"), content(OLD, "o")
    pushed(
        built,
        content(APP, *layers),
        **{
            f"{NODE_NAME}:{NEW}": replace(NEW_BASE, manifest=f"sha256:{'1' * 64}"),
            f"{NODE_NAME}:{NEW}|linux/arm64": replace(arm, manifest=f"sha256:{'2' * 64}"),
            f"{NODE_NAME}:{OLD}|linux/arm64": replace(old_arm, manifest=f"sha256:{'3' * 64}"),
        },
    )
    found, reason = looked(built.context, rebuild(built))

    assert found is check
    assert ("another platform of the index" in reason) is (layers[0] == "y")


def test_a_build_time_base_cannot_be_told_by_layers(built: World) -> None:
    """Its layers are not in the image, so nothing is said of it."""
    other = task("build-app", dependency(kind=Kind.BUILD_TIME))
    pushed(built, content(APP, "1", "2"))

    assert looked(built.context, rebuild(built), other) == (
        Check.UNKNOWN,
        f"myapps.azurecr.io/app:ca1: {NODE} is read at build time only; no layer tells",
    )


def test_a_foreign_base_is_known_by_annotation_alone(built: World) -> None:
    """Its layers are not read."""
    alpine = f"docker.io/library/alpine:3@{NEW}"
    world_task = task("build-app", dependency("docker.io/library/alpine:3"))
    foreign = rebuild(built, bases=(alpine,))
    pushed(built, content(APP, "1", name="alpine:3", base=NEW))
    assert looked(built.context, foreign, world_task)[0] is Check.NEW

    pushed(built, content(APP, "1"))
    check, reason = looked(built.context, foreign, world_task)
    assert check is Check.UNKNOWN
    assert "whose layers are not read" in reason


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (f"myapps.azurecr.io/app:{APP}", "it is gone, or no image for linux/amd64"),
        (f"{NODE_NAME}:{NEW}", "is gone from its registry, or is no image for linux/amd64"),
    ],
)
def test_what_is_gone_cannot_be_compared(built: World, key: str, sentence: str) -> None:
    """Neither an output nor a base that was deleted meanwhile makes an error."""
    pushed(built, content(APP, "1", "2"))
    images = built.context.images
    assert isinstance(images, FakeImages)
    del images.contents[key]
    check, reason = looked(built.context, rebuild(built))

    assert check is Check.UNKNOWN
    assert sentence in reason


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Denied("read the image: UNAUTHORIZED"), "AcrPull on its registry"),
        (TransientError("no answer"), "it could not be read: no answer"),
    ],
)
def test_what_cannot_be_read_is_unknown(built: World, error: RebuilderError, sentence: str) -> None:
    """It says what would help, and raises nothing."""
    images = built.context.images
    assert isinstance(images, FakeImages)
    images.failure = error
    check, reason = looked(built.context, rebuild(built))

    assert check is Check.UNKNOWN
    assert sentence in reason


def test_a_base_that_may_not_be_read_is_told_from_the_output(
    built: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output was read, and its annotation would have told."""
    real = built.context.images.content

    def refused(host: str, repository: str, reference: str, platform: str) -> ImageContent | None:
        if host == "mybase.azurecr.io":
            raise Denied("no role")
        return real(host, repository, reference, platform)

    pushed(built, content(APP, "1", "2"))
    monkeypatch.setattr(built.context.images, "content", refused)
    check, reason = looked(built.context, rebuild(built))

    assert check is Check.UNKNOWN
    assert f"{NODE}@{NEW} cannot be read: no role" in reason


def test_a_run_without_outputs_cannot_be_checked(built: World) -> None:
    """Neither none, nor what is no reference, nor one without digest is an image to look at."""
    nothing = rebuild(built, output_images=("NOT A NAME", "myapps.azurecr.io/app:1"))

    assert looked(built.context, nothing) == (
        Check.UNKNOWN,
        "the run is not known to have pushed an image",
    )


def test_a_task_that_is_gone_is_checked_by_the_index(built: World) -> None:
    """What the index knows of its bases counts; the platform is the usual one."""
    built.tasks.known.clear()
    pushed(built, content(APP, "1", "3"))
    assert looked(built.context, rebuild(built))[0] is Check.NEW

    built.index.replace(
        join(task().id, [Evidence(Source.BUILD_FILE, (Said(TAG, Kind.BUILD_TIME),))]),
        built.time.now,
    )
    assert looked(built.context, rebuild(built))[0] is Check.UNKNOWN


DEPENDENCIES = """2026/11/24 03:02:18 The following dependencies were found:
2026/11/24 03:02:18
- image:
    registry: myapps.azurecr.io
    repository: app
    tag: "1"
    digest: sha256:a1
  runtime-dependency:
    registry: mybase.azurecr.io
    repository: images/node
    tag: "9"
    digest: sha256:b1
  buildtime-dependency:
  - registry: registry.hub.docker.com
    repository: library/golang
    tag: 1.11-alpine
    digest: sha256:c1
  - registry: mcr.microsoft.com
    repository: dotnet/sdk
    tag: '8'
    digest: sha256:d1
  git: {}
- image:
    registry: myapps.azurecr.io
    repository: other
    tag: "1"
    digest: sha256:e1
Run ID: ca1 was successful after 34s
"""


def test_a_log_tells_what_a_run_used() -> None:
    """Runtime and build-time images, under the product's names; not what it pushed."""
    found = used_by_log(DEPENDENCIES.splitlines())

    assert {str(reference): digest for reference, digest in found.items()} == {
        NODE: "sha256:b1",
        "docker.io/library/golang:1.11-alpine": "sha256:c1",
        "mcr.microsoft.com/dotnet/sdk:8": "sha256:d1",
    }


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["runtime-dependency:", "registry: x", "digest: sha256:a"],
        ["runtime-dependency:", "repository: BAD NAME", "tag: 1", "digest: sha256:a"],
        [
            "runtime-dependency:",
            "registry: a.io",
            "repository: b",
            "tag: 1",
            "git: {}",
            "digest: c",
        ],
        ["registry: a.io", "repository: b", "tag: 1", "digest: sha256:a"],
    ],
)
def test_a_log_that_a_build_made_up_tells_nothing(lines: list[str]) -> None:
    """Half an entry, one that names no image, or one that stands elsewhere."""
    assert used_by_log(lines) == {}


def base(**changes: object) -> NewBase:
    """Return the new base, known as the task's runtime base."""
    values: dict[str, object] = {
        "reference": TAG,
        "digest": NEW,
        "kinds": frozenset({Kind.RUNTIME}),
        "contents": (NEW_BASE,),
    }
    return NewBase(**{**values, **changes})  # type: ignore[arg-type] # checked by the test's users


OTHER_BASE = base(
    reference=ImageReference.parse("mybase.azurecr.io/images/go:1"),
    digest=NEWER,
    contents=(content(NEWER, "g"),),
)


@pytest.mark.parametrize(
    ("image", "bases", "check", "sentence"),
    [
        (content(APP, "8", "9"), [base()], Check.STALE, "nor of what the tag is known to have"),
        (content(APP, "8"), [base()], Check.UNKNOWN, "it may be flattened"),
        (content(APP, "8", "9"), [base(kinds=frozenset())], Check.UNKNOWN, "may be read at build"),
        (content(APP, "8"), [base(contents=(content(NEW),))], Check.UNKNOWN, "has no layers"),
        (content(APP, "8", name="alpine"), [base()], Check.UNKNOWN, "stand on alpine"),
        (content(APP, "8"), [base(), OTHER_BASE], Check.UNKNOWN, "none of its several bases"),
        (content(APP, "g"), [base(), OTHER_BASE], Check.NEW, "first layer is that"),
        (content(APP, "8"), [], Check.UNKNOWN, "no base is read at build time only"),
        (content(APP, "8", name="alpine", base=OLD), [base()], Check.UNKNOWN, "on alpine"),
    ],
)
def test_what_fits_no_known_base_is_judged_with_care(
    image: ImageContent, bases: list[NewBase], check: Check, sentence: str
) -> None:
    """It is stale only if nothing else can explain it."""
    verdict = judge("app", image, bases)

    assert verdict.check is check
    assert sentence in verdict.reason


def test_layers_that_old_and_new_have_in_common_prove_nothing_bad() -> None:
    """A base that was only given another configuration has the same layers."""
    same = base(contents=(content(NEW, "1"),), before=(content(OLD, "1"),))

    assert judge("app", content(APP, "1", "9"), [same]).check is Check.NEW


def test_the_deeper_base_counts() -> None:
    """A new base that lost a layer is not mistaken for the old one that still has it."""
    shorter = base(contents=(content(NEW, "1"),), before=(content(OLD, "1", "2"),))

    assert judge("app", content(APP, "1", "2", "9"), [shorter]).check is Check.STALE


def test_one_stale_image_makes_the_rebuild_stale() -> None:
    """Then what is new counts, and what is unknown only if nothing else is said."""
    new, stale = Verdict(Check.NEW, "new"), Verdict(Check.STALE, "stale")
    unknown = Verdict(Check.UNKNOWN, "?")

    assert together([new, stale, unknown]) == stale
    assert together([unknown, new, new]) == new
    assert together([unknown]) == unknown
