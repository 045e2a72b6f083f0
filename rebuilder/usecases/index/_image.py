"""What the image says that the last successful run of a task pushed."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from msgspec import Struct, field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Dependency, Kind, Run, RunStatus, Task
from rebuilder.core.dependencies.evidence import (
    Candidate,
    Evidence,
    ImageContent,
    Said,
    Source,
    base_by_annotation,
    base_by_layers,
)
from rebuilder.errors import Denied, InvalidReference, PermanentError, TransientError
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)

# Looking for the last successful run; what a task with more failures in a row pushed is old.
_RUNS = 15


class Image(Struct):
    """The image that the last successful run of a task pushed."""

    context: Context
    task: Task
    known: tuple[Dependency, ...]
    failure: TransientError | None = None
    last_run: Run | None = None
    gone: list[ImageReference] = field(default_factory=list)

    def evidence(self) -> Evidence:
        try:
            return self._evidence()
        except Denied as error:
            role = "AcrPull on the task's registry (ABAC: Container Registry Repository Reader)"
            return self._silent(f"{error}; {role} would let it be read")
        except PermanentError as error:
            return self._silent(str(error))
        except TransientError as error:
            log.warning("task %s: its output cannot be read now: %s", self.task.id, error)
            self.failure = error
            return self._silent(f"not reachable now: {error}")

    def _silent(self, problem: str) -> Evidence:
        return Evidence(Source.OUTPUT_IMAGE, (), problem)

    def _evidence(self) -> Evidence:
        runs = self.context.tasks.runs(self.task.id.registry, task=self.task.id.name, top=_RUNS)
        self.last_run = next((r for r in runs if r.status is RunStatus.SUCCEEDED), None)
        if self.last_run is None:
            return self._silent("no successful run is known")
        outputs = dict(outputs_of(self.last_run))
        if not outputs:
            return self._silent(f"run {self.last_run.run_id} pushed no image")
        said: dict[ImageReference, Said] = {}
        candidates: list[Candidate] | None = None
        for digest, output in outputs.items():
            content = self._content(output, digest)
            if content is None:
                return self._silent(f"{output} is gone from its registry")
            if candidates is None:
                candidates = list(self._candidates())
            found = base_by_annotation(str(output), content, candidates)
            for entry in found or base_by_layers(str(output), content, candidates):
                said.setdefault(entry.reference, entry)
        if said:
            return Evidence(Source.OUTPUT_IMAGE, tuple(said.values()), None, next(iter(outputs)))
        names = ", ".join(dict.fromkeys(str(c.reference) for c in candidates or ()))
        tried = f"its layers are those of none of {names}" if names else "no base can be read"
        output = next(iter(outputs.values()))
        return self._silent(f"no annotation of {output} names its base, and {tried}")

    def _content(self, image: ImageReference, reference: str) -> ImageContent | None:
        platform = self.task.platform
        return self.context.images.content(image.domain, image.path, reference, platform)

    def _candidates(self) -> Iterator[Candidate]:
        """Return what the known dependencies were and are, as far as we may look."""
        for dependency in self.known:
            reference = dependency.reference
            if dependency.kind in (Kind.FRONTEND, Kind.TOOL):
                continue
            if self.context.base_registry(reference.domain) is None:
                continue
            used = (reference.digest, dependency.built_on, reference.tag)
            for wanted in dict.fromkeys(filter(None, used)):
                try:
                    content = self._content(reference, wanted)
                except PermanentError as error:
                    log.warning("%s: cannot be compared with: %s", reference, error)
                    break
                if content is not None:
                    yield Candidate(reference, dependency.kind, content)
                elif wanted == reference.tag:
                    self.gone.append(reference)


def outputs_of(run: Run) -> Iterator[tuple[str, ImageReference]]:
    """Return what a run pushed, by its digest; once, whatever number of tags it has."""
    for text in reversed(run.output_images):
        try:
            image = ImageReference.parse(text)
        except InvalidReference as error:
            log.warning("run %s: an output is left out: %s", run.run_id, error)
            continue
        if image.digest is not None:
            yield image.digest, image.at(None)
