"""Task files, read: templates, aliases, properties, order, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcloud.builds.aliases import replace_aliases, without_comments
from localcloud.builds.commands import Script
from localcloud.builds.dockercli import Container
from localcloud.builds.job import BuildError
from localcloud.builds.steps import Step, merge, parse_steps, parse_values, render

RUN = {
    "ID": "ca1",
    "Registry": "myapps.azurecr.io",
    "RegistryName": "myapps",
    "SharedVolume": "home",
    "Date": "20260101-000000z",
    "OS": "linux",
    "Architecture": "amd64",
    "Commit": "c0ffee",
    "Branch": "main",
}
SAMPLE = Path(__file__).parents[2] / "samples" / "helloworld-node" / "taskmulti.yaml"


def steps(text: str, values: dict[str, Any] | None = None) -> list[Step]:
    """Parse a task file."""
    return parse_steps(text, RUN, values or {})


def commands(*lines: str, head: str = "version: v1.1.0\n") -> list[str]:
    """Parse a task file of commands; return them."""
    entries = "".join(f"  - cmd: {line}\n" for line in lines)
    return [step.cmd for step in steps(f"{head}steps:\n{entries}")]


def failure(text: str, values: dict[str, Any] | None = None) -> str:
    """Return why a task file is refused."""
    with pytest.raises(BuildError) as raised:
        steps(text, values)
    return str(raised.value)


def test_the_samples_task_is_read() -> None:
    """Build, look, push: each after the other."""
    build, look, push = steps(SAMPLE.read_text(), {"baseRegistry": "mybase"})
    assert build.build.startswith("-t myapps.azurecr.io/hellomulti:ca1 ")
    assert "REGISTRY_NAME=mybase" in build.build
    assert look.cmd == "myapps.azurecr.io/hellomulti:ca1 cat /src/built-on.txt"
    assert push.push == ("myapps.azurecr.io/hellomulti:ca1",)
    assert [step.when for step in (build, look, push)] == [(), ("build",), ("look",)]


def test_what_is_not_said_has_the_agents_defaults() -> None:
    """Without version, ids, times and retries, a step is called by its place and has 600 s."""
    assert steps("steps:\n- build: .\n- push: [a]\n") == [
        Step("acb_step_0", build=".", timeout=600, retries=0, retry_delay=5, directory=""),
        Step("acb_step_1", push=("a",), when=("acb_step_0",)),
    ]


@pytest.mark.parametrize("version", ["v1.0.0", "v1.1.0", "V1.1.0", "1.0-preview-1", ""])
def test_versions(version: str) -> None:
    """The agent's versions are known, in any case; none is v1.0.0."""
    assert commands("a", head=f"version: {version}\n") == ["a"]


@pytest.mark.parametrize(
    ("head", "aliases"),
    [
        ("version: v1.1.0\n", True),
        ("---\nversion: v1.1.0\n", True),
        ("# a comment\n\nenv: [A=b]\nversion: v1.1.0\n", True),
        ("\"version\": 'v1.1.0'\n", True),
        ("'version' : \"v1.1.0\"\n", True),
        ("version: v1.1.0 # yes\n", True),
        ("version:v1.1.0\nversion: v1.0.0\n", True),
        ("version: V1.1.0\n", False),
        ("version: v1.0.0\n", False),
        ("version: 1.0-preview-1\n", False),
        ("# version: v1.1.0\n", False),
        ("", False),
    ],
)
def test_aliases_need_the_version_that_the_agent_finds(head: str, *, aliases: bool) -> None:
    """It looks at every line, without quotes, and compares as text; YAML comes later."""
    text = without_comments(f"{head}steps: [{{cmd: $Registry}}]\n")
    replaced, _ = replace_aliases(text, lambda source: source)
    assert ("{{.Run.Registry}}" in replaced.text) == aliases


def test_without_aliases_the_shell_sees_the_dollar() -> None:
    """Then nothing stands for the name; what is left is no image, or one without a registry."""
    assert commands("image $Registry", head="") == ["image $Registry"]
    assert "is no image" not in failure("steps: [{build: -t $Registry .}]\n")
    assert "'docker build' requires 1 argument" in failure("steps: [{build: -t $Registry .}]\n")


def test_every_property_of_a_step() -> None:
    """What the step says goes before what the task says."""
    (step,) = steps("""\
version: v1.1.0
stepTimeout: 60
workingDirectory: sub
env: [A=task, B=task]
steps:
  - id: one
    cmd: "node -e 'console.log(1)'"
    entryPoint: /bin/sh
    env: ["B=step=2", C=]
    workingDirectory: other
    timeout: 7
    startDelay: 1
    retries: 2
    retryDelay: 3
    repeat: 4
    ignoreErrors: yes
    keep: true
    pull: true
    when: ["-"]
""")
    assert step == Step(
        "one",
        cmd="node -e 'console.log(1)'",
        environment=("B=step=2", "C=", "A=task"),
        entry_point="/bin/sh",
        directory="other",
        timeout=7,
        start_delay=1,
        retries=2,
        retry_delay=3,
        repeat=4,
        ignore_errors=True,
    )


def test_properties_of_the_task_hold_for_its_steps() -> None:
    """Its time, folder and variables; a step may leave the folder to the image."""
    first, second = steps("""\
stepTimeout: 60
workingDirectory: sub
env: [A=1]
steps:
  - cmd: a
  - cmd: b
    disableWorkingDirectoryOverride: true
""")
    assert (first.timeout, first.directory, first.environment) == (60, "sub", ("A=1",))
    assert second.directory is None


def test_text_is_taken_as_it_is_written() -> None:
    """No number or truth of YAML changes ids and variables."""
    (step,) = steps("steps:\n- id: 007\n  cmd: 1.10 yes 010\n  env: [A=1]\n")
    assert (step.id, step.cmd) == ("007", "1.10 yes 010")


@pytest.mark.parametrize("name", list(RUN))
def test_run_variables_and_their_aliases(name: str) -> None:
    """`{{.Run.name}}` and `$name` are the same, with spaces or without."""
    assert commands(f"i {{{{.Run.{name}}}}}", f"i {{{{ .Run.{name} }}}}", f"i ${name}") == (
        [f"i {RUN[name]}"] * 3
    )


def test_a_tasks_name_has_no_alias() -> None:
    """The agent has none for it; the template is there."""
    assert render("{{.Run.TaskName}}", {"TaskName": "builder"}, {}) == "builder"
    assert commands("i $TaskName") == ["i $TaskName"]


def test_values() -> None:
    """They may be nested; each is written as Go's templates write it, null as nothing."""
    values = {"a": "x", "deep": {"er": 5}, "yes": True, "no": None, "one": 1.0, "many": [1, "b"]}
    text = "'{{.Values.a}}{{ .Values.deep.er }}{{.Values.yes}}{{.Values.no}} {{.Values.one}}'"
    assert steps(f"steps:\n- cmd: i {text}\n", values)[0].cmd == "i 'x5true 1'"
    assert render("{{.Values.many}} {{.Values.deep}}", RUN, values) == "[1 b] map[er:5]"
    assert render("{{.Values.n}} {{.Values.x}}", RUN, {"n": 1e21, "x": 1.5}) == "1e+21 1.5"


def test_what_is_not_given_is_nothing() -> None:
    """As in the agent, which says so of no value; of nothing there are no fields."""
    assert commands("{{.Values.Tool}} run") == ["run"]
    assert render("app:{{.Run.No}}", RUN, {}) == "app:"
    with pytest.raises(BuildError, match=r"^the local cloud does not know .*\.Values\.a\.b"):
        render("{{.Values.a.b}}", RUN, {})


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('{{ .Values.None | default "x" }}', "x"),
        ('{{ default "x" .Values.Tag }}', "3"),
        ('{{ $v := "3.23" }}{{ $v }}-{{$v | replace "." "_"}}', "3.23-3_23"),
        ("{{if .Values.None}}a{{else if eq .Values.Tag `3`}}b{{else}}c{{end}}", "b"),
        ("{{if not .Values.None}}a{{if .Values.None}}b{{end}}{{end}}", "a"),
        ("{{ if .Values.None -}} a {{ .Values.Tag }}{{- else -}} b {{- end }}", "b"),
        ("a {{- /* nothing */ -}} b", "ab"),
        ("{{ index .Values.list 1 }}{{ index .Values.map `k` }}", "yv"),
        ('{{ printed }}"', None),
        ("{{ (or .Values.None .Values.Tag) | quote }}{{ squote 1.5 }}", "\"3\"'1.5'"),
        ("{{ upper `a` }}{{ lower `B` }}{{ trim ` c ` }}{{ trunc 2 `def` }}", "Abcde"),
        ("{{ trimPrefix `a` `ab` }}{{ trimSuffix `b` `ab` }}{{ b64enc `x` }}", "baeA=="),
        ("{{ ternary `y` `n` true }}{{ coalesce nil `` `c` }}{{ empty `` }}", "yctrue"),
        ("{{ contains `b` `abc` }}{{ hasPrefix `a` `ab` }}{{ hasSuffix `a` `ab` }}", None),
        ("{{ and 1 0 }}{{ ne 1 2 }}{{ print 1 -2 }}{{ toString 3 }}", "0true1-23"),
        ("{{ .Values.Tag | unknown }}", None),
        ("{{ range .Values.list }}{{ end }}", None),
        ("{{ $none }}", None),
        ("{{ ( 1 }}", None),
        ("{{ 1 2 }}", None),
        ("{{ 1 | 2 }}", None),
        ("{{ | }}", None),
        ("{{ ? }}", None),
        ("{{ index .Values.list 9 }}", None),
        ("{{ if 1 }}", None),
        ("{{ if 1 }}{{else}}{{else}}{{end}}", None),
        ("{{ if 1 }}{{else foo}}{{end}}", None),
        ("{{ if 1 }}{{else if}}{{end}}", None),
        ("{{ end }}", None),
        ("{{ else }}", None),
        ("{{ .Values.Tag", None),
    ],
)
def test_templates_are_gos(template: str, expected: str | None) -> None:
    """Variables, pipes, conditions and common functions; what is not known is refused."""
    values = {"Tag": "3", "list": ["x", "y"], "map": {"k": "v"}}
    if template.startswith("{{ contains"):
        expected = "truetruefalse"
    if expected is None:
        with pytest.raises(BuildError, match="does not know the template"):
            render(template, RUN, values)
    else:
        assert render(template, RUN, values) == expected


def test_templates_in_one_another_have_an_end() -> None:
    """However deep they are, the run fails with a message."""
    with pytest.raises(BuildError, match="does not know the template"):
        render("{{if 1}}" * 200 + "{{end}}" * 200, RUN, {})


def test_aliases_of_ones_own() -> None:
    """Letters and digits after the directive are the name; unknown ones and `$$` stay."""
    head = """\
version: v1.1.0
alias:
  values:
    repo: my/repo
    Registry: other.example
    both: "{{.Run.ID}} $repo"
    run: node:9 -e
    empty:
"""
    assert commands(
        *("$Registry/$repo:$ID", "$both", "i $unknown $$ID $repos", "run 1", "runs 1", "i run"),
        *("i $unknown$ID $ID$ID$$", "i $empty."),
        head=head,
    ) == [
        "other.example/my/repo:ca1",
        "ca1 $repo",
        "i $unknown $ID $repos",
        "node:9 -e 1",
        "runs 1",
        "i run",
        "i $unknown$ID ca1ca1$",
        "i .",
    ]


def test_the_alias_section_is_rendered_before_yaml_sees_it() -> None:
    """So its templates need no quotes, and see every value."""
    head = """\
alias:
  values:
    from: {{ .Values.From | default "mybase.azurecr.io" }}
    tag: {{.Values.Tag}}
version: v1.1.0
"""
    text = f"{head}steps:\n- cmd: $from/node:$tag\n"
    assert steps(text, {"Tag": "18"})[0].cmd == "mybase.azurecr.io/node:18"
    assert steps(text, {"Tag": "9", "From": "a.io"})[0].cmd == "a.io/node:9"


def test_another_directive() -> None:
    """One character that is neither letter nor digit."""
    head = "version: v1.1.0\nalias: {directive: '^', values: {a: b}}\n"
    assert commands("^a $a ^ID ^^", head=head) == ["b $a ca1 ^"]


@pytest.mark.parametrize("name", ["acr", "az", "bash", "curl", "cssc"])
def test_microsofts_images_need_no_directive(name: str) -> None:
    """A command may begin with their names; elsewhere they are words."""
    rest = {"acr": "purge --filter a:b --ago 1d", "az": "login --identity"}.get(name, name)
    first, second = commands(f"{name} {rest}", f"image {name}")
    assert first.startswith("mcr.microsoft.com/acr/")
    assert first.endswith(f" {rest}")
    assert second == f"image {name}"


def test_comments_are_none_of_the_task() -> None:
    """Wherever they stand, a block of text included; a template in them is not looked at."""
    assert commands("a", head="# {{.Values.none.none}}\n") == ["a"]
    (step,) = steps("steps:\n- cmd: |\n    a \\\n    # {{ if }}\n    b\n")
    assert step.cmd == "a \\\nb"


def test_steps_wait_for_the_one_before_or_for_whom_they_name() -> None:
    """And `-` for none; the order of the file holds."""
    text = "steps:\n" + "".join(
        f"- {{id: {name}, cmd: x, when: {when}}}\n"
        for name, when in (("a", "['-']"), ("b", "['-']"), ("c", "[a, b]"), ("d", "null"))
    )
    assert [(step.id, step.when) for step in steps(text)] == [
        ("a", ()),
        ("b", ()),
        ("c", ("a", "b")),
        ("d", ("c",)),
    ]


ONE = "steps:\n- cmd: a\n  "
ALIAS = "version: v1.1.0\nalias:"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is not a YAML mapping"),
        ("- cmd: a\n", "it is not a YAML mapping"),
        ("steps: [\n", "failed to deserialize task: while parsing"),
        ("version: v1.1.0\n", "the task has no steps"),
        ("steps: []\n", "the task has no steps"),
        ("\nsteps: a\n", "line 2: the task: steps is not a list"),
        ("steps:\n- a\n", "line 2: steps is not a list of mappings"),
        ("version: v2\nsteps:\n- cmd: a\n", 'line 1: invalid version specified: "v2"'),
        ("steps:\n- id: a\n", "line 2: a: step is missing a cmd, build, or push property"),
        ("steps:\n- cmd: ''\n", "line 2: acb_step_0: step is missing"),
        (f"{ONE}push: [b]\n", "step must only contain a single build, cmd, or push property"),
        (f"{ONE}id: a b\n", "line 3: a b: step ID cannot contain spaces"),
        (f"{ONE}id: acb_root\n", "line 3: acb_root is a reserved ID"),
        (f"{ONE}id: [a]\n", "line 3: acb_step_0: id is not a text"),
        (f"{ONE}id: x\n- cmd: b\n  id: x\n", "line 5: duplicate step ID: x"),
        (f"{ONE}when: x\n", "line 3: acb_step_0: when is not a list"),
        (f"{ONE}when: ['-', x]\n", "if the immediate execution token is specified"),
        (f"{ONE}when: [acb_step_0]\n", "line 3: Step ID: acb_step_0 is self-referenced"),
        (
            f"{ONE}when: [later]\n- id: later\n  cmd: a\n",
            "line 3: acb_step_0: when names later, which is no step further up",
        ),
        ("steps:\n- push: image\n", "line 2: acb_step_0: push is not a list"),
        ("steps:\n- push:\n    images: [a]\n", "line 3: acb_step_0: push is not a list"),
        ("steps:\n- push: [[a]]\n", "line 2: acb_step_0: push is not a list of texts"),
        ("steps:\n- build: [a]\n", "line 2: acb_step_0: build is not a text"),
        (f"{ONE}timeout: long\n", "line 3: acb_step_0: timeout is not a whole number: long"),
        (f"{ONE}timeout: 1.5\n", "timeout is not a whole number: 1.5"),
        (f"{ONE}retries: -1\n", "line 3: acb_step_0: step must specify retries >= 0"),
        (f"{ONE}ignoreErrors: maybe\n", "line 3: acb_step_0: ignoreErrors is neither true"),
        (
            f"env: [B=1]\n{ONE}env: [A]\n",
            "line 4: acb_step_0: failed to merge task and step environment variables: cannot",
        ),
        (f"{ONE}env: {{A: b}}\n", "line 3: acb_step_0: env is not a list"),
        (
            "env: ['A=b,c']\nsteps:\n- cmd: a\n",
            "cannot parse task environment variable c correctly",
        ),
        ('steps:\n- cmd: "a \'b"\n', "line 2: acb_step_0: cmd: Unterminated quoted string"),
        ("steps:\n- build: -t\n", "line 2: acb_step_0: build: flag needs an argument: 't' in -t"),
        ("steps:\n- build: --build-arg X .\n", "failed to scan dependencies: X cannot be split"),
        ("steps:\n- build: --secret x .\n", "the local cloud does not do `docker build --secret`"),
        (f"{ONE}colour: red\n", "line 3: acb_step_0: ACR knows no colour, and would overlook it"),
        (f"{ONE}[a]: b\n", "ACR knows no"),
        ("colour: red\nsteps:\n- cmd: a\n", "line 1: the task: ACR knows no colour"),
        ("steps:\n- cmd: a\n\n- cmd: {{nothing}}\n", "line 4: the local cloud does not"),
        (f"{ONE}cache: maybe\n", "line 3: acb_step_0: invalid value for cache property"),
        (f"{ONE}entryPoint: /bin/sh -c\n", "the local cloud does not do `docker run -c`"),
        ("steps:\n- cmd: '{{ if 1 }}'\n", "line 2: the local cloud does not know the template"),
        ("steps:\n- cmd: '{{.Secrets.a}}'\n", "does not know the template {{.Secrets.a}}"),
        (f"{ALIAS} text\nsteps:\n- cmd: a\n", "line 2: alias is not a mapping"),
        (
            "version: v1.1.0\nalias:\n  src: [a.yaml]\n",
            "line 3: alias: the local cloud does not do src",
        ),
        (f"{ALIAS}\n  values: text\n", "line 3: alias: values is not a mapping"),
        (
            "version: v1.1.0\nalias:\n  values:\n    a-b: c\n",
            "line 4: alias key names only support alphanumeric",
        ),
        (f"{ALIAS}\n  values:\n    a: [c]\n", "line 4: the alias a is not a text"),
        (
            "version: v1.1.0\nalias:\n  directive: $$\n",
            "line 3: $ directive can only be overwritten by a single",
        ),
        (f"{ALIAS}\n  colour: a\n", "line 3: alias: ACR knows no colour"),
        (
            "version: v1.1.0\nalias:\n  directive: a\n",
            "line 3: overwritten directives may not be alphanumeric",
        ),
    ],
)
def test_wrong_task_files_are_refused(text: str, said: str) -> None:
    """The error tells the line, the step and the property."""
    assert said in failure(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("privileged", "true"),
        ("detach", "true"),
        ("ports", "['80:80']"),
        ("expose", "['80']"),
        ("network", "host"),
        ("isolation", "hyperv"),
        ("user", "1000"),
        ("cpus", "2"),
        ("volumeMounts", "[{name: a, mountPath: /b}]"),
        ("volumeMount", "{name: a}"),
        ("secret", "{id: a}"),
        ("exitedWith", "[1]"),
        ("exitedWithout", "[1]"),
        ("retryOnErrors", "[a]"),
    ],
)
def test_what_the_local_cloud_does_not_do_is_named(name: str, value: str) -> None:
    """A property of ACR's fails the run with its name and line, unless it asks for nothing."""
    told = failure(f"{ONE}{name}: {value}\n")
    assert told == f"line 3: acb_step_0: the local cloud does not do {name}"
    for nothing in ("false", "[]", "default", "disabled", ""):
        assert steps(f"{ONE}{name}: {nothing}\n")[0].cmd == "a"


@pytest.mark.parametrize("name", ["secrets", "networks", "volumes"])
def test_what_the_local_cloud_does_not_do_for_a_task_is_named(name: str) -> None:
    """So does a property of the task; an empty one asks for nothing."""
    told = failure(f"steps:\n- cmd: a\n{name}:\n- id: b\n")
    assert told == f"line 3: the task: the local cloud does not do {name}"
    assert steps(f"steps:\n- cmd: a\n{name}: []\n")[0].cmd == "a"


def test_lines_are_the_files_own() -> None:
    """Neither the alias section nor comments before it move them."""
    head = "# one\nalias:\n  # three\n  values:\n    a: b\n\nversion: v1.1.0\n"
    text = f"{head}steps:\n  - cmd: '$a {{{{ .Values.lines }}}}'\n    user: x\n"
    with pytest.raises(BuildError, match=r"^line 10: "):
        steps(text, {"lines": "two\n\n  lines"})


@pytest.mark.parametrize("text", ["a: {b: 1}\nc: x\n", "", "# nothing\n"])
def test_values_files(text: str) -> None:
    """A mapping, or nothing."""
    assert parse_values(text) == ({"a": {"b": 1}, "c": "x"} if text.startswith("a") else {})


def test_times_in_values_are_texts() -> None:
    """As the agent's library reads them; numbers are numbers."""
    assert parse_values("a: 2001-12-14\nb: 010\n") == {"a": "2001-12-14", "b": 8}


@pytest.mark.parametrize(
    ("text", "said"), [("- a\n", "not a YAML mapping"), ("a: [\n", "error converting YAML")]
)
def test_wrong_values_files_are_refused(text: str, said: str) -> None:
    """With the reason."""
    with pytest.raises(BuildError, match=said):
        parse_values(text)


def test_a_text_of_one_line_has_no_line_numbers() -> None:
    """An image's name is no file."""
    with pytest.raises(BuildError, match=r"^the local cloud does not know the template"):
        render("app:{{nothing}}", RUN, {})


@pytest.mark.parametrize(
    ("own", "common", "expected"),
    [
        (["A"], [], ["A"]),
        (["A=1"], ["B=2"], ["A=1", "B=2"]),
        (["A=1"], ["A=2,C=3", "D="], ["A=1", "C=3", "D="]),
        ([], ["A=a=b"], ["A=a=b"]),
    ],
)
def test_variables_are_joined_as_the_agent_does(
    own: list[str], common: list[str], expected: list[str]
) -> None:
    """The step's win; the task's may hold several; without those of a task nothing is looked at."""
    assert merge(own, common) == expected


@pytest.mark.parametrize(
    ("properties", "kit"),
    [
        ("", False),
        ("env: [DOCKER_BUILDKIT=1]", True),
        ("env: [DOCKER_BUILDKIT=true]", False),
        ("env: ['DOCKER_BUILDKIT=1 ']", False),
        ("env: [DOCKER_BUILDKIT=0]", False),
        ("cache: Enabled", True),
        ("cache: disabled", False),
    ],
)
def test_which_builder_a_step_gets(properties: str, *, kit: bool) -> None:
    """BuildKit for exactly DOCKER_BUILDKIT=1, or for a build that is cached."""
    (step,) = steps(f"steps:\n- build: -t a.io/x .\n  {properties}\n")
    assert step.kit == kit
    build = step.script().parts[0].action
    assert isinstance(build, Script)
    assert getattr(build.parts[0].action, "kit", None) == kit


def test_the_tasks_variables_choose_the_builder_too() -> None:
    """Those of the step go before them."""
    head = "env: [DOCKER_BUILDKIT=1]\nsteps:\n- build: .\n"
    assert steps(head)[0].kit
    assert not steps(f"{head}  env: [DOCKER_BUILDKIT=0]\n")[0].kit


def test_a_command_is_what_the_agents_shell_makes_of_it() -> None:
    """Variables reach the container as the shell splits them; where it starts is a whole path."""
    (step,) = steps(
        "steps:\n- cmd: -e C=3 image 'a b' $X\n"
        "  env: ['A=\"1 2\"', 'B=$X', NAME]\n  workingDirectory: sub/../dir\n"
    )
    (part,) = step.script().parts
    assert part.action == Container(
        "image", ("a b",), {"A": "1 2", "B": "", "C": "3"}, "/workspace/dir", ""
    )
