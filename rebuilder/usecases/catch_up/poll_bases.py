"""Poll: look at images of registries that send no events, as far as tasks are built on them.

One poll at a time. Each image has a bookmark with what was seen last, and each registry one that
tells until when it is not to be asked. What a tag is found to name becomes a push like any other.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from copy import replace
from datetime import UTC, datetime, timedelta

from msgspec import Struct, field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import ForeignRegistry, host_matches
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.events.pushes import Push
from rebuilder.core.foreign_json import read_object
from rebuilder.core.times import age, utc_time
from rebuilder.errors import Conflict, InvalidJson, RebuilderError, Throttled, TransientError
from rebuilder.isolation import attempt
from rebuilder.ports.foreign import Seen
from rebuilder.usecases.catch_up.missed import Followers, announce_push, followers, missed
from rebuilder.usecases.clocks import impossible
from rebuilder.usecases.context import Context
from rebuilder.usecases.leases import SLICE, leased

log = logging.getLogger(__name__)

BOOKMARK = "poll"

_THROTTLED = timedelta(minutes=15)
_LONGEST_REST = timedelta(days=1)
_CLOCKS = timedelta(minutes=1)
"""So far apart the clocks of two instances may be."""
_LONGEST_LOOK = timedelta(minutes=2)
"""What took longer, however slow the registry, was stopped in the middle: the tag may have moved
since, and a digest of before would be told as one of now."""
_POLL = "poll"
# Registries of Azure send events: one whose pushes are to count is to be a base registry.
_OF_AZURE = ("*.azurecr.io", "*.azurecr.cn", "*.azurecr.us")
_NEVER = datetime.min.replace(tzinfo=UTC)


class PollReport(Struct):
    """What a poll did.

    Attributes:
        polled: False if another poll was under way.
        looked: How many images were looked at.
        pushes: The keys of the pushes that were found.
        resting: The registries that asked not to be asked now.
        left: The registries that are not polled although tasks are built on their images.
        problems: What could not be looked at, and why.
        complete: Whether every image whose time had come was looked at, or its registry rests.
    """

    polled: bool = True
    looked: int = 0
    pushes: list[str] = field(default_factory=list)
    resting: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    complete: bool = True


class _Known(Struct, frozen=True):
    """What is known of an image, and when it was looked at."""

    reference: ImageReference
    mark: Bookmark
    seen: Seen | None
    at: datetime


def poll_bases(context: Context, owner: str) -> PollReport:
    """Look at every foreign image whose time has come.

    Args:
        context: The ports.
        owner: A name for this poll, unique among all, to hold the lease with.

    Raises:
        TransientError: The store cannot be reached, or ARM does not tell the base registries'
            login servers.
    """
    with leased(context, BOOKMARK, owner) as lease:
        if lease is None:
            log.info("another poll is under way")
            return PollReport(polled=False)
        report = PollReport()
        _poll(context, report)
    for problem in report.problems:
        log.warning("poll: %s", problem)
    log.info(
        "poll: %d images, %d pushes, resting: %s, not polled: %s",
        report.looked,
        len(report.pushes),
        ", ".join(report.resting) or "none",
        ", ".join(report.left) or "none",
    )
    return report


def _poll(context: Context, report: PollReport) -> None:
    following = _foreign(context, report, followers(context))
    began = context.now()
    due = [k for k in (_known(context, r) for r in following) if _is_due(context, k, began)]
    resting: dict[str, bool] = {}
    # Those that have waited longest come first, so that none is forgotten.
    for known in sorted(due, key=lambda k: k.at):
        host = known.reference.domain
        if host not in resting:
            resting[host] = _rests(context, host)
            report.resting += [host] if resting[host] else []
        if resting[host]:
            continue
        if context.now() - began > SLICE:
            report.complete = False
            break
        resting[host] = _attempt(context, report, known, following)


def _attempt(context: Context, report: PollReport, known: _Known, following: Followers) -> bool:
    """Look at an image; whatever it raises is its own problem, and keeps no other from its turn.

    Returns:
        Whether its registry is to be left alone for the rest of this poll.

    Raises:
        TransientError: The store cannot be reached.
    """
    rests = attempt(lambda one: _look(context, report, one, following), known)
    if not isinstance(rests, RebuilderError):
        return rests
    if isinstance(rests, TransientError):
        raise rests
    report.problems.append(f"{known.reference}: {rests}")
    # It was its turn, and the others come first now.
    remembered = attempt(lambda one: _remember(context, one, one.seen), known)
    if isinstance(remembered, RebuilderError):
        log.warning("poll: %s: not remembered: %s", known.reference, remembered)
    return False


def foreign_bookmark(reference: ImageReference) -> str:
    """The name of an image's bookmark."""
    return f"foreign/{reference}"


def polled_digest(context: Context, reference: ImageReference) -> str | None:
    """Return what a foreign tag named when it was looked at last; None if it never was."""
    seen = _known(context, reference).seen
    return None if seen is None else seen.digest


def _foreign(context: Context, report: PollReport, every: Followers) -> Followers:
    """Return the tags that are to be polled."""
    found = {}
    left: dict[str, None] = {}
    for reference, tasks in every.items():
        host = reference.domain
        own = attempt(context.base_registry, host)
        if own is not None:
            report.problems += [f"{reference}: {own}"] if isinstance(own, RebuilderError) else []
            continue
        of_azure = _any(host, _OF_AZURE)
        if of_azure or not context.settings.polls(host):
            left[host] = None
        else:
            found[reference] = tasks
    report.left += left
    return found


def _any(host: str, patterns: Iterable[str]) -> bool:
    return any(host_matches(host, pattern) for pattern in patterns)


def _known(context: Context, reference: ImageReference) -> _Known:
    mark = context.bookmarks.read(foreign_bookmark(reference))
    if not mark.place:
        return _Known(reference, mark, None, _NEVER)
    try:
        values = read_object(mark.place)
        at = utc_time(values["at"])
        seen = Seen(values["digest"], values["etag"]) if values["seen"] else None
    except (InvalidJson, ValueError, KeyError, TypeError) as error:
        # It is looked at as if for the first time, and then remembered as it should be.
        log.warning("%s: what was seen last cannot be read: %s", mark.name, error)
        return _Known(reference, mark, None, _NEVER)
    return _Known(reference, mark, seen, at)


def _is_due(context: Context, known: _Known, now: datetime) -> bool:
    return known.at == _NEVER or age(known.at, now) >= context.settings.poll_interval


def _rests(context: Context, host: str) -> bool:
    mark, now = context.bookmarks.read(f"foreign-host/{host}"), context.now()
    # When it began is kept, too: by a clock that was ahead it is in the future still.
    until, _, began = mark.place.partition(" ")
    try:
        if not until or utc_time(until) <= now:
            return False
        since = utc_time(began or until)
    except ValueError as error:
        log.warning("%s: until when it rests cannot be read: %s", mark.name, error)
        return False
    return not impossible(f"the rest of {host}", since, now, _CLOCKS)


def _rest(context: Context, host: str, wait: timedelta) -> None:
    mark = context.bookmarks.read(f"foreign-host/{host}")
    now = context.now()
    until = now + min(wait, _LONGEST_REST)
    _save(context, replace(mark, place=f"{until.isoformat()} {now.isoformat()}"))
    log.info("registry %s: not asked for %s", host, wait)


def _look(context: Context, report: PollReport, known: _Known, following: Followers) -> bool:
    """Look at an image.

    Returns:
        Whether its registry is to be left alone for the rest of this poll.
    """
    reference, host = known.reference, known.reference.domain
    report.looked += 1
    began = context.now()
    try:
        seen = context.foreign.look(reference, known.seen)
    except Throttled as error:
        # The image keeps its turn: it comes first when the registry may be asked again.
        _rest(context, host, error.retry_after or _THROTTLED)
        report.resting.append(host)
        return True
    except RebuilderError as error:
        report.problems.append(f"{reference}: {error}")
        _remember(context, known, known.seen)
        # A registry that is down is not asked once for every image.
        return isinstance(error, TransientError)
    at = context.now()
    if not timedelta() <= at - began <= _LONGEST_LOOK:
        # It keeps its turn: the next poll looks again.
        report.problems.append(f"{reference}: the look took {at - began}: not believed")
        return False
    if seen.digest is None:
        report.problems.append(f"{reference}: {host} has no such tag")
    elif _is_news(context, push := _push(known, seen.digest, at), known, following):
        # Told before it is remembered: whatever dies in between, it is told.
        announce_push(context, push)
        report.pushes.append(push.key)
    _remember(context, known, seen)
    if seen.wait > timedelta():
        _rest(context, host, seen.wait)
        report.resting.append(host)
        return True
    return False


def _is_news(context: Context, push: Push, known: _Known, following: Followers) -> bool:
    return _moved(known, push.digest) or missed(
        context, known.reference, push, following[known.reference]
    )


def _moved(known: _Known, digest: str) -> bool:
    """Tell whether the tag was seen to name something else."""
    return known.seen is not None and known.seen.digest not in (None, digest)


def _push(known: _Known, digest: str, at: datetime) -> Push:
    reference = known.reference
    # Of a tag that was never seen before nobody knows since when it names the digest.
    since = at if _moved(known, digest) else None
    registry = ForeignRegistry(reference.domain)
    return Push(registry, reference.path, reference.tag or "", digest, since, _POLL)


def _remember(context: Context, known: _Known, seen: Seen | None) -> None:
    values = {
        "at": context.now().isoformat(),
        "seen": seen is not None,
        "digest": seen.digest if seen else None,
        "etag": seen.etag if seen else "",
    }
    _save(context, replace(known.mark, place=json.dumps(values)))


def _save(context: Context, mark: Bookmark) -> None:
    try:
        context.bookmarks.save(mark)
    except Conflict:
        log.info("%s: somebody else has looked meanwhile", mark.name)
