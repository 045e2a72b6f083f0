"""A scratch image is pushed into a base registry, and the ledger tells whether that was seen."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from msgspec import Struct

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.events.pushes import Push
from rebuilder.core.probe.artifacts import SCRATCH, TAG, Artifact, scratch_image
from rebuilder.errors import Denied
from rebuilder.ports.preflight import ProbeRegistries
from rebuilder.usecases.context import Context
from rebuilder.usecases.probe.patience import Patience


class Pushed(Struct, frozen=True):
    """A scratch image that was pushed.

    Attributes:
        push: The push, as the ledger is to know it.
        image: Its reference, with tag and digest.
        at: When the registry had it.
    """

    push: Push
    image: str
    at: datetime


def look_first(context: Context, base: RegistryId) -> None:
    """See that the ledger can be read: without it a push would tell nothing.

    Raises:
        Denied, TransientError: It cannot.
    """
    try:
        context.ledger.pushes(base, SCRATCH, TAG, limit=1)
    except Denied as error:
        raise Denied(
            f"nothing is pushed, for what is seen of it could not be read: {error}; it takes the"
            " role Storage Table Data Reader on the function app's storage account"
        ) from error


def push_scratch(context: Context, registries: ProbeRegistries, base: RegistryId) -> Pushed:
    """Push a scratch image of a new digest.

    Raises:
        Denied: Whoever asks may not push; the message names the role.
        TransientError, NotFound, Refused: It was not pushed.
    """
    artifact = scratch_image(f"{context.now().isoformat()} {uuid4()}")
    push_as(context, registries, base, SCRATCH, artifact)
    push = Push(base, SCRATCH, TAG, artifact.digest, None, "")
    image = f"{context.host(base)}/{SCRATCH}:{TAG}@{artifact.digest}"
    return Pushed(push, image, context.now())


def push_as(
    context: Context,
    registries: ProbeRegistries,
    registry: RegistryId,
    repository: str,
    artifact: Artifact,
) -> None:
    """Push an artifact into a registry; whoever may not is told which role it takes."""
    try:
        registries.push(context.host(registry), repository, TAG, artifact)
    except Denied as error:
        raise Denied(
            f"{error}; to push there takes the role AcrPush (ABAC: Container Registry Repository"
            f" Writer) on {registry}"
        ) from error


def seen(context: Context, pushed: Pushed, patience: Patience) -> float | None:
    """Wait until the ledger knows a push.

    Returns:
        After how many seconds it was seen there; None if it was not in time.
    """
    record = patience.until(lambda: context.ledger.push(pushed.push.key))
    return None if record is None else (context.now() - pushed.at).total_seconds()


def why_not(context: Context, pushed: Pushed, patience: Patience) -> str:
    """Tell what is known of a push that the ledger does not know."""
    if patience.problem:
        return f"whether it was seen is unknown: {patience.problem}"
    base = pushed.push.registry
    for record in context.ledger.ignored(str(base), SCRATCH):
        if record.last_at >= pushed.at:
            return f"an event of it was left aside: {record.sentence}"
    return "no event of it came; `rebuilder doctor` looks for the reason"
