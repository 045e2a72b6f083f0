"""Builds that a bake file or a compose file describes."""

from __future__ import annotations

import json

import pytest

from rebuilder.core.dependencies.effects import Effects
from tests.unit.taskfile.reading import NODE, images, steps, told

OTHER = "mybase.azurecr.io/other:1"
FILES = {"Dockerfile": f"FROM {NODE}", "api/D": f"FROM {OTHER}"}

HCL = """
variable "TAG" { default = "1" }
variable "REG" { default = "myapps.azurecr.io" }
variable "NAMED" { default = "${TAG}-x" }
variable "NONE" {}
function "f" {
  params = [x]
  result = x
}
group "default" { targets = ["web", "inner"] }
group "inner" { targets = ["api", "default"] }
target "base" {
  args = { BASE = "mybase.azurecr.io/node:18", N = 3, B = true }
  platforms = ["linux/amd64"]
}
target "web" {
  inherits = ["base", "web"]
  context = "."
  args = { MORE = "x", FROM_ENV = null }
  tags = ["${REG}/web:${TAG}", "", "${REG}/web:${NAMED}", "${REG}/web$${x}${NONE}"]
}
target "api" {
  context = "api"
  dockerfile = "D"
  tags = [REG]
  output = ["type=registry"]
}
target "inline" {
  dockerfile-inline = <<EOT
FROM mybase.azurecr.io/inline:${TAG}
RUN x
EOT
  tags = ["${REG}/inline:1"]
}
target "odd" {
  tags = ["${upper(TAG)}", notequal("", TAG) ? "a" : "b"]
  args = merge({}, {})
}
target "far" { context = "https://github.com/a/b.git" }
target "matrix" {
  name = "m-${v}"
  matrix = { v = ["a"] }
}
target "contexts" { contexts = { x = "oci-layout://y" } }
"""


def bake(command: str, hcl: str = HCL, name: str = "docker-bake.hcl", **more: str) -> Effects:
    """Bake with a file."""
    return steps(f"- cmd: docker buildx bake {command}", {**FILES, name: hcl, **more})


def test_targets_groups_and_variables() -> None:
    """What the default group names is built, with what it inherits; an output pushes by itself."""
    found = bake("")

    assert images(found) == [f"{NODE} build-time", f"{OTHER} runtime"]
    web, api = found.builds
    assert web.tags == (
        "myapps.azurecr.io/web:1",
        "myapps.azurecr.io/web:1-x",
        "myapps.azurecr.io/web${x}",
    )
    assert web.arguments == {
        "BASE": "mybase.azurecr.io/node:18",
        "N": "3",
        "B": "true",
        "MORE": "x",
    }
    assert (api.dockerfile, api.pushed) == ("api/D", True)
    assert found.unknown == ()


@pytest.mark.parametrize(
    ("command", "reads", "pushes"),
    [
        ("--push web", [f"{NODE} runtime"], "web:1"),
        ("--push=false web", [f"{NODE} build-time"], ""),
        ("--push --set web.tags=myapps.azurecr.io/z:1 web", [f"{NODE} runtime"], "z:1"),
        ("--push --set '*.context=api' --set *.dockerfile=D web", [f"{OTHER} runtime"], "web:1"),
        (
            "--push --set web.args.BASE=x --set web.platform=linux/arm64 web",
            [f"{NODE} runtime"],
            "web:1",
        ),
        ("--push inline", ["mybase.azurecr.io/inline:1 runtime"], "inline:1"),
        ("-f docker-bake.hcl --push api api", [f"{OTHER} runtime"], ""),
        ("--print", [], ""),
        ("--check", [], ""),
        ("--list targets", [], ""),
    ],
)
def test_the_command_line_wins(command: str, reads: list[str], pushes: str) -> None:
    """Which targets, what is set, whether it is pushed."""
    found = bake(command)

    assert images(found) == reads
    assert (f"myapps.azurecr.io/{pushes}" in found.pushes) is bool(pushes)
    assert found.unknown == ()


def test_variables_of_the_environment_win() -> None:
    """A variable that the file declares is that of the step, if it has one."""
    text = "- cmd: docker buildx bake --push web\n  env: [TAG=2, FROM_ENV=e, OTHER=x]"
    found = steps(text, {**FILES, "docker-bake.hcl": HCL})

    assert found.pushes[0] == "myapps.azurecr.io/web:2"
    assert found.builds[0].arguments["FROM_ENV"] == "e"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("none", "failed to find target none"),
        ("far", "there is no file Dockerfile"),
        ("matrix", "its matrix is not followed"),
        ("contexts", "the context x=oci-layout://y takes the place of images"),
        ("odd", "its args are not worked out"),
        ("--push odd", "what ${upper(TAG)}"),
        ("--set web web", "expected target.name=value"),
        ("--new x", "where its files are is not known"),
        ("https://github.com/a/b.git", "where its files are is not known"),
        ("-f none.hcl", "there is no file none.hcl"),
        ("-f ../x.hcl", "outside of the context"),
    ],
)
def test_what_is_not_worked_out(command: str, reason: str) -> None:
    """It is told, and what else there is is read."""
    files = {k: v for k, v in FILES.items() if command != "far" or k != "Dockerfile"}
    found = steps(
        f"- cmd: docker buildx bake {command}",
        {**files, "docker-bake.hcl": HCL} if command != "far" else {"docker-bake.hcl": HCL},
    )

    assert reason in told(found)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("target {", "is not HCL"),
        ("target x {}\n" * 10_000, "longer than"),
        ("a = " + "(" * 2000 + "1" + ")" * 2000, "is not HCL"),
        ("\x00", "is not HCL"),
        ("x = 1\n", "none of compose.yaml"),
        ('target = "x"\n', "none of compose.yaml"),
    ],
)
def test_files_that_are_no_hcl(content: str, reason: str) -> None:
    """Any file ends in a reason."""
    assert reason in told(bake("", content))


def test_variables_that_go_round() -> None:
    """A variable of a variable of itself ends."""
    hcl = (
        'variable "A" { default = "${B}" }\nvariable "B" { default = A }\n'
        'target "default" { tags = ["x:${A}"] }\n'
    )

    assert "is not worked out" in told(bake("--push", hcl))


def test_json_files_and_overrides() -> None:
    """Files are joined in docker's order; blocks of one label may stand in a list."""
    given = {
        "variable": {"T": {"default": "1"}},
        "group": {"default": {"targets": ["a"]}},
        "target": {"a": [{"tags": ["myapps.azurecr.io/a:${T}"]}, {"dockerfile": "api/D"}], "b": 1},
    }
    over = {"target": {"a": {"tags": ["myapps.azurecr.io/b:1"]}}, "x": 1}
    found = bake(
        "--push",
        json.dumps(given),
        "docker-bake.json",
        **{"docker-bake.override.json": json.dumps(over)},
    )

    assert images(found) == [f"{OTHER} runtime"]
    assert found.pushes == ("myapps.azurecr.io/b:1",)
    for content in ("{", "[1]", "[" * 100_000):
        assert "docker-bake.json" in told(bake("", content, "docker-bake.json"))


def test_no_file_at_all() -> None:
    """What is not in the context is told, with what was looked for."""
    found = steps("- cmd: docker buildx bake --push\n- cmd: docker bake\n")

    assert told(found).count("none of compose.yaml, compose.yml") == 2
    assert all(missed.makes for missed in found.unknown)


def test_many_targets_are_bounded() -> None:
    """A file of a thousand targets is no work."""
    names = [f"t{n}" for n in range(1000)]
    hcl = f'group "default" {{ targets = {json.dumps(names)} }}\n' + "".join(
        f'target "{name}" {{}}\n' for name in names
    )

    assert "there are more than 200 targets" in told(bake("", hcl))


# Compose.

COMPOSE = """
x-a: &a {args: [V=1, W, "X=$${NO}"]}
services:
  web:
    image: myapps.azurecr.io/web:${TAG:-1}
    platform: linux/amd64
    build:
      <<: *a
      context: .
      tags: ["myapps.azurecr.io/web:extra"]
  api:
    image: myapps.azurecr.io/api
    build: {context: api, dockerfile: D, target: "", args: {A: b, C: ~}, platforms: [linux/arm64]}
  plain: {build: .}
  inline:
    build: {dockerfile_inline: "FROM mybase.azurecr.io/inline:1"}
  db:
    image: postgres:16
"""


def compose(command: str, content: str = COMPOSE, env: str = "") -> Effects:
    """Compose with a file."""
    text = f"- cmd: {command}\n" + (f"  env: [{env}]\n" if env else "")
    return steps(text, {**FILES, "compose.yaml": content})


@pytest.mark.parametrize(
    ("command", "reads", "pushes"),
    [
        (
            "docker compose build",
            ["mybase.azurecr.io/inline:1 build-time", f"{NODE} build-time", f"{OTHER} build-time"],
            [],
        ),
        ("docker compose build api", [f"{OTHER} build-time"], []),
        ("docker docker-compose build --push web", [f"{NODE} runtime"], ["web:1", "web:extra"]),
        ("docker compose -f compose.yaml build --push api", [f"{OTHER} runtime"], ["api:latest"]),
        ("docker compose pull", ["docker.io/library/postgres:16 build-time"], []),
        ("docker compose up -d db", ["docker.io/library/postgres:16 tool"], []),
        ("docker compose up web", [f"{NODE} build-time"], []),
        ("docker compose config", [], []),
        ("docker compose", [], []),
        ("docker compose -p x down", [], []),
    ],
)
def test_services(command: str, reads: list[str], pushes: list[str]) -> None:
    """What is built, pulled and run of the services that are asked for."""
    found = compose(command)

    assert images(found) == reads
    assert list(found.pushes) == [f"myapps.azurecr.io/{name}" for name in pushes]
    assert [m for m in found.unknown if not m.tool] == []


def test_build_and_push_by_name() -> None:
    """A push is of what has a build; the name ties it to it."""
    found = steps(
        "- cmd: docker compose build --build-arg Z=1 web\n- cmd: docker compose push web db\n",
        {**FILES, "compose.yaml": COMPOSE},
    )

    assert images(found) == [f"{NODE} runtime"]
    assert found.pushes == ("myapps.azurecr.io/web:1",)
    assert found.builds[0].arguments == {"V": "1", "X": "${NO}", "Z": "1"}


@pytest.mark.parametrize(
    ("text", "env", "tag"),
    [
        ("${TAG:-1}", "", "1"),
        ("${TAG:-1}", "TAG=2", "2"),
        ("${TAG:-1}", "TAG=", "1"),
        ("${TAG-1}", "", "1"),
        ("${TAG:+3}", "TAG=2", "3"),
        ("x${TAG:+3}", "", "x"),
        ("${TAG:?no}", "TAG=2", "2"),
        ("$TAG", "TAG=2", "2"),
        ("${TAG}", "TAG=2", "2"),
    ],
)
def test_variables_of_compose(text: str, env: str, tag: str) -> None:
    """As compose fills them in, from the step's environment."""
    content = f"services:\n  a:\n    image: myapps.azurecr.io/a:{text}\n    build: .\n"
    found = compose("docker compose build --push", content, env)

    assert found.pushes == (f"myapps.azurecr.io/a:{tag}",)


@pytest.mark.parametrize(
    ("command", "content", "reason"),
    [
        ("docker compose build none", COMPOSE, "there is no such service"),
        ("docker compose --project-directory x build", COMPOSE, "where its files are"),
        ("docker compose --new x build", COMPOSE, "where its files are"),
        ("docker compose run web x", COMPOSE, "what compose run runs"),
        ("docker compose -f none.yaml build", COMPOSE, "there is no file none.yaml"),
        ("docker compose build", "services: [", "not YAML"),
        ("docker compose build", "services: {a: {build: .}}\ninclude: [b]", "what it includes"),
        ("docker compose build", "services: {a: {build: ., extends: b}}", "what it extends"),
        ("docker compose build", "services: {a: {build: {context: $X}}}", "$X is filled in from"),
        ("docker compose build", "services: {a: {build: {context: '${!}'}}}", "environment"),
        (
            "docker compose build",
            "services: {a: {build: {additional_contexts: {x: 'service:b'}}}}",
            "the context x=service:b takes the place of images",
        ),
        (
            "docker compose build",
            "services: {a: {build: {context: 'https://x/y', dockerfile: 'a://b'}}}",
            "an address",
        ),
        (
            "docker compose build",
            "services: {" + "".join(f"s{n}: {{}}, " for n in range(300)) + "}",
            "more than 200",
        ),
        ("docker compose build", "\udcff", "not text"),
    ],
)
def test_what_compose_does_not_tell(command: str, content: str, reason: str) -> None:
    """It is told with its reason."""
    files: dict[str, str | bytes] = {**FILES}
    files["compose.yaml"] = content.encode("utf-8", "surrogateescape")

    assert reason in told(steps(f"- cmd: {command}", files))


def test_an_override_is_joined_and_a_missing_file_told() -> None:
    """The first of docker's names that is there, and its override."""
    over = "services: {a: {image: myapps.azurecr.io/b, build: api}}"
    files = {
        **FILES,
        "api/Dockerfile": f"FROM {OTHER}",
        "docker-compose.yml": "services: {a: {image: x, build: .}}",
        "docker-compose.override.yml": over,
    }
    found = steps("- cmd: docker compose build --push", files)

    assert (images(found), found.pushes) == ([f"{OTHER} runtime"], ("myapps.azurecr.io/b:latest",))
    assert "none of compose.yaml" in told(steps("- cmd: docker compose build"))


def test_what_an_override_leaves_out_stays() -> None:
    """Files add to each other, field by field; one kind of Dockerfile goes before the other."""
    files = {
        **FILES,
        "compose.yaml": COMPOSE,
        "compose.override.yaml": """
services:
  web: {ports: ["80:80"], build: {args: {V: "2"}, tags: [x]}}
  api: {environment: [A=b]}
  plain: {build: {dockerfile_inline: "FROM mybase.azurecr.io/inline:2"}}
  inline: {build: {context: api, dockerfile: D}}
  db: {image: "postgres:17"}
""",
    }
    found = steps("- cmd: docker compose build --push web api\n", files)
    assert images(found) == [f"{NODE} runtime", f"{OTHER} runtime"]
    assert [build.tags for build in found.builds] == [
        ("myapps.azurecr.io/web:1", "myapps.azurecr.io/web:extra", "x"),
        ("myapps.azurecr.io/api",),
    ]
    assert found.builds[0].arguments == {"V": "2", "X": "${NO}"}
    rest = steps("- cmd: docker compose build plain inline && docker compose pull db\n", files)
    assert images(rest) == [
        "docker.io/library/postgres:17 build-time",
        "mybase.azurecr.io/inline:2 build-time",
        f"{OTHER} build-time",
    ]
    named = "-f compose.yaml -f compose.override.yaml"
    baked = steps(f"- cmd: docker buildx bake {named} --push web\n", files)
    assert baked.builds[0].tags == found.builds[0].tags
    assert steps(f"- cmd: docker compose {named} build web\n", files).builds[0].tags


def test_paths_begin_beside_the_first_file() -> None:
    """Of compose; those of bake begin where docker is started, whatever file names them."""
    files = {
        **FILES,
        "api/compose.yaml": "services: {a: {build: {context: ., args: {A: $TAG}, dockerfile: D}}}",
        "more/compose.yaml": "services: {a: {image: myapps.azurecr.io/a}}",
        "api/.env": "TAG=1",
    }
    named = "-f api/compose.yaml -f more/compose.yaml"
    found = steps(f"- cmd: docker compose {named} build --push\n", files)
    assert (images(found), found.pushes) == ([f"{OTHER} runtime"], ("myapps.azurecr.io/a:latest",))
    assert found.builds[0].arguments == {"A": "1"}

    baked = steps(f"- cmd: docker buildx bake {named}\n", {**files, "D": f"FROM {NODE}"})
    assert images(baked) == [f"{NODE} build-time"]
    command = "cmd: docker compose -f x/compose.yaml build"
    elsewhere = steps(f"- {command}\n  disableWorkingDirectoryOverride: true\n", files)
    assert "own folder" in told(elsewhere)


PROFILES = """
services:
  a: {image: myapps.azurecr.io/a, build: ., profiles: [one]}
  b: {image: myapps.azurecr.io/b, build: ., profiles: [two, three]}
"""


@pytest.mark.parametrize(
    ("command", "env", "pushes"),
    [
        ("docker compose build --push", "", []),
        ("docker compose --profile one build --push", "", ["a"]),
        ("docker compose --profile x --profile three build --push", "", ["b"]),
        ("docker compose --profile '*' build --push", "", ["a", "b"]),
        ("docker compose build --push b", "", ["b"]),
        ("docker compose build --push", "'COMPOSE_PROFILES=one,two'", ["a", "b"]),
        ("docker compose build --push", "COMPOSE_PROFILES=", []),
        ("docker buildx bake --push", "", ["a", "b"]),
    ],
)
def test_services_of_profiles(command: str, env: str, pushes: list[str]) -> None:
    """A service of a profile is not there unless that, or it, is asked for; bake takes all."""
    found = compose(command, PROFILES, env)

    assert list(found.pushes) == [f"myapps.azurecr.io/{name}:latest" for name in pushes]
    assert found.unknown == ()


DOT_ENV = """
# comment
TAG=2
export OTHER = 'a $b'  # why
QUOTED="x y"
EMPTY=
BARE=a#b # c
ODD=$TAG
SLASH="a\\nb"
"""


@pytest.mark.parametrize(
    ("text", "env", "tag"),
    [
        ("${TAG:-1}", "", "2"),
        ("${TAG:-1}", "TAG=3", "3"),
        ("${EMPTY:-4}", "", "4"),
        ("x${OTHER}", "", "xa $b"),
        ("$QUOTED", "", "x y"),
        ("$BARE", "", "a#b"),
        ("${NONE:-5}", "", "5"),
    ],
)
def test_the_file_of_variables(text: str, env: str, tag: str) -> None:
    """`.env` beside the file gives what the environment does not."""
    content = f"services: {{a: {{build: {{context: ., args: {{A: '{text}'}}}}}}}}"
    files = {**FILES, "compose.yaml": content, ".env": DOT_ENV}
    for command in (
        "docker compose build",
        "docker buildx bake",
        "docker compose -f compose.yaml build",
    ):
        step = f"- cmd: {command}\n" + (f"  env: [{env}]\n" if env else "")
        assert steps(step, files).builds[0].arguments == {"A": tag}


@pytest.mark.parametrize(
    ("command", "files", "reason"),
    [
        ("build", {".env": "TAG=$X"}, "what .env, line 1, makes of TAG is not worked out"),
        ("build", {".env": 'TAG="a\\n"'}, "what .env, line 1, makes of TAG is not worked out"),
        ("build", {".env": "A=1\nA.B"}, ".env, line 2: it is not followed"),
        ("build", {".env": "A='x"}, ".env, line 1: it is not followed"),
        ("build", {".env": "A=\udcff"}, ".env is not text in UTF-8"),
        ("build", {".env": "COMPOSE_FILE=x.yaml"}, "the files that COMPOSE_FILE names"),
        ("build", {".env": "COMPOSE_PROFILES=$X"}, "which profiles are asked for: what .env"),
        ("--env-file none build", {}, "there is no file none"),
        (
            "build",
            {"compose.yaml": "services: {a: {extends: b}}"},
            "what it extends is not read: a",
        ),
    ],
)
def test_variables_that_are_not_known(command: str, files: dict[str, str], reason: str) -> None:
    """What may decide on a build is told as unknown, and never guessed."""
    content = "services: {a: {build: '${TAG:-.}', profiles: [x]}, b: {build: '${TAG:-.}'}}"
    given = {**FILES, "compose.yaml": content, **files}
    raw = {name: text.encode("utf-8", "surrogateescape") for name, text in given.items()}

    assert reason in told(steps(f"- cmd: docker compose {command}\n", raw))


def test_variables_of_a_named_file() -> None:
    """`--env-file` takes the place of `.env`, and one that a step wrote is not known."""
    content = "services: {a: {build: {context: ., args: {A: '$TAG'}}}}"
    files = {**FILES, "compose.yaml": content, ".env": "TAG=1", "other": "TAG=2"}
    named = steps("- cmd: docker compose --env-file other build\n", files)
    written = steps("- cmd: bash -c 'echo TAG=3 > .env'\n- cmd: docker compose build\n", files)

    assert named.builds[0].arguments == {"A": "2"}
    assert ".env: line 3 writes it" in told(written)
    assert written.builds == ()


def test_bake_reads_compose_files() -> None:
    """A compose file is a bake file, too."""
    found = steps("- cmd: docker buildx bake --push web", {**FILES, "compose.yaml": COMPOSE})

    assert found.pushes == ("myapps.azurecr.io/web:1", "myapps.azurecr.io/web:extra")


def test_a_file_that_a_step_wrote_is_not_read() -> None:
    """What the context holds is not what is used."""
    found = steps(
        "- cmd: bash -c 'gen > docker-bake.hcl'\n- cmd: docker buildx bake -f docker-bake.hcl\n",
        {**FILES, "docker-bake.hcl": HCL},
    )

    assert "docker-bake.hcl: line 3 writes it" in told(found)
    assert found.builds == ()
