"""After a run succeeded: does what it pushed stand on the new base?"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from copy import replace
from datetime import timedelta

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Run, Task
from rebuilder.core.decisions.decide import Base
from rebuilder.core.decisions.digests import BaseMoved
from rebuilder.core.dependencies.evidence import ImageContent
from rebuilder.core.dependencies.index import with_view
from rebuilder.core.dependencies.outputs import (
    NewBase,
    Verdict,
    by_log,
    judge,
    together,
    used_by_log,
)
from rebuilder.core.events.pushes import Push
from rebuilder.core.failures.run_logs import lines
from rebuilder.core.rebuilds.rebuild import Check, Rebuild
from rebuilder.errors import (
    Denied,
    InvalidReference,
    NotFound,
    PermanentError,
    RebuilderError,
    TransientError,
)
from rebuilder.isolation import attempt
from rebuilder.usecases.context import Context
from rebuilder.usecases.plan.moves import tag_moved_at

log = logging.getLogger(__name__)

_PLATFORM = "linux/amd64"
_OTHERS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "windows/amd64")
_BEFORE = 3  # former digests of a tag that are compared with, newest first
_EARLIER = 10  # rebuilds that they are looked for in


def check_output(
    context: Context,
    rebuild: Rebuild,
    task: Task | None = None,
    run: Run | None = None,
    *,
    patient: bool = False,
) -> Verdict:
    """Look whether each image that a rebuild pushed stands on the base it was rebuilt for.

    Args:
        context: The ports.
        rebuild: The rebuild, with its `output_images`.
        task: The task as ARM tells of it now, if that is at hand; else it is read.
        run: Its run; without it, its log proves nothing.
        patient: Whether it can be looked at again later. If not, what cannot be read now is
            unknown.

    Returns:
        What was found, and the evidence or the likely cause.

    Raises:
        TransientError: It cannot be read now, and `patient` was said; nothing else is raised.
    """
    verdict = attempt(lambda one: _checked(context, one, task, run, patient=patient), rebuild)
    if patient and isinstance(verdict, TransientError):
        raise verdict
    if isinstance(verdict, Denied):
        role = "AcrPull on its registry (ABAC: Container Registry Repository Reader)"
        verdict = Verdict(Check.UNKNOWN, f"{verdict}; {role} would let it be read")
    elif isinstance(verdict, RebuilderError):
        unread = isinstance(verdict, TransientError)
        verdict = Verdict(Check.UNKNOWN, f"it could not be read: {verdict}", unread=unread)
    if verdict.check is Check.UNKNOWN and task is not None and run is not None:
        verdict = _by_log(context, rebuild, task, run, patient=patient) or verdict
    log.log(
        logging.ERROR if verdict.check is Check.STALE else logging.INFO,
        "task %s: rebuild %s pushed what stands on %s base: %s",
        rebuild.task,
        rebuild.id,
        {Check.NEW: "the new", Check.STALE: "an old", Check.UNKNOWN: "an unknown"}[verdict.check],
        verdict.reason,
    )
    return verdict


def look(context: Context, rebuild: Rebuild, task: Task) -> Verdict:
    """Tell whether what a rebuild pushed is found to stand on its bases.

    Raises:
        TransientError: It cannot be looked at now: whoever goes by it asks again, and starts
            nothing.
    """
    found = attempt(lambda one: _checked(context, one, task, None), rebuild)
    if isinstance(found, TransientError):
        raise found
    return Verdict(Check.UNKNOWN, str(found)) if isinstance(found, RebuilderError) else found


def _by_log(
    context: Context, rebuild: Rebuild, task: Task, run: Run, *, patient: bool
) -> Verdict | None:
    """Look into the run's log, if ACR's record of the task makes doubtful what the run used.

    The record alone proves nothing: it may be of the run before.
    """
    recorded = {d.reference: d.built_on for d in task.dependencies if d.built_on is not None}
    doubtful = [
        NewBase(tag, base.digest or "")
        for base in map(ImageReference.parse, rebuild.bases)
        if recorded.get(tag := base.at(None), base.digest) != base.digest
    ]
    try:
        # A foreign tag may have moved since it was polled, so its log proves nothing.
        if not any(context.base_registry(base.reference.domain) for base in doubtful):
            return None
        used = used_by_log(lines(context.tasks.log_end(rebuild.task.registry, run.run_id)))
        others = [
            _with_times(context, _named_now(context, base), run, patient=patient)
            for base in doubtful
            if used.get(base.reference, base.digest) != base.digest
        ]
        return by_log(used, others)
    except RebuilderError as error:
        if patient and isinstance(error, TransientError):
            raise
        log.info("rebuild %s: its log does not tell what it used: %s", rebuild.id, error)
        return None


def _named_now(context: Context, base: NewBase) -> NewBase:
    reference = base.reference
    if context.base_registry(reference.domain) is None:
        return base
    now = context.images.digest(reference.domain, reference.path, reference.tag or "")
    return replace(base, now=now)


def _with_times(context: Context, base: NewBase, run: Run | None, *, patient: bool) -> NewBase:
    """Return a base with how long before the run began its digest had come."""
    if base.problem or run is None or run.started is None:
        return base
    try:
        since = tag_moved_at(context, Base(base.reference, base.digest, "registry"))
    except RebuilderError as error:
        if patient and isinstance(error, TransientError):
            raise
        log.info("%s: not known since when its registry has it: %s", base.at, error)
        return base
    return base if since is None else replace(base, lead=run.started - since)


def _checked(
    context: Context,
    rebuild: Rebuild,
    task: Task | None,
    run: Run | None,
    *,
    patient: bool = False,
) -> Verdict:
    images = list(_images(rebuild.output_images))
    if not images:
        return together([])
    task = task or task_of(context, rebuild)
    platform = task.platform if task else _PLATFORM
    found: list[tuple[str, ImageContent]] = []
    verdicts: list[Verdict] = []
    for image in images:
        content = context.images.content(image.domain, image.path, image.digest or "", platform)
        name = str(image.at(None))
        if content is None:
            reason = f"{name} at {image.digest}: it is gone, or no image for {platform}"
            verdicts.append(Verdict(Check.UNKNOWN, reason))
        else:
            found.append((name, content))
    bases = _bases(context, rebuild, task, platform)
    first = [judge(name, content, bases) for name, content in found]
    if any(verdict.check is not Check.NEW for verdict in first):
        # More is asked only if it is needed: usually the image is as it should be.
        bases = [
            _with_times(context, _looked_at_again(context, base, platform), run, patient=patient)
            for base in bases
        ]
        first = [judge(name, content, bases) for name, content in found]
    return together([*first, *verdicts])


def _images(texts: Iterable[str]) -> Iterator[ImageReference]:
    """Return what a run pushed, each digest once, whatever number of tags it has."""
    seen: set[str] = set()
    for text in texts:
        try:
            image = ImageReference.parse(text)
        except InvalidReference as error:
            log.warning("an output is left out: %s", error)
            continue
        if image.digest is not None and image.digest not in seen:
            seen.add(image.digest)
            yield image


def task_of(context: Context, rebuild: Rebuild, age: timedelta = timedelta()) -> Task | None:
    """Return the task of a rebuild, as it was so long ago at most; None if it is gone."""
    try:
        return context.tasks.task(rebuild.task, age)
    except NotFound:
        return None


def _bases(context: Context, rebuild: Rebuild, task: Task | None, platform: str) -> list[NewBase]:
    indexed = context.index.view(rebuild.task)
    view = indexed.view if indexed else None
    known = with_view(task, view).dependencies if task else view.dependencies if view else ()
    bases = []
    for text in rebuild.bases:
        base = ImageReference.parse(text)
        tag = base.at(None)
        same = [d for d in known if d.reference.repository == tag.repository]
        made = NewBase(
            tag,
            base.digest or "",
            frozenset(d.kind for d in same if d.reference == tag),
            tuple(str(d.reference) for d in same if d.reference.digest is not None),
        )
        if context.base_registry(tag.domain) is None:
            reason = f"{tag} is of a registry whose layers are not read, and no annotation tells"
            bases.append(replace(made, problem=reason))
        else:
            used = [d.built_on for d in same if d.reference == tag]
            bases.append(_read(context, rebuild, made, platform, used))
    return bases


def _read(
    context: Context,
    rebuild: Rebuild,
    base: NewBase,
    platform: str,
    used: Iterable[str | None],
) -> NewBase:
    reference = base.reference
    try:
        new = context.images.content(reference.domain, reference.path, base.digest, platform)
    except PermanentError as error:
        return replace(base, problem=f"{base.at} cannot be read: {error}")
    if new is None:
        reason = f"{base.at} is gone from its registry, or is no image for {platform}"
        return replace(base, problem=reason)
    former = dict.fromkeys((*_former(context, rebuild, reference), *filter(None, used)))
    former.pop(base.digest, None)
    before = [
        context.images.content(reference.domain, reference.path, digest, platform)
        for digest in list(former)[:_BEFORE]
    ]
    return replace(base, contents=(new,), before=tuple(c for c in before if c is not None))


def _former(context: Context, rebuild: Rebuild, tag: ImageReference) -> Iterator[str]:
    """Return what a tag is known to have named before the rebuild, newest first."""
    for record in context.ledger.decisions(Push.from_key(rebuild.push), rebuild.task):
        decision = record.decision
        if (
            isinstance(decision, BaseMoved)
            and decision.dependency == str(tag)
            and decision.old is not None
        ):
            yield decision.old
    for earlier in context.ledger.rebuilds(rebuild.task, _EARLIER, rebuild.sequence):
        for text in earlier.bases:
            base = ImageReference.parse(text)
            if base.at(None) == tag and base.digest is not None:
                yield base.digest


def _looked_at_again(context: Context, base: NewBase, platform: str) -> NewBase:
    """Return a base with what else may tell why an image does not stand on it."""
    if base.problem:
        return base
    reference = base.reference
    others = [other for other in _OTHERS if other != platform]

    def elsewhere(digest: str) -> Iterator[ImageContent]:
        for other in others:
            content = context.images.content(reference.domain, reference.path, digest, other)
            # What is no index answers the same for every platform.
            if content is not None and content.digest != content.manifest:
                yield content

    return replace(
        base,
        contents=(*base.contents, *elsewhere(base.digest)),
        before=(*base.before, *(c for old in base.before[:1] for c in elsewhere(old.digest))),
        now=context.images.digest(reference.domain, reference.path, reference.tag or ""),
    )
