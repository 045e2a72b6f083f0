from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rebuilder.core.policies.acts import Act, Scope, Target
from rebuilder.core.policies.gate import Asked, Go, Hold, InForce, applies, gate
from rebuilder.core.policies.holds import (
    CoolingDown,
    Frozen,
    Held,
    Other,
    OutsideWindow,
    Paused,
    PolicyUnreadable,
    UnknownPolicy,
    from_record,
    reason_record,
    to_record,
)
from rebuilder.core.policies.matching import Moved
from rebuilder.core.policies.policy import Policies
from tests.unit.policies.making import HOUR, NODE, NOW, TASK, asked, in_force, pause, policies

NIGHT = '{from: "22:00", to: "04:00", timezone: UTC}'


def reasons(found: Go | Hold) -> list[type]:
    """Return which reasons there are."""
    return [] if isinstance(found, Go) else [type(reason) for reason in found.reasons]


def test_without_policy_and_pause_everything_goes() -> None:
    """Nobody has decided anything."""
    assert gate(asked(), InForce(), NOW) == Go()


@pytest.mark.parametrize(
    ("paused", "held"),
    [
        (pause(), True),
        (pause(Scope.REGISTRY, "PROD*"), True),
        (pause(Scope.REGISTRY, "staging"), False),
        (pause(Scope.TASK, "prodregistry/w?b"), True),
        (pause(Scope.TASK, "web"), False),
        (pause(Scope.BASE, "baseimages/images/node:20*"), True),
        (pause(Scope.BASE, NODE), True),
        (pause(Scope.BASE, "*:3"), False),
        (pause(until=NOW + HOUR), True),
        (pause(until=NOW), False),
    ],
)
def test_a_pause_holds_what_it_is_for(paused: Act, *, held: bool) -> None:
    """All, a registry, a task or a base, by patterns, until it is over."""
    found = gate(asked(), in_force("", paused), NOW)

    assert reasons(found) == [Paused] * held
    if isinstance(found, Hold):
        (reason,) = found.reasons
        assert "is paused by ann@contoso.com since 2026-11-26 12:00 UTC: bad base" in (
            reason.sentence()
        )
        assert "rebuilder resume" in reason.ender()
        assert found.until == paused.until


def test_a_pause_of_a_base_holds_whoever_would_read_it() -> None:
    """Whatever moved: the run would pull the base that somebody thinks is bad."""
    question = Asked(TASK, (Moved("a.azurecr.io/b:1"),), reads=(NODE,))

    assert reasons(gate(question, in_force("", pause(Scope.BASE, NODE)), NOW)) == [Paused]


def test_a_window_holds_until_it_opens() -> None:
    """With the windows and the moment."""
    text = f"policies: {{default: {{windows: [{NIGHT}]}}}}"

    found = gate(asked(), in_force(text), NOW)

    opening = datetime(2026, 11, 26, 22, tzinfo=UTC)
    assert found == Hold((OutsideWindow(("daily 22:00-04:00 UTC",), opening),), opening)
    assert gate(asked(), in_force(text), opening) == Go()


def test_windows_add_up_and_always_takes_them_back() -> None:
    """The union of what rules say; `always` begins anew."""
    text = f"""
        policies:
          default: {{windows: [{NIGHT}]}}
          noon: {{windows: [{{from: "12:00", to: "13:00", timezone: UTC}}]}}
          now: {{windows: always}}
        rules:
          - {{match: {{task: "*/web"}}, policy: noon}}
          - {{match: {{base: "*security*"}}, policy: now}}
        """
    assert gate(asked(), in_force(text), NOW) == Go()
    assert gate(asked(), in_force(text), NOW + 11 * HOUR) == Go()
    assert reasons(gate(asked(), in_force(text), NOW + 2 * HOUR)) == [OutsideWindow]
    urgent = asked(moved=("b.azurecr.io/security/node:1",))
    assert gate(urgent, in_force(text), NOW + 2 * HOUR) == Go()


def test_windows_that_are_never_open_together_are_told() -> None:
    """There is no moment, so somebody has to change them."""
    text = """
        policies:
          default: {windows: [{days: [mon], from: "00:00", to: "24:00", timezone: UTC}]}
          team:
            selectable: true
            windows: [{days: [tue], from: "00:00", to: "24:00", timezone: UTC}]
        """
    found = gate(asked(tags={"rebuilder-policy": "team"}), in_force(text), NOW)

    assert isinstance(found, Hold)
    assert found.until is None
    assert "never open together" in found.reasons[0].ender()


def test_a_cooldown_counts_from_the_newest_and_is_bounded_by_the_first() -> None:
    """It starts anew with each push, and the first never waits longer than maxWait."""
    text = "policies: {default: {cooldown: 24h, maxWait: 72h}}"
    first = NOW - 60 * HOUR

    found = gate(asked(first=first, newest=NOW), in_force(text), NOW)

    assert isinstance(found, Hold)
    (reason,) = found.reasons
    assert isinstance(reason, CoolingDown)
    assert found.until == first + 72 * HOUR
    assert "is to be 24h old" in reason.sentence()
    assert gate(asked(newest=NOW - 24 * HOUR), in_force(text), NOW) == Go()
    assert gate(asked(newest=NOW, by_hand=True), in_force(text), NOW) == Go()


def test_a_freeze_holds_what_it_is_for() -> None:
    """From its first day to its last; with a match, only what fits."""
    text = """
        freezes:
          - {name: sales, from: 2026-11-26, to: 2026-11-27, timezone: UTC, match: {task: "prod*"}}
        """
    found = gate(asked(by_hand=True), in_force(text), NOW)

    over = datetime(2026, 11, 28, tzinfo=UTC)
    assert found == Hold((Frozen("sales", over),), over)
    assert gate(asked(), in_force(text), over) == Go()
    assert gate(asked(), in_force(text), NOW - 13 * HOUR) == Go()
    other = asked(task=TASK.__class__(TASK.registry.__class__("s", "g", "staging"), "web"))
    assert gate(other, in_force(text), NOW) == Go()


def test_every_reason_is_told_and_the_last_end_counts() -> None:
    """A person sees all that is to be waited for."""
    text = f"""
        policies: {{default: {{cooldown: 1h, windows: [{NIGHT}]}}}}
        freezes: [{{name: x, from: 2026-11-26, to: 2026-11-30, timezone: UTC}}]
        """
    found = gate(asked(), in_force(text, pause(until=NOW + HOUR)), NOW)

    assert reasons(found) == [Paused, Frozen, CoolingDown, OutsideWindow]
    assert isinstance(found, Hold)
    assert found.until == datetime(2026, 12, 1, tzinfo=UTC)
    endless = gate(asked(), in_force(text, pause()), NOW)
    assert isinstance(endless, Hold)
    assert endless.until is None


def test_the_last_rule_wins_value_by_value() -> None:
    """And it is known which rule said what."""
    text = """
        policies:
          default: {cooldown: 1h}
          slow: {cooldown: 24h, maxWait: 48h}
          quick: {cooldown: 5m}
        rules:
          - {match: {registry: prodregistry}, policy: slow}
          - {match: {base: "*alpine"}, policy: quick}
          - {match: {kinds: [build-time]}, ignore: true}
          - {match: {task: ["*/web", "*/api"]}, ignore: false}
        """
    found = applies(policies(text), TASK, asked().moved, ())

    assert (found.cooldown, found.max_wait) == (timedelta(minutes=5), timedelta(hours=48))
    assert dict(found.sources) == {
        "maxWait": "rule 1 (line 7), policy slow",
        "cooldown": "rule 2 (line 8), policy quick",
        "ignore": "rule 4 (line 10)",
    }
    build_time = (Moved(NODE, frozenset({"build-time"})),)
    assert not applies(policies(text), TASK, build_time, ()).ignore
    other = TASK.__class__(TASK.registry, "other")
    assert applies(policies(text), other, build_time, ()).ignore


def test_of_several_images_the_tighter_counts() -> None:
    """A run would pull all of them."""
    text = """
        policies: {slow: {cooldown: 24h}}
        rules: [{match: {base: "*node*"}, policy: slow}]
        """
    assert gate(asked(moved=("a.io/x:1",)), in_force(text), NOW) == Go()
    both = asked(moved=("a.io/x:1", NODE))
    assert reasons(gate(both, in_force(text), NOW)) == [CoolingDown]


def test_a_tag_that_names_no_selectable_policy_holds() -> None:
    """What somebody asked for is not known, and it may have been to wait."""
    text = "policies: {own: {cooldown: 1h}, team: {selectable: true}}"

    found = gate(asked(tags={"Rebuilder-Policy": "own"}), in_force(text), NOW)

    assert isinstance(found, Hold)
    assert found.reasons == (UnknownPolicy("own", ("team",)),)
    assert "team" in found.reasons[0].ender()
    assert "'own'" in found.reasons[0].sentence()
    assert gate(asked(tags={"rebuilder-policy": "team"}), in_force(text), NOW) == Go()
    assert gate(asked(tags={"rebuilder-policy": "own"}), InForce(), NOW) == Go()


def test_a_policy_that_nobody_can_read_holds_everything() -> None:
    """Nobody knows what it was to hold."""
    found = gate(asked(), InForce(unreadable="team.yaml:1:1: no"), NOW)

    assert reasons(found) == [PolicyUnreadable]
    assert isinstance(found, Hold)
    assert "team.yaml:1:1: no" in found.reasons[0].sentence()
    assert "rebuilder policy apply" in found.reasons[0].ender()


# Properties.

_durations = st.sampled_from(["0s", "30m", "6h", "2d"])
_windows = st.sampled_from(
    [
        "always",
        f"[{NIGHT}]",
        '[{days: [sat, sun], from: "00:00", to: "24:00", timezone: Europe/Berlin}]',
        '[{days: [thu], from: "11:00", to: "12:30", timezone: UTC}]',
    ]
)


@st.composite
def _policy(draw: st.DrawFn) -> str:
    parts = []
    if draw(st.booleans()):
        parts.append(f"cooldown: {draw(_durations)}")
    if draw(st.booleans()):
        parts.append("maxWait: 3d")
    if draw(st.booleans()):
        parts.append(f"windows: {draw(_windows)}")
    if draw(st.booleans()):
        parts.append(f"approval: {{votes: {draw(st.integers(0, 2))}, expires: 48h}}")
    numbers = ("maxConcurrent", "priority", "attempts")
    parts += [f"{name}: {draw(st.integers(1, 9))}" for name in numbers if draw(st.booleans())]
    if draw(st.booleans()):
        parts.append(f"maxAge: {draw(st.integers(1, 9))}d")
    return ", ".join(parts)


_NAMES = ("default", "a", "b", "c")
_matches = st.sampled_from(
    ['task: "*"', 'task: "prod*"', 'base: "*node*"', "registry: staging", "kinds: [runtime]"]
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """Policy files."""
    lines = ["policies:"]
    for name in _NAMES:
        selectable = "selectable: true, " if name in "bc" else ""
        lines.append(f"  {name}: {{{selectable}{draw(_policy())}}}")
    rules = draw(st.lists(st.tuples(_matches, st.sampled_from(_NAMES), st.booleans()), max_size=5))
    lines.append("rules:" if rules else "rules: []")
    for match, name, tagged in rules:
        tags = ", tags: {team: x}" if tagged else ""
        lines.append(f"  - {{match: {{{match}{tags}}}, policy: {name}}}")
    if draw(st.booleans()):
        lines.append("freezes: [{name: f, from: 2026-11-26, to: 2026-11-29, timezone: UTC}]")
    return "\n".join(lines)


_moments = st.integers(-96 * 60, 96 * 60).map(lambda minutes: NOW + timedelta(minutes=minutes))
_teams = st.sampled_from([{}, {"team": "x"}])
_pauses = st.lists(
    st.builds(
        pause,
        st.sampled_from([Scope.ALL]),
        st.just(""),
        until=st.none() | _moments,
    ),
    max_size=2,
)


@given(files(), _pauses, _moments, st.sampled_from(["", "b", "c", "a", "nothing"]))
def test_no_hold_without_an_end_or_an_ender(
    text: str, paused: list[Act], now: datetime, tag: str
) -> None:
    """And every end lies ahead, so that nothing is looked at again for nothing."""
    tags = {"rebuilder-policy": tag} if tag else {}
    found = gate(asked(tags=tags, first=now, newest=now), in_force(text, *paused), now)

    if isinstance(found, Hold):
        assert found.reasons
        for reason in found.reasons:
            assert reason.ender()
            assert reason.sentence()
            assert reason.ends is None or reason.ends > now
        assert found.until is None or found.until == max(r.ends for r in found.reasons if r.ends)


@given(files(), _moments)
def test_what_denies_wins(text: str, now: datetime) -> None:
    """A pause and a freeze hold, whatever any file says."""
    assert Paused in reasons(gate(asked(), in_force(text, pause()), now))
    if "freezes" in text and datetime(2026, 11, 26, tzinfo=UTC) <= now < datetime(
        2026, 11, 30, tzinfo=UTC
    ):
        assert Frozen in reasons(gate(asked(by_hand=True), in_force(text), now))


@given(files(), _durations, _windows)
def test_the_last_rule_wins(text: str, cooldown: str, windows: str) -> None:
    """Whatever stands before it, a rule at the end that fits says what counts."""
    last = "\n  - {match: {task: '*'}, policy: last}\n"
    added = f"\n  last: {{cooldown: {cooldown}, maxWait: 60d, windows: always}}"
    before, _, rest = text.partition("\nrules:")
    rules, freezes, after = rest.partition("\nfreezes:")
    rules = "" if rules.strip() == "[]" else rules
    file = policies(f"{before}{added}\nrules:{rules}{last}{freezes}{after}")

    found = applies(file, TASK, asked().moved, ())

    assert found.cooldown == {"0s": timedelta(), "30m": HOUR / 2, "6h": 6 * HOUR}.get(
        cooldown, 48 * HOUR
    )
    assert found.max_wait == timedelta(days=60)
    assert found.windows == ()
    del windows


@given(files(), _moments, _moments, st.sampled_from(["b", "c"]), _teams)
@settings(max_examples=200)
def test_tags_only_tighten(
    text: str, now: datetime, newest: datetime, tag: str, team: dict[str, str]
) -> None:
    """Whoever owns a task can make it wait for longer, and never for less."""
    tags = {"rebuilder-policy": tag, **team}
    file = in_force(text)
    plain = gate(asked(first=newest, newest=newest), file, now)

    tagged = gate(asked(tags=tags, first=newest, newest=newest), file, now)

    if isinstance(plain, Hold):
        assert isinstance(tagged, Hold)
        assert set(reasons(plain)) <= set(reasons(tagged))
        assert tagged.until is None or (plain.until is not None and tagged.until >= plain.until)


@given(files(), st.sampled_from(["b", "c"]), _teams)
def test_tags_only_tighten_what_is_no_reason_to_wait(
    text: str, tag: str, team: dict[str, str]
) -> None:
    """More places are needed, no sooner, with no more attempts, and nothing is built more often."""
    file, moved = policies(text), asked().moved
    plain = applies(file, TASK, moved, ())
    tagged = applies(file, TASK, moved, (("rebuilder-policy", tag), *team.items()))

    assert set(file.rooms(TASK, "", plain)) <= set(file.rooms(TASK, "", tagged))
    assert tagged.priority <= plain.priority
    assert (tagged.attempts or 10) <= (plain.attempts or 10)
    assert (tagged.max_age is None) == (plain.max_age is None)
    if tagged.max_age is not None and plain.max_age is not None:
        assert tagged.max_age >= plain.max_age


@given(st.lists(st.integers(0, 48 * 60), max_size=30), _durations, st.integers(0, 3))
def test_a_cooldown_ends_whatever_is_pushed(gaps: list[int], cooldown: str, longest: int) -> None:
    """With any sequence of pushes, the first that is not built waits for maxWait at most."""
    limit = "" if longest == 0 else f", maxWait: {longest + 2}d"
    file = in_force(f"policies: {{default: {{cooldown: {cooldown}{limit}}}}}")
    assert file.policies is not None
    most = applies(file.policies, TASK, asked().moved, ()).longest
    now = first = NOW
    for gap in [*gaps, 0]:
        found = gate(asked(first=first, newest=now), file, now)
        if isinstance(found, Go):
            first = now + timedelta(minutes=gap)
        else:
            assert found.until is not None
            assert found.until <= first + most
            if now + timedelta(minutes=gap) >= found.until:
                assert gate(asked(first=first, newest=now), file, found.until) == Go()
                first = now + timedelta(minutes=gap)
        now += timedelta(minutes=gap)


# Records.


def test_what_is_held_is_written_and_read() -> None:
    """Every reason, and one that only a newer version knows."""
    held = Held(
        (
            CoolingDown(NOW, 90 * HOUR / 60, NOW, NOW),
            OutsideWindow(("a",), None),
            Frozen("x", NOW),
            Paused("all", "me", "why", NOW, None),
            UnknownPolicy("x", ("y",)),
            PolicyUnreadable("z"),
            Other("canary", {"code": "canary", "of": "a/b"}),
        ),
        NOW - HOUR,
        NOW,
        (NODE,),
        "v1",
    )
    assert from_record(to_record(held)) == held
    assert held.until is None
    assert Held((Frozen("x", NOW),), NOW, NOW).until == NOW
    other = held.reasons[-1]
    assert "newer version" in other.sentence() + other.ender()
    assert reason_record(other) == {"code": "canary", "of": "a/b"}
    assert held.reasons[0].code == "cooling-down"
    assert "frozen: x (over at 2026-11-26 12:00 UTC)" in held.sentence()
    assert "1h 30m old" in held.sentence()


def test_nothing_applies_without_a_file() -> None:
    """An empty file decides nothing."""
    assert applies(Policies(), TASK, asked().moved, ()).longest == timedelta()
    assert str(Target()) == "all"
