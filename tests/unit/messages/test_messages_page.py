"""What docs/messages.md shows can be used as it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rebuilder.core.messages import events
from rebuilder.core.messages.destinations import read_destinations
from rebuilder.core.messages.rules import What
from rebuilder.core.policies.reading import read_policies

_ROOT = Path(__file__).resolve().parents[3]
PAGE = (_ROOT / "docs" / "messages.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    """Return the page's blocks of a language."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_rules_and_destinations_can_be_used() -> None:
    """And every name that the rules tell is there."""
    found = read_policies(blocks("yaml")[0])
    problems: list[str] = []
    known = read_destinations(blocks("json")[0], "it", problems)

    assert problems == []
    assert {name for rule in found.messages for name in rule.to} <= {d.name for d in known}


def test_every_kind_and_type_is_explained() -> None:
    """With an example of each."""
    for what in What:
        assert f"| `{what}` |" in PAGE
        assert f"| `{events.TYPES[what]}` | `{what}` |" in PAGE
    names = {path.stem for path in (_ROOT / "tests" / "events" / "messages").glob("*.json")}
    assert names == set(What)
    assert json.loads(blocks("json")[1])["type"] == events.TYPES[What.REBUILT]
