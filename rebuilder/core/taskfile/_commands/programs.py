"""What a program does that a step runs, as far as its command line tells.

The image of a step is a tool; its arguments are the tool's own business, unless they are those of
a program that makes images, or of a shell, or write files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from copy import replace
from functools import lru_cache

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.dependencies.effects import Builder
from rebuilder.core.taskfile._commands import az, compose, docker, shell
from rebuilder.core.taskfile._commands.builds import unknown_arguments
from rebuilder.core.taskfile._commands.flags import Asked, grammar, read
from rebuilder.core.taskfile._commands.world import DEPTH, Place, World
from rebuilder.core.taskfile._steps import Build
from rebuilder.core.taskfile._text import names
from rebuilder.errors import InvalidReference, SourceUnavailable

_AGENTS_OWN = frozenset({"docker.io/library/docker:latest", "docker.io/library/buildx:latest"})
"""Images that the agent brings, under names without a registry (builder/builder.go)."""

_SHELLS = names("sh bash ash dash ksh zsh")
_POWERSHELLS = names("powershell powershell.exe pwsh cmd cmd.exe")
_WRAPPERS = names("env exec nohup sudo time command timeout nice")
_FOLLOWED_BY_NONE = names("xargs eval source . trap")
_SCRIPT = re.compile(r".*\.(?:sh|bash|ps1|cmd|bat)|(?:\./|.*/).*\.(?:py|rb|js|pl)")
_MAKERS = names(
    "make gmake just task buildctl pack ko jib bazel earthly nerdctl oras regctl cosign "
    "docker-buildx skaffold tilt"
)
"""Programs that may make images in ways that are not followed."""

_OPAQUE = _POWERSHELLS | _FOLLOWED_BY_NONE | _MAKERS

_PROGRAMS = (_SHELLS | _WRAPPERS | {"docker", "docker-compose"}) - docker.COMMANDS
"""What else than commands of docker is looked for in docker's image."""

_OUTPUT = names("-o -O --output --out --out-file --output-file --output-document --dest")


# Where a program begins.


def container(
    world: World, place: Place, image: str, entry_point: str, arguments: Sequence[str]
) -> None:
    """Follow a container: the tool that its image is, "" if that was told, and its arguments.

    Raises:
        InvalidBuildFile: A program refuses its arguments.
    """
    name = _name(image)
    repository = name.partition("@")[0].rpartition(":")[0] or name
    tag = name.removeprefix(f"{repository}:") if name not in _AGENTS_OWN else ""
    if image and name not in _AGENTS_OWN:
        world.run(image, place.line, ())
    if place.depth > DEPTH:
        text = " ".join([image, *arguments])
        world.unclear(text, "too many containers and shells inside each other", place.line)
        return
    words = [entry_point, *arguments] if entry_point else [*arguments]
    last = repository.rpartition("/")[2]
    if not entry_point and words:
        if repository == "docker.io/library/docker":
            # Its entry point tries a word as a command of docker, then as a program.
            if words[0].rpartition("/")[2] not in _PROGRAMS:
                words = ["docker", *words]
        elif repository == "docker.io/library/buildx":
            words = ["docker", "buildx", *words]
        elif last == "azure-cli" and repository.startswith("mcr.microsoft.com/acr/"):
            words = words if words[0] == "az" else ["az", *words]
        elif last == "bash" and words[0].startswith("-"):
            words = ["bash", *words]
        else:
            words = _with_entry_point(repository, words)
    if words and words[0].startswith("-"):
        _outputs(world, place, words)
    elif words and not world.unknowns.within(words[0]):
        program(world, place, words, tag if last == "docker" else "")


_ENTRY_POINTS = {
    "skopeo": "skopeo",
    "crane": "crane",
    "git": "git",
    "docker/compose": "docker-compose",
    "img": "img",
    "regctl": "regctl",
    "oras": "oras",
    "pack": "pack",
}
"""The programs that images begin with, by the word of the repository that tells them."""


def _with_entry_point(repository: str, words: list[str]) -> list[str]:
    """Return a container's words with the program that its image begins with, where it tells."""
    last = repository.rpartition("/")[2]
    if "kaniko" in repository and last in ("executor", "kaniko"):
        return ["/kaniko/executor", *words]
    parts = repository.split("/")[-2:]
    known = ("/".join(parts), *parts[::-1])
    program = next((_ENTRY_POINTS[part] for part in known if part in _ENTRY_POINTS), "")
    first = words[0].rpartition("/")[2]
    if not program or first in (program, *_SHELLS):
        return words
    return [program, *words]


@lru_cache(maxsize=1024)  # the agent's own images are those of most steps
def _name(image: str) -> str:
    try:
        return str(ImageReference.parse(image))
    except InvalidReference:
        return image


def script(world: World, place: Place, text: str) -> None:
    """Follow the text of a shell.

    Raises:
        InvalidBuildFile: A quote is not closed, or a program refuses its arguments.
    """
    variables = None if place.agent else place.variables
    found = shell.parse(
        text, place.line, world.unknowns, variables=variables, windows=place.windows
    )
    for command in found.commands:
        place = _command(world, place, command)
    for piece in found.substitutions:
        if _MAY_MAKE.search(piece):
            world.unclear(piece, f"what `{piece}` does is not followed", place.line)
    if found.rest:
        reason = "what a shell does from here on is not followed"
        world.unclear(found.rest, reason, place.line)
        if _MAY_WRITE.search(found.left):
            world.write_all("what a shell does is not followed", place.line)


_MAY_WRITE = re.compile(
    r"(?<![0-9&])>(?!&)|[0-9]>(?![&0-9])(?!\s*/dev/null)"
    r"|\b(?:cp|mv|install|ln|tee|rm|sed|perl|git|patch|dos2unix|truncate|touch|oryx)\b"
)
_MAY_MAKE = re.compile(r"\b(?:docker|az|buildah|podman|img|skopeo|crane|executor|make)\b")


def _command(world: World, place: Place, command: shell.Command) -> Place:
    """Follow one command; return the place of the next one."""
    words = command.words
    for operator, target in command.redirects:
        if ">" in operator and operator != ">&":
            world.write(place, target)
    variables = {**place.variables, **command.assignments}
    if not words:
        # What is not exported is the shell's own, which it has filled in already.
        known = {name: value for name, value in variables.items() if name in place.variables}
        return replace(place, variables=known)
    if words[0] == "cd":
        return _moved(world, place, words[1:])
    if words[0] in ("export", "declare", "readonly"):
        pairs = (word.partition("=") for word in words[1:] if "=" in word)
        return replace(place, variables={**variables, **{name: value for name, _, value in pairs}})
    here = replace(place, variables=variables) if command.assignments else place
    if _reads_script(command):
        text = " ".join(words)
        world.unclear(text, "what a shell reads from its input is not followed", place.line)
    elif world.unknowns.within(words[0]):
        world.unclear(" ".join(words), "which program it runs is not known", place.line)
    else:
        program(world, here, words)
    return place


def _reads_script(command: shell.Command) -> bool:
    """Tell whether a command may be a shell whose commands come from a pipe or a file."""
    given = command.joined == "|" or any(mark.startswith("<") for mark, _ in command.redirects)
    return given and any(
        word.rpartition("/")[2] in _SHELLS and "-c" not in command.words[number:]
        for number, word in enumerate(command.words)
    )


def _moved(world: World, place: Place, words: Sequence[str]) -> Place:
    folder = words[0] if len(words) == 1 else ""
    unknown = folder.startswith(("-", "~")) or world.unknowns.within(folder)
    if not folder or unknown or place.folder is None:
        return replace(place, folder=None)
    return replace(place, folder=posixpath.normpath(posixpath.join(place.folder, folder)))


# Programs.


def program(world: World, place: Place, words: Sequence[str], docker_tag: str = "") -> None:
    """Follow what a program does with its arguments.

    Raises:
        InvalidBuildFile: The program refuses its arguments.
    """
    if not words or not words[0]:
        return
    name, rest = words[0].rpartition("/")[2], words[1:]
    if name in _WRAPPERS:
        program(world, place, _unwrapped(name, rest), docker_tag)
    elif name in ("docker", "docker.exe"):
        run = _containers(world)
        docker.docker(world, place, rest, run, docker_tag)
    elif name == "docker-compose":
        compose.compose(world, place, rest, docker.builder_of(place, docker_tag))
    elif name in _SHELLS:
        _shell_of(world, place, words)
    elif name in _OPAQUE or _SCRIPT.fullmatch(words[0]):
        world.unclear(" ".join(words), f"what {name} does is not followed", place.line)
    elif name == "az":
        az.az(world, place, rest)
    elif name == "executor" and "kaniko" in words[0]:
        _kaniko(world, place, rest)
    elif name in _LIKE_DOCKER:
        _like_docker(world, place, name, rest)
    elif name in _COPIERS:
        _copier(world, place, name, rest)
    elif name in _WRITERS:
        _WRITERS[name](world, place, rest)
    else:
        _outputs(world, place, rest)


def _unwrapped(name: str, words: Sequence[str]) -> Sequence[str]:
    """Return the program that another one starts."""
    left = list(words)
    while left and (left[0].startswith("-") or (name == "env" and "=" in left[0])):
        left.pop(0)
    return left[1:] if name == "timeout" else left


def _containers(world: World) -> Callable[[Place, str, str, Sequence[str]], None]:
    def run(place: Place, image: str, entry_point: str, arguments: Sequence[str]) -> None:
        container(world, place, image, entry_point, arguments)

    return run


def _shell_of(world: World, place: Place, words: Sequence[str]) -> None:
    """Follow `sh -c TEXT`; a shell that reads a script is not followed."""
    for position, word in enumerate(words[1:], 1):
        if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
            inside = replace(place, depth=place.depth + 1, agent=False)
            if inside.depth > DEPTH:
                break
            for text in words[position + 1 : position + 2]:
                script(world, inside, text)
            return
        if not word.startswith(("-", "+")) and word not in ("errexit", "pipefail"):
            break
    else:
        return
    world.unclear(" ".join(words), "what a script does is not followed", place.line)


# Other builders.

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
_LIKE_DOCKER = frozenset({"img", "buildah", "podman"})
_COPIERS = frozenset({"skopeo", "crane"})


def _kaniko(world: World, place: Place, words: Sequence[str]) -> None:
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


def _like_docker(world: World, place: Place, name: str, words: Sequence[str]) -> None:
    """Follow img, buildah and podman, whose words are docker's in what is followed here."""
    command, *rest = words or [""]
    if command in ("build", "bud", "build-using-dockerfile"):
        builder = Builder.IMG if name == "img" else Builder.BUILDAH
        docker.build(world, place, rest, builder)
    elif command in ("pull", "tag"):
        docker.docker(world, place, [command, *rest], _containers(world))
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


def _copier(world: World, place: Place, name: str, words: Sequence[str]) -> None:
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


# Programs that write files.


def _plain_words(words: Sequence[str]) -> list[str]:
    return [word for word in words if not word.startswith("-")]


def _all(world: World, place: Place, words: Sequence[str]) -> None:
    for word in _plain_words(words):
        world.write(place, word)


_COPY_FILES = grammar(
    "target-directory suffix mode owner group",
    "archive force interactive no-clobber recursive verbose no-target-directory directory symbolic",
    "t=target-directory S=suffix m=mode o=owner g=group a=archive f=force i=interactive"
    " n=no-clobber r=recursive R=recursive v=verbose T=no-target-directory d=directory s=symbolic",
)


def _last(world: World, place: Place, words: Sequence[str]) -> None:
    asked = read(words, _COPY_FILES, place.line)
    names = asked.words
    folder = asked.last("target-directory")
    if not folder and len(names) > 1:
        folder = names.pop()
    if folder:
        world.write(place, folder)
        for source in names:
            world.write(place, posixpath.join(folder, source.rpartition("/")[2]))


def _move(world: World, place: Place, words: Sequence[str]) -> None:
    _last(world, place, words)
    _all(world, place, words)


_IN_PLACE = re.compile(r"--in-place|-[a-zA-Z]*i")


def _edit(world: World, place: Place, words: Sequence[str]) -> None:
    if any(_IN_PLACE.match(word) for word in words):
        _all(world, place, words)


def _git(world: World, place: Place, words: Sequence[str]) -> None:
    names = _plain_words(words)
    if names[:1] == ["clone"]:
        for target in names[2:3] or [n.rpartition("/")[2].removesuffix(".git") for n in names[1:2]]:
            world.write(place, target)
    elif names[:1] and names[0] in (
        *("checkout", "pull", "reset", "merge", "rebase", "apply", "am", "switch", "restore"),
        *("submodule", "stash", "cherry-pick", "clean", "revert", "sparse-checkout", "lfs"),
    ):
        world.write_all(f"`git {names[0]}` changes files", place.line)


def _patch(world: World, place: Place, _: Sequence[str]) -> None:
    world.write_all("`patch` changes files", place.line)


def _oryx(world: World, place: Place, words: Sequence[str]) -> None:
    _outputs(world, place, words)


def _outputs(world: World, place: Place, words: Sequence[str]) -> None:
    """Take what a program is told to put its output into for written."""
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in _OUTPUT:
            target = value if equals else "".join(words[position + 1 : position + 2])
            if target.strip("./") and not target.startswith("-"):
                world.write(place, target)


_WRITERS: Mapping[str, Callable[[World, Place, Sequence[str]], None]] = {
    "cp": _last,
    "mv": _move,
    "install": _last,
    "ln": _last,
    "tee": _all,
    "touch": _all,
    "truncate": _all,
    "rm": _all,
    "dos2unix": _all,
    "sed": _edit,
    "perl": _edit,
    "git": _git,
    "patch": _patch,
    "oryx": _oryx,
}
