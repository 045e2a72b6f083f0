"""Build with nothing but Python: every instruction but RUN, which the log names.

The Dockerfile is read by PyPI `dockerfile`, BuildKit's own parser.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import dockerfile

from localcloud.builds import platforms
from localcloud.builds.build import Build
from localcloud.builds.builder import Command
from localcloud.builds.client import Client
from localcloud.builds.dockerfiles import SCRATCH, Plan, Stage, expand, flags_of, unquoted
from localcloud.builds.images import Image, Layer, assemble, digest_of, stamped
from localcloud.builds.job import BuildError, Log
from localcloud.network import Network
from localcloud.state import Json

_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(slots=True)
class _Stage:
    """A stage while it is built: the image so far and what it may refer to."""

    config: Json
    layers: list[Layer]
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Json:
        """The `config` part of the image's configuration."""
        settings: Json = self.config.setdefault("config", {})
        return settings

    def environment(self) -> dict[str, str]:
        pairs = (entry.partition("=") for entry in self.settings.get("Env") or [])
        return {name: value for name, _, value in pairs}

    def values(self) -> dict[str, str]:
        return {**self.arguments, **self.environment()}


class EmbeddedBuilder:
    """Builds without running anything."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def open(
        self, work: Path, credentials: Mapping[str, tuple[str, str]], log: Log
    ) -> _EmbeddedSession:
        """Return a session; see Builder."""
        del work  # nothing is kept in files
        return _EmbeddedSession(self._network, credentials, log)


class _EmbeddedSession:
    def __init__(
        self, network: Network, credentials: Mapping[str, tuple[str, str]], log: Log
    ) -> None:
        self._network = network
        self._credentials = credentials
        self._log = log
        self._interrupted = self._stopped = False

    def interrupt(self) -> None:
        """End at the next instruction; see Session."""
        self._interrupted = True

    def stop(self) -> None:
        """End at the next instruction, and do nothing more; see Session."""
        self._stopped = True

    def _tell(self, line: str) -> None:
        if self._stopped or self._interrupted:
            raise BuildError("the run was stopped")
        self._log(line)

    def build(self, build: Build, plan: Plan, images: Mapping[tuple[str, str], Image]) -> Image:
        """Build; see Session."""
        self._interrupted = False
        with Client(self._network, self._credentials) as client:
            return _Build(build, plan, images, client, self._tell).run()

    def check_runs(self, name: str) -> None:
        """Refuse; see Session."""
        raise BuildError(
            f"the embedded builder runs no commands, so not {name}; buildah does"
            " (`make tools`, as root)"
        )

    def run(self, command: Command) -> None:
        """Refuse; see Session."""
        self.check_runs(command.name)


class _Build:
    def __init__(
        self,
        job: Build,
        plan: Plan,
        images: Mapping[tuple[str, str], Image],
        client: Client,
        log: Log,
    ) -> None:
        self._job = job
        self._plan = plan
        self._images = images
        self._client = client
        self._log = log
        self._stages: dict[int, _Stage] = {}

    def run(self) -> Image:
        stages = [self._plan.stages[number] for number in self._plan.built]
        steps = sum(1 + len(stage.commands) for stage in stages)
        done = 0
        for stage in stages:
            building = self._begun(stage)
            self._stages[stage.number] = building
            for command in (stage.opening, *stage.commands):
                done += 1
                self._log(f"Step {done}/{steps} : {command.original}")
                name = command.cmd.upper()
                if name == "ARG":
                    self._arg(building, command)
                elif name != "FROM":
                    self._instruct(name, building, stage, command)
        last = self._stages[self._plan.built[-1]]
        if self._job.labels:
            last.settings["Labels"] = {**(last.settings.get("Labels") or {}), **self._job.labels}
        config = json.dumps({"created": _EPOCH, **last.config}).encode()
        image = assemble(config, last.layers)
        return stamped(image, self._job.platform) if self._job.stamped else image

    def _begun(self, stage: Stage) -> _Stage:
        if stage.parent is not None:
            known = self._stages[stage.parent]
            return _Stage(copy.deepcopy(known.config), list(known.layers))
        if stage.base == SCRATCH:
            rootfs: Json = {"type": "layers", "diff_ids": []}
            config = {**platforms.wire(stage.platform), "config": {}}
            return _Stage({**config, "rootfs": rootfs, "history": []}, [])
        return self._pulled(stage.base, stage.platform)

    def _pulled(self, image: str, platform: str) -> _Stage:
        found = self._images[image, platform]
        return _Stage(json.loads(found.config), list(found.layers))

    def _arg(self, stage: _Stage, command: dockerfile.Command) -> None:
        for text in command.value:
            name, has_default, default = text.partition("=")
            value = self._job.arguments.get(name)
            if value is None and has_default:
                value = expand(unquoted(default), stage.values())
            if value is None:
                value = self._plan.arguments.get(name, self._plan.automatic.get(name))
            if value is not None:
                stage.arguments[name] = value

    def _instruct(self, name: str, stage: _Stage, of: Stage, command: dockerfile.Command) -> None:
        settings, words = stage.settings, [*command.value]
        values = stage.values()
        empty = True
        if name == "RUN":
            self._log(f" ---> NOT RUN, the embedded builder runs no commands: {command.original}")
        elif name in ("COPY", "ADD"):
            self._copy(stage, of, command)
            empty = False
        elif name == "ENV":
            environment = stage.environment()
            for key, value in zip(words[::2], words[1::2], strict=True):
                environment[expand(key, values)] = expand(unquoted(value), values)
            settings["Env"] = [f"{key}={value}" for key, value in environment.items()]
        elif name == "LABEL":
            labels = dict(settings.get("Labels") or {})
            for key, value in zip(words[::2], words[1::2], strict=True):
                labels[unquoted(key)] = expand(unquoted(value), values)
            settings["Labels"] = labels
        elif name == "WORKDIR":
            here = PurePosixPath(settings.get("WorkingDir") or "/")
            settings["WorkingDir"] = str(here / expand(words[0], values))
        elif name in ("EXPOSE", "VOLUME"):
            key = "ExposedPorts" if name == "EXPOSE" else "Volumes"
            names = [expand(word, values) for word in words]
            if name == "EXPOSE":
                names = [word if "/" in word else f"{word}/tcp" for word in names]
            settings[key] = {**(settings.get(key) or {}), **{word: {} for word in names}}
        elif name in ("CMD", "ENTRYPOINT", "SHELL"):
            shell = settings.get("Shell") or ["/bin/sh", "-c"]
            form = words if command.json else [*shell, *words]
            settings["Cmd" if name == "CMD" else name.capitalize()] = form
        elif name in ("USER", "STOPSIGNAL", "MAINTAINER"):
            key = {"USER": "User", "STOPSIGNAL": "StopSignal", "MAINTAINER": "Author"}[name]
            settings[key] = expand(words[0], values)
        else:
            raise BuildError(f"the embedded builder does not know {name}: {command.original}")
        step: Json = {"created": _EPOCH, "created_by": command.original}
        stage.config.setdefault("history", []).append(
            step | ({"empty_layer": True} if empty else {})
        )

    def _copy(self, stage: _Stage, of: Stage, command: dockerfile.Command) -> None:
        flags = flags_of(command)
        *sources, target = (expand(word, stage.values()) for word in command.value)
        here = PurePosixPath(stage.settings.get("WorkingDir") or "/")
        folder = target.endswith(("/", "/.")) or target == "." or len(sources) > 1
        destination = here / target
        named = [word for word in sources if not word.startswith("<<")]
        # The classic builder passes over heredocs.
        files = self._heredocs(stage, command) if self._job.kit else []
        if named and "from" in flags:
            files += self._from_image(flags["from"], of, named)
        elif named:
            files += self._from_context(named)
        if not files:
            raise BuildError(f"no source files were specified: {command.original}")
        whole = not named or PurePosixPath(sources[0]).name == files[0][0]
        single = len(files) == 1 and not folder and whole
        entries = {
            str(destination if single else destination / name).lstrip("/"): data
            for name, data in files
        }
        mode = int(flags["chmod"], 8) if flags.get("chmod", "").isdigit() else 0o755
        _add_layer(stage, entries, mode)

    @staticmethod
    def _heredocs(stage: _Stage, command: dockerfile.Command) -> list[tuple[str, bytes]]:
        # Variables are expanded where the name is written without quotes.
        plain = {word.lstrip("<-") for word in command.value}
        values = stage.values()
        texts = {
            part.name: expand(part.content, values) if part.name in plain else part.content
            for part in command.heredocs
        }
        return [(name, text.encode()) for name, text in texts.items()]

    def _from_context(self, sources: list[str]) -> list[tuple[str, bytes]]:
        root = self._job.context.resolve()
        files: list[tuple[str, bytes]] = []
        for source in sources:
            pattern = source.lstrip("/") or "."
            found = [root] if pattern in (".", "./") else sorted(root.glob(pattern))
            for path in found:
                if not path.resolve().is_relative_to(root):
                    raise BuildError(f"{source} is outside of the build context")
                if path.is_dir():
                    inside = sorted(p for p in path.rglob("*") if _is_own_file(p, root))
                    files += [(str(p.relative_to(path)), p.read_bytes()) for p in inside]
                else:
                    files.append((path.name, path.read_bytes()))
            if not found:
                raise BuildError(f"COPY failed: file not found in build context: {source}")
        return files

    def _from_image(self, image: str, of: Stage, sources: list[str]) -> list[tuple[str, bytes]]:
        stage = self._named(image, of) or self._pulled(image, of.platform)
        content: dict[str, bytes] = {}
        for layer in stage.layers:
            # As it is packed: the layers of what others built need not be gzip's.
            with tarfile.open(fileobj=io.BytesIO(layer.read(self._client))) as archive:
                for member in archive:
                    held = archive.extractfile(member) if member.isfile() else None
                    if held is not None:
                        content[member.name.lstrip("./")] = held.read()
        files = []
        for source in sources:
            path = source.strip("/")
            if path in content:
                files.append((PurePosixPath(path).name, content[path]))
            files += [
                (name.removeprefix(f"{path}/"), data)
                for name, data in sorted(content.items())
                if name.startswith(f"{path}/")
            ]
        return files

    def _named(self, name: str, of: Stage) -> _Stage | None:
        """Return the stage that `--from` means; None if it means an image."""
        if name in of.images:
            return None
        numbers = [
            stage.number
            for stage in self._plan.stages[: of.number]
            if name.lower() in (stage.name, str(stage.number))
        ]
        return self._stages[numbers[-1]]


def _is_own_file(path: Path, root: Path) -> bool:
    """Tell whether a path is a file, and no link to one outside of the context."""
    return path.is_file() and path.resolve().is_relative_to(root)


def _add_layer(stage: _Stage, entries: Mapping[str, bytes], mode: int) -> None:
    data, diff_id = make_layer(entries, mode=mode)
    stage.layers.append(Layer({"digest": digest_of(data), "size": len(data)}, lambda _: data))
    stage.config.setdefault("rootfs", {"type": "layers", "diff_ids": []})["diff_ids"].append(
        diff_id
    )


def make_layer(
    entries: Mapping[str, bytes], links: Mapping[str, str] | None = None, mode: int = 0o755
) -> tuple[bytes, str]:
    """Return a layer's compressed bytes and its diff id; the same entries give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in sorted(entries.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
        for name, link in sorted((links or {}).items()):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = tarfile.SYMTYPE, link, 0o777
            archive.addfile(member)
    raw = buffer.getvalue()
    # Not smaller: nothing leaves the machine, and each of its pulls would take time to unpack it.
    return gzip.compress(raw, 0, mtime=0), f"sha256:{hashlib.sha256(raw).hexdigest()}"
