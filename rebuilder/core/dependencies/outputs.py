"""What an image stands on after a rebuild: the new base, an older one, or it cannot be told.

A run may succeed and still leave the image where it was: its agent had the old base in a cache,
the build file pins a digest, another tag is meant. Annotations tell, else layers do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.dependencies.evidence import (
    Candidate,
    ImageContent,
    base_by_annotation,
    base_by_layers,
)
from rebuilder.core.rebuilds.rebuild import Check, Likely
from rebuilder.errors import InvalidReference

_LAG = timedelta(minutes=10)
"""A run that began so soon after the push may have pulled from a replica that had not got it."""


class NewBase(Struct, frozen=True):
    """A base that a rebuild was made for.

    Attributes:
        reference: The tag, without digest.
        digest: What the rebuild is to stand on.
        kinds: What the task is known to use it for; empty if that is not known.
        pins: The references by which the task pins an image of the repository to a digest.
        contents: What it is made of: the task's platform first, then others that were looked at.
        before: What the tag named before, as far as known and still there.
        now: What the tag names now, if it was asked.
        problem: Why its layers are not known; "" if they are.
        lead: How long before the run began the digest had come to its registry, if known.
    """

    reference: ImageReference
    digest: str
    kinds: frozenset[Kind] = frozenset()
    pins: tuple[str, ...] = ()
    contents: tuple[ImageContent, ...] = ()
    before: tuple[ImageContent, ...] = ()
    now: str | None = None
    problem: str = ""
    lead: timedelta | None = None

    @property
    def at(self) -> str:
        """The tag with its digest, for a person."""
        return str(self.reference.at(self.digest))

    @property
    def in_image(self) -> bool:
        """Whether the image may stand on it: it is not read at build time alone."""
        return not self.kinds or Kind.RUNTIME in self.kinds


class Verdict(Struct, frozen=True):
    """What an image was found to stand on.

    Attributes:
        check: Whether that is the new base.
        reason: The evidence, or the likely cause, for a person.
        likely: Why it most likely stands on another base; None unless it is stale.
        unread: Whether it is unknown only because something could not be read then.
    """

    check: Check
    reason: str
    likely: Likely | None = None
    unread: bool = False


def judge(name: str, image: ImageContent, bases: Sequence[NewBase]) -> Verdict:
    """Tell whether an image stands on a new base.

    Args:
        name: The image, for a person.
        image: What it is made of.
        bases: What it was rebuilt for.
    """
    standing = [base for base in bases if base.in_image]
    if not standing:
        names = ", ".join(str(base.reference) for base in bases) or "no base"
        return Verdict(Check.UNKNOWN, f"{name}: {names} is read at build time only; no layer tells")
    return (
        _by_annotation(name, image, standing)
        or _by_layers(name, image, standing)
        or _untold(name, image, standing)
    )


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Join what was found of each image that a run pushed.

    One that stands on an old base makes the rebuild stale. One of which nothing can be told does
    not, beside one that stands on the new base: a task may push images that have other bases.
    """
    for check in (Check.STALE, Check.NEW, Check.UNKNOWN):
        found = [verdict.reason for verdict in verdicts if verdict.check is check]
        if found:
            likely = next((v.likely for v in verdicts if v.check is check), None)
            return Verdict(check, "; ".join(dict.fromkeys(found)), likely)
    return Verdict(Check.UNKNOWN, "the run is not known to have pushed an image")


def _by_annotation(name: str, image: ImageContent, bases: Sequence[NewBase]) -> Verdict | None:
    try:
        said = base_by_annotation(name, image, _candidates(bases))
    except InvalidReference:
        return None
    for entry in said:
        digest, where = entry.built_on, f"{entry.where} is {entry.reference}"
        if digest is None:
            continue
        for base in bases:
            if digest == base.digest:
                return Verdict(Check.NEW, f"{where} at {digest}")
        for base in bases:
            if entry.reference == base.reference and digest == base.now:
                return Verdict(Check.NEW, _moved_on(where, digest, base))
        for base in bases:
            if entry.reference.repository == base.reference.repository:
                return _stale(f"{where} at {digest}", base, digest, entry.reference)
    return None


def _by_layers(name: str, image: ImageContent, bases: Sequence[NewBase]) -> Verdict | None:
    # The new bases come first, for layers that old and new have in common prove nothing bad.
    found = base_by_layers(name, image, _candidates(bases))
    for entry in found:
        for base in bases:
            if entry.reference == base.reference and entry.built_on == base.digest:
                return Verdict(Check.NEW, entry.where)
    for entry in found:
        base = next(base for base in bases if entry.reference == base.reference)
        if entry.built_on == base.now:
            return Verdict(Check.NEW, _moved_on(entry.where, base.now, base))
        return _stale(entry.where, base, entry.built_on or "", base.reference)
    return None


def _moved_on(where: str, digest: str | None, base: NewBase) -> str:
    """Tell of an image on what a tag names now, though it named another when it was claimed."""
    return f"{where} at {digest}, which the tag names now; it named {base.digest} before"


def _candidates(bases: Iterable[NewBase]) -> list[Candidate]:
    bases = list(bases)
    new = [(base, content) for base in bases for content in base.contents]
    old = [(base, content) for base in bases for content in base.before]
    return [Candidate(base.reference, Kind.RUNTIME, content) for base, content in (*new, *old)]


def _untold(name: str, image: ImageContent, bases: Sequence[NewBase]) -> Verdict:
    """Judge an image whose annotation tells nothing and that begins with no known base."""
    problems = [base.problem for base in bases if base.problem]
    if problems:
        return Verdict(Check.UNKNOWN, f"{name}: {'; '.join(dict.fromkeys(problems))}")
    if image.base_name:
        return Verdict(Check.UNKNOWN, f"{name}: it is annotated to stand on {image.base_name}")
    names = ", ".join(base.at for base in bases)
    (base, *others), depth = bases, len(image.layers)
    if others:
        # Each image of a task stands on one of its bases, and which of them is not known.
        return Verdict(
            Check.UNKNOWN, f"{name}: its layers are those of none of its several bases {names}"
        )
    layers = max((len(content.layers) for content in base.contents), default=0)
    if not layers:
        return Verdict(Check.UNKNOWN, f"{name}: {base.at} has no layers to know it by")
    if depth < layers or not base.kinds:
        why = "it may be flattened" if depth < layers else "it may be read at build time only"
        return Verdict(Check.UNKNOWN, f"{name}: its layers are not those of {base.at}; {why}")
    likely, cause = _cause(base, "", base.reference)
    found = f"{name}: its layers are not those of {base.at}, nor of what the tag is known to have"
    return Verdict(Check.STALE, f"{found} named before: {cause}", likely)


def by_log(used: Mapping[ImageReference, str], bases: Iterable[NewBase]) -> Verdict | None:
    """Tell from what a run logged to have used that it did not use a new base.

    The contrary it cannot tell: BuildKit runs log what a tag names at their end.

    Args:
        used: What the run used, each tag with its digest.
        bases: What it was made for.

    Returns:
        None if nothing proves that it used another digest.
    """
    for base in bases:
        digest = used.get(base.reference, base.digest)
        # If the tag has moved on, another rebuild sees to it.
        if digest != base.digest and base.now == base.digest:
            where = f"the run's log says that it used {base.reference} at {digest}"
            return _stale(where, base, digest, base.reference)
    return None


_USED = re.compile(r"(?:run|build)-?time-dependency:\s*$", re.IGNORECASE)
_NOT_USED = re.compile(r"(?:\bimage|\bgit): *(?:\{\})?$")
_PART = re.compile(r"(registry|repository|tag|digest):\s*[\"']?([^\s\"']+)")


def used_by_log(log: Sequence[str]) -> dict[ImageReference, str]:
    """Read the images that a run used from the end of its log, each tag with its digest.

    Args:
        log: Its lines; ACR closes the log of a run that succeeded with its dependencies.
    """
    found: dict[ImageReference, str] = {}
    parts: dict[str, str] = {}
    inside = False
    for line in log:
        if _USED.search(line):
            inside, parts = True, {}
        elif _NOT_USED.search(line):
            inside = False
        elif inside and (match := _PART.search(line)):
            parts[match[1]] = match[2]
            if match[1] == "digest":
                _add_used(found, parts)
                parts = {}
    return found


def _add_used(found: dict[ImageReference, str], parts: Mapping[str, str]) -> None:
    try:
        reference = ImageReference.from_parts(
            parts.get("registry", ""), parts.get("repository", ""), parts.get("tag", ""), ""
        )
    except InvalidReference:
        return  # a build prints what it likes
    found[reference] = parts["digest"]


def _stale(found: str, base: NewBase, digest: str, named: ImageReference) -> Verdict:
    likely, cause = _cause(base, digest, named)
    return Verdict(Check.STALE, f"{found}, not {base.at}: {cause}", likely)


def _cause(base: NewBase, digest: str, named: ImageReference) -> tuple[Likely, str]:
    """Tell why an image most likely does not stand on a base.

    Args:
        base: The base.
        digest: What it stands on; "" if that is not known.
        named: How the image names it.
    """
    if named.tag != base.reference.tag:
        why = f"it is built on the tag {named.tag}, so the build file names another tag"
        return Likely.TAG, why
    if base.pins:
        why = f"the build file pins {', '.join(base.pins)}; write the tag without digest"
        return Likely.PIN, why
    if base.now not in (None, base.digest):
        return Likely.MOVED, f"the tag names {base.now} by now: it moved while the run went on"
    if digest and base.lead is not None and base.lead < _LAG:
        seconds = max(0, round(base.lead.total_seconds()))
        return Likely.REPLICA, (
            f"the run began {seconds} s after the digest came to its registry: likely a"
            " geo-replica that had not got it yet, or a cache"
        )
    if not digest and any(content.digest != content.manifest for content in base.contents):
        return Likely.PLATFORM, (
            "likely a cache, or it is built for another platform of the index than was looked at"
        )
    return Likely.CACHE, (
        "likely a cache: the build was told to use one (--cache-from, a cached layer), or did not"
        " pull the base"
    )
