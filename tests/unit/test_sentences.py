"""What reasons say: templates that are filled with fields of their own type."""

from __future__ import annotations

from string import Formatter

import pytest

from rebuilder.core.decisions.decision import Decision
from rebuilder.core.decisions.reasons import REASONS
from rebuilder.core.failures.cause import Cause
from rebuilder.core.failures.causes import CAUSES
from rebuilder.core.gaps import dockerfile, record, trigger
from rebuilder.core.gaps.gap import Gap

type Reason = type[Decision | Gap | Cause]


def kinds(kind: Reason) -> list[Reason]:
    """Return a type and all that are made of it."""
    found: list[Reason] = [kind]
    for below in kind.__subclasses__():
        found += kinds(below)
    return found


REASONED = [kind for top in (Decision, Gap, Cause) for kind in kinds(top) if "code" in vars(kind)]


def test_there_are_reasons() -> None:
    """Those of decisions and of failures all, and those of gaps, wherever they stand."""
    assert {*REASONS.values(), *CAUSES.values()} <= set(REASONED)
    assert len(CAUSES) == 18
    assert {record.RecordLost, trigger.GoneTag, dockerfile.CopyFrom} <= set(REASONED)
    assert len(REASONED) > 60


@pytest.mark.parametrize("kind", REASONED, ids=lambda kind: kind.__name__)
def test_a_template_shows_fields_of_its_type(kind: Reason) -> None:
    """A name that is none would be found when somebody asks for the reason, and not before."""
    shown = [name for _, name, _, _ in Formatter().parse(kind.template) if name is not None]

    assert {name.partition(".")[0] for name in shown} <= {"self"}
    assert {name.partition(".")[2] for name in shown} <= set(kind.__struct_fields__)


@pytest.mark.parametrize("kind", REASONED, ids=lambda kind: kind.__name__)
def test_a_reason_has_words(kind: Reason) -> None:
    """Either a template or a sentence of its own."""
    own = {"sentence", "why"} & {
        name for base in kind.__mro__ if base not in (Decision, Gap, Cause) for name in vars(base)
    }
    assert kind.template or own
