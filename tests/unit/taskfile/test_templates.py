"""Templates: Go's text/template and sprig, as the agent has them."""

from __future__ import annotations

import pytest

from rebuilder.core.dependencies.effects import Effects
from rebuilder.core.taskfile import RunContext, fill_in
from rebuilder.errors import InvalidBuildFile
from tests.unit.taskfile.reading import RUN, read, told

VALUES = """
tag: 3.10
quoted: "3.10"
number: 18
big: 1e9
huge: 1e21
small: 0.00001
yes: y
on: on
octal: 010
hex: 0x10
under: 1_000
binary: 0b11
true: true
null: null
date: 2024-01-02
time: 12:30
name: node
list: [a, b]
numbers: [1, 2.5, true]
empty: []
not: !!str 5
bytes: !!binary eA==
"""


def image(template: str, **more: object) -> Effects:
    """Read a file whose only step runs an image that a template makes."""
    text = f"version: v1.0.0\nsteps:\n- cmd: {template}\n"
    given: dict[str, object] = {"values_file": VALUES, **more}
    return read(text, **given)  # type: ignore[arg-type] # as read has them


def made(template: str, **more: object) -> str:
    """Return the image that a template makes, without Docker Hub's name."""
    found = image(template, **more)
    assert found.unknown == ()
    (use,) = found.images
    return str(use.reference).removeprefix("docker.io/library/")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Run.Registry}}/a", "myapps.azurecr.io/a:latest"),
        ("a:{{ .Run.RegistryName }}", "a:myapps"),
        ("a:{{.Run.OS}}-{{.Run.Architecture}}-{{.Run.TaskName}}", "a:linux-amd64-nightly"),
        ("a:{{.Values.name}}", "a:node"),
        ("a:{{$.Values.name}}", "a:node"),
        # As yaml.v2 resolves them: numbers are printed anew, y and on are truth values.
        ("a:{{.Values.tag}}", "a:3.1"),
        ("a:{{.Values.quoted}}", "a:3.10"),
        ("a:{{.Values.number}}", "a:18"),
        ("a:x{{.Values.small}}", "a:x1e-05"),
        ("a:{{.Values.yes}}{{.Values.on}}{{.Values.true}}", "a:truetruetrue"),
        ("a:{{.Values.octal}}-{{.Values.hex}}-{{.Values.binary}}", "a:8-16-3"),
        ("a:{{.Values.under}}", "a:1000"),
        ("a:{{.Values.date}}", "a:2024-01-02"),
        ("a:{{.Values.not}}", "a:5"),
        ("a:{{.Values.null}}b", "a:b"),
        # What has no such name at all is nothing.
        ("a:{{.Run.None}}{{.None}}b", "a:b"),
        ("a:{{.Secrets.none}}b", "a:b"),
        ("a:{{/* a comment }} of two */}}b", "a:b"),
        ("a:{{- /* trimmed */ -}} b", "a:b"),
        ("a: {{- .Values.name -}} -b", "a:node-b"),
        ("a:{{true}}{{false}}{{nil}}", "a:truefalse"),
        ("a:{{3}}{{2.5}}", "a:32.5"),
        # Variables, with their scope.
        ('{{$x := "a"}}{{$x}}:1', "a:1"),
        ('{{$x := "a"}}{{if true}}{{$x = "b"}}{{end}}{{$x}}:1', "b:1"),
        ('{{$x := "a"}}{{if true}}{{$x := "b"}}{{end}}{{$x}}:1', "a:1"),
        ("{{if $x := .Values.name}}{{$x}}{{end}}:1", "node:1"),
        ("{{with .Values.name}}{{.}}{{end}}:1", "node:1"),
        ("{{with $x := .Values.none}}{{$x}}{{else}}none{{end}}:1", "none:1"),
        ("{{with .Values.none}}a{{else with .Values.name}}{{.}}{{end}}:1", "node:1"),
        ("{{with .Run}}{{.OS}}{{end}}:1", "linux:1"),
        # Lists.
        ("a:{{range .Values.list}}{{.}}{{end}}", "a:ab"),
        ("a:{{range $i, $x := .Values.list}}{{$i}}{{$x}}{{end}}", "a:0a1b"),
        ("a:{{range $x := .Values.list}}{{$x}}{{end}}", "a:ab"),
        ("a:{{range .Values.empty}}x{{else}}none{{end}}", "a:none"),
        ("a:{{range .Values.none}}x{{else}}none{{end}}", "a:none"),
        ("a:{{range .Values.list}}{{.}}{{break}}{{end}}", "a:a"),
        ('a:{{range .Values.list}}{{if eq . "a"}}{{continue}}{{end}}{{.}}{{end}}', "a:b"),
        ("a:{{index .Values.list 1}}", "a:b"),
        ('a:{{(split "-" "rc-1")._1}}', "a:1"),
        ('a:{{(splitn "." 2 "1.2.3")._1}}', "a:2.3"),
        ('{{$d := dict "tag" "1" "odd"}}a:{{$d.tag}}{{$d.odd}}{{$d.none}}', "a:1"),
        ('a:{{range $k, $v := dict "b" 2 "a" 1}}{{$k}}{{$v}}{{end}}', "a:a1b2"),
        ('a:{{index (dict "b" "2") "b"}}{{len (dict "b" 2)}}', "a:21"),
        ('a:{{if dict}}no{{else}}{{hasKey (dict "b" 1) "b"}}{{end}}', "a:true"),
        ("a:{{range until 3}}{{.}}{{end}}{{len (until -2)}}", "a:0122"),
        ("a:{{range untilStep 1 6 2}}{{.}}{{end}}{{len (untilStep 1 6 0)}}", "a:1350"),
        ('a:{{regexReplaceAll "[^0-9]" "v1.2" ""}}', "a:12"),
        ('a:{{regexReplaceAllLiteral "^v" "v1v" "x$1" | len}}', "a:5"),
        ('a:{{regexFind "[0-9]+[.][0-9]$" "v1.22.3"}}{{regexFind "x" "y"}}', "a:22.3"),
        ('a:{{regexMatch "^v\\\\d" "v1"}}', "a:true"),
        ('a:{{index .Values "name"}}', "a:node"),
        (
            'a:{{hasKey .Values "name"}}{{hasKey .Values "none"}}{{hasKey nil "x"}}',
            "a:truefalsefalse",
        ),
        ('a:{{has "x" nil}}{{has 1 (list true)}}', "a:falsefalse"),
        ("a:{{len (uniq (list 1 true 1))}}", "a:2"),
        ('a:{{b64enc 5 | trimSuffix "="}}{{b64enc nil}}', "a:PGludCBWYWx1ZT4"),
        ('a:{{if eq (printf "%v" (coalesce nil)) "<nil>"}}b{{end}}', "a:b"),
        ('a:{{index . "Values" "name"}}', "a:node"),
        ("a:{{len .Values.list}}", "a:2"),
        ('a:{{join "-" .Values.numbers}}', "a:1-2.5-true"),
        # Templates of templates.
        ('{{define "t"}}{{.}}:1{{end}}{{template "t" .Values.name}}', "node:1"),
        ('{{block "t" .Values.name}}{{.}}:2{{end}}', "node:2"),
        # Conditions.
        ("{{if .Values.name}}a{{end}}:1", "a:1"),
        ("{{if .Values.none}}a{{else}}b{{end}}:1", "b:1"),
        ("{{if .Values.empty}}a{{else}}b{{end}}:1", "b:1"),
        ("{{if .Values}}a{{end}}:1", "a:1"),
        ('{{if eq .Run.OS "windows"}}a{{else if eq .Run.OS "linux"}}b{{else}}c{{end}}:1', "b:1"),
        ("{{if false}}a{{else if false}}b{{else}}c{{end}}:1", "c:1"),
        ("{{if true}}{{if false}}a{{else}}b{{end}}{{end}}:1", "b:1"),
    ],
)
def test_templates(template: str, text: str) -> None:
    """A template is filled in as Go's text/template does it."""
    found = made(f"'{template.replace("'", "''")}'")

    assert found in (text, f"{text}:latest")


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
        ('trimAll "-" "--1-"', "1"),
        ('trimAll "" "1"', "1"),
        ('nospace "a b"', "ab"),
        ('replace "." "-" "1.2"', "1-2"),
        ('repeat 3 "a"', "aaa"),
        ('trunc 2 "abc"', "ab"),
        ('substr 1 3 "abcd"', "bc"),
        ('substr -1 2 "abcd"', "ab"),
        ('substr 2 -1 "abcd"', "cd"),
        ('contains "b" "abc"', "true"),
        ('hasPrefix "a" "abc"', "true"),
        ('hasSuffix "a" "abc"', "false"),
        ('cat "a" | replace " " "-"', "a"),
        ('eq .Values.name "node"', "true"),
        ('eq .Values.name "a" "node"', "true"),
        ('eq .Values.none "a"', "false"),
        ("eq .Values.none nil", "true"),
        ('ne .Values.name "node"', "false"),
        ("not .Values.none", "true"),
        ('and "a" "b"', "b"),
        ('and "" "b"', ""),
        ('or "" "b"', "b"),
        ('or "" ""', ""),
        ("lt 1 2", "true"),
        ("le 2 2", "true"),
        ('gt "b" "a"', "true"),
        ("ge 1 2", "false"),
        ('(.Values.none | default "x") | upper', "X"),
        ('squote "a"', "a"),
        ('quote "a"', "a"),
        ('ternary "a" "b" (eq 1 1)', "a"),
        ('ternary "a" "b" false', "b"),
        ('printf "%s-%d-%v%%" "a" 5 true | trimSuffix "%"', "a-5-true"),
        ('printf "%q" "a"', "a"),
        ('print "a" 1 "b" 2', "a1b2"),
        ("print 1 2 | replace ` ` `-`", "1-2"),
        ('println "a" | trim', "a"),
        ('join "-" (list "a" 1)', "a-1"),
        ('splitList "/" "a/b" | last', "b"),
        ('splitList "" "ab" | first', "a"),
        ('list "a" "b" "c" | rest | initial | first', "b"),
        ('list "a" "b" | reverse | join ""', "ba"),
        ('list "a" "a" | uniq | len', "1"),
        ('has "a" (tuple "a")', "true"),
        ('slice (list "a" "b") 1 | join ""', "b"),
        ("add 1 2 3", "6"),
        ('add 1 "2" true', "4"),
        ("add1 1", "2"),
        ("sub 5 2", "3"),
        ('int "7"', "7"),
        ('atoi "x"', "0"),
        ('b64dec (b64enc "a")', "a"),
        ('sha256sum "a" | trunc 6', "ca9781"),
        ('base "a/b.c"', "b.c"),
        ('dir "a/b"', "a"),
        ('ext "a/b.c"', ".c"),
        ("len `abc`", "3"),
        ('indent 0 "a"', "a"),
        ('nindent 0 "a" | trim', "a"),
    ],
)
def test_functions(template: str, text: str) -> None:
    """The functions of Go and sprig that task files use."""
    assert made(f"a:x{{{{{template}}}}}b") == f"a:x{text}b"


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
        (".Run.TaskName", "the task's name"),
        (".ValuesJSON", "more than is known"),
        (".RunJSON", "more than is known"),
        (".Values", "is no text"),
        (".", "is no text"),
        (".Run.ID.x", "the id of a run"),
        (".Values.secret", "the value secret is secret"),
        (".Values.none", "value none is given by no `--set`"),
        ("upper .Values.none", "value none is given by no `--set`"),
        (".Values.none | quote", "value none is given by no `--set`"),
        ("index .Values.none 1", "value none is given by no `--set`"),
        ("index .Values.list .Run.ID", "the id of a run"),
        ("upper .Run.ID", "the id of a run"),
        (".Values.bytes", "is no text"),
        ("upper .Values.bytes", "function upper is not understood"),
        ("now", "function now is not understood"),
        ('regexFind "(a)" "b"', "what the template function regexFind is given"),
        ('regexFind "a*a*a*" "b"', "what the template function regexFind is given"),
        ('regexFind "é" "b"', "what the template function regexFind is given"),
        ('regexFind "[z-a]" "b"', "what the template function regexFind is given"),
        ('regexMatch "a" (repeat 201 "a")', "what the template function regexMatch is given"),
        ('regexReplaceAll "a*" "b" "c"', "what the template function regexReplaceAll is given"),
        ('regexReplaceAll "a" "b" "$1"', "what the template function regexReplaceAll is given"),
        ('(split "" "b")._0', "what the template function split is given"),
        ('(splitn "-" 0 "b")._0', "what the template function splitn is given"),
        ('uniq (list (dict "a" 1))', "what the template function uniq is given"),
        ('dict "a" 1', "is no text"),
        ('quote "a\\"b"', "what the template function quote is given"),
        ('replace "" "a" "b"', "what the template function replace is given"),
        ('printf "%x" 5', "what the template function printf is given"),
        ('printf "%s"', "what the template function printf is given"),
        ('printf "a" 5', "what the template function printf is given"),
        ('upper "é"', "what the template function upper is given"),
        ('trunc -1 "a"', "what the template function trunc is given"),
        ('substr 2 1 "abc"', "what the template function substr is given"),
        ('base "a/"', "what the template function base is given"),
        ('b64dec "?"', "what the template function b64dec is given"),
        ("int 2.5", "what the template function int is given"),
        ("uniq (list (list 1))", "what the template function uniq is given"),
        ("print (list .Run.OS .)", "function list is not understood"),
        ('"\\x41"', "not understood"),
        ("0x1G", "not understood"),
        ("111111111111111111111111", "not understood"),
        ('0x10 "a"', "not understood"),
    ],
)
def test_what_templates_do_not_tell(template: str, reason: str) -> None:
    """What only a run knows, what nobody gives, and what is not understood is said."""
    found = image(f"'a:{{{{{template}}}}}b'", hidden=("secret",), run=RunContext("r.io"))

    assert found.images == ()
    assert reason in told(found)


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
        ("{{if true}}", "{{if}} has no end"),
        ("{{if}}{{end}}", "a value is missing"),
        ("{{if true}}{{else}}{{else}}{{end}}", "unexpected {{else}}"),
        ("{{if true}}{{else range .a}}{{end}}", "unexpected range .a"),
        ("{{range .a}}{{else if .b}}{{end}}", "unexpected if .b"),
        ("{{if true}}" * 51, "nested too deeply"),
        ("{{" + "(" * 20, "not closed"),
        ("{{" + "(" * 60 + "1" + ")" * 60 + "}}", "nested too deeply"),
        ("{{(.Run.OS}}", "parenthesis"),
        ("{{.Run.OS )}}", "unexpected ')'"),
        ("{{%}}", "unexpected '%'"),
        ("{{| upper}}", "a value is missing"),
        ('{{"x" | }}', "a value is missing"),
        ("{{none 5}}", 'function "none" not defined'),
        ("{{$x}}", "undefined variable $x"),
        ("{{$x = 1}}", "undefined variable $x"),
        ("{{break}}", "outside"),
        ("{{define .a}}{{end}}", "no name"),
        ('{{if true}}{{define "a"}}{{end}}{{end}}', "unexpected {{define}}"),
        ('{{template "a"}}', 'template "a" not defined'),
        ('{{define "a"}}{{template "a"}}{{end}}{{template "a"}}', "too deeply"),
        ("{{.Values.name.x}}", "asks for .x of"),
        ("{{.Values.given.x}}", "asks for .x of"),
        ("{{.None.x}}", "asks for .x of"),
        ("{{5 | 6}}", "arguments to what is no function"),
        ('{{.Run.OS "x"}}', "arguments to what is no function"),
        ('{{lower "a" "b"}}', "lower: wrong number"),
        ("{{lower 5}}", "lower: wrong number of arguments, or of the wrong kind"),
        ('{{eq "a" 5}}', "incompatible types"),
        ("{{eq (list 1) 1}}", "incompatible types"),
        ("{{eq}}", "eq: wrong number"),
        ('{{hasKey "a" "a"}}', "hasKey: wrong number"),
        ("{{until 10001}}", "until: it makes more than 10000 numbers"),
        ('{{index (dict "a" 1) 1}}', "index of what has no such keys"),
        ('{{lt 1 "a"}}', "incompatible types"),
        ("{{lt true false}}", "incompatible types"),
        ("{{lt nil nil}}", "invalid type"),
        ("{{index .Values.list 5}}", "index out of range"),
        ("{{index .Values.name 0}}", "index of what has no such keys"),
        ("{{slice .Values.list 3 9}}", "slice index out of range"),
        ('{{slice "abc" 1}}', "slice: wrong number of arguments, or of the wrong kind"),
        ("{{and}}", "and: wrong number"),
        ("{{or}}", "or: wrong number"),
        ("{{index nil}}", "index of nothing"),
        ("{{trimAll nil 1}}", "trimAll: wrong number"),
        ('{{repeat -1 "a"}}', "too much text"),
        ('{{indent 2000000 "a"}}', "too much text"),
        ('{{repeat 900000 "a" | indent 2}}{{repeat 900000 "a"}}', "longer than"),
        ('{{fail "no tag"}}', "no tag"),
        ('{{ternary 1 2 "x"}}', "ternary: wrong number"),
        ("{{upper .Values.null}}", "upper: wrong number"),
        ("{{first 5}}", "first: wrong number"),
        ("{{add1 true false}}", "add1: wrong number"),
        ("{{range $x := .Values.many}}{{range $.Values.many}}{{end}}{{end}}", "steps"),
    ],
)
def test_templates_that_go_refuses(template: str, problem: str) -> None:
    """What Go's parser or its evaluation refuses fails the run, so the file is refused."""
    text = f"version: v1.0.0\nsteps:\n- cmd: {template}\n"
    many = f"many: [{'a,' * 300}]"
    with pytest.raises(InvalidBuildFile) as raised:
        read(text, values={"given": "x"}, values_file=f"{VALUES}\n{many}\n")
    assert problem in raised.value.problem
    assert raised.value.line in (3, 4)


@pytest.mark.parametrize(
    ("template", "text", "reason"),
    [
        ("{{if .Run.Commit}}a{{end}}", "{{if .Run.Commit}}", "the commit of a run"),
        ("{{if .Values.bytes}}a{{end}}", "{{if .Values.bytes}}", "not certain"),
        ("{{range .Values.name}}a{{end}}", "{{range .Values.name}}", "goes through"),
        ("{{range .Run.ID}}a{{end}}", "{{range .Run.ID}}", "the id of a run"),
        ("{{with now}}a{{end}}", "{{with now}}", "function now is not understood"),
    ],
)
def test_what_hides_the_file(template: str, text: str, reason: str) -> None:
    """Where the shape of the file depends on what is not known, nothing of it is believed."""
    found = image(template)

    assert found.steps == ()
    (unknown,) = found.unknown
    assert (unknown.text, unknown.line, unknown.makes) == (text, 3, True)
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
    made_of, unknown = fill_in(text, values={"tag": "1"}, run=RUN)

    assert made_of == filled
    assert all(said.startswith(reason) for said, reason in zip(unknown, reasons, strict=True))


def test_a_text_that_is_not_known() -> None:
    """What is not known has a stand-in and a reason; what is refused is refused."""
    made_of, unknown = fill_in("a:{{.Run.ID}}{{.Values.x}}", hidden=("x",), run=RUN)

    assert made_of.startswith("a:unknown")
    assert unknown == ("the id of a run is known only when it starts", "the value x is secret")
    with pytest.raises(InvalidBuildFile):
        fill_in("{{", run=RUN)


def test_secrets_are_nothing_only_where_the_file_has_none() -> None:
    """The agent asks the vault for those of the file; what they are is not read."""
    text = "secrets: [{id: a, keyvault: b}]\nsteps:\n- cmd: x:{{.Secrets.a}}b\n"

    assert "secrets are not read" in told(read(text))


@pytest.mark.parametrize("what", ["$X%d", "{{.Values.x%d}}"])
def test_too_much_that_is_not_known(what: str) -> None:
    """A file of which hardly anything is known says so, and is no work."""
    found = image("'" + " ".join(what % number for number in range(2000)) + "'")

    assert found.images == ()
    assert "more than 250 values of the file are not known" in told(found)


def test_lines_are_those_of_the_file() -> None:
    """Whatever a template leaves out or repeats, a step is told by the file's own line."""
    text = (
        "version: v1.1.0\n# a comment\nalias:\n  values:\n    a: b\n\nsteps:\n# another\n"
        "{{if .Values.x}}\n- cmd: $a\n{{end}}\n- cmd: '{{.Values.lines}}'\n- cmd: c\n"
        "{{range .Values.each}}- cmd: d\n- cmd: e\n{{end}}- cmd: f\n"
    )
    found = read(text, values={"x": "yes", "lines": "one\n\n\n two"}, values_file="each: [1, 2]")

    assert [step.line for step in found.steps] == [10, 12, 13, 14, 15, 14, 15, 16]
