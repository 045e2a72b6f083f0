"""Find the tasks that were made, changed or deleted where no event tells of them.

A look costs a request to ARM for each page of the list of tasks. Only the tasks that it tells have
changed are read, as if an event had told of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from copy import replace
from datetime import datetime
from functools import partial

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.events.task_news import TaskNews, changed_since
from rebuilder.core.rebuilds.messages import REFRESH, Refresh
from rebuilder.errors import Conflict, RebuilderError
from rebuilder.isolation import attempt
from rebuilder.usecases.context import Context

log = logging.getLogger(__name__)


def note_events(context: Context, registries: Iterable[RegistryId]) -> None:
    """Remember that events tell of the tasks of registries that are written.

    Once for each: what is known in memory or in the store is not written again. The events are
    taken already, so what cannot be remembered now is left for the next one.
    """
    for registry in sorted(set(registries) - context.told_by_events):
        found = attempt(partial(_note, context), registry)
        if isinstance(found, RebuilderError):
            log.info("registry %s: that events tell of its tasks is not noted: %s", registry, found)


def _note(context: Context, registry: RegistryId) -> None:
    mark, news = _read(context, registry)
    if news.seen is not None:
        return
    context.bookmarks.save(replace(mark, place=TaskNews(seen=context.now()).write()))
    context.told_by_events.add(registry)
    log.info("registry %s: events tell of its tasks", registry)


def ask_for_changes(context: Context, registry: RegistryId, refreshed: datetime) -> None:
    """Ask for a look at a registry's list of tasks, if no event tells of them and it is time.

    Args:
        context: The ports.
        registry: The registry.
        refreshed: When the last reading of every task of it began.

    Raises:
        TransientError: The store cannot be reached.
    """
    now = context.now()
    # Most sweeps find that without the store.
    if registry in context.told_by_events or not TaskNews().look_due(refreshed, now):
        return
    mark, news = _read(context, registry)
    if not news.look_due(refreshed, now):
        return
    context.queue.send(REFRESH, Refresh(registry, None, now, changes=True).encode())
    try:
        context.bookmarks.save(replace(mark, place=replace(news, asked=now).write()))
    except Conflict:
        log.info("registry %s: an event has told of a task meanwhile", registry)


def look_for_changes(context: Context, message: Refresh) -> None:
    """Have the tasks of a registry read that its list tells were made, changed or deleted.

    Where the list does not tell when a task was written, every task is read.

    Raises:
        TransientError, PermanentError: The list cannot be read.
    """
    registry, now = message.registry, context.now()
    _, news = _read(context, registry)
    if news.seen is not None or (news.asked is not None and news.asked > message.asked_at):
        log.info("registry %s: need not be looked at for this any more", registry)
        return
    known = {indexed.view.task: indexed.read_at for indexed in context.index.views(registry)}
    listed = _listed(context, registry)
    if any(task in known and written is None for task, written in listed.items()):
        log.info("registry %s: its list does not tell when tasks were written", registry)
        context.queue.send(REFRESH, Refresh(registry, None, now).encode())
        return
    changed = [
        task
        for task, written in listed.items()
        if task not in known or written is None or changed_since(written, known[task])
    ]
    changed += [task for task in known if task not in listed]
    if changed:
        asked = [Refresh.of(task, now, looks=0).encode() for task in changed]
        context.queue.send_many(REFRESH, asked)
    log.info("registry %s: %d of %d tasks have changed", registry, len(changed), len(listed))


def events_seen(context: Context, registry: RegistryId) -> bool:
    """Tell whether an event has ever told of a task of a registry that was written.

    Raises:
        TransientError: The store cannot be reached.
    """
    return _read(context, registry)[1].seen is not None


def _listed(context: Context, registry: RegistryId) -> dict[TaskId, datetime | None]:
    """Return the tasks of a registry, and when they were written as far as the list tells."""
    listed: dict[TaskId, datetime | None] = {}
    after: str | None = ""
    while after is not None:
        page = context.tasks.page(registry, after)
        for task in (*page.brief, *(found.id for found in page.tasks)):
            listed[task] = page.written.get(task)
        after = page.after
    return listed


def _read(context: Context, registry: RegistryId) -> tuple[Bookmark, TaskNews]:
    mark = context.bookmarks.read(f"task-news/{registry}")
    news = TaskNews.read(mark.place)
    if news.seen is not None:
        context.told_by_events.add(registry)
    return mark, news
