"""Nonsense is read or refused, soon; what is seen at a glance is what reading in full finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.dockerfiles import SAMPLES, files, mutations
from bench.fuzz_dockerfile import main
from rebuilder.core.build_files import BuildImages
from rebuilder.core.dockerfile import _tree, read_dockerfile
from rebuilder.core.dockerfile._text import FILE_LIMIT
from rebuilder.errors import InvalidBuildFile


def outcome(content: bytes) -> BuildImages | tuple[int, str]:
    """The images, or the refusal."""
    try:
        return read_dockerfile(content, build_args={"A": "x", "EMPTY": ""})
    except InvalidBuildFile as error:
        return error.line, error.problem


def test_thousands_of_mutations_are_read_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """None of some thousand inputs that nobody would write crashes or takes a second."""
    assert main(count=4000, seed=3) == 0

    assert '"crashed": 0' in capsys.readouterr().out


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
    quick = outcome(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_tree, "HARMLESS", {})

        assert outcome(content) == quick


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


@pytest.mark.parametrize(
    "content",
    [
        b"FROM a\n" * 100_000,
        b"FROM a AS b\n" + b"FROM b AS b\n" * 80_000,
        b"FROM a\n" + b"COPY --from=b / /\n" * 50_000,
        b"FROM a\n" + b"COPY --from=0 / /\n" * 50_000,
        b"FROM a\n" + b"RUN --mount=type=cache,target=/x y\n" * 25_000,
        b"ARG A\n" * 150_000 + b"FROM a\n",
        b"FROM a\nRUN " + b"x \\\n" * 200_000,
        b"FROM a\nRUN " + b"<<E " * 15_000 + b"\n" + b"E\n" * 15_000,
        b"FROM a\nRUN " + b"<<E " * 15_000,
        b"FROM a\nRUN <<E\n" + b"x\n" * 400_000,
        b"FROM a\nENV " + b"A='b' " * 10_000,
        b"FROM a\nENV A=" + b"$A" * 30_000 + b"'",
        b'FROM a\nENV A="' + b"$A" * 30_000,
        b"FROM a\nLABEL " + b"a" * 65_000,
        b"ONBUILD " * 8_000,
        b"FROM a AS b\n" + b"ONBUILD RUN x\n" * 20_000 + b"FROM b\n" * 2,
        b"FROM a AS b\nONBUILD RUN " + b"--mount=from=c,target=/x " * 2_000 + b"\nFROM b\n" * 5,
        b"".join(b"FROM s%d AS s%d\n" % (n, n + 1) for n in range(40_000)),
        b"".join(b"FROM a AS s%d\nCOPY --from=s%d / /\n" % (n, n - 1) for n in range(1, 20_000)),
        b"".join(b"FROM a AS s%d\nCOPY --from=s%d / /\n" % (n, n + 1) for n in range(20_000)),
        b"[" * 60_000,
        b"FROM a\nRUN " + b"[" * 60_000,
        b'FROM a\nRUN ["' + b"\\u0000" * 10_000,
        b"\\\n" * 500_000,
        b"\r" * 60_000 + b"\n" + b"\xff" * 60_000,
        b"# escape=`\n" + b"`\n" * 300_000,
        b"FROM " + b"a/" * 30_000,
        b"FROM " + b"a-" * 30_000,
        b"FROM a@sha256:" + b"a" * 60_000,
        b"FROM --platform=" + b"a/" * 30_000 + b" a",
        b'FROM a\nRUN --mount="' + b'\\"' * 30_000 + b'" x',
        b"ARG A=" + b"a" * 60_000 + b"\n" + b"ARG B=${A//a/bbbbbbbb}\n" * 100 + b"FROM $B\n",
        b"ARG A=" + b"a" * 60_000 + b"\n" + b"ARG B=${A##*b*a?*c}\n" * 20_000 + b"FROM $B\n",
        b"ARG A=ab\n" + b"ARG A=${A}${A}\n" * 20_000 + b"FROM $A\n",
    ],
    ids=lambda content: repr(content[:24]),
)
def test_large_inputs_are_read_or_refused(content: bytes) -> None:
    """What is very long, deep, wide or growing ends, too: the time of every test is limited."""
    assert outcome(content[:FILE_LIMIT])
