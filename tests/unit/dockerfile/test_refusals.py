"""What BuildKit refuses is refused, with its line and its reason."""

from __future__ import annotations

import pytest

from rebuilder.core.dockerfile._text import FILE_LIMIT, LINE_LIMIT
from tests.unit.dockerfile.reading import images, read, refusal


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 0, "the Dockerfile cannot be empty"),
        ("\n", 0, "file with no instructions"),
        ("# only a comment\n", 0, "file with no instructions"),
        ("ARG A\n", 0, "dockerfile contains no stages to build"),
        ("RUN x\nFROM a\n", 1, "no build stage in current context"),
        ("ARG A\n\nENV A=1\nFROM a\n", 3, "no build stage in current context"),
        ("FROM a\nFOO bar\n", 2, "unknown instruction: FOO"),
        ("FROM a\nfoo\n", 2, "unknown instruction: foo"),
        ("FROM a\n\\\n", 2, "unknown instruction: "),
        ("FROM a\nRUN\xa0x\n", 2, "unknown instruction: RUN\xa0x"),
        ("FROM a\nCOPY\n", 2, "COPY requires at least two arguments"),
        ("FROM a\nADD a\n", 2, "ADD requires at least two arguments"),
        ('FROM a\nCOPY ["a"]\n', 2, "COPY requires at least two arguments"),
        ("FROM a\nENV\n", 2, "ENV requires at least one argument"),
        ("FROM a\nENV A\n", 2, "ENV must have two arguments"),
        ("FROM a\nLABEL a\n", 2, "LABEL must have two arguments"),
        ("FROM a\nLABEL\n", 2, "LABEL requires at least one argument"),
        ("FROM a\nENV A=1 B\n", 2, 'Syntax error - can\'t find = in "B". Must be of the form'),
        ("FROM a\nENV A=1 {B}\n", 2, 'Syntax error - can\'t find = in "{B}". Must be of the form'),
        ("FROM a\nENV =1\n", 2, "ENV names can not be blank"),
        ("FROM a\nLABEL =1\n", 2, "LABEL names can not be blank"),
        ("ARG =1\nFROM a\n", 1, "ARG names can not be blank"),
        ("ARG\nFROM a\n", 1, "ARG requires at least one argument"),
        ("FROM a\nEXPOSE\n", 2, "EXPOSE requires at least one argument"),
        ("FROM a\nVOLUME\n", 2, "VOLUME requires at least one argument"),
        ('FROM a\nVOLUME [" "]\n', 2, "VOLUME specified can not be an empty string"),
        ("FROM a\nUSER\n", 2, "USER requires exactly one argument"),
        ("FROM a\nWORKDIR\n", 2, "WORKDIR requires exactly one argument"),
        ("FROM a\nSTOPSIGNAL\n", 2, "STOPSIGNAL requires exactly one argument"),
        ("FROM a\nMAINTAINER\n", 2, "MAINTAINER requires exactly one argument"),
        ("FROM a\nSHELL\n", 2, "SHELL requires at least one argument"),
        ("FROM a\nSHELL []\n", 2, "SHELL requires at least one argument"),
        ("FROM a\nSHELL bash -c\n", 2, "SHELL requires the arguments to be in JSON form"),
        ("FROM a\nONBUILD\n", 2, "ONBUILD requires at least one argument"),
        ("FROM a\nONBUILD ONBUILD RUN x\n", 2, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't"),
        ("FROM a\nONBUILD from b\n", 2, "FROM isn't allowed as an ONBUILD trigger"),
        ("FROM a\nONBUILD MAINTAINER b\n", 2, "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("FROM a\nONBUILD ENV A\n", 2, "ENV must have two arguments"),
        ("FROM a\nHEALTHCHECK\n", 2, "HEALTHCHECK requires at least one argument"),
        ("FROM a\nHEALTHCHECK NONE x\n", 2, "HEALTHCHECK NONE takes no arguments"),
        ("FROM a\nHEALTHCHECK RUN x\n", 2, 'Unknown type "RUN" in HEALTHCHECK (try CMD)'),
        ("FROM a\nHEALTHCHECK CMD\n", 2, "Missing command after HEALTHCHECK CMD"),
        ("FROM a\nHEALTHCHECK --interval=x CMD y\n", 2, 'time: invalid duration "x"'),
        ("FROM a\nHEALTHCHECK --interval=5 CMD y\n", 2, 'time: invalid duration "5"'),
        ("FROM a\nHEALTHCHECK --timeout=1us CMD y\n", 2, 'Interval "timeout" cannot be less than'),
        ("FROM a\nHEALTHCHECK --timeout=-1s CMD y\n", 2, 'Interval "timeout" cannot be less than'),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD y\n", 2, "--retries cannot be negative (-1)"),
        ("FROM a\nHEALTHCHECK --retries=x CMD y\n", 2, "strconv.ParseInt: parsing"),
        ("FROM a\nHEALTHCHECK --bogus=1 CMD y\n", 2, "unknown flag: --bogus"),
        ("FROM a\nRUN --bogus x\n", 2, "unknown flag: --bogus"),
        ("FROM --from=x a\n", 1, "unknown flag: --from"),
        ("FROM a\nCMD --help\n", 2, "unknown flag: --help"),
        ("FROM a\nENTRYPOINT --x y\n", 2, "unknown flag: --x"),
        ("FROM a\nENV --x=1 A=1\n", 2, "unknown flag: --x"),
        ("FROM a\nUSER --x=1 y\n", 2, "unknown flag: --x"),
        ("FROM a\nONBUILD --x RUN y\n", 2, "unknown flag: --x"),
        ("FROM --platform a\n", 1, "missing a value on flag: --platform"),
        ("FROM a\nCOPY --link=maybe a b\n", 2, "expecting boolean value for flag --link"),
        ("FROM a\nCOPY --link= a b\n", 2, "missing a value on flag: --link"),
        ("FROM a\nCOPY --chown a b c\n", 2, "missing a value on flag: --chown"),
        ("FROM a\nCOPY --from=a --from=b x y\n", 2, "duplicate flag specified: --from"),
        ("FROM a\nRUN --network=mars x\n", 2, 'invalid network mode "mars"'),
        ("FROM a\nRUN --network=none\\\\\\\n", 2, 'invalid network mode "none\\\\"'),
        ("FROM a\nRUN --network= x\n", 2, 'invalid network mode ""'),
        ("FROM a\nRUN --security=none x\n", 2, 'security "none" is not valid'),
        ("FROM a\nRUN --device= x\n", 2, "failed to parse csv devices: EOF"),
        ("FROM a\nRUN [1]\n", 2, "when using JSON array syntax, arrays must be comprised of"),
        ("FROM a\nCOPY [null, 1] x\nCOPY [1]\n", 3, "when using JSON array syntax, arrays must be"),
        ("FROM a\nCOPY x <<E\ny\nE\n", 2, "COPY cannot accept a heredoc as a destination"),
        ("FROM a\nADD x <<E\ny\nE\n", 2, "ADD cannot accept a heredoc as a destination"),
        ("FROM a\nRUN <<E\nx\n", 2, "unterminated heredoc"),
        ("FROM a\nCOPY <<'E /x\n", 2, "failed to process"),
        ('FROM a\nRUN x ${y:-"a <<b"}\n', 2, "failed to process"),
        ("FROM a\nENV \\\v\n", 2, "ENV requires at least one argument"),
        ("FROM a\nENV a=b {x}\n", 2, 'Syntax error - can\'t find = in "{x}".'),
        ("FROM a\nENV x\n", 2, "ENV must have two arguments"),
        ("FROM a\nLABEL x\n", 2, "LABEL must have two arguments"),
        ("FROM a\n\n\nCOPY <<A <<B /x\nA\nx\n", 4, "unterminated heredoc"),
        ("FROM a\nCOPY https://x/y /z\n", 2, "source can't be a URL for COPY"),
    ],
)
def test_refused(text: str, line: int, problem: str) -> None:
    """Each of BuildKit's refusals has its line and its words."""
    at, found = refusal(text)

    assert at == line
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "instruction",
    [
        "RUN",
        "CMD",
        "CMD []",
        "ENTRYPOINT []",
        "RUN [\"a\", 'b']",
        "RUN [1",
        'CMD ["a"] # no JSON',
        "ENV A 1 2",
        "ENV A=1 B='x y' C=\"z\" D=\\ ",
        "LABEL a=1 b.c/d=2",
        'LABEL "a"=1',
        "EXPOSE 80 443/tcp $PORT",
        "VOLUME /a /b",
        'VOLUME ["/a b"]',
        "STOPSIGNAL --x 9",
        "HEALTHCHECK none",
        "HEALTHCHECK --interval=5m3.5s --timeout=.5s --start-period=0 --retries=3 CMD x",
        'HEALTHCHECK --start-interval=1h CMD ["x"]',
        'SHELL ["bash", "-c"]',
        "MAINTAINER a b c",
        "COPY --link --parents --exclude=a --exclude=b --chmod=755 --chown=1:2 a b",
        "COPY --link=FALSE a b",
        f"ADD --keep-git-dir=true --checksum=sha256:{'a' * 64} --unpack https://x/y /z",
        "RUN --network=none --security=insecure x",
        "RUN -- --mount=x",
        "ONBUILD NONSENSE",
        "ONBUILD RUN --bogus",
        "run echo",
        "Run echo",
        "ADD https://x/y /z",
        "RUN \t x",
        "USER\troot",
        "RUN x <<",
        "RUN [NaN]",
        "RUN x <<''",
        "ENV A=${x:-y} B=${x/y/z} C=${x#y}",
        "COPY http:x ./a://b /y",
        "ENV A=b\\\\\\",
        'RUN echo "\\"" ${a:-b} ${a/b/c} ${a} \'<\' <<E\nx\nE',
        "RUN echo $((1 <<2))\n2))",
        "RUN echo $((1 << $X))\n$X))",
        "RUN cat<<EOF",
        "RUN echo '<<EOF'",
        'RUN ["cat", "<<EOF"]',
        'RUN echo "',
        "ENV A=$B C=${D} E=\"$F ${G}\" H='$('",
        "ARG A=$B C",
    ],
)
def test_accepted(instruction: str) -> None:
    """What BuildKit accepts is accepted, odd as it may look."""
    assert images(f"FROM a\n{instruction}\n") == ["1 runtime a:latest"]


@pytest.mark.parametrize(
    ("instruction", "problem"),
    [
        ("--mount=", "failed to parse csv mounts: EOF"),
        ('--mount=a\\"b', "failed to parse csv mounts: parse error on line 1, column 2: bare"),
        ('--mount=\\"a\\"b', "failed to parse csv mounts: parse error on line 1, column 3: extra"),
        ('--mount=\\"a', "failed to parse csv mounts: parse error on line 1, column 2: extra"),
        ("--mount=from=$X,target=/x", "'from' doesn't support variable expansion, define alias"),
        ("--mount=from=a$X", "'from' doesn't support variable expansion, define alias"),
        ("--mount=type=bogus,target=/x", 'unsupported mount type "bogus"'),
        ("--mount=type=cache,bogus=1", "unexpected key 'bogus' in 'bogus=1'"),
        ("--mount=type=cache,bogus", "invalid field 'bogus' must be a key=value pair"),
        ("--mount=type=cache,sharing=x", 'unsupported sharing value "x"'),
        ("--mount=target=/x,sharing=shared", "invalid cache sharing set for bind mount"),
        ("--mount=target=/x,mode=0755", 'mode not allowed for "bind" type mounts'),
        ("--mount=type=tmpfs,uid=1", 'uid not allowed for "tmpfs" type mounts'),
        ("--mount=type=cache,uid=-1", "invalid value -1 for uid"),
        ("--mount=type=cache,mode=9", "invalid value 9 for mode"),
        ("--mount=type=cache,gid=4294967296", "invalid value 4294967296 for gid"),
        ("--mount=target=/x,ro=maybe", "invalid value for ro: maybe"),
        ("--mount=target=/x,required", "unexpected key 'required' for mount type 'bind'"),
        ("--mount=target=/x,required=true", "unexpected key 'required' for mount type 'bind'"),
        ("--mount=type=ssh,required=maybe", "invalid value for required: maybe"),
        ("--mount=type=cache,size=1", "unexpected key 'size' for mount type 'cache'"),
        ("--mount=type=tmpfs,size=big", "invalid value for size: big"),
        ("--mount=type=secret", "invalid secret mount. one of source, target required"),
        ("--mount=type=secret,id=a,from=b", "secret mount should not have a from"),
        ("--mount=type=secret,id=a,sharing=shared", "secret mount should not define sharing"),
        ("--mount=type=secret,id=a,source=b", "both source and id can't be set"),
    ],
)
def test_mounts_that_are_refused(instruction: str, problem: str) -> None:
    """Each of BuildKit's refusals of a mount has its words."""
    at, found = refusal(f"FROM a\nRUN {instruction} x\n")

    assert at == 2
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "mount",
    [
        "type=cache,target=/x",
        "type=CACHE,id=x,sharing=LOCKED,mode=0755,uid=1,gid=2",
        "type=secret,id=x,required,mode=0400",
        "type=secret,src=x,env=TOKEN,required=false",
        "type=ssh",
        "type=tmpfs,target=/x,size=1.5g",
        "source=a,target=/x,rw",
        "src=a,dst=/x,readwrite=1",
        "target=/x,from=scratch",
        "type=$T,mode=1,target=$X",
        "type=cache,sharing=$S,uid=$U",
        "target=/x$",
    ],
)
def test_mounts_that_read_no_image(mount: str) -> None:
    """A mount without `from`, or from scratch, reads no image."""
    assert images(f"FROM a\nRUN --mount={mount} x\n") == ["1 runtime a:latest"]


@pytest.mark.parametrize(
    ("mount", "image"),
    [
        ("from=nginx,target=/x", "nginx:latest"),
        ("type=bind,from=nginx,source=/a,target=/x", "nginx:latest"),
        ("type=cache,from=nginx:1,target=/x", "nginx:1"),
        ("TARGET=/x,FROM=nginx", "nginx:latest"),
        ("from=a,target=/x,from=nginx", "nginx:latest"),
        ('\\"from=nginx\\",target=/x', "nginx:latest"),
        ('target=/x,\\"from=nginx\\"', "nginx:latest"),
        ('\\"id=\\"\\"x\\"\\"\\",from=nginx', "nginx:latest"),
        ("type=tmpfs,from=nginx,target=/x", "nginx:latest"),
        ("from=reg.io:5000/x/y@sha256:" + "a" * 64, "reg.io:5000/x/y@sha256:" + "a" * 64),
    ],
)
def test_mounts_that_read_an_image(mount: str, image: str) -> None:
    """`from` names an image if no stage has that name, whatever the type; the last one counts."""
    text = f"FROM alpine\nRUN --network=none --mount={mount} x\n"

    assert images(text) == ["1 runtime alpine:latest", f"2 build-time {image}"]


def test_the_way_of_a_mount_names_it() -> None:
    """The way of a mounted image is the mount."""
    found = read("FROM a\nRUN --mount=from=nginx,target=/x y\n").images[1]

    assert found.way == ("RUN --mount=from=nginx",)


def test_several_mounts_of_one_run() -> None:
    """Each mount of a RUN counts."""
    text = "FROM a\nRUN --mount=from=b,target=/b --mount=type=cache,target=/c --mount=from=c x\n"

    assert images(text) == ["1 runtime a:latest", "2 build-time b:latest", "2 build-time c:latest"]


def test_instructions_that_are_not_reached_are_checked() -> None:
    """An instruction is checked wherever it stands; only what needs the stage built is not."""
    assert refusal("FROM a\nRUN --bogus x\nFROM b\n")[0] == 2
    assert images("FROM a\nRUN --mount=type=bogus x\nFROM b\n") == ["3 runtime b:latest"]


def test_what_the_parser_refuses_comes_first() -> None:
    """The whole file is parsed before any instruction is checked."""
    assert refusal("FROM a\nBOGUS\nENV X\n") == (3, "ENV must have two arguments")


def test_continued_lines_count_from_their_first() -> None:
    """An instruction over several lines is blamed at its first, comments and gaps included."""
    text = "FROM a\n\nCOPY \\\n# comment\n\n  --from=nginx \\  \n  /a \\\n  # more\n  /b\nBOGUS\n"

    assert refusal(text) == (10, "unknown instruction: BOGUS")
    assert images(text.replace("BOGUS", "USER x")) == [
        "1 runtime a:latest",
        "3 build-time nginx:latest",
    ]


def test_an_escaped_escape_does_not_continue() -> None:
    """Two escapes at the end of a line do not continue it, and an escape before blanks does."""
    assert refusal("FROM a\nRUN x \\\\\nBOGUS\n")[0] == 3
    assert images("FROM a\nRUN x \\ \t\nBOGUS\n") == ["1 runtime a:latest"]
    assert refusal("FROM a\nRUN x \\\v\nBOGUS\n")[0] == 3


def test_heredocs_hide_their_lines() -> None:
    """What looks like an instruction inside a heredoc is its text."""
    text = (
        "FROM alpine\nRUN <<EOF\nFROM evil:1\nEOF\nCOPY <<'A' <<-B /x\nFROM evil:2\nA\n"
        '\tFROM evil:3\n\t\tB\nRUN --mount=from=nginx,target=/n 3<<EOF sh <<"X Y"\nEOF\nX Y\n'
        "FROM alpine:2\nADD <<E\\F /x\nFROM evil:4\nEF\n"
    )

    assert images(text) == ["13 runtime alpine:2"]
    assert len(images(text.replace("FROM alpine:2", "FROM 0", 1).replace("FROM 0\n", ""))) == 2


def test_a_nul_is_a_character() -> None:
    """A NUL does not end the file; in a name it is one character too many."""
    assert images("FROM a\nRUN x\0y\nCOPY --from=b / /\n") == [
        "1 runtime a:latest",
        "3 build-time b:latest",
    ]
    assert refusal("FROM a\0\n")[0] == 1


def test_bytes_that_are_no_text_are_read() -> None:
    """A file need not be UTF-8; in a name, such bytes are refused."""
    assert images(b"FROM a\nENV A=\xff\xfe\n# \xff\nCOPY --from=b \xc3 /\n") == [
        "1 runtime a:latest",
        "4 build-time b:latest",
    ]
    assert refusal(b"FROM a\xff\n")[0] == 1


def test_separators_are_no_white_space() -> None:
    """What is white space for Python only separates nothing."""
    assert refusal("FROM a\x1cAS\x1db\n")[1].startswith("failed to parse stage name")


def test_odd_white_space_ends_a_flag() -> None:
    """BuildKit reads flags by bytes, so half of a letter may be white space to it."""
    assert images("FROM a\nRUN --mount=from=b,target=/\u00e9 x\n") == [
        "1 runtime a:latest",
        "2 build-time b:latest",
    ]
    assert refusal("FROM a\nRUN --network=none\u00e0 x\n")[1] == 'invalid network mode "none\u00c3"'


@pytest.mark.parametrize("before", [0, 1])
def test_a_line_has_a_limit(before: int) -> None:
    """A line is up to 65,535 bytes long, as in BuildKit; a longer one ends the file."""
    longest = "RUN " + "x" * (LINE_LIMIT - 4)
    assert images(f"FROM a\n{longest}\n") == ["1 runtime a:latest"]
    expected = f"dockerfile line greater than max allowed size of {LINE_LIMIT}"
    gap = "\n" * before
    assert refusal(f"FROM a\n{gap}{longest}x\nBOGUS\n") == (2 + before, expected)


def test_a_file_has_a_limit() -> None:
    """A file that is too large is refused before it is read."""
    text = "FROM a\n" + "#\n" * (FILE_LIMIT // 2)

    assert refusal(text) == (0, f"the Dockerfile is larger than {FILE_LIMIT} bytes")
