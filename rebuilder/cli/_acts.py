"""What commands of operators have in common: who, what is meant, and many at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import batched

from rebuilder.core.policies.acts import MOST, Scope, Target, What
from rebuilder.core.rebuilds.rebuild import Rebuild
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import ask


def who(context: Context) -> str:
    """Return who works here."""
    from rebuilder import composition  # noqa: PLC0415 - with it come Azure's packages

    return composition.operator(context.settings)


def tasks_meant(patterns: Iterable[str]) -> list[Target]:
    """Return what patterns of tasks mean: `REGISTRY/TASK`, or `TASK` of any registry."""
    return [Target(Scope.TASK, p if "/" in p else f"*/{p}") for p in patterns]


def ask_about(
    context: Context, what: What, target: Target, because: str, rebuilds: Sequence[Rebuild]
) -> None:
    """Ask for something that is about rebuilds, in as many acts as it takes.

    Raises:
        TransientError: Not all of it was taken over.
    """
    name = who(context)
    for some in batched(rebuilds, MOST, strict=False):
        ids = tuple(rebuild.id for rebuild in some)
        ask(context, what, target, who=name, because=because, of=ids)


def named(rebuild: Rebuild) -> str:
    """A rebuild for a person: its task, and what it is to be built on."""
    return f"{rebuild.task.short}  on {', '.join(rebuild.bases)}"
