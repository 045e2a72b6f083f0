"""What BuildKit refuses of ports, signals, modes, sources, mounts, folders and variables of stages.

Nothing is refused that depends on a base image: what that sets is not known.
"""

from __future__ import annotations

import pytest

from rebuilder.core.dockerfile._shell.environment import COPIES_LIMIT
from tests.unit.dockerfile.reading import images, read, refusal

OF_IMAGE = ["1 runtime a:latest"]


@pytest.mark.parametrize("name", ["build-", "x_", "a..b", "a" * 64, "a___b", "a.-b"])
def test_names_of_stages_are_names_of_images(name: str) -> None:
    """A stage's name may stand for a named context, so it is an image's name, needed or not."""
    line, problem = refusal(f"FROM a AS {name}\n")

    assert line == 1
    assert problem.startswith(f"invalid context name {name}: invalid reference format")
    assert refusal(f"FROM a\nFROM b AS {name}\nFROM c\n")[0] == 2


@pytest.mark.parametrize("name", ["context", "scratch", "a__b", "a--b", "a.b-c_d", "b" * 63])
def test_odd_names_of_stages_that_are_names_of_images(name: str) -> None:
    """What may name an image may name a stage, and two names are never looked at."""
    assert images(f"FROM a AS {name}\n") == OF_IMAGE


@pytest.mark.parametrize("given", ["", " ", "\t"])
def test_an_empty_frontend_is_refused(given: str) -> None:
    """BUILDKIT_SYNTAX that is given and empty names no image."""
    line, problem = refusal("FROM a\n", BUILDKIT_SYNTAX=given)

    assert line == 0
    assert problem.startswith("invalid reference format")


def test_several_platforms_are_a_boolean() -> None:
    """BUILDKIT_MULTI_PLATFORM is a boolean, and forbids several platforms if it is false."""
    text, both = "FROM a\n", "linux/amd64,linux/arm64"

    assert refusal(text, BUILDKIT_MULTI_PLATFORM="zz") == (
        0,
        "invalid boolean value for multi-platform: zz",
    )
    assert images(text, BUILDKIT_MULTI_PLATFORM="") == OF_IMAGE
    assert images(text, BUILDKIT_MULTI_PLATFORM="0") == OF_IMAGE
    assert "conflicting config" in refusal(text, platform=both, BUILDKIT_MULTI_PLATFORM="0")[1]
    assert read(text, platform=both, BUILDKIT_MULTI_PLATFORM="1").images


def refused_in_a_stage(instruction: str, platform: str = "linux/amd64") -> str:
    """The reason for which an instruction is refused, where its stage is built and only there."""
    line, problem = refusal(f"FROM a\n{instruction}\n", platform=platform)
    assert line == 2
    assert read(f"FROM a\n{instruction}\nFROM b\n", platform=platform).images
    return problem


@pytest.mark.parametrize(
    ("ports", "problem"),
    [
        ("65536", "invalid containerPort: 65536"),
        ("99999999999999999999", "invalid containerPort: 99999999999999999999"),
        ("http", "invalid containerPort: http"),
        ("-1", "invalid containerPort: -1"),
        ("80/foo", 'invalid port: "80/foo": invalid proto: foo'),
        ("/tcp", 'invalid port: "/tcp": no port specified'),
        ("3-1", "invalid containerPort: 3-1"),
        ("1-", "invalid containerPort: 1-"),
        ("x:80", "invalid hostPort: x"),
        ("1-3:80-81", "invalid ranges specified for container and host Ports: 80-81 and 1-3"),
        ("h:1:2", "invalid IP address: h"),
        ("fe80::1%eth0:1:2", "invalid IP address: fe80::1%eth0"),
        ("[::1:1:2", "invalid IP address [::1"),
        ("80 81/bar", 'invalid port: "81/bar": invalid proto: bar'),
        ("'80 x'", "invalid containerPort: '80"),
    ],
)
def test_ports_that_are_refused(ports: str, problem: str) -> None:
    """EXPOSE takes ports up to 65535, ranges that ascend, and three protocols."""
    found = refused_in_a_stage(f"EXPOSE {ports}")

    assert found == problem or found.startswith("failed to process")


@pytest.mark.parametrize(
    "ports",
    [
        "0", "65535", "080", "80/TCP", "1-3", "5-5/sctp", "80/", "1:2", "1-2:80", "1.2.3.4:1:2",
        "[::1]:1:2", "::1:1:2", "[]:1:2", "60000 64999/udp", "$PORT", "${P}x", "8${P:-x}",
    ],
)  # fmt: skip
def test_ports_that_are_accepted(ports: str) -> None:
    """EXPOSE takes hosts and addresses too, which mean nothing."""
    assert images(f"FROM a\nEXPOSE {ports}\n") == OF_IMAGE


def test_a_value_may_hold_several_ports() -> None:
    """A value of EXPOSE is split into words; what stands before `${v:-w}` in a word is lost."""
    assert images("FROM a\nENV P='80 81/udp'\nEXPOSE $P\n") == OF_IMAGE
    assert refusal("FROM a\nENV P='80 x'\nEXPOSE $P\n") == (3, "invalid containerPort: x")
    assert images("FROM scratch\nEXPOSE x${P:-80}\n") == []


@pytest.mark.parametrize(
    "signal", ["FOO", "0", "SIG9", "SIGSIGTERM", "RTMIN+16", "RTMAX-15", "9 9"]
)
def test_signals_that_are_refused(signal: str) -> None:
    """STOPSIGNAL takes the names of Linux's signals, and any number but zero."""
    assert refused_in_a_stage(f"STOPSIGNAL {signal}") == f"invalid signal: {signal}"


@pytest.mark.parametrize(
    "signal", ["TERM", "SIGTERM", "sigkill", "9", "-1", "+99", "RTMIN+15", "SIGRTMAX-14", "$S"]
)
def test_signals_that_are_accepted(signal: str) -> None:
    """STOPSIGNAL takes a signal in any case, with or without SIG."""
    assert images(f"FROM a\nSTOPSIGNAL {signal}\n") == OF_IMAGE


@pytest.mark.parametrize("mode", ["77777", "99", "08", "0" * 30 + "10000"])
def test_modes_that_are_too_large_are_refused(mode: str) -> None:
    """--chmod takes up to four octal digits; zeros before them count for nothing."""
    expected = (
        f"invalid chmod parameter: '{mode}'. it should be octal string and between 0 and 07777"
    )
    assert refused_in_a_stage(f"COPY --chmod={mode} a /b") == expected


@pytest.mark.parametrize("mode", ["zz", "u", "u+y", "+7", "u+x,", "a+r,zz"])
def test_modes_that_are_none_are_refused(mode: str) -> None:
    """--chmod takes what chmod(1) takes for a symbolic mode."""
    expected = f"invalid chmod parameter: '{mode}': invalid syntax"
    assert refused_in_a_stage(f"ADD --chmod={mode} a /b") == expected


@pytest.mark.parametrize("mode", ["0755", "7777", "u+x", "go=", "a+rX,u-w+x", "=u", "+", "$M"])
def test_modes_that_are_accepted(mode: str) -> None:
    """--chmod takes octal and symbolic modes."""
    assert images(f"FROM a\nCOPY --chmod={mode} a /b\n") == OF_IMAGE


DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (f"{DIGEST} a /b", "checksum requires HTTP(S) or Git sources"),
        (f"{DIGEST} ftp://x/a /b", "checksum requires HTTP(S) or Git sources"),
        (f"{DIGEST} ssh://x/a?bad=1 /b", "checksum requires HTTP(S) or Git sources"),
        (f"{DIGEST} https://x/y https://x/z /b/", "checksum can't be specified for multiple"),
        ("sha256:x https://x/y /b", "invalid checksum digest: sha256:x"),
        ("md5:" + "a" * 32 + " http://x/y /b", "invalid checksum digest: md5:"),
        ("abc https://x/y.git?checksum=def /b", 'checksum mismatch "abc" != "def"'),
    ],
)
def test_checksums_that_are_refused(arguments: str, problem: str) -> None:
    """ADD --checksum is a digest of one file of the web, or the commit of one repository."""
    assert refused_in_a_stage(f"ADD --checksum={arguments}").startswith(problem)


@pytest.mark.parametrize(
    "arguments",
    [
        f"{DIGEST} https://x/y /b", "abc https://x/y.git /b", "abc github.com/x/y /b",
        f"{DIGEST} $U /b", "$C https://x/y /b", "abc git@h:p?checksum=abc /b",
    ],
)  # fmt: skip
def test_checksums_that_are_accepted(arguments: str) -> None:
    """A checksum may be a variable, and a repository takes any."""
    assert images(f"FROM a\nADD --checksum={arguments}\n") == OF_IMAGE


def test_a_commit_of_one_source_is_the_checksum_of_the_next() -> None:
    """Once a repository names its commit, what comes from the web is checked against it."""
    text = "ADD https://x/y.git?commit=abc https://x/z /b/"

    assert refused_in_a_stage(text) == "invalid checksum digest: abc"


@pytest.mark.parametrize(
    "source",
    [
        "https://x/y.git", "http://x/y.git#main:sub", "git://h/p", "ssh://u@h/p", "git@h:p/q",
        "user-1@host.example:x?ref=y", "HTTPS://x/y.git", "https://x/%2egit", "http://[::1]:80/y.git",
    ],
)  # fmt: skip
def test_copy_takes_no_repository(source: str) -> None:
    """COPY of what ADD takes for a git repository is refused."""
    assert refused_in_a_stage(f"COPY {source} /z") == "source can't be a git ref for COPY"
    assert images(f"FROM a\nADD {source} /z\n") == OF_IMAGE


@pytest.mark.parametrize(
    "source",
    [
        "github.com/x/y", "./git@h:p", "../git@h:p", "a/git@h:p", "ftp://x/y.git", "x:y",
        "HTTP://x/y", "github.com/%zz?bad=1", "git@h", "a@b/c:d", "git@h:p?%zz",
    ],
)  # fmt: skip
def test_copy_takes_files_of_any_name(source: str) -> None:
    """What only looks like the address of a repository is a file."""
    assert images(f"FROM a\nCOPY {source} /z\n") == OF_IMAGE


@pytest.mark.parametrize(
    "source",
    [
        "https://x/y", "http://x/y.git%", "https://x:y/z.git", "https://a b@x/y.git",
        "https://[::1/y.git", "https://[::1]x/y.git", "https://x|/y.git", "https://x/y.git#%z",
        "https://x\x7f/y.git", "https://%zz@x/y.git",
    ],
)  # fmt: skip
def test_an_address_that_is_no_repository_is_one_of_the_web(source: str) -> None:
    """An address that names no repository, or that Go cannot read, is fetched, so not copied."""
    found = refused_in_a_stage(f'COPY ["{source}", "/z"]')

    assert found == "source can't be a URL for COPY"


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("bad=1", 'unexpected query "bad"'),
        ("ref=", 'query "ref" has no value'),
        ("ref=a&ref=b", 'query "ref" has multiple values'),
        ("keep-git-dir=maybe", 'invalid keep-git-dir value: "maybe"'),
        ("submodules=maybe", 'invalid submodules value: "maybe"'),
        ("mtime=now", 'invalid mtime value: "now"'),
        ("ref=a#b", 'ref conflicts: "b" vs "a"'),
        ("tag=a#b", 'ref conflicts: "b" vs "refs/tags/a"'),
        ("branch=a&ref=c", 'ref conflicts: "c" vs "refs/heads/a"'),
        ("tag=a&branch=b", "branch conflicts with tag"),
        ("subdir=a#b:c", 'subdir conflicts: "c" vs "a"'),
    ],
)
def test_queries_of_repositories_that_are_refused(query: str, problem: str) -> None:
    """ADD of a repository takes the queries that there are, once each, and without conflict."""
    assert refused_in_a_stage(f"ADD https://x/y.git?{query} /z").startswith(problem)


@pytest.mark.parametrize(
    "query",
    [
        "ref=a", "ref=a#a", "tag=refs/tags/a&ref=refs/tags/a", "branch=a#refs/heads/a",
        "subdir=a/b#x:./a//c/../b", "keep-git-dir", "submodules=0&fetch-by-commit=", "mtime=commit",
        "commit=abc", "a;b=1", "%zz=1", "&&ref=a+b",
    ],
)  # fmt: skip
def test_queries_of_repositories_that_are_accepted(query: str) -> None:
    """What Go cannot read of a query is left out."""
    assert images(f"FROM a\nADD https://x/y.git?{query} /z\n") == OF_IMAGE


def test_a_file_named_as_on_github_has_a_query_too() -> None:
    """`github.com/...` is a file, but its query is looked at, also by COPY."""
    assert refused_in_a_stage("COPY github.com/x?bad=1 /z") == 'unexpected query "bad"'


def test_keeping_the_git_folder_is_said_once() -> None:
    """--keep-git-dir and the query must agree, and so must several repositories."""
    problem = "inconsistent keep-git-dir configuration"

    assert refused_in_a_stage("ADD --keep-git-dir https://x/y.git?keep-git-dir=0 /z") == problem
    assert refused_in_a_stage("ADD g@h:p?keep-git-dir g@h:p?keep-git-dir=0 /z") == problem
    assert images("FROM a\nADD --keep-git-dir=false g@h:p?keep-git-dir=0 g@h:q /z\n") == OF_IMAGE


def test_a_source_may_come_from_a_variable() -> None:
    """COPY of a variable that is known to hold an address is refused; of one that is not, not."""
    text = "FROM a\nARG U{}\nCOPY $U /z\n"

    assert refusal(text.format("=https://x/y")) == (3, "source can't be a URL for COPY")
    assert refusal(text.format(""), U="git@h:p") == (3, "source can't be a git ref for COPY")
    assert images(text.format("")) == OF_IMAGE
    assert images(text.format("=https://x/y"), U="y") == OF_IMAGE
    assert images("FROM a\nARG U=https://x\nCOPY x/$U ./$U /z\n") == OF_IMAGE


@pytest.mark.parametrize(
    "mount",
    [
        "type=cache,target=/", "target=/", "type=tmpfs,target=/x,dst=/", "from=b,target=/",
        "type=$T,target=/", "target=$D",
    ],
)  # fmt: skip
def test_nothing_is_mounted_at_the_root(mount: str) -> None:
    """A mount with the target `/` is refused, also if it comes from variables."""
    text = f"FROM a\nARG T=cache D=/\nRUN --mount={mount} x\n"

    assert refusal(text) == (3, 'invalid mount target "/"')


def test_a_mount_without_target_is_mounted_in_the_folder() -> None:
    """Without a target, or with `.`, it is the folder, which of scratch is known to be the root."""
    for mount in ("type=cache", "type=tmpfs,target=.", "target=x/..", "source=a,target="):
        text = f"FROM {{}}\n{{}}RUN --mount={mount} x\n"
        assert refusal(text.format("scratch", "")) == (2, 'invalid mount target "/"')
        assert refusal(text.format("a", "WORKDIR /\n")) == (3, 'invalid mount target "/"')
        assert refusal(text.format("a", "WORKDIR /x\nWORKDIR ..\n"))[0] == 4
        assert images(text.format("a", "")) == OF_IMAGE
        assert images(text.format("a", "WORKDIR x\n")) == OF_IMAGE
        assert images(text.format("scratch", "WORKDIR x\n")) == []
        assert images(text.format("a", "WORKDIR /x\nWORKDIR $Y\n")) == OF_IMAGE
    assert images("FROM scratch\nRUN --mount=type=secret,id=a --mount=type=ssh x\n") == []


@pytest.mark.parametrize(
    ("mount", "problem"),
    [
        ("type=cache,bogus=$X,target=/x", "unexpected key 'bogus' in 'bogus=$X'"),
        ("type=$X,bogus,target=/x", "invalid field 'bogus' must be a key=value pair"),
        ("type=$NONE,target=/x", 'unsupported mount type "zz"'),
        ("type=cache,sharing=$NONE,target=/x", 'unsupported sharing value "zz"'),
        ("type=cache,mode=$NONE,target=/x", "invalid value zz for mode"),
        ("type=$SSH,size=1,target=/x", "unexpected key 'size' for mount type 'ssh'"),
        ("type=tmpfs,size=$NONE,target=/x", "invalid value for size: zz"),
        ("type=cache,ro=$NONE,target=/x", "invalid value for ro: zz"),
        ("type=ssh,source=$NONE", "ssh does not support source"),
        ("type=secret,id=$EMPTY", "invalid secret mount. one of source, target required"),
    ],
)
def test_mounts_with_variables_that_are_refused(mount: str, problem: str) -> None:
    """A mount is checked with the values of the variables that are known."""
    text = f"FROM a\nENV NONE=zz\nARG SSH=ssh\nARG EMPTY=\nRUN --mount={mount} x\n"

    line, found = refusal(text)

    assert line == 5
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "mount",
    [
        "type=$U,size=1,required,target=/x", "type=cache,sharing=$U,uid=$U,ro=$U,target=/x",
        "type=tmpfs,size=$U,target=/x", "type=tmpfs,size=1.5Gib,target=/x",
        "type=tmpfs,size=0x1p4k,target=/x", "type=tmpfs,size=+1e3,target=/x", "type=secret,id=$U",
        "type=cache,uid=0000000000000000000000001,target=/x", "target=$U",
        "type=tmpfs,size=-0,target=/x",
    ],
)  # fmt: skip
def test_mounts_with_variables_that_are_accepted(mount: str) -> None:
    """What is not known is not refused."""
    assert images(f"FROM a\nRUN --mount={mount} x\n") == OF_IMAGE


@pytest.mark.parametrize(
    "size", ["true", "-1", "1ki", "1ib", "kb", "1e999", "1  k", "0x10", "1kbb", "1 bb"]
)
def test_sizes_that_are_refused(size: str) -> None:
    """A size is a number, and a unit of bytes behind it."""
    problem = refused_in_a_stage(f"RUN --mount=type=tmpfs,target=/x,size='{size}' y")

    assert problem in (f"invalid value for size: {size}", f"invalid value for size: '{size}'")


def test_numbers_of_mounts_fit() -> None:
    """A number with more digits than any that fits is refused, whatever stands before them."""
    number = "0" * 41 + "9" * 20
    mount = f"type=cache,target=/x,uid={number}"

    assert refused_in_a_stage(f"RUN --mount={mount} y") == f"invalid value {number} for uid"


@pytest.mark.parametrize(
    "instruction",
    [
        "ENV A=${X:?}", "USER ${X?}", "LABEL a=${X:?no}", "COPY ${X:?} /x", "WORKDIR /${X:?}",
        "EXPOSE ${X?}", "ARG A=${X?}", "COPY <<E /x\n${X:?}\nE", "ENV ${X:?}=a",
    ],
)  # fmt: skip
def test_a_variable_that_must_be_set_is_not_on_scratch(instruction: str) -> None:
    """`${X:?}` is refused where X is known not to be set; a base image may set it."""
    line, problem = refusal(f"FROM scratch AS s\nFROM s\n{instruction}\n")

    assert line == 3
    assert "X: " in problem
    assert images(f"FROM a\n{instruction}\n") == OF_IMAGE
    assert images(f"FROM scratch\nENV X=80\n{instruction}\n") == []


def test_a_variable_that_must_be_set_may_be_set_by_what_is_not_known() -> None:
    """After an ENV of a name that is not known, anything may be set."""
    text = "FROM scratch\nENV X=\n{}\nUSER ${{X:?}}\n"

    assert refusal(text.format("ENV Y=z"))[0] == 4
    assert refusal(text.format("ENV ${Z}Y=z"))[0] == 4
    assert images("FROM a\nENV X=\nENV $Y=z\nUSER ${X:?}\n") == OF_IMAGE
    assert images("FROM a\nENV X=$Y\nUSER ${X:?}\n") == OF_IMAGE


@pytest.mark.parametrize(
    ("before", "refused"),
    [
        ("ENV X=", True), ("ARG X=", True), ("ARG X=$Y\nENV Y=z", True), ("ENV X=y", False),
        ("ARG X=y", False), ("ENV Y=\nENV X=$Y", True), ("ENV Y=z\nENV X=${Y}", False),
        ("ENV Y=z\nARG X=${Y:+}", True), ("ENV Y= Z=$Y X=", True), ("ARG X", True),
    ],
)  # fmt: skip
def test_an_empty_volume_is_refused(before: str, *, refused: bool) -> None:
    """VOLUME of a variable that is known to be empty is refused."""
    text = f"FROM scratch\n{before}\nVOLUME /a $X\n"

    if refused:
        line, problem = refusal(text)
        assert line == text.count("\n")
        assert problem.startswith("VOLUME specified can not be an empty string")
    else:
        assert images(text) == []


def test_stages_take_variables_over() -> None:
    """What a stage sets, its ARGs among it, the stages that are built on it see."""
    text = "FROM a AS one\nENV V=\nARG W=/w\nFROM one AS two\nENV V={}\nFROM two\nVOLUME $V $W\n"

    assert refusal(text.format(""))[0] == 7
    assert images(text.format("/v")) == OF_IMAGE


def test_a_stage_sees_global_arguments_that_it_declares() -> None:
    """An ARG without a default takes the value of the global one, or that of the platform."""
    text = "ARG V=\nFROM scratch\n{}VOLUME /x$TARGETARCH $V\n"

    assert refusal(text.format("ARG V\n"))[0] == 4
    assert refusal(text.format(""))[0] == 3
    assert images(text.format("ARG V\n"), V="/v") == []
    known = "FROM scratch\nARG TARGETARCH\nSTOPSIGNAL $TARGETARCH\n"
    assert refusal(known) == (3, "invalid signal: amd64")


def test_arguments_of_attestations_are_no_variables() -> None:
    """Two ARGs of BuildKit's own are never seen by what follows them."""
    text = "FROM scratch\nARG BUILDKIT_SBOM_SCAN_STAGE=/x\nVOLUME $BUILDKIT_SBOM_SCAN_STAGE\n"

    assert refusal(text)[0] == 3


def test_the_path_is_set_on_scratch() -> None:
    """On scratch PATH is set, but for Windows."""
    text = "FROM scratch\nVOLUME $PATH\n"

    assert images(text) == []
    assert refusal(text, platform="windows/amd64")[0] == 2


def test_triggers_see_the_variables_of_the_stage_that_runs_them() -> None:
    """What an ONBUILD leaves is carried out before the instructions of the stage."""
    text = "FROM scratch AS b\nENV V={}\nONBUILD VOLUME $V\nONBUILD ARG W\nFROM b\nENV V=\nUSER x\n"

    assert images(text.format("/v")) == []
    assert refusal(text.format(""))[0] == 5


@pytest.mark.parametrize(
    "pattern", ["${X#\\q}", "${X%q\\}", "${X/\\q/r}", "${X##a\\b}", "${UNSET%%\\q}"]
)
def test_patterns_of_stages_are_looked_at(pattern: str) -> None:
    """An escape that no pattern knows is refused whatever the variable holds."""
    escape = "# escape=`\n" if pattern.endswith("\\}") else ""
    line, problem = refusal(f"{escape}FROM a\nENV A={pattern}\n")

    assert line == 2 + bool(escape)
    assert "invalid pattern" in problem or "missing '}'" in problem


@pytest.mark.parametrize(
    "time",
    [
        "9999999999h", "2562047h47m16.854775808s", "9223372036854775808ns", "99999999999999999999s",
        "1h1", "h", "1.h.", ".s", "1 s",
    ],
)  # fmt: skip
def test_durations_that_are_refused(time: str) -> None:
    """HEALTHCHECK takes what Go takes for a duration, up to 292 years, wherever it stands."""
    line, problem = refusal(f'FROM a\nHEALTHCHECK --interval="{time}" CMD x\nFROM b\n')

    assert (line, problem) == (2, f'time: invalid duration "{time}"')


@pytest.mark.parametrize(
    "time", ["2562047h47m16.854775807s", "1h2m3.5s", "0", "+1s", "1ms", "1000us", ".001s", "1.s"]
)
def test_durations_that_are_accepted(time: str) -> None:
    """A duration is a sum of numbers with units."""
    assert images(f"FROM a\nHEALTHCHECK --timeout={time} CMD x\n") == OF_IMAGE


def test_retries_are_a_number_that_fits() -> None:
    """HEALTHCHECK --retries has up to 31 bits; zeros before it count for nothing."""
    text = "FROM a\nHEALTHCHECK --retries={} CMD x\n"

    assert images(text.format("0" * 30 + "5")) == OF_IMAGE
    assert images(text.format("2147483647")) == OF_IMAGE
    assert refusal(text.format("2147483648"))[1].endswith("value out of range")


@pytest.mark.parametrize("command", ["RUN []", "RUN [ ]", "RUN --network=none []"])
def test_a_run_of_nothing_is_refused(command: str) -> None:
    """RUN with an empty array has nothing to run; without any array it runs the shell."""
    assert refused_in_a_stage(command).endswith("arguments are required")
    assert images("FROM a\nRUN\n") == OF_IMAGE


def test_what_is_run_is_text() -> None:
    """RUN is refused with bytes that are no UTF-8, as its heredoc is, where its stage is built."""
    for command in (b"RUN \xff", b"RUN a \\\n \xff b", b"RUN <<E\n\xff\nE"):
        line, problem = refusal(b"FROM a\n" + command + b"\n")
        assert (line, problem) == (
            2,
            "failed to marshal LLB definition: string field contains invalid UTF-8",
        )
        assert images(b"FROM a\n" + command + b"\nFROM b\n")[0].endswith("b:latest")


@pytest.mark.parametrize(
    "command",
    [
        b'RUN ["\xff"]', b"CMD \xff", b"COPY \xff /", b"RUN \xef\xbf\xbd", b"RUN a \\\n# \xff\n b",
        b"RUN --mount=type=cache,target=/\xff x", b"COPY <<E /\n\xff\nE", b"ENTRYPOINT \xff",
    ],
)  # fmt: skip
def test_what_is_not_run_may_hold_any_bytes(command: bytes) -> None:
    """Arrays, and all other instructions, get replacement characters for such bytes."""
    assert images(b"FROM a\n" + command + b"\n") == OF_IMAGE


@pytest.mark.parametrize(
    ("instruction", "problem"),
    [
        ("WORKDIR D:\\x", "normalizing workdir: normalizing working directory: removing drive"),
        ("WORKDIR C:", "normalizing workdir: normalizing working directory: removing drive"),
        ("COPY x C:", 'removing drive letter: No relative path specified in "C:"'),
        ("COPY x D:/y", "removing drive letter: The specified path is not on the system drive"),
        ("COPY D:\\x y", "removing drive letter: The specified path is not on the system drive"),
        ("ADD \\\\host\\share y", "removing drive letter: UNC paths are not supported"),
        ("ADD //host/share y", "removing drive letter: UNC paths are not supported"),
        ("COPY a:b:c y", "removing drive letter: The specified path is not on the system drive"),
        ("COPY x C:D:y", "removing drive letter: The specified path is not on the system drive"),
        ("COPY --parents D:\\x\\./y z", "removing drive letter: The specified path is not on"),
        ("COPY --parents C:/./D:y z", "removing drive letter: "),
        ("COPY <<D:x y\nz\nD:x", "removing drive letter: The specified path is not on the"),
    ],
)
def test_paths_of_windows_that_are_refused(instruction: str, problem: str) -> None:
    """On Windows all paths are on the drive C; on Linux a colon is a character."""
    escape = "# escape=`\n"
    at, found = refusal(f"{escape}FROM a\n{instruction}\n", platform="windows/amd64")

    assert at == 3
    assert found.startswith(problem)
    assert read(f"{escape}FROM a\n{instruction}\n").images
    assert refusal(f"{escape}FROM --platform=windows a AS b\nFROM b\n{instruction}\n")[0] == 4


@pytest.mark.parametrize(
    "instruction",
    [
        "WORKDIR C:\\x", "WORKDIR $X", "COPY x c:\\y\\", "COPY C:x C:\\", "ADD https://x/y:z C:/",
        "COPY --parents a/./b c", "COPY --parents a c", "COPY x C:c:/", "COPY $D x",
    ],
)  # fmt: skip
def test_paths_of_windows_that_are_accepted(instruction: str) -> None:
    """On Windows the drive C may be named."""
    text = f"# escape=`\nFROM a\n{instruction}\n"

    assert read(text, platform="windows/amd64").images


def test_scratch_is_for_the_platform_that_is_built_for() -> None:
    """--platform of FROM scratch changes nothing."""
    text = "FROM --platform=windows/amd64 scratch\nCOPY D:x y\n"

    assert images(text) == []


def test_docker_hubs_own_prefix_counts() -> None:
    """A name on Docker Hub is up to 255 characters long, with `library/` before it."""
    assert images(f"FROM {'a' * 247}\n") == [f"1 runtime {'a' * 247}:latest"]
    assert "longer than 255" in refusal(f"FROM {'a' * 248}\n")[1]
    assert "longer than 255" in refusal(f"FROM docker.io/{'a' * 248}\n")[1]
    assert images(f"FROM reg.io/{'a' * 255}\n") == [f"1 runtime reg.io/{'a' * 255}:latest"]


def test_a_byte_order_mark_in_front_of_a_word_is_skipped() -> None:
    """Go's scanner skips a byte order mark at the beginning of any text."""
    assert images("FROM \ufeffalpine\n") == ["1 runtime alpine:latest"]
    assert images("ARG A=\ufeffab\nFROM ${A#\ufeffa}\n") == ["2 runtime b:latest"]


def test_what_grows_in_a_stage_is_not_known() -> None:
    """Variables that double each other are not known any more at some point, and not refused."""
    text = "FROM scratch\nENV A=aaaaaaaa\n" + "ENV A=$A$A\n" * 40

    assert images(text + "USER ${B:-${A:?}}\nVOLUME $A\n") == []
    assert images(text.replace("$A$A", "$A${A%%*b*a?*c}$A") + "VOLUME $A\n") == []


def test_what_many_stages_take_over_is_not_known() -> None:
    """Beyond a limit, stages know nothing of what their bases set."""
    many = "".join(f"ENV V{n}=x\n" for n in range(1000))
    chain = "".join(f"FROM s{n} AS s{n + 1}\n" for n in range(COPIES_LIMIT // 1000 + 2))
    text = f"FROM scratch AS s0\n{many}ENV EMPTY=\n"

    assert refusal(f"{text}FROM s0\nVOLUME $EMPTY\n")[0] == 1004
    assert images(f"{text}{chain}VOLUME $EMPTY\n") == []
