from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.taskfile import CommandStep, RunContext, TaskFile, fill_in, read_task_file
from rebuilder.errors import InvalidBuildFile

RUN = RunContext("myapps.azurecr.io", "nightly", "linux", "amd64")
VALUES = """
tag: 3.10
quoted: "3.10"
number: 18
big: 1e9
yes: y
on: on
octal: 010
hex: 0x10
true: true
null: null
date: 2024-01-02
time: 12:30
name: node
deep: {er: {image: base, list: [a]}}
list: [a, b]
empty: []
text: |
  two
  lines
"""


def read(template: str, *, before: str = "version: v1.0.0", **options: object) -> TaskFile:
    """Read a file whose only step is a command of a template."""
    given_values = {"values_content": VALUES.encode(), "run": RUN, **options}
    return read_task_file(f"{before}\nsteps:\n- cmd: {template}\n".encode(), **given_values)  # type: ignore[arg-type] # the reader's own


def image(template: str, **options: object) -> CommandStep:
    """Return the image that a template makes."""
    (step,) = read(template, **options).steps  # type: ignore[arg-type] # the reader's own
    assert isinstance(step, CommandStep)
    return step


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("a:{{.Run.Registry}}", "a:myapps.azurecr.io"),
        ("a:{{ .Run.RegistryName }}", "a:myapps"),
        ("a:{{.Run.OS}}-{{.Run.Architecture}}-{{.Run.TaskName}}", "a:linux-amd64-nightly"),
        ("a:{{.Values.name}}", "a:node"),
        ("a:{{$.Values.name}}", "a:node"),
        # As YAML reads it: a number loses its last zero, a quoted one does not.
        ("a:{{.Values.tag}}", "a:3.1"),
        ("a:{{.Values.quoted}}", "a:3.10"),
        ("a:{{.Values.number}}", "a:18"),
        ("a:{{.Values.true}}", "a:true"),
        ("a:{{.Values.date}}", "a:2024-01-02"),
        ("a:{{.Values.time}}", "a:12:30"),
        ("a:{{.Values.deep.er.image}}", "a:base"),
        # What is missing is nothing.
        ("a:{{.Values.none}}b", "a:b"),
        ("a:{{.Values.null}}b", "a:b"),
        ("a:{{.Run.None}}{{.None}}b", "a:b"),
        ("a:{{/* a comment }} of two */}}b", "a:b"),
        ("a:{{- /* trimmed */ -}} b", "a:b"),
        ("a: {{- .Values.name -}} :b", "a:node:b"),
        ('a:{{"x}}"}}{{`y}}`}}{{3}}', "a:x}}y}}3"),
        # Afterwards the shell takes off quotes and backslashes.
        (r'a:{{"\"x\" \\y"}}', "a:x"),
        ("a:{{true}}{{false}}{{nil}}", "a:truefalse"),
    ],
)
def test_templates(template: str, text: str) -> None:
    """A template is filled in as Go's text/template does it."""
    (step,) = read(f"'{template}'").steps
    assert isinstance(step, CommandStep)

    assert (step.image, step.unknown) == (text, ())


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ('default "x" .Values.none', "x"),
        ('.Values.none | default "x"', "x"),
        ('.Values.name | default "x"', "node"),
        ('default "x"', "x"),
        ('coalesce .Values.none "" "x"', "x"),
        ('coalesce ""', ""),
        ("empty .Values.none", "true"),
        ("toString 5 ", "5"),
        ('lower "AbC"', "abc"),
        ('upper "AbC"', "ABC"),
        ('trim " a "', "a"),
        ('trimPrefix "v" "v1"', "1"),
        ('trimSuffix "-x" "1-x"', "1"),
        ('replace "." "-" "1.2"', "1-2"),
        ('eq .Values.name "node"', "true"),
        ('eq .Values.name "a" "node"', "true"),
        ('ne .Values.name "node"', "false"),
        ("not .Values.none", "true"),
        ('and "a" "b"', "b"),
        ('and "" "b"', ""),
        ('or "" "b"', "b"),
        ('or "" ""', ""),
        ('(.Values.none | default "x") | upper', "X"),
        ('squote "a"', "a"),
        ('quote "a"', "a"),
    ],
)
def test_functions(template: str, text: str) -> None:
    """The functions of Go and sprig that task files use."""
    assert image(f"a:{{{{{template}}}}}b").image == f"a:{text}b"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (".Run.ID", "the id of a run"),
        (".Build.ID", "the id of a run"),
        (".Run.Date", "the date of a run"),
        (".Run.Commit", "the commit of a run"),
        (".Run.Branch", "the branch of a run"),
        (".Run.GitTag", "the git tag of a run"),
        (".Run.SharedVolume", "the volume of a run"),
        (".Run.OSVersion", "operating system"),
        (".Secrets.x", "secrets are not read"),
        (".Values", "more than is known"),
        (".ValuesJSON", "more than is known"),
        (".", "more than is known"),
        (".Run.ID.x", "not understood"),
        (".Values.secret", "the value secret is secret"),
        ("upper .Run.ID", "the id of a run"),
        (".Values.big", "put it into quotes"),
        (".Values.yes", "put it into quotes"),
        (".Values.on", "put it into quotes"),
        (".Values.octal", "put it into quotes"),
        (".Values.hex", "put it into quotes"),
        (".Values.list", "a list or a mapping"),
        ("upper .Values.list", "not understood"),
        ("upper .Values.hex", "not understood"),
        ('printf "%s" .Run.OS', "function printf is not understood"),
        ("now", "function now is not understood"),
        ('lower "a" "b"', "what the template function lower is given"),
        ("lower 5", "what the template function lower is given"),
        ('eq "a" 5', "what the template function eq is given"),
        ("eq", "what the template function eq is given"),
        ('quote "a\\"b"', "what the template function quote is given"),
        ('replace "" "a" "b"', "what the template function replace is given"),
        ('.Run.OS "x"', "not understood"),
        ('"\\x41"', "not understood"),
        ("%", "not understood"),
        ("| upper", "not understood"),
        (".Run.OS )", "not understood"),
        ("5 | 6", "not understood"),
        ("$x", "not understood"),
    ],
)
def test_templates_that_are_not_known(template: str, reason: str) -> None:
    """What only a run knows, and what is not understood, is said where it matters."""
    step = image(f"'a:{{{{{template}}}}}b'", hidden=("secret",), run=RunContext("r.io"))

    assert reason in step.unknown[0]


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{.Run.OS", "not closed"),
        ("{{}}", "says nothing"),
        ('{{"x}}', "not closed"),
        ('{{"x\\"}}', "not closed"),
        ("{{/* x }}", "comment is not closed"),
        ("{{/* x */", "comment is not closed"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{if true}}", "has no {{end}}"),
        ("{{if true}}{{else}}{{else}}{{end}}", "after its {{else}}"),
        ("{{if true}}" * 21, "nested too deeply"),
        ("{{" + "(" * 21, "not closed"),
        ("{{" + "(" * 21 + "}}", "nested too deeply"),
        ("{{(.Run.OS}}", "parenthesis"),
        ("{{.Values.name.x}}", "asks for .x of"),
        ("{{.Values.none.x}}", "asks for .x of"),
        ("{{.Values.given.x}}", "asks for .x of"),
        ("{{.None.x}}", "asks for .x of"),
    ],
)
def test_templates_that_go_refuses(template: str, problem: str) -> None:
    """What Go's parser or its evaluation refuses fails the run, so the file is refused."""
    with pytest.raises(InvalidBuildFile, match=problem.replace("{", "[{]")) as raised:
        read(template, values={"given": "x"})
    assert raised.value.line == 3


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{if .Values.name}}a{{end}}", "a"),
        ("{{if .Values.none}}a{{else}}b{{end}}", "b"),
        ("{{if .Values.empty}}a{{else}}b{{end}}", "b"),
        ("{{if .Values.list}}a{{else}}b{{end}}", "a"),
        ('{{if eq .Run.OS "windows"}}a{{else if eq .Run.OS "linux"}}b{{else}}c{{end}}', "b"),
        ("{{if false}}a{{else if false}}b{{else}}c{{end}}", "c"),
        ("{{if true}}{{if false}}a{{else}}b{{end}}{{end}}", "b"),
    ],
)
def test_conditions(template: str, text: str) -> None:
    """A condition on what is known chooses its part of the file."""
    assert image(template).image == text


@pytest.mark.parametrize(
    ("template", "text", "reason"),
    [
        ("{{if .Run.Commit}}a{{end}}", "{{if .Run.Commit}}", "the commit of a run"),
        ("{{if .Values.hex}}a{{end}}", "{{if .Values.hex}}", "not certain"),
        ("{{range .Values.list}}a{{end}}", "{{range .Values.list}}", "action range"),
        ("{{with .Values.list}}a{{end}}", "{{with .Values.list}}", "action with"),
        ('{{$x := "a"}}', '{{$x := "a"}}', "not understood"),
        ('{{define "a"}}', '{{define "a"}}', "action define"),
        ("{{if true}}{{else with .a}}{{end}}", "{{else with .a}}", "not understood"),
    ],
)
def test_what_hides_the_file(template: str, text: str, reason: str) -> None:
    """Where the shape of the file depends on what is not known, nothing of it is believed."""
    found = read(template)

    assert found.steps == ()
    (unknown,) = found.unknown
    assert (unknown.text, unknown.line) == (text, 3)
    assert reason in unknown.reason


@pytest.mark.parametrize(
    ("text", "filled", "reasons"),
    [
        ("{{.Run.Registry}}/base:{{.Values.tag}}", "myapps.azurecr.io/base:1", ()),
        ("", "", ()),
        ("plain $ID", "plain $ID", ()),
        ("{{if .Run.ID}}a{{end}}", "{{if .Run.ID}}a{{end}}", ("the id of a run",)),
    ],
)
def test_a_text_of_its_own(text: str, filled: str, reasons: tuple[str, ...]) -> None:
    """Templates outside of task files are filled in alike; aliases are only of task files."""
    made, unknown = fill_in(text, values={"tag": "1"}, run=RUN)

    assert made == filled
    assert all(said.startswith(reason) for said, reason in zip(unknown, reasons, strict=True))


def test_a_text_that_is_not_known() -> None:
    """What is not known has a stand-in and a reason; what is refused is refused."""
    made, unknown = fill_in("a:{{.Run.ID}}{{.Values.x}}", hidden=("x",), run=RUN)

    assert made.startswith("a:unknown")
    assert unknown == ("the id of a run is known only when it starts", "the value x is secret")
    with pytest.raises(InvalidBuildFile):
        fill_in("{{")


@pytest.mark.parametrize("what", ["$X%d", "{{.Secrets.x%d}}"])
def test_too_much_that_is_not_known(what: str) -> None:
    """A file of which hardly anything is known says so, and is no work."""
    found = read("'" + " ".join(what % number for number in range(2000)) + "'")

    assert found.steps == ()
    assert found.unknown[0].reason == "more than 250 values of the file are not known"


# Values.


def test_values_of_the_task_win() -> None:
    """A value of the task is its text, whatever the values file says."""
    assert image("a:{{.Values.tag}}", values={"tag": "3.10"}).image == "a:3.10"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: ]", "line 1 of the values file: not YAML"),
        (b"- a", "the values file is not a mapping"),
        (b"\xff", "the values file is not text"),
    ],
)
def test_values_that_are_refused(content: bytes, problem: str) -> None:
    """A values file that is none is told apart from the task file."""
    with pytest.raises(InvalidBuildFile, match=problem) as raised:
        read("a", values_content=content)
    assert raised.value.line == 0


# Aliases.

ALIASED = "version: v1.1.0\nalias:\n  values:\n    img: base:{{.Run.OS}}\n    tag: 1\n"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("x:$tag", "x:1"),
        ("$img", "base:linux"),
        ("img", "base:linux"),
        ("x:$tag$tag", "x:11"),
        ("x:$tag-$Registry", "x:1-myapps.azurecr.io"),
        ("x:$$tag", "x:TAG"),
    ],
)
def test_aliases(text: str, made: str) -> None:
    """An alias stands where its directive is, and as first word without one."""
    step = image(text, before=ALIASED)
    if "TAG" in made:
        # The escaped directive is a variable of the agent's shell.
        assert "the agent's shell fills in $tag" in step.unknown[0]
        return

    assert (step.image, step.unknown) == (made, ())


def test_aliases_that_are_not_known() -> None:
    """What is no alias stays, and is the shell's; so is what follows it at once."""
    step = image("x:$foo$tag", before=ALIASED)

    assert step.unknown == (
        "the agent's shell fills in $foo; an alias needs version v1.1.0",
        "the agent's shell fills in $tag; an alias needs version v1.1.0",
    )


def test_another_directive() -> None:
    """The directive may be another character."""
    before = "version: v1.1.0\nalias: {directive: '%', values: {a: b}}"

    assert image("'x:%a'", before=before).image == "x:b"


def test_own_aliases_win() -> None:
    """An alias of the file replaces one of the agent's."""
    before = "version: v1.1.0\nalias:\n  values: {acr: mine:1}"

    assert image("acr purge", before=before).image == "mine:1"


def test_the_agents_images_are_for_linux() -> None:
    """On Windows there are no image aliases."""
    step = image("bash", before="version: v1.1.0", run=RunContext("r", "t", "windows"))

    assert (step.image, step.unknown) == ("bash", ())


@pytest.mark.parametrize("text", ["x:$other", "other run", "$Registry/x"])
def test_aliases_from_elsewhere(text: str) -> None:
    """Where aliases come from other files, every name may be one of them."""
    before = "version: v1.1.0\nalias:\n  src: [https://example.com/a.yaml]\n  values: {mine: m/n}"

    assert "alias.src" in image(text, before=before).unknown[0]
    assert image("$mine", before=before).image == "m/n"
    assert image("a/b:c", before=before).unknown == ()


@pytest.mark.parametrize(
    "version",
    ["version: v1.0.0", "version: 'v1.1.0'", " version: v1.1.0", "stepTimeout: 5\nversion: v1.1.0"],
)
def test_versions_without_aliases(version: str) -> None:
    """The agent looks for the version on the first line that says anything, quotes and all."""
    text = f"{version}\nsteps:\n- cmd: bash x\n"
    if version.startswith(" "):
        text = text.replace("\n", "\n ").rstrip(" ")
    (step,) = read_task_file(text.encode(), run=RUN).steps
    assert isinstance(step, CommandStep)

    assert step.image == "bash"


def test_the_alias_section_knows_no_values() -> None:
    """The agent fills in no values there, so what the file becomes is not known."""
    before = "version: v1.1.0\nalias:\n  values: {a: '{{.Values.x}}'}"
    (unknown,) = read("a", before=before).unknown

    assert "no values in the alias section" in unknown.reason


def test_comments_are_left_out_with_aliases() -> None:
    """With aliases, a comment may say anything; without, its templates count."""
    text = "# {{nonsense\nversion: v1.1.0\nsteps:\n- cmd: a\n"

    assert len(read_task_file(text.encode()).steps) == 1
    with pytest.raises(InvalidBuildFile, match="not closed"):
        read_task_file(text.replace("v1.1.0", "v1.0.0").encode())


@pytest.mark.parametrize(
    "text",
    [
        "version: v1.1.0\nalias:\n  values:\n    a: '" + "x" * 50_000 + "'\nsteps: " + "$a " * 100,
        "steps: " + "{{.Values.a}}" * 100,
        '{{replace "a" .Values.a .Values.a}}',
    ],
)
def test_files_that_grow(text: str) -> None:
    """A file that aliases or values multiply is refused before it fills the memory."""
    with pytest.raises(InvalidBuildFile):
        read_task_file(text.encode(), values={"a": "a" * 50_000})


@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "{{",
                    "}}",
                    "{{.Run.ID}}",
                    "{{if .Values.a}}",
                    "{{else}}",
                    "{{end}}",
                    "{{- ",
                    " -}}",
                ),
                *("$", "$Registry", "$$", "`", "'", '"', "\\", "\n", "  ", "- ", ": ", "&a ", "*a"),
                *(
                    "<<: ",
                    "[",
                    "]",
                    "{",
                    "}",
                    "|",
                    ">",
                    "build: ",
                    "cmd: ",
                    "push: ",
                    "-f ",
                    "steps:\n",
                ),
                *("version: v1.1.0\n", "alias:\n  values:\n    a: b\n", "--build-arg A=$ID", "#"),
                *("\t", "\x00", "\ud800", "---\n", "? ", "!!binary ", "(", '| default "x"', "é"),
            ]
        ),
        max_size=40,
    )
)
def test_any_file_is_read_or_refused(pieces: list[str]) -> None:
    """No file makes the product fail in another way, and a line is one of the file."""
    content = "".join(pieces).encode("utf-8", "surrogatepass")
    lines = [0]
    try:
        found = read_task_file(content, values_content=content, values={"a": "1"}, run=RUN)
        lines += [step.line for step in found.steps]
    except InvalidBuildFile as error:
        lines.append(error.line)

    assert 0 <= max(lines) <= content.count(b"\n") + 1
