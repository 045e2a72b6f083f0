"""A registry's events, in Event Grid's schema or as CloudEvents 1.0: pushes, and all the rest.

Sources: the samples and the swagger `ContainerRegistryEventData` of Azure/azure-rest-api-specs,
specification/eventgrid/data-plane/Microsoft.ContainerRegistry/stable/2018-01-01.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Self

from msgspec import Struct

from rebuilder.core.acr.references import digest_problem, path_problem, tag_problem
from rebuilder.core.acr.registries import ForeignRegistry, PushedRegistry, RegistryId
from rebuilder.core.sentences import Explained
from rebuilder.core.times import possible, utc_time
from rebuilder.errors import InvalidResourceId

_PREFIX = "microsoft.containerregistry."
_PUSHED = "imagepushed"
_DELETED = frozenset({"imagedeleted", "chartdeleted"})
_CHART = "chartpushed"

# cosign's tags and the referrers tag schema of the OCI distribution spec: the tag of such a
# manifest names another manifest, so nothing can be built on it.
_REFERRERS_TAG = re.compile(r"sha256-[0-9a-f]{64}.*")


class Push(Struct, frozen=True):
    """A tag was pushed to a base registry, or was found to have moved.

    Attributes:
        registry: The registry, known by its resource id; a foreign one by its host.
        repository: The repository inside the registry.
        tag: The tag.
        digest: The digest of the manifest that the tag names now.
        pushed_at: When, as the event tells, in UTC; None if it does not tell a time that can be.
        event: The event's id, for the log; never used to tell events apart.
    """

    registry: PushedRegistry
    repository: str
    tag: str
    digest: str
    pushed_at: datetime | None
    event: str

    @property
    def key(self) -> str:
        """What makes it the same push, however often and from how many replicas it is told."""
        return f"{self.registry}|{self.repository}|{self.tag}|{self.digest}"

    def pushed_by(self, told: datetime) -> datetime:
        """When it was pushed: as the event tells, or when that was told, which cannot be sooner.

        Times that cannot be were kept by versions before.
        """
        at = self.pushed_at
        return min(at, told) if at is not None and possible(at) else told

    @classmethod
    def from_key(cls, key: str, event: str = "") -> Self:
        """The push of a key; its time and event are not part of it."""
        registry, repository, tag, digest = key.split("|")
        known: PushedRegistry = (
            RegistryId.parse(registry) if "/" in registry else ForeignRegistry.parse(registry)
        )
        return cls(known, repository, tag, digest, None, event)


class Ignored(Explained, frozen=True):
    """An event that starts nothing, and why. Each reason is a subclass."""

    event: str
    source: str
    subject: str


class Malformed(Ignored, frozen=True):
    """A field of the event cannot be used.

    Attributes:
        field: The field, as a path in the event.
        problem: What is wrong with it.
    """

    code = "malformed"
    template = "malformed event: {self.field} {self.problem}"
    field: str
    problem: str


class OtherEvent(Ignored, frozen=True):
    """The event is not one of a container registry's."""

    code = "other-event"
    template = "{self.event_type!r} is not an image push"
    event_type: str


class Deletion(Ignored, frozen=True):
    """Something was deleted; what was built on it stays as it is."""

    code = "deletion"
    template = "a deletion: nothing to build on"


class Chart(Ignored, frozen=True):
    """A Helm chart was pushed."""

    code = "chart"
    template = "a Helm chart: no image is built on it"


class NotABase(Ignored, frozen=True):
    """The registry is not configured as a base registry."""

    code = "not-a-base-registry"
    template = "{self.source} is not among REBUILDER_BASE_REGISTRIES"


class NoTag(Ignored, frozen=True):
    """A manifest was pushed by digest: a platform of an index, a signature, an attestation."""

    code = "no-tag"
    template = "{self.digest} was pushed without a tag: no image names it as its base"
    digest: str


class Referrer(Ignored, frozen=True):
    """The tag belongs to a signature, an attestation or an SBOM of another manifest."""

    code = "referrer"
    template = "the tag {self.tag} names what refers to an image, not an image"
    tag: str


class _Problem(Exception):
    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem


def read_event(raw: object, bases: Collection[RegistryId]) -> Push | Ignored:
    """Tell a push to one of `bases` from everything else.

    Args:
        raw: The event as JSON gives it, in either schema.
        bases: The registries whose pushes count.

    Returns:
        The push, or the reason why the event starts nothing. Never raises: whatever came over
        the wire becomes a reason.
    """
    envelope = raw if isinstance(raw, Mapping) else {}
    cloud = "specversion" in envelope
    source_field, type_field = ("source", "type") if cloud else ("topic", "eventType")

    def known(name: str) -> str:
        value = envelope.get(name)
        return storable(value) if isinstance(value, str) else ""

    about = {
        "event": known("id"),
        "source": known(source_field),
        "subject": known("subject"),
    }
    if not isinstance(raw, Mapping):
        return Malformed(**about, field="event", problem=f"is {type(raw).__name__}, not an object")
    try:
        return _read(envelope, source_field, type_field, about, bases)
    except _Problem as problem:
        return Malformed(**about, field=problem.field, problem=storable(problem.problem))


def _read(
    envelope: Mapping[str, object],
    source_field: str,
    type_field: str,
    about: dict[str, str],
    bases: Collection[RegistryId],
) -> Push | Ignored:
    event_type = _text(envelope, type_field)
    # Old events carry the type without its prefix.
    kind = event_type.lower().removeprefix(_PREFIX)
    if kind in _DELETED:
        return Deletion(**about)
    if kind == _CHART:
        return Chart(**about)
    if kind != _PUSHED:
        return OtherEvent(**about, event_type=storable(event_type))
    try:
        registry = RegistryId.parse_source(_text(envelope, source_field))
    except InvalidResourceId as error:
        raise _Problem(source_field, f"cannot be used: {error}") from error
    if registry not in bases:
        return NotABase(**about)
    data = envelope.get("data")
    if not isinstance(data, Mapping):
        raise _Problem("data", "is missing or not an object")
    target = data.get("target")
    if not isinstance(target, Mapping):
        raise _Problem("data.target", "is missing or not an object")
    digest = _text(target, "digest", "data.target.")
    repository = _text(target, "repository", "data.target.")
    if problem := digest_problem(digest):
        raise _Problem("data.target.digest", f"cannot be used: {problem}")
    if problem := path_problem(repository):
        raise _Problem("data.target.repository", f"cannot be used: {problem}")
    tag = target.get("tag")
    if tag is None or tag == "":
        return NoTag(**about, digest=digest)
    if not isinstance(tag, str):
        raise _Problem("data.target.tag", f"is {type(tag).__name__}, not text")
    if problem := tag_problem(tag):
        raise _Problem("data.target.tag", f"cannot be used: {problem}")
    if _REFERRERS_TAG.fullmatch(tag):
        return Referrer(**about, tag=tag)
    return Push(registry, repository, tag, digest, _time(data.get("timestamp")), about["event"])


def repository_of(subject: str) -> str:
    """The repository that an event's subject is about: what stands before its tag or digest."""
    return subject.partition("@")[0].partition(":")[0]


LONGEST = 500
"""How many characters of a text from outside are kept: more than any of Azure's ids has."""


def storable(text: str, most: int = LONGEST) -> str:
    """A text from outside as it can be kept, sent and shown.

    Half characters are replaced: JSON may hold them, no store takes them. What is longer than
    `most` is cut, with a hash of the whole, so that two that differ stay two.
    """
    if len(text) > most:
        digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()
        told = f"... ({len(text)} characters, {digest[:16]})"
        text = text[: most - len(told)] + told
    return text.encode(errors="replace").decode()


def _text(mapping: Mapping[str, object], name: str, prefix: str = "") -> str:
    value = mapping.get(name)
    if not isinstance(value, str):
        found = "is missing" if value is None else f"is {type(value).__name__}, not text"
        raise _Problem(prefix + name, found)
    if not value:
        raise _Problem(prefix + name, "is empty")
    return value


def _time(value: object) -> datetime | None:
    # Informative only, so an unreadable time is no reason to drop a push.
    if not isinstance(value, str):
        return None
    try:
        return utc_time(value)
    except ValueError:
        return None
