"""What people can ask for on the page: each is a message, which the first app carries out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, NamedTuple

from msgspec import Meta

from rebuilder.core.policies.acts import LONGEST, MOST, NewPolicy, Scope, Target, What
from rebuilder.core.policies.reading import read_policies
from rebuilder.core.rebuilds.messages import MOST_BYTES
from rebuilder.core.shown import shown
from rebuilder.core.structs import prepared
from rebuilder.errors import InvalidPolicy
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import ask
from rebuilder.usecases.steering.by_hand import MOST_TASKS
from rebuilder.usecases.views._values import Value
from rebuilder.web.http import Refusal
from rebuilder.web.principals import ADMINS, APPROVERS, OPERATORS, Principal, Role

_MOST_TEXT = MOST_BYTES - 8 * 1024
"""How many bytes of a message a policy file may take: who and why are in it, too."""


class ActRow(NamedTuple):
    """Something that people can ask for.

    Attributes:
        roles: Who may; any of these.
        because: Whether it takes a reason.
        until: Whether it can be until a time.
        of: Whether it is about rebuilds, or tasks, that are named; see Act.
        most: How many of them at most.
        digest: Whether it is about a digest, and nothing else can be.
        text: Whether it takes a policy file.
        number: Whether it takes the number of a version of the policy file.
    """

    roles: frozenset[Role]
    because: bool = True
    until: bool = False
    of: bool = False
    most: int = MOST
    digest: bool = False
    text: bool = False
    number: bool = False


ACTS: Mapping[What, ActRow] = {
    What.PAUSE: ActRow(OPERATORS, until=True),
    What.RESUME: ActRow(OPERATORS, because=False),
    What.APPROVE: ActRow(APPROVERS, of=True),
    What.REJECT: ActRow(APPROVERS, of=True),
    What.RELEASE: ActRow(OPERATORS, digest=True),
    What.RETRY: ActRow(OPERATORS, of=True, most=MOST_TASKS),
    What.BUILD: ActRow(OPERATORS, of=True, most=MOST_TASKS),
    What.REPLAY: ActRow(OPERATORS, because=False, of=True),
    What.DISCARD: ActRow(OPERATORS, of=True),
    What.APPLY: ActRow(ADMINS, text=True),
    What.ROLLBACK: ActRow(ADMINS, number=True),
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
        of: The ids of the rebuilds or dead letters that it is about; or of tasks, each with `#` and
            the sequence of its newest rebuild, 0 for none.
        text: The policy file to apply.
        number: The version of the policy file to go back to.
        before: The token of the policy file that is to be replaced, as `GET /api/policies` tells
            it; "" if there is none.
    """

    what: Annotated[str, Meta(extra_json_schema={"enum": [what.value for what in ACTS]})]
    because: str = ""
    scope: Scope = Scope.ALL
    pattern: str = ""
    until: datetime | None = None
    of: tuple[str, ...] = ()
    text: str = ""
    number: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    before: str = ""


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
    policy = NewPolicy(asked.before, asked.text, asked.number) if row.text or row.number else None
    if row.text:
        _see_file(asked.text)
    act = ask(
        context,
        what,
        Target(asked.scope, asked.pattern),
        who=principal.id,
        because=asked.because,
        until=asked.until,
        of=asked.of,
        policy=policy,
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
    if problem := _policy_problem(asked, row):
        return problem
    if row.of != bool(asked.of):
        return f"{asked.what} takes {'ids' if row.of else 'nothing'} as `of`"
    return f"`of` names more than {row.most}" if len(asked.of) > row.most else ""


def _policy_problem(asked: Asked, row: ActRow) -> str:
    if row.text != bool(asked.text.strip()):
        return f"{asked.what} takes {'a policy file' if row.text else 'nothing'} as `text`"
    if row.number != bool(asked.number):
        return f"{asked.what} takes {'a version' if row.number else 'nothing'} as `number`"
    if asked.before and not (row.text or row.number):
        return f"{asked.what} takes nothing as `before`"
    return f"`before` has more than {LONGEST} characters" if len(asked.before) > LONGEST else ""


def _see_file(text: str) -> None:
    """See that a policy file can be applied, and that a message holds it.

    Raises:
        Refusal: It cannot, or does not.
    """
    size = len(json.dumps(text))
    if size > _MOST_TEXT:
        problem = (
            f"the policy file takes {size} bytes in a message, which holds {_MOST_TEXT} of it:"
            " `rebuilder policy apply FILE` applies it with your own rights"
        )
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", problem)
    try:
        read_policies(text, "policy.yaml")
    except InvalidPolicy as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "policy-wrong", shown(str(error), 1000)) from error
