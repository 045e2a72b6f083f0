"""What ForeignRegistries must do, against servers that speak TLS under the registries' names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId
from rebuilder.errors import Denied, RebuilderError, Refused, Throttled, TransientError
from rebuilder.foreign.registries import OciRegistries
from rebuilder.ports.foreign import Seen
from rebuilder.settings import Settings
from rebuilder.source_credentials import SourceCredential
from tests import hosts
from tests.hosts import Environ, Hosts, Start

HUB, TOKENS, GHCR = "registry-1.docker.io", "auth.docker.io", "ghcr.io"
ALPINE = ImageReference.parse("alpine:3")
STATIC = ImageReference.parse("ghcr.io/team/static:1")
NEW = f"sha256:{'b' * 64}"
MANIFEST = b'{"schemaVersion": 2}'
CHALLENGE = f'Bearer realm="https://{TOKENS}/token",service="registry.docker.io"'
type Made = Callable[..., OciRegistries]


@pytest.fixture(name="net")
def _net(tmp_path: Path) -> Iterator[Hosts]:
    with Hosts(tmp_path) as made:
        yield made


@pytest.fixture(name="registries")
def _registries(net: Hosts) -> Iterator[Made]:
    made: list[OciRegistries] = []

    def make(**options: Any) -> OciRegistries:  # noqa: ANN401 - the constructor's own
        values = {
            "private_hosts": (HUB, TOKENS, GHCR, "gitlab.example.com", "reg.gitlab.example.com"),
            "ca_bundle": str(net.ca_bundle),
            "resolve": net.resolve,
        }
        polled = ("docker.io", GHCR, "reg.gitlab.example.com")
        made.append(OciRegistries(polled, **{**values, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def registry(token: str = "", challenge: str = CHALLENGE, **headers: str) -> hosts.App:
    """Return a registry whose tags all name one manifest, to whoever shows the token."""

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        if token and environ.get("HTTP_AUTHORIZATION") != token:
            start("401 Unauthorized", [("WWW-Authenticate", challenge)])
            return [b""]
        etag = headers.get("ETag")
        told = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if etag and environ.get("HTTP_IF_NONE_MATCH") == etag:
            start("304 Not Modified", told)
            return [b""]
        assert "index.v1+json" in environ["HTTP_ACCEPT"]
        assert "manifest.list.v2+json" in environ["HTTP_ACCEPT"]
        start("200 OK", told)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else MANIFEST]

    return app


def test_docker_hub_has_hosts_of_its_own(net: Hosts, registries: Made) -> None:
    """Its images are under library/, its API and its tokens under other names than its own."""
    net.mount(HUB, registry("Bearer t", Docker_Content_Digest=NEW, ETag='"e"'))
    net.mount(TOKENS, hosts.answer(b'{"token": "t"}'))

    assert registries().look(ALPINE, None) == Seen(NEW, '"e"')
    assert net.seen(HUB) == ["/v2/library/alpine/manifests/3"] * 2
    scope = "repository%3Alibrary%2Falpine%3Apull"
    assert net.seen(TOKENS) == [f"/token?service=registry.docker.io&scope={scope}"]
    assert net.shown(TOKENS) == {""}


@pytest.mark.parametrize("tokens", [b'{"access_token": "t"}', b'{"token": "t", "x": 1}'])
@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_a_credential_goes_to_its_registry(
    net: Hosts, registries: Made, tokens: bytes, name: str
) -> None:
    """Docker Hub's password is shown where its tokens are given out, under any of its names."""
    net.mount(HUB, registry("Bearer t", Docker_Content_Digest=NEW))
    net.mount(TOKENS, hosts.answer(tokens))
    made = registries(credentials=(SourceCredential(name, "p", "u"),))

    assert made.look(ALPINE, None).digest == NEW
    assert net.shown(TOKENS) == {"Basic dTpw"}
    assert net.shown(HUB) == {"", "Bearer t"}


def test_a_token_may_come_from_above(net: Hosts, registries: Made) -> None:
    """A host may give out tokens for those below it, but is shown no password of theirs."""
    host = "reg.gitlab.example.com"
    challenge = 'Bearer realm="https://gitlab.example.com/jwt?a=1"'
    net.mount(host, registry("Bearer t", challenge, Docker_Content_Digest=NEW))
    net.mount("gitlab.example.com", hosts.answer(b'{"token": "t"}'))
    made = registries(credentials=(SourceCredential(host, "p", "u"),))

    assert made.look(ImageReference.parse(f"{host}/x:1"), None).digest == NEW
    assert net.shown("gitlab.example.com") == {""}
    scope = "repository%3Ax%3Apull"
    assert net.seen("gitlab.example.com") == [f"/jwt?a=1&service={host}&scope={scope}"]


def test_a_registry_may_ask_for_a_password(net: Hosts, registries: Made) -> None:
    """A registry without tokens is shown the password itself; without one it is told so."""
    net.mount(GHCR, registry("Basic dTpw", 'Basic realm="x"', Docker_Content_Digest=NEW))
    made = registries(credentials=(SourceCredential(GHCR, "p", "u"),))

    assert made.look(STATIC, None).digest == NEW
    with pytest.raises(Denied, match=r"add the entry 'ghcr.io' of REBUILDER_SOURCE_CREDENTIALS"):
        registries().look(STATIC, None)


def test_what_was_seen_need_not_be_told_again(net: Hosts, registries: Made) -> None:
    """A registry that knows ETags answers that nothing has changed."""
    net.mount(GHCR, registry(Docker_Content_Digest=NEW, ETag='"e"'))
    made = registries()
    seen = made.look(STATIC, Seen(f"sha256:{'a' * 64}", '"old"'))
    assert seen == Seen(NEW, '"e"')
    net.mount(GHCR, registry(ETag='"e"'))

    assert made.look(STATIC, seen) == seen
    net.mount(GHCR, hosts.answer(status="304 Not Modified"))
    with pytest.raises(Refused, match="HTTP 304"):
        registries().look(STATIC, None)


def test_many_who_want_to_know_the_same_ask_once(net: Hosts, registries: Made) -> None:
    """The builds after a push are given one answer, for a while; the poll always asks."""
    other = f"sha256:{'a' * 64}"
    net.mount(GHCR, registry(Docker_Content_Digest=NEW))
    made = registries(fresh=1e9)
    hasty = registries(fresh=0.0)
    assert made.look(STATIC, None).digest == hasty.look(STATIC, None).digest == NEW
    net.mount(GHCR, registry(Docker_Content_Digest=other))

    assert made.look(STATIC, None).digest == NEW
    assert hasty.look(STATIC, None).digest == other
    assert made.look(STATIC, Seen(NEW)).digest == other


def test_a_registry_that_tells_no_digest(net: Hosts, registries: Made) -> None:
    """The manifest is read and hashed, as far as a manifest may be long."""
    net.mount(GHCR, registry())
    assert registries().look(STATIC, None).digest == hosts.digest(MANIFEST)

    def fails(environ: Environ, start: Start) -> Iterable[bytes]:
        head = environ["REQUEST_METHOD"] == "HEAD"
        start("200 OK" if head else "500 No", [])
        return [b""]

    net.mount(GHCR, fails)
    with pytest.raises(TransientError, match="HTTP 500"):
        registries().look(STATIC, None)


def test_a_tag_that_is_not_there(net: Hosts, registries: Made) -> None:
    """A missing tag is an answer."""
    net.mount(GHCR, hosts.answer(status="404 Not Found"))

    assert registries().look(STATIC, Seen(NEW, '"e"')) == Seen(None)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, timedelta()),
        ({"ratelimit_remaining": "99;w=21600"}, timedelta()),
        ({"ratelimit_remaining": "many"}, timedelta()),
        ({"ratelimit_remaining": "0;w=21600"}, timedelta(hours=6)),
        ({"ratelimit_remaining": "0"}, timedelta(minutes=1)),
        ({"ratelimit_remaining": "0;w=21600", "ratelimit_reset": "600"}, timedelta(minutes=10)),
    ],
)
def test_requests_that_are_used_up(
    net: Hosts, registries: Made, headers: dict[str, str], wait: timedelta
) -> None:
    """Docker Hub tells how many requests are left, and when there will be more."""
    net.mount(GHCR, registry(Docker_Content_Digest=NEW, **headers))

    assert registries().look(STATIC, None).wait == wait


def test_a_reset_may_be_a_time(net: Hosts, registries: Made) -> None:
    """Some registries write when, and not how long."""
    reset = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    headers = {"ratelimit_remaining": "0", "ratelimit_reset": str(int(reset.timestamp()))}
    net.mount(GHCR, registry(Docker_Content_Digest=NEW, **headers))
    before = datetime.now(UTC)
    wait = registries().look(STATIC, None).wait
    after = datetime.now(UTC)

    # The product reckons in whole seconds.
    assert reset - after <= wait <= reset - before + timedelta(seconds=1)


MANY = "9" * 5000


@pytest.mark.parametrize(
    "headers",
    [
        {"ratelimit_remaining": "0;w=99999999999999999"},
        {"ratelimit_remaining": f"0;w={MANY}"},
        {"ratelimit_remaining": "0", "ratelimit_reset": MANY},
        {"ratelimit_remaining": MANY},
        {"Retry_After": "99999999999999999999"},
        {"Retry_After": MANY},
        {"Retry_After": "Fri, 02 Jan 99999999999999 00:00:00 GMT", "Date": "today"},
    ],
)
@pytest.mark.parametrize("status", ["200 OK", "429 No", "503 No"])
def test_no_number_of_a_header_is_too_large(
    net: Hosts, registries: Made, status: str, headers: dict[str, str]
) -> None:
    """Whatever a registry asks for, it is left alone for six hours at most."""
    net.mount(GHCR, plain(status, Docker_Content_Digest=NEW, **headers))
    try:
        wait = registries().look(STATIC, None).wait
    except TransientError as error:
        wait = getattr(error, "retry_after", None) or timedelta()

    assert wait <= timedelta(hours=6)


@pytest.mark.parametrize(
    ("etag", "kept"),
    [
        ('"e"', '"e"'),
        ('W/"e"', 'W/"e"'),
        ("e", ""),
        ('"' + "e" * 60_000 + '"', ""),
        ('"\xe9"', ""),
        ('"\t"', ""),
    ],
)
def test_what_is_kept_of_an_answer_is_short(
    net: Hosts, registries: Made, etag: str, kept: str
) -> None:
    """It is stored, and shown to the registry again."""
    net.mount(GHCR, plain("200 OK", Docker_Content_Digest=NEW, ETag=etag))

    assert registries().look(STATIC, None) == Seen(NEW, kept)


DATE = "Fri, 02 Jan 2026 03:04:05 GMT"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry_After": "90"}, timedelta(seconds=90)),
        ({"Retry_After": "999999"}, timedelta(hours=6)),
        ({"Retry_After": "Fri, 02 Jan 2026 03:14:05 GMT", "Date": DATE}, timedelta(minutes=10)),
        ({"Retry_After": "Fri, 02 Jan 2026 03:14:05 GMT"}, timedelta(seconds=1)),
        ({"Retry_After": "soon", "ratelimit_remaining": "0;w=600"}, timedelta(minutes=10)),
        ({}, None),
    ],
)
def test_a_registry_that_asks_to_wait(
    net: Hosts, registries: Made, headers: dict[str, str], wait: timedelta | None
) -> None:
    """It is told for how long, as far as the registry tells."""
    net.mount(GHCR, plain("429 Too Many Requests", **headers))
    with pytest.raises(Throttled, match=r"ghcr\.io asks to wait") as raised:
        registries().look(STATIC, None)

    assert raised.value.retry_after == wait


def plain(status: str, **headers: str) -> hosts.App:
    """Return an app that says the same, with a Date of its own or with today's."""
    return hosts.answer(b"", status, **headers)


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        ("503 No", TransientError, "HTTP 503"),
        ("408 No", TransientError, "HTTP 408"),
        ("403 No", Denied, "look at the entry 'ghcr.io'"),
        ("400 No", Refused, "HTTP 400"),
    ],
)
def test_answers_that_are_none(
    net: Hosts, registries: Made, status: str, error: type[RebuilderError], text: str
) -> None:
    """Each refusal says what would help."""
    net.mount(GHCR, hosts.answer(status=status))
    with pytest.raises(error, match=text):
        registries().look(STATIC, None)


@pytest.mark.parametrize("digest", ["latest", "sha256:" + "a" * 60_000, "\xff"])
def test_a_digest_that_is_none(net: Hosts, registries: Made, digest: str) -> None:
    """What a registry tells is looked at before it is believed, and is not told at length."""
    net.mount(GHCR, registry(Docker_Content_Digest=digest))
    with pytest.raises(Refused, match="digest") as raised:
        registries().look(STATIC, None)
    assert len(str(raised.value)) < 500


OWN = f'Bearer realm="https://{GHCR}/token"'


@pytest.mark.parametrize(
    ("challenge", "tokens", "error", "text"),
    [
        ("", hosts.answer(b"{}"), Denied, "asks for a credential"),
        ('Bearer realm="http://ghcr.io/token"', hosts.answer(b"{}"), Denied, "credential"),
        ('Bearer realm="https://evil.example/t"', hosts.answer(b"{}"), Refused, "POLL_HOSTS"),
        ('Bearer realm="https://io/t"', hosts.answer(b"{}"), Refused, "POLL_HOSTS"),
        (OWN, hosts.answer(b"{}"), Refused, "gives no token"),
        (OWN, hosts.answer(b"[]"), Refused, "gives no token"),
        (OWN, hosts.answer(b"no json"), Refused, "gives no token"),
        (OWN, hosts.answer(b"[" * 100_000), Refused, "gives no token"),
        (OWN, hosts.answer(b'{"token": {"a": 1}}'), Refused, "gives no token"),
        (OWN, hosts.answer(b'{"token": "a\\nb"}'), Refused, "gives no token"),
        (OWN, hosts.answer(b"x" * 300_000), Refused, "longer than 262144"),
        ('Bearer realm="https://[evil/t"', hosts.answer(b"{}"), Refused, "cannot be read"),
        ("Bearer " + "a" * 60_000, hosts.answer(b"{}"), Denied, "credential"),
        (OWN, hosts.answer(b"", "401 No"), Denied, "HTTP 401"),
        (OWN, hosts.answer(b"", "429 No"), Throttled, "asks to wait"),
        (OWN, hosts.answer(b'{"token": "other"}'), Denied, "HTTP 401"),
    ],
)
def test_registries_that_give_no_token(
    net: Hosts,
    registries: Made,
    challenge: str,
    tokens: hosts.App,
    error: type[RebuilderError],
    text: str,
) -> None:
    """A registry that does not let the product in, or sends it elsewhere, is told."""
    app = registry("Bearer t", challenge)

    def both(environ: Environ, start: Start) -> Iterable[bytes]:
        return (tokens if environ["PATH_INFO"] == "/token" else app)(environ, start)

    net.mount(GHCR, both)
    with pytest.raises(error, match=text):
        registries().look(STATIC, None)


def test_what_may_not_be_asked(net: Hosts, registries: Made) -> None:
    """A private address, a host that is on no list and a redirect to one are refused."""
    net.mount(GHCR, hosts.redirect("https://inside.example.com/"))
    with pytest.raises(Refused, match=r"inside\.example\.com may not be asked"):
        registries().look(STATIC, None)
    with pytest.raises(Refused, match=r"private address 127\.0\.0\.1"):
        registries(private_hosts=()).look(STATIC, None)
    with pytest.raises(Refused, match="is not in REBUILDER_POLL_HOSTS"):
        registries().look(ImageReference.parse("quay.io/x:1"), None)
    assert len(net.requests) == 1


def test_the_settings_tell_what_may_be_asked() -> None:
    """By default the great public registries are."""
    base = RegistryId("s", "g", "mybase")
    made = OciRegistries.from_settings(Settings(frozenset({base}), (base,), "sqlite:x"))
    with pytest.raises(Refused, match="REBUILDER_POLL_HOSTS"):
        made.look(ImageReference.parse("registry.example.com/x:1"), None)
    made.close()
