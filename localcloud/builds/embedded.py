"""Build with nothing but Python: every instruction but RUN, which the log names.

The Dockerfile is read by PyPI `dockerfile`, BuildKit's own parser.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import dockerfile

from localcloud.builds.client import CONFIG, LAYER, MANIFEST, Client, split
from localcloud.builds.job import Build, BuildError, Command, Log
from localcloud.network import Network
from localcloud.state import Json

_VARIABLE = re.compile(r"\\\$|\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")
type _Name = tuple[str, str, str]
"""Host, repository and tag: what an image is called, however it is written."""

_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(slots=True)
class _Stage:
    """A stage while it is built: the image so far and what it may refer to."""

    name: str
    config: Json
    layers: list[Json]  # descriptors, with the bytes or where to fetch them
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


def expand(text: str, values: Mapping[str, str]) -> str:
    """Expand $name, ${name}, ${name:-default} and ${name:+other}, as Dockerfiles do."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "\\$":
            return "$"
        name, how, other = match[1] or match[4], match[2] or "", match[3] or ""
        value = values.get(name)
        given = bool(value) if how.startswith(":") else value is not None
        if how.endswith("-"):
            return value or "" if given else expand(other, values)
        if how.endswith("+"):
            return expand(other, values) if given else ""
        return value or ""

    return _VARIABLE.sub(one, text)


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
        self._built: dict[_Name, _Stage] = {}
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

    def build(self, build: Build) -> None:
        """Build; see Session."""
        self._interrupted = False
        try:
            commands = dockerfile.parse_string(build.dockerfile.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise BuildError(
                f"unable to read the Dockerfile {build.dockerfile}: {error}"
            ) from error
        except dockerfile.GoParseError as error:
            raise BuildError(f"{build.dockerfile}: {error}") from error
        with Client(self._network, self._credentials) as client:
            stage = _Build(build, client, self._built, self._tell).run(commands)
        self._built |= {split(image): stage for image in build.images}

    def run(self, command: Command) -> None:
        """Refuse; see Session."""
        raise BuildError(
            f"the embedded builder runs no commands, so not {command.image}; buildah does"
            " (`make tools`, as root)"
        )

    def push(self, image: str) -> str:
        """Push; see Session."""
        self._interrupted = False
        built = self._built.get(split(image))
        if built is None:
            raise BuildError(f"An image does not exist locally with the tag: {image}")
        with Client(self._network, self._credentials) as client:
            return _push(client, built, image, self._tell)


class _Build:
    def __init__(self, job: Build, client: Client, built: Mapping[_Name, _Stage], log: Log) -> None:
        self._job = job
        self._client = client
        self._built = built
        self._log = log
        self._global: dict[str, str] = {}
        self._stages: list[_Stage] = []

    def run(self, commands: tuple[dockerfile.Command, ...]) -> _Stage:
        for number, command in enumerate(commands, 1):
            self._log(f"Step {number}/{len(commands)} : {command.original}")
            name = command.cmd.upper()
            if name == "FROM":
                if self._at_target():
                    break
                self._from(command)
            elif name == "ARG":
                self._arg(command)
            elif not self._stages:
                raise BuildError(f"no build stage in current context: {command.original}")
            else:
                self._instruct(name, command)
        if not self._stages or (self._job.target and not self._at_target()):
            raise BuildError(f"target stage {self._job.target!r} could not be found")
        return self._stages[-1]

    def _at_target(self) -> bool:
        wanted = self._job.target.lower()
        last = len(self._stages) - 1
        return bool(wanted and self._stages) and wanted in (self._stages[-1].name, str(last))

    def _stage(self, name: str) -> _Stage | None:
        for number, stage in reversed(list(enumerate(self._stages))):
            if name.lower() in (stage.name, str(number)):
                return stage
        return None

    def _from(self, command: dockerfile.Command) -> None:
        image = expand(command.value[0], {**self._global})
        name = command.value[2].lower() if len(command.value) > 2 else ""  # noqa: PLR2004 - FROM image AS name
        if not image:
            raise BuildError(f"base name ({command.value[0]}) should not be blank")
        if (known := self._stage(image)) is not None:
            stage = _Stage(name, copy.deepcopy(known.config), list(known.layers))
        elif image == "scratch":
            config = {"architecture": "amd64", "os": "linux", "config": {}}
            config |= {"rootfs": {"type": "layers", "diff_ids": []}, "history": []}
            stage = _Stage(name, config, [])
        else:
            stage = self._pulled(image, name)
        self._stages.append(stage)

    def _pulled(self, image: str, name: str = "") -> _Stage:
        if (built := self._built.get(split(image))) is not None:
            return _Stage(name, copy.deepcopy(built.config), list(built.layers))
        digest, manifest, config, source = self._client.pull(image)
        self._log(f"{image}: Digest: {digest}")
        layers = [{**layer, "source": source} for layer in manifest["layers"]]
        return _Stage(name, json.loads(config), layers)

    def _arg(self, command: dockerfile.Command) -> None:
        for text in command.value:
            name, has_default, default = text.partition("=")
            if not self._stages:
                value = self._job.arguments.get(name)
                if value is None and has_default:
                    value = expand(_unquote(default), self._global)
                if value is not None:
                    self._global[name] = value
                continue
            stage = self._stages[-1]
            value = self._job.arguments.get(name)
            if value is None and has_default:
                value = expand(_unquote(default), stage.values())
            if value is None:
                value = self._global.get(name)
            if value is not None:
                stage.arguments[name] = value

    def _instruct(self, name: str, command: dockerfile.Command) -> None:
        stage = self._stages[-1]
        settings, words = stage.settings, [*command.value]
        values = stage.values()
        empty = True
        if name == "RUN":
            self._log(f" ---> NOT RUN, the embedded builder runs no commands: {command.original}")
        elif name in ("COPY", "ADD"):
            self._copy(stage, command)
            empty = False
        elif name == "ENV":
            environment = stage.environment()
            for key, value in zip(words[::2], words[1::2], strict=True):
                environment[expand(key, values)] = expand(_unquote(value), values)
            settings["Env"] = [f"{key}={value}" for key, value in environment.items()]
        elif name == "LABEL":
            labels = dict(settings.get("Labels") or {})
            for key, value in zip(words[::2], words[1::2], strict=True):
                labels[_unquote(key)] = expand(_unquote(value), values)
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

    def _copy(self, stage: _Stage, command: dockerfile.Command) -> None:
        flags = dict(flag.removeprefix("--").partition("=")[::2] for flag in command.flags)
        *sources, target = (expand(word, stage.values()) for word in command.value)
        here = PurePosixPath(stage.settings.get("WorkingDir") or "/")
        folder = target.endswith(("/", "/.")) or target == "." or len(sources) > 1
        destination = here / target
        if "from" in flags:
            files = self._from_image(expand(flags["from"], stage.values()), sources)
        else:
            files = self._from_context(sources)
        if not files:
            raise BuildError(f"no source files were specified: {command.original}")
        single = len(files) == 1 and not folder and PurePosixPath(sources[0]).name == files[0][0]
        entries = {
            str(destination if single else destination / name).lstrip("/"): data
            for name, data in files
        }
        _add_layer(stage, entries)

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

    def _from_image(self, image: str, sources: list[str]) -> list[tuple[str, bytes]]:
        stage = self._stage(image) or self._pulled(image)
        content: dict[str, bytes] = {}
        for layer in stage.layers:
            data = gzip.decompress(_layer_bytes(self._client, layer))
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
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


def _is_own_file(path: Path, root: Path) -> bool:
    """Tell whether a path is a file, and no link to one outside of the context."""
    return path.is_file() and path.resolve().is_relative_to(root)


def _unquote(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _add_layer(stage: _Stage, entries: Mapping[str, bytes]) -> None:
    data, diff_id = make_layer(entries)
    stage.layers.append({"data": data})
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
    # Fast rather than small: nothing leaves the machine.
    return gzip.compress(raw, 1, mtime=0), f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _layer_bytes(client: Client, layer: Json) -> bytes:
    if "data" in layer:
        data: bytes = layer["data"]
        return data
    host, _, repository = str(layer["source"]).partition("/")
    return client.blob(host, repository, layer["digest"])


def _push(client: Client, stage: _Stage, image: str, log: Log) -> str:
    host, repository, tag = split(image)
    log(f"Pushing image: {image}")
    config = json.dumps({"created": _EPOCH, **stage.config}).encode()
    layers = [
        {"mediaType": LAYER, **client.push_blob(host, repository, _layer_bytes(client, layer))}
        for layer in stage.layers
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, **client.push_blob(host, repository, config)},
        "layers": layers,
    }
    return client.push_manifest(host, repository, tag, manifest)
