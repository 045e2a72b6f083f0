"""What reasons say: templates that are filled with fields of their own type."""

from __future__ import annotations

from string import Formatter

import pytest

from rebuilder.core.decisions.decision import Decision
from rebuilder.core.decisions.reasons import REASONS
from rebuilder.core.doctor import Finding
from rebuilder.core.failures.cause import Cause
from rebuilder.core.failures.causes import CAUSES
from rebuilder.core.gaps import dockerfile, record, trigger
from rebuilder.core.gaps.gap import Gap

type Reason = type[Decision | Gap | Cause | Finding]


def kinds(kind: Reason) -> list[Reason]:
    """Return a type and all that are made of it."""
    found: list[Reason] = [kind]
    for below in kind.__subclasses__():
        found += kinds(below)
    return found


_TOPS = (Decision, Gap, Cause, Finding)
REASONED = [kind for top in _TOPS for kind in kinds(top) if "code" in vars(kind)]


def templates(kind: Reason) -> list[str]:
    """Return what a type is shown with; "" where it has words of its own."""
    if issubclass(kind, Finding):
        return [kind.wrong, kind.matters]
    return [kind.template]


def test_there_are_reasons() -> None:
    """Those of decisions and of failures all, and those of gaps and set-ups, wherever they are."""
    assert {*REASONS.values(), *CAUSES.values()} <= set(REASONED)
    assert len(CAUSES) == 18
    assert {record.RecordLost, trigger.GoneTag, dockerfile.CopyFrom} <= set(REASONED)
    assert len(REASONED) > 100


@pytest.mark.parametrize("kind", REASONED, ids=lambda kind: kind.__name__)
def test_a_template_shows_fields_of_its_type(kind: Reason) -> None:
    """A name that is none would be found when somebody asks for the reason, and not before."""
    parsed = (piece for text in templates(kind) for piece in Formatter().parse(text))
    shown = [name.split(".") for _, name, _, _ in parsed if name is not None]

    assert {name[0] for name in shown} <= {"self"}
    assert {name[1] for name in shown} <= set(kind.__struct_fields__)


@pytest.mark.parametrize("kind", REASONED, ids=lambda kind: kind.__name__)
def test_a_reason_has_words(kind: Reason) -> None:
    """Either a template, or a method of its own that makes them."""
    made = {name for base in kind.__mro__ if base not in _TOPS for name in vars(base)}
    if issubclass(kind, Finding):
        assert kind.wrong or "what" in made
        assert kind.matters or "why" in made
    else:
        assert kind.template or made & {"sentence", "why"}
