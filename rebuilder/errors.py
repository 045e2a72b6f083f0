"""Every error that the product raises.

* RebuilderError
  x TransientError: trying again may help; a function raises it and the host delivers again
    + Throttled: the service asked to wait
    + OutcomeUnknown: the request may or may not have had its effect
    + Conflict: somebody else changed the record first
    + StoreUnavailable: what is kept cannot be read or written now; a person has to do something
    + NewerStore: what is kept is of a newer version of this code
  x PermanentError: trying again does not help; it is recorded and acknowledged
    + InvalidSettings: the configuration cannot be used
    + InvalidReference: a text is not an image reference
    + InvalidResourceId: a text is not the resource id that is expected
    + InvalidJson: a text is not JSON, or not within the bounds of what is read
    + InvalidMessage: a queue message is not one that the product writes
    + UnreadableRecord: what is kept is of a form that this version does not know
    + InvalidBuildFile: a Dockerfile or task file cannot be read
      - ArgumentMissing: a Dockerfile could be read if a build argument had a value
    + InvalidPolicy: a policy file cannot be used
    + SourceUnavailable: a build file cannot be had, and asking again does not help
    + NotFound: Azure does not know the resource
    + Denied: the identity lacks a role
    + Refused: Azure understood and said no
    + Unforeseen: something that is none of these, while one of many things was worked on
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple


class RebuilderError(Exception):
    """Base of every error of the product."""


class TransientError(RebuilderError):
    """Trying again may help."""


class Throttled(TransientError):
    """The service asked to wait.

    Args:
        message: Which service refused which request.
        retry_after: How long it asked to wait, if it said so.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OutcomeUnknown(TransientError):
    """The request was sent and no usable answer came: it may have had its effect."""


class Conflict(TransientError):
    """Somebody else changed the record since it was read."""


class StoreUnavailable(TransientError):
    """The store cannot be read or written now; the message says what a person has to do."""


class NewerStore(TransientError):
    """The store is of a newer version, so that this code must not touch it.

    Nothing is taken and nothing is acknowledged: what waits is for the newer code.

    Args:
        store: Which store.
        version: Its version.
        known: The newest version that this code knows.
    """

    def __init__(self, store: str, version: int, known: int) -> None:
        super().__init__(
            f"{store} is of version {version}; this code knows up to {known} and takes nothing from"
            " it: use the newer code, or another store"
        )


class PermanentError(RebuilderError):
    """Trying again does not help."""


class InvalidSettings(PermanentError):
    """The configuration cannot be used; every problem is named at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


class InvalidReference(PermanentError):
    """A text is not an image reference."""

    def __init__(self, text: str, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{text!r:.300} is not an image reference: {problem}")


class InvalidResourceId(PermanentError):
    """A text is not the resource id that is expected."""


class InvalidJson(PermanentError):
    """A text is not JSON, or longer, deeper or larger than is read.

    Whoever reads it knows what it was to be, and turns this into an error that says so.
    """


class InvalidMessage(PermanentError):
    """A queue message is not the product's, or of a version that this code does not know."""


class UnreadableRecord(PermanentError):
    """A record of the store is of a form that this version does not know."""


class InvalidBuildFile(PermanentError):
    """A Dockerfile or task file is one that its builder refuses.

    Args:
        line: The line, counted from 1; 0 if it is the file as a whole.
        problem: Why, in the builder's sense.

    Attributes:
        missing: The build arguments that it lacks; empty if the file itself is wrong.
    """

    missing: tuple[str, ...] = ()

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)
        self.line = line
        self.problem = problem


class ArgumentMissing(InvalidBuildFile):
    """A Dockerfile is refused because a build argument has no value, or an empty one.

    Args:
        line: The line, counted from 1; 0 if it is the file as a whole.
        problem: Why, in the builder's sense, with the arguments and what would settle it.
        missing: The names of the arguments, in the order in which they are needed.
    """

    def __init__(self, line: int, problem: str, missing: tuple[str, ...]) -> None:
        super().__init__(line, problem)
        self.missing = missing


class Fault(NamedTuple):
    """What is wrong with a file, where, and what would be right.

    Attributes:
        file: The file's name.
        line: The line, counted from 1.
        column: The column, counted from 1.
        problem: What is wrong, and what would be right.
    """

    file: str
    line: int
    column: int
    problem: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.problem}"


class InvalidPolicy(PermanentError):
    """A policy file cannot be used; every fault is named at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, faults)))


class SourceUnavailable(PermanentError):
    """A build file cannot be had, and asking again does not help; the message tells why."""


class NotFound(PermanentError):
    """Azure does not know the resource."""


class Denied(PermanentError):
    """The identity may not do this; the message names the resource and the action."""


class Refused(PermanentError):
    """Azure understood the request and said no.

    Args:
        code: Azure's error code, for example `TasksOperationsNotAllowed`.
        message: Azure's own words.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Unforeseen(PermanentError):
    """Something that nobody thought of, and that stops the one thing which it happened to."""
