"""Task files, read: templates, aliases, properties, order, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcloud.builds.job import BuildError
from localcloud.builds.steps import Step, parse_build, parse_steps, parse_values, render

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
    "TaskName": "builder",
}
SAMPLE = Path(__file__).parents[2] / "samples" / "helloworld-node" / "taskmulti.yaml"


def steps(text: str, values: dict[str, Any] | None = None) -> list[Step]:
    """Parse a task file."""
    return parse_steps(text, RUN, values or {})


def commands(*lines: str, head: str = "") -> list[tuple[str, ...]]:
    """Parse a task file of commands; return their words."""
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
    assert build.build[:2] == ("-t", "myapps.azurecr.io/hellomulti:ca1")
    assert "REGISTRY_NAME=mybase" in build.build
    assert look.cmd == ("myapps.azurecr.io/hellomulti:ca1", "cat", "/src/built-on.txt")
    assert push.push == ("myapps.azurecr.io/hellomulti:ca1",)
    assert [step.when for step in (build, look, push)] == [(), ("build",), ("look",)]


def test_what_is_not_said_has_the_agents_defaults() -> None:
    """Without version, ids, times and retries, a step is called by its place and has 600 s."""
    assert steps("steps:\n- build: .\n- push: [a]\n") == [
        Step("acb_step_0", build=(".",), timeout=600, retries=0, retry_delay=5, directory=""),
        Step("acb_step_1", push=("a",), when=("acb_step_0",)),
    ]


@pytest.mark.parametrize("version", ["v1.0.0", "v1.1.0", "V1.1.0", "1.0-preview-1", ""])
def test_versions(version: str) -> None:
    """The agent's versions are known, in any case; none is v1.0.0."""
    assert commands("a", head=f"version: {version}\n") == [("a",)]


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
    entryPoint: /bin/sh -c
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
        cmd=("node", "-e", "console.log(1)"),
        environment={"A": "task", "B": "step=2", "C": ""},
        entry_point=("/bin/sh", "-c"),
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
    assert (first.timeout, first.directory, first.environment) == (60, "sub", {"A": "1"})
    assert second.directory is None


def test_text_is_taken_as_it_is_written() -> None:
    """No number or truth of YAML changes ids and variables."""
    (step,) = steps("steps:\n- id: 007\n  cmd: 1.10 yes 010\n  env: [A=1]\n")
    assert (step.id, step.cmd) == ("007", ("1.10", "yes", "010"))


@pytest.mark.parametrize("name", list(RUN))
def test_run_variables_and_their_aliases(name: str) -> None:
    """`{{.Run.name}}` and `$name` are the same, with spaces or without."""
    assert commands(f"i {{{{.Run.{name}}}}}", f"i {{{{ .Run.{name} }}}}", f"i ${name}") == (
        [("i", RUN[name])] * 3
    )


def test_values() -> None:
    """They may be nested; numbers and truths are written as YAML writes them, null as nothing."""
    values = {"a": "x", "deep": {"er": 5}, "yes": True, "no": None}
    text = "'{{.Values.a}}{{ .Values.deep.er }}{{.Values.yes}}{{.Values.no}}'"
    (step,) = steps(f"steps:\n- cmd: {text}\n", values)
    assert step.cmd == ("x5true",)


def test_aliases_of_ones_own() -> None:
    """Letters and digits after the directive are the name; unknown ones and `$$` stay."""
    head = """\
version: v1.1.0
alias:
  values:
    repo: my/$repo
    Registry: other.example
    both: "{{.Run.ID}} b"
    run: node:9 -e
"""
    assert commands(
        *("$Registry/$repo:$ID", "$both", "i $unknown $$ID $repos", "run 1", "runs 1", "i run"),
        head=head,
    ) == [
        ("other.example/my/$repo:ca1",),
        ("ca1", "b"),
        ("i", "$unknown", "$ID", "$repos"),
        ("node:9", "-e", "1"),
        ("runs", "1"),
        ("i", "run"),
    ]


def test_another_directive() -> None:
    """One character that is neither letter nor digit."""
    head = "alias: {directive: '^', values: {a: b}}\n"
    assert commands("^a $a ^ID ^^", head=head) == [("b", "$a", "ca1", "^")]


@pytest.mark.parametrize("name", ["acr", "az", "bash", "curl", "cssc"])
def test_microsofts_images_need_no_directive(name: str) -> None:
    """A command may begin with their names; elsewhere they are words."""
    first, second = commands(f"{name} {name}", f"image {name}")
    assert first[0].startswith("mcr.microsoft.com/acr/")
    assert first[1] == name
    assert second == ("image", name)


def test_comments_are_none_of_the_task() -> None:
    """A template in a comment that begins a line is not looked at."""
    assert commands("a", head="# {{.Values.none}}\n") == [("a",)]


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
        (f"{ONE}env: [A]\n", "line 3: acb_step_0: cannot parse environment variable A"),
        (f"{ONE}env: {{A: b}}\n", "line 3: acb_step_0: env is not a list"),
        ("env: [A]\nsteps:\n- cmd: a\n", "line 1: the task: cannot parse environment variable"),
        ('steps:\n- cmd: "a \'b"\n', "line 2: acb_step_0: cmd: No closing quotation"),
        ("steps:\n- build: -t\n", "line 2: acb_step_0: flag needs an argument: -t"),
        ("steps:\n- build: --secret x .\n", "the local cloud does not do `docker build --secret`"),
        (f"{ONE}colour: red\n", "line 3: acb_step_0: ACR knows no colour, and would overlook it"),
        (f"{ONE}[a]: b\n", "ACR knows no"),
        ("colour: red\nsteps:\n- cmd: a\n", "line 1: the task: ACR knows no colour"),
        (
            "steps:\n- cmd: a\n\n- cmd: '{{.Run.Nothing}}'\n",
            "line 4: the template {{.Run.Nothing}}",
        ),
        ("steps:\n- cmd: '{{.Values.a.b}}'\n", "names what is not there: a"),
        ("steps:\n- cmd: '{{ if 1 }}'\n", "line 2: the local cloud does not know the template"),
        ("steps:\n- cmd: '{{.Secrets.a}}'\n", "does not know the template {{.Secrets.a}}"),
        ("alias: text\nsteps:\n- cmd: a\n", "line 1: alias is not a mapping"),
        ("alias:\n  src: [a.yaml]\n", "line 2: alias: the local cloud does not do src"),
        ("alias:\n  values: text\n", "line 2: alias: values is not a mapping"),
        ("alias:\n  values:\n    a-b: c\n", "line 3: alias key names only support alphanumeric"),
        ("alias:\n  values:\n    a: [c]\n", "line 3: the alias a is not a text"),
        ("alias:\n  directive: $$\n", "line 2: $ directive can only be overwritten by a single"),
        ("alias:\n  directive: a\n", "line 2: overwritten directives may not be alphanumeric"),
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
        ("cache", "enabled"),
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
        assert steps(f"{ONE}{name}: {nothing}\n")[0].cmd == ("a",)


@pytest.mark.parametrize("name", ["secrets", "networks", "volumes"])
def test_what_the_local_cloud_does_not_do_for_a_task_is_named(name: str) -> None:
    """So does a property of the task; an empty one asks for nothing."""
    told = failure(f"steps:\n- cmd: a\n{name}:\n- id: b\n")
    assert told == f"line 3: the task: the local cloud does not do {name}"
    assert steps(f"steps:\n- cmd: a\n{name}: []\n")[0].cmd == ("a",)


def test_lines_are_the_files_own() -> None:
    """Neither the alias section nor comments before it move them."""
    head = "# one\nalias:\n  # three\n  values:\n    a: b\n\n"
    assert failure(f"{head}steps:\n  - cmd: $a\n    user: x\n").startswith("line 9: ")


@pytest.mark.parametrize("text", ["a: {b: 1}\nc: x\n", "", "# nothing\n"])
def test_values_files(text: str) -> None:
    """A mapping, or nothing."""
    assert parse_values(text) == ({"a": {"b": 1}, "c": "x"} if text.startswith("a") else {})


@pytest.mark.parametrize(
    ("text", "said"), [("- a\n", "not a YAML mapping"), ("a: [\n", "error converting YAML")]
)
def test_wrong_values_files_are_refused(text: str, said: str) -> None:
    """With the reason."""
    with pytest.raises(BuildError, match=said):
        parse_values(text)


def test_a_text_of_one_line_has_no_line_numbers() -> None:
    """An image's name is no file."""
    with pytest.raises(BuildError, match=r"^the template \{\{.Run.No\}\} names"):
        render("app:{{.Run.No}}", RUN, {})


def test_the_arguments_of_a_build() -> None:
    """Names, Dockerfile, arguments with and without value, target, platform, context."""
    text = (
        "-t a:1 --tag=b:2 -f x/Dockerfile --build-arg A=1=2 --build-arg=B= --build-arg C"
        " --build-arg D --target t --platform linux/amd64 --no-cache --pull -q sub"
    )
    found = parse_build("s", text.split(), {"C": "from the step"})
    assert found.tags == ("a:1", "b:2")
    assert (found.file, found.target, found.context) == ("x/Dockerfile", "t", "sub")
    assert found.arguments == {"A": "1=2", "B": "", "C": "from the step"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-t a", "s: build needs exactly one context: -t a"),
        (". other", "s: build needs exactly one context"),
        ("--label a=b .", "s: build: the local cloud does not do `docker build --label`"),
        ("--platform linux/arm64 .", "builds for linux/amd64, not linux/arm64"),
        (". --file", "flag needs an argument: --file"),
    ],
)
def test_wrong_arguments_of_a_build_are_refused(words: str, said: str) -> None:
    """The error names the step and the flag."""
    with pytest.raises(BuildError) as raised:
        parse_build("s", words.split())
    assert said in str(raised.value)
