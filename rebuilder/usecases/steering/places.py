"""Places: no more rebuilds under way at once than operators let, and the next one told in time.

The rebuild is claimed first, and has its place from before its run is asked for until its record
says that it is over. Whoever dies in between leaves a claim, which keeps its place until somebody
goes on with it, or a place of what is over, which is none: it is given away by whoever looks next.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable
from copy import replace
from datetime import datetime, timedelta
from functools import partial

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.lines.line import GRACE, Holder, Limits, Line, Waiter, rank
from rebuilder.core.lines.rooms import LimitReached, NoPlace
from rebuilder.core.policies.policy import Policies
from rebuilder.core.rebuilds.looks import lasted, middle, next_look, usual
from rebuilder.core.rebuilds.messages import BUILDS
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.core.times import age
from rebuilder.errors import Conflict, PermanentError, RebuilderError, UnreadableRecord
from rebuilder.isolation import attempt
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.waiting import again, held_rebuilds

log = logging.getLogger(__name__)

PLACES = "places"
"""The name of the bookmark that the line is kept in."""

TURN = "turn"
"""The event of a message for one whose turn it is."""

_CHECKED = timedelta(seconds=10)
"""How often it is looked at whether those who have a place are still under way."""

_TRIES = 50

_EARLIER = 6
"""So many of a task's newest rebuilds tell how long it usually takes; one is that under way."""

_lock = threading.Lock()


def ask(context: Context, wanted: Waiter, rebuild: Rebuild) -> NoPlace | None:
    """Ask whether there is a place; return why not, and wait for one from then on.

    Args:
        context: The ports.
        wanted: What for.
        rebuild: The rebuild as it is, before anybody claims it.

    Raises:
        TransientError: The store cannot be reached, or everybody asks at once.
        UnreadableRecord: Nobody can tell who has a place.
    """
    # What has this version and a place was claimed by another, at the same time.
    return _asked(context, wanted, partial(Line.ask, version=rebuild.version - 1))


def take(context: Context, wanted: Waiter, rebuild: Rebuild) -> NoPlace | None:
    """Take a place; return why there is none, and wait for one from then on.

    Args:
        context: The ports.
        wanted: What for.
        rebuild: The rebuild as it is claimed.

    Raises:
        TransientError: The store cannot be reached, or everybody asks at once.
        UnreadableRecord: Nobody can tell who has a place.
    """
    return _asked(context, wanted, partial(Line.take, version=rebuild.version))


def leave(context: Context, rebuild: Rebuild) -> None:
    """Give up the place of a rebuild that is over, and tell whoever is next; safe to repeat.

    A message may come late: the task's next rebuild, which is under way by then, keeps its place,
    and so does this one if somebody has claimed it since.

    Raises:
        TransientError: The store cannot be reached; the place is given away all the same, by
            whoever asks for one.
    """
    policies = _limiting(context)
    if policies is None:
        return
    try:
        took = lasted(rebuild) if rebuild.state is State.SUCCEEDED else None
        line = _change(
            context,
            policies,
            lambda line: line.ended(rebuild.task, rebuild.sequence, rebuild.version, took),
        )
        if line.short:
            refill(context, held_rebuilds(context))
    except UnreadableRecord as error:
        # Whoever asks for a place is told; that this one is over is recorded all the same.
        log.error("the place of %s is not given up: %s", rebuild.id, error)  # noqa: TRY400 - the text says it


def settle(context: Context, task: TaskId) -> None:
    """Give up what a task has or waits for, unless its newest rebuild is under way or waits on.

    Raises:
        TransientError: The store cannot be reached.
    """
    policies, head = _limiting(context), context.ledger.head(task)
    if policies is None or head is None or waits(head):
        return
    if under_way(head):
        _change(context, policies, lambda line: line.not_waiting({task}))
    else:
        leave(context, head)


def refill(context: Context, unsettled: Iterable[Rebuild]) -> None:
    """See that everybody waits who is held for a place, and tell whoever is next.

    Args:
        context: The ports.
        unsettled: The rebuilds that something is still to happen to; those that do not wait for a
            place are left.

    Raises:
        TransientError: The store cannot be reached.
    """
    policies = _limiting(context)
    if policies is None:
        return
    found = [waiter for rebuild in unsettled for waiter in _waiters(rebuild)]
    _change(context, policies, lambda line: replace(line, more=False).waiting(*found))


def until_look(context: Context, rebuild: Rebuild) -> timedelta:
    """Return after how long the run of a rebuild that has a place is looked at next.

    Where others wait for its place, that is when its run usually ends. This is no reason for
    anything to fail: what cannot be read now does not count.
    """
    found = attempt(partial(_until_look, context), rebuild)
    return context.settings.track_interval if isinstance(found, RebuilderError) else found


def _until_look(context: Context, rebuild: Rebuild) -> timedelta:
    longest = context.settings.track_interval
    if _limiting(context) is None:
        return longest
    line = _line(context.bookmarks.read(PLACES))
    if not line.awaited(rebuild.task):
        return longest
    expected = usual(context.ledger.rebuilds(rebuild.task, _EARLIER))
    if expected is None:
        expected = middle(timedelta(seconds=seconds) for seconds in line.took)
    return next_look(context.now() - rebuild.claimed_at, expected, longest)


def waits(rebuild: Rebuild) -> bool:
    """Tell whether a rebuild is held for a place."""
    return bool(_waiters(rebuild))


def under_way(rebuild: Rebuild) -> bool:
    """Tell whether a rebuild has its place: it is claimed, or its run goes on."""
    return rebuild.state is State.CLAIMED or rebuild.state.in_flight


def known_policies(context: Context) -> Policies | None:
    """Return the policies, for what goes on whatever they say; None if nobody can read them.

    Nothing begins then; but what runs is followed, and what is over is recorded.

    Raises:
        TransientError: They cannot be read now.
    """
    try:
        return context.in_force.now(context.steering, context.now()).policies
    except PermanentError as error:
        log.warning("the policies cannot be read, and count as none here: %s", error)
        return None


def _limiting(context: Context) -> Policies | None:
    """Return the policies, if they limit anything."""
    policies = known_policies(context)
    return policies if policies is not None and policies.limits else None


def _waiters(rebuild: Rebuild) -> list[Waiter]:
    held = rebuild.gated
    if held is None:
        return []
    since = held.lined or held.first
    return [
        Waiter(
            rebuild.task,
            rebuild.sequence,
            reason.rooms,
            rank(since, reason.priority),
            reason.priority,
        )
        for reason in held.reasons
        if isinstance(reason, NoPlace)
    ]


type _Work = Callable[[Line, Waiter, Limits, datetime], tuple[Line, NoPlace | None]]


def _asked(context: Context, wanted: Waiter, work: _Work) -> NoPlace | None:
    policies = _limiting(context)
    if policies is None:
        return None
    answers: list[NoPlace | None] = []

    def change(line: Line) -> Line:
        changed, answer = work(line, wanted, policies.limits, context.now())
        answers.append(answer)
        return changed

    line = _change(context, policies, change)
    if isinstance(answers[-1], LimitReached) and _unchecked(context, line):
        dead = _dead(context, line.holders)
        _change(context, policies, lambda line: line.over(dead, context.now()))
        if dead:
            log.warning("%d place(s) of what is over are given away", len(dead))
            _change(context, policies, change)
    return answers[-1]


def _unchecked(context: Context, line: Line) -> bool:
    return line.checked is None or age(line.checked, context.now()) >= _CHECKED


def _dead(context: Context, holders: Collection[Holder]) -> list[Holder]:
    """Return those who have a place and are not under way: whoever ended them came no further."""
    heads = context.ledger.heads({holder.task for holder in holders})

    def goes_on(holder: Holder) -> bool:
        head = heads.get(holder.task)
        return head is not None and head.sequence == holder.sequence and under_way(head)

    return [holder for holder in holders if not goes_on(holder)]


def _change(context: Context, policies: Policies, change: Callable[[Line], Line]) -> Line:
    """Change the line by compare-and-swap, and tell whoever is next."""
    line, woken = _swap(context, policies.limits, change)
    while gone := _tell(context, woken):
        left = partial(Line.not_waiting, tasks=gone)
        line, woken = _swap(context, policies.limits, left)
    return line


def _tell(context: Context, woken: Iterable[Waiter]) -> set[TaskId]:
    """Tell those whose turn it is; return those who do not wait any more."""
    gone = set()
    for waiter in woken:
        rebuild = context.ledger.rebuild(waiter.task, waiter.sequence)
        if rebuild is not None and waits(rebuild):
            message = again(rebuild)
            turn = replace(message, push=replace(message.push, event=TURN))
            context.queue.send(BUILDS, turn.encode())
        elif _gone(context, waiter, rebuild):
            gone.add(waiter.task)
    return gone


def _gone(context: Context, waiter: Waiter, rebuild: Rebuild | None) -> bool:
    """Tell whether a rebuild that is not held for a place will not be."""
    if rebuild is not None and (rebuild.state.over or under_way(rebuild)):
        return True
    # Whoever asked for it just now is about to hold it, and is told again.
    return waiter.asked is None or age(waiter.asked, context.now()) > GRACE


def _line(mark: Bookmark) -> Line:
    try:
        return Line.read(mark.place)
    except ValueError as error:
        raise UnreadableRecord(f"who has a place cannot be read: {error}") from error


def _swap(
    context: Context, limits: Limits, change: Callable[[Line], Line]
) -> tuple[Line, tuple[Waiter, ...]]:
    # The threads of one instance queue up here, so that conflicts are with other instances only.
    with _lock:
        tries = 0
        while True:
            mark = context.bookmarks.read(PLACES)
            line = _line(mark)
            changed, woken = change(line).wake(limits, context.now())
            if changed == line:
                return line, ()
            try:
                context.bookmarks.save(replace(mark, place=changed.write()))
            except Conflict:
                # Each conflict is another's progress.
                tries += 1
                if tries == _TRIES:
                    raise
            else:
                return changed, woken
