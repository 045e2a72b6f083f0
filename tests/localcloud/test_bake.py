"""The files of `docker buildx bake` and of `docker compose`, read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localcloud.builds import bake, compose, dockercli, hcl
from localcloud.builds.bake import Target
from localcloud.builds.dockercli import Bake, Compose, DockerBuild
from localcloud.builds.job import BuildError


def baked(folder: Path, command: str = "", **variables: str) -> dict[str, DockerBuild]:
    """Return the builds of a bake command by their targets, in their order."""
    asked = dockercli.parse(["buildx", "bake", *command.split()], variables)
    assert isinstance(asked, Bake)
    return {target.name: target.build for target in bake.read(asked, folder.joinpath)}


def composed(folder: Path, command: str = "build", **variables: str) -> list[Target]:
    """Return the builds of a compose command."""
    asked = dockercli.parse(["compose", *command.split()], variables)
    assert isinstance(asked, Compose)
    return compose.read(asked, folder.joinpath, "project")


def write(folder: Path, **files: str) -> None:
    """Write files; a `__` in a name is a dot."""
    for name, text in files.items():
        (folder / name.replace("__", ".").replace("_", "-")).write_text(text)


HCL = """\
variable "TAG" { default = "latest" }
variable "REG" {}
variable "NUMBER" { default = 3 }
variable "ON" { default = false }
variable "BOTH" { default = "${REG}/${TAG}" }
group "default" { targets = ["app", "more"] }
group "more" { targets = ["more", "app"] }
target "base" {
  args = { A = "base", B = TAG, N = NUMBER, NULL = null, T = true }
  labels = { "a.b" = "$${c} %%{d} \\"q\\"" }
  platforms = ["linux/amd64"]
}
target "app" {
  inherits = ["base"]
  context = "app"
  dockerfile = "App"
  args = { A = ON ? "on" : "off" }
  tags = [
    "${BOTH}:1", equal(TAG, "latest") ? "${REG}/new" : "",
    upper("x") == "X" ? "${REG}/x" : "",
  ]
}
target "more" {
  inherits = ["base"]
  dockerfile-inline = <<EOT
FROM x
RUN y
EOT
  args = target.base.args
  target = lower("STAGE")
  cache-from = ["type=registry,ref=x"]
}
"""


def test_hcl_files(tmp_path: Path) -> None:
    """Variables with defaults and from the environment, inheritance, expressions, heredocs."""
    write(tmp_path, docker_bake__hcl=HCL)
    builds = baked(tmp_path, REG="reg.io", ON="true")
    assert list(builds) == ["app", "more"]
    assert builds["app"] == DockerBuild(
        "app",
        ("reg.io/latest:1", "reg.io/new", "reg.io/x"),
        "app/App",
        arguments={"A": "on", "B": "latest", "N": "3", "T": "true"},
        platforms=("linux/amd64",),
        labels={"a.b": '${c} %{d} "q"'},
    )
    assert builds["more"].inline == "FROM x\nRUN y\n"
    assert builds["more"].arguments["A"] == "base"
    assert builds["more"].target == "stage"
    changed = baked(tmp_path, "app --var TAG=t", REG="r.io", NUMBER="7")["app"]
    assert (changed.arguments["N"], changed.tags) == ("7", ("r.io/t:1", "r.io/x"))


def test_overrides(tmp_path: Path) -> None:
    """By target or by pattern; `+=` adds; push and load as flags."""
    write(tmp_path, docker_bake__hcl=HCL)
    builds = baked(
        tmp_path,
        "--push --set *.args.A=set --set app.tags=a:1 --set app.tags=a:2 --set more.tags+=b:1"
        " --set app.platform=linux/arm64,linux/amd64 --set more.context=c --set more.dockerfile=D"
        " --set app.target=t --set app.labels.x=y --set app.contexts.z=docker-image://w"
        " --set *.no-cache=true",
        REG="r.io",
    )
    app, more = builds["app"], builds["more"]
    assert (app.tags, app.push, app.platforms) == (
        ("a:1", "a:2"),
        True,
        ("linux/arm64", "linux/amd64"),
    )
    assert (app.target, app.labels["x"], app.contexts) == ("t", "y", {"z": "docker-image://w"})
    assert (more.tags, more.file, more.arguments["A"]) == (("b:1",), "c/D", "set")
    assert not baked(tmp_path, "--set app.output=type=cacheonly app", REG="r")["app"].kept
    loaded = baked(tmp_path, "--load --set app.output=type=cacheonly app", REG="r")["app"]
    assert (loaded.kept, loaded.push) == (True, False)
    pushed = "--set app.output=type=registry --set app.push=false app"
    assert not baked(tmp_path, pushed, REG="r")["app"].push


def test_targets_that_stand_on_others(tmp_path: Path) -> None:
    """They come first, and are kept only where they are asked for, too."""
    text = """\
target "default" {
  contexts = { one = "target:one", two = "target:two" }
  tags = ["d"]
}
target "one" { tags = ["o"] }
target "two" {
  contexts = { one = "target:one" }
  tags = ["t"]
}
"""
    write(tmp_path, docker_bake__hcl=text)
    builds = baked(tmp_path)
    assert [(name, build.kept, build.tags) for name, build in builds.items()] == [
        ("one", False, ()),
        ("two", False, ()),
        ("default", True, ("d",)),
    ]
    builds = baked(tmp_path, "default t*")
    assert [(name, build.kept) for name, build in builds.items()] == [
        ("one", False),
        ("two", True),
        ("default", True),
    ]


def test_files_are_joined(tmp_path: Path) -> None:
    """Compose files first, then JSON, HCL and what overrides them; or those that are named."""
    write(
        tmp_path,
        compose__yaml="services: {web: {image: 'i:${T:-1}', build: {context: w, args: {A: 1}}}}\n",
        docker_bake__json=json.dumps(
            {
                "variable": {"V": {"default": "json"}},
                "target": {"web": {"args": {"B": "${V}"}}, "own": {"tags": ["own:${V}"]}},
            }
        ),
        docker_bake__hcl='target "web" { args = { C = V } }\n',
        docker_bake__override__hcl='variable "V" { default = "over" }\n',
    )
    builds = baked(tmp_path, "web own")
    assert builds["web"].arguments == {"A": "1", "B": "over", "C": "over"}
    assert (builds["web"].tags, builds["own"].tags) == (("i:1",), ("own:over",))
    assert list(baked(tmp_path, "-f compose.yaml", T="2")) == ["web"]
    with pytest.raises(BuildError, match="open none: no such file"):
        baked(tmp_path, "-f none web")
    assert baked(tmp_path, "-f cwd://docker-bake.json own")["own"].tags == ("own:json",)


def test_outputs_may_be_objects(tmp_path: Path) -> None:
    """As well as texts; what is null is as good as not said, and services may not be built."""
    text = """\
target "default" {
  output = [{ type = "image", push = true }]
  target = null
  tags = ["x:${BAKE_LOCAL_PLATFORM == "linux/amd64" ? "here" : "there"}"]
}
"""
    write(tmp_path, docker_bake__hcl=text)
    build = baked(tmp_path)["default"]
    assert (build.push, build.target, build.tags) == (True, "", ("x:here",))
    write(tmp_path, compose__yaml="services: {a: {build: .}, b: {image: x}}\n")
    assert list(baked(tmp_path, "-f compose.yaml")) == ["a"]


def test_attributes_of_a_file_are_variables(tmp_path: Path) -> None:
    """So are blocks of that name."""
    write(tmp_path, docker_bake__hcl='tag = "1"\ntarget "default" { tags = ["x:${tag}"] }\n')
    assert baked(tmp_path)["default"].tags == ("x:1",)


@pytest.mark.parametrize(
    ("text", "command", "said"),
    [
        ("target {", "", "docker-bake.hcl: "),
        ('target "a" {}', "", "failed to find target default"),
        ('target "a" {}', "b*", 'could not find any target matching "b*"'),
        ('target "a" {}', "a --set b.tags=x", "could not find any target matching 'b'"),
        ('target "a" {}', "a --set a=x", "expected target.name=value"),
        ('target "a" {}', "a --set a.colour=x", "unknown key: colour"),
        ('target "a" {}', "-f none.hcl", "open none.hcl: no such file"),
        ('target "a" { inherits = ["b"] }', "a", "failed to find target b"),
        ('target "a" { contexts = { b = "target:a" } }', "a", "infinite loop from a to a"),
        ('target "a" { contexts = { b = "../c" } }', "a", "does not do the context b=../c"),
        ('target "a" { secret = ["x"] }', "a", "target a: the local cloud does not do secret"),
        ('target "a" { matrix = { x = ["1"] } }', "a", "does not do matrix"),
        ('target "a" { tags = "x" }', "a", "target a: the local cloud does not do tags"),
        ('target "a" { output = ["out"] }', "a", "does not do `docker build --output out`"),
        ('target "a" { tags = ["UPPER"] }', "a", "must be lowercase"),
        ('target "a" { platforms = ["x"] }', "a", "unknown operating system"),
        ('target "a" { tags = [NONE] }', "a", "There is no variable named 'NONE'."),
        ('target "a" { tags = ["${timestamp()}"] }', "a", "does not evaluate timestamp()"),
        ('target "a" { tags = ["%{ if true }x%{ endif }"] }', "a", "does not evaluate %{"),
        ('variable "X" {}\ntarget "a" { tags = ["x:${X}"] }', "a", "Cannot include a null value"),
        ('variable "X" { default = X }\ntarget "a" { tags = [X] }', "a", "variable cycle"),
        ('variable "X" { default = 1 }\ntarget "a" { tags = ["${X}"] }', "a", "as number: no"),
        ('provider "x" {}\ntarget "a" {}', "a", "does not do provider in a bake file"),
        ('locals { a = 1 }\ntarget "a" {}', "a", "does not do the block locals"),
        (
            'target "a" { tags = [target.b.tags] }',
            "a",
            "There is no variable named 'target.b.tags'",
        ),
    ],
)
def test_wrong_bake_files_are_refused(tmp_path: Path, text: str, command: str, said: str) -> None:
    """In buildx's words, or by the name of what is not done here."""
    write(tmp_path, docker_bake__hcl=text)
    with pytest.raises(BuildError) as raised:
        baked(tmp_path, command, X="no") if "default = 1" in text else baked(tmp_path, command)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"), [("{", "docker-bake.json: "), ("[]", "it is not a JSON object")]
)
def test_wrong_json_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """With their names."""
    write(tmp_path, docker_bake__json=text)
    with pytest.raises(BuildError, match=said):
        baked(tmp_path)


def test_without_a_file_there_is_nothing_to_bake(tmp_path: Path) -> None:
    """As buildx says it."""
    with pytest.raises(BuildError, match="couldn't find a bake definition"):
        baked(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a" == "a" && !false || false', True),
        ("(1 != 2) ? [1, true] : []", [1, True]),
        ('concat(["a"], split(",", "b,c"))', ["a", "b", "c"]),
        ('join("-", ["a", "b"])', "a-b"),
        ('replace("a.b", ".", "_")', "a_b"),
        ('coalesce("", null, "c")', "c"),
        ('trimspace(" a ")', "a"),
        ('trimprefix(trimsuffix("xay", "y"), "x")', "a"),
        ("and(true, not(or(false, false)))", True),
        ('notequal(V, "w")', True),
        ('"${V}-${upper(V)}"', "v-V"),
        ('"a${upper("}")}b"', "a}b"),
        ("null", None),
        ("-1.5", -1.5),
    ],
)
def test_expressions(text: str, expected: object) -> None:
    """Comparisons, conditions, lists and functions."""
    assert hcl.evaluate(f"${{{text}}}", {"V": "v"}.__getitem__) == expected


@pytest.mark.parametrize(
    "text", ["1 +", "(1", "[1", "f(1)", ")", "1 ? 2", "@", "!", "a b", "(" * 99]
)
def test_other_expressions_are_refused(text: str) -> None:
    """With what they are."""
    with pytest.raises(BuildError, match="the local cloud does not evaluate"):
        hcl.evaluate(f"${{{text}}}", {"a": "1"}.__getitem__)


def test_a_template_needs_its_end() -> None:
    """As HCL says it."""
    with pytest.raises(BuildError, match="unclosed template interpolation"):
        hcl.template("${a", {"a": "1"}.__getitem__)


COMPOSE = """\
services:
  web:
    image: ${REG:?which registry}/web:${TAG-none}
    platform: linux/arm64
    build:
      context: web
      dockerfile: Web
      target: last
      args: {A: "$$x", B:, C: true}
      labels: [l=1]
      tags: ["${REG}/web:more"]
      additional_contexts: {job: "service:job"}
      cache_from: [x]
  job:
    build: job
  db:
    image: postgres
"""


def test_compose_files(tmp_path: Path) -> None:
    """Services with a build, each after what it stands on; variables, also of `.env`."""
    write(tmp_path, docker_compose__yml=COMPOSE, __env="# none\nexport TAG='1'\nB=env # x\nREG=e\n")
    (tmp_path / ".env").write_text("# none\nexport TAG='1'\nB=env # x\nREG=env.io\n")
    job, web = composed(tmp_path, "build --push --build-arg D=4", REG="r.io")
    assert web.build == DockerBuild(
        "web",
        ("r.io/web:1", "r.io/web:more"),
        "web/Web",
        arguments={"A": "$x", "B": "env", "C": "true", "D": "4"},
        target="last",
        platforms=("linux/arm64",),
        labels={"l": "1"},
        contexts={"job": "target:job"},
        push=True,
    )
    assert job.build == DockerBuild("job", ("project-job",), "job/Dockerfile", arguments={"D": "4"})
    assert [target.name for target in composed(tmp_path, "build job db")] == ["job"]
    assert composed(tmp_path, "-p own build job")[0].build.tags == ("own-job",)
    assert [target.build.push for target in composed(tmp_path, "push web")] == [False, True]


def test_services_of_profiles(tmp_path: Path) -> None:
    """They are left out unless one of their profiles, or they themselves, are asked for."""
    text = (
        "services: {a: {build: a}, b: {build: b, profiles: [x, y]}, c: {build: c, profiles: [z]}}"
    )
    write(tmp_path, compose__yaml=text)
    for command, there in (
        ("build", ["a"]),
        ("--profile y build", ["a", "b"]),
        ("--profile * build", ["a", "b", "c"]),
        ("build c", ["c"]),
    ):
        assert [target.name for target in composed(tmp_path, command)] == there
    asked = composed(tmp_path, COMPOSE_PROFILES="z,y")
    assert [target.name for target in asked] == ["a", "b", "c"]


def test_compose_files_are_laid_over_one_another(tmp_path: Path) -> None:
    """The usual override beside the usual file, or those that are named."""
    base = "services: {web: {image: 'web:1', build: {context: a, args: [A=1]}}}\n"
    over = "services: {web: {image: 'web:2', build: {dockerfile_inline: FROM x}}}\n"
    write(tmp_path, compose__yaml=base, compose__override__yml=over)
    (web,) = composed(tmp_path)
    assert (web.build.tags, web.build.context, web.build.inline) == (("web:2",), "a", "FROM x")
    (web,) = composed(tmp_path, "-f compose.yaml build")
    assert web.build.tags == ("web:1",)
    assert compose.directory(Compose(("sub/c.yml",), (), True, False, "", "", {}, {})) == "sub"  # noqa: FBT003 - as it is


@pytest.mark.parametrize(
    ("text", "command", "said"),
    [
        (None, "build", "no configuration file provided: not found"),
        ("services: [", "build", "failed to parse compose.yaml"),
        ("a: b", "build", "compose.yaml: empty compose file"),
        ("- a", "build", "compose.yaml: empty compose file"),
        ("services: {a: b}", "build", "services.a must be a mapping"),
        ("services: {a: {build: [b]}}", "build", "services.a.build must be a string or a mapping"),
        ("services: {a: {build: {secrets: [x]}}}", "build", "does not do secrets"),
        (
            "services: {a: {build: ., image: '${X:?gone}'}}",
            "build",
            "variable X is missing a value",
        ),
        ("services: {a: {build: .}}", "build b", "no such service: b"),
        ("services: {a: {build: .}}", "-f none.yml build", "open none.yml: no such file"),
        (
            "services: {a: {build: {additional_contexts: [b=service:a]}}}",
            "build",
            "service a: it is not there, or stands on itself",
        ),
    ],
)
def test_wrong_compose_files_are_refused(
    tmp_path: Path, text: str | None, command: str, said: str
) -> None:
    """In compose's words, or by the name of what is not done here."""
    if text is not None:
        write(tmp_path, compose__yaml=text)
    with pytest.raises(BuildError) as raised:
        composed(tmp_path, command)
    assert said in str(raised.value)


def test_more_variables_of_compose_files(tmp_path: Path) -> None:
    """In all their forms; services without anything are passed over."""
    text = "services: {a: {build: '${A:+set}${B+set}${C:-${A}}$A', image: x}, b: }\n"
    write(tmp_path, compose__yaml=text)
    (service,) = composed(tmp_path, A="1", B="")
    assert service.build.context == "setset11"
