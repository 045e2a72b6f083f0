"""A sample task that is built on the scratch image: made ready once, then seen to be rebuilt."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator

from msgspec import Struct

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.acr.tasks import Run, RunStatus, Task
from rebuilder.core.probe.artifacts import CONTEXT, SAMPLE, SCRATCH, TAG, sample_context
from rebuilder.core.probe.sample import NAME, Sample
from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import Denied, NotFound, Refused, TransientError
from rebuilder.ports.acr import NEWEST_RUNS
from rebuilder.ports.preflight import ProbeRegistries
from rebuilder.usecases.context import Context
from rebuilder.usecases.probe.patience import Patience
from rebuilder.usecases.probe.scratch import Pushed, push_as, push_scratch

_TOKEN = base64.b64encode(b"rebuilder probe").decode()


class Seen(Struct, frozen=True):
    """What came of a push for the sample.

    Attributes:
        rebuild: The rebuild, if it is over; None if none is.
        seconds: How long it took, or was waited for.
        why_not: Why it did not succeed, as far as is known; "" if it did.
    """

    rebuild: Rebuild | None
    seconds: float
    why_not: str = ""


def sample_of(context: Context, base: RegistryId, registry: RegistryId) -> Sample:
    """Return the sample of a task registry."""
    return Sample(TaskId(registry, NAME), base, context.host(base))


def make_ready(
    context: Context, registries: ProbeRegistries, sample: Sample, patience: Patience
) -> Iterator[str]:
    """Make what is missing of a sample; yield what was made.

    Raises:
        Denied: A right is missing; the message tells what mends that.
        Refused: What is there under the sample's names is another's, or its run failed.
        TransientError: It did not come in time.
    """
    existing = _existing(context, sample)
    if context.images.digest(sample.host, SCRATCH, TAG) is None:
        yield f"pushed {push_scratch(context, registries, sample.base).image}"
    artifact = sample_context(f"{sample.host}/{SCRATCH}:{TAG}")
    if context.images.digest(sample.host, CONTEXT, TAG) != artifact.digest:
        push_as(context, registries, sample.base, CONTEXT, artifact)
        yield f"pushed {sample.host}/{CONTEXT}:{TAG}, the build context of the sample"
    if existing is None:
        principal = registries.make(sample)
        yield f"made the task {sample.task.short}, its triggers off"
    else:
        principal = next(iter(existing.principals), "")
    if not any(run.status is RunStatus.SUCCEEDED for run in _runs(context, sample)):
        new = False
        for registry, role in _roles(registries, sample):
            if _grant(registries, registry, principal, role, patience):
                new = True
                yield f"gave the task's identity the role {role} on {registry.name}"
        yield from _run_once(context, sample, patience, new_roles=new)
    repository = f"{sample.host}/{SCRATCH}"
    if not patience.until(lambda: _known(context, sample, repository) or None):
        why = patience.problem or "no event of the task came"
        raise TransientError(
            f"the app does not know yet that {sample.task.short} is built on {repository}: {why};"
            " its next look at all tasks finds it, then run this again"
        )


def _existing(context: Context, sample: Sample) -> Task | None:
    try:
        found = context.tasks.task(sample.task)
    except NotFound:
        return None
    if found.step != sample.step:
        raise Refused(
            "AnotherTask",
            f"{sample.task} is there, and is not the sample on {sample.host}:"
            " `rebuilder probe --remove` with its own --base takes that away",
        )
    return found


def _roles(registries: ProbeRegistries, sample: Sample) -> list[tuple[RegistryId, str]]:
    return sample.roles(
        base_abac=registries.abac(sample.base), task_abac=registries.abac(sample.task.registry)
    )


def _grant(
    registries: ProbeRegistries, registry: RegistryId, principal: str, role: str, patience: Patience
) -> bool:
    refused: list[Denied] = []

    def look() -> bool | None:
        try:
            return registries.grant(registry, principal, role)
        except Denied as error:
            refused.append(error)
            return False

    # An identity that is seconds old is not known everywhere.
    given = patience.until(look)
    if given is None:
        raise TransientError(patience.problem)
    if refused:
        words = ("--assignee-object-id", principal, "--assignee-principal-type", "ServicePrincipal")
        command = shlex.join(
            ["az", "role", "assignment", "create", *words, "--role", role, "--scope", str(registry)]
        )
        raise Denied(
            f"the sample needs the role {role} on {registry.name}, which you may not give"
            f" ({refused[0]}); have somebody who may run `{command}`, then run this again"
        )
    return given


def _runs(context: Context, sample: Sample) -> list[Run]:
    return context.tasks.runs(sample.task.registry, task=sample.task.name, top=NEWEST_RUNS)


def _run_once(
    context: Context, sample: Sample, patience: Patience, *, new_roles: bool
) -> Iterator[str]:
    """Have the task run by hand, as every task has to before ACR knows what it is built on."""
    registry = sample.task.registry
    while True:
        run_id = context.tasks.schedule(sample.task, _TOKEN)

        def over(asked: str = run_id) -> Run | None:
            run = context.tasks.run(registry, asked)
            return run if run.status.terminal else None

        run = patience.until(over)
        if run is None:
            raise TransientError(f"run {run_id} of {sample.task.short} is not over in time")
        if run.status is RunStatus.SUCCEEDED:
            yield f"run {run_id} of {sample.task.short}, by hand: {run.status}"
            return
        told = f"run {run_id} of {sample.task.short}, by hand: {run.status}"
        if not new_roles or patience.over:
            raise Refused(str(run.status), f"{told}; `rebuilder logs {run_id}` tells why")
        # A new role is known everywhere after minutes.
        yield f"{told}; again, for a new role takes minutes"
        patience.pause()


def _known(context: Context, sample: Sample, repository: str) -> bool:
    return any(i.view.task == sample.task for i in context.index.dependents(repository))


def rebuilt(context: Context, sample: Sample, pushed: Pushed, patience: Patience) -> Seen:
    """Wait until the sample is rebuilt on what was pushed."""

    def look() -> Rebuild | None:
        found = context.ledger.head(sample.task)
        over = found is not None and pushed.image in found.bases and not _to_come(found)
        return found if over else None

    found = patience.until(look)
    seconds = (context.now() - pushed.at).total_seconds()
    if found is not None and found.state is State.SUCCEEDED:
        return Seen(found, seconds)
    return Seen(found, seconds, _why(context, sample, pushed, patience, found))


def _to_come(rebuild: Rebuild) -> bool:
    return rebuild.unsettled and rebuild.state is not State.SUCCEEDED


def _why(
    context: Context, sample: Sample, pushed: Pushed, patience: Patience, found: Rebuild | None
) -> str:
    if found is not None:
        return f"{found.state}: {found.outcome or 'no reason is recorded'}"
    if patience.problem:
        return f"what became of it is unknown: {patience.problem}"
    head = context.ledger.head(sample.task)
    if head is not None and pushed.image in head.bases:
        held = "; ".join(reason.sentence() for reason in head.gated.reasons) if head.gated else ""
        return f"it is {head.state} still{f': {held}' if held else ''}"
    decided = context.ledger.decisions(pushed.push, sample.task)
    if decided:
        return decided[-1].decision.sentence()
    return f"nothing was decided about it; `rebuilder explain {pushed.image}` tells more"


def remove(
    context: Context, registries: ProbeRegistries, base: RegistryId, sample: Sample | None
) -> Iterator[str]:
    """Take away what probes have made; yield what went.

    Raises:
        Denied: A right is missing.
        TransientError, Refused: Not all of it went.
    """
    if sample is not None and (existing := _existing(context, sample)) is not None:
        for registry, role in _roles(registries, sample):
            for principal in sorted(existing.principals):
                if registries.revoke(registry, principal, role):
                    yield f"the role {role} of the sample's identity on {registry.name}"
        if registries.delete_task(sample.task):
            yield f"the task {sample.task.short}"
    places = [(base, SCRATCH), (base, CONTEXT)]
    if sample is not None:
        places.append((sample.task.registry, SAMPLE))
    for registry, repository in places:
        host = context.host(registry)
        if registries.delete_repository(host, repository):
            yield f"{host}/{repository}"
