"""Policies, questions and pauses for tests of the gate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from textwrap import dedent

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.policies.acts import Act, Scope, Target, What
from rebuilder.core.policies.approval import Vote
from rebuilder.core.policies.gate import Asked, InForce
from rebuilder.core.policies.matching import Moved
from rebuilder.core.policies.policy import Policies
from rebuilder.core.policies.reading import read_policies

TASK = TaskId(RegistryId("s1", "g", "prodregistry"), "web")
NODE = "baseimages.azurecr.io/images/node:20-alpine"
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def policies(text: str) -> Policies:
    """Read a policy file without its version."""
    return read_policies("version: 1\n" + dedent(text).lstrip("\n"))


def in_force(text: str = "", *pauses: Act) -> InForce:
    """Return what is in force: a policy file without its version, and pauses."""
    return InForce(policies(text) if text else None, pauses)


def asked(
    *,
    task: TaskId = TASK,
    moved: tuple[str, ...] = (NODE,),
    kinds: tuple[str, ...] = ("runtime",),
    tags: dict[str, str] | None = None,
    first: datetime = NOW,
    newest: datetime = NOW,
    by_hand: bool = False,
    asked_by: str = "",
    votes: tuple[Vote, ...] = (),
) -> Asked:
    """Return a question about a task whose base image moved."""
    return Asked(
        task,
        tuple(Moved(reference, frozenset(kinds)) for reference in moved),
        (),
        tuple((tags or {}).items()),
        first,
        newest,
        by_hand=by_hand,
        asked_by=asked_by,
        votes=votes,
    )


def pause(
    scope: Scope = Scope.ALL,
    pattern: str = "",
    *,
    at: datetime = NOW,
    until: datetime | None = None,
    act_id: str = "p1",
) -> Act:
    """Return a pause."""
    target = Target(scope, pattern)
    return Act(act_id, What.PAUSE, target, "ann@contoso.com", "bad base", at, until)
