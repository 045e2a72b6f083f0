"""What people can ask for on the page: each is a message, which the first app carries out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, NamedTuple

from msgspec import Meta

from rebuilder.core.policies.acts import LONGEST, MOST, Scope, Target, What
from rebuilder.core.structs import prepared
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import ask
from rebuilder.usecases.steering.by_hand import MOST_TASKS
from rebuilder.usecases.views._values import Value
from rebuilder.web.http import Refusal
from rebuilder.web.principals import APPROVERS, OPERATORS, Principal, Role


class ActRow(NamedTuple):
    """Something that people can ask for.

    Attributes:
        roles: Who may; any of these.
        because: Whether it takes a reason.
        until: Whether it can be until a time.
        of: Whether it is about rebuilds, or tasks, that are named; see Act.
        most: How many of them at most.
        digest: Whether it is about a digest, and nothing else can be.
    """

    roles: frozenset[Role]
    because: bool = True
    until: bool = False
    of: bool = False
    most: int = MOST
    digest: bool = False


ACTS: Mapping[What, ActRow] = {
    What.PAUSE: ActRow(OPERATORS, until=True),
    What.RESUME: ActRow(OPERATORS, because=False),
    What.APPROVE: ActRow(APPROVERS, of=True),
    What.REJECT: ActRow(APPROVERS, of=True),
    What.RELEASE: ActRow(OPERATORS, digest=True),
    What.RETRY: ActRow(OPERATORS, of=True, most=MOST_TASKS),
    What.BUILD: ActRow(OPERATORS, of=True, most=MOST_TASKS),
}
"""What can be asked for. A new act is a row."""


@prepared
class Asked(Value, frozen=True):
    """What somebody asks for.

    Attributes:
        what: What.
        because: Why, for everybody to see.
        scope: What kind of things: all, registry, task, base or digest.
        pattern: Which, as policies write it; "" for all.
        until: Until when it holds; None if until somebody ends it.
        of: The ids of the rebuilds that it is about; or of tasks, each with `#` and the sequence
            of its newest rebuild, 0 for none.
    """

    what: Annotated[str, Meta(extra_json_schema={"enum": [what.value for what in ACTS]})]
    because: str = ""
    scope: Scope = Scope.ALL
    pattern: str = ""
    until: datetime | None = None
    of: tuple[str, ...] = ()


class Taken(Value, frozen=True):
    """That something was asked for.

    Attributes:
        id: The act's id; the page Audit tells what came of it.
        sentence: What happens now, for a person.
    """

    id: str
    sentence: str


def carry_on(context: Context, asked: Asked, principal: Principal) -> Taken:
    """Have something carried out.

    Raises:
        Refusal: They may not, or it is not asked for rightly.
        TransientError: It was not taken over.
    """
    what = next((what for what in ACTS if what.value == asked.what), None)
    if what is None:
        problem = f"{asked.what!r:.40} cannot be asked for here; {', '.join(ACTS)} can"
        raise Refusal(HTTPStatus.BAD_REQUEST, "act-unknown", problem)
    row = ACTS[what]
    if not row.roles & principal.roles:
        wanted = " or ".join(sorted(row.roles))
        problem = f"to {asked.what} takes the role {wanted}"
        raise Refusal(HTTPStatus.FORBIDDEN, "role-missing", problem)
    if problem := _problem(context, asked, row):
        raise Refusal(HTTPStatus.BAD_REQUEST, "act-incomplete", problem)
    act = ask(
        context,
        what,
        Target(asked.scope, asked.pattern),
        who=principal.id,
        because=asked.because,
        until=asked.until,
        of=asked.of,
    )
    return Taken(act.id, f"{asked.what} is asked for; Audit tells what came of it")


def _problem(context: Context, asked: Asked, row: ActRow) -> str:
    if row.because and not asked.because.strip():
        return "say why: `because` is what everybody will see"
    if len(asked.because) > LONGEST:
        return f"`because` has more than {LONGEST} characters"
    if (asked.scope is Scope.ALL) != (not asked.pattern):
        return "`scope` and `pattern` go together: a pattern for registry, task or base"
    if row.digest != (asked.scope is Scope.DIGEST):
        return f"{asked.what} is {'' if row.digest else 'not '}about a digest"
    if len(asked.pattern) > LONGEST:
        return f"`pattern` has more than {LONGEST} characters"
    if asked.until is not None:
        if not row.until:
            return f"{asked.what} takes no `until`"
        if asked.until.tzinfo is None or asked.until <= context.now():
            return "`until` is over already, or tells no time zone"
    if row.of != bool(asked.of):
        return f"{asked.what} takes {'ids' if row.of else 'nothing'} as `of`"
    return f"`of` names more than {row.most}" if len(asked.of) > row.most else ""
