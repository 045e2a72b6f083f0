"""The syntax tree, beside that of BuildKit's own parser (PyPI's `dockerfile`, BuildKit 0.12)."""

from __future__ import annotations

import re

import dockerfile
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bench.dockerfiles import SAMPLES, mutations
from rebuilder.core.dockerfile._frontends import Frontend
from rebuilder.core.dockerfile._parser import tree as _tree
from rebuilder.core.dockerfile._parser.arguments import split_words
from rebuilder.core.dockerfile._parser.directives import read_escape
from rebuilder.core.dockerfile._parser.flags import split_flags
from rebuilder.core.dockerfile._parser.nodes import Node
from rebuilder.core.dockerfile._parser.tree import read_tree
from rebuilder.errors import InvalidBuildFile

# What changed since BuildKit 0.12 and is known to come of a release: read as it was then.
_OF_THEN = Frontend(spaced_heredocs=False, escaped_flags=False, forgetful_words=False)

# What BuildKit 0.12 reads otherwise besides, whatever the release: the check directive, and arrays
# with something behind them. What its Python package cannot tell: NULs, and ONBUILD in ONBUILD. And
# what the caller of the tree sees to: white space that is not Go's.
_NEWER = re.compile(r"check|\][^\n]*\S|\0|(?:onbuild\s+){2}|[\x1c-\x1f]", re.IGNORECASE)

type Read = list[tuple[str, int, tuple[str, ...], tuple[str, ...], bool, tuple[str, ...]]]


@pytest.fixture(name="everything", autouse=True)
def _everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read every instruction in full, the plainly right ones too."""
    monkeypatch.setattr(_tree, "HARMLESS", {})


def ours(text: str) -> Read | str:
    """The instructions, or why there are none."""
    text = text.removeprefix("\ufeff")
    lines = text.split("\n")
    try:
        nodes = read_tree(lines, read_escape(lines), _OF_THEN)
    except InvalidBuildFile as error:
        return error.problem
    return [
        (
            node.keyword.upper(),
            node.line,
            node.flags,
            _arguments(node),
            node.json,
            () if node.keyword == "onbuild" else tuple(text for _, text, _ in node.heredocs),
        )
        for node in nodes
    ]


def _arguments(node: Node) -> tuple[str, ...]:
    if node.keyword == "onbuild" and node.args:
        return (node.args[0].upper(), *node.args[1:])
    return node.args


def buildkits(text: str) -> Read | str:
    """The same by BuildKit's parser."""
    try:
        commands = dockerfile.parse_string(text)
    except dockerfile.GoParseError as error:
        return str(error)
    known = {name.upper() for name in dockerfile.all_cmds()}
    return [
        (
            (command.cmd or "").upper(),
            command.start_line,
            command.flags,
            ((command.sub_cmd.upper(),) if command.sub_cmd else ())
            + (command.value if _last_keyword(command) in known else ()),
            command.json,
            tuple(text for _, _, text in command.heredocs),  # the package drops those of ONBUILD
        )
        for command in commands
    ]


def _last_keyword(command: dockerfile.Command) -> str:
    return (command.sub_cmd or command.cmd or "").upper()


@pytest.mark.parametrize("content", SAMPLES)
def test_samples_have_the_same_tree(content: bytes) -> None:
    """Files as people write them have the tree that BuildKit's parser gives them."""
    assert ours(content.decode()) == buildkits(content.decode())


def test_mutations_have_the_same_tree() -> None:
    """Files as nobody writes them have the same tree, or are refused for the same reason."""
    compared = 0
    for content in mutations(seed=7, count=3000):
        text = content.decode(errors="replace")
        if _NEWER.search(text) or len(text) > 5000:
            continue
        compared += 1
        assert ours(text) == buildkits(text), text
    assert compared > 1000


LINES = st.lists(
    st.sampled_from(
        [
            "FROM a", "RUN ", "COPY --from=x ", "ENV ", "LABEL a=b", "ARG ", "ONBUILD ", "VOLUME ",
            "HEALTHCHECK CMD ", "# c", "", " ", "\\", "`", " \\", "\t", "'", '"', "=", "a=b", "--x",
            '["a"]', "[1]", "<<E", "<<-'E'", "<< E", "<<", "E", "E${x:-a}", "# escape=`", "\tE",
            "\r", "\u2003", "$x", "${x:-", "--", "é",
        ]
    ),
    max_size=25,
)  # fmt: skip


@given(pieces=LINES, ends=st.lists(st.sampled_from(["\n", " ", "", "\\\n"]), max_size=25))
@example(pieces=["ENV ", "a", "=b"], ends=[])
def test_pieces_in_any_order_have_the_same_tree(pieces: list[str], ends: list[str]) -> None:
    """Pieces of instructions in any order are read as BuildKit's parser reads them."""
    padded = ends + ["\n"] * len(pieces)
    text = "".join(piece + end for piece, end in zip(pieces, padded, strict=False))
    assume(not re.search(r"(?i)onbuild[\s\\`]+onbuild", text))
    assume(not re.search(r"\](?:[ \t]|[\\`]\s*)*[^\s\\`]", text))

    assert ours(text) == buildkits(text)


@given(st.text(st.sampled_from("a'\"\\` \t=$"), max_size=20), st.sampled_from(["\\", "`"]))
def test_words_are_split_as_buildkit_splits_them(text: str, escape: str) -> None:
    """Quotes and escapes hold words together, and stay in them."""
    directive = "# escape=`\n" if escape == "`" else ""
    read = buildkits(f"{directive}ARG x {text}.\n")

    assert isinstance(read, list)
    assert tuple(split_words(f"x {text}.", escape)) == read[0][3]


@given(st.text(st.sampled_from("-ab='\"\\ \té"), max_size=20))
def test_flags_are_split_as_buildkit_splits_them(text: str) -> None:
    """Flags lose quotes and escapes; what follows the last one is left."""
    read = buildkits(f"EXPOSE --{text} x\n")

    assert isinstance(read, list)
    assert split_flags(f"--{text} x")[0] == read[0][2]
