"""What is told of what happens: by rules, together, at loud times, and nothing twice."""

from __future__ import annotations

from copy import replace
from datetime import timedelta

import pytest

from rebuilder.core.acr.tasks import RunStatus
from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.events.dead_letters import DeadLetter, Origin
from rebuilder.core.events.pushes import Push
from rebuilder.core.messages import queued
from rebuilder.core.messages.happening import Happening
from rebuilder.core.messages.queued import LetterCame, RebuildCame, ToBeTold, ToSendTogether
from rebuilder.core.messages.rules import What
from rebuilder.core.policies.gate import InForce
from rebuilder.core.rebuilds.messages import MESSAGES, StartBuild, TrackBuild
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import Conflict, Denied, InvalidMessage, Refused, TransientError
from rebuilder.ports.queue import PoisonMessage
from rebuilder.usecases.build.start_build import start_build
from rebuilder.usecases.build.track_build import track_build
from rebuilder.usecases.messages.send import send_message
from rebuilder.usecases.messages.stale import tell_stale
from rebuilder.usecases.messages.tell import tell, tell_letter, wanted
from rebuilder.usecases.recovery.collect_dead_letters import collect_dead_letters
from rebuilder.usecases.recovery.delivery import deliver
from tests.unit.fakes import BASE, NEW, OLD, World, dependency, task
from tests.unit.messages.making import Telling, failing
from tests.unit.test_standing import follows

PUSH = Push(BASE, "images/node", "9", NEW, None, "event-1")
MESSAGE = StartBuild(PUSH, task().id)
ALL = "messages: [{name: all, to: [flux]}]"
HOUR = timedelta(hours=1)


@pytest.fixture(name="telling")
def _telling(world: World) -> Telling:
    world.tasks.add(task())
    return Telling(world, ALL)


def started(telling: Telling) -> Rebuild:
    """Return a rebuild whose run goes on."""
    found = start_build(telling.context, MESSAGE, "me")
    assert isinstance(found, Rebuild)
    return found


def ended(telling: Telling, status: RunStatus, **changes: object) -> Rebuild | None:
    """Let the run end, and look at it."""
    rebuild = telling.world.ledger.head(task().id)
    assert rebuild is not None
    run_id = rebuild.run_id or ""
    held = telling.world.tasks.found_runs[run_id]
    telling.world.tasks.found_runs[run_id] = replace(held, status=status, **changes)  # type: ignore[arg-type] # by field
    if status is RunStatus.SUCCEEDED:
        telling.world.tasks.add(task("build-app", dependency(built_on=NEW)))
    message = TrackBuild(rebuild.task, rebuild.sequence, rebuild.version)
    return track_build(telling.context, message)


def types(telling: Telling) -> list[str]:
    """Return the types of what was sent."""
    return [str(event["type"]).split(".")[-2] for _, event in telling.receivers.events]


def test_a_rebuild_is_told_with_its_digests(telling: Telling) -> None:
    """Once it is recorded; the same message again tells the same event again."""
    started(telling)
    image = f"myapps.azurecr.io/app:1@{NEW}"
    done = ended(telling, RunStatus.SUCCEEDED, output_images=(image,))
    assert done is not None
    telling.run()

    ((to, event),) = telling.receivers.events
    assert (to, event["id"]) == ("flux", f"{done.id}/rebuilt")
    data = event["data"]
    assert isinstance(data, dict)
    assert data["images"] == [
        {"image": "myapps.azurecr.io/app:1", "digest": NEW, "previousDigest": None}
    ]
    assert data["bases"][0]["digest"] == NEW


def test_failures_are_told_until_it_is_given_up(telling: Telling) -> None:
    """Each attempt has its own event."""
    started(telling)
    ended(telling, RunStatus.FAILED)
    telling.time.pass_(86400)
    started(telling)
    ended(telling, RunStatus.CANCELED)
    telling.run()

    assert types(telling) == ["failed", "given-up"]


def test_what_azure_refuses_is_told(telling: Telling) -> None:
    """It is given up without a run."""
    telling.world.tasks.failures["schedule"] = [Refused("TasksOperationsNotAllowed", "no")]
    assert started(telling).state is State.GIVEN_UP
    telling.run()

    assert types(telling) == ["given-up"]


def test_what_waits_for_people_is_told_once(world: World) -> None:
    """However often it is looked at while it waits."""
    world.tasks.add(task())
    telling = Telling(world, f"policies: {{default: {{approval: {{votes: 1}}}}}}\n{ALL}")
    for _ in range(3):
        assert started(telling).state is State.HELD
        telling.time.pass_(90000)
    telling.run(telling.time.now)
    telling.run(telling.time.now + HOUR)

    assert types(telling).count("needs-approval") == 1


def test_only_what_a_rule_is_for_is_told(world: World) -> None:
    """By its kind, its task and the image that moved; one receiver once."""
    world.tasks.add(task())
    telling = Telling(
        world,
        """
        messages:
          - {name: a, to: [flux], what: [failed]}
          - {name: b, to: [grid], match: {task: "other/*"}}
          - {name: c, to: [team], match: {base: "mybase/images/node:*"}, what: [rebuilt]}
          - {name: d, to: [team], match: {registry: "my*"}}
        """,
    )
    started(telling)
    ended(telling, RunStatus.SUCCEEDED)
    telling.run()

    assert not telling.receivers.events
    assert [name for name, _, _ in telling.receivers.told] == ["team"]


def test_without_a_rule_nothing_is_asked_for(world: World) -> None:
    """No message costs a request; where the rules cannot be read, one does."""
    telling = Telling(world, "messages: [{name: a, to: [flux], what: [stale]}]")
    world.tasks.add(task())
    started(telling)
    ended(telling, RunStatus.SUCCEEDED)
    assert telling.run() == 0

    class Broken:
        def now(self, *_: object) -> InForce:
            raise Denied("no role")

    context = replace(telling.context, in_force=Broken())  # type: ignore[arg-type] # a part
    assert wanted(context, What.REBUILT)


def test_a_message_whose_record_never_came_is_dropped(telling: Telling) -> None:
    """Whoever was to write it died, or another was quicker: nothing that is not so is told."""
    came = RebuildCame(str(task().id), 1, What.REBUILT)
    telling.queue.send(MESSAGES, came.encode())
    telling.queue.send(MESSAGES, LetterCame("nothing").encode())
    assert telling.run() > 2

    assert not telling.receivers.events
    assert not telling.context.dead_letters.all()


def test_rules_that_cannot_be_read_are_waited_for(telling: Telling) -> None:
    """Nothing is lost by a policy file that nobody can read; without one, nobody is told."""
    unreadable = InForce(unreadable="it is gone")

    class Given:
        def __init__(self, found: InForce) -> None:
            self.found = found

        def now(self, *_: object) -> InForce:
            return self.found

    message = ToBeTold(Happening(What.REBUILT, "r", "s", "s", telling.time.now, "it"))
    context = replace(telling.context, in_force=Given(unreadable))  # type: ignore[arg-type] # a part
    assert wanted(context, What.REBUILT)
    with pytest.raises(TransientError, match="it is gone"):
        send_message(context, message)
    context = replace(telling.context, in_force=Given(InForce()))  # type: ignore[arg-type] # a part
    assert not wanted(context, What.REBUILT)
    send_message(context, message)
    assert len(telling.queue) == 0


def test_dead_letters_are_told_but_not_of_messages(telling: Telling) -> None:
    """A receiver that is down would be told of itself."""

    def broken(*_: object) -> None:
        raise Refused("Odd", "never")

    deliver(telling.context, "rebuilder-pushes", "{}", broken)
    deliver(telling.context, MESSAGES, "{}", broken)
    telling.run()

    ((_, event),) = telling.receivers.events
    data = event["data"]
    assert isinstance(data, dict)
    assert (data["of"], data["reason"]) == ("rebuilder-pushes", "Odd: never")


def test_collected_dead_letters_are_told(telling: Telling) -> None:
    """Those that the host gave up, too."""
    context = replace(telling.context, queue=_Poisoned(telling))  # type: ignore[arg-type] # a part
    assert collect_dead_letters(context) == 1
    telling.run()

    ((_, event),) = telling.receivers.events
    assert event["source"] == "acr-rebuilder/rebuilder-runs"


class _Poisoned:
    """A queue with one message that the host gave up."""

    def __init__(self, telling: Telling) -> None:
        self.send = telling.queue.send
        self._left = [PoisonMessage("rebuilder-runs", "x", telling.time.now, ("a", "b"))]

    def poisoned(self, queue: str) -> list[object]:
        """Return it once."""
        return [m for m in self._left if m.queue == queue]

    def forget(self, message: object) -> None:
        """Forget it."""
        self._left.remove(message)  # type: ignore[arg-type] # the one


TOGETHER = "messages: [{name: hourly, to: [team, flux], digest: 1h}]"


def told(telling: Telling, number: int) -> None:
    """Have something told."""
    about = f"myapps/t{number}"
    happening = Happening(What.FAILED, f"r{number}", about, about, telling.time.now, "it", about)
    send_message(telling.context, ToBeTold(happening))


def test_people_are_told_together(world: World) -> None:
    """One message an hour, with a line for each and a count of what is beyond; machines at once."""
    telling = Telling(world, TOGETHER)
    for number in range(70):
        told(telling, number)
        told(telling, number % 5)  # delivered twice
    began = telling.time.now
    telling.run()

    ((name, title, text),) = telling.receivers.told
    assert (name, title) == ("team", "ACR Rebuilder: 70 messages")
    assert len(text.splitlines()) == 61
    assert text.endswith("... and 10 more: see `rebuilder runs` and `rebuilder stale`")
    assert telling.time.now == began + HOUR
    assert len(telling.receivers.events) == 140
    told(telling, 99)
    telling.run()
    assert telling.receivers.told[-1][1] == "ACR Rebuilder: 1 message"


def test_what_comes_while_a_digest_is_sent_is_in_the_next(world: World) -> None:
    """Nothing is lost, and what was told is not told again."""
    telling = Telling(world, TOGETHER)
    told(telling, 1)
    late = [2]

    def answer(_: object) -> None:
        if late and telling.time.now > world.time.now - HOUR:
            told(telling, late.pop())

    telling.receivers.answer = lambda to: answer(to) if to.name == "team" else None
    telling.run()

    titles = [title for _, title, _ in telling.receivers.told]
    assert titles == ["ACR Rebuilder: 1 message"] * 2
    assert "t2" not in telling.receivers.told[0][2]


def test_a_digest_is_tried_until_it_is_taken(world: World) -> None:
    """What came meanwhile is in it; after a day it is a dead letter, which can be replayed."""
    telling = Telling(world, "messages: [{name: hourly, to: [team], digest: 1h}]")
    telling.receivers.answer = failing(TransientError("down"))
    told(telling, 1)
    telling.run(telling.time.now + 2 * HOUR)
    told(telling, 2)
    telling.run()
    assert len(telling.context.dead_letters.waiting()) == 1
    telling.receivers.answer = lambda _: None
    telling.time.pass_(2 * 86400)
    told(telling, 3)
    telling.run()

    (digest,) = telling.receivers.told
    assert digest[1] == "ACR Rebuilder: 3 messages"
    send_message(telling.context, ToSendTogether("hourly", "team"))
    assert len(telling.receivers.told) == 1


def test_many_collect_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each conflict is another's progress; one that goes on for ever is an error."""
    telling = Telling(world, TOGETHER)
    save = telling.context.bookmarks.save
    conflicts = [3]

    def crowded(mark: Bookmark) -> Bookmark:
        if conflicts[0]:
            conflicts[0] -= 1
            raise Conflict("another was quicker")
        return save(mark)

    monkeypatch.setattr(telling.context.bookmarks, "save", crowded)
    told(telling, 1)
    telling.run()
    assert len(telling.receivers.told) == 1
    conflicts[0] = 1000
    with pytest.raises(Conflict):
        told(telling, 2)


def test_what_was_collected_by_something_else_is_begun_anew(world: World) -> None:
    """A bookmark that cannot be read stops nobody."""
    telling = Telling(world, TOGETHER)
    telling.context.bookmarks.save(Bookmark("together/hourly/team", "{"))
    told(telling, 1)
    telling.run()

    assert len(telling.receivers.told) == 1


def test_quiet_hours_are_waited_for(world: World) -> None:
    """It is three at night; a digest comes when they are over, too."""
    quiet = 'quiet: [{from: "22:00", to: "07:00", timezone: UTC}]'
    telling = Telling(
        world,
        f"""
        messages:
          - {{name: a, to: [flux], {quiet}}}
          - {{name: b, to: [team], digest: 1h, {quiet}}}
        """,
    )
    told(telling, 1)
    told(telling, 2)
    telling.run()

    assert len(telling.receivers.events) == 2
    assert [title for _, title, _ in telling.receivers.told] == ["ACR Rebuilder: 2 messages"]
    assert (telling.time.now.hour, telling.time.now.minute) == (7, 0)


def test_what_is_stale_is_told_once(world: World) -> None:
    """Each spell, when it is beyond the objective of the policy file."""
    telling = Telling(world, f"objective: 2h\n{ALL}")
    follows(world)
    world.ledger.record_events([replace(PUSH, pushed_at=telling.time.now)], telling.time.now)
    assert tell_stale(telling.context) == 0
    telling.time.pass_(3 * 3600)
    assert tell_stale(telling.context) == 1
    assert tell_stale(telling.context) == 0
    telling.run()

    ((_, event),) = telling.receivers.events
    data = event["data"]
    assert isinstance(data, dict)
    assert (data["hours"], data["objectiveHours"], data["task"]) == ("3.0", "2", "myapps/build-app")


def test_nothing_is_compared_where_nobody_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of very many some are told by the next look; another may have told them meanwhile."""
    telling = Telling(world, "messages: [{name: a, to: [flux], what: [failed]}]")
    assert tell_stale(telling.context) == 0

    telling = Telling(world, ALL)
    telling.context.in_force.forget()
    for name in ("a", "b"):
        follows(world, task_id=task(name).id, built_on=OLD)
    world.ledger.record_events([replace(PUSH, pushed_at=telling.time.now)], telling.time.now)
    telling.time.pass_(86400)
    monkeypatch.setattr("rebuilder.usecases.messages.stale._MOST", 1)
    assert tell_stale(telling.context) == 1

    def conflict(_: Bookmark) -> Bookmark:
        raise Conflict("another was quicker")

    monkeypatch.setattr("rebuilder.usecases.messages.stale._MOST", 9)
    monkeypatch.setattr(telling.context.bookmarks, "save", conflict)
    assert tell_stale(telling.context) == 1


@pytest.mark.parametrize(
    "body",
    [
        "x",
        '{"schema":2,"kind":"letter","letter":"a"}',
        '{"schema":1,"kind":"other"}',
        '{"schema":1,"kind":"letter"}',
        '{"schema":1,"kind":"rebuild","task":"x","sequence":1,"what":"rebuilt"}',
    ],
)
def test_what_is_no_message_is_refused(body: str) -> None:
    """With its reason, in ASCII."""
    with pytest.raises(InvalidMessage) as raised:
        queued.decode(body)
    assert str(raised.value).isascii()


def test_a_message_is_read_as_it_was_written(telling: Telling) -> None:
    """Also when it was put back, which adds to it."""
    happening = Happening(What.STALE, "r", "s", "s", telling.time.now, "it", facts={"a": None})
    for message in (
        RebuildCame(str(task().id), 3, What.FAILED),
        LetterCame("a"),
        ToBeTold(happening),
        queued.ToSend(happening, "flux", telling.time.now),
        ToSendTogether("a", "b"),
    ):
        assert queued.decode(message.encode()) == message
        assert queued.decode(message.encode()[:-1] + ',"tries":3}') == message


def test_a_record_that_is_not_told_of_costs_nothing(telling: Telling) -> None:
    """Neither what runs, nor what waits by itself."""
    rebuild = started(telling)
    tell(telling.context, rebuild)
    tell_letter(telling.context, DeadLetter(Origin.QUEUE, MESSAGES, "x", "y", telling.time.now))
    assert telling.run() == 0
