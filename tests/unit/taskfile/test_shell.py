"""Command lines, taken apart as a shell does it."""

from __future__ import annotations

import pytest

from rebuilder.core.taskfile._commands.shell import Script, parse
from rebuilder.core.taskfile._text import Unknowns
from rebuilder.errors import InvalidBuildFile

VARIABLES = {"A": "one", "TWO": "x y", "EMPTY": ""}


def taken(text: str, *, known: bool = True, windows: bool = False) -> tuple[Script, Unknowns]:
    """Take a text apart; return the stand-ins, too."""
    unknowns = Unknowns(text)
    variables = VARIABLES if known else None
    return parse(text, 7, unknowns, variables=variables, windows=windows), unknowns


def words(text: str, *, windows: bool = False) -> list[list[str]]:
    """Return the words of every command."""
    found, unknowns = taken(text, windows=windows)
    return [[unknowns.readable(word) for word in command.words] for command in found.commands]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", [["a", "b"]]),
        (" a \t b ", [["a", "b"]]),
        ("a 'b c' \"d e\" f\\ g", [["a", "b c", "d e", "f g"]]),
        ("a''b\"\"c", [["abc"]]),
        ("'' \"\"", [["", ""]]),
        ("a \\\n  b", [["a", "b"]]),
        ('"a\\"b\\$c\\`d\\\\e\\f"', [['a"b$c`d\\e\\f']]),
        ('"a\\\nb"', [["ab"]]),
        ("a # b\nc", [["a"], ["c"]]),
        ("a#b", [["a#b"]]),
        ("a && b || c; d | e & f\ng", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"], ["g"]]),
        ("a&&b", [["a"], ["b"]]),
        ("$A ${A} '$A' \"$A\"", [["one", "one", "$A", "one"]]),
        ('$TWO "$TWO" p$TWO', [["x", "y", "x y", "px", "y"]]),
        ("a$EMPTY b", [["a", "b"]]),
        ("a $ b$", [["a", "$", "b$"]]),
        (
            "$NONE ${NONE} ${A:-b} `x y` $(x (y))",
            [["$NONE", "${NONE}", "${A:-b}", "`x y`", "$(x (y))"]],
        ),
        ("a >b <c 2>&1 d >>e", [["a", "d"]]),
        ("a &>b", [["a"]]),
        ("", []),
        ("a &&\n\n b |\nc", [["a"], ["b"], ["c"]]),
    ],
)
def test_words(text: str, expected: list[list[str]]) -> None:
    """Quotes, variables, lines and operators are the shell's."""
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("a; if b; then c; fi", "if b"),
        ("for x in y; do z; done", "for x in y"),
        ("a && (b; c)", "(b; c)"),
        ("a\nf() { b; }", "f() { b; }"),
        ("cat <<EOF\nx\nEO\nb", "cat <<EOF\nx\nEO\nb"),
        ("cat <<EOF", "cat <<EOF"),
        ("cat <<$A\nb\n", "cat <<$A\nb"),
        ("while true", "while true"),
        ("! a", "! a"),
        ("[[ a ]]", "[[ a ]]"),
    ],
)
def test_what_is_not_followed(text: str, rest: str) -> None:
    """From a compound command on, nothing is guessed."""
    found, _ = taken(text)

    assert found.rest == rest
    assert [command.words for command in found.commands] == ([["a"]] if text[0] == "a" else [])


def test_redirects_and_assignments() -> None:
    """They are kept apart from the words."""
    found, _ = taken("A=b C='d e' cmd A=b 2>/dev/null >out <in\nX=y\n>empty")
    one, two, three = found.commands

    assert one.assignments == {"A": "b", "C": "d e"}
    assert one.words == ["cmd", "A=b"]
    assert one.redirects == [(">", "/dev/null"), (">", "out"), ("<", "in")]
    assert (two.words, two.assignments, two.joined) == ([], {"X": "y"}, ";")
    assert three.redirects == [(">", "empty")]


@pytest.mark.parametrize("text", ["'a", '"a', '"a\\', "a \"b 'c"])
def test_quotes_that_are_not_closed(text: str) -> None:
    """They are refused with the line of the step."""
    with pytest.raises(InvalidBuildFile, match="quote") as raised:
        taken(text)
    assert raised.value.line == 7


@pytest.mark.parametrize("text", ["a $(b", "a `b", "a ${b", "a $'b' c", "a $(b (c (d (e))))"])
def test_expansions_that_are_not_followed(text: str) -> None:
    """The rest is one word that is not known."""
    found, unknowns = taken(text)
    (command,) = found.commands

    assert command.words[0] == "a"
    assert unknowns.reasons(command.words[1])


def test_the_agents_own_variables_are_not_known() -> None:
    """Without any known variable, one that is meant as an alias is told so."""
    found, unknowns = taken("$Registry/x", known=False)

    assert unknowns.reasons(found.commands[0].words[0]) == (
        "the agent's shell fills in $Registry, which is no alias (version v1.1.0 has them)",
    )


def test_windows_has_backslashes_in_words() -> None:
    """To PowerShell a backslash is a letter."""
    assert words(r"a c:\x\y 'd\e' " + r'"f\g"', windows=True) == [["a", r"c:\x\y", r"d\e", r"f\g"]]


@pytest.mark.parametrize(
    "text", [";;", "; a", "a; ; b", "a &&", "a | | b", "a || && b", "& a", "a |"]
)
def test_what_a_shell_refuses_none_of_it_runs(text: str) -> None:
    """An operator with nothing to do is an error of the whole text."""
    with pytest.raises(InvalidBuildFile, match="a command is missing"):
        words(text)
