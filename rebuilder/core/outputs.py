"""What an image stands on after a rebuild: the new base, an older one, or it cannot be told.

A run may succeed and still leave the image where it was: its agent had the old base in a cache,
the build file pins a digest, another tag is meant. Annotations tell, else layers do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rebuilder.core.evidence import (
    Candidate,
    ImageContent,
    base_by_annotation,
    base_by_layers,
)
from rebuilder.core.rebuilds import Check
from rebuilder.core.references import ImageReference
from rebuilder.core.tasks import Kind
from rebuilder.errors import InvalidReference


@dataclass(frozen=True, slots=True)
class NewBase:
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
    """

    reference: ImageReference
    digest: str
    kinds: frozenset[Kind] = frozenset()
    pins: tuple[str, ...] = ()
    contents: tuple[ImageContent, ...] = ()
    before: tuple[ImageContent, ...] = ()
    now: str | None = None
    problem: str = ""

    @property
    def at(self) -> str:
        """The tag with its digest, for a person."""
        return str(self.reference.at(self.digest))

    @property
    def in_image(self) -> bool:
        """Whether the image may stand on it: it is not read at build time alone."""
        return not self.kinds or Kind.RUNTIME in self.kinds


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an image was found to stand on.

    Attributes:
        check: Whether that is the new base.
        reason: The evidence, or the likely cause, for a person.
    """

    check: Check
    reason: str


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
            return Verdict(check, "; ".join(dict.fromkeys(found)))
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
                found = f"{where} at {digest}, not {base.at}"
                return Verdict(Check.STALE, f"{found}: {_cause(base, digest, entry.reference)}")
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
        cause = _cause(base, entry.built_on or "", base.reference)
        return Verdict(Check.STALE, f"{entry.where}, not {base.at}: {cause}")
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
    return Verdict(
        Check.STALE,
        f"{name}: its layers are not those of {base.at}, nor of what the tag is known to have"
        f" named before: {_cause(base, '', base.reference)}",
    )


def _cause(base: NewBase, digest: str, named: ImageReference) -> str:
    """Tell why an image most likely does not stand on a base.

    Args:
        base: The base.
        digest: What it stands on; "" if that is not known.
        named: How the image names it.
    """
    if named.tag != base.reference.tag:
        return f"it is built on the tag {named.tag}, so the build file names another tag"
    if base.pins:
        return f"the build file pins {', '.join(base.pins)}; write the tag without digest"
    if base.now not in (None, base.digest):
        return f"the tag names {base.now} by now: it moved while the run went on"
    if not digest and any(content.digest != content.manifest for content in base.contents):
        return "likely a cache, or it is built for another platform of the index than was looked at"
    return (
        "likely a cache: the build was told to use one (--cache-from, a cached layer), or did not"
        " pull the base"
    )
