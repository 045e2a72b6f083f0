"""Examine a set-up: what is wrong with it, and what could not be looked at."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from rebuilder.core import doctor
from rebuilder.core.doctor import Finding, Severity, Unchecked
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempts
from rebuilder.ports.preflight import Preflight
from rebuilder.usecases.context import Context
from rebuilder.usecases.doctor._events import (
    delivery,
    events_read,
    firewall,
    registry_read,
    sites_read,
    uses,
)
from rebuilder.usecases.doctor._known import Check, Known, Result
from rebuilder.usecases.doctor._roles import base_roles, identity_of, task_roles
from rebuilder.usecases.doctor._store import (
    clocks,
    index,
    ledger,
    letters,
    policy,
    settings,
    storage,
    task_events,
    tokens,
)
from rebuilder.usecases.doctor._tasks import tasks_examined


class Report(Struct, frozen=True):
    """What came of an examination.

    Attributes:
        findings: What is wrong, the worst first.
        unchecked: What could not be looked at.
        site: The function app's resource id, as far as it is known; else "".
    """

    findings: tuple[Finding, ...]
    unchecked: tuple[Unchecked, ...]
    site: str = ""

    @property
    def errors(self) -> bool:
        """Whether anything is not rebuilt as things are."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def examine(
    context: Context, preflight: Preflight, *, identity: str = "", site: str = ""
) -> Report:
    """Examine a set-up; nothing is changed, and no message is taken.

    Args:
        context: The settings, and what the product itself asks.
        preflight: What else is asked of Azure.
        identity: Whose roles are looked at, by object id, client id or resource id; by default the
            identity of `site`, and without one the caller.
        site: The function app's resource id; by default any that pushes are sent to.

    Raises:
        TransientError: There is no token for ARM, so nothing can be asked.
        NotFound: `identity` does not name one.
    """
    known = Known(context, preflight, site)
    results: list[Result] = []
    for service, error in preflight.tokens():
        if service == "ARM":
            raise error
        results.append(doctor.NoToken(service, str(error)))
    bases = sorted(context.settings.base_registries)
    tasks = list(context.settings.task_registries)
    every = list(dict.fromkeys((*bases, *tasks)))
    results += _carry_out([registry_read(known, registry, bases) for registry in every])
    results += _carry_out([events_read(known, r) for r in bases])
    results += _carry_out(sites_read(known))
    known.principal, problem = identity_of(known, identity)
    known.who = known.principal or preflight.caller()
    results += problem
    checks = [
        *(base_roles(known, r) for r in bases if r in known.setups),
        *(task_roles(known, r) for r in tasks if r in known.setups),
        *(uses(known, r, bases, tasks) for r in every if r in known.setups),
        *(firewall(known, r, bases) for r in every if r in known.setups),
        *(check for r in known.subscribed for check in delivery(known, r, *known.subscribed[r])),
        *(tasks_examined(known, r) for r in tasks if r in known.setups),
        *storage(known),
        *(index(known, r) for r in tasks),
        task_events(known),
        ledger(known),
        clocks(known),
        letters(known),
        policy(known),
        *tokens(known),
        settings(known),
    ]
    results += _carry_out(checks)
    findings = [result for result in results if isinstance(result, Finding)]
    order = list(Severity)
    return Report(
        tuple(sorted(dict.fromkeys(findings), key=lambda f: order.index(f.severity))),
        tuple(result for result in results if isinstance(result, Unchecked)),
        _site_of(known),
    )


def _site_of(known: Known) -> str:
    """Return the app that was named, or the only one that pushes are sent to."""
    if known.site or len(known.sites) != 1:
        return known.site
    return next(iter(known.sites.values())).id


def _carry_out(checks: Iterable[Check]) -> list[Result]:
    given = list(checks)
    results: list[Result] = []
    for check, found in zip(given, attempts(lambda check: list(check.look()), given), strict=True):
        if isinstance(found, RebuilderError):
            results.append(Unchecked(check.what, str(found), check.right))
        else:
            results += found
    return results
