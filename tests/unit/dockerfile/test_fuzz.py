"""Nonsense is read or refused, soon; what is seen at a glance is what reading in full finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.dockerfiles import LARGE, SAMPLES, files, mutations
from rebuilder.core.dependencies.build_files import BuildImages
from rebuilder.core.dockerfile import read_dockerfile
from rebuilder.core.dockerfile._parser import tree as _tree
from rebuilder.core.dockerfile._text import FILE_LIMIT
from rebuilder.errors import InvalidBuildFile


def outcome(content: bytes, platform: str = "linux/amd64") -> BuildImages | tuple[int, str]:
    """The images, or the refusal."""
    try:
        return read_dockerfile(content, build_args={"A": "x", "EMPTY": ""}, platform=platform)
    except InvalidBuildFile as error:
        return error.line, error.problem


def test_what_is_seen_at_a_glance_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipping the plainly right instructions changes neither images nor refusals."""
    inputs = [*files(), *mutations(seed=5, count=3000)]
    quick = [outcome(content) for content in inputs]
    monkeypatch.setattr(_tree, "HARMLESS", {})

    assert [outcome(content) for content in inputs] == quick
    assert sum(isinstance(found, BuildImages) for found in quick) > 200


INSTRUCTIONS = st.builds(
    "{} {}".format,
    st.sampled_from(
        [
            "ADD",
            "ARG",
            "CMD",
            "COPY",
            "ENTRYPOINT",
            "ENV",
            "EXPOSE",
            "HEALTHCHECK",
            "LABEL",
            "RUN",
            "SHELL",
            "STOPSIGNAL",
            "USER",
            "VOLUME",
            "WORKDIR",
            "copy",
            "env",
        ]
    ),
    st.lists(
        st.sampled_from(
            [
                "a",
                "b=c",
                "b=",
                "=",
                "$x",
                "${x}",
                "${x",
                "$",
                "'",
                "'q'",
                '"',
                '"q"',
                "\\",
                "`",
                "--from=b",
                "--from=$x",
                "--chown=1",
                "--mount=type=cache,target=/x",
                "--interval=1s",
                "--interval=0x",
                "CMD",
                "NONE",
                '["a"]',
                '["a", "b"]',
                "[1]",
                '["a" ]',
                "<",
                "<<E",
                " ",
                "\t",
                "  ",
                "\u2003",
                "://",
                "é",
                "#",
                "--",
                "-",
                "[",
                "]",
                "=[",
                "x='y'",
                " https://x/y.git?bad=1",
                " https://x/y.tar.gz",
                " git@h:p",
                " github.com/a?b=1",
                " 65536",
                " 80/tcp",
                " 1-3",
                " SIGTERM",
                " D:x",
                " //h/s",
                " /x/y",
                "--chmod=zz ",
            ]
        ),
        max_size=6,
    ).map("".join)
    | st.lists(st.sampled_from(["a", "b=c", "$x", '"q"', "--from=b", "--x"]), max_size=4).map(
        " ".join
    ),
)


@given(st.lists(INSTRUCTIONS, min_size=1, max_size=4))
def test_instructions_seen_at_a_glance_are_right(instructions: list[str]) -> None:
    """The same for instructions that are nearly right."""
    content = "\n".join(["FROM a AS b", "FROM c", *instructions, "E"]).encode()
    content = content.removesuffix(b"\nE") if b"<<" not in content else content
    platforms = "linux/amd64,windows/amd64"
    quick = outcome(content, platforms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_tree, "HARMLESS", {})

        assert outcome(content, platforms) == quick


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """No bytes raise anything but InvalidBuildFile, and its line is one of the file's, or none."""
    found = outcome(content)

    if isinstance(found, tuple):
        assert 0 <= found[0] <= content.count(b"\n") + 1


@given(st.sampled_from(SAMPLES), st.integers(0, 1000))
def test_every_beginning_of_a_file_is_read_or_refused(content: bytes, end: int) -> None:
    """A file may be cut off anywhere."""
    assert outcome(content[:end])


def test_what_is_told_is_short() -> None:
    """Neither a refusal nor a way holds a text of any length: both are written into records."""
    long = "x" * 60_000
    refused = outcome(f"FROM a\nENV '{long}\n".encode())
    assert isinstance(refused, tuple)
    assert len(refused[1]) < 1000
    assert refused[1].endswith("must have two arguments")
    found = outcome(f"ARG B={long}\nFROM ${{B:+a}}${{C:+{long}}}\n".encode())
    assert isinstance(found, BuildImages)
    assert max(map(len, found.images[0].way)) < 1000


@pytest.mark.parametrize("content", LARGE, ids=lambda content: repr(content[:24]))
def test_large_inputs_are_read_or_refused(content: bytes) -> None:
    """What is very long, deep, wide or growing ends, too: the time of every test is limited."""
    assert outcome(content[: FILE_LIMIT // 4])
