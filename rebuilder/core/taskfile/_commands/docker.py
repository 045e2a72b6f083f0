"""The command line of docker: what it does to images.

Source of the commands and flags: docs.docker.com, the references of `docker`, `docker buildx` and
`docker compose`; of where a Dockerfile is looked for: `docker build`'s own, and the agent's
builder/parse.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from rebuilder.core.dependencies.effects import Builder
from rebuilder.core.taskfile._commands import bake, compose
from rebuilder.core.taskfile._commands.builds import (
    find_dockerfile,
    odd_contexts,
    output_names,
    pushes,
    unknown_arguments,
)
from rebuilder.core.taskfile._commands.flags import Asked, grammar, read
from rebuilder.core.taskfile._commands.world import Place, World
from rebuilder.core.taskfile._steps import Build
from rebuilder.core.taskfile._text import names
from rebuilder.errors import InvalidBuildFile, SourceUnavailable

_GLOBAL = grammar(
    "config context host log-level tlscacert tlscert tlskey",
    "debug tls tlsverify version help",
    "c=context H=host l=log-level D=debug v=version",
)
BUILD = grammar(
    "add-host allow annotation attest build-arg build-context builder cache-from cache-to call"
    " cgroup-parent cpu-period cpu-quota cpu-shares cpuset-cpus cpuset-mems file iidfile image"
    " isolation label memory memory-swap metadata-file network no-cache-filter output platform"
    " policy progress provenance sbom secret security-opt shm-size ssh tag target ulimit",
    "check compress debug disable-content-trust force-rm load no-cache pull push quiet rm squash"
    " stream",
    "t=tag f=file o=output c=cpu-shares m=memory q=quiet D=debug",
)
_RUN = grammar(
    "add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent"
    " cgroupns cidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime"
    " cpu-shares cpus cpuset-cpus cpuset-mems detach-keys device device-cgroup-rule"
    " device-read-bps device-read-iops device-write-bps device-write-iops dns dns-option dns-search"
    " domainname entrypoint env env-file expose gpus group-add health-cmd health-interval"
    " health-retries health-start-interval health-start-period health-timeout hostname"
    " io-maxbandwidth io-maxiops ip ip6 ipc isolation label label-file link link-local-ip"
    " log-driver log-opt mac-address memory memory-reservation memory-swap memory-swappiness mount"
    " name network network-alias net net-alias oom-score-adj pid pids-limit platform publish pull"
    " restart runtime security-opt shm-size stop-signal stop-timeout storage-opt sysctl tmpfs"
    " ulimit user userns uts volume volume-driver volumes-from workdir",
    "detach disable-content-trust help init interactive no-healthcheck oom-kill-disable privileged"
    " publish-all quiet read-only rm sig-proxy tty use-api-socket",
    "a=attach c=cpu-shares d=detach e=env h=hostname i=interactive l=label m=memory P=publish-all"
    " p=publish q=quiet t=tty u=user v=volume w=workdir",
    others_valued=True,  # of over a hundred flags nearly all are
)
_EXEC = grammar(
    "detach-keys env env-file user workdir",
    "detach interactive privileged tty",
    "d=detach e=env i=interactive t=tty u=user w=workdir",
)
_BUILDX = grammar("builder", "debug", "D=debug")
_COMMIT = grammar("author change message", "pause", "a=author c=change m=message p=pause")
_PULL = grammar("platform", "all-tags disable-content-trust quiet", "a=all-tags q=quiet")
_TOOLS = grammar(
    "builder file tag annotation metadata-file platform progress", "append dry-run", "f=file t=tag"
)
_MANIFEST = grammar(
    "arch os os-features os-version variant", "amend insecure purge", "a=amend p=purge"
)

# What changes no image and makes none.
_HARMLESS = names(
    "ls login logout version info images ps rm rmi inspect network volume system prune "
    "history logs search stats top port wait kill stop start restart pause unpause rename "
    "update diff events context plugin node swarm trust scout help save "
    "attach"
)
_GROUPS: Mapping[str, frozenset[str]] = {
    "image": names("build pull push tag load import ls inspect history prune rm save"),
    "container": names("run create commit cp exec ls inspect logs prune rm stop start"),
    "builder": frozenset(["build", "prune"]),
}
COMMANDS = _HARMLESS | names(
    "build buildx builder bake compose container create commit cp exec image import load "
    "manifest pull push run tag"
)
"""The words by which the entry point of docker's image tells its commands from programs."""

_MODERN = 23
"""The release of docker since which `docker build` asks for BuildKit by itself."""


def builder_of(place: Place, tag: str) -> Builder:
    """Return which builder a `docker build` gets, by its variables and the release of docker."""
    asked = place.variables.get("DOCKER_BUILDKIT")
    if asked is not None:
        return Builder.BUILDKIT if asked.lower() in ("1", "t", "true") else Builder.CLASSIC
    release = re.match(r"[0-9]+", tag)
    old = release is not None and int(release[0][:9]) < _MODERN
    return Builder.CLASSIC if old else Builder.BUILDKIT


def docker(world: World, place: Place, words: Sequence[str], run: Run, tag: str = "") -> None:
    """Follow what `docker WORDS` does.

    Args:
        world: Keeps account of it.
        place: Where it runs.
        words: The words behind `docker`.
        run: Follows what runs inside of a container.
        tag: The tag of the docker image that it runs in; "" if that is not known.

    Raises:
        InvalidBuildFile: docker refuses the words.
    """
    if not place.daemon:
        if place.daemon is None:
            _unclear(world, place, ["docker", *words], "which docker it speaks to is not known")
        return
    asked = read(words, _GLOBAL, place.line, until_word=True)
    if asked.unknown:
        _unclear(world, place, ["docker", *words], f"the flag {asked.unknown[0]} is not known")
        return
    if not asked.words:
        return
    command, *rest = asked.words
    if rest and command in _GROUPS and rest[0] in _GROUPS[command]:
        command, *rest = rest
    if command == "buildx":
        buildx(world, place, rest)
    elif command == "build":
        build(world, place, rest, builder_of(place, tag))
    elif command == "bake":
        bake.bake(world, place, rest)
    elif command == "compose":
        compose.compose(world, place, rest, builder_of(place, tag))
    elif command in ("run", "create"):
        _run(world, place, rest, run)
    elif command == "exec":
        _exec(world, place, rest, run)
    elif command in _SIMPLE:
        _SIMPLE[command](world, place, rest)
    elif command not in _HARMLESS:
        _unclear(world, place, ["docker", *words], f"what docker {command} does is not followed")


type Run = Callable[[Place, str, str, Sequence[str]], None]
"""Follows a container: its place, its image, its entry point, its arguments."""


def _unclear(world: World, place: Place, words: Sequence[str], reason: str) -> None:
    world.unclear(" ".join(words), reason, place.line)


# Images of the store.


def _pull(world: World, place: Place, words: Sequence[str]) -> None:
    asked = read(words, _PULL, place.line)
    if asked.on("all-tags") or asked.unknown:
        _unclear(world, place, ["docker pull", *words], "which tags it fetches is not known")
        return
    for image in asked.words:
        world.pull(image, place.line)


def _push(world: World, place: Place, words: Sequence[str]) -> None:
    asked = read(words, _PULL, place.line)
    for image in asked.words:
        if asked.on("all-tags"):
            world.push_all(image, place.line)
        else:
            world.push(image, place.line)


def _tag(world: World, place: Place, words: Sequence[str]) -> None:
    names = [word for word in words if not word.startswith("-")]
    if len(names) != 2:  # noqa: PLR2004 - the old name and the new one
        raise InvalidBuildFile(place.line, f"docker tag takes two names, not {len(names)}")
    world.tag(names[0], names[1], place.line)


def _load(world: World, place: Place, words: Sequence[str]) -> None:
    _unclear(world, place, ["docker load", *words], "which images an archive holds is not known")


def _import(world: World, place: Place, words: Sequence[str]) -> None:
    names = [word for word in words if not word.startswith("-")]
    reason = "an image of a file system's archive stands on none"
    for image in names[1:2]:
        world.fill(image, reason, place.line)


def _commit(world: World, place: Place, words: Sequence[str]) -> None:
    asked = read(words, _COMMIT, place.line)
    for image in asked.words[1:2]:
        world.fill(image, "what an image of a container stands on is not followed", place.line)


def _cp(world: World, place: Place, words: Sequence[str]) -> None:
    names = [word for word in words if not word.startswith("-")]
    if len(names) == 2 and ":" not in names[1]:  # noqa: PLR2004 - from where and to where
        world.write(place, names[1])


def _manifest(world: World, place: Place, words: Sequence[str]) -> None:
    command, *rest = words or [""]
    asked = read(rest, _MANIFEST, place.line)
    if command == "create" and len(asked.words) > 1:
        world.copy(asked.words[1:], f"{LIST}{asked.words[0]}", place.line)
    elif command == "push" and asked.words:
        world.push(f"{LIST}{asked.words[0]}", place.line)
    elif command not in ("inspect", "annotate", "rm"):
        _unclear(world, place, ["docker manifest", *words], "it is not followed")


LIST = "manifest list "
"""Set before the name of a manifest list, which docker keeps apart from the images."""

_SIMPLE: Mapping[str, Callable[[World, Place, Sequence[str]], None]] = {
    "pull": _pull,
    "push": _push,
    "tag": _tag,
    "load": _load,
    "import": _import,
    "commit": _commit,
    "cp": _cp,
    "manifest": _manifest,
}


# Containers.


def _run(world: World, place: Place, words: Sequence[str], run: Run) -> None:
    """Follow a `docker run`, the agent's own among them."""
    asked = read(words, _RUN, place.line, until_word=True)
    if not asked.words or not asked.words[0]:
        _unclear(world, place, ["docker run", *words], "the command names no image")
        return
    image, *arguments = asked.words
    variables: dict[str, str] = {}
    for text in asked.all("env"):
        name, equals, value = text.partition("=")
        if equals:
            variables[name] = value
        elif name in place.variables:
            variables[name] = place.variables[name]
    folder: str | None = asked.last("workdir") or None
    # The agent gives its own steps docker's socket (builder/context.go).
    mounts = (*asked.all("volume"), *asked.all("mount"))
    reaches = place.agent or any("docker.sock" in mount for mount in mounts)
    daemon = True if reaches else None if asked.on("privileged") else False
    inside = Place(place.line, folder, variables, place.windows, place.depth + 1, daemon=daemon)
    run(inside, image, asked.last("entrypoint"), arguments)


def _exec(world: World, place: Place, words: Sequence[str], run: Run) -> None:
    """Follow what is run in a container that runs already, of which its name only is known."""
    asked = read(words, _EXEC, place.line, until_word=True)
    if asked.unknown or not asked.words:
        _unclear(world, place, ["docker exec", *words], "it is not followed")
        return
    inside = Place(place.line, None, {}, place.windows, place.depth + 1, daemon=None)
    run(inside, "", "", asked.words[1:])


# Builds.


def build(world: World, place: Place, words: Sequence[str], builder: Builder) -> None:
    """Follow a `docker build`, `docker buildx build`, or a build step.

    Raises:
        InvalidBuildFile: docker refuses the words.
    """
    asked = read(words, BUILD, place.line)
    world.build(asked_build(world, place, asked), builder, place.line)


def asked_build(world: World, place: Place, asked: Asked) -> Build:
    """Return the build that a command line asks for.

    Raises:
        InvalidBuildFile: docker refuses it.
    """
    reasons = world.unknowns.reasons
    context = asked.words[-1] if asked.words else ""
    unknown = [f"the flag {flag} is not known" for flag in asked.unknown]
    for what in asked.words:
        unknown += reasons(what)
    if len(asked.words) != 1 and not unknown:
        raise InvalidBuildFile(
            place.line, f"docker build takes one context, not {len(asked.words)}"
        )
    for what in (asked.last("file"), asked.last("target"), _platforms(asked)):
        unknown += reasons(what)
    contexts = dict(text.partition("=")[::2] for text in asked.all("build-context"))
    unknown += odd_contexts(world, contexts)
    address, dockerfile = "", ""
    try:
        address, dockerfile = find_dockerfile(place, context, asked.last("file"))
    except SourceUnavailable as error:
        unknown.append(str(error))
    arguments = _arguments(place, asked.all("build-arg"))
    outputs = asked.all("output")
    return Build(
        dockerfile,
        address,
        arguments,
        asked.last("target"),
        _platforms(asked),
        (*asked.all("tag"), *asked.all("image"), *output_names(outputs)),
        asked.on("push") or any(map(pushes, outputs)),
        unknown_arguments(world, arguments),
        tuple(dict.fromkeys(unknown)),
        bare=tuple(text for text in asked.all("build-arg") if "=" not in text),
        contexts=contexts,
    )


def _platforms(asked: Asked) -> str:
    # Given several times, all count; the classic builder knows one only.
    return ",".join(asked.all("platform"))


def _arguments(place: Place, given: Sequence[str]) -> dict[str, str]:
    arguments: dict[str, str] = {}
    for argument in given:
        name, equals, value = argument.partition("=")
        if equals:
            arguments[name] = value
        elif name in place.variables:
            # Without a value, docker takes that of its own environment, or none.
            arguments[name] = place.variables[name]
    return arguments


def buildx(world: World, place: Place, words: Sequence[str]) -> None:
    """Follow what `docker buildx WORDS` does.

    Raises:
        InvalidBuildFile: docker refuses the words.
    """
    asked = read(words, _BUILDX, place.line, until_word=True)
    command, *rest = asked.words or ["ls"]
    if command in ("build", "b"):
        build(world, place, rest, Builder.BUILDKIT)
    elif command in ("bake", "f"):
        bake.bake(world, place, rest)
    elif command == "imagetools":
        _imagetools(world, place, rest)
    elif command not in _BUILDX_HARMLESS:
        _unclear(
            world, place, ["docker buildx", *words], f"what buildx {command} does is not known"
        )


_BUILDX_HARMLESS = names(
    "create use inspect ls rm stop du prune version install uninstall history dial-stdio"
)


def _imagetools(world: World, place: Place, words: Sequence[str]) -> None:
    command, *rest = words or [""]
    if command != "create":
        return
    asked = read(rest, _TOOLS, place.line)
    if "file" in asked.flags or asked.unknown:
        _unclear(world, place, ["docker buildx imagetools", *words], "it is not followed")
        return
    if asked.on("dry-run"):
        return
    for target in asked.all("tag"):
        world.copy(asked.words, target, place.line)
