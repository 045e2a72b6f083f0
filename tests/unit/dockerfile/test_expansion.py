"""Every form of expansion, quotes and escapes; most of it through a global ARG and a FROM."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.dockerfile._shell.lexer import Lexer
from rebuilder.core.dockerfile._shell.patterns import Pattern, turned_round
from rebuilder.core.dockerfile._shell.variables import Variable, WordError
from rebuilder.core.dockerfile._text import EXPANSION_LIMIT
from tests.unit.dockerfile.reading import final, images, refusal

VARIABLES = {
    "set": "value",
    "empty": "",
    "path": "a/b/c",
    "name": "reg.io/team/app:1.2.3",
    "stars": "a*b*c",
    "lines": "one\ntwo",
    "_u1": "underscore",
    "ünï": "letters",
}


def expand(word: str, escape: str = "\\", **variables: str) -> str:
    """A word expanded with the variables above and more."""
    values = VARIABLES | variables
    known = {name: Variable(name, value, "the test") for name, value in values.items()}
    return Lexer(escape).expand(word, known)


def problem_of(word: str) -> str:
    """Why a word is refused."""
    with pytest.raises(WordError) as caught:
        expand(word)
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("$set", "value"),
        ("${set}", "value"),
        ("a${set}b", "avalueb"),
        ("$set-$set", "value-value"),
        ("$setx", ""),
        ("${set}x", "valuex"),
        ("$_u1", "underscore"),
        ("$ünï.", "letters."),
        ("${ünï}", "letters"),
        ("$unset", ""),
        ("$empty", ""),
        ("$", "$"),
        ("a$", "a$"),
        ("$.", "$."),
        ("$ x", "$ x"),
        ("$(set)", "$(set)"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_names(word: str, expanded: str) -> None:
    """A name is letters, digits and underscores; what is not set is empty; a lone $ stays."""
    assert expand(word) == expanded


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("$1x", "x"),
        ("$12", ""),
        ("$@", ""),
        ("$*", ""),
        ("$#", ""),
        ("$?", ""),
        ("$-a", "a"),
        ("$$set", "set"),
        ("$!", ""),
        ("$0", ""),
        ("${1}", ""),
        ("${@}", ""),
        ("${1:-d}", "d"),
        ("${-}", ""),
    ],
)
def test_positional_and_special_names(word: str, expanded: str) -> None:
    """Positional and special parameters are names like others, and nothing sets them."""
    assert expand(word) == expanded


@pytest.mark.parametrize(
    ("form", "of_set", "of_empty", "of_unset"),
    [
        ("${%s:-w}", "value", "w", "w"),
        ("${%s-w}", "value", "", "w"),
        ("${%s:+w}", "w", "", ""),
        ("${%s+w}", "w", "w", ""),
        ("${%s:-}", "value", "", ""),
        ("${%s:-${set}s}", "value", "values", "values"),
        ("${%s:-${unset:-${set}}}", "value", "value", "value"),
        ("${%s:+'}'}", "}", "", ""),
        ('${%s:-"a b"}', "value", "a b", "a b"),
        ("${%s:-\\}}", "value", "}", "}"),
        ("${%s:-a:b-c}", "value", "a:b-c", "a:b-c"),
    ],
)
def test_defaults_and_alternatives(form: str, of_set: str, of_empty: str, of_unset: str) -> None:
    """`-` and `+` ask whether a variable is set; with a colon, whether it is not empty, too."""
    got = [expand(form % name) for name in ("set", "empty", "unset")]

    assert got == [of_set, of_empty, of_unset]


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("${unset:?}", "unset: is not allowed to be unset"),
        ("${unset?}", "unset: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${unset:?give $set}", "unset: give value"),
        ("${empty:?give it}", "empty: give it"),
    ],
)
def test_a_question_mark_demands(word: str, problem: str) -> None:
    """`:?` refuses what is not set or empty, `?` what is not set, with a message."""
    assert problem_of(word).endswith(problem)
    assert expand("${set:?no}${empty?no}") == "value"


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("${path#a}", "/b/c"),
        ("${path#*/}", "b/c"),
        ("${path##*/}", "c"),
        ("${path%/*}", "a/b"),
        ("${path%%/*}", "a"),
        ("${path#x}", "a/b/c"),
        ("${path#?}", "/b/c"),
        ("${path%?}", "a/b/"),
        ("${path##*}", ""),
        ("${path#*}", "a/b/c"),
        ("${path%%*}", ""),
        ("${path%*}", "a/b/c"),
        ("${name##*:}", "1.2.3"),
        ("${name%:*}", "reg.io/team/app"),
        ("${name%%.*}", "reg"),
        ("${name#*.*.}", "2.3"),
        ("${name##*[/]}", "reg.io/team/app:1.2.3"),
        ("${stars#a\\*}", "b*c"),
        ("${stars##*\\*}", "c"),
        ("${stars%\\**}", "a*b"),
        ("${unset#x}", ""),
        ("${set#$set}", ""),
        ("${set#\\}}", "value"),
        ("${lines#*e}", "\ntwo"),
        ("${lines##*o}", "ne\ntwo"),
        ("${lines%w*}", "one\nt"),
    ],
)
def test_prefixes_and_suffixes(word: str, expanded: str) -> None:
    """`#` and `%` take the shortest match away, doubled the longest; `*` and `?` know no lines."""
    assert expand(word) == expanded


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("${path/\\//-}", "a-b/c"),
        ("${path//\\//-}", "a-b-c"),
        ("${path/b/}", "a//c"),
        ("${path/x/y}", "a/b/c"),
        ("${path/*/x}", "x"),
        ("${path//*/x}", "x"),
        ("${path//?/x}", "xxxxx"),
        ("${path//b*/x}", "a/x"),
        ("${path/*\\//x}", "xc"),
        ("${path///x}", "xax/xbx/xcx"),
        ("${name/:*/:9}", "reg.io/team/app:9"),
        ("${name//./_}", "reg_io/team/app:1_2_3"),
        ("${unset/a/b}", ""),
        ("${set/$set/$path}", "a/b/c"),
        ("${set/v/b\\}}", "b\\}alue"),
        ("${path//b/'$0$1$$'}", "a/b$/c"),
        ("${path/b/'$0'}", "a/$0/c"),
        ("${lines//o*/x}", "x\ntwx"),
    ],
)
def test_replacements(word: str, expanded: str) -> None:
    """`/` replaces the first match, `//` every one; escapes of the replacement stay, as in Go."""
    assert expand(word) == expanded


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("'$set'", "$set"),
        ('"$set"', "value"),
        ("\"'$set'\"", "'value'"),
        ("'\"'", '"'),
        ("a'b'\"c\"d", "abcd"),
        ("\\$set", "$set"),
        ('"\\$set"', "$set"),
        ('"\\"\\\\"', '"\\'),
        ('"\\a"', "\\a"),
        ("\\a", "a"),
        ("\\\\", "\\"),
        ("a\\", "a"),
        ("''", ""),
        ("'\\'", "\\"),
        ("\\'", "'"),
        ("'a b'", "a b"),
    ],
)
def test_quotes_and_escapes(word: str, expanded: str) -> None:
    """Single quotes keep everything, double quotes all but $, and the escape what follows it."""
    assert expand(word) == expanded


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("`$set", "$set"),
        ("\\$set", "\\value"),
        ('"`""', '"'),
        ("a`b", "ab"),
        ("${set#`v}", "value"),
    ],
)
def test_the_escape_may_be_a_backtick(word: str, expanded: str) -> None:
    """With `# escape=`` the backtick escapes, and the backslash is a character."""
    assert expand(word, "`") == expanded


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("${", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:}", "syntax error: bad substitution"),
        ("${{x}", "syntax error: bad substitution"),
        ("${x", "unsupported modifier (\ufffd) in substitution"),
        ("${x!y}", "unsupported modifier (!) in substitution"),
        ("${x:y}", "unsupported modifier (:y) in substitution"),
        ("${x:#y}", "unsupported modifier (:#) in substitution"),
        ("${x:", "syntax error: missing '}'"),
        ("${-x}", "unsupported modifier (x) in substitution"),
        ("${x:-y", "syntax error: missing '}'"),
        ("${x:-'y}", "syntax error: missing '}'"),
        ("${x/y", "syntax error: missing '/' in ${}"),
        ("${x/y/z", "syntax error: missing '}'"),
        ("${path#\\a}", "invalid pattern (\\a) in substitution: invalid escape '\\a'"),
        ("'x", "unexpected end of statement while looking for matching single-quote"),
        ('"x', "unexpected end of statement while looking for matching double-quote"),
        ('"x\\', "unexpected end of statement while looking for matching double-quote"),
        ('${x:-"${}"y}', "syntax error: bad substitution"),
    ],
)
def test_what_is_malformed_is_refused(word: str, problem: str) -> None:
    """A word that the lexer cannot read is refused with its reason, and the word."""
    found = problem_of(word)

    assert found.startswith("failed to process ")
    assert found.endswith(problem)


def test_from_and_arguments_are_expanded() -> None:
    """FROM and the defaults of global ARGs know all of this."""
    text = 'ARG IMAGE="reg.io/team/app"\nARG T\nFROM ${IMAGE##*/}:"${T:-$(x)}"\n'

    assert refusal(text)[0] == 3
    assert final(text, T="1") == "app:1"
    assert final("# escape=`\nARG T=1`2\nFROM alpine:$T\n") == "alpine:12"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM a\nENV X=${\n", 2),
        ("FROM a\nENV X='y\n", 2),
        ('FROM a\nENV X=1 Y="${X!}"\n', 2),
        ('FROM a\nENV "X=1"\n', 2),
        ("FROM a\nLABEL x=${y:y}\n", 2),
        ("FROM a\nARG X=${\n", 2),
        ("FROM a\nWORKDIR ${\n", 2),
        ("FROM a\nUSER 'x\n", 2),
        ("FROM a\nEXPOSE ${x\n", 2),
        ("FROM a\nVOLUME ${x\n", 2),
        ("FROM a\nSTOPSIGNAL ${x\n", 2),
        ('FROM a\nCOPY "a b" /x\n', 2),
        ("FROM a\nCOPY --chown=${ a b\n", 2),
        ("FROM a\nADD a ${\n", 2),
        ("FROM a\nRUN --mount=type=cache,target=${ x\n", 2),
        ("FROM a\nCOPY <<E /x\n${\nE\n", 2),
    ],
)
def test_words_of_stages_are_looked_at(text: str, line: int) -> None:
    """A word that cannot be read is refused at its line, if the stage is built."""
    assert refusal(text)[0] == line
    assert len(images(text + "FROM b\n")) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ARG X=${\nFROM a\n", 1),
        ("ARG X=${Y:?no}\nFROM a\n", 1),
        ("FROM ${X\nFROM a\n", 1),
        ("FROM a\nFROM 'a\nFROM a\n", 2),
    ],
)
def test_words_of_global_scope_are_looked_at(text: str, line: int) -> None:
    """A word of FROM or of a global ARG that cannot be read is refused, needed or not."""
    assert refusal(text)[0] == line


@pytest.mark.parametrize(
    "instruction",
    [
        "RUN echo ${",
        'CMD echo "${',
        "ENTRYPOINT ${",
        "HEALTHCHECK CMD ${",
        "MAINTAINER 'x",
        "ONBUILD ENV X=${",
        "COPY <<'E' /x\n${\nE",
        "COPY <<E /x\n'\nE",
    ],
)
def test_what_is_not_expanded_may_hold_anything(instruction: str) -> None:
    """Commands, triggers and quoted heredocs are never expanded, so nothing in them is wrong."""
    assert images(f"FROM a\n{instruction}\n") == ["1 runtime a:latest"]


def test_a_build_argument_spares_a_default() -> None:
    """The default of an ARG is not looked at when a build argument replaces it."""
    assert final("ARG X=${Y:?no}\nFROM a:$X\n", X="1") == "a:1"
    assert final("FROM a\nARG X=${\n", X="1") == "a:latest"


def test_growth_is_bounded() -> None:
    """Arguments that double each other are refused before they fill the memory."""
    text = "ARG A=aaaaaaaa\n" + "ARG A=$A$A\n" * 40 + "FROM $A\n"
    line, problem = refusal(text)

    assert 2 < line < 41
    assert problem == f"the file's expansions make more than {EXPANSION_LIMIT} characters"


def test_depth_is_bounded() -> None:
    """Defaults in defaults are refused before they fill the stack."""
    text = "FROM " + "${a:-" * 3000 + "}" * 3000 + "\n"

    assert "it is nested more than" in refusal(text)[1]


def test_patterns_are_bounded() -> None:
    """Patterns that would take long are refused."""
    text = f"ARG A={'a' * 60000}\nARG B=${{A##{'*a' * 20000}b}}\nFROM a\n"

    assert "patterns need more than" in refusal(text)[1]


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(TEXTS, st.sampled_from(["\\", "`"]))
def test_an_escaped_text_expands_to_itself(text: str, escape: str) -> None:
    """A text with each character escaped means itself."""
    assert expand("".join(escape + character for character in text), escape) == text


@given(TEXTS)
def test_a_text_in_single_quotes_expands_to_itself(text: str) -> None:
    """A text between single quotes, its own spelled outside them, means itself."""
    assert expand("'" + text.replace("'", "'\\''") + "'") == text


@given(TEXTS)
def test_a_text_in_double_quotes_expands_to_itself(text: str) -> None:
    """A text between double quotes, with $, quotes and backslashes escaped, means itself."""
    escaped = "".join(f"\\{c}" if c in '$"\\' else c for c in text)

    assert expand(f'"{escaped}"') == text


@given(NAMES, TEXTS)
def test_a_value_is_not_read_again(name: str, value: str) -> None:
    """What a variable holds is not looked into for quotes and variables."""
    spelled = {name: Variable(name, value, "the test")}

    assert Lexer("\\").expand(f"<${{{name}}}>", spelled) == f"<{value}>"


@given(
    value=st.none() | st.text(string.ascii_lowercase, max_size=5),
    word=st.text(string.ascii_lowercase, max_size=5),
    colon=st.booleans(),
)
def test_defaults_are_those_of_the_shell(value: str | None, word: str, *, colon: bool) -> None:
    """The four forms with `-` and `+` are what POSIX says of them."""
    known = {} if value is None else {"v": Variable("v", value, "the test")}
    sign = ":" if colon else ""
    counts = bool(value) if colon else value is not None

    assert Lexer("\\").expand(f"${{v{sign}-{word}}}", known) == (value if counts else word)
    assert Lexer("\\").expand(f"${{v{sign}+{word}}}", known) == (word if counts else "")


LITTLE = st.text("ab*?", max_size=6)


def _matches(pattern: str, text: str) -> bool:
    """Whether a whole text matches: the plainest way there is."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_matches(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and _matches(pattern[1:], text[1:])


@given(pattern=LITTLE, value=st.text("ab", max_size=8), longest=st.booleans())
def test_prefixes_are_the_shortest_and_the_longest(
    pattern: str, value: str, *, longest: bool
) -> None:
    """What is taken away is the shortest or longest of all prefixes, or suffixes, that match."""
    ends = [end for end in range(len(value) + 1) if _matches(pattern, value[:end])]
    starts = [start for start in range(len(value) + 1) if _matches(pattern, value[start:])]
    end = (max(ends) if longest else min(ends)) if ends else 0
    start = (min(starts) if longest else max(starts)) if starts else len(value)
    behind = Pattern(turned_round(pattern)).without_prefix(value[::-1], longest=longest)

    assert Pattern(pattern).without_prefix(value, longest=longest) == value[end:]
    assert behind[::-1] == value[:start]


@given(pattern=st.text("ab*?", min_size=1, max_size=6), value=st.text("ab", max_size=8))
def test_the_first_match_is_the_leftmost_and_longest(pattern: str, value: str) -> None:
    """What is replaced begins as early as any match does, and ends as late."""
    found = [
        (start, -end)
        for start in range(len(value) + 1)
        for end in range(start, len(value) + 1)
        if _matches(pattern, value[start:end])
    ]
    start, end = min(found, default=(len(value), -len(value)))
    expected = value[:start] + "X" + value[-end:] if found else value

    assert Pattern(pattern).replaced(value, "X", every=False) == expected


@given(value=st.text("ab", max_size=8), old=st.text("ab", min_size=1, max_size=3))
def test_every_match_of_plain_text_is_replaced(value: str, old: str) -> None:
    """Without wildcards, replacing every match is what str.replace does."""
    assert Pattern(old).replaced(value, "-", every=True) == value.replace(old, "-")
