"""Which event subscriptions of a base registry lead to the app, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.doctor._finding import Finding, short
from rebuilder.core.doctor.events import (
    DeadLettersUnread,
    FewAttempts,
    NoDeadLetters,
    NotSubscribed,
    PushesFiltered,
    PushesNarrowed,
    SubscriptionNotReady,
)
from rebuilder.core.doctor.setup import IMAGE_PUSHED, EventSubscription, Topic

_FEW_ATTEMPTS = 2
_FEW_MINUTES = 60


def judge_subscriptions(
    registry: RegistryId,
    topics: Sequence[Topic],
    found: Sequence[EventSubscription],
    site: str,
    dead_letters: str,
    place: tuple[str, str] | None = None,
    account: str = "",
    queue: tuple[str, str] | None = None,
) -> Iterator[Finding]:
    """Tell what is wrong with the subscriptions to a base registry's events.

    Args:
        registry: The registry.
        topics: Its system topics.
        found: Its subscriptions.
        site: The function app's resource id; "" if it is not known, then any app will do.
        dead_letters: Where the app looks for dead letters; "" for nowhere.
        place: The same as the account's resource id and the container, if they are known.
        account: The name of the app's storage account; "" if it is not known, then the queue of
            any will do.
        queue: The account's resource id and the queue that the app takes events from, where it is
            known to do so.
    """
    ours = [entry for entry in found if entry.ours and _is_of(entry, site, account)]
    if not ours:
        app = site or next((entry.site for entry in found if entry.site), "")
        yield NotSubscribed(registry, topics[0] if topics else None, app, place, queue)
        return
    for entry in ours:
        if not entry.ready:
            yield SubscriptionNotReady(registry, entry)
        if entry.event_types and IMAGE_PUSHED.lower() not in {
            name.lower() for name in entry.event_types
        }:
            yield PushesFiltered(registry, entry)
        if entry.begins_with or entry.ends_with or entry.advanced:
            yield PushesNarrowed(registry, entry)
        if entry.attempts < _FEW_ATTEMPTS or entry.minutes < _FEW_MINUTES:
            yield FewAttempts(registry, entry)
        if entry.dead_letters is None:
            yield NoDeadLetters(registry, entry, place)
        elif not _same_place(entry.dead_letters, dead_letters):
            yield DeadLettersUnread(registry, entry, dead_letters)


def _is_of(entry: EventSubscription, site: str, account: str) -> bool:
    """Tell whether a subscription leads to this app, or may do so, and to no other one."""
    if entry.queue is not None:
        return not account or short(entry.queue[0]).lower() == account.lower()
    return not site or bool(entry.webhook) or entry.site.lower() == site.lower()


def _same_place(place: tuple[str, str], address: str) -> bool:
    host, _, container = address.removeprefix("https://").partition("/")
    account = host.partition(".")[0]
    return (account.lower(), container.strip("/")) == (short(place[0]).lower(), place[1])
