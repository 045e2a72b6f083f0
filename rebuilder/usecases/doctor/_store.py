"""What is kept: queues, tables, rebuilds, leases, dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rebuilder.core import doctor
from rebuilder.core.acr.access import allows
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.doctor import Unchecked
from rebuilder.core.doctor.setup import part
from rebuilder.core.rebuilds.pace import Pace, Rate
from rebuilder.core.rebuilds.rebuild import Failure
from rebuilder.core.times import ahead
from rebuilder.settings import SQLITE
from rebuilder.usecases.catch_up.poll_bases import BOOKMARK as POLL
from rebuilder.usecases.catch_up.sweep import BOOKMARK as SWEEP
from rebuilder.usecases.doctor._known import READ_ROLES, STORAGE, Check, Known, Result
from rebuilder.usecases.history.retire_history import BOOKMARK as HISTORY
from rebuilder.usecases.index.task_news import events_seen
from rebuilder.usecases.leases import LEASE
from rebuilder.usecases.staleness.kept import BOOKMARK as STALENESS

OVERDUE = timedelta(hours=1)
TOKEN_ENDS_SOON = timedelta(days=14)
"""As the alert `token-expiry` has it."""
"""After which a rebuild that nothing happens to is told: the sweep looks every quarter."""

_STORAGE_ROLES = (
    (
        "Storage Queue Data Contributor",
        (
            f"{STORAGE}/queueServices/queues/messages/read",
            f"{STORAGE}/queueServices/queues/messages/write",
            f"{STORAGE}/queueServices/queues/messages/delete",
        ),
    ),
    (
        "Storage Table Data Contributor",
        (
            f"{STORAGE}/tableServices/tables/entities/read",
            f"{STORAGE}/tableServices/tables/entities/write",
        ),
    ),
    (
        "Storage Blob Data Owner",
        (
            f"{STORAGE}/blobServices/containers/blobs/read",
            f"{STORAGE}/blobServices/containers/blobs/write",
        ),
    ),
)


def storage(known: Known) -> Iterator[Check]:
    """Judge the queues, and the roles on the storage account."""
    settings = known.context.settings
    if settings.storage.startswith(SQLITE):
        return

    def peek() -> Iterator[Result]:
        known.preflight.peek()
        return iter(())

    yield Check("queues", "Storage Queue Data Reader on the storage account", peek)
    if settings.storage or not settings.storage_account:
        return
    places = {part(place, "subscriptions") for place in (*known.sites, known.site) if place}
    places |= {
        part(entry.dead_letters[0], "subscriptions")
        for _, entries in known.subscribed.values()
        for entry in entries
        if entry.dead_letters
    }

    def roles() -> Iterator[Result]:
        accounts = (
            known.preflight.storage_account(place, settings.storage_account)
            for place in sorted(places)
        )
        account = next(filter(None, accounts), None)
        if account is None:
            reason = "it is in none of the subscriptions that are known: give --function-app"
            yield Unchecked(f"roles on storage account {settings.storage_account}", reason)
            return
        held = known.preflight.permissions_below(account, known.principal)
        for role, actions in _STORAGE_ROLES:
            if not all(allows(held, action, data=True) for action in actions):
                yield doctor.StorageRoleMissing(account, known.who, role)

    right = f"{STORAGE}/read and {READ_ROLES}"
    yield Check(f"roles on storage account {settings.storage_account}", right, roles)


def index(known: Known, registry: RegistryId) -> Check:
    """Judge how old the index of a registry is."""

    def look() -> Iterator[Result]:
        since = known.context.index.refreshed(registry)
        if since is None:
            yield doctor.IndexNeverFilled(registry)
        elif known.context.now() - since > known.context.settings.index_max_age:
            site = next((site.id for site in known.sites.values()), known.site)
            yield doctor.IndexOld(registry, since, site)

    return Check(f"index of {registry.name}", "Storage Table Data Reader", look)


def task_events(known: Known) -> Check:
    """Tell which registries' tasks no event has ever told of."""

    def look() -> Iterator[Result]:
        context = known.context
        silent = [r.name for r in context.settings.task_registries if not events_seen(context, r)]
        if silent:
            reason = "no event of one that was written has come yet; the list is looked at hourly"
            yield Unchecked(f"whether events tell of the tasks of {', '.join(silent)}", reason)

    return Check("events of tasks", "Storage Table Data Reader", look)


def ledger(known: Known) -> Check:
    """Judge the rebuilds that something is still to happen to."""

    def look() -> Iterator[Result]:
        context = known.context
        for rebuild in context.ledger.unsettled():
            due, now = rebuild.due or rebuild.lease_until, context.now()
            if now - due > OVERDUE:
                yield doctor.RebuildOverdue(rebuild.task, due)
            elif ahead(due, now, rebuild.longest_wait):
                yield doctor.TimeAhead(f"the rebuild of {rebuild.task.name}", due)
        for registry in context.settings.task_registries:
            yield from _refused(known, registry)

    return Check("rebuilds", "Storage Table Data Reader", look)


def _refused(known: Known, registry: RegistryId) -> Iterator[Result]:
    """Tell whether Azure refuses to run tasks; only a run that is started would prove it."""
    tasks = [view.view.task for view in known.context.index.views(registry)]
    heads = known.context.ledger.heads(tasks).values()
    refused = [
        head
        for head in heads
        if head.failure is Failure.REFUSED and "TasksOperationsNotAllowed" in str(head.outcome)
    ]
    if refused:
        newest = max(refused, key=lambda head: head.claimed_at)
        yield doctor.TasksNotAllowed(registry, newest.task.name)
    elif not any(head.run_id for head in heads):
        reason = "only starting a run would tell (TasksOperationsNotAllowed), and none was yet"
        yield Unchecked(f"whether Azure allows tasks in {registry.name}", reason)


def clocks(known: Known) -> Check:
    """Find times that no clock that is right has written."""

    def look() -> Iterator[Result]:
        context = known.context
        now, settings = context.now(), context.settings
        for name in (SWEEP, POLL, HISTORY, STALENESS):
            until = context.bookmarks.read(name).lease_until
            if until is not None and ahead(until, now, LEASE):
                yield doctor.TimeAhead(f"the lease of {name}", until)
        for subscription in sorted({r.subscription for r in settings.task_registries}):
            pace = Pace.read(context.bookmarks.read(f"pace/{subscription}").place)
            rate = Rate(settings.arm_writes_per_second, settings.arm_write_burst)
            if pace.end is not None and not pace.credible(rate, now):
                yield doctor.TimeAhead(f"the pace of subscription {subscription}", pace.end)

    return Check("leases and paces", "Storage Table Data Reader", look)


def letters(known: Known) -> Check:
    """Tell of dead letters that nobody has replayed."""

    def look() -> Iterator[Result]:
        waiting = known.context.dead_letters.waiting()
        if waiting:
            yield doctor.DeadLettersWait(len(waiting))

    return Check("dead letters", "Storage Table Data Reader", look)


def tokens(known: Known) -> Iterator[Check]:
    """Tell of tokens for source hosts that end soon, where the host tells."""
    for credential in known.context.settings.source_credentials:
        yield _token(known, credential.host)


def _token(known: Known, host: str) -> Check:
    def look() -> Iterator[Result]:
        ends = known.context.sources.expires(host)
        if ends is not None and ends - known.context.now() < TOKEN_ENDS_SOON:
            yield doctor.TokenEnds(host, ends)

    return Check(f"token for {host}", "", look)


def settings(known: Known) -> Check:
    """Tell of settings that have the names of an older version."""

    def look() -> Iterator[Result]:
        given = known.context.settings
        if given.old:
            site = next((site.id for site in known.sites.values()), known.site)
            yield doctor.OldSettings(given.old, given.tuning, site)
        for name, why in given.unread:
            yield Unchecked(name, why)

    return Check("settings", "", look)


def policy(known: Known) -> Check:
    """Tell of a policy file that cannot be read, or that tells somebody unknown."""

    def look() -> Iterator[Result]:
        context = known.context
        found = context.in_force.now(context.steering, context.now())
        if found.broken:
            yield doctor.PolicyNotInForce(found.broken, not found.unreadable)
        rules = () if found.policies is None else found.policies.messages
        named = {destination.name for destination in context.settings.destinations}
        if rules and not named:
            # The app's may be references to Key Vault, which are no setting of this command.
            yield Unchecked("whom messages go to", "REBUILDER_DESTINATIONS is not known here")
            return
        for rule in rules:
            for name in sorted(set(rule.to) - named):
                yield doctor.DestinationUnknown(rule.name, name)

    return Check("the policy file", "Storage Blob Data Reader", look)
