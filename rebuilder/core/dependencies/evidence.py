"""What several sources say a task is built on, kept apart and then joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import replace
from enum import StrEnum

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference, digest_problem
from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import Dependency, Kind, Output, Task

_SCRATCH = "docker.io/library/scratch"

_BEFORE = "as it was when it could last be read"


class Source(StrEnum):
    """Who says that a task is built on an image."""

    ACR_RECORD = "ACR's record"
    BUILD_FILE = "build file"
    OUTPUT_IMAGE = "output image"


_SHORT = {Source.ACR_RECORD: "record of ACR", Source.BUILD_FILE: "build file"}


class Said(Struct, frozen=True, gc=False):
    """One image that one source names.

    Attributes:
        reference: The image, without the digest that a run used.
        kind: What the task uses it for.
        built_on: The digest that was used, if the source tells.
        where: Where in the source it stands, for a person: "Dockerfile, line 7: COPY --from=…".
    """

    reference: ImageReference
    kind: Kind
    built_on: str | None = None
    where: str = ""


class Evidence(Struct, frozen=True, gc=False):
    """What one source says.

    Attributes:
        source: Who says it.
        images: The images that it names.
        problem: Why it says nothing, or not everything; None if it says all it can.
        revision: Which state of the source was read: a commit, a digest; "" if there is none.
        remark: What else is not known, of tools only; "" if there is nothing.
    """

    source: Source
    images: tuple[Said, ...]
    problem: str | None = None
    revision: str = ""
    remark: str = ""


class TaskView(Struct, frozen=True, gc=False):
    """What is known of a task's dependencies.

    Attributes:
        task: The task.
        evidence: What each source says.
        dependencies: The sources joined: each image and kind once.
        disagreements: Where sources contradict each other, in sentences.
        output: What the task makes; None if nobody has looked.
    """

    task: TaskId
    evidence: tuple[Evidence, ...]
    dependencies: tuple[Dependency, ...]
    disagreements: tuple[str, ...] = ()
    output: Output | None = None

    @property
    def unread(self) -> str:
        """Why more may be read than the dependencies tell; "" if they are all."""
        file = next((e for e in self.evidence if e.source is Source.BUILD_FILE), None)
        return "" if file is None or file.problem is None else file.problem


class ImageContent(Struct, frozen=True):
    """What an image is made of.

    Attributes:
        digest: What its tag names: the digest of an index, if it is one.
        manifest: The digest of the manifest that holds the layers.
        base_name: What its annotations name as its base; "" if they do not.
        base_digest: The digest of that base; "" if they do not tell it.
        layers: The digests of its layers, the base's first.
        diff_ids: The same of the layers before they were compressed.
    """

    digest: str
    manifest: str
    base_name: str = ""
    base_digest: str = ""
    layers: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()


def shared_layers(image: ImageContent, base: ImageContent) -> int:
    """How many layers of `base` an image begins with: all of them, or 0.

    A builder may compress a base's layers again, which changes their digests but not their diff
    ids. An image without layers proves nothing.
    """
    for own, other in ((image.layers, base.layers), (image.diff_ids, base.diff_ids)):
        if other and own[: len(other)] == other:
            return len(other)
    return 0


class Candidate(Struct, frozen=True):
    """An image that may be the base of another.

    Attributes:
        reference: What the task names.
        kind: What it is said to be used for.
        content: What it is made of.
    """

    reference: ImageReference
    kind: Kind
    content: ImageContent


def base_by_annotation(
    name: str, image: ImageContent, candidates: Iterable[Candidate]
) -> tuple[Said, ...]:
    """Which image the annotations of an image name as its base; none if they do not.

    Builders differ in whether they name the digest of an index or of the manifest that they took
    from it; where a candidate shows that both are the same image, the digest is the index's, which
    is what a tag names.

    Args:
        name: The image, for a person.
        image: What it is made of.
        candidates: What its base may be.

    Raises:
        InvalidReference: The annotation is no image reference.
    """
    if not image.base_name:
        return ()
    reference = ImageReference.parse(image.base_name)
    # Whoever pushes writes annotations: a digest that is none tells nothing.
    digest = image.base_digest if digest_problem(image.base_digest) is None else None
    for candidate in candidates:
        if digest == candidate.content.manifest:
            digest = candidate.content.digest
    where = f"{name}: its annotation org.opencontainers.image.base.name"
    return (Said(reference, Kind.RUNTIME, digest, where),)


def base_by_layers(
    name: str, image: ImageContent, candidates: Iterable[Candidate]
) -> tuple[Said, ...]:
    """Which candidates an image is proved to be built on by its layers.

    The one that it shares the most layers with, for a base has bases of its own. Candidates that
    share as many are the same image under several names; those that are known as runtime bases
    come before the others.

    Args:
        name: The image, for a person.
        image: What it is made of.
        candidates: What its base may be.
    """
    shared = [(shared_layers(image, c.content), c) for c in candidates]
    most = max((count for count, _ in shared), default=0)
    if not most:
        return ()
    best = [candidate for count, candidate in shared if count == most]
    runtime = [candidate for candidate in best if candidate.kind is Kind.RUNTIME]
    found: dict[ImageReference, Said] = {}
    for candidate in runtime or best:
        digest = candidate.content.digest
        layers = "first layer is that" if most == 1 else f"first {most} layers are those"
        where = f"{name}: its {layers} of {candidate.reference.at(digest)}"
        said = Said(candidate.reference, Kind.RUNTIME, digest, where)
        found.setdefault(candidate.reference, said)
    return tuple(found.values())


def recorded(task: Task) -> Evidence:
    """What ACR's own record of a task says."""
    images = tuple(
        Said(d.reference, d.kind, d.built_on)
        for d in task.dependencies
        # `FROM scratch` is recorded as an image of Docker Hub, which has none of that name.
        if d.reference.repository != _SCRATCH
    )
    if task.dependencies:
        return Evidence(Source.ACR_RECORD, images)
    return Evidence(Source.ACR_RECORD, (), "ACR has recorded nothing")


def join(task: TaskId, evidence: Sequence[Evidence], output: Output | None = None) -> TaskView:
    """Lay what several sources say of a task side by side, and into one.

    Every image that any source names is kept; what of it is a reason to build, decisions tell. The
    build file knows best how an image is used and whether it is pinned, for ACR's record cannot
    tell `FROM image:tag@digest` from `FROM image:tag`; the record knows best which digest was
    used.

    Args:
        task: The task.
        evidence: What each source says; each source at most once.
        output: What the task makes.
    """
    by_source = {entry.source: entry for entry in evidence}
    nobody = Evidence(Source.BUILD_FILE, ())
    file = by_source.get(Source.BUILD_FILE, nobody)
    built_on: dict[tuple[ImageReference, Kind], str | None] = {}
    known_from: dict[tuple[ImageReference, Kind], dict[str, None]] = {}
    of_file = _by_tag(file)
    for source in (Source.BUILD_FILE, Source.ACR_RECORD, Source.OUTPUT_IMAGE):
        for said in by_source.get(source, nobody).images:
            for key in _places(said, of_file):
                built_on[key] = built_on.get(key) or said.built_on
                known_from.setdefault(key, {})[f"{source} {said.where}".strip()] = None
    dependencies = tuple(
        Dependency(reference, kind, digest, "; ".join(known_from[reference, kind]))
        for (reference, kind), digest in built_on.items()
    )
    disagreements = tuple(_disagreements(by_source))
    return TaskView(task, tuple(evidence), dependencies, disagreements, output)


def with_earlier(view: TaskView, before: TaskView) -> TaskView:
    """The view, with what a source said before where it cannot be asked any more.

    A token that has expired must not make a task forgotten that only its build file names.

    Args:
        view: What is known now.
        before: What was known when the sources were last read.
    """
    earlier = {e.source: e for e in before.evidence if e.images}

    def kept(now: Evidence) -> Evidence:
        then = earlier.get(now.source)
        if now.source is Source.ACR_RECORD or now.problem is None or now.images or then is None:
            return now
        return replace(then, problem=f"{_BEFORE}: {now.problem.removeprefix(f'{_BEFORE}: ')}")

    evidence = tuple(map(kept, view.evidence))
    output, known = view.output, before.output
    if known is not None and known.read and (output is None or not output.read):
        output = known  # what the files said is better than what runs were seen to do
    if evidence == view.evidence and output == view.output:
        return view
    return join(view.task, evidence, output)


def _places(said: Said, file: _ByTag) -> list[tuple[ImageReference, Kind]]:
    """Return the images and kinds of the joined view that something said is about."""
    same = file.get(said.reference.at(None), ())
    if said in same:
        return [(said.reference, said.kind)]
    used = [
        other
        for other in same
        if other.reference == said.reference or other.reference.digest == said.built_on
    ]
    return [(o.reference, o.kind) for o in used or same] or [(said.reference, said.kind)]


type _ByTag = Mapping[ImageReference, Sequence[Said]]


def _by_tag(evidence: Evidence) -> _ByTag:
    """Return what a source says by the image without its digest."""
    found: dict[ImageReference, list[Said]] = {}
    for said in evidence.images:
        found.setdefault(said.reference.at(None), []).append(said)
    return found


def _disagreements(by_source: Mapping[Source, Evidence]) -> Iterator[str]:
    """Compare the sources that say all they can, two by two."""
    whole = {source: entry for source, entry in by_source.items() if entry.problem is None}
    file, record = whole.get(Source.BUILD_FILE), whole.get(Source.ACR_RECORD)
    output = whole.get(Source.OUTPUT_IMAGE)
    if file is not None and record is not None:
        yield from _between(file, record)
    for other in (file, record):
        if output is not None and other is not None:
            yield from _about_base(output, other)


def _between(file: Evidence, record: Evidence) -> Iterator[str]:
    of_file, of_record = _by_tag(file), _by_tag(record)
    for said in file.images:
        # Of tools ACR keeps no record, and of what is not needed it need not.
        if said.kind not in (Kind.TOOL, Kind.UNUSED) and said.reference.at(None) not in of_record:
            yield (
                f"the build file names {said.reference} ({said.kind}; {said.where});"
                " ACR's record does not"
            )
    for said in record.images:
        same = of_file.get(said.reference.at(None), ())
        kinds = sorted({other.kind.value for other in same})
        pins = [other for other in same if other.reference.digest is not None]
        if not same:
            yield f"ACR's record names {said.reference} ({said.kind}); the build file does not"
        elif said.kind not in kinds:
            yield (
                f"{said.reference} is {said.kind} in ACR's record, and {' and '.join(kinds)} in"
                f" the build file ({same[0].where})"
            )
        elif len(pins) == len(same) and said.built_on not in (
            None,
            *(other.reference.digest for other in pins),
        ):
            yield (
                f"the build file pins {pins[0].reference} ({pins[0].where}); ACR's record says"
                f" that {said.built_on} was used"
            )


def _about_base(output: Evidence, other: Evidence) -> Iterator[str]:
    bases = [said for said in other.images if said.kind is Kind.RUNTIME]
    for said in output.images:
        same = [base for base in bases if base.reference.at(None) == said.reference.at(None)]
        if not same:
            names = ", ".join(str(base.reference) for base in bases) or "no image"
            yield (
                f"the output image is built on {said.reference} ({said.where});"
                f" the {_SHORT[other.source]} names {names} as its base"
            )
        for base in same:
            used = base.built_on or base.reference.digest
            if used is not None and said.built_on not in (None, used):
                yield (
                    f"the output image is built on {said.reference} at {said.built_on}"
                    f" ({said.where}); the {_SHORT[other.source]} says {used}"
                )
