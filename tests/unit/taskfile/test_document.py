"""From bytes to steps: versions, aliases, values, YAML, and what the agent refuses."""

from __future__ import annotations

import pytest

from rebuilder.core.acr.tasks import Makes
from rebuilder.core.dependencies.effects import output_of
from rebuilder.core.taskfile import RunContext, _yaml
from rebuilder.errors import InvalidBuildFile
from tests.unit.taskfile.reading import NODE, RUN, Files, images, read, told

# The version decides on aliases.


@pytest.mark.parametrize(
    ("text", "aliases"),
    [
        ("version: v1.1.0\n{steps}", True),
        ("{steps}version: v1.1.0\n", True),
        ('version: "v1.1.0"\n{steps}', True),
        ("version: 'v1.1.0'\n{steps}", True),
        ("'version': v1.1.0\n{steps}", True),
        ("version : v1.1.0\n{steps}", True),
        ("---\nversion: v1.1.0\n{steps}", True),
        ("# a comment\n\nversion: v1.1.0\n{steps}", True),
        ("stepTimeout: 5\nversion: v1.1.0\n{steps}", True),
        ("versions: v1.1.0\n{steps}", False),
        ("version: v1.0.0\n{steps}", False),
        ("{steps}", False),
        # The agent looks at lines, and this one begins with a mark that is none of its letters.
        ("\ufeffversion: v1.1.0\n{steps}", False),
    ],
)
def test_versions(text: str, aliases: bool) -> None:  # noqa: FBT001 - a parameter
    """The agent looks at every line for one that names the version, and takes off quotes."""
    found = read(text.replace("{steps}", "steps:\n- cmd: $Registry/tool:1 go\n"))

    assert images(found) == (["myapps.azurecr.io/tool:1 tool"] if aliases else [])
    assert ("which is no alias" in told(found)) is not aliases


def test_a_version_that_begins_with_a_blank_is_none() -> None:
    """To YAML it is one; to the agent's search for aliases it is not."""
    found = read(" version: v1.1.0\n steps:\n - cmd: $Registry/tool:1 go\n")

    assert "which is no alias" in told(found)


# Aliases.

ALIASED = "version: v1.1.0\nalias:\n  values:\n    img: base:{{.Run.OS}}\n    tag: 1\n"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("x:$tag", "x:1"),
        ("$img", "base:linux"),
        ("img", "base:linux"),
        ("x:$tag$tag", "x:11"),
        ("x:$tag-$RegistryName", "x:1-myapps"),
        ("x:a$tag", "x:a1"),
    ],
)
def test_aliases(text: str, made: str) -> None:
    """An alias stands where its directive is, and as first word without one."""
    found = read(f"{ALIASED}steps:\n- cmd: {text}\n")

    assert images(found) == [f"docker.io/library/{made} tool"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x:$$tag", ("$tag",)),
        ("x:$foo$tag", ("$foo", "$tag")),
        # No alias of the agent.
        ("x:$TaskName", ("$TaskName",)),
        ("x:$", ()),
    ],
)
def test_what_is_no_alias_is_the_shells(text: str, names: tuple[str, ...]) -> None:
    """What is escaped or not known stays, and so does what follows it at once."""
    found = told(read(f"{ALIASED}steps:\n- cmd: {text}\n"))

    for name in names:
        assert (
            f"the agent's shell fills in {name}, which is no alias (version v1.1.0 has them)"
            in found
        )
    assert bool(names) == ("shell" in found)


def test_another_directive() -> None:
    """The directive may be another character."""
    text = "version: v1.1.0\nalias: {directive: '%', values: {a: b}}\nsteps:\n- cmd: 'x:%a'\n"

    assert images(read(text)) == ["docker.io/library/x:b tool"]


def test_own_aliases_win() -> None:
    """An alias of the file replaces one of the agent's."""
    text = "version: v1.1.0\nalias:\n  values: {acr: mine:1}\nsteps:\n- cmd: acr purge\n"
    (use,) = read(text).images

    assert str(use.reference) == "docker.io/library/mine:1"
    assert use.way == ("acr is an alias", "cmd: mine:1")


def test_the_agents_images_are_for_linux() -> None:
    """On Windows there are no image aliases."""
    text = "version: v1.1.0\nsteps:\n- cmd: bash\n"

    assert images(read(text, run=RunContext("r", "t", "windows"))) == [
        "docker.io/library/bash:latest tool"
    ]
    assert "which tag of mcr.microsoft.com/acr/bash it stands for" in told(read(text))


@pytest.mark.parametrize("text", ["x:$other", "other run", "$Registry/x"])
def test_aliases_from_elsewhere(text: str) -> None:
    """Where aliases come from other files, every name may be one of them."""
    before = "version: v1.1.0\nalias:\n  src: [https://example.com/a.yaml]\n  values: {mine: m/n}\n"

    assert "alias.src" in told(read(f"{before}steps:\n- cmd: {text}\n"))
    assert images(read(f"{before}steps:\n- cmd: $mine\n")) == ["docker.io/m/n:latest tool"]
    assert read(f"{before}steps:\n- cmd: a/b:c\n").unknown == ()


def test_the_alias_section_knows_the_values() -> None:
    """The agent fills in its templates before it reads the section, quoted or not."""
    before = (
        "version: v1.1.0\nalias:\n  values:\n    a: {{.Values.x}}\n"
        "    b: {{ .Values.y | default `c` }}\n"
    )
    found = read(f"{before}steps:\n- cmd: $a:$b\n", values={"x": "tool"})

    assert images(found) == ["docker.io/library/tool:c tool"]
    missing = read(f"{before}steps:\n- cmd: $a:1\n")
    assert missing.missing == ("x",)


def test_comments_are_left_out_first() -> None:
    """A comment may say anything, with aliases and without."""
    text = "# {{nonsense\nversion: v1.1.0\nsteps:\n- cmd: a\n"

    assert len(read(text).steps) == 1
    assert len(read(text.replace("v1.1.0", "v1.0.0")).steps) == 1


def test_a_line_that_is_too_long_for_the_agent() -> None:
    """Its scanner stops there, so what follows is not known to be read."""
    text = f"version: v1.1.0\nsteps:\n- cmd: a\nx: {'y' * 70_000}\n"
    (unknown,) = read(text).unknown

    assert (unknown.line, unknown.makes) == (4, True)
    assert "64 KiB" in unknown.reason
    assert len(read(text.replace("v1.1.0", "v1.0.0")).steps) == 1


# Values: given, empty, not given.


def test_a_value_that_is_not_given_is_told_first() -> None:
    """By name, with what gives it, before whatever follows from it."""
    found = read(
        "version: v1.1.0\nsteps:\n- build: -t $Registry/a:1 -f $ID .\n"
        "- build: -t {{.Values.TAG}} .\n- push: ['{{.Values.TAG}}', '{{.Values.B}}']\n"
    )

    assert found.missing == ("TAG", "B")
    assert [(m.text, m.line) for m in found.unknown[:2]] == [
        ("{{.Values.TAG}}", 4),
        ("{{.Values.B}}", 5),
    ]
    assert found.unknown[0].reason == (
        "value TAG is given by no `--set` of the task; runs of it need"
        " `az acr task run --set TAG=...`"
    )
    assert found.pushes == ()


@pytest.mark.parametrize(
    "text",
    [
        "- build: -t a:1 --build-arg REG={{.Values.Reg}} .",
        "- build: -t a:{{.Values.Reg}} .",
        "- cmd: tool {{.Values.Reg}}",
        "- cmd: tool\n  env: [A={{.Values.Reg}}]",
        "- cmd: tool\n  workingDirectory: '{{.Values.Reg}}'",
        "- cmd: tool\n  user: '{{.Values.Reg}}'",
    ],
)
def test_whatever_a_step_needs_counts(text: str) -> None:
    """A step whose text holds a value that nobody gives cannot be meant to run so."""
    found = read(f"version: v1.1.0\nsteps:\n{text}\n", {"Dockerfile": "FROM node\n"})

    assert found.missing == ("Reg",)


@pytest.mark.parametrize(
    "text",
    [
        "- cmd: tool:{{.Values.x | default `1`}}",
        "- cmd: tool:{{if .Values.x}}2{{else}}1{{end}}",
        "- cmd: tool:{{coalesce .Values.x .Values.y `1`}}",
        "- cmd: tool:{{if eq .Values.x `2`}}2{{else}}1{{end}}",
        "{{if .Values.x}}- cmd: other{{end}}\n- cmd: tool:1",
        "{{range .Values.x}}- cmd: other{{end}}\n- cmd: tool:1",
        "{{with .Values.x}}- cmd: other{{end}}\n- cmd: tool:1",
    ],
)
def test_what_conditions_and_defaults_are_for(text: str) -> None:
    """A value that is asked about, and not put into the text, may be missing."""
    found = read(f"version: v1.1.0\nsteps:\n{text}\n")

    assert (images(found), found.missing) == (["docker.io/library/tool:1 tool"], ())


def test_a_value_that_is_empty_is_given() -> None:
    """The agent's own behaviour for an empty value stays."""
    text = "steps:\n- build: -t a:1 --build-arg REG={{.Values.Reg}} .\n- push: [a:1]\n"
    files = {"Dockerfile": "ARG REG\nFROM ${REG}node:18\n"}

    for more in ({"values": {"Reg": ""}}, {"values_file": "Reg:"}, {"values_file": "Reg: ''"}):
        found = read(text, files, **more)
        assert images(found) == ["docker.io/library/node:18 runtime"]
        assert found.missing == ()
    given = read(text, files, values={"Reg": "mybase.azurecr.io/"})
    assert images(given) == [f"{NODE} runtime"]
    assert read(text, files).images == ()


def test_an_argument_that_matters_to_nothing_hides_nothing() -> None:
    """What the Dockerfile reads either way is known, although the run needs the value."""
    text = "steps:\n- build: -t a:1 --build-arg V={{.Values.V}} .\n- push: [a:1]\n"
    found = read(text, {"Dockerfile": f"ARG V\nFROM {NODE}\nLABEL v=$V\n"})

    assert images(found) == [f"{NODE} runtime"]
    assert found.missing == ("V",)


def test_values_of_the_task_win() -> None:
    """A value of the task is its text, whatever the values file says."""
    text = "steps:\n- cmd: a:{{.Values.tag}}\n"

    assert images(read(text, values={"tag": "3.10"}, values_file="tag: 3.1")) == [
        "docker.io/library/a:3.10 tool"
    ]
    assert "the value tag is secret" in told(read(text, hidden=("tag",), values_file="tag: 1"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a: ]", "line 1 of the values file: not YAML"),
        ("- a", "line 1 of the values file: the values file is not a mapping"),
        # To yaml.v2 its keys may be anything, and encoding/json takes only texts.
        ("x: 1\na:\n  b: c", "line 3 of the values file: a mapping inside of the values"),
        ("a: [1, [{b: c}]]", "line 1 of the values file: a mapping inside of the values"),
        ("a: .nan", "not finite"),
        ("a: [-.inf]", "not finite"),
    ],
)
def test_values_that_the_agent_refuses(content: str, problem: str) -> None:
    """A values file that is none is told apart from the task file."""
    with pytest.raises(InvalidBuildFile) as raised:
        read("steps: []", values_file=content)
    assert problem in raised.value.problem
    assert raised.value.line == 0


# YAML.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"),
        ("1", 1),
        ("-1", -1),
        ("+1", 1),
        ("0o17", 15),
        ("017", 15),
        ("08", 8.0),
        ("0x1f", 31),
        ("0b101", 5),
        ("-0b101", -5),
        ("1_000", 1000),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("1:30", "1:30"),
        ("2024-01-02", "2024-01-02"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("~", None),
        ("Null", None),
        ("No", False),
        ("off", False),
        ("Y", True),
        ("1" * 5000, "1" * 5000),
        ("1e400", "1e400"),
        ('!!int "5"', 5),
        ("!!float 5", 5.0),
        ("!!bool on", True),
        ("!!null ~", None),
        ("!!timestamp 2001-01-01", "2001-01-01"),
        ("!own 5", "5"),
        ("-.inf", float("-inf")),
    ],
)
def test_scalars_are_those_of_yaml_v2(text: str, value: object) -> None:
    """What a plain scalar means, as gopkg.in/yaml.v2 resolves it."""
    node = _yaml.fields(_yaml.compose(f"a: {text}", int), int, "x")["a"]

    assert _yaml.value(node) == value
    assert type(_yaml.value(node)) is type(value)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1"),
        (1.5, "1.5"),
        (-0.5, "-0.5"),
        (100000.0, "100000"),
        (1000000.0, "1e+06"),
        (1234567.5, "1.2345675e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (0.0, "0"),
        (1e300, "1e+300"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_are_printed_as_go_does(number: float, text: str) -> None:
    """The shortest digits that mean the number."""
    assert _yaml.go_float(number) == text


def test_merges_are_set_in_their_place() -> None:
    """What stands behind a merge wins over it, and it over what stands before, as in yaml.v2."""
    text = (
        "x: &x {cmd: one, id: a}\nsteps:\n- *x\n- {<<: *x, id: b}\n- {id: d, <<: [{id: c}, *x]}\n"
        "- {cmd: two, <<: {cmd: three}}\n"
    )

    assert [use.line for use in read(text).images] == [1, 6]
    assert [(s.id, s.tools) for s in read(text).steps] == [
        ("a", ("docker.io/library/one:latest",)),
        ("b", ("docker.io/library/one:latest",)),
        ("c", ("docker.io/library/one:latest",)),
        ("acb_step_3", ("docker.io/library/three:latest",)),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("--- &r\nversion: v1.1.0\n<<: [*r, *r]\nsteps: []\n", "contains itself"),
        ("a: &a {<<: *a}\nsteps: []\nx: *a\n<<: *a\n", "contains itself"),
        (
            "".join(
                f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9 if n else ['{x: y}'])}]}}\n"
                for n in range(11)
            )
            + "<<: *a10\nsteps: []\n",
            "too many fields",
        ),
        ("<<: no\nsteps: []", "map merge requires map"),
        ("<<: [{a: b}, no]\nsteps: []", "map merge requires map"),
        ("[a]: b\nsteps: []", "a key is not a string"),
    ],
)
def test_merges_that_the_agent_refuses(text: str, problem: str) -> None:
    """One that contains itself, and one that multiplies, is refused before it takes long."""
    with pytest.raises(InvalidBuildFile) as raised:
        read(text)
    assert problem in raised.value.problem
    with pytest.raises(InvalidBuildFile):
        read("steps: []", values_file=text)


def test_a_deep_chain_of_merges_is_bounded() -> None:
    """Each of them is small, and none contains itself."""
    text = "a0: &a0 {x: y}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 60))
    with pytest.raises(InvalidBuildFile, match="too deeply"):
        read(f"{text}<<: *a59\nsteps: []\n")


def test_yaml_without_libyaml_is_the_same() -> None:
    """A PyYAML that was built without it reads the same nodes."""
    text = "a: [1, 'x', !!str 2]\nb: &b {c: ~}\nd: {<<: *b}\n"

    def meaning(composer: type) -> object:
        reader = composer(text)
        root = reader.get_node() if reader.check_node() else None
        reader.dispose()
        found = _yaml.fields(root, int, "x")
        return (
            [_yaml.value(item) for item in _yaml.items(found["a"], int, "a")],
            _yaml.fields(found["d"], int, "d").keys(),
        )

    assert meaning(_yaml._Python) == meaning(_yaml._Composer) == ([1, "x", "2"], {"c"})


# What is refused.


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("steps:\n- build: [", 2, "not YAML"),
        ("steps:\n\t- x", 2, "not YAML"),
        ("a: \x00", 0, "not YAML"),
        ("- build: .", 1, "the task file is not a mapping"),
        ("steps: {a: b}", 1, "steps is not a list"),
        ("steps: [x]", 1, "a step is not a mapping"),
        ("steps:\n- id: x", 2, "missing a cmd, build, or push"),
        ("steps:\n- cmd: ''", 2, "missing a cmd, build, or push"),
        ("steps:\n- cmd: x\n- {cmd: a, build: b}", 3, "only contain a single"),
        ("steps:\n- build: [a]", 2, "build is not a string"),
        # The agent takes no single value for a list.
        ("steps:\n- push: a", 2, "push is not a list"),
        ("steps:\n- {cmd: x, env: A=b}", 2, "env is not a list"),
        ("steps:\n- {cmd: x, when: a}", 2, "when is not a list"),
        ("steps:\n- {cmd: x, timeout: a}", 2, "timeout is not a number"),
        ("steps:\n- {cmd: x, timeout: true}", 2, "timeout is not a number"),
        ("steps:\n- {cmd: x, keep: 1}", 2, "keep is not true or false"),
        ("steps:\n- {cmd: x, exitedWith: [a]}", 2, "exitedWith is not a number"),
        ("steps:\n- {cmd: x, retries: -1}", 2, "retries >= 0"),
        ("steps:\n- {cmd: x, repeat: -1}", 2, "repeat >= 0"),
        ("steps:\n- {build: x, cache: maybe}", 2, "cache property"),
        ("steps:\n- {cmd: x, id: a b}", 2, "cannot contain spaces"),
        ("steps:\n- {id: a, cmd: x}\n- {id: a, cmd: x}", 3, "duplicate step ID: a"),
        ("steps:\n- {id: acb_step_1, cmd: x}\n- cmd: x", 3, "duplicate step ID: acb_step_1"),
        ("steps:\n- {id: acb_root, cmd: x}", 2, "acb_root"),
        ("steps:\n- {cmd: x, when: [a]}", 2, "a does not exist as a vertex"),
        ("steps:\n- {id: a, cmd: x, when: [a]}", 2, "self-referenced"),
        ("steps:\n- {id: a, cmd: x, when: ['-', a]}", 2, "beside -"),
        ("stepTimeout: x\nsteps: []", 1, "stepTimeout is not a number"),
        ("\nversion: v2.0.0\nsteps: []", 2, 'invalid version specified: "v2.0.0"'),
        ("env: [a]\nsteps:\n- cmd: x", 3, "task environment variable a"),
        ("env: [a=b]\nsteps:\n- {cmd: x, env: [c]}", 3, "step environment variable c"),
        ("version: v1.1.0\nalias:\n  values: {a-b: c}", 2, "alphanumeric"),
        ("version: v1.1.0\nalias: {directive: ab}", 2, "directive"),
        ("version: v1.1.0\nalias:\n  directive: x", 2, "directive"),
        ("version: v1.1.0\nalias: [", 2, "not YAML"),
        ("version: v1.1.0\nalias: {src: a}", 2, "alias.src is not a list"),
        ("secrets: [{id: a}]\nsteps: []", 1, "no key vault"),
        ("secrets: [{id: a b, keyvault: c}]\nsteps: []", 1, "no key vault"),
        ("secrets: [{id: a, keyvault: b, clientID: c}]\nsteps: []", 1, "not a valid guid"),
        ("secrets: [&a {id: a, keyvault: b}, *a]\nsteps: []", 1, "duplicate secret"),
        ("volumes: [{name: a b, secret: {c: d}}]\nsteps: []", 1, "not well formed"),
        ("volumes: [{name: a}]\nsteps: []", 1, "source type secret"),
        ("volumes: [&a {name: a, secret: {c: d}}, *a]\nsteps: []", 1, "duplicate name"),
        ("steps:\n- {cmd: x, volumeMounts: [{name: a}]}", 2, "invalid use of Mounts"),
        (
            "steps:\n- {cmd: x, volumeMounts: [{name: a, mountPath: /b}]}",
            2,
            "does not correspond to a volume",
        ),
        ("x: " + "[" * 60, 1, "nested too deeply"),
        ("x: [" + "a," * 30_000, 1, "too many values"),
        ("- " * 60 + "a", 1, "nested too deeply"),
        ("x" * 300_000, 0, "longer than"),
    ],
)
def test_files_that_are_refused(text: str, line: int, problem: str) -> None:
    """A file that the agent refuses is refused with line and reason."""
    with pytest.raises(InvalidBuildFile) as raised:
        read(text)
    assert problem in raised.value.problem
    assert raised.value.line == line


def test_bytes_that_are_no_text() -> None:
    """A file that is not UTF-8 is refused; a byte order mark and carriage returns are no words."""
    with pytest.raises(InvalidBuildFile, match="UTF-8"):
        read("\ud800")

    assert images(read("\ufeffsteps:\r\n- cmd: x\r\n")) == ["docker.io/library/x:latest tool"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "steps:\n", "steps: []\n---\nsteps: [x]\n"])
def test_files_without_steps(text: str) -> None:
    """A file may do nothing; what follows its first document does not count."""
    assert read(text).steps == ()


def test_what_says_nothing_of_images_is_passed_over() -> None:
    """Secrets, networks, volumes, times and orders."""
    found = read(
        "version: 1.0-preview-1\nstepTimeout: 60\n"
        "secrets: [{id: a, keyvault: b, clientID: 12345678-1234-1234-1234-123456789abc}]\n"
        "networks: [{name: n}]\nvolumes: [{name: v, secret: {a: b}}]\nsteps:\n"
        "- {cmd: a, when: ['-'], timeout: 5.0, retries: ~, entryPoint: sh, exitedWith: [1]}\n"
        "- {cmd: b, when: [acb_step_0], volumeMounts: [{name: v, mountPath: /x}], keep: yes}\n"
    )

    assert images(found) == ["docker.io/library/a:latest tool", "docker.io/library/b:latest tool"]


@pytest.mark.parametrize(
    "text",
    [
        "version: v1.1.0\nalias:\n  values:\n    a: '" + "x" * 50_000 + "'\nsteps: " + "$a " * 100,
        "steps: " + "{{.Values.a}}" * 100,
    ],
)
def test_files_that_grow(text: str) -> None:
    """A file that aliases or values multiply is refused before it fills the memory."""
    with pytest.raises(InvalidBuildFile):
        read(text, values={"a": "a" * 50_000})


def test_functions_that_multiply() -> None:
    """What one would make is not made, and not known."""
    found = read('{{replace "a" .Values.a .Values.a}}', values={"a": "a" * 50_000})

    assert not found.steps
    assert "what the template function replace is given is not understood" in told(found)


def test_the_values_and_files_of_one_are_not_read_twice() -> None:
    """A Dockerfile whose argument is not known is parsed again, and not fetched again."""
    files = Files({"Dockerfile": f"ARG V\nFROM {NODE}\n"})
    read("version: v1.1.0\nsteps:\n- build: -t a --build-arg V=$ID .\n", files, run=RUN)

    assert files.asked == [("", "Dockerfile")]


# Refusals that depend on what is not known.

TAG = "value N is given by no `--set` of the task; runs of it need `az acr task run --set N=...`"


@pytest.mark.parametrize(
    "text",
    [
        "steps:\n- cmd: tool:1\n  retries: {{.Values.N}}\n",
        "version: {{.Values.N}}\nsteps:\n- cmd: tool:1\n",
        "steps:\n{{.Values.N}}\n- push: [x]\n",
        "steps: {{.Values.N}}\n",
    ],
)
def test_a_value_that_nobody_gives_is_told_before_what_follows_from_it(text: str) -> None:
    """The file is right with one, so it is the value that is missing, and nothing is guessed."""
    found = read(text)

    assert found.missing == ("N",)
    assert found.unknown[0].reason == TAG
    assert found.unknown[1].reason == f"how it is read depends on {{{{.Values.N}}}}: {TAG}"
    assert output_of(found).makes is Makes.UNKNOWN
    assert not found.steps
    given = read(text, values={"N": ""})
    assert not given.missing


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (
            "steps:\n- cmd: {{.Values.N}}: run\n",
            f"line 2: {TAG}; without it: not YAML: mapping values are not allowed in this context",
        ),
        (
            "steps:\n- cmd: {{.Values.N}}\n  retries: x\n",
            f"line 3: {TAG}; without it: retries is not a number that fits",
        ),
        (
            "version: {{.Run.ID}}\nsteps:\n- cmd: tool:1\n",
            'line 1: invalid version specified: "{{.Run.ID}}"',
        ),
        ("steps:\n- cmd: x:{{.Run.ID}}: y\n", "line 2: not YAML"),
    ],
)
def test_what_is_wrong_with_any_value_is_refused(text: str, refusal: str) -> None:
    """Values that are missing are named first; no stand-in is shown."""
    with pytest.raises(InvalidBuildFile) as refused:
        read(text)

    assert str(refused.value).startswith(refusal)


def test_what_a_run_tells_may_settle_it() -> None:
    """A number that is secret may be one; that is not known, and no value is missing."""
    found = read("steps:\n- cmd: tool:1\n  timeout: {{.Values.T}}\n", hidden=("T",))

    assert not found.missing
    assert told(found) == (
        "3: the task file: how it is read depends on {{.Values.T}}: the value T is secret"
    )
