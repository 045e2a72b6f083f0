"""What a task makes decides: copies are made anew when their source moves, the rest is left."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from localcloud.state import Json, azure_time
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Run, RunStatus
from rebuilder.core.decisions.runs import MakesNoImage
from tests import images, patience
from tests.e2e.conftest import World
from tests.patience import SECONDS
from tests.runs import encode

SOURCE = "mybase.azurecr.io/images/source:1"
CLEANER = "mybase.azurecr.io/tools/cleaner:1"
IMPORTER = "Container Registry Data Importer and Data Reader"
OFF: Json = {
    "sourceTriggers": [],
    "timerTriggers": [],
    "baseImageTrigger": {"name": "off", "baseImageTriggerType": "All", "status": "Disabled"},
}

# Tasks that leave no image behind; what of the base registry each of them uses.
BARREN = {
    "purge": ("acr purge --filter 'app:.*' --ago 30d --dry-run",),
    "purge-by-tool": (f"{CLEANER} purge --registry $Registry",),
    "deploy": (f"{CLEANER} deploy --image $Registry/app:1",),
    "pull": (f"docker pull {SOURCE}",),
}
# Tasks that make an image out of SOURCE, which ACR records nothing of.
MAKERS = {
    "copy": (
        f"docker pull {SOURCE}",
        f"docker tag {SOURCE} $Registry/copied:1",
        "docker push $Registry/copied:1",
    ),
    "import": (
        "az login --identity",
        f"az acr import -n $RegistryName --source {SOURCE} -t imported:1 --force",
    ),
    "platforms": (
        "docker buildx create --use",
        (
            "docker buildx build --platform linux/amd64,linux/arm64 -t $Registry/many:1"
            " --provenance=false --push ."
        ),
    ),
    "bake": ("docker buildx bake --push",),
}
BAKE = 'target "default" {\n  tags = ["myapps.azurecr.io/baked:1"]\n}\n'
PUSHED = {"copy": "copied:1", "import": "imported:1", "platforms": "many:1", "bake": "baked:1"}


def make(world: World, context: str, name: str, commands: tuple[str, ...]) -> TaskId:
    """Create a task of commands, with every trigger off."""
    text = "version: v1.1.0\nsteps:\n" + "".join(f"- cmd: {command}\n" for command in commands)
    credentials = {"customRegistries": {"mybase.azurecr.io": {"identity": "[system]"}}}
    created = azure_time(world.cloud.clock.now())
    task = images.task(
        world.apps, name, None, credentials=credentials, trigger=OFF, creationDate=created
    )
    task.properties["step"] = {
        "type": "EncodedTask",
        "contextPath": context,
        "encodedTaskContent": encode(text),
    }
    roles = [("AcrPull", world.base), (IMPORTER, world.base), (IMPORTER, world.apps)]
    images.identify(world.cloud, world.apps, task, *roles[: 3 if name == "import" else 1])
    return TaskId(RegistryId.parse(world.apps.id), name)


def push(world: World, text: str) -> str:
    """Push the source, for two platforms, and then the tool; return the source's digest."""
    platforms = {name: {"file": f"{text} {name}".encode()} for name in ("amd64", "arm64")}
    digest = images.push_index(world.cloud, world.base, "images/source", "1", platforms)
    images.push(world.cloud, world.base, "tools/cleaner", "1", text, {"tool": text.encode()})
    return digest


def timer(world: World, name: str) -> None:
    """Run a function of a timer, and all that comes of it."""
    answer = patience.post(
        f"{world.host.url}/admin/functions/{name}",
        headers={"x-functions-key": world.host.master_key},
        json={"input": ""},
    )
    assert answer.status_code == 202
    assert world.host.wait_idle(SECONDS)
    world.settle()


def runs(world: World) -> list[Run]:
    """Return what ran, as ARM tells it."""
    return world.context.tasks.runs(RegistryId.parse(world.apps.id), top=100)


def ran(world: World) -> Counter[str | None]:
    """Count the runs of each task, as ARM tells them."""
    return Counter(run.task for run in runs(world))


def test_only_what_makes_an_image_is_run(world: World, tmp_path: Path) -> None:
    """By a push, a sweep, a refresh of the index; what makes none is told to make none."""
    context = tmp_path / "source"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {SOURCE}\nLABEL a=b\n")
    (context / "docker-bake.hcl").write_text(BAKE)
    address = "https://github.com/contoso/effects.git"
    world.cloud.map_context(address, context)
    push(world, "one")
    for name, commands in (BARREN | MAKERS).items():
        make(world, address, name, commands)
    # No event comes yet: all there is is what the timers find.
    for name in ("refresh_index", "sweep", "refresh_index", "sweep"):
        timer(world, name)
    assert ran(world) == {}

    # The first runs are a person's; the sweep finds nothing that moved since.
    registry = RegistryId.parse(world.apps.id)
    for name in MAKERS:
        world.context.tasks.schedule(TaskId(registry, name), "bm90LW91cnM=")
    world.settle()
    once = Counter(MAKERS.keys())
    timer(world, "sweep")
    assert ran(world) == once

    world.subscribe()
    digest = push(world, "two")
    world.settle()
    twice = once + once
    assert ran(world) == twice
    # The sweep that follows, and the same event again, change nothing.
    for name in ("refresh_index", "sweep"):
        timer(world, name)
    push(world, "two")
    world.settle()
    assert ran(world) == twice
    assert {run.status for run in runs(world)} == {RunStatus.SUCCEEDED}
    assert not world.failed()

    for name in MAKERS:
        newest = world.context.ledger.head(TaskId(registry, name))
        assert newest is not None
        assert newest.bases == (f"{SOURCE}@{digest}",)
        made = world.cloud.registry.manifest(world.apps, *PUSHED[name].split(":"))
        assert made is not None
        # What is copied is the source itself; docker pulls the image of one platform.
        assert (made.digest == digest) == (name == "import")
    for image, using in ((SOURCE, {"pull"}), (CLEANER, {"purge-by-tool", "deploy"})):
        told = {
            e.record.decision.task.name: e.record.decision
            for e in world.explain(image).decisions
            if isinstance(e.record.decision, MakesNoImage)
        }
        assert told.keys() == BARREN.keys()
        for name, decision in told.items():
            sentence = decision.sentence()
            assert sentence.startswith("it makes no image (no step of it pushes one)")
            assert (image in sentence) == (name in using)
