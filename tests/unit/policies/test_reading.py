from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from rebuilder.core.policies.reading import MOST_BYTES, read_policies, schema
from rebuilder.core.policies.windows import Window
from rebuilder.errors import InvalidPolicy
from tests.unit.policies.making import policies

EXAMPLE = """\
version: 1
policies:
  default: {cooldown: 0s}
  careful:
    selectable: true
    cooldown: 24h
    maxWait: 72h
    windows: [{days: [mon, tue], from: "22:00", to: "04:00", timezone: Europe/Berlin}]
freezes: [{name: year-end, from: 2026-12-23, to: 2027-01-03, timezone: UTC}]
rules:
  - {match: {base: "baseimages/*:*-alpine"}, policy: default}
  - {match: {base: "*:*-rc*"}, ignore: true}
  - {match: {task: "prodregistry/*"}, policy: careful}
"""


def test_a_file_is_read() -> None:
    """Durations, windows, freezes and rules become values."""
    found = read_policies(EXAMPLE)

    careful = found.policies["careful"]
    assert careful.selectable
    assert careful.values.cooldown == timedelta(hours=24)
    assert careful.values.max_wait == timedelta(hours=72)
    assert careful.values.windows == (Window((0, 1), 22 * 60, 4 * 60, "Europe/Berlin"),)
    assert str(careful.values.windows[0]) == "mon,tue 22:00-04:00 Europe/Berlin"
    (freeze,) = found.freezes
    assert freeze.begins == datetime(2026, 12, 23, tzinfo=UTC)
    assert freeze.ends == datetime(2027, 1, 4, tzinfo=UTC)  # the last day is one of it
    assert [rule.name for rule in found.rules] == [
        "rule 1 (line 11), policy default",
        "rule 2 (line 12)",
        "rule 3 (line 13), policy careful",
    ]
    assert found.selectable == ("careful",)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1:1: None: write a mapping with version: 1, policies, limits, freezes and rules"),
        ("rules: []", "1:1: version is missing: write a mapping with version: 1, policies,"),
        ("version: 2", "1:10: 2: write 1"),
        (
            "version: 1\nrule: []",
            "2:1: unknown key 'rule': write $schema, freezes, limits, messages, objective,",
        ),
        ("version: 1\nversion: 1", "2:1: version is there twice: write it once"),
        ("version: 1\n? [a]\n: 1", "2:3: a key that is no plain name: write a name"),
        (
            "version: 1\nlimits: {agentPools: {apps/linux: 1}}",
            "2:22: 'apps/linux': write the name of a registry and of its agent pool",
        ),
        (
            "version: 1\nlimits: {registries: {a.azurecr.io: 1}}",
            "2:22: 'a.azurecr.io': write the name of a registry, without .azurecr.io",
        ),
        (
            "version: 1\npolicies: {a: {maxAge: 59m}}",
            "2:24: it would be built all the time: write 1h at least",
        ),
        (
            "version: 1\npolicies: {a: {attempts: 0}}",
            "2:26: 0: write how often a build that fails is tried, 1 to 10",
        ),
        (
            "version: 1\npolicies: {a: {maxConcurrent: 0, priority: 101}}",
            "2:31: 0: write how many may be under way at once, 1 to 1000",
        ),
        (
            "version: 1\npolicies:\n  a: {rebuildFor: [runtime]}",
            "3:7: there is no rebuildFor: write a rule with `match: {kinds: [...]}`",
        ),
        (
            "version: 1\npolicies: {a: {countTags: x}}",
            "2:16: there is no countTags: write a rule with `match: {base: ...}`",
        ),
        (
            "version: 1\npolicies: {a: {approval: {votes: 11}}}",
            "2:34: 11: write how many people have to agree, 0 to 10",
        ),
        (
            "version: 1\npolicies: {a: {approval: {votes: 1, expires: 0s}}}",
            "2:46: no vote would ever count: write a longer one",
        ),
        (
            "version: 1\npolicies: {a: {cooldown: 1 day}}",
            "2:26: '1 day': write a whole number of s, m, h or d, as 90m or 3d",
        ),
        (
            "version: 1\npolicies: {a: {cooldown: 9999d}}",
            "2:26: 9999d is longer than a year: write 366d at most",
        ),
        (
            "version: 1\npolicies: {a: {cooldown: 2h, maxWait: 1h}}",
            "2:39: maxWait is shorter than cooldown: write one that is not",
        ),
        ("version: 1\npolicies: {A b: {}}", "2:11: 'A b': write a name of lower-case letters"),
        ("version: 1\npolicies: {a: {windows: never}}", "2:25: 'never': write a list of windows"),
        ("version: 1\npolicies: {a: {windows: []}}", "2:25: it is empty, or half: write one"),
        (
            "version: 1\npolicies: {a: {windows: [{from: '1:00', to: '2:00'}]}}",
            "2:26: timezone is missing: write a window: days, from, to and timezone",
        ),
        (
            "version: 1\npolicies: {a: {windows: [{from: '01:00', to: '01:00', timezone: UTC}]}}",
            "2:46: from and to are the same: write 00:00 and 24:00 for a day",
        ),
        (
            "version: 1\npolicies:\n a: {windows: [{from: '01:00', to: '02:00', timezone: Mars}]}",
            "3:55: there is no time zone 'Mars': write an IANA time zone",
        ),
        (
            "version: 1\nfreezes: [{name: x, from: 2026-02-30, to: 2026-03-01, timezone: UTC}]",
            "2:27: there is no day 2026-02-30: write a date that is",
        ),
        (
            "version: 1\nfreezes: [{name: x, from: 2026-03-02, to: 2026-03-01, timezone: UTC}]",
            "2:43: it ends before it begins: write a later date",
        ),
        (
            "version: 1\nfreezes: [{name: x, from: 2026-03-02, to: 2026-03-05, timezone: ../x}]",
            "2:65: there is no time zone '../x'",
        ),
        ("version: 1\nrules: [{match: {task: a}}]", "2:9: it is empty, or half: write a rule:"),
        ("version: 1\nrules: [{match: {}, ignore: true}]", "2:17: it is empty, or half: write"),
        (
            "version: 1\nrules: [{match: {task: a}, policy: b}]",
            "2:36: there is no policy 'b': write one that is defined under `policies`",
        ),
        (
            "version: 1\nrules: [{match: {tags: {a: b}}, ignore: false}]",
            "2:41: a rule that asks for tags can only tighten: leave `ignore: false` out",
        ),
        (
            "version: 1\nrules: [{match: {kinds: [run]}, ignore: true}]",
            "2:26: 'run': write runtime, build-time, frontend or tool",
        ),
        ("version: 1\nrules: [}", "2:9: not YAML: "),
        ("version: !!binary aa", "1:10: '?': write 1"),
        ("version: 1\nrules: {}", "2:8: a mapping: write a list of rules"),
        ("[]", "1:1: a list: write a mapping with version: 1"),
        ("a: " + "x" * MOST_BYTES, "1:1: it is larger than 256 KiB: write fewer rules"),
    ],
)
def test_a_fault_is_told_with_its_place_and_what_would_be_right(text: str, fault: str) -> None:
    """FILE:LINE:COLUMN, what is wrong, and what to write."""
    with pytest.raises(InvalidPolicy) as raised:
        read_policies(text, "team.yaml")

    told = [str(found) for found in raised.value.faults]
    assert any(line.startswith(f"team.yaml:{fault}") for line in told), told


def test_an_alias_is_told_where_it_stands() -> None:
    """The composer gives the node of the anchor for both; the place is that of the anchor."""
    with pytest.raises(InvalidPolicy, match="an alias of a list or a mapping"):
        policies("rules:\n- &a {match: {task: x}, ignore: true}\n- *a\n")


def test_every_fault_is_told_at_once() -> None:
    """Whoever mends a file does not want to be told of one fault after the other."""
    with pytest.raises(InvalidPolicy) as raised:
        read_policies("version: 3\npolicies: {a: {cooldown: x}}\nrule: 1\nlimits: 2\n")

    assert [(f.line, f.column) for f in raised.value.faults] == [(1, 10), (2, 26), (3, 1), (4, 9)]


def test_the_schema_is_one(tmp_path: Path) -> None:
    """Editors use it, too."""
    del tmp_path
    Draft202012Validator.check_schema(schema())


@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    """Hostile files end in faults and never otherwise."""
    try:
        read_policies(text)
    except InvalidPolicy as error:
        assert error.faults  # noqa: PT017 - either is right


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["match", "policy", "ignore", "windows", "from", "task", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(_JUNK, _JUNK, _JUNK)
def test_no_value_does_more_than_be_refused(one: object, two: object, three: object) -> None:
    """Whatever stands where something else belongs is a fault."""
    text = f"version: 1\npolicies: {one!r}\nrules: {two!r}\nfreezes: {three!r}\n"
    try:
        read_policies(text.replace("None", "null").replace("True", "true").replace("False", "no"))
    except InvalidPolicy as error:
        assert error.faults  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nrules: " + "[" * 5000,
        "version: 1\nrules:\n" + "- {match: {task: a}, ignore: true}\n" * 7000,
        "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]",
    ],
)
def test_what_was_made_to_harm_is_refused(text: str) -> None:
    """Depth, number and aliases are bounded."""
    with pytest.raises(InvalidPolicy):
        read_policies(text)
