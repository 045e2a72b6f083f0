"""Files of artifacts in registries, as oras stores them.

Source of the rules: the OCI distribution specification 1.1; docs.docker.com, registry token
authentication; github.com/Azure/acr/docs/AAD-OAuth.md (the exchange of an identity's token);
oras.land, file annotations.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import IO, Any
from urllib.parse import urlencode

from msgspec import Struct

from rebuilder._net.addresses import authority
from rebuilder._net.deadlines import Deadline
from rebuilder._net.sign_in import TOKEN_LIMIT, read_challenge, read_token
from rebuilder.core.acr.references import digest_problem
from rebuilder.core.dependencies.contexts import OciContext, file_path, public_address
from rebuilder.core.foreign_json import read_object
from rebuilder.errors import Denied, InvalidJson, SourceUnavailable
from rebuilder.sources._answers import problem
from rebuilder.sources._archives import read_member
from rebuilder.sources._tools import Found, Tools, basic

_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.artifact.manifest.v1+json",
)
_MANIFEST = 4 * 1024 * 1024
_IN_MEMORY = 4 * 1024 * 1024
_TITLE = "org.opencontainers.image.title"
_UNPACK = "io.deis.oras.content.unpack"
# The user of an ACR refresh token, by which a token alone signs in.
_NOBODY = "00000000-0000-0000-0000-000000000000"
# Where registries send who asks for a layer.
_LAYERS = (
    *("*.blob.core.windows.net", "*.blob.core.chinacloudapi.cn", "*.blob.core.usgovcloudapi.net"),
    *("*.azurecr.io", "*.azurecr.cn", "*.azurecr.us"),
)

type RegistryToken = Callable[[str], str | None]
"""Gives an identity's token for a registry's host, to be exchanged there; None for no identity."""


class Manifest(Struct, frozen=True):
    """An artifact's manifest.

    Attributes:
        digest: Its digest.
        layers: What it consists of.
    """

    digest: str
    layers: tuple[Mapping[str, Any], ...]


class Artifacts:
    """Reads files of artifacts.

    Args:
        tools: What every kind of source is given.
        registry_token: An identity's tokens for registries.
    """

    def __init__(self, tools: Tools, registry_token: RegistryToken) -> None:
        self._tools = tools
        self._registry_token = registry_token

    def manifest(self, context: OciContext, deadline: Deadline) -> tuple[Manifest, str]:
        """Return the manifest that a context names now, and what lets its layers be read.

        Raises:
            SourceUnavailable, TransientError: See BuildSources.
        """
        what = f"read {public_address(context)}"
        url = f"https://{context.registry}/v2/{context.repository}/manifests/{context.reference}"
        headers = {"Accept": ", ".join(_MANIFESTS)}
        authorization = ""
        answer = self._tools.http.ask(url, deadline, what, headers=headers)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            challenge = answer.headers.get("WWW-Authenticate", "")
            answer.close()
            authorization = self._sign_in(context, challenge, what, deadline)
            answer = self._tools.http.ask(
                url, deadline, what, headers=headers, authorization=authorization
            )
        with answer:
            if answer.status != HTTPStatus.OK:
                raise problem(answer, what, context.registry, shown=bool(authorization))
            body = answer.body(_MANIFEST)
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if ":" in context.reference and context.reference != digest:
            raise SourceUnavailable(f"{what}: the manifest is not the one of the digest")
        try:
            found = read_object(body)
        except InvalidJson as error:
            raise SourceUnavailable(f"{what}: the answer is no manifest: {error}") from None
        layers = found.get("layers") or found.get("blobs") or []
        if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
            raise SourceUnavailable(f"{what}: the answer is no manifest: its layers are none")
        return Manifest(digest, tuple(layers)), authorization

    def read(
        self,
        context: OciContext,
        manifest: Manifest,
        authorization: str,
        path: str,
        deadline: Deadline,
    ) -> Found:
        """Read a file of an artifact.

        Raises:
            SourceUnavailable, TransientError: See BuildSources.
        """
        for layer, inner in _candidates(manifest, path):
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
                self._download(context, layer, authorization, file, deadline)
                if not inner:
                    file.seek(0)
                    return Found(file.read(), manifest.digest)
                content = read_member(file, inner, self._tools.limits, deadline.remaining)
                return Found(content, manifest.digest)
        raise SourceUnavailable(f"{public_address(context)} has no file {path}")

    def _download(
        self,
        context: OciContext,
        layer: Mapping[str, Any],
        authorization: str,
        file: IO[bytes],
        deadline: Deadline,
    ) -> None:
        what = f"read a layer of {public_address(context)}"
        digest = str(layer.get("digest", ""))
        if digest_problem(digest) or not digest.startswith("sha256:"):
            raise SourceUnavailable(f"{what}: its digest is none")
        packed = _annotation(layer, _UNPACK) == "true"
        limits = self._tools.limits
        url = f"https://{context.registry}/v2/{context.repository}/blobs/{digest}"
        digested = hashlib.sha256()
        answer = self._tools.http.ask(
            url, deadline, what, authorization=authorization, also=_LAYERS
        )
        with answer:
            if answer.status != HTTPStatus.OK:
                raise problem(answer, what, context.registry, shown=bool(authorization))
            for chunk in answer.chunks(limits.download if packed else limits.file):
                digested.update(chunk)
                file.write(chunk)
        if f"sha256:{digested.hexdigest()}" != digest:
            raise SourceUnavailable(f"{what}: it is not what its digest says")

    def _sign_in(self, context: OciContext, challenge: str, what: str, deadline: Deadline) -> str:
        """Return the header that a registry asks for by its challenge."""
        asks = read_challenge(challenge)
        if asks.scheme == "basic":
            return self._tools.authorization(context.registry)
        if asks.scheme != "bearer" or not asks.realm:
            raise SourceUnavailable(f"{what}: the registry asks for a credential of another kind")
        service = asks.service or context.registry
        asked = {"service": service, "scope": asks.scope or f"repository:{context.repository}:pull"}
        # Secrets go to the registry itself alone, wherever it says that tokens are given out.
        own = authority(asks.realm) == context.registry
        shown = self._tools.credentials.get(context.registry) if own else None
        identity = self._identity(context.registry) if own and shown is None else None
        if identity:
            exchange = f"https://{context.registry}/oauth2/exchange"
            form = {"grant_type": "access_token", "service": service, "access_token": identity}
            refresh = self._token(exchange, what, deadline, context, form=form)
            form = {"grant_type": "refresh_token", "refresh_token": refresh, **asked}
            token = self._token(asks.realm, what, deadline, context, form=form)
        else:
            header = basic(shown.username or _NOBODY, shown.secret) if shown else ""
            joint = "&" if "?" in asks.realm else "?"
            address = f"{asks.realm}{joint}{urlencode(asked)}"
            token = self._token(address, what, deadline, context, authorization=header)
        return f"Bearer {token}"

    def _identity(self, host: str) -> str | None:
        try:
            return self._registry_token(host)
        except Denied as error:
            raise SourceUnavailable(str(error)) from error

    def _token(
        self,
        url: str,
        what: str,
        deadline: Deadline,
        context: OciContext,
        *,
        form: Mapping[str, str] | None = None,
        authorization: str = "",
    ) -> str:
        data = None if form is None else urlencode(form).encode()
        headers = {} if form is None else {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._tools.http.ask(
            url, deadline, what, headers=headers, authorization=authorization, data=data
        )
        with answer:
            if answer.status != HTTPStatus.OK:
                shown = form is not None or bool(authorization)
                raise problem(answer, what, context.registry, shown=shown)
            token = read_token(answer.body(TOKEN_LIMIT), _TOKENS)
        if token is None:
            raise SourceUnavailable(f"{what}: the registry gives no token")
        return token


_TOKENS = ("refresh_token", "access_token", "token")


def _annotation(layer: Mapping[str, Any], name: str) -> str:
    annotations = layer.get("annotations")
    return str(annotations.get(name, "")) if isinstance(annotations, Mapping) else ""


def _candidates(manifest: Manifest, path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Return the layers that may hold a file, each with its path inside if it is an archive."""
    folders = []
    for layer in manifest.layers:
        title = _annotation(layer, _TITLE)
        if not title:
            continue
        if _annotation(layer, _UNPACK) == "true":
            # The names inside begin with the folder's own.
            folder = title.strip("/").removeprefix("./")
            if folder in ("", ".") or path.startswith(f"{folder}/"):
                folders.append((layer, path))
        elif _same(title, path):
            yield layer, ""
    yield from folders


def _same(title: str, path: str) -> bool:
    try:
        return file_path("", title) == path
    except SourceUnavailable:
        return False
