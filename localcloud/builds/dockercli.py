"""Docker's command line: what `docker ...` asks for.

Source: github.com/docker/cli and github.com/docker/buildx, the commands' references.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from localcloud.builds import flags, platforms
from localcloud.builds.client import is_reference
from localcloud.builds.flags import Known
from localcloud.builds.job import HERE, BuildError


@dataclass(frozen=True, slots=True)
class Pull:
    """`docker pull`: an image and the platform that is asked for."""

    image: str
    platform: str = HERE


@dataclass(frozen=True, slots=True)
class Tag:
    """`docker tag`: one more name of an image."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Push:
    """`docker push`: an image, or every tag of its repository."""

    image: str
    all_tags: bool = False


@dataclass(frozen=True, slots=True)
class DockerBuild:
    """`docker build` and `docker buildx build`.

    Attributes:
        context: A folder or an address.
        tags: The names of the image.
        file: The Dockerfile; empty for the context's own.
        inline: The Dockerfile's text, instead of a file.
        arguments: Build arguments.
        target: The stage; empty for the last.
        platforms: What is built for; empty for the machine's own.
        labels: More labels.
        contexts: What stands for an image or a stage of that name: `docker-image://...`.
        kit: Whether BuildKit builds.
        push: Whether the image is pushed at once.
        kept: Whether docker holds it afterwards.
    """

    context: str
    tags: tuple[str, ...] = ()
    file: str = ""
    inline: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platforms: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    kit: bool = True
    push: bool = False
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Bake:
    """`docker buildx bake`.

    Attributes:
        targets: The targets and groups.
        files: The files; empty for those of the usual names.
        overrides: The values of `--set`, and what other flags stand for.
        variables: What variables of the files are taken from.
    """

    targets: tuple[str, ...]
    files: tuple[str, ...]
    overrides: tuple[str, ...]
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Compose:
    """`docker compose build` and `docker compose push`.

    Attributes:
        files: The files; empty for those of the usual names.
        services: The services; empty for all.
        build: Whether it builds.
        push: Whether it pushes.
        project: The project's name; empty for the folder's.
        directory: The project's folder; empty for the first file's.
        arguments: Build arguments of every service.
        variables: What variables of the files are taken from.
        profiles: The profiles that are asked for.
    """

    files: tuple[str, ...]
    services: tuple[str, ...]
    build: bool
    push: bool
    project: str
    directory: str
    arguments: Mapping[str, str]
    variables: Mapping[str, str]
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Login:
    """`docker login`: what a registry is signed in to with; without a password, nothing."""

    host: str
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Logout:
    """`docker logout`."""

    host: str


@dataclass(frozen=True, slots=True)
class Remove:
    """`docker rmi`: names that are taken away."""

    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class List:
    """`docker images`."""


@dataclass(frozen=True, slots=True)
class Accept:
    """What is taken and changes nothing, and what it prints."""

    says: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """`docker run`: an image and its words, and how it is started."""

    image: str
    words: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    entry_point: str


type DockerCommand = (
    Pull
    | Tag
    | Push
    | DockerBuild
    | Bake
    | Compose
    | Login
    | Logout
    | Remove
    | List
    | Accept
    | Container
)

NAMES = frozenset(
    {
        *("build", "builder", "buildx", "checkpoint", "commit", "compose", "config", "container"),
        *("context", "cp", "create", "diff", "events", "exec", "export", "history", "image"),
        *("images", "import", "info", "inspect", "kill", "load", "login", "logout", "logs"),
        *("manifest", "network", "node", "pause", "plugin", "port", "ps", "pull", "push"),
        *("rename", "restart", "rm", "rmi", "run", "save", "scout", "search", "secret", "service"),
        *("stack", "start", "stats", "stop", "swarm", "system", "tag", "top", "trust", "unpause"),
        *("update", "version", "volume", "wait"),
    }
)
"""Docker's commands, as its image's entry point knows them."""

_HUB = "docker.io"
_VERSION = "28.5.2"
_GLOBAL_VALUED = (
    *("--config", "-c", "--context", "-H", "--host", "-l", "--log-level"),
    *("--tlscacert", "--tlscert", "--tlskey"),
)
_GLOBAL = Known(
    dict.fromkeys(_GLOBAL_VALUED, ""),
    {
        **dict.fromkeys(("-D", "--debug", "--tls", "--tlsverify"), ""),
        "-v": "version",
        "--version": "version",
    },
)
_CLASSIC_BUILD = Known(
    {
        "-t": "tag",
        "--tag": "tag",
        "-f": "file",
        "--file": "file",
        "--target": "target",
        "--build-arg": "arg",
        "--platform": "platform",
        "--label": "label",
        **dict.fromkeys(
            (
                *("--network", "--cache-from", "--memory", "-m", "--memory-swap", "--shm-size"),
                *("--cpu-shares", "-c", "--cpu-period", "--cpu-quota", "--cpuset-cpus"),
                *("--cpuset-mems", "--ulimit", "--add-host", "--cgroup-parent"),
            ),
            "",
        ),
    },
    dict.fromkeys(
        ("--no-cache", "--pull", "--rm", "--force-rm", "-q", "--quiet", "--compress"), ""
    ),
)
# What only BuildKit's command has.
_KIT_BUILD = Known(
    {
        **_CLASSIC_BUILD.valued,
        "-o": "output",
        "--output": "output",
        "--build-context": "context",
        **dict.fromkeys(
            (
                *("--progress", "--cache-to", "--provenance", "--sbom", "--attest", "--builder"),
                *("--annotation", "--no-cache-filter"),
            ),
            "",
        ),
    },
    {
        **_CLASSIC_BUILD.switches,
        "--push": "push",
        "--load": "load",
        "-D": "",
        "--debug": "",
    },
)
_RUN = Known(
    {
        "-e": "env",
        "--env": "env",
        "-w": "directory",
        "--workdir": "directory",
        "--entrypoint": "entry",
        "--name": "",
        "--network": "",
        "--pull": "",
    },
    dict.fromkeys(("--rm", "-i", "--interactive", "-t", "--tty", "-q", "--quiet"), ""),
)
_BAKE = Known(
    {
        "-f": "file",
        "--file": "file",
        "--set": "set",
        "--var": "variable",
        **dict.fromkeys(
            ("--progress", "--builder", "--provenance", "--sbom", "--allow"),
            "",
        ),
    },
    {
        "--push": "push",
        "--load": "load",
        **dict.fromkeys(("--no-cache", "--pull", "-D", "--debug"), ""),
    },
)
_COMPOSE = Known(
    {
        "-f": "file",
        "--file": "file",
        "-p": "project",
        "--project-name": "project",
        "--project-directory": "directory",
        "--ansi": "",
        "--progress": "",
        "--profile": "profile",
        "--parallel": "",
    },
    {"--compatibility": ""},
)
_COMPOSE_BUILD = Known(
    {
        "--build-arg": "arg",
        "--builder": "",
        "--progress": "",
        "-m": "",
        "--memory": "",
        "--ssh": "",
        "--provenance": "",
        "--sbom": "",
    },
    {
        "--push": "push",
        **dict.fromkeys(("--pull", "--no-cache", "-q", "--quiet", "--with-dependencies"), ""),
    },
)


def parse(words: Sequence[str], environment: Mapping[str, str], tag: str = "") -> DockerCommand:
    """Return what a docker command asks for.

    Args:
        words: Its words, without `docker`.
        environment: The variables of the container or shell that it runs in.
        tag: The tag of docker's image that it runs in; an old one has another builder.

    Raises:
        BuildError: It is wrong, or not done here.
    """
    given = flags.read("docker", words, _GLOBAL, mixed=False)
    if given.on("version") or not given.arguments:
        return Accept(f"Docker version {_VERSION}")
    name, *rest = [*given.arguments, ""]
    rest = rest[:-1]
    if name in ("image", "builder") and rest:
        name, rest = rest[0], rest[1:]
    if name == "buildx" and rest:
        return _buildx(rest, environment)
    if name == "compose":
        return _compose(rest, environment)
    if name == "build":
        return _build(rest, environment, kit=_by_kit(environment, tag))
    command = _SIMPLE.get(name)
    if command is None:
        shown = " ".join(("docker", *given.arguments[:2])).strip()
        raise BuildError(f"the local cloud does not do `{shown}`")
    return command(rest, environment)


def _by_kit(environment: Mapping[str, str], tag: str) -> bool:
    """Tell which builder `docker build` takes: docker 23 and later BuildKit, unless told not to."""
    said = environment.get("DOCKER_BUILDKIT", "")
    if said:
        try:
            return flags.truth(said)
        except BuildError as error:
            words = "DOCKER_BUILDKIT environment variable expects boolean value"
            raise BuildError(f"{words}: {error}") from error
    number = tag.partition(".")[0].partition("-")[0]
    return not number.isdecimal() or int(number) >= 23  # noqa: PLR2004 - docker 23


def reference(text: str, of: str = "") -> str:
    """Return an image's name; `of` is the flag that it is given to.

    Raises:
        BuildError: It is none.
    """
    if not is_reference(text):
        words = "invalid reference format"
        if is_reference(text.lower()):
            words += f": repository name ({text}) must be lowercase"
        raise BuildError(f'invalid argument "{text}" for "{of}" flag: {words}' if of else words)
    return text


def _exactly(command: str, given: flags.Given, count: int) -> list[str]:
    if len(given.arguments) != count:
        many = "argument" if count == 1 else "arguments"
        raise BuildError(f"'docker {command}' requires {count} {many}")
    return given.arguments


def _pull(words: Sequence[str], environment: Mapping[str, str]) -> DockerCommand:
    known = Known({"--platform": "platform"}, {"-q": "", "--quiet": ""})
    given = flags.read("docker pull", words, known)
    (image,) = _exactly("pull", given, 1)
    asked = given.last("platform", environment.get("DOCKER_DEFAULT_PLATFORM", "")) or HERE
    return Pull(reference(image), platforms.parse(asked))


def _tag(words: Sequence[str], _: Mapping[str, str]) -> DockerCommand:
    source, target = _exactly("tag", flags.read("docker tag", words, Known({}, {})), 2)
    return Tag(reference(source), reference(target))


def _push(words: Sequence[str], _: Mapping[str, str]) -> DockerCommand:
    known = Known({}, {"-a": "all", "--all-tags": "all", "-q": "", "--quiet": ""})
    given = flags.read("docker push", words, known)
    (image,) = _exactly("push", given, 1)
    if given.on("all") and ":" in image.rpartition("/")[2]:
        raise BuildError("tag can't be used with --all-tags/-a")
    return Push(reference(image), given.on("all"))


def _login(words: Sequence[str], _: Mapping[str, str]) -> DockerCommand:
    known = Known(
        {"-u": "user", "--username": "user", "-p": "password", "--password": "password"},
        {"--password-stdin": ""},
    )
    given = flags.read("docker login", words, known)
    host = (given.arguments or [_HUB])[0]
    return Login(host, given.last("user"), given.last("password"))


def _logout(words: Sequence[str], _: Mapping[str, str]) -> DockerCommand:
    given = flags.read("docker logout", words, Known({}, {}))
    return Logout((given.arguments or [_HUB])[0])


def _remove(words: Sequence[str], _: Mapping[str, str]) -> DockerCommand:
    known = Known({}, {"-f": "", "--force": "", "--no-prune": ""})
    return Remove(tuple(flags.read("docker rmi", words, known).arguments))


def _list(_: Sequence[str], __: Mapping[str, str]) -> DockerCommand:
    return List()


def _version(_: Sequence[str], __: Mapping[str, str]) -> DockerCommand:
    return Accept(f"Client: Docker Engine - Community\n Version: {_VERSION}")


def _info(_: Sequence[str], __: Mapping[str, str]) -> DockerCommand:
    return Accept(f"Server:\n Server Version: {_VERSION}\n Architecture: x86_64")


def _run(words: Sequence[str], _: Mapping[str, str]) -> DockerCommand:
    given = flags.read("docker run", words, _RUN, mixed=False)
    if not given.arguments:
        raise BuildError("'docker run' requires at least 1 argument")
    # A variable without a value is taken from a shell that has none.
    pairs = (entry.partition("=") for entry in given.all("env"))
    environment = {name: value for name, equals, value in pairs if equals}
    image, *rest = given.arguments
    return Container(
        reference(image), tuple(rest), environment, given.last("directory"), given.last("entry")
    )


_SIMPLE: Mapping[str, Callable[[Sequence[str], Mapping[str, str]], DockerCommand]] = {
    "pull": _pull,
    "tag": _tag,
    "push": _push,
    "login": _login,
    "logout": _logout,
    "rmi": _remove,
    "rm": _remove,
    "images": _list,
    "ls": _list,
    "version": _version,
    "info": _info,
    "run": _run,
}


_BUILDX_ACCEPTED = frozenset(
    {"create", "use", "inspect", "ls", "rm", "stop", "version", "install", "du", "prune"}
)


def _buildx(words: Sequence[str], environment: Mapping[str, str]) -> DockerCommand:
    name, *rest = words
    if name in (
        "create",
        "use",
        "inspect",
        "ls",
        "rm",
        "stop",
        "version",
        "install",
        "du",
        "prune",
    ):
        return Accept("default" if name in ("create", "ls", "inspect") else "")
    if name in ("build", "b"):
        return _build(rest, environment, kit=True, of="docker buildx build")
    if name in ("bake", "f"):
        return _bake(rest, environment)
    raise BuildError(f"the local cloud does not do `docker buildx {name}`")


def _build(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    kit: bool,
    of: str = "docker build",
) -> DockerBuild:
    given = flags.read(of, words, _KIT_BUILD)
    if not kit:
        strange = [flag for flag in given.flags if flag not in _known_to(_CLASSIC_BUILD)]
        if strange:
            raise BuildError(f"unknown flag: {strange[0]}")
    (context,) = _exactly(of.removeprefix("docker "), given, 1)
    if context == "-":
        raise BuildError(f"the local cloud does not do `{of} -`")
    asked = given.all("platform") or [environment.get("DOCKER_DEFAULT_PLATFORM", "")]
    if kit:
        asked = [part for text in asked for part in text.split(",")]
    push, kept = outputs(given.all("output"))
    build = DockerBuild(
        context,
        tuple(reference(tag, "-t, --tag") for tag in given.all("tag")),
        given.last("file"),
        arguments=_pairs(given.all("arg"), environment),
        target=given.last("target"),
        platforms=tuple(dict.fromkeys(platforms.parse(part) for part in asked if part)),
        labels=_pairs(given.all("label"), {}, empty=True),
        contexts=_contexts(given.all("context")),
        kit=kit,
        push=push or given.on("push"),
        kept=kept or given.on("load") or given.on("push"),
    )
    if build.push and not build.tags:
        raise BuildError("tag is needed when pushing to registry")
    return build


def _known_to(known: Known) -> frozenset[str]:
    return frozenset({*known.valued, *known.switches})


def _pairs(
    given: Sequence[str], environment: Mapping[str, str], *, empty: bool = False
) -> dict[str, str]:
    """Return `NAME=VALUE` as pairs; one without a value has that of the environment, if any."""
    found = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if equals or empty:
            found[name] = value
        elif name in environment:
            found[name] = environment[name]
    return found


def _contexts(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not value.startswith("docker-image://"):
            raise BuildError(f"the local cloud does not do `--build-context {pair}`")
        found[name.lower()] = value
    return found


def outputs(given: Sequence[str]) -> tuple[bool, bool]:
    """Return whether outputs push an image, and whether docker holds it afterwards.

    Raises:
        BuildError: One goes to a file or folder, which is not done here.
    """
    push, kept = False, not given
    for text in given:
        fields = dict(part.partition("=")[::2] for part in text.split(",") if "=" in part)
        kind = fields.get("type", "")
        if kind == "registry" or (kind == "image" and fields.get("push") == "true"):
            push = kept = True
        elif kind in ("docker", "image") and "dest" not in fields:
            kept = True
        elif kind != "cacheonly":
            raise BuildError(f"the local cloud does not do `docker build --output {text}`")
    return push, kept


def _bake(words: Sequence[str], environment: Mapping[str, str]) -> Bake:
    given = flags.read("docker buildx bake", words, _BAKE)
    overrides = list(given.all("set"))
    overrides += [
        f"*.{name}={str(value).lower()}"
        for name, value in given.switches.items()
        if name in ("push", "load")
    ]
    return Bake(
        tuple(given.arguments or ["default"]),
        tuple(given.all("file")),
        tuple(overrides),
        {**environment, **_pairs(given.all("variable"), {})},
    )


def _compose(words: Sequence[str], environment: Mapping[str, str]) -> DockerCommand:
    common = flags.read("docker compose", words, _COMPOSE, mixed=False)
    name, *rest = [*common.arguments, ""]
    rest = rest[:-1]
    if name in ("version", "ls", "config"):
        return Accept()
    if name not in ("build", "push"):
        shown = f"docker compose {name}".rstrip()
        raise BuildError(f"the local cloud does not do `{shown}`")
    known = _COMPOSE_BUILD if name == "build" else Known({}, {"-q": "", "--quiet": ""})
    given = flags.read(f"docker compose {name}", rest, known)
    return Compose(
        tuple(common.all("file")),
        tuple(given.arguments),
        name == "build",
        name == "push" or given.on("push"),
        common.last("project"),
        common.last("directory"),
        _pairs(given.all("arg"), environment),
        environment,
        tuple(common.all("profile")),
    )
