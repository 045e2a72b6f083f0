"""What BuildSources must do, against hosts that speak the real protocols."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dulwich.objects import S_IFGITLINK, Commit
from dulwich.repo import MemoryRepo

from rebuilder.errors import SourceUnavailable, Throttled, TransientError
from rebuilder.settings import Settings
from rebuilder.source_credentials import SourceCredential
from rebuilder.sources.files import HostedSources
from tests import hosts
from tests.hosts import Hosts

GITHUB = "https://github.com/team/app.git"
HOSTS = ("github.com", "dev.azure.com", "*.visualstudio.com", "*.azurecr.io", "git.example.com")
# Everything is on this machine, whatever it is called.
HERE = (
    *("github.com", "api.github.com", "codeload.github.com", "dev.azure.com", "*.azurecr.io"),
    *("org.visualstudio.com", "git.example.com", "ghe.example.com", "files.example.com"),
    *("team.ghe.com", "api.team.ghe.com", "store.blob.core.windows.net", "elsewhere.example.com"),
)
KINDS = (
    *("github", "enterprise", "data residency", "azure", "visualstudio", "git"),
    pytest.param("real git", marks=pytest.mark.needs("git")),
)
type Made = Callable[..., HostedSources]


@pytest.fixture(name="net")
def _net(tmp_path: Path) -> Iterator[Hosts]:
    with Hosts(tmp_path) as made:
        yield made


@pytest.fixture(name="sources")
def _sources(net: Hosts) -> Iterator[Made]:
    made: list[HostedSources] = []

    def make(**options: Any) -> HostedSources:  # noqa: ANN401 - the constructor's own
        values = {"private_hosts": HERE, "ca_bundle": str(net.ca_bundle), "resolve": net.resolve}
        made.append(HostedSources(HOSTS, **{**values, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(name="repo")
def _repo() -> MemoryRepo:
    repo = hosts.repository()
    first = hosts.commit(
        repo,
        {
            "Dockerfile": b"FROM one\n",
            "app/Dockerfile": b"FROM inner\n",
            "link": (hosts.LINK, b"app/Dockerfile"),
            "up": (hosts.LINK, b"../Dockerfile"),
            "loop": (hosts.LINK, b"loop"),
            "folder": (hosts.LINK, b"app"),
            **{f"l{n}": (hosts.LINK, f"l{n + 1}".encode()) for n in range(9)},
            "l9": (hosts.LINK, b"link"),
            "long": (hosts.LINK, b"l8"),
            "longer": (hosts.LINK, b"l0"),
            "big": b"x" * 3000,
        },
    )
    hosts.tag(repo, b"v1", first)
    hosts.commit(repo, {"Dockerfile": b"FROM next\n"}, b"refs/heads/feature/next")
    hosts.commit(repo, {"Dockerfile": b"FROM change\n"}, b"refs/pull/7/head")
    return repo


@pytest.fixture(name="everywhere", params=KINDS)
def _everywhere(
    request: pytest.FixtureRequest, net: Hosts, sources: Made, repo: MemoryRepo, tmp_path: Path
) -> tuple[HostedSources, str]:
    """Serve one repository by every API; return the sources and its address."""
    match request.param:
        case "github":
            net.mount("api.github.com", hosts.github({"team/app": repo}))
            return sources(), GITHUB
        case "enterprise":
            net.mount("ghe.example.com", hosts.github({"team/app": repo}, "/api/v3"))
            made = sources(github_hosts=("ghe.example.com",))
            return made, "https://ghe.example.com/team/app.git"
        case "data residency":
            net.mount("api.team.ghe.com", hosts.github({"team/app": repo}))
            made = sources(github_hosts=("team.ghe.com",))
            return made, "https://team.ghe.com/team/app.git"
        case "git":
            net.mount("git.example.com", hosts.git_host({"team/app.git": repo}))
            return sources(), "https://git.example.com/team/app.git"
        case "real git":
            app = hosts.real_git_host(tmp_path / "git", {"team/app.git": repo})
            net.mount("git.example.com", app)
            return sources(), "https://git.example.com/team/app.git"
        case "azure":
            net.mount("dev.azure.com", hosts.azure_repos({"org/my project/app": repo}))
            return sources(), "https://dev.azure.com/org/my%20project/_git/app"
        case _:
            net.mount("org.visualstudio.com", hosts.azure_repos({"app/app": repo}))
            return sources(), "https://org.visualstudio.com/_git/app"


@pytest.mark.parametrize(
    ("fragment", "path", "content"),
    [
        ("", "Dockerfile", b"FROM one\n"),
        ("#main", "./Dockerfile", b"FROM one\n"),
        ("#:app", "Dockerfile", b"FROM inner\n"),
        ("#v1:app", "../Dockerfile", b"FROM one\n"),
        ("#refs/tags/v1", "app/Dockerfile", b"FROM inner\n"),
        ("#feature/next", "Dockerfile", b"FROM next\n"),
        ("#pull/7/head", "Dockerfile", b"FROM change\n"),
    ],
)
def test_a_file_of_a_branch(
    everywhere: tuple[HostedSources, str], fragment: str, path: str, content: bytes
) -> None:
    """Branch, tag, pull request and folder of the fragment are the same on every host."""
    sources, address = everywhere
    read = sources.read(address + fragment, path)

    assert read.content == content
    assert len(read.revision) == 40
    assert read.address.startswith(address)


def test_a_file_of_a_commit(everywhere: tuple[HostedSources, str], repo: MemoryRepo) -> None:
    """A full commit is the state it names, wherever branches are."""
    sources, address = everywhere
    commit = repo.refs[b"refs/heads/feature/next"].decode()  # type: ignore[index] # the same
    read = sources.read(f"{address}#{commit}", "Dockerfile")

    assert (read.content, read.revision) == (b"FROM next\n", commit)


@pytest.mark.parametrize(
    ("fragment", "path"), [("", "Dockerfile.none"), ("#gone", "Dockerfile"), ("", "app")]
)
def test_what_is_not_there(everywhere: tuple[HostedSources, str], fragment: str, path: str) -> None:
    """A file, a branch that is not there, or a folder is a permanent error."""
    sources, address = everywhere
    with pytest.raises(SourceUnavailable):
        sources.read(address + fragment, path)


def test_a_branch_is_asked_for_each_time(
    everywhere: tuple[HostedSources, str], repo: MemoryRepo
) -> None:
    """A branch that moved is read anew."""
    sources, address = everywhere
    first = sources.read(address, "Dockerfile")
    hosts.commit(repo, {"Dockerfile": b"FROM two\n"})
    second = sources.read(address, "Dockerfile")

    assert (first.content, second.content) == (b"FROM one\n", b"FROM two\n")
    assert first.revision != second.revision


def test_a_file_of_a_commit_is_kept(
    everywhere: tuple[HostedSources, str], net: Hosts, repo: MemoryRepo
) -> None:
    """What was read of a commit is not read again."""
    sources, address = everywhere
    commit = repo.refs[b"refs/heads/main"].decode()  # type: ignore[index] # the same
    first = sources.read(f"{address}#{commit}", "Dockerfile")
    asked = len(net.requests)

    assert sources.read(f"{address}#{commit}", "Dockerfile") == first
    assert len(net.requests) == asked


def test_an_unchanged_branch_of_github_is_told_in_brief(
    net: Hosts, sources: Made, repo: MemoryRepo
) -> None:
    """An unchanged branch costs one conditional request, which has no part in the rate limit."""
    net.mount("api.github.com", hosts.github({"team/app": repo}))
    made = sources()
    first = made.read(GITHUB, "Dockerfile")
    second = made.read(GITHUB, "Dockerfile")

    assert first == second
    paths = [path.rpartition("/app/")[2].partition("/")[0] for path in net.seen("api.github.com")]
    assert paths == ["commits", "contents", "commits"]


@pytest.mark.parametrize("kind", ["dulwich", pytest.param("git", marks=pytest.mark.needs("git"))])
@pytest.mark.parametrize("path", ["link", "folder/Dockerfile", "long", "longer"])
def test_links_inside_of_a_repository(
    net: Hosts, sources: Made, repo: MemoryRepo, path: str, kind: str, tmp_path: Path
) -> None:
    """A link to a file, or of a folder on the way, is followed."""
    repos = {"app.git": repo}
    real = kind == "git"
    app = hosts.real_git_host(tmp_path / "git", repos) if real else hosts.git_host(repos)
    net.mount("git.example.com", app)

    read = sources().read("https://git.example.com/app.git", path)
    assert read.content == b"FROM inner\n"


@pytest.mark.needs("git")
@pytest.mark.parametrize("leaves_out", [True, False])
def test_what_is_fetched_of_a_repository(
    net: Hosts,
    sources: Made,
    repo: MemoryRepo,
    tmp_path: Path,
    leaves_out: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Of a host that can leave files out, folders are fetched and then one file."""
    app = hosts.real_git_host(tmp_path / "git", {"app.git": repo}, leaves_out=leaves_out)
    net.mount("git.example.com", app)
    sources().read("https://git.example.com/app.git", "Dockerfile")

    # Each fetch asks what the host can do, for its HEAD, and then for what it wants.
    fetches = net.seen("git.example.com").count("/app.git/info/refs?service=git-upload-pack") - 1
    assert fetches == (2 if leaves_out else 1)


@pytest.mark.needs("git")
def test_a_host_that_gives_out_no_single_file(
    net: Hosts, sources: Made, repo: MemoryRepo, tmp_path: Path
) -> None:
    """A host that leaves files out and does not give them out singly is asked for everything."""
    app = hosts.real_git_host(tmp_path / "git", {"app.git": repo})

    def picky(environ: hosts.Environ, start: hosts.Start) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if b"0032want" in body and b"deepen" not in body:
            start("200 OK", [("Content-Type", "application/x-git-upload-pack-result")])
            return [b"0010ERR not that"]
        return app(environ, start)

    net.mount("git.example.com", picky)

    read = sources().read("https://git.example.com/app.git", "Dockerfile")
    assert read.content == b"FROM one\n"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("up", "outside"),
        ("loop", "too many links"),
        ("Dockerfile/x", "no file"),
        ("app", "no file"),
        ("link/x", "no file"),
    ],
)
def test_links_that_lead_nowhere(
    net: Hosts, sources: Made, repo: MemoryRepo, path: str, reason: str
) -> None:
    """A link that leaves the repository or leads to itself is refused."""
    net.mount("git.example.com", hosts.git_host({"app.git": repo}))
    with pytest.raises(SourceUnavailable, match=reason):
        sources().read("https://git.example.com/app.git", path)


# Credentials.


@pytest.mark.parametrize(
    ("host", "address", "credential", "header"),
    [
        ("api.github.com", GITHUB, SourceCredential("github.com", "t0p"), "Bearer t0p"),
        (
            "git.example.com",
            "https://git.example.com/team/app.git",
            SourceCredential("git.example.com", "p", "u"),
            "Basic dTpw",
        ),
        (
            "git.example.com",
            "https://git.example.com/team/app.git",
            SourceCredential("git.example.com", "p"),
            "Basic eC1hY2Nlc3MtdG9rZW46cA==",
        ),
        (
            "dev.azure.com",
            "https://org@dev.azure.com/org/app/_git/app",
            SourceCredential("dev.azure.com", "pat"),
            "Basic OnBhdA==",
        ),
        (
            "files.example.com",
            "https://files.example.com/app.tar.gz",
            SourceCredential("files.example.com", "p", "u"),
            "Basic dTpw",
        ),
    ],
)
def test_a_host_is_shown_its_credential(
    net: Hosts,
    sources: Made,
    repo: MemoryRepo,
    host: str,
    address: str,
    credential: SourceCredential,
    header: str,
) -> None:
    """Each kind of host is shown the credential in the way that it takes."""
    apps = {
        "api.github.com": hosts.github({"team/app": repo}),
        "git.example.com": hosts.git_host({"team/app.git": repo}),
        "dev.azure.com": hosts.azure_repos({"org/app/app": repo}),
        "files.example.com": hosts.answer(hosts.tar(("Dockerfile", b"FROM one\n"))),
    }
    net.mount(host, hosts.locked(apps[host], header))
    read = sources(credentials=(credential,)).read(address, "Dockerfile")

    assert read.content == b"FROM one\n"
    assert "@" not in read.address
    with pytest.raises(SourceUnavailable, match=r"add the entry .*REBUILDER_SOURCE_CREDENTIALS"):
        sources().read(address, "Dockerfile")
    wrong = SourceCredential(credential.host, "s3cr3t")
    with pytest.raises(SourceUnavailable, match="refuses the credential; look at") as raised:
        sources(credentials=(wrong,)).read(address, "Dockerfile")
    assert "s3cr3t" not in str(raised.value)


def test_credentials_stay_with_their_host(net: Hosts, sources: Made) -> None:
    """A redirect to another host is followed without what the first was shown."""
    archive = hosts.answer(hosts.tar(("Dockerfile", b"FROM one\n")))
    net.mount("files.example.com", hosts.redirect("https://elsewhere.example.com/x"))
    net.mount("elsewhere.example.com", archive)
    made = sources(credentials=(SourceCredential("files.example.com", "t0p"),))

    assert made.read("https://files.example.com/a.tgz", "Dockerfile").content == b"FROM one\n"
    assert net.shown("files.example.com") == {"Bearer t0p"}
    assert net.shown("elsewhere.example.com") == {""}


def test_a_git_host_may_send_elsewhere(net: Hosts, sources: Made, repo: MemoryRepo) -> None:
    """A repository that moved is found, and its new host is shown nothing."""
    net.mount("git.example.com", hosts.git_host({"new.git": repo}))
    target = "https://git.example.com/new.git/info/refs?service=git-upload-pack"
    net.mount("elsewhere.example.com", hosts.redirect(target))
    made = sources(credentials=(SourceCredential("elsewhere.example.com", "t0p"),))
    read = made.read("https://elsewhere.example.com/old.git", "Dockerfile")

    assert read.content == b"FROM one\n"
    assert net.shown("git.example.com") == {""}


@pytest.mark.parametrize("status", ["203 Non-Authoritative Information", "302 Found"])
def test_azure_repos_shows_a_page_to_sign_in(net: Hosts, sources: Made, status: str) -> None:
    """Azure Repos' answer to strangers is not taken for a file."""
    net.mount(
        "dev.azure.com",
        hosts.answer(b"<html>", status, Location="https://spsprodweu1.vssps.visualstudio.com/"),
    )
    address = "https://dev.azure.com/org/app/_git/app"
    with pytest.raises(SourceUnavailable, match="asks for a credential; add the entry"):
        sources().read(address, "Dockerfile")
    with pytest.raises(SourceUnavailable, match="refuses the credential"):
        sources(credentials=(SourceCredential("dev.azure.com", "x"),)).read(address, "Dockerfile")


# What hosts answer on bad days.


@pytest.mark.parametrize(
    ("status", "headers", "error", "text"),
    [
        ("500 Oops", {}, TransientError, "HTTP 500"),
        ("408 Timeout", {}, TransientError, "HTTP 408"),
        ("404 Not Found", {}, SourceUnavailable, "if it is private, add the entry 'github.com'"),
        ("403 Forbidden", {}, SourceUnavailable, "asks for a credential"),
        ("418 Teapot", {}, SourceUnavailable, "HTTP 418"),
        ("409 Conflict", {}, SourceUnavailable, "no such branch"),
        ("301 Moved", {}, SourceUnavailable, "HTTP 301"),
        ("200 OK", {}, SourceUnavailable, "no commit"),
        ("200 OK", {"Content_Encoding": "gzip"}, SourceUnavailable, "compressed"),
        ("200 OK", {"Content_Length": "99"}, TransientError, "no usable answer"),
    ],
)
def test_bad_answers(
    net: Hosts,
    sources: Made,
    status: str,
    headers: dict[str, str],
    error: type[Exception],
    text: str,
) -> None:
    """What may pass is tried again, everything else is told with what to do."""
    net.mount("api.github.com", hosts.answer(b"?", status, **headers))
    with pytest.raises(error, match=text):
        sources().read(GITHUB, "Dockerfile")


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        ("429 Slow", {"Retry_After": "30"}, timedelta(seconds=30)),
        ("429 Slow", {"Retry_After": "soon"}, None),
        (
            "403 Forbidden",
            {
                "X_RateLimit_Remaining": "0",
                "X_RateLimit_Reset": "1700000060",
                "Date": "Tue, 14 Nov 2023 22:13:20 GMT",
            },
            timedelta(seconds=60),
        ),
        ("403 Forbidden", {"Retry_After": "99999"}, timedelta(hours=1)),
        ("429 Slow", {"X_RateLimit_Reset": "9" * 30, "Date": "today"}, None),
        ("429 Slow", {"Retry_After": "9" * 5000}, timedelta(hours=1)),
        ("429 Slow", {"Retry_After": "-1"}, None),
        (
            "403 Forbidden",
            {
                "X_RateLimit_Remaining": "0",
                "X_RateLimit_Reset": "9" * 5000,
                "Date": "Tue, 14 Nov 2023 22:13:20",
            },
            timedelta(hours=1),
        ),
        (
            "403 Forbidden",
            {
                "X_RateLimit_Remaining": "0",
                "X_RateLimit_Reset": "1700000060",
                "Date": "Tue, 14 Nov 2023 22:13:20",
            },
            timedelta(seconds=60),
        ),
    ],
)
def test_hosts_that_ask_to_wait(
    net: Hosts, sources: Made, status: str, headers: dict[str, str], wait: timedelta | None
) -> None:
    """A rate limit says how long to wait, by the host's own clock, but not longer than an hour."""
    net.mount("api.github.com", hosts.answer(b"", status, **headers))
    with pytest.raises(Throttled) as raised:
        sources().read(GITHUB, "Dockerfile")
    assert raised.value.retry_after == wait


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"no json", "not JSON"),
        (b"[" * 100_000, "is this GitHub"),
        (b'{"type": "file", "size": ' + b"9" * 5000, "is this GitHub"),
        (b'{"type": "file", "path": "\\ud800"}', "is this GitHub"),
        (
            json.dumps(
                {"type": "file", "size": 9, "encoding": "base64", "content": "eHh4" * 400_000}
            ).encode(),
            "longer",
        ),
        (
            json.dumps({"type": "file", "size": 9, "encoding": "base64", "content": "é"}).encode(),
            "not Base64",
        ),
        (b"[]", "no file"),
        (json.dumps({"type": "symlink"}).encode(), "no file"),
        (json.dumps({"type": "file", "size": 9, "encoding": "none"}).encode(), "longer"),
        (
            json.dumps({"type": "file", "size": 9, "encoding": "base64", "content": "?"}).encode(),
            "not Base64",
        ),
    ],
)
def test_contents_that_are_none(net: Hosts, sources: Made, body: bytes, text: str) -> None:
    """What GitHub shows of folders, links and long files is not taken for a file."""
    net.mount("api.github.com", hosts.answer(body))
    with pytest.raises(SourceUnavailable, match=text):
        sources().read(f"{GITHUB}#{'0' * 40}", "Dockerfile")


def test_an_api_that_is_not_azure_repos(net: Hosts, sources: Made) -> None:
    """An answer of another kind is told as such."""
    net.mount("dev.azure.com", hosts.answer(b"hello"))
    with pytest.raises(SourceUnavailable, match="not that of Azure Repos"):
        sources().read("https://dev.azure.com/org/app/_git/app", "Dockerfile")


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"<html>", "text/html", "does not answer as a git repository"),
        (b"hello", "application/x-git-upload-pack-advertisement", "git"),
        (b"000aERR no", "application/x-git-upload-pack-advertisement", "says: no"),
        (b"", "application/x-git-upload-pack-advertisement", "git"),
    ],
)
def test_a_host_that_speaks_no_git(
    net: Hosts, sources: Made, body: bytes, kind: str, text: str
) -> None:
    """What is no git protocol is an error of this product, whatever the client makes of it."""
    net.mount("git.example.com", hosts.answer(body, Content_Type=kind))
    with pytest.raises((SourceUnavailable, TransientError), match=text):
        sources().read("https://git.example.com/app.git", "Dockerfile")


@pytest.mark.needs("git")
def test_a_commit_that_a_git_host_does_not_know(
    net: Hosts, sources: Made, repo: MemoryRepo, tmp_path: Path
) -> None:
    """A commit that is gone is a permanent error, in the host's own words."""
    net.mount("git.example.com", hosts.real_git_host(tmp_path / "git", {"app.git": repo}))
    with pytest.raises(SourceUnavailable, match="not our ref"):
        sources().read(f"https://git.example.com/app.git#{'0' * 39}1", "Dockerfile")


@pytest.mark.parametrize("what", ["tag", "tree", "module"])
def test_commits_that_are_none(net: Hosts, sources: Made, repo: MemoryRepo, what: str) -> None:
    """A full id may be that of a tag; what is no commit and no file is told as such."""
    net.mount("git.example.com", hosts.git_host({"app.git": repo}))
    made = sources()
    address = "https://git.example.com/app.git"
    head = repo.object_store[repo.refs[b"refs/heads/main"]]  # type: ignore[index] # the same
    assert isinstance(head, Commit)
    if what == "tag":
        tag = repo.refs[b"refs/tags/v1"].decode()  # type: ignore[index] # the same
        assert made.read(f"{address}#{tag}", "Dockerfile").content == b"FROM one\n"
        return
    if what == "tree":
        repo.refs[b"refs/heads/tree"] = head.tree  # type: ignore[index] # the same
    module = (S_IFGITLINK, b"1" * 40)
    hosts.commit(repo, {"module": module}, b"refs/heads/module")
    with pytest.raises(SourceUnavailable, match=r"commit is none|no file"):
        made.read(f"{address}#{what}", "module")


def test_a_folder_of_azure_repos_or_a_link(net: Hosts, sources: Made, repo: MemoryRepo) -> None:
    """Azure Repos says what is a folder and what is a link, and follows none."""
    net.mount("dev.azure.com", hosts.azure_repos({"org/app/app": repo}))
    address = "https://dev.azure.com/org/app/_git/app"
    for path, text in (("app", "no file"), ("link", "a link")):
        with pytest.raises(SourceUnavailable, match=text):
            sources().read(address, path)


def test_branches_with_like_names(net: Hosts, sources: Made, repo: MemoryRepo) -> None:
    """A branch is known by its whole name, not by its beginning."""
    hosts.commit(repo, {"Dockerfile": b"FROM other\n"}, b"refs/heads/mainly")
    net.mount("dev.azure.com", hosts.azure_repos({"org/app/app": repo}))
    address = "https://dev.azure.com/org/app/_git/app#main"

    assert sources().read(address, "Dockerfile").content == b"FROM one\n"


def test_a_github_without_entity_tags(net: Hosts, sources: Made, repo: MemoryRepo) -> None:
    """A branch is asked for anew where the host gives no tag to ask by."""
    app = hosts.github({"team/app": repo})

    def bare(environ: hosts.Environ, start: hosts.Start) -> Iterable[bytes]:
        return app(environ, lambda status, _: start(status, []))

    net.mount("api.github.com", bare)
    made = sources()

    assert made.read(GITHUB, "Dockerfile") == made.read(GITHUB, "Dockerfile")


@pytest.mark.needs("git")
@pytest.mark.parametrize(
    ("changed", "text"),
    [
        # How git cuts its answer into lines is not always the same.
        (lambda pack: pack[:-60], "does not match length|Invalid pkt-line length"),
        (lambda pack: pack.replace(b"PACK", b"JUNK"), "no pack"),
        # A pack ends with its own checksum.
        (lambda pack: pack[:-6] + b"\0\0" + pack[-4:], "no git repository"),
    ],
)
def test_packs_that_are_broken(
    net: Hosts,
    sources: Made,
    repo: MemoryRepo,
    tmp_path: Path,
    changed: Callable[[bytes], bytes],
    text: str,
) -> None:
    """A pack that is cut, is none or is not what it says is never used."""
    app = hosts.real_git_host(tmp_path / "git", {"app.git": repo})

    def broken(environ: hosts.Environ, start: hosts.Start) -> Iterable[bytes]:
        body = b"".join(app(environ, start))
        return [changed(body) if b"PACK" in body else body]

    net.mount("git.example.com", broken)
    with pytest.raises((SourceUnavailable, TransientError), match=text):
        sources().read("https://git.example.com/app.git", "Dockerfile")


def test_sources_by_the_settings() -> None:
    """The settings decide on hosts; nobody is asked before a file is wanted."""
    made = HostedSources.from_settings(
        Settings(frozenset(), (), "", source_hosts=("git.example.com",))
    )
    with pytest.raises(SourceUnavailable, match="REBUILDER_SOURCE_HOSTS"):
        made.read(GITHUB, "Dockerfile")
    made.close()


# What has no files.


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ("", "no context"),
        ("/dev/null", "no context"),
        ("source/2024/upload.tar.gz", "uploaded"),
        ("git@github.com:team/app.git", "ssh"),
        ("http://files.example.com/x.tgz", "http"),
        ("https://github.com/team/app.git#../x", "branch"),
    ],
)
def test_contexts_without_files(sources: Made, context: str, reason: str) -> None:
    """A context that cannot be read is refused with its reason, and nobody is asked."""
    with pytest.raises(SourceUnavailable, match=reason):
        sources().read(context, "Dockerfile")


@pytest.mark.parametrize("path", ["../x", "app/../../x", "", ".", "a\0b"])
def test_paths_outside_of_the_context(sources: Made, path: str) -> None:
    """A path that is no file of the context is refused, and nobody is asked."""
    with pytest.raises(SourceUnavailable):
        sources().read(GITHUB, path)


def test_an_address_that_is_no_repository(sources: Made) -> None:
    """A GitHub address with too many parts is told as such."""
    with pytest.raises(SourceUnavailable, match="OWNER/REPOSITORY"):
        sources().read("https://github.com/team/app/extra.git", "Dockerfile")
