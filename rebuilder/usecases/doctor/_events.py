"""Registries, their events, and the function apps that get them."""

from __future__ import annotations

from collections.abc import Iterator

from rebuilder.core import doctor
from rebuilder.core.acr.access import READ_REGISTRY, Permission, allows
from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.doctor.setup import EventSubscription, Topic, part
from rebuilder.core.rebuilds.messages import EVENTS
from rebuilder.errors import NotFound
from rebuilder.settings.table import BASE_REGISTRIES, TASK_REGISTRIES
from rebuilder.usecases.doctor._known import READ_ROLES, STORAGE, Check, Known, Result

# Either will do: "Put Message" in Azure's table of permissions for data operations.
_PUT_MESSAGE = (
    f"{STORAGE}/queueServices/queues/messages/add/action",
    f"{STORAGE}/queueServices/queues/messages/write",
)
_WRITE_BLOB = f"{STORAGE}/blobServices/containers/blobs/write"


def registry_read(known: Known, registry: RegistryId, bases: list[RegistryId]) -> Check:
    """Read how a registry is set up."""

    def look() -> Iterator[Result]:
        try:
            known.setups[registry] = known.preflight.registry(registry)
        except NotFound:
            setting = BASE_REGISTRIES if registry in bases else TASK_REGISTRIES
            yield doctor.RegistryNotThere(registry, setting)

    return Check(f"registry {registry.name}", READ_REGISTRY, look)


def uses(
    known: Known, registry: RegistryId, bases: list[RegistryId], tasks: list[RegistryId]
) -> Check:
    """Judge a registry by what it is used for."""

    def look() -> Iterator[Result]:
        uses = {"base": registry in bases, "tasks": registry in tasks}
        return doctor.judge_uses(known.setups[registry], **uses)

    return Check(f"uses of {registry.name}", READ_REGISTRY, look)


def firewall(known: Known, registry: RegistryId, bases: list[RegistryId]) -> Check:
    """Judge whom a registry lets in."""

    def look() -> Iterator[Result]:
        setup = known.setups[registry]
        yield from doctor.judge_firewall(setup)
        if setup.closed and registry in bases:
            for site in known.sites.values():
                if not site.integrated:
                    yield doctor.AppShutOut(registry, site.id)

    return Check(f"firewall of {registry.name}", READ_REGISTRY, look)


def events_read(known: Known, registry: RegistryId) -> Check:
    """Read what is subscribed to a registry's events."""

    def look() -> Iterator[Result]:
        if registry in known.setups:
            topics = known.preflight.topics(registry)
            subscriptions = known.preflight.subscriptions(registry, topics)
            known.subscribed[registry] = (topics, subscriptions)
        return iter(())

    right = "Microsoft.EventGrid/systemTopics/read and eventSubscriptions/read (EventGrid"
    return Check(f"events of {registry.name}", f"{right} EventSubscription Reader)", look)


def sites_read(known: Known) -> Iterator[Check]:
    """Read the function apps that pushes are sent to, or the one that is named."""
    places = {
        entry.site.lower(): entry.site
        for _, entries in known.subscribed.values()
        for entry in entries
        if entry.ours and entry.site
    }
    if known.site:
        places = {known.site.lower(): known.site}
    for place in places.values():
        yield _site(known, place)


def _site(known: Known, place: str) -> Check:
    def look() -> Iterator[Result]:
        try:
            site = known.sites[place.lower()] = known.preflight.site(place)
        except NotFound:
            yield doctor.SiteNotThere(place)
            return
        yield from doctor.judge_functions(site, known.preflight.functions(place))

    right = "Microsoft.Web/sites/read and sites/functions/read (Reader)"
    return Check(f"function app {place.rpartition('/')[2]}", right, look)


def delivery(
    known: Known, registry: RegistryId, topics: list[Topic], found: list[EventSubscription]
) -> Iterator[Check]:
    """Judge what is subscribed to a registry's events."""
    settings = known.context.settings
    letters = settings.dead_letters
    account = "" if settings.storage else settings.storage_account

    def look() -> Iterator[Result]:
        place = _letters_place(known, letters)
        yield from doctor.judge_subscriptions(
            registry, topics, found, known.site, letters, place, account, _by_queue(known, topics)
        )

    yield Check(f"subscriptions of {registry.name}", f"{STORAGE}/read (Reader)", look)
    for entry in found:
        if entry.ours and entry.dead_letters is not None:
            yield _dead_letters(known, registry, entry, entry.dead_letters)
        if entry.ours and entry.queue is not None:
            yield _queue(known, registry, entry, entry.queue)


def _by_queue(known: Known, topics: list[Topic]) -> tuple[str, str] | None:
    """Return the queue that the app takes events from; None if nothing shows that it does.

    Another base registry's events go there, or a topic of this one may write into it: the template
    gives that role where events come by the queue, and only there.
    """
    settings, subscription = known.context.settings, part(known.site, "subscriptions")
    name = "" if settings.storage else settings.storage_account
    places = {
        entry.queue
        for _, entries in known.subscribed.values()
        for entry in entries
        if entry.ours and entry.queue is not None
    }
    for place in sorted(places):
        if not name or place[0].rpartition("/")[2].lower() == name.lower():
            return place
    account = known.preflight.storage_account(subscription, name) if name and subscription else ""
    if not account:
        return None
    scope = f"{account}/queueServices/default/queues/{EVENTS}"
    held = [
        permission
        for topic in topics
        for principal in topic.principals
        for permission in known.preflight.permissions(scope, principal)
    ]
    may = any(allows(held, action, data=True) for action in _PUT_MESSAGE)
    return (account, EVENTS) if may else None


def _queue(
    known: Known, registry: RegistryId, entry: EventSubscription, place: tuple[str, str]
) -> Check:
    account, queue = place

    def look() -> Iterator[Result]:
        scope = f"{account}/queueServices/default/queues/{queue}"
        principals = entry.topic.principals if entry.topic else ()
        held: list[Permission] = []
        for principal in principals:
            held += known.preflight.permissions(scope, principal)
        if principals and not any(allows(held, action, data=True) for action in _PUT_MESSAGE):
            yield doctor.QueueNotWritable(registry, entry)

    return Check(f"queue of the events of {registry.name}", READ_ROLES, look)


def _letters_place(known: Known, address: str) -> tuple[str, str] | None:
    """Return the account's resource id and the container of an address, as far as known."""
    subscription = part(known.site, "subscriptions")
    host, _, container = address.removeprefix("https://").partition("/")
    if not (host and subscription):
        return None
    account = known.preflight.storage_account(subscription, host.partition(".")[0])
    return (account, container) if account else None


def _dead_letters(
    known: Known, registry: RegistryId, entry: EventSubscription, place: tuple[str, str]
) -> Check:
    account, container = place

    def look() -> Iterator[Result]:
        if not known.preflight.has_container(account, container):
            yield doctor.DeadLetterContainerMissing(registry, entry)
            return
        scope = f"{account}/blobServices/default/containers/{container}"
        principals = entry.topic.principals if entry.topic else ()
        held: list[Permission] = []
        for principal in principals:
            held += known.preflight.permissions(scope, principal)
        if principals and not allows(held, _WRITE_BLOB, data=True):
            yield doctor.DeadLettersNotWritable(registry, entry)

    right = f"{STORAGE}/blobServices/containers/read and {READ_ROLES}"
    return Check(f"dead letters of {registry.name}", right, look)
