"""Apply a policy file, and go back to one that was applied before."""

from __future__ import annotations

from rebuilder.core.policies.acts import Target, What
from rebuilder.core.policies.reading import read_policies
from rebuilder.core.policies.versions import PolicyVersion
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import ask
from rebuilder.usecases.steering.versions import MOST, older


def apply_policy(
    context: Context, text: str, *, file: str, who: str, because: str
) -> PolicyVersion:
    """Put a policy file in force, and have everything that waits looked at again.

    Raises:
        InvalidPolicy: It cannot be read; what is in force stays so.
        Conflict: Somebody has applied another one at the same time.
        TransientError: It is not in force; or it is, and what waits is looked at by the next sweep.
    """
    read_policies(text, file)
    token = context.steering.token()
    applied = context.steering.apply(text, who=who, at=context.now(), because=because, before=token)
    context.in_force.forget()
    told = f"policy version {applied.number}: {because}"
    ask(context, What.APPLY, Target(), who=who, because=told)
    return applied


def roll_back(
    context: Context, number: int | None, *, who: str, because: str
) -> tuple[PolicyVersion, PolicyVersion]:
    """Put a version of the policy file in force that was before, as a new version.

    Args:
        context: The ports.
        number: Which; the one before the newest if it is None.
        who: Who wants it.
        because: Why.

    Returns:
        The version that was gone back to, and the new one.

    Raises:
        NotFound: There is no such version.
        InvalidPolicy: It cannot be read by this version of the product.
    """
    back = older(context.steering.versions(MOST), number)
    told = f"back to version {back.number}: {because}"
    name = f"policy version {back.number}"
    return back, apply_policy(context, back.text, file=name, who=who, because=told)
