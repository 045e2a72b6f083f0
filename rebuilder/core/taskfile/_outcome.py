"""The outcome of an account: what images are used for, once all steps are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import replace

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.dependencies.build_files import ImageUse
from rebuilder.core.dependencies.effects import StepDone
from rebuilder.core.taskfile._contents import Doing, Fetched, Made, what_stays


def images_of(
    all_made: Sequence[Made],
    all_fetched: Sequence[Fetched],
    tools: Iterable[ImageUse],
    own: Callable[[str], bool],
) -> tuple[tuple[ImageUse, ...], ImageReference | None]:
    """Return every image with its kind, and the base of the last image that is pushed.

    Args:
        all_made: The images that builds make.
        all_fetched: Those that are pulled or copied.
        tools: Those that are run.
        own: Tells whether an image that a step reads may be the run's own.
    """
    uses: list[ImageUse] = []
    final = None
    standing = what_stays([*all_made, *all_fetched])
    for made in all_made:
        stays = id(made) in standing
        for use in made.uses:
            thrown_away = use.kind is Kind.RUNTIME and not stays
            uses.append(replace(use, kind=Kind.BUILD_TIME) if thrown_away else use)
        if made.pushed:
            final = _base(made, own)
    for fetched in all_fetched:
        if fetched.use is None:
            continue
        kind = Kind.BUILD_TIME
        if id(fetched) in standing:
            kind, final = Kind.RUNTIME, final or fetched.use.reference
        elif fetched.run and not fetched.built_on:
            kind = Kind.TOOL
        uses.append(
            replace(fetched.use, kind=kind) if kind is not fetched.use.kind else fetched.use
        )
    uses += tools
    bases = {use.reference for use in uses if use.kind is Kind.RUNTIME}
    bases -= {u.reference for m in all_made for u in m.uses if u.kind is Kind.BUILD_TIME}
    found: dict[tuple[ImageReference, Kind], ImageUse] = {}
    for use in sorted(uses, key=lambda use: use.line):
        is_own = own(str(use.reference))
        # What a pushed image stands on needs no second mention.
        if not is_own and (use.kind is Kind.RUNTIME or use.reference not in bases):
            found.setdefault((use.reference, use.kind), use)
    return tuple(found.values()), final


def _base(made: Made, own: Callable[[str], bool]) -> ImageReference | None:
    """Return what an image stands on in the end."""
    one: Made | Fetched = made
    while isinstance(one, Made) and one.stands_on:
        one = one.stands_on[-1]  # made before it, so this ends
    if isinstance(one, Fetched):
        return None if one.use is None else one.use.reference
    return None if own(str(one.final)) else one.final


def done(step: Doing) -> StepDone:
    """Return what a step did, once it is known what is pushed."""
    builds = tuple(
        built if built.pushed is made.pushed else replace(built, pushed=made.pushed)
        for made, built in step.builds
    )
    return StepDone(step.line, step.id, step.kind, builds, tuple(step.tools), tuple(step.pushes))
