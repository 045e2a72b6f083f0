"""Docker of one run: its images, and its commands carried out with the run's credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from copy import replace
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile

from localcloud.builds import bake, compose, dockercli
from localcloud.builds.build import Build
from localcloud.builds.builder import Command, Session
from localcloud.builds.client import Client, Name, split
from localcloud.builds.commands import WORKSPACE
from localcloud.builds.contexts import is_remote
from localcloud.builds.dockercli import Container, DockerBuild, DockerCommand
from localcloud.builds.dockerfiles import SCRATCH, Plan, plan
from localcloud.builds.images import Image, Images, Index, pull
from localcloud.builds.job import HERE, BuildError, Log
from localcloud.network import Network

type Fetch = Callable[[str], Path]
"""Puts a remote context into a folder; returns the folder."""

_TARGET, _IMAGE = "target:", "docker-image://"
_TOGETHER = (
    "The image for {} is kept as one, as docker does with the containerd image store; without it,"
    " docker refuses to"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is carried out.

    Attributes:
        folder: The folder that containers see as /workspace.
        directory: Where the command is, as its container names it.
    """

    folder: Path
    directory: str = WORKSPACE

    def path(self, name: str) -> Path:
        """Return a file or folder of the context that a command names.

        Raises:
            BuildError: It is none of the context's.
        """
        whole = PurePosixPath(self.directory) / name
        if not whole.is_relative_to(WORKSPACE):
            raise BuildError(f"{whole}: the local cloud builds only below {WORKSPACE}")
        root = self.folder.resolve()
        chosen = (root / whole.relative_to(WORKSPACE)).resolve()
        if not chosen.is_relative_to(root):
            raise BuildError(f"{name} is outside of the context")
        return chosen


class Docker:
    """Docker of one run.

    Args:
        session: Who builds and runs.
        network: Where the registries are.
        credentials: User and password by registry host; `docker login` adds to them.
        fetch: Gets remote contexts.
        log: The run's log.

    Attributes:
        images: The images that it holds.
        pushed: Every name that was pushed.
    """

    def __init__(
        self,
        session: Session,
        network: Network,
        credentials: MutableMapping[str, tuple[str, str]],
        fetch: Fetch,
        log: Log,
    ) -> None:
        self._session = session
        self._network = network
        self._credentials = credentials
        self._fetch = fetch
        self._log = log
        self.images = Images()
        self.pushed: set[Name] = set()

    def client(self) -> Client:
        """Return a client of the registries, to be closed."""
        return Client(self._network, self._credentials)

    def run(self, command: DockerCommand, place: Place) -> None:
        """Carry out a command.

        Raises:
            BuildError: It failed.
        """
        match command:
            case dockercli.Pull(image, platform):
                self._pull(image, platform)
            case dockercli.Tag(source, target):
                self._tag(source, target)
            case dockercli.Push(image, all_tags):
                self._push(image, all_tags=all_tags)
            case DockerBuild():
                self._build(command, place, {})
            case dockercli.Bake():
                self._each(bake.read(command, place.path), place)
            case dockercli.Compose():
                self._compose(command, place)
            case Container():
                self._run(command, place)
            case _:
                self._other(command)

    def _other(self, command: DockerCommand) -> None:
        """Carry out a command that builds, moves and runs nothing."""
        match command:
            case dockercli.Login(host, user, password):
                self._login(host, user, password)
            case dockercli.Logout(host):
                self._credentials.pop(host, None)
                self._log(f"Removing login credentials for {host}")
            case dockercli.Remove(names):
                for name in names:
                    if not self.images.remove(name):
                        raise BuildError(f"Error: No such image: {name}")
                    self._log(f"Untagged: {name}")
            case dockercli.List():
                for (host, repository, tag), held in self.images.all().items():
                    self._log(f"{host}/{repository} {tag} {held.id}")
            case dockercli.Accept(says):
                for line in says.splitlines():
                    self._log(line)

    def push(self, image: str) -> str:
        """Push an image; return its digest.

        Raises:
            BuildError: It is not here, or the registry refuses it.
        """
        held = self.images.get(image)
        if held is None:
            raise BuildError(f"An image does not exist locally with the tag: {image}")
        self._log(f"Pushing image: {image}")
        host, repository, reference = split(image)
        with self.client() as client:
            digest = held.push(client, host, repository, reference)
        self._log(f"{reference}: digest: {digest}")
        self.images.named(image, digest)
        self.pushed.add((host, repository, reference))
        return digest

    def _push(self, image: str, *, all_tags: bool) -> None:
        names = [image]
        if all_tags:
            names = [f"{image}:{tag}" for tag in self.images.tags(image)]
            if not names:
                raise BuildError(f"An image does not exist locally with the tag: {image}")
        for name in names:
            self.push(name)

    def _pull(self, image: str, platform: str) -> Image:
        with self.client() as client:
            found, digest = pull(client, image, platform, self._log)
        self.images.keep(image, found)
        self.images.named(image, digest)
        self._log(f"{image}: Digest: {digest}")
        return found

    def _tag(self, source: str, target: str) -> None:
        held = self.images.get(source)
        if held is None:
            raise BuildError(f"Error response from daemon: No such image: {source}")
        self.images.keep(target, held)

    def _login(self, host: str, user: str, password: str) -> None:
        if user and password:
            before = self._credentials.get(host)
            self._credentials[host] = (user, password)
            try:
                with self.client() as client:
                    client.sign_in(host)
            except BuildError:
                self._credentials.pop(host)
                if before is not None:
                    self._credentials[host] = before
                raise
        self._log("Login Succeeded")

    def _run(self, container: Container, place: Place) -> None:
        self._session.check_runs(container.image)
        image = self.images.image(container.image, HERE)
        if image is None:
            self._log(f"Unable to find image '{container.image}' locally")
            image = self._pull(container.image, HERE)
        self._session.run(
            Command(
                container.image,
                image,
                container.words,
                container.entry_point,
                container.environment,
                place.folder,
                container.directory,
            )
        )

    def _build(
        self, asked: DockerBuild, place: Place, targets: MutableMapping[str, Image | Index]
    ) -> Image | Index:
        """Build an image, for one platform or several, and keep and push it as is asked for."""
        wanted = asked.platforms or (HERE,)
        built = []
        for platform in wanted:
            if len(wanted) > 1:
                self._log(f"Building for {platform}")
            contexts = {
                name: self._context(text, platform, targets)
                for name, text in asked.contexts.items()
            }
            built.append(self._one(asked, place, platform, contexts))
        image = built[0] if len(built) == 1 else Index(tuple(built))
        if asked.kept:
            for tag in asked.tags:
                self.images.keep(tag, image)
            if isinstance(image, Index) and not asked.push:
                self._log(_TOGETHER.format(", ".join(wanted)))
        if asked.push:
            for tag in asked.tags:
                self.push(tag)
        return image

    def _context(
        self, text: str, platform: str, targets: MutableMapping[str, Image | Index]
    ) -> Image:
        """Return what stands for a name, which another target or a registry gives."""
        if text.startswith(_TARGET):
            held = targets[text.removeprefix(_TARGET)]
            found = held.choose(platform) if isinstance(held, Index) else held
            if found is None:
                raise BuildError(f"{text} is not built for {platform}")
            return found
        reference = text.removeprefix(_IMAGE)
        with self.client() as client:
            return pull(client, reference, platform, self._log)[0]

    def _one(
        self, asked: DockerBuild, place: Place, platform: str, contexts: dict[str, Image]
    ) -> Image:
        if is_remote(asked.context):
            folder = self._fetch(asked.context)
            where = Place(folder)
        else:
            folder, where = place.path(asked.context), place
        if not folder.is_dir():
            raise BuildError(f"unable to prepare context: path {asked.context!r} not found")
        if asked.inline:
            with NamedTemporaryFile("w", encoding="utf-8", suffix=".Dockerfile") as file:
                file.write(asked.inline)
                file.flush()
                return self._made(asked, folder, Path(file.name), platform, contexts)
        file_of = where.path(asked.file) if asked.file else folder / "Dockerfile"
        if not file_of.is_file():
            raise BuildError(f"unable to find {asked.file or 'Dockerfile'} in the context")
        return self._made(asked, folder, file_of, platform, contexts)

    def _made(
        self,
        asked: DockerBuild,
        folder: Path,
        file: Path,
        platform: str,
        contexts: dict[str, Image],
    ) -> Image:
        build = Build(
            folder,
            file,
            asked.arguments,
            asked.target,
            platform,
            asked.labels,
            kit=asked.kit,
            # As BuildKit has it for a platform that is asked for.
            stamped=asked.kit and bool(asked.platforms),
            contexts=contexts,
        )
        self._log("Launching build")
        steps = plan(build)
        if not asked.kit:
            self._log("DEPRECATED: The legacy builder is deprecated; BuildKit is disabled")
        elif steps.syntax:
            self._frontend(steps.syntax)
        return self._session.build(build, steps, self._read(build, steps))

    def _frontend(self, image: str) -> None:
        """Look for the image of a `# syntax` line, as BuildKit does before all else."""
        host, repository, reference = split(image)
        self._log(f"resolve image config for docker-image://{image}")
        if (host, repository) == split("docker/dockerfile")[:2]:
            self._log("The local cloud has it built in")
            return
        with self.client() as client:
            client.manifest(host, repository, reference)

    def _read(self, build: Build, steps: Plan) -> dict[tuple[str, str], Image]:
        """Return the images that a build reads: those that are here, and pulled ones.

        The classic builder keeps what it pulls among docker's images; BuildKit does not.
        """
        found: dict[tuple[str, str], Image] = {}
        for name, platform in steps.reads():
            if name == SCRATCH:
                continue
            here = build.contexts.get(name.lower()) or self.images.image(name, platform)
            if here is None and build.kit:
                with self.client() as client:
                    here, digest = pull(client, name, platform, self._log)
                self._log(f"{name}: Digest: {digest}")
            try:
                found[name, platform] = here or self._pull(name, platform)
            except BuildError:
                # docker tells of the step before it pulls.
                built = [steps.stages[number] for number in steps.built]
                total = sum(1 + len(stage.commands) for stage in built)
                self._log(f"Step 1/{total} : FROM {name}")
                raise
        return found

    def _each(self, targets: Iterable[bake.Target], place: Place) -> None:
        """Build targets, each after those that it stands on."""
        done: dict[str, Image | Index] = {}
        for target in targets:
            self._log(f"[{target.name}]")
            done[target.name] = self._build(target.build, place, done)

    def _compose(self, command: dockercli.Compose, place: Place) -> None:
        within = PurePosixPath(place.directory) / compose.directory(command)
        services = compose.read(command, place.path, within.name.lower())
        if command.build:
            self._each(services, replace(place, directory=str(within)))
            return
        for service in services:
            for tag in service.build.tags if service.build.push else ():
                self.push(tag)
