"""What tags of foreign registries name, by the OCI distribution protocol.

Source of the rules: the OCI distribution specification 1.1, "Pulling manifests";
distribution.github.io/distribution/spec/auth/token; docs.docker.com/docker-hub/usage/pulls, whose
`ratelimit-remaining` reads `COUNT;w=SECONDS`. A HEAD counts as no pull there.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Self
from urllib.parse import urlencode

from rebuilder._net.addresses import authority
from rebuilder._net.deadlines import Deadline
from rebuilder._net.guard import Guard, Resolver
from rebuilder._net.http import Answer, Http
from rebuilder._net.sign_in import TOKEN_LIMIT, read_challenge, read_token
from rebuilder.core.acr.references import ImageReference, digest_problem
from rebuilder.core.acr.registries import DOCKER_HUB, canonical_host, host_matches
from rebuilder.core.waits import asked_wait, used_up
from rebuilder.errors import (
    Denied,
    RebuilderError,
    Refused,
    SourceUnavailable,
    Throttled,
    TransientError,
)
from rebuilder.ports.foreign import Seen
from rebuilder.settings import Settings
from rebuilder.settings.table import POLL_HOSTS, SOURCE_CREDENTIALS
from rebuilder.source_credentials import SourceCredential

# Without the index types a registry answers with the manifest of one platform.
_ACCEPT = (
    "application/vnd.oci.image.index.v1+json,"
    " application/vnd.docker.distribution.manifest.list.v2+json,"
    " application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.v2+json"
)
_DOCKER_API = "registry-1.docker.io"
_DOCKER_TOKENS = "auth.docker.io"
_SECONDS = 30.0
_FRESH_SECONDS = 30.0
_SEEN = 10_000  # answers that are remembered at most
_MANIFEST = 4 * 1024 * 1024
_TOKENS = ("token", "access_token")
_DIGEST = 200  # characters; a longer one is none
_LONGEST_WAIT = timedelta(hours=6)


class OciRegistries:
    """A ForeignRegistries; see rebuilder.ports. May be used by several threads.

    Args:
        hosts: Registries that may be asked, as in the settings.
        private_hosts: More hosts, whose addresses may be private.
        credentials: What registries are shown, by their names in references.
        seconds: For everything that one look asks.
        fresh: For how many seconds an answer is given again to who knows nothing yet: the builds
            that follow a push all want to know the same.
        ca_bundle: The certificates to trust; "" for those of REQUESTS_CA_BUNDLE, else certifi's.
        resolve: Resolves names.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        *,
        private_hosts: Iterable[str] = (),
        credentials: Iterable[SourceCredential] = (),
        seconds: float = _SECONDS,
        fresh: float = _FRESH_SECONDS,
        ca_bundle: str = "",
        resolve: Resolver = socket.getaddrinfo,
    ) -> None:
        self._hosts = tuple(hosts)
        self._http = Http(Guard(self._hosts, private_hosts, resolve, POLL_HOSTS), ca_bundle)
        # Docker Hub has several names, and references have one.
        self._credentials = {canonical_host(shown.host): shown for shown in credentials}
        self._seconds = seconds
        self._fresh = fresh
        self._seen: dict[ImageReference, tuple[Seen, float]] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the registries that the settings allow."""
        return cls(
            settings.poll_hosts,
            private_hosts=settings.private_source_hosts,
            credentials=settings.source_credentials,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def look(self, reference: ImageReference, known: Seen | None) -> Seen:
        """Return what a tag names now; see ForeignRegistries."""
        what = f"look at {reference}"
        if not any(host_matches(reference.domain, pattern) for pattern in self._hosts):
            raise Refused("NotPolled", f"{what}: {reference.domain} is not in {POLL_HOSTS}")
        seen, until = self._seen.get(reference, (None, 0.0))
        if known is None and seen is not None and time.monotonic() < until:
            return seen
        try:
            with Deadline(self._seconds, what) as deadline:
                found = self._look(reference, known, what, deadline)
        except SourceUnavailable as error:
            raise Refused("NotAsked", str(error)) from error
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen[reference] = (found, time.monotonic() + self._fresh)
        return found

    def _look(
        self, reference: ImageReference, known: Seen | None, what: str, deadline: Deadline
    ) -> Seen:
        domain = reference.domain
        host = _DOCKER_API if domain == DOCKER_HUB else domain
        url = f"https://{host}/v2/{reference.path}/manifests/{reference.tag}"
        headers = {"Accept": _ACCEPT}
        if known is not None and known.etag and known.digest:
            headers["If-None-Match"] = known.etag
        also = (host,)
        authorization = ""
        answer = self._http.ask(url, deadline, what, headers=headers, head=True, also=also)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            challenge = answer.headers.get("WWW-Authenticate", "")
            answer.close()
            authorization = self._sign_in(reference, host, challenge, what, deadline)
            answer = self._http.ask(
                url,
                deadline,
                what,
                headers=headers,
                authorization=authorization,
                head=True,
                also=also,
            )
        answer.close()
        wait = used_up(answer.headers, datetime.now(UTC), _LONGEST_WAIT) or timedelta()
        if answer.status == HTTPStatus.NOT_MODIFIED and known is not None:
            return Seen(known.digest, known.etag, wait)
        if answer.status == HTTPStatus.NOT_FOUND:
            return Seen(None, "", wait)
        if answer.status != HTTPStatus.OK:
            raise _problem(answer, what, domain)
        digest = answer.headers.get("Docker-Content-Digest", "")[:_DIGEST]
        if not digest:
            digest = self._hashed(url, authorization, what, deadline, reference, also)
        if problem := digest_problem(digest):
            raise Refused("NoDigest", f"{what}: {problem}")
        return Seen(digest, answer.etag, wait)

    def _hashed(
        self,
        url: str,
        authorization: str,
        what: str,
        deadline: Deadline,
        reference: ImageReference,
        also: tuple[str, ...],
    ) -> str:
        """Return the digest of a manifest whose registry does not tell it."""
        headers = {"Accept": _ACCEPT}
        with self._http.ask(
            url, deadline, what, headers=headers, authorization=authorization, also=also
        ) as answer:
            if answer.status != HTTPStatus.OK:
                raise _problem(answer, what, reference.domain)
            return f"sha256:{hashlib.sha256(answer.body(_MANIFEST)).hexdigest()}"

    def _sign_in(
        self,
        reference: ImageReference,
        host: str,
        challenge: str,
        what: str,
        deadline: Deadline,
    ) -> str:
        """Return the header that a registry asks for by its challenge."""
        shown = self._credentials.get(reference.domain)
        asks = read_challenge(challenge)
        if asks.scheme == "basic" and shown is not None:
            return _basic(shown)
        if asks.scheme != "bearer" or not asks.realm:
            raise Denied(
                f"{what}: {reference.domain} asks for a credential; add the entry"
                f" {reference.domain!r} of {SOURCE_CREDENTIALS}"
            )
        issuer = authority(asks.realm)
        own = issuer == host or (host, issuer) == (_DOCKER_API, _DOCKER_TOKENS)
        # As registry.gitlab.com and gitlab.com: a host may speak for those below it.
        above = "." in issuer and host.endswith(f".{issuer}")
        asked = {
            "service": asks.service or host,
            "scope": f"repository:{reference.path}:pull",
        }
        joint = "&" if "?" in asks.realm else "?"
        # Secrets go to the registry itself alone, wherever it says that tokens are given out.
        header = _basic(shown) if shown is not None and own else ""
        with self._http.ask(
            f"{asks.realm}{joint}{urlencode(asked)}",
            deadline,
            what,
            authorization=header,
            also=(issuer,) if own or above else (),
        ) as answer:
            if answer.status != HTTPStatus.OK:
                raise _problem(answer, what, reference.domain)
            token = read_token(answer.body(TOKEN_LIMIT), _TOKENS)
        if token is None:
            raise Refused("NoToken", f"{what}: {issuer} gives no token")
        return f"Bearer {token}"


def _basic(credential: SourceCredential) -> str:
    pair = f"{credential.username}:{credential.secret}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def _problem(answer: Answer, what: str, domain: str) -> RebuilderError:
    """Return the error that an answer which is no success stands for."""
    status = answer.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = asked_wait(answer.headers, datetime.now(UTC), _LONGEST_WAIT)
        return Throttled(f"{what}: {domain} asks to wait", wait)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return TransientError(f"{what}: {domain} answers HTTP {status}")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Denied(
            f"{what}: {domain} answers HTTP {status}; if the image is private, look at the entry"
            f" {domain!r} of {SOURCE_CREDENTIALS}"
        )
    return Refused("NotServed", f"{what}: {domain} answers HTTP {status}")
