"""What is wrong with ACR's record of a task as a whole."""

from __future__ import annotations

from rebuilder.core.gaps.gap import Gap


class NeverRan(Gap, frozen=True):
    """The task has not run successfully, so nothing is recorded."""

    code = "never-ran"
    template = (
        "ACR learns what a task is built on from a successful run, and none is known:"
        " its trigger follows nothing"
    )


class RecordLost(Gap, frozen=True):
    """The task has run successfully, and nothing is recorded.

    Attributes:
        run: The run.
    """

    code = "record-lost"
    template = (
        "run {self.run} succeeded and ACR has no record of it, as after a deployment that"
        " writes the task again: its trigger follows nothing until the next run"
    )
    run: str


class StaleRecord(Gap, frozen=True):
    """The record names an image that the file does not, and that the scanner would not find.

    Attributes:
        recorded: The image.
    """

    code = "stale-record"
    template = (
        "ACR has recorded {self.recorded}, which the build does not read any more: the file,"
        " its arguments or its values have changed since the last run"
    )
    recorded: str


class NotRecordedYet(Gap, frozen=True):
    """The file names an image that the record does not, and that the scanner would find.

    Attributes:
        image: The image.
    """

    code = "not-recorded-yet"
    template = (
        "ACR has not recorded {self.image}, which the build reads now: the file, its arguments"
        " or its values have changed since the last run"
    )
    image: str


class WrongKind(Gap, frozen=True):
    """The record has the image, but not what it is used for.

    Attributes:
        image: The image.
        kind: What it is used for.
        recorded: What the record says.
    """

    code = "wrong-kind"
    template = "{self.image} is a {self.kind} image, which ACR records as {self.recorded}"
    image: str
    kind: str
    recorded: str


class PinnedLooksMoving(Gap, frozen=True):
    """The file pins a tag to a digest, which the record cannot say.

    Attributes:
        image: The image with tag and digest.
    """

    code = "pinned-looks-moving"
    template = (
        "{self.image} is pinned to its digest; ACR records the digest as one that a run used,"
        " and builds in vain whenever the tag moves"
    )
    image: str
