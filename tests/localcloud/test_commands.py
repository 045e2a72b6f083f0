"""Command lines, read: the agent's shell, docker, `az` and `acr`, and what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from localcloud.builds import acrcli, azcli, dockercli, platforms
from localcloud.builds.acrcli import Purge, duration
from localcloud.builds.commandline import Simple, split
from localcloud.builds.commands import Action, Echo, Exit, Script, Strict, read
from localcloud.builds.dockercli import DockerBuild
from localcloud.builds.job import BuildError


def flat(script: Script) -> list[tuple[str, Action]]:
    """Return the commands of a script and of those in it, with what joins them."""
    found: list[tuple[str, Action]] = []
    for part in script.parts:
        if isinstance(part.action, Script):
            found += flat(part.action)
        else:
            found.append((part.joiner, part.action))
    return found


def only(command: str, environment: str = "") -> Action:
    """Return the one command that a step's command is."""
    ((_, action),) = flat(read(f"docker run {environment} --workdir /workspace {command}"))
    return action


def docker_build(command: str, environment: str = "") -> DockerBuild:
    """Return the build that a step's command is."""
    action = only(command, environment)
    assert isinstance(action, DockerBuild)
    return action


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("a 'b  c' \"d 'e'\" f\\ g", ["a", "b  c", "d 'e'", "f g"]),
        ("'a'\"b\"c ''", ["abc", ""]),
        ('"a\\"b\\$c\\d\\\ne"', ['a"b$c\\de']),
        ("a \\\n  b # comment\n", ["a", "b"]),
        ("a#b", ["a#b"]),
        ('$X "$X" ${X}z $E "$E"', ["1", "2", "1 2", "1", "2z", ""]),
        ("${E:-d e} ${E-d} ${N:-n} ${X:+x}${E:+y}", ["d", "e", "n", "x"]),
        ("a$ \\", ["a$", "\\"]),
        ("a=b", []),
        ("x a=b", ["x", "a=b"]),
        ("'a=b' c", ["a=b", "c"]),
        ("*.x [a] ~ {b,c}", ["*.x", "[a]", "~", "{b,c}"]),
    ],
)
def test_words_are_split_as_sh_does(text: str, words: list[str]) -> None:
    """Quotes, escapes, comments and variables; what is empty without quotes is no word."""
    found = split(text, {"X": "1 2", "E": ""})
    assert [word for simple in found for word in simple.words] == words


def test_commands_are_joined() -> None:
    """By `&&`, `||`, `;` and new lines; variables are set for one command or for the rest."""
    assert split("A=1\nB=$A c && d $A || e;\n\nf", {}) == [
        Simple(("c",), {"B": "1"}, ";"),
        Simple(("d", "1"), {}, "&&"),
        Simple(("e",), {}, "||"),
        Simple(("f",), {}, ";"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 'b", "Unterminated quoted string"),
        ('a "b', "Unterminated quoted string"),
        ("a &&", "end of file unexpected"),
        ("&& a", '"&&" unexpected'),
        ("a & b", "in the background"),
        ("a | b", "a pipe (|)"),
        ("a > b", "a redirection (>)"),
        ("a < b", "a redirection (<)"),
        ("(a)", "a subshell"),
        ("a `b`", "a command inside of a command"),
        ('a "`b`"', "a command inside of a command"),
        ("a $(b)", "does not do $( in"),
        ("a $?", "does not do $? in"),
        ("a ${X:?no}", "does not do ${X:?no}"),
        ("a ${X:-$Y}", "does not do ${X:-$Y}"),
        ("if a; then b; fi", "does not do `if`"),
    ],
)
def test_what_a_shell_would_do_besides_is_refused(text: str, said: str) -> None:
    """With its words, or by its name."""
    with pytest.raises(BuildError) as raised:
        split(text, {})
    assert said in str(raised.value)


def test_scripts_are_read_through_their_shells() -> None:
    """`sh -c` in docker's image, and what the agent's shell does afterwards, each in its place."""
    script = read(
        "docker run --env A=b --workdir /workspace/x docker sh -ec 'docker tag $A c; set +e; false;"
        " exit 2' && docker run docker sh -o pipefail -c true || echo -n no"
    )
    assert flat(script) == [
        (";", dockercli.Tag("b", "c")),
        (";", Strict(on=False)),
        (";", Exit(1)),
        (";", Exit(2, ends=True)),
        (";", Exit(0)),
        ("||", Echo("no")),
    ]
    assert [part.joiner for part in script.parts] == [";", "&&", "||"]
    inner = script.parts[0].action
    assert isinstance(inner, Script)
    assert inner.directory == "/workspace/x"
    shell = inner.parts[0].action
    assert isinstance(shell, Script)
    assert shell.strict


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("docker pull a", dockercli.Pull("a")),
        ("docker pull --platform=arm64 a:1", dockercli.Pull("a:1", "linux/arm64")),
        ("docker image pull -q a@sha256:0", dockercli.Pull("a@sha256:0")),
        ("docker tag a b:2", dockercli.Tag("a", "b:2")),
        ("docker push --all-tags=false a", dockercli.Push("a")),
        ("docker push -aq a", dockercli.Push("a", all_tags=True)),
        ("docker login -ume --password=x a.io", dockercli.Login("a.io", "me", "x")),
        ("docker login --password-stdin", dockercli.Login("docker.io")),
        ("docker logout a.io", dockercli.Logout("a.io")),
        ("docker rmi -f a b", dockercli.Remove(("a", "b"))),
        ("docker images", dockercli.List()),
        ("docker rmi -f=true -- -x", dockercli.Remove(("-x",))),
        ("docker --version", dockercli.Accept("Docker version 28.5.2")),
        ("docker", dockercli.Accept("Docker version 28.5.2")),
        ("docker buildx use b", dockercli.Accept()),
        ("docker buildx ls", dockercli.Accept("default")),
        ("docker compose version", dockercli.Accept()),
        ("--entrypoint docker docker.io/library/docker:27 pull a", dockercli.Pull("a")),
        ("--entrypoint /bin/sh docker -c 'docker pull a'", dockercli.Pull("a")),
        ("docker -l debug --host unix:///x -D --config=/c pull a", dockercli.Pull("a")),
        ("docker docker pull a", dockercli.Pull("a")),
        ("buildx build .", DockerBuild(".")),
        ("docker builder build .", DockerBuild(".")),
        ("docker echo a", Echo("a")),
        ("mcr.microsoft.com/azure-cli", Exit(0)),
        (
            "mcr.microsoft.com/azure-cli az login -i --client-id x",
            azcli.Login("x"),
        ),
        (
            "mcr.microsoft.com/acr/azure-cli:x login --identity --allow-no-subscriptions -o none",
            azcli.Login(alone=True),
        ),
        (
            "mcr.microsoft.com/acr/azure-cli:x account set -s sub",
            azcli.Account("sub"),
        ),
        ("mcr.microsoft.com/acr/azure-cli:x account show", azcli.Account()),
        (
            (
                "mcr.microsoft.com/azure-cli:2.60 bash -c 'az acr import -n r --source a.io/b:1 -t"
                " c:1 --image=d --repository e --force --no-wait --registry id -u me -p pw"
                " --subscription s'"
            ),
            azcli.Import("r", "a.io/b:1", "id", ("c:1", "d"), ("e",), True, "me", "pw", "s"),  # noqa: FBT003 - as it is
        ),
        (
            "mcr.microsoft.com/acr/azure-cli:x acr login --name r",
            azcli.AcrLogin("r"),
        ),
        (
            (
                "mcr.microsoft.com/acr/acr-cli:0.19 purge --filter 'a/.*:^v(?:1|2)[:x]$'"
                " --filter b:. --ago 2d3h --keep 4 --untagged --dry-run -r x"
            ),
            Purge(
                (("a/.*", "^v(?:1|2)[:x]$"), ("b", ".")),
                timedelta(days=2, hours=3),
                4,
                untagged=True,
                dry=True,
                registry="x",
            ),
        ),
    ],
)
def test_commands_are_read(command: str, expected: Action) -> None:
    """Flags in every form, global ones before the command, and images of the programs' own."""
    assert only(command) == expected


def test_the_arguments_of_a_build() -> None:
    """Names, file, arguments with and without value, target, platforms, labels, outputs."""
    found = docker_build(
        "docker buildx build -t a:1 --tag=b:2 -fx/Dockerfile --build-arg A=1=2 --build-arg=B="
        " --build-arg C --build-arg D --target t --platform linux/amd64,arm64,linux/arm/v7"
        " --platform linux/amd64 --label l=m --no-cache --pull -q --push"
        " --build-context Q=docker-image://x sub",
        "--env C=given",
    )
    assert found == DockerBuild(
        "sub",
        ("a:1", "b:2"),
        "x/Dockerfile",
        arguments={"A": "1=2", "B": "", "C": "given"},
        target="t",
        platforms=("linux/amd64", "linux/arm64", "linux/arm/v7"),
        labels={"l": "m"},
        contexts={"q": "docker-image://x"},
        push=True,
    )


@pytest.mark.parametrize(
    ("command", "kit"),
    [
        ("docker build .", True),
        ("docker:28 build .", True),
        ("docker:23.0.1-cli build .", True),
        ("docker:20.10 build .", False),
        ("docker:dind build .", True),
        ("-e DOCKER_BUILDKIT=0 docker build .", False),
        ("-e DOCKER_BUILDKIT=1 docker:19 build .", True),
        ("-e DOCKER_BUILDKIT=0 docker buildx build .", True),
        ("docker sh -c 'DOCKER_BUILDKIT=0 docker build .'", False),
    ],
)
def test_which_builder_a_command_gets(command: str, *, kit: bool) -> None:
    """Docker 23 and later take BuildKit unless they are told not to; buildx always does."""
    assert docker_build(command).kit == kit


@pytest.mark.parametrize(
    ("flags", "push", "kept"),
    [
        ("", False, True),
        ("--push", True, True),
        ("--load", False, True),
        ("--push=false", False, True),
        ("-o type=registry", True, True),
        ("--output type=image,push=true", True, True),
        ("--output=type=image,name=x,push=false", False, True),
        ("-o type=docker", False, True),
        ("-o type=cacheonly", False, False),
        ("-o type=cacheonly --load", False, True),
    ],
)
def test_where_the_result_of_a_build_goes(flags: str, *, push: bool, kept: bool) -> None:
    """To docker's images, to a registry, or nowhere."""
    found = docker_build(f"docker buildx build -t a {flags} .")
    assert (found.push, found.kept) == (push, kept)


NOT_DONE = [
    ("docker inspect x", "does not do `docker inspect x`"),
    ("docker buildx imagetools create x", "does not do `docker buildx imagetools`"),
    ("docker compose up", "does not do `docker compose up`"),
    ("docker compose", "does not do `docker compose`"),
    ("docker build --secret id=x .", "does not do `docker build --secret`"),
    ("docker build -zt .", "does not do `docker build -z`"),
    ("docker build - ", "does not do `docker build -`"),
    ("docker build a b", "'docker build' requires 1 argument"),
    ("docker build .  -t", "flag needs an argument: 't' in -t"),
    ("docker build . --file", "flag needs an argument: --file"),
    ("docker build -o out .", "does not do `docker build --output out`"),
    (
        "docker build -o type=local,dest=x .",
        "does not do `docker build --output type=local,dest=x`",
    ),
    ("docker build --build-context a=../b .", "does not do `--build-context a=../b`"),
    ("docker build --push .", "tag is needed when pushing to registry"),
    ("docker build --push=maybe -t a .", 'strconv.ParseBool: parsing "maybe"'),
    ("docker build --platform linux/a/b/c .", "unknown operating system or architecture"),
    ("docker build -t UPPER .", "repository name (UPPER) must be lowercase"),
    ("-e DOCKER_BUILDKIT=0 docker build --load .", "unknown flag: --load"),
    ("-e DOCKER_BUILDKIT=x docker build .", "DOCKER_BUILDKIT environment variable expects"),
    ("docker pull a:b:c", "invalid reference format"),
    ("docker pull a b", "'docker pull' requires 1 argument"),
    ("docker tag a", "'docker tag' requires 2 arguments"),
    ("docker push -a x:1", "tag can't be used with --all-tags/-a"),
    ("docker sh script.sh", "does not do `sh script.sh`"),
    ("docker ash -c", "-c requires an argument"),
    ("docker version && kubectl apply", "does not do `kubectl` beside docker"),
    ("docker run --privileged x", "does not do `docker run --privileged`"),
    ("docker run", "'docker run' requires at least 1 argument"),
    ("docker sh -c ls", "does not do `ls` beside docker"),
    ("--privileged x", "does not do `docker run --privileged`"),
    ("UPPER x", "must be lowercase"),
    ("mcr.microsoft.com/azure-cli az acr build .", "does not do `az acr build`"),
    ("mcr.microsoft.com/azure-cli az login -u me", "does `az login` only with --identity"),
    ("mcr.microsoft.com/azure-cli az acr login x", "unrecognized arguments: x"),
    ("mcr.microsoft.com/azure-cli az acr import", "arguments are required: --name"),
    ("mcr.microsoft.com/azure-cli az acr import -n a", "arguments are required: --source"),
    ("mcr.microsoft.com/azure-cli az acr import -n a --source b -u c", "Please provide password"),
    ("mcr.microsoft.com/azure-cli az account set", "arguments are required: --subscription"),
    ("mcr.microsoft.com/azure-cli docker pull x", "does not do `docker` beside az"),
    ("mcr.microsoft.com/acr/acr-cli tag list", "does not do `acr tag`"),
    ("mcr.microsoft.com/acr/acr-cli", "does not do `acr`"),
    ("mcr.microsoft.com/acr/acr-cli purge --filter a:b", 'required flag(s) "ago" not set'),
    ("mcr.microsoft.com/acr/acr-cli purge --ago 1d --filter a", "unable to correctly parse"),
    ("mcr.microsoft.com/acr/acr-cli purge --ago 1d --filter :a", "missing repository name"),
    ("mcr.microsoft.com/acr/acr-cli purge --ago 1d --filter a:", "missing tag name"),
    ("mcr.microsoft.com/acr/acr-cli purge --ago 1d --filter 'a:('", "error parsing regexp"),
    ("mcr.microsoft.com/acr/acr-cli purge --ago x --filter a:b", 'invalid duration "x"'),
    ("mcr.microsoft.com/acr/acr-cli purge --ago 1d --keep x --filter a:b", "invalid argument"),
]


@pytest.mark.parametrize(("command", "said"), NOT_DONE)
def test_what_is_wrong_or_not_done_is_refused(command: str, said: str) -> None:
    """In the program's words, or by its name."""
    with pytest.raises(BuildError) as raised:
        only(command)
    assert said in str(raised.value)


def test_a_deep_nest_of_shells_is_refused() -> None:
    """However many there are."""
    nested = "docker " + "docker run docker " * 12 + "pull a"
    with pytest.raises(BuildError, match="so many shells"):
        only(nested)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0d", timedelta()),
        ("1d", timedelta(days=1)),
        ("3h30m", timedelta(hours=3, minutes=30)),
        ("1d1.5h10s", timedelta(days=1, hours=1.5, seconds=10)),
        ("0", timedelta()),
        ("5ms", timedelta(milliseconds=5)),
    ],
)
def test_time_spans_of_purges(text: str, expected: timedelta) -> None:
    """Days, and what Go calls a duration."""
    assert duration(text) == expected
    assert acrcli.parse(["purge", "--ago", text, "--filter", "a:b"]).ago == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux", "linux/amd64"),
        ("arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("LINUX/x86_64", "linux/amd64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm/6", "linux/arm/v6"),
        ("windows/amd64", "windows/amd64"),
        ("local", "linux/amd64"),
    ],
)
def test_platforms_are_written_in_one_way(text: str, expected: str) -> None:
    """As containerd writes them."""
    assert platforms.parse(text) == expected


@pytest.mark.parametrize("text", ["foo", "linux/foo", "linux/arm/x", "a/b/c/d", ""])
def test_what_is_no_platform_is_refused(text: str) -> None:
    """In docker's words."""
    with pytest.raises(BuildError, match="unknown operating system or architecture"):
        platforms.parse(text)


def test_older_variants_of_arm_serve_newer_ones() -> None:
    """Not the other way round; other architectures have none."""
    assert platforms.acceptable("linux/arm/v7") == ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]
    assert platforms.acceptable("linux/amd64/v3") == ["linux/amd64/v3", "linux/amd64"]
    assert platforms.of({"architecture": "arm", "variant": "v6"}) == "linux/arm/v6"
    assert platforms.wire("linux/arm/v6") == {
        "architecture": "arm",
        "os": "linux",
        "variant": "v6",
    }
