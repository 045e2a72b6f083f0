"""Sweep: find what an event missed, and resume abandoned work.

One sweeper at a time, by a lease that a dead one cannot keep. What a sweep has no time or no
requests left for, the next one begins with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from copy import replace
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct, field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.events.pushes import Push
from rebuilder.core.rebuilds.messages import (
    BUILDS,
    PUSHES,
    REFRESH,
    RUNS,
    PlanRebuilds,
    Refresh,
    StartBuild,
    TrackBuild,
)
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.core.times import age, ahead
from rebuilder.errors import Conflict, PermanentError, RebuilderError, TransientError
from rebuilder.isolation import attempt, attempts
from rebuilder.ports.ledger import PushRecord
from rebuilder.telemetry import metrics, signals
from rebuilder.telemetry.dimensions import PUSH, lines_about
from rebuilder.usecases.catch_up.aged import ask_for_aged
from rebuilder.usecases.catch_up.missed import Follower, Followers, announce_push, followers, missed
from rebuilder.usecases.clocks import impossible
from rebuilder.usecases.context import Context
from rebuilder.usecases.index.task_news import ask_for_changes
from rebuilder.usecases.leases import SLICE, Lease, leased
from rebuilder.usecases.steering import places

log = logging.getLogger(__name__)

BOOKMARK = "sweep"

_LATE = timedelta(minutes=2)
_AT_ONCE = 32
_SWEEPING = timedelta(hours=1)
_SWEEP = "sweep"


class SweepReport(Struct):
    """What a sweep did.

    Attributes:
        swept: False if another sweeper was at it.
        tags: How many tags were looked at.
        missed: The keys of the pushes that no event told of.
        planned_again: The keys of the pushes whose plan was lost.
        resumed: How many rebuilds were taken up again.
        closed: How many failed attempts were closed, because a newer one exists.
        refreshed: The registries whose index was too old.
        problems: What could not be looked at, and why.
        reads: How many requests to ARM it made or asked for.
        complete: Whether every tag was looked at; else the next sweep goes on.
        aged: How many images were asked for that are older than a policy lets them be.
    """

    swept: bool = True
    tags: int = 0
    missed: list[str] = field(default_factory=list)
    planned_again: list[str] = field(default_factory=list)
    resumed: int = 0
    closed: int = 0
    refreshed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    reads: int = 0
    complete: bool = True
    aged: int = 0


def sweep(context: Context, owner: str) -> SweepReport:
    """Compare tags with what is built on them, and settle what is unsettled.

    Args:
        context: The ports.
        owner: A name for this sweep, unique among all, to hold the lease with.

    Raises:
        TransientError: The store cannot be reached; the next sweep goes on where this one was.
            The lease is given back, or runs out by itself if the store does not take it.
    """
    report = SweepReport()
    with leased(context, BOOKMARK, owner) as lease:
        if lease is None:
            log.info("another sweep is under way")
            return SweepReport(swept=False)
        _settle(context, report)
        _refresh(context, report)
        hosts = _hosts(context, report)
        following = {ref: tasks for ref, tasks in followers(context).items() if ref.domain in hosts}
        _plan_again(context, report, following)
        place = _compare(context, report, lease, hosts, following)
        report.aged = ask_for_aged(context)
    for problem in report.problems:
        log.warning("sweep: %s", problem)
    signals.tell(metrics.MISSED, len(report.missed))
    signals.tell(metrics.PROBLEMS, len(report.problems))
    log.info(
        "sweep: %d tags, %d missed, %d planned again, %d resumed, %d closed, %d reads, %s",
        report.tags,
        len(report.missed),
        len(report.planned_again),
        report.resumed,
        report.closed,
        report.reads,
        "complete" if report.complete else f"goes on after {place}",
    )
    return report


def _settle(context: Context, report: SweepReport) -> None:
    """Send again the messages of rebuilds that nobody has gone on with."""
    now = context.now()
    registries = set(context.settings.task_registries)
    every = context.ledger.unsettled(tidy=True)
    unsettled = [rebuild for rebuild in every if rebuild.task.registry in registries]
    oldest = min((rebuild.claimed_at for rebuild in unsettled), default=now)
    signals.tell(metrics.UNSETTLED, len(unsettled))
    signals.tell(metrics.OLDEST_UNSETTLED, now - oldest)
    heads = context.ledger.heads({rebuild.task for rebuild in unsettled})
    builds, runs = [], []
    late = max(_LATE, 4 * context.settings.track_interval)
    for rebuild in unsettled:
        head = heads.get(rebuild.task, rebuild)
        if rebuild.state.over and head.sequence > rebuild.sequence:
            report.closed += _close(context, rebuild)
        elif rebuild.state.in_flight:
            if _overdue(rebuild, now, late):
                runs.append(TrackBuild(rebuild.task, rebuild.sequence, rebuild.version).encode())
        elif _abandoned(rebuild, now, late) or _decided_since(context, rebuild):
            push = Push.from_key(rebuild.push, _SWEEP)
            builds.append(StartBuild(push, rebuild.task).encode())
    if builds:
        context.queue.send_many(BUILDS, builds)
    if runs:
        context.queue.send_many(RUNS, runs)
    places.refill(context, unsettled)
    report.resumed = len(builds) + len(runs)


def _decided_since(context: Context, rebuild: Rebuild) -> bool:
    """Tell whether operators decided something since a rebuild was held, and nobody looked."""
    if rebuild.gated is None:
        return False
    in_force = context.in_force.now(context.steering, context.now())
    return in_force.version != rebuild.gated.controls


def _abandoned(rebuild: Rebuild, now: datetime, late: timedelta) -> bool:
    at_once = rebuild.state is State.CLAIMED
    return _overdue(rebuild, now, timedelta() if at_once else late)


def _overdue(rebuild: Rebuild, now: datetime, late: timedelta) -> bool:
    """Tell whether something should have happened by now, or cannot be due so far ahead."""
    due = rebuild.due or rebuild.lease_until
    if rebuild.state is State.CLAIMED:
        due = rebuild.lease_until
    what = f"what rebuild {rebuild.id} waits for"
    return due + late <= now or impossible(what, due, now, rebuild.longest_wait)


def _close(context: Context, rebuild: Rebuild) -> bool:
    try:
        context.ledger.save(replace(rebuild, due=None))
    except Conflict:
        return False  # whoever changed it knows better
    return True


def _refresh(context: Context, report: SweepReport) -> None:
    """Have a registry read for the index, if that is long ago and not under way.

    Where no event has ever told of a task that was written, its list is looked at every hour.
    """
    now = context.now()
    known = context.index.refreshes()
    for registry in context.settings.task_registries:
        refreshed = known.get(registry)
        if refreshed is not None and age(refreshed, now) <= context.settings.index_max_age:
            ask_for_changes(context, registry, refreshed)
            continue
        going = context.index.scan(registry)
        if going is None or age(going.started, now) > _SWEEPING:
            context.queue.send(REFRESH, Refresh(registry, None, now).encode())
            report.refreshed.append(str(registry))


def _hosts(context: Context, report: SweepReport) -> dict[str, RegistryId]:
    """Return the base registries by login server; one that cannot be read is a problem."""
    found = {}
    registries = sorted(context.settings.base_registries)
    for registry, host in zip(registries, attempts(context.host, registries), strict=True):
        report.reads += 1
        if isinstance(host, RebuilderError):
            report.problems.append(f"registry {registry}: {host}")
        else:
            found[host] = registry
    return found


def _plan_again(context: Context, report: SweepReport, following: Followers) -> None:
    """Plan pushes that were recorded and never decided about: their message was lost.

    Each is asked for once: what becomes of the new message is its delivery's to settle.
    """
    began = context.now()
    for record in context.ledger.unplanned():
        plan = partial(_plan_one, context, report, following, record)
        if context.now() - began > SLICE or not _alone(report, f"push {record.push.key}", plan):
            report.complete = False
            return


def _plan_one(
    context: Context, report: SweepReport, following: Followers, record: PushRecord
) -> bool:
    """Plan a push again, if that is to be; False if no requests are left for its plan."""
    push, now, settings = record.push, context.now(), context.settings
    told = age(record.last_at, now)
    if told < settings.sweep_patience:
        return True  # its plan is on its way
    tasks = _concerned(context, push, following)
    if tasks is None:
        return True  # told as a problem already
    if tasks and (told <= settings.message_limit or ahead(record.last_at, now)):
        if not _affordable(context, report, len(tasks)):
            return False
        if ahead(record.last_at, now):
            announce_push(context, push)  # which puts its times right
        else:
            context.queue.send(PUSHES, PlanRebuilds(push).encode())
        report.planned_again.append(push.key)
        with lines_about({PUSH: push.key}):
            log.info("push %s was never planned: enqueued again", push.key)
    context.ledger.planned(push)
    return True


def _alone(report: SweepReport, what: str, work: Callable[[], bool]) -> bool:
    """Do something whose trouble is its own: it is told, and the others are done.

    Raises:
        TransientError: The store cannot be reached, which is everybody's trouble.
    """
    found = attempt(lambda _: work(), what)
    if isinstance(found, TransientError):
        raise found
    if isinstance(found, RebuilderError):
        report.problems.append(f"{what}: {found}")
        return True
    return found


def _concerned(context: Context, push: Push, following: Followers) -> tuple[Follower, ...] | None:
    """Return who follows the tag of a push of a base registry; None if nobody can tell now."""
    if push.registry not in context.settings.base_registries:
        return ()  # a poll finds out by itself
    try:
        host = context.host(push.registry)
    except RebuilderError:
        return None
    return following.get(ImageReference.from_parts(host, push.repository, push.tag, ""), ())


def _affordable(context: Context, report: SweepReport, reads: int) -> bool:
    """Count the requests of a plan, if there are enough left; the first plan always is made."""
    planned = report.missed or report.planned_again
    if planned and report.reads + reads > context.settings.sweep_reads:
        return False
    report.reads += reads
    return True


def _compare(
    context: Context,
    report: SweepReport,
    lease: Lease,
    hosts: dict[str, RegistryId],
    following: Followers,
) -> str:
    """Compare what tags name with what tasks are built on.

    Returns:
        Where the next sweep goes on: the last tag that is done with; "" if all are.
    """
    began = context.now()
    left = [reference for reference in following if str(reference) > lease.place]
    unreachable: set[str] = set()
    while left:
        batch, left = left[:_AT_ONCE], left[_AT_ONCE:]
        asked = [reference for reference in batch if reference.domain not in unreachable]
        for reference, digest in zip(asked, _digests(context, asked), strict=True):
            if isinstance(digest, RebuilderError):
                report.problems.append(f"{reference}: {digest}")
                if not isinstance(digest, PermanentError):
                    unreachable.add(reference.domain)
            elif digest is not None:
                look = partial(_look, context, report, hosts, following, reference, digest)
                if not _alone(report, str(reference), look):
                    report.complete = False
                    return lease.place
            report.tags += 1
            lease.place = str(reference)
        lease.place = str(batch[-1])
        if left and context.now() - began > SLICE:
            report.complete = False
            return lease.place
    lease.place = ""
    return ""


def _digests(
    context: Context, references: Sequence[ImageReference]
) -> list[str | RebuilderError | None]:
    return attempts(lambda r: context.images.digest(r.domain, r.path, r.tag or ""), references)


def _look(
    context: Context,
    report: SweepReport,
    hosts: dict[str, RegistryId],
    following: Followers,
    reference: ImageReference,
    digest: str,
) -> bool:
    """Enqueue a push that was missed; False if no requests are left for its plan."""
    push = Push(
        hosts[reference.domain],
        reference.path,
        reference.tag or "",
        digest,
        None,
        _SWEEP,
    )
    tasks = following[reference]
    if missed(context, reference, push, tasks):
        if not _affordable(context, report, len({follower.task for follower in tasks})):
            return False
        announce_push(context, push)
        report.missed.append(push.key)
    return True
