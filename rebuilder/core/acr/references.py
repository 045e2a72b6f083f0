"""Image references: the grammar and normalisation of distribution/reference.

Source of the rules: github.com/distribution/reference, `reference.go`, `normalize.go`,
`regexp.go`; of the digest lengths: github.com/opencontainers/go-digest.
"""

from __future__ import annotations

import re
from typing import Self

from msgspec import Struct

from rebuilder.core.acr.registries import DOCKER_HUB, canonical_host
from rebuilder.errors import InvalidReference

_PATH_LIMIT = 255
_OFFICIAL = "library/"  # where Docker Hub keeps what has a name of one part
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}

_LABEL = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"(?P<algorithm>[a-z0-9]+(?:[+._-][a-z0-9]+)*):(?P<hex>[a-fA-F0-9]{32,})")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


def digest_problem(text: str) -> str | None:
    """What is wrong with a digest; None if nothing is."""
    match = _DIGEST.fullmatch(text)
    if match is None:
        return f"the digest {text!r:.300} is not ALGORITHM:HEX"
    length = _DIGEST_LENGTHS.get(match["algorithm"])
    if length is None:
        known = ", ".join(_DIGEST_LENGTHS)
        return f"the digest algorithm {match['algorithm']!r:.50} is none of {known}"
    if len(match["hex"]) != length or match["hex"].lower() != match["hex"]:
        return f"a {match['algorithm']} digest has {length} lower-case hexadecimal digits"
    return None


def tag_problem(text: str) -> str | None:
    """What is wrong with a tag; None if nothing is."""
    if _TAG.fullmatch(text):
        return None
    return (
        f"the tag {text!r:.300} is not up to 128 letters, digits, '_', '.', '-'"
        " (not first: '.', '-')"
    )


def path_problem(text: str) -> str | None:
    """What is wrong with a repository's path; None if nothing is."""
    if text.lower() != text:
        return f"the repository {text!r:.300} must be lower case"
    if not _PATH.fullmatch(text):
        return (
            f"the repository {text!r:.300} is not lower-case letters and digits,"
            " separated by one of '.', '_', '__', '-', in parts separated by '/'"
        )
    if len(text) > _PATH_LIMIT:
        return f"the repository is longer than {_PATH_LIMIT} characters"
    return None


class ImageReference(Struct, frozen=True, gc=False):
    """A normalised image reference.

    Attributes:
        domain: The registry host as it is compared (see `canonical_host`), with its port if any.
        path: The repository inside the registry.
        tag: The tag; None only if the reference names a digest and no tag.
        digest: The digest that the reference is pinned to, if any.
    """

    domain: str
    path: str
    tag: str | None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read and normalise a reference as people write it: `node`, `reg.io/team/app:1@sha256:…`.

        Raises:
            InvalidReference: With the part that is wrong.
        """
        if not text:
            raise InvalidReference(text, "it is empty")
        if _IDENTIFIER.fullmatch(text):
            raise InvalidReference(text, "64 hexadecimal digits are an image id, not a name")
        domain, remainder = _split_domain(text)
        name, at, digest = remainder.partition("@")
        path, colon, tag = name.partition(":")
        problem = path_problem(path)
        # Docker Hub's own prefix counts, too.
        official = len(path) > _PATH_LIMIT - len(_OFFICIAL) and "/" not in path
        if official and canonical_host(domain) == DOCKER_HUB:
            problem = problem or path_problem(_OFFICIAL + path)
        if not _HOST.fullmatch(domain):
            problem = (
                f"the registry {domain!r:.300} is not a host name or address, with or without port"
            )
        if colon:
            problem = problem or tag_problem(tag)
        if at:
            problem = problem or digest_problem(digest)
        if problem:
            raise InvalidReference(text, problem)
        return cls._normalised(domain, path, tag or None, digest or None)

    @classmethod
    def from_parts(cls, registry: str, repository: str, tag: str, digest: str) -> Self:
        """Read a reference from the separate fields of ARM and of events; "" means absent.

        Raises:
            InvalidReference: With the field that is wrong.
        """
        text = registry + "/" + repository + (f":{tag}" if tag else "")
        text += f"@{digest}" if digest else ""
        problem = path_problem(repository) or (tag_problem(tag) if tag else None)
        problem = problem or (digest_problem(digest) if digest else None)
        if not _HOST.fullmatch(registry):
            problem = f"the registry {registry!r:.300} is not a host name or address"
        if problem:
            raise InvalidReference(text, problem)
        return cls._normalised(registry, repository, tag or None, digest or None)

    @classmethod
    def _normalised(cls, domain: str, path: str, tag: str | None, digest: str | None) -> Self:
        host = canonical_host(domain)
        # What only its upper case tells from a path of Docker Hub keeps it.
        domain = host if _is_host(host) else domain
        if domain == DOCKER_HUB and "/" not in path:
            path = _OFFICIAL + path
        if tag is None and digest is None:
            tag = "latest"
        return cls(domain, path, tag, digest)

    @property
    def repository(self) -> str:
        """Registry and path, without tag and digest."""
        return f"{self.domain}/{self.path}"

    def at(self, digest: str | None) -> Self:
        """The same reference pinned to a digest, or to none."""
        # Not by `replace`, which takes several times as long and is called for every comparison.
        return type(self)(self.domain, self.path, self.tag, digest)

    def __str__(self) -> str:
        text = self.repository
        if self.tag is not None:
            text += f":{self.tag}"
        if self.digest is not None:
            text += f"@{self.digest}"
        return text


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    # The first part is a host if it looks like one. Upper case cannot be a path, so it is too.
    if slash and (_is_host(first) or first != first.lower()):
        return first, rest
    return DOCKER_HUB, text


def _is_host(first: str) -> bool:
    """Tell whether the first part of a reference is a host whatever its case."""
    return first == "localhost" or any(c in first for c in ".:")
