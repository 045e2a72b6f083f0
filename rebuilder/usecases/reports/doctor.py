"""Examine a set-up: what is wrong with it, and what could not be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from msgspec import Struct

from rebuilder.core import doctor
from rebuilder.core.acr.access import (
    BASE_ADVICE,
    PUSH_CONTENT,
    READ_LOG,
    READ_REGISTRY,
    TASK_ACTIONS,
    Permission,
    allows,
    may_pull,
    missing,
)
from rebuilder.core.acr.registries import RegistryId, canonical_host
from rebuilder.core.acr.tasks import Task
from rebuilder.core.doctor import Finding, Severity, Unchecked
from rebuilder.core.doctor.setup import EventSubscription, RegistrySetup, Site, Topic, part
from rebuilder.core.rebuilds.pace import Pace, Rate
from rebuilder.core.rebuilds.rebuild import Failure
from rebuilder.core.times import ahead
from rebuilder.errors import NotFound, RebuilderError
from rebuilder.isolation import attempt, attempts
from rebuilder.ports.preflight import Preflight
from rebuilder.settings import BASE_REGISTRIES, SQLITE, TASK_REGISTRIES
from rebuilder.usecases.catch_up.poll_bases import BOOKMARK as POLL
from rebuilder.usecases.catch_up.sweep import BOOKMARK as SWEEP
from rebuilder.usecases.context import Context
from rebuilder.usecases.history.retire_history import BOOKMARK as HISTORY
from rebuilder.usecases.leases import LEASE

OVERDUE = timedelta(hours=1)
"""After which a rebuild that nothing happens to is told: the sweep looks every quarter."""

_STORAGE = "Microsoft.Storage/storageAccounts"
_STORAGE_ROLES = (
    (
        "Storage Queue Data Contributor",
        (
            f"{_STORAGE}/queueServices/queues/messages/read",
            f"{_STORAGE}/queueServices/queues/messages/write",
            f"{_STORAGE}/queueServices/queues/messages/delete",
        ),
    ),
    (
        "Storage Table Data Contributor",
        (
            f"{_STORAGE}/tableServices/tables/entities/read",
            f"{_STORAGE}/tableServices/tables/entities/write",
        ),
    ),
    (
        "Storage Blob Data Owner",
        (
            f"{_STORAGE}/blobServices/containers/blobs/read",
            f"{_STORAGE}/blobServices/containers/blobs/write",
        ),
    ),
)
_WRITE_BLOB = f"{_STORAGE}/blobServices/containers/blobs/write"
_READ_ROLES = "Microsoft.Authorization/roleAssignments/read and roleDefinitions/read (Reader)"

type Result = Finding | Unchecked


class Report(Struct, frozen=True):
    """What came of an examination.

    Attributes:
        findings: What is wrong, the worst first.
        unchecked: What could not be looked at.
        site: The function app's resource id, as far as it is known; else "".
    """

    findings: tuple[Finding, ...]
    unchecked: tuple[Unchecked, ...]
    site: str = ""

    @property
    def errors(self) -> bool:
        """Whether anything is not rebuilt as things are."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


class _Check(Struct, frozen=True):
    """Something to look at.

    Attributes:
        what: What, for a person.
        right: What the caller needs for it.
        look: Looks.
    """

    what: str
    right: str
    look: Callable[[], Iterable[Result]]


def examine(
    context: Context, preflight: Preflight, *, identity: str = "", site: str = ""
) -> Report:
    """Examine a set-up; nothing is changed, and no message is taken.

    Args:
        context: The settings, and what the product itself asks.
        preflight: What else is asked of Azure.
        identity: Whose roles are looked at, by object id, client id or resource id; by default the
            identity of `site`, and without one the caller.
        site: The function app's resource id; by default any that pushes are sent to.

    Raises:
        TransientError: There is no token for ARM, so nothing can be asked.
        NotFound: `identity` does not name one.
    """
    return _Examination(context, preflight, site).report(identity)


class _Examination:
    def __init__(self, context: Context, preflight: Preflight, site: str) -> None:
        self._context = context
        self._preflight = preflight
        self._named = site
        self._principal = ""
        self._who = ""
        self._setups: dict[RegistryId, RegistrySetup] = {}
        self._sites: dict[str, Site] = {}

    def report(self, identity: str) -> Report:
        results: list[Result] = []
        for service, error in self._preflight.tokens():
            if service == "ARM":
                raise error
            results.append(doctor.NoToken(service, str(error)))
        bases = sorted(self._context.settings.base_registries)
        tasks = list(self._context.settings.task_registries)
        every = list(dict.fromkeys((*bases, *tasks)))
        results += self._carry_out([self._reads(registry, bases) for registry in every])
        subscribed: dict[RegistryId, tuple[list[Topic], list[EventSubscription]]] = {}
        results += self._carry_out([self._events(r, subscribed) for r in bases])
        results += self._carry_out(self._site_checks(subscribed))
        self._principal, problem = self._identity(identity)
        self._who = self._principal or self._preflight.caller()
        results += problem
        checks = [
            *(self._base_roles(r) for r in bases if r in self._setups),
            *(self._task_roles(r) for r in tasks if r in self._setups),
            *(self._uses(r, bases, tasks) for r in every if r in self._setups),
            *(self._firewall(r, bases) for r in every if r in self._setups),
            *(check for r in subscribed for check in self._delivery(r, *subscribed[r])),
            *(self._tasks(r) for r in tasks if r in self._setups),
            *self._storage_checks(subscribed),
            *(self._index(r) for r in tasks),
            self._ledger(),
            self._clocks(),
            self._letters(),
        ]
        results += self._carry_out(checks)
        findings = [result for result in results if isinstance(result, Finding)]
        order = list(Severity)
        return Report(
            tuple(sorted(dict.fromkeys(findings), key=lambda f: order.index(f.severity))),
            tuple(result for result in results if isinstance(result, Unchecked)),
            self._site_id(),
        )

    def _site_id(self) -> str:
        """Return the app that was named, or the only one that pushes are sent to."""
        if self._named or len(self._sites) != 1:
            return self._named
        return next(iter(self._sites.values())).id

    def _carry_out(self, checks: Iterable[_Check]) -> list[Result]:
        given = list(checks)
        results: list[Result] = []
        for check, found in zip(
            given, attempts(lambda check: list(check.look()), given), strict=True
        ):
            if isinstance(found, RebuilderError):
                results.append(Unchecked(check.what, str(found), check.right))
            else:
                results += found
        return results

    # What the others build on.

    def _reads(self, registry: RegistryId, bases: list[RegistryId]) -> _Check:
        def look() -> Iterator[Result]:
            try:
                self._setups[registry] = self._preflight.registry(registry)
            except NotFound:
                setting = BASE_REGISTRIES if registry in bases else TASK_REGISTRIES
                yield doctor.RegistryNotThere(registry, setting)

        return _Check(f"registry {registry.name}", READ_REGISTRY, look)

    def _events(
        self,
        registry: RegistryId,
        subscribed: dict[RegistryId, tuple[list[Topic], list[EventSubscription]]],
    ) -> _Check:
        def look() -> Iterator[Result]:
            if registry in self._setups:
                topics = self._preflight.topics(registry)
                subscriptions = self._preflight.subscriptions(registry, topics)
                subscribed[registry] = (topics, subscriptions)
            return iter(())

        right = "Microsoft.EventGrid/systemTopics/read and eventSubscriptions/read (EventGrid"
        return _Check(f"events of {registry.name}", f"{right} EventSubscription Reader)", look)

    def _site_checks(
        self, subscribed: dict[RegistryId, tuple[list[Topic], list[EventSubscription]]]
    ) -> Iterator[_Check]:
        places = {
            entry.site.lower(): entry.site
            for _, entries in subscribed.values()
            for entry in entries
            if entry.ours and entry.site
        }
        if self._named:
            places = {self._named.lower(): self._named}
        for place in places.values():
            yield self._site(place)

    def _site(self, place: str) -> _Check:
        def look() -> Iterator[Result]:
            try:
                site = self._sites[place.lower()] = self._preflight.site(place)
            except NotFound:
                yield doctor.SiteNotThere(place)
                return
            yield from doctor.judge_functions(site, self._preflight.functions(place))

        right = "Microsoft.Web/sites/read and sites/functions/read (Reader)"
        return _Check(f"function app {place.rpartition('/')[2]}", right, look)

    def _identity(self, identity: str) -> tuple[str, list[Result]]:
        if identity:
            for site in self._sites.values():
                for client, principal in site.principals:
                    if client and client.lower() == identity.lower():
                        return principal, []
            return self._preflight.principal(identity), []
        if not self._named:
            return "", []
        app = self._sites.get(self._named.lower())
        held = dict(app.principals) if app else {}
        fallback = next(iter(held.values())) if len(held) == 1 else ""
        if principal := held.get(self._context.settings.client_id, fallback):
            return principal, []
        reason = "the function app could not be asked for its identity"
        return "", [Unchecked("the function app's roles", reason, "give --identity")]

    # Roles.

    def _base_roles(self, registry: RegistryId) -> _Check:
        def look() -> Iterator[Result]:
            held = self._preflight.permissions(str(registry), self._principal)
            if absent := missing(held, (READ_REGISTRY, *BASE_ADVICE)):
                kind = doctor.RoleMissing if READ_REGISTRY in absent else doctor.AdviceRoleMissing
                role = self._role(registry, (READ_REGISTRY, *BASE_ADVICE))
                yield kind(registry, self._who, absent, role)
            access = may_pull(held, abac=self._setups[registry].abac)
            if not access.allowed:
                abac = self._setups[registry].abac
                yield doctor.PullMissing(registry, self._who, access.role, abac)

        return _Check(f"roles on {registry.name}", _READ_ROLES, look)

    def _task_roles(self, registry: RegistryId) -> _Check:
        def look() -> Iterator[Result]:
            held = self._preflight.permissions(str(registry), self._principal)
            if absent := missing(held, (*TASK_ACTIONS, READ_LOG)):
                kind = doctor.LogRoleMissing if absent == (READ_LOG,) else doctor.RoleMissing
                role = self._role(registry, (*TASK_ACTIONS, READ_LOG))
                yield kind(registry, self._who, absent, role)

        return _Check(f"roles on {registry.name}", _READ_ROLES, look)

    def _role(self, registry: RegistryId, actions: tuple[str, ...]) -> str:
        """Return the custom role that allows actions and the least besides; "" if there is none."""
        suiting = [
            (sum(len(permission.actions) for permission in role.permissions), role.name)
            for role in self._preflight.roles(str(registry))
            if role.custom and not missing(role.permissions, actions)
        ]
        return min(suiting)[1] if suiting else ""

    def _uses(
        self, registry: RegistryId, bases: list[RegistryId], tasks: list[RegistryId]
    ) -> _Check:
        def look() -> Iterator[Result]:
            uses = {"base": registry in bases, "tasks": registry in tasks}
            return doctor.judge_uses(self._setups[registry], **uses)

        return _Check(f"uses of {registry.name}", READ_REGISTRY, look)

    # Networks and events.

    def _firewall(self, registry: RegistryId, bases: list[RegistryId]) -> _Check:
        def look() -> Iterator[Result]:
            setup = self._setups[registry]
            yield from doctor.judge_firewall(setup)
            if setup.closed and registry in bases:
                for site in self._sites.values():
                    if not site.integrated:
                        yield doctor.AppShutOut(registry, site.id)

        return _Check(f"firewall of {registry.name}", READ_REGISTRY, look)

    def _delivery(
        self, registry: RegistryId, topics: list[Topic], found: list[EventSubscription]
    ) -> Iterator[_Check]:
        letters = self._context.settings.dead_letters

        def look() -> Iterator[Result]:
            place = self._letters_place(letters)
            yield from doctor.judge_subscriptions(
                registry, topics, found, self._named, letters, place
            )

        yield _Check(f"subscriptions of {registry.name}", f"{_STORAGE}/read (Reader)", look)
        for entry in found:
            if entry.ours and entry.dead_letters is not None:
                yield self._dead_letters(registry, entry, entry.dead_letters)

    def _letters_place(self, address: str) -> tuple[str, str] | None:
        """Return the account's resource id and the container of an address, as far as known."""
        subscription = part(self._named, "subscriptions")
        host, _, container = address.removeprefix("https://").partition("/")
        if not (host and subscription):
            return None
        account = self._preflight.storage_account(subscription, host.partition(".")[0])
        return (account, container) if account else None

    def _dead_letters(
        self, registry: RegistryId, entry: EventSubscription, place: tuple[str, str]
    ) -> _Check:
        account, container = place

        def look() -> Iterator[Result]:
            if not self._preflight.has_container(account, container):
                yield doctor.DeadLetterContainerMissing(registry, entry)
                return
            scope = f"{account}/blobServices/default/containers/{container}"
            principals = entry.topic.principals if entry.topic else ()
            held: list[Permission] = []
            for principal in principals:
                held += self._preflight.permissions(scope, principal)
            if principals and not allows(held, _WRITE_BLOB, data=True):
                yield doctor.DeadLettersNotWritable(registry, entry)

        right = f"{_STORAGE}/blobServices/containers/read and {_READ_ROLES}"
        return _Check(f"dead letters of {registry.name}", right, look)

    # Tasks.

    def _tasks(self, registry: RegistryId) -> _Check:
        def look() -> Iterator[Result]:
            for task in self._context.tasks.tasks(registry):
                found = attempt(self._of_one, task)
                if isinstance(found, RebuilderError):
                    yield Unchecked(f"task {task.id.registry.name}/{task.id.name}", str(found))
                else:
                    yield from found

        return _Check(f"tasks of {registry.name}", f"{TASK_ACTIONS[1]} and {_READ_ROLES}", look)

    def _of_one(self, task: Task) -> list[Result]:
        found: list[Result] = [*doctor.judge_task(task)]
        if task.has_step and task.enabled:
            found += self._access(task)
        return found

    def _access(self, task: Task) -> Iterator[Result]:
        own = task.id.registry
        bases = {
            canonical_host(setup.login_server): setup
            for setup in self._setups.values()
            if setup.id in self._context.settings.base_registries and setup.id != own
        }
        signs = {canonical_host(host) for host in task.signs_in_to}
        named = {canonical_host(entry.reference.domain) for entry in task.dependencies}
        for host in sorted(bases.keys() & (signs | named)):
            setup = bases[host]
            if host not in signs:
                yield doctor.TaskWithoutCredentials(task.id, host, bool(task.principals))
            elif task.principals:
                access = may_pull(self._of_task(task, setup.id), abac=setup.abac)
                if not access.allowed:
                    yield doctor.TaskMayNotPull(task.id, setup.id, task.principals, access.role)
        if self._setups[own].abac and not allows(self._of_task(task, own), PUSH_CONTENT, data=True):
            yield doctor.TaskMayNotPush(task.id, task.principals)

    def _of_task(self, task: Task, registry: RegistryId) -> list[Permission]:
        # Which of its identities it signs in with, ARM does not show.
        return [
            permission
            for principal in task.principals
            for permission in self._preflight.permissions(str(registry), principal)
        ]

    # What is kept.

    def _storage_checks(
        self, subscribed: dict[RegistryId, tuple[list[Topic], list[EventSubscription]]]
    ) -> Iterator[_Check]:
        settings = self._context.settings
        if settings.storage.startswith(SQLITE):
            return

        def peek() -> Iterator[Result]:
            self._preflight.peek()
            return iter(())

        yield _Check("queues", "Storage Queue Data Reader on the storage account", peek)
        if settings.storage or not settings.storage_account:
            return
        places = {part(place, "subscriptions") for place in (*self._sites, self._named) if place}
        places |= {
            part(entry.dead_letters[0], "subscriptions")
            for _, entries in subscribed.values()
            for entry in entries
            if entry.dead_letters
        }

        def roles() -> Iterator[Result]:
            accounts = (
                self._preflight.storage_account(place, settings.storage_account)
                for place in sorted(places)
            )
            account = next(filter(None, accounts), None)
            if account is None:
                reason = "it is in none of the subscriptions that are known: give --function-app"
                yield Unchecked(f"roles on storage account {settings.storage_account}", reason)
                return
            held = self._preflight.permissions_below(account, self._principal)
            for role, actions in _STORAGE_ROLES:
                if not all(allows(held, action, data=True) for action in actions):
                    yield doctor.StorageRoleMissing(account, self._who, role)

        right = f"{_STORAGE}/read and {_READ_ROLES}"
        yield _Check(f"roles on storage account {settings.storage_account}", right, roles)

    def _index(self, registry: RegistryId) -> _Check:
        def look() -> Iterator[Result]:
            since = self._context.index.refreshed(registry)
            if since is None:
                yield doctor.IndexNeverFilled(registry)
            elif self._context.now() - since > self._context.settings.index_max_age:
                site = next((site.id for site in self._sites.values()), self._named)
                yield doctor.IndexOld(registry, since, site)

        return _Check(f"index of {registry.name}", "Storage Table Data Reader", look)

    def _ledger(self) -> _Check:
        def look() -> Iterator[Result]:
            context = self._context
            for rebuild in context.ledger.unsettled():
                due, now = rebuild.due or rebuild.lease_until, context.now()
                if now - due > OVERDUE:
                    yield doctor.RebuildOverdue(rebuild.task, due)
                elif ahead(due, now, rebuild.longest_wait):
                    yield doctor.TimeAhead(f"the rebuild of {rebuild.task.name}", due)
            for registry in context.settings.task_registries:
                yield from self._refused(registry)

        return _Check("rebuilds", "Storage Table Data Reader", look)

    def _clocks(self) -> _Check:
        def look() -> Iterator[Result]:
            context = self._context
            now, settings = context.now(), context.settings
            for name in (SWEEP, POLL, HISTORY):
                until = context.bookmarks.read(name).lease_until
                if until is not None and ahead(until, now, LEASE):
                    yield doctor.TimeAhead(f"the lease of {name}", until)
            for subscription in sorted({r.subscription for r in settings.task_registries}):
                pace = Pace.read(context.bookmarks.read(f"pace/{subscription}").place)
                rate = Rate(settings.arm_writes_per_second, settings.arm_write_burst)
                if pace.end is not None and not pace.credible(rate, now):
                    yield doctor.TimeAhead(f"the pace of subscription {subscription}", pace.end)

        return _Check("leases and paces", "Storage Table Data Reader", look)

    def _refused(self, registry: RegistryId) -> Iterator[Result]:
        """Tell whether Azure refuses to run tasks; only a run that is started would prove it."""
        known = [view.view.task for view in self._context.index.views(registry)]
        heads = self._context.ledger.heads(known).values()
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

    def _letters(self) -> _Check:
        def look() -> Iterator[Result]:
            waiting = self._context.dead_letters.waiting()
            if waiting:
                yield doctor.DeadLettersWait(len(waiting))

        return _Check("dead letters", "Storage Table Data Reader", look)
