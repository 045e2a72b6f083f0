"""What ACR's own base image trigger does not do with its record, and what a run would fail at."""

from __future__ import annotations

from rebuilder.core.gaps.gap import Gap


class TriggerOff(Gap, frozen=True):
    """The task has no base image trigger, or it is disabled."""

    code = "trigger-off"
    counts = False
    template = "its own base image trigger is off, so ACR itself rebuilds it for no image"


class BuildTimeNotFollowed(Gap, frozen=True):
    """An image of build time, and a trigger that asks for those of runtime.

    Attributes:
        image: The image.
    """

    code = "build-time-not-followed"
    template = "its trigger asks for Runtime, so ACR never rebuilds it for {self.image}"
    image: str


class ForeignBase(Gap, frozen=True):
    """An image of a registry that ACR does not follow.

    Attributes:
        image: The image.
    """

    code = "foreign-registry"
    template = (
        "ACR follows Azure container registries, Docker Hub and Microsoft's registry, so it"
        " never rebuilds for {self.image}"
    )
    image: str


class NoCredentials(Gap, frozen=True):
    """The task reads an image of another registry, for which it has no credentials.

    Attributes:
        host: The registry's login server.
    """

    code = "no-credentials"
    template = (
        "the task has no credentials for {self.host}: unless that lets anybody pull, its runs fail"
    )
    host: str


class GoneTag(Gap, frozen=True):
    """A tag that the task follows and that is not in its registry.

    Attributes:
        image: The tag.
    """

    code = "gone-tag"
    template = (
        "{self.image} is not in its registry any more: the task follows a tag that is gone,"
        " and its next run fails"
    )
    image: str


class MakesNothing(Gap, frozen=True):
    """The task makes no image, so nothing is missed by not rebuilding it.

    Attributes:
        because: How that is known.
    """

    code = "makes-nothing"
    counts = False
    template = "it makes no image ({self.because}), so there is nothing to rebuild"
    because: str
