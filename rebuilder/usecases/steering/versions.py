"""Put a policy file in force that an act holds, or a version of it that was before."""

from __future__ import annotations

from rebuilder.core.policies.acts import Act, NewPolicy
from rebuilder.core.policies.reading import read_policies
from rebuilder.core.policies.versions import PolicyVersion
from rebuilder.errors import Conflict, NotFound, PermanentError
from rebuilder.usecases.context import Context

MOST = 1000
"""How many versions can be gone back to."""

_NEWEST = 20
"""Among how many versions the one is that an act has made, if it is carried out once more."""


def put_in_force(context: Context, act: Act, wanted: NewPolicy) -> PolicyVersion:
    """Make a version of the policy file, the newest; safe to repeat.

    Args:
        context: The ports.
        act: Who asks for it, when and why: they tell the version that was made by it.
        wanted: The file.

    Raises:
        InvalidPolicy: It cannot be read; what is in force stays so.
        NotFound: There is no such version to go back to.
        PermanentError: Somebody has applied another one since whoever asks has looked.
        TransientError: It is not in force.
    """
    versions = context.steering.versions(MOST if wanted.number else _NEWEST)
    made = next((v for v in versions if (v.who, v.at) == (act.who, act.at)), None)
    if made is not None:
        return made
    text, because = wanted.text, act.because
    if wanted.number:
        back = older(versions, wanted.number)
        text, because = back.text, f"back to version {back.number}: {because}"
    read_policies(text, "policy.yaml")
    try:
        return context.steering.apply(
            text, who=act.who, at=act.at, because=because, before=wanted.before
        )
    except Conflict as error:
        # Nobody has seen what it would undo.
        raise PermanentError("another policy file was applied meanwhile; look, and ask") from error


def older(versions: list[PolicyVersion], number: int | None) -> PolicyVersion:
    """Return a version; the one before the newest if `number` is None.

    Raises:
        NotFound: There is none.
    """
    found = versions[1:] if number is None else [v for v in versions if v.number == number]
    if not found:
        what = "version before the newest" if number is None else f"version {number}"
        raise NotFound(f"there is no {what} of the policy file; see `rebuilder policy history`")
    return found[0]
