"""What BuildSources must do with artifacts of registries, in the local cloud and elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import oras.client
import pytest

from localcloud.cloud import LocalCloud
from localcloud.registry.auth import TOKEN_USER
from rebuilder.azure.identity import credential, registry_tokens
from rebuilder.errors import Denied, SourceUnavailable, TransientError
from rebuilder.source_credentials import SourceCredential
from rebuilder.sources.files import HostedSources
from tests import hosts, images
from tests.hosts import Environ, Hosts, Start

HOST = "team.azurecr.io"
CONTEXT = f"oci://{HOST}/context:v1"
TITLE = "org.opencontainers.image.title"
UNPACK = "io.deis.oras.content.unpack"
FOLDER = hosts.tar(("app/Dockerfile", b"FROM inner\n"), ("app/x", b""))
DOCKERFILE = b"FROM one\n"
type Made = Callable[..., HostedSources]


@pytest.fixture(name="net")
def _net(tmp_path: Path) -> Iterator[Hosts]:
    with Hosts(tmp_path) as made:
        yield made


@pytest.fixture(name="sources")
def _sources(net: Hosts) -> Iterator[Made]:
    made: list[HostedSources] = []

    def make(**options: Any) -> HostedSources:  # noqa: ANN401 - the constructor's own
        private = (HOST, "other.azurecr.io", "store.blob.core.windows.net")
        values = {
            "private_hosts": private,
            "ca_bundle": str(net.ca_bundle),
            "resolve": net.resolve,
        }
        made.append(HostedSources(("*.azurecr.io",), **{**values, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def layer(content: bytes, title: str = "", *, unpack: bool = False) -> dict[str, Any]:
    """Return the descriptor of a layer."""
    annotations = {TITLE: title} if title else {}
    if unpack:
        annotations[UNPACK] = "true"
    return {"digest": hosts.digest(content), "size": len(content), "annotations": annotations}


LAYERS = [
    {"digest": "sha256:nothing"},
    layer(b"", ""),
    layer(DOCKERFILE, "./Dockerfile"),
    layer(b"x", "../Dockerfile"),
    layer(FOLDER, "app", unpack=True),
]
MANIFEST = json.dumps({"layers": LAYERS}).encode()
BLOBS = {hosts.digest(content): content for content in (DOCKERFILE, FOLDER)}


def registry(
    manifest: bytes = MANIFEST, token: str = "", challenge: str = "", store: str = ""
) -> hosts.App:
    """Return an app that serves an artifact, to whoever shows the token."""

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        path = str(environ["PATH_INFO"])
        if token and environ.get("HTTP_AUTHORIZATION") != token:
            start("401 Unauthorized", [("WWW-Authenticate", challenge)])
            return [b""]
        if "/manifests/" in path:
            start("200 OK", [])
            return [manifest]
        if store:
            start("307 Temporary Redirect", [("Location", f"https://{store}{path}?sig=x")])
            return [b""]
        return blobs(environ, start)

    return app


def blobs(environ: Environ, start: Start) -> Iterable[bytes]:
    """Serve the layers."""
    digest = str(environ["PATH_INFO"]).rpartition("/")[2]
    start("200 OK" if digest in BLOBS else "404 Not Found", [])
    return [BLOBS.get(digest, b"")]


@pytest.mark.parametrize(
    ("path", "content"), [("Dockerfile", DOCKERFILE), ("app/Dockerfile", b"FROM inner\n")]
)
def test_a_file_of_an_artifact(net: Hosts, sources: Made, path: str, content: bytes) -> None:
    """A file is a layer of its name, or is in the layer of its folder, as oras stores them."""
    net.mount(HOST, registry())
    made = sources()
    read = made.read(CONTEXT, path)

    assert read.content == content
    assert read.revision == hosts.digest(MANIFEST)
    assert read.address == CONTEXT
    assert made.read(f"oci://{HOST}/context@{hosts.digest(MANIFEST)}", path).content == content
    assert len([path for path in net.seen(HOST) if "/blobs/" in path]) == 1


def test_layers_come_from_elsewhere(net: Hosts, sources: Made) -> None:
    """A registry sends who asks for a layer to its store, which is shown nothing."""
    net.mount(HOST, registry(store="store.blob.core.windows.net"))
    net.mount("store.blob.core.windows.net", blobs)

    assert sources().read(CONTEXT, "Dockerfile").content == DOCKERFILE
    assert net.shown("store.blob.core.windows.net") == {""}


def bearer(realm: str = f"https://{HOST}/oauth2/token") -> str:
    """Return a challenge."""
    return f'Bearer realm="{realm}",service="{HOST}",scope="repository:context:pull"'


def with_tokens(tokens: dict[str, hosts.App], app: hosts.App) -> hosts.App:
    """Return a registry that gives out tokens."""

    def both(environ: Environ, start: Start) -> Iterable[bytes]:
        return tokens.get(str(environ["PATH_INFO"]), app)(environ, start)

    return both


@pytest.mark.parametrize(
    ("credentials", "shown"),
    [
        ((), ""),
        ((SourceCredential(HOST, "p", "u"),), "Basic dTpw"),
        (
            (SourceCredential(HOST, "p"),),
            "Basic MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOnA=",
        ),
    ],
)
def test_a_token_is_asked_for(
    net: Hosts, sources: Made, credentials: tuple[SourceCredential, ...], shown: str
) -> None:
    """A registry's challenge is answered by a token, for strangers or for who has a password."""
    asked = []

    def token(environ: Environ, start: Start) -> Iterable[bytes]:
        asked.append((environ.get("HTTP_AUTHORIZATION", ""), environ["QUERY_STRING"]))
        start("200 OK", [])
        return [b'{"token": "t0k"}']

    app = registry(token="Bearer t0k", challenge=bearer())
    net.mount(HOST, with_tokens({"/oauth2/token": token}, app))
    read = sources(credentials=credentials).read(CONTEXT, "Dockerfile")

    assert read.content == DOCKERFILE
    query = f"service={HOST}&scope=repository%3Acontext%3Apull"
    assert asked == [(shown, query)]


def test_a_registry_may_ask_for_a_password(net: Hosts, sources: Made) -> None:
    """A registry without tokens is shown the password itself."""
    net.mount(HOST, registry(token="Basic dTpw", challenge='Basic realm="x"'))
    made = sources(credentials=(SourceCredential(HOST, "p", "u"),))

    assert made.read(CONTEXT, "Dockerfile").content == DOCKERFILE


def test_an_identity_is_exchanged(net: Hosts, sources: Made) -> None:
    """The identity's token goes to the registry itself, and what comes of it reads the artifact."""
    forms = []

    def token(environ: Environ, start: Start) -> Iterable[bytes]:
        length = int(environ["CONTENT_LENGTH"])
        forms.append(parse_qs(environ["wsgi.input"].read(length).decode()))
        start("200 OK", [])
        return [json.dumps({"refresh_token": "r"} if len(forms) == 1 else {"token": "t"}).encode()]

    app = registry(token="Bearer t", challenge=bearer())
    net.mount(HOST, with_tokens({"/oauth2/exchange": token, "/oauth2/token": token}, app))
    asked: list[str] = []

    def identity(host: str) -> str:
        asked.append(host)
        return "entra"

    read = sources(registry_token=identity).read(CONTEXT, "Dockerfile")

    assert read.content == DOCKERFILE
    assert asked == [HOST]
    assert forms == [
        {"grant_type": ["access_token"], "service": [HOST], "access_token": ["entra"]},
        {
            "grant_type": ["refresh_token"],
            "refresh_token": ["r"],
            "service": [HOST],
            "scope": ["repository:context:pull"],
        },
    ]


def test_an_identity_that_is_none(net: Hosts, sources: Made) -> None:
    """Without an identity the artifact cannot be had, and asking again does not help."""

    def identity(host: str) -> str:
        raise Denied(f"no identity for {host}")

    net.mount(HOST, registry(token="Bearer t", challenge=bearer()))
    with pytest.raises(SourceUnavailable, match=f"no identity for {HOST}"):
        sources(registry_token=identity).read(CONTEXT, "Dockerfile")


def test_secrets_go_to_no_other_realm(net: Hosts, sources: Made) -> None:
    """A registry that names another host for tokens gets neither identity nor password there."""
    net.mount("other.azurecr.io", hosts.answer(b'{"access_token": "t"}'))
    challenge = bearer("https://other.azurecr.io/token")
    net.mount(HOST, registry(token="Bearer t", challenge=challenge))
    made = sources(
        registry_token=lambda _: "entra", credentials=(SourceCredential(HOST, "p", "u"),)
    )

    assert made.read(CONTEXT, "Dockerfile").content == DOCKERFILE
    assert net.shown("other.azurecr.io") == {""}


@pytest.mark.parametrize(
    ("challenge", "tokens", "error", "text"),
    [
        ("", hosts.answer(b"{}"), SourceUnavailable, "another kind"),
        ('Bearer realm="http://x/"', hosts.answer(b"{}"), SourceUnavailable, "another kind"),
        (bearer(), hosts.answer(b"{}"), SourceUnavailable, "gives no token"),
        (bearer(), hosts.answer(b"[]"), SourceUnavailable, "gives no token"),
        (bearer(), hosts.answer(b"", "401 No"), SourceUnavailable, "asks for a credential"),
        (bearer(), hosts.answer(b"", "500 No"), TransientError, "HTTP 500"),
        (bearer(), hosts.answer(b'{"token": "x"}'), SourceUnavailable, "refuses the credential"),
        (bearer("https://example.com/"), hosts.answer(b""), SourceUnavailable, "SOURCE_HOSTS"),
    ],
)
def test_registries_that_give_no_token(
    net: Hosts,
    sources: Made,
    challenge: str,
    tokens: hosts.App,
    error: type[Exception],
    text: str,
) -> None:
    """A registry that does not let the product in says what would help."""
    app = registry(token="Bearer t", challenge=challenge)
    net.mount(HOST, with_tokens({"/oauth2/token": tokens}, app))
    with pytest.raises(error, match=text):
        sources().read(CONTEXT, "Dockerfile")


def of(*layers: dict[str, Any]) -> bytes:
    """Return a manifest."""
    return json.dumps({"layers": layers}).encode()


WRONG = f"sha256:{'1' * 64}"
BLOBS[WRONG] = b"not that"


@pytest.mark.parametrize(
    ("manifest", "context", "text"),
    [
        (of(), CONTEXT, "has no file Dockerfile"),
        (b"no json", CONTEXT, "no manifest"),
        (b'{"layers": [1]}', CONTEXT, "no manifest"),
        (b"[]", CONTEXT, "no manifest"),
        (MANIFEST, f"oci://{HOST}/context@sha256:{'0' * 64}", "not the one of the digest"),
        (of({**layer(b"", "Dockerfile"), "digest": "?"}), CONTEXT, "its digest is none"),
        (of({**layer(b"", "Dockerfile"), "annotations": 1}), CONTEXT, "has no file"),
        (of(layer(b"gone", "Dockerfile")), CONTEXT, "it is not there"),
        (
            of({**layer(b"", "Dockerfile"), "digest": WRONG}),
            CONTEXT,
            "not what its digest says",
        ),
    ],
)
def test_artifacts_that_are_none(
    net: Hosts, sources: Made, manifest: bytes, context: str, text: str
) -> None:
    """What is no artifact, or not the one that was asked for, is told with its reason."""
    net.mount(HOST, registry(manifest))
    with pytest.raises(SourceUnavailable, match=text):
        sources().read(context, "Dockerfile")


def test_an_artifact_of_the_local_cloud(
    cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What oras pushes to a registry is read with a managed identity, through a proxy."""
    base = images.base_registry(cloud)
    (tmp_path / "Dockerfile").write_bytes(DOCKERFILE)
    monkeypatch.chdir(tmp_path)
    target = f"{base.login_server}/context:v1"
    client = oras.client.OrasClient(auth_backend="basic")
    client.login(TOKEN_USER, cloud.registry.registry_token(base, "t"), hostname=base.login_server)
    client.push(target, files=["Dockerfile"], quiet=True)
    identity = credential("")
    made = HostedSources(
        ("*.azurecr.io",),
        registry_token=registry_tokens(identity, "https://management.azure.com"),
    )
    context = f"oci://{base.login_server}/context:v1"

    assert made.read(context, "Dockerfile").content == DOCKERFILE
    with pytest.raises(SourceUnavailable):
        made.read(f"oci://{base.login_server}/context:v2", "Dockerfile")
    made.close()
    getattr(identity, "close")()  # noqa: B009 - not part of the protocol
