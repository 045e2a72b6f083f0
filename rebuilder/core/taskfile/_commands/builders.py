"""Other builders than docker, and copiers: kaniko, img, buildah, podman, skopeo, crane."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from rebuilder.core.dependencies.effects import Builder
from rebuilder.core.taskfile._commands import docker
from rebuilder.core.taskfile._commands.builds import unknown_arguments
from rebuilder.core.taskfile._commands.flags import Asked, grammar, read
from rebuilder.core.taskfile._commands.world import Place, World
from rebuilder.core.taskfile._steps import Build
from rebuilder.errors import SourceUnavailable

_KANIKO = grammar(
    "build-arg cache-copy-layers cache-dir cache-repo cache-ttl compression compression-level"
    " context context-sub-path custom-platform customPlatform destination digest-file dockerfile"
    " git ignore-path image-fs-extract-retry image-name-with-digest-file"
    " image-name-tag-with-digest-file insecure-registry kaniko-dir label log-format"
    " oci-layout-path push-retry registry-certificate registry-client-cert registry-map"
    " registry-mirror skip-tls-verify-registry snapshot-mode snapshotMode tar-path tarPath target"
    " use-new-run verbosity",
    "cache cache-run-layers cleanup force insecure insecure-pull log-timestamp no-push"
    " no-push-cache reproducible single-snapshot skip-default-registry-fallback"
    " skip-push-permission-check skip-tls-verify skip-tls-verify-pull skip-unused-stages",
    "b=bucket c=context d=destination f=dockerfile v=verbosity",
)

LIKE_DOCKER = frozenset({"img", "buildah", "podman"})
COPIERS = frozenset({"skopeo", "crane"})


def kaniko(world: World, place: Place, words: Sequence[str]) -> None:
    """Follow kaniko's executor; its Dockerfile is of its context, or of where it is started.

    Source: github.com/GoogleContainerTools/kaniko, README and cmd/executor/cmd/root.go.
    """
    asked = read(words, _KANIKO, place.line)
    context = asked.last("context") or "/workspace/"
    context = context.removeprefix("dir://")
    if "context-sub-path" in asked.flags and "://" not in context:
        context = posixpath.join(context, asked.last("context-sub-path"))
    address, dockerfile = "", ""
    unknown = [f"the flag {flag} is not known" for flag in asked.unknown]
    name = asked.last("dockerfile") or "Dockerfile"
    if "://" in context:
        unknown.append(f"a context at {context} is not read")
    else:
        try:
            dockerfile = place.path(posixpath.join(context, name))
        except SourceUnavailable as error:
            unknown.append(str(error))
    _build(world, place, asked, Builder.KANIKO, (address, dockerfile), unknown)


def _build(
    world: World,
    place: Place,
    asked: Asked,
    builder: Builder,
    found: tuple[str, str],
    unknown: list[str],
) -> None:
    platform = asked.last("custom-platform") or asked.last("customPlatform")
    for text in (*found, asked.last("target"), platform):
        unknown += world.unknowns.reasons(text)
    arguments = dict(text.partition("=")[::2] for text in asked.all("build-arg") if "=" in text)
    build = Build(
        found[1],
        found[0],
        arguments,
        asked.last("target"),
        platform,
        tuple(asked.all("destination")),
        not asked.on("no-push") and bool(asked.all("destination")),
        unknown_arguments(world, arguments),
        tuple(dict.fromkeys(unknown)),
    )
    world.build(build, builder, place.line)


def like_docker(
    world: World,
    place: Place,
    name: str,
    words: Sequence[str],
    run: docker.Run,
) -> None:
    """Follow img, buildah and podman, whose words are docker's in what is followed here."""
    command, *rest = words or [""]
    if command in ("build", "bud", "build-using-dockerfile"):
        builder = Builder.IMG if name == "img" else Builder.BUILDAH
        docker.build(world, place, rest, builder)
    elif command in ("pull", "tag"):
        docker.docker(world, place, [command, *rest], run)
    elif command == "push":
        asked = read(
            rest,
            grammar("authfile cert-dir creds format digestfile", "quiet all", "q=quiet"),
            place.line,
        )
        source, *target = asked.words or [""]
        for other in target[:1]:
            world.tag(source, other.removeprefix("docker://"), place.line)
            source = other.removeprefix("docker://")
        if source:
            world.push(source, place.line)
    elif command not in (
        "login",
        "logout",
        "version",
        "images",
        "ls",
        "rm",
        "rmi",
        "inspect",
        "info",
    ):
        text = " ".join([name, *words])
        world.unclear(text, f"what {name} {command} does is not followed", place.line)


_COPY = grammar(
    "src-creds dest-creds creds authfile src-authfile dest-authfile src-tls-verify format policy"
    " dest-tls-verify override-arch override-os platform multi-arch retry-times digestfile jobs",
    "all quiet insecure-policy insecure no-clobber preserve-digests a q debug verbose",
    "a=all q=quiet f=format j=jobs n=no-clobber v=verbose",
)


def copier(world: World, place: Place, name: str, words: Sequence[str]) -> None:
    """Follow `skopeo copy` and `crane copy`."""
    asked = read(words, _COPY, place.line)
    command, *names = asked.words or [""]
    images = [word.removeprefix("docker://") for word in names]
    if command in ("copy", "cp") and len(images) == 2 and not any("://" in i for i in images):  # noqa: PLR2004
        world.copy(images[:1], images[1], place.line)
    elif command == "tag" and name == "crane" and len(images) == 2:  # noqa: PLR2004
        repository = images[0].partition("@")[0]
        base = repository.rpartition(":")[0] if ":" in repository.rpartition("/")[2] else repository
        world.copy(images[:1], f"{base}:{images[1]}", place.line)
    elif command not in (
        "inspect",
        "list-tags",
        "login",
        "logout",
        "digest",
        "ls",
        "manifest",
        "catalog",
        "auth",
        "config",
        "delete",
        "version",
        "validate",
    ):
        text = " ".join([name, *words])
        world.unclear(text, f"what {name} {command} does is not followed", place.line)
