from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.dependencies.contexts import (
    AzureReposContext,
    Context,
    GitContext,
    NoContext,
    OciContext,
    TarballContext,
    UploadedContext,
    file_path,
    parse_context,
    public_address,
)
from rebuilder.errors import SourceUnavailable

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GITHUB = "https://github.com/team/app.git"
DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (GITHUB, GitContext(GITHUB, "github.com")),
        (f" {GITHUB}# ", GitContext(GITHUB, "github.com")),
        (f"{GITHUB}#:", GitContext(GITHUB, "github.com")),
        (f"{GITHUB}#main", GitContext(GITHUB, "github.com", "main")),
        (f"{GITHUB}#refs/heads/main", GitContext(GITHUB, "github.com", "main")),
        (f"{GITHUB}#feature/a:b/c/", GitContext(GITHUB, "github.com", "feature/a", "b/c")),
        (f"{GITHUB}#:/app", GitContext(GITHUB, "github.com", "", "app")),
        (f"{GITHUB}#main:./a/../b", GitContext(GITHUB, "github.com", "main", "b")),
        (f"{GITHUB}#a%2Fb:c%20d", GitContext(GITHUB, "github.com", "a/b", "c d")),
        (f"{GITHUB}##ref=main,subdir=a", GitContext(GITHUB, "github.com", "main", "a")),
        (f"{GITHUB}##tag=v1", GitContext(GITHUB, "github.com", "v1")),
        (f"{GITHUB}##ref=v1,commit={COMMIT}", GitContext(GITHUB, "github.com", COMMIT)),
        (f"{GITHUB}##", GitContext(GITHUB, "github.com")),
        (
            "https://github.com/team/app",
            GitContext("https://github.com/team/app", "github.com"),
        ),
        ("github.com/team/app#v1", GitContext("https://github.com/team/app", "github.com", "v1")),
        (
            "HTTPS://u:p@GitHub.COM:443/team/app.git/",
            GitContext("https://github.com/team/app.git", "github.com"),
        ),
        (
            "https://git.corp.example:8443/a/b/c.git",
            GitContext("https://git.corp.example:8443/a/b/c.git", "git.corp.example:8443"),
        ),
        ("https://[fd00::1]/a.git", GitContext("https://[fd00::1]/a.git", "[fd00::1]")),
        (
            "https://org@dev.azure.com/org/my%20project/_git/app#main:x",
            AzureReposContext(
                "https://dev.azure.com/org/my%20project/_git/app",
                "dev.azure.com",
                "https://dev.azure.com/org",
                "my project",
                "app",
                "main",
                "x",
            ),
        ),
        (
            "https://dev.azure.com/org/_git/app",
            AzureReposContext(
                "https://dev.azure.com/org/_git/app",
                "dev.azure.com",
                "https://dev.azure.com/org",
                "app",
                "app",
            ),
        ),
        (
            "https://org.visualstudio.com/DefaultCollection/team/_git/app",
            AzureReposContext(
                "https://org.visualstudio.com/DefaultCollection/team/_git/app",
                "org.visualstudio.com",
                "https://org.visualstudio.com",
                "team",
                "app",
            ),
        ),
        (
            "https://files.example.com/a.tar.gz?sig=1#x",
            TarballContext("https://files.example.com/a.tar.gz?sig=1", "files.example.com"),
        ),
        # What is no repository by its name is downloaded, as the agent does it.
        ("https://gitlab.com/a/b", TarballContext("https://gitlab.com/a/b", "gitlab.com")),
        (
            "https://github.com/a/b/archive/main.tar.gz",
            TarballContext("https://github.com/a/b/archive/main.tar.gz", "github.com"),
        ),
        (
            "https://dev.azure.com/org/p/_git/app?x=1",
            TarballContext("https://dev.azure.com/org/p/_git/app?x=1", "dev.azure.com"),
        ),
        (
            "https://dev.azure.com/",
            TarballContext("https://dev.azure.com/", "dev.azure.com"),
        ),
        ("oci://Team.azurecr.io/a/b:v1", OciContext("team.azurecr.io", "a/b", "v1")),
        ("oci://team.azurecr.io/a", OciContext("team.azurecr.io", "a", "latest")),
        ("OCI://localhost:5000/a:b@" + DIGEST, OciContext("localhost:5000", "a", DIGEST)),
        ("source/20241124/build.tar.gz", UploadedContext("source/20241124/build.tar.gz")),
        (".", UploadedContext(".")),
        ("/dev/null", NoContext()),
        ("", NoContext()),
    ],
)
def test_forms_of_contexts(text: str, context: Context) -> None:
    """Every form that ACR Tasks takes is told apart, without credentials."""
    assert parse_context(text) == context


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("git@github.com:team/app.git", "ssh"),
        ("github.com:team/app.git", "ssh"),
        ("ssh://git@github.com/team/app.git", "read by ssh"),
        ("git://github.com/team/app.git", "read by git"),
        ("http://files.example.com/a.tgz", "read by http"),
        ("https://", "host"),
        ("https://a b/c.git", "host"),
        ("https://host:port/c.git", "host"),
        ("https://[::1/c.git", "host"),
        ("https://host/a b.git", "white space"),
        ("https://host/a.git?x=s3cr3t", "query"),
        (f"{GITHUB}#--upload-pack=x", "branch"),
        (f"{GITHUB}#a..b", "branch"),
        (f"{GITHUB}#a%00b", "branch"),
        (f"{GITHUB}#:../x", "folder"),
        (f"{GITHUB}#:a%00", "folder"),
        (f"{GITHUB}##keep=1", "BuildKit"),
        ("oci://team.azurecr.io", "registry"),
        ("oci:///a", "registry"),
        ("oci://team.azurecr.io/A", "lower case"),
        ("oci://team.azurecr.io/a:?", "tag"),
        ("oci://team.azurecr.io/a@b", "digest"),
        ("oci://u:s3cr3t@team.azurecr.io/a", "credentials"),
        ("https://github.com/team/\ud800.git", "half a character"),
        ("\udfff/upload.tar.gz", "half a character"),
        ("a." * 3000, "longer than 4096"),
        ("https://github.com/" + "a" * 5000, "longer than 4096"),
    ],
)
def test_contexts_that_are_refused(text: str, reason: str) -> None:
    """What cannot be read is refused with its reason and without what may be secret."""
    with pytest.raises(SourceUnavailable, match=reason) as raised:
        parse_context(text)
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"https://u:s3cr3t@{GITHUB.removeprefix('https://')}#main:app", f"{GITHUB}#main:app"),
        (f"{GITHUB}#main", f"{GITHUB}#main"),
        (f"{GITHUB}#:app", f"{GITHUB}#:app"),
        ("https://u@dev.azure.com/o/p/_git/r", "https://dev.azure.com/o/p/_git/r"),
        ("https://f.example.com/a.tgz?sig=s3cr3t", "https://f.example.com/a.tgz"),
        ("oci://a.azurecr.io/b:c", "oci://a.azurecr.io/b:c"),
        (f"oci://a.azurecr.io/b@{DIGEST}", f"oci://a.azurecr.io/b@{DIGEST}"),
        ("uploads/x.tar.gz?sig=s3cr3t", "uploads/x.tar.gz"),
        ("", "/dev/null"),
    ],
)
def test_what_people_are_shown(text: str, shown: str) -> None:
    """A context is shown without user, password and signature."""
    assert public_address(parse_context(text)) == shown


def test_a_full_commit_is_known_as_such() -> None:
    """Only 40 or 64 lower-case hexadecimal digits are a commit; everything else is asked for."""
    contexts = [parse_context(f"{GITHUB}#{ref}") for ref in (COMMIT, COMMIT[:7], "main", "")]

    assert [c.commit for c in contexts if isinstance(c, GitContext)] == [COMMIT, "", "", ""]
    azure = parse_context(f"https://dev.azure.com/o/p/_git/r#{COMMIT}")
    assert isinstance(azure, AzureReposContext)
    assert azure.commit == COMMIT


@pytest.mark.parametrize(
    ("folder", "path", "clean"),
    [
        ("", "Dockerfile", "Dockerfile"),
        ("a", "./b//c/../Dockerfile", "a/b/Dockerfile"),
        ("a/b", "../Dockerfile", "a/Dockerfile"),
        ("", "/Dockerfile", "Dockerfile"),
    ],
)
def test_paths_inside(folder: str, path: str, clean: str) -> None:
    """A path is taken from its folder and tidied up."""
    assert file_path(folder, path) == clean


@pytest.mark.parametrize(
    ("folder", "path"),
    [
        ("", ""),
        ("", "."),
        ("a", ".."),
        ("", "../x"),
        ("a", "../../x"),
        ("", "a/../../a"),
        ("", "\0"),
        ("", "\ud800"),
        ("", "a" * 5000),
    ],
)
def test_paths_outside(folder: str, path: str) -> None:
    """A path that leads outside, if only on its way, is none."""
    with pytest.raises(SourceUnavailable):
        file_path(folder, path)


@given(st.text(), st.sampled_from(["", "https://", "oci://", "https://host/", f"{GITHUB}#"]))
def test_any_text_is_a_context_or_refused(text: str, before: str) -> None:
    """No text of a task makes the product fail in another way."""
    try:
        shown = public_address(parse_context(before + text))
    except SourceUnavailable:
        return
    assert isinstance(shown, str)


@given(st.text(alphabet="a./\\ ", max_size=12), st.text(alphabet="a./\\ ", max_size=12))
def test_no_path_leads_outside(folder: str, path: str) -> None:
    """Whatever is written, what comes out stays inside."""
    try:
        clean = file_path(folder, path)
    except SourceUnavailable:
        return
    assert clean
    assert not clean.startswith("/")
    assert not {"..", "."} & set(clean.split("/"))
