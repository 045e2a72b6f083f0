"""ACR tasks, what they are built on, and their runs, as ARM tells of them."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.registries import TaskId
from rebuilder.errors import InvalidBuildFile

MANUAL = "Manual"
"""The trigger of a run that ARM shows no trigger for; every run that we schedule is one."""

IMAGE_UPDATE = "Image Update"
"""The trigger of a run that a base image started."""


class Kind(StrEnum):
    """What the task uses an image for."""

    RUNTIME = "runtime"  # the base of the image that is built
    BUILD_TIME = "build-time"  # any other image that the build reads
    FRONTEND = "frontend"  # the syntax image, which reads the Dockerfile
    TOOL = "tool"  # what a step runs; no image is made of it
    UNUSED = "unused stage"  # of a stage that what is built does not need


class Makes(StrEnum):
    """Whether runs of a task make an image that stays."""

    IMAGE = "image"
    NOTHING = "nothing"
    UNKNOWN = "unknown"


class Output(Struct, frozen=True, gc=False):
    """What runs of a task make; `effects` tells how that is known.

    Attributes:
        makes: Whether its runs make an image that stays.
        pushes: The images, with templates where only a run knows.
        because: How that is known, or why it is not, for a person.
        missing: The names of the values that the task does not give, and its steps need.
        warnings: What makes its runs fail, as far as its files tell, in sentences.
        read: Whether its files could be read; else this is what its runs were seen to do.
        arguments: The names of build arguments without a value, without which a build is refused.
    """

    makes: Makes
    pushes: tuple[str, ...] = ()
    because: str = ""
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    read: bool = True
    arguments: tuple[str, ...] = ()

    @property
    def lacks(self) -> bool:
        """Whether its runs cannot do what they are meant to, for want of values."""
        return bool(self.missing or self.arguments)


class TriggerType(StrEnum):
    """Which dependencies a task's base image trigger names."""

    ALL = "All"
    RUNTIME = "Runtime"


class Dependency(Struct, frozen=True, gc=False):
    """An image that a task's image is built on.

    Attributes:
        reference: What the Dockerfile names. It holds a digest only if it is pinned to one.
        kind: What the task uses it for.
        built_on: The digest that the last successful run is recorded to have used.
        known_from: The source of the knowledge, for a person.
    """

    reference: ImageReference
    kind: Kind
    built_on: str | None
    known_from: str = "ACR's record"


class Argument(Struct, frozen=True):
    """A build argument or a value that a task gives to its build.

    Attributes:
        name: Its name.
        value: Its value; None if it is secret, for then ARM does not show it.
        given: Whether the task is known to give it; else it may, as a secret that is not shown.
    """

    name: str
    value: str | None
    given: bool = True


class DockerStep(Struct, frozen=True):
    """A step that builds one Dockerfile.

    Attributes:
        context: Where the files come from, as the task names it; "" if it names nothing.
        dockerfile: The Dockerfile, relative to the context.
        target: The stage to build; "" for the last one.
        arguments: The build arguments.
        images: The names of the image that is built, with templates, as the task writes them.
        pushes: Whether the image is pushed.
    """

    context: str
    dockerfile: str
    target: str = ""
    arguments: tuple[Argument, ...] = ()
    images: tuple[str, ...] = ()
    pushes: bool = True


class FileStep(Struct, frozen=True):
    """A step that carries out a task file of its context.

    Attributes:
        context: Where the files come from, as the task names it; "" if it names nothing.
        task_file: The task file, relative to the context.
        values_file: The file with its values, relative to the context; "" if there is none.
        values: Values that win over those of the file.
    """

    context: str
    task_file: str
    values_file: str = ""
    values: tuple[Argument, ...] = ()


class EncodedStep(Struct, frozen=True):
    """A step that carries a task file itself.

    Attributes:
        context: Where the files of its builds come from; "" if nowhere.
        encoded: The task file in Base64.
        encoded_values: The file with its values in Base64; "" if there is none.
        values: Values that win over those of the file.
    """

    context: str
    encoded: str
    encoded_values: str = ""
    values: tuple[Argument, ...] = ()

    def content(self) -> bytes:
        """The task file.

        Raises:
            InvalidBuildFile: It is not Base64.
        """
        return _decoded(self.encoded, "task file")

    def values_content(self) -> bytes:
        """The file with the values.

        Raises:
            InvalidBuildFile: It is not Base64.
        """
        return _decoded(self.encoded_values, "values")


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidBuildFile(0, f"the task's {what}: not Base64") from error


type TaskStep = DockerStep | FileStep | EncodedStep


class Task(Struct, frozen=True):
    """An ACR task.

    Attributes:
        id: Its resource id.
        enabled: Whether its status is Enabled.
        has_step: Whether it builds anything; system tasks do not.
        trigger_type: What its base image trigger asks for; None if it has no such trigger.
        dependencies: What it is built on, as far as known; empty if nothing is recorded.
        principals: The object ids of its managed identities.
        signs_in_to: The login servers that it has credentials for.
        step: What it builds; None if `has_step` is false, or ARM tells nothing that we know.
        platform: What it builds for, as BuildKit writes it: `linux/amd64`, `linux/arm/v7`.
        native_trigger: Whether its own base image trigger is on, so that ACR rebuilds it too.
        other_triggers: Whether commits or a timer start it, too.
        created: When it was made, if known.
        output: What its runs make; None if nobody has looked.
        unread: Why more may be read than `dependencies` tells; "" if they are all.
        tags: The tags of the resource, by name.
        own_sign_in: Whether it signs in to its own registry as one of its identities.
        agent_pool: The name of the agent pool of its registry that its runs wait for; "" if they
            run on agents that everybody shares.
        age: How long ago ARM was asked for it; zero if it was for nobody else.
    """

    id: TaskId
    enabled: bool
    has_step: bool
    trigger_type: TriggerType | None
    dependencies: tuple[Dependency, ...]
    principals: tuple[str, ...] = ()
    signs_in_to: frozenset[str] = frozenset()
    step: TaskStep | None = None
    platform: str = "linux/amd64"
    native_trigger: bool = False
    other_triggers: bool = False
    created: datetime | None = None
    output: Output | None = None
    unread: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    own_sign_in: bool = False
    agent_pool: str = ""
    age: timedelta = timedelta()

    @property
    def built_on(self) -> tuple[str, ...]:
        """What it is recorded to be built on, with digests where they are known."""
        images = (d.reference.at(d.reference.digest or d.built_on) for d in self.dependencies)
        return tuple(sorted({str(image) for image in images}))


class RunStatus(StrEnum):
    """The status of a run, in ARM's words."""

    QUEUED = "Queued"
    STARTED = "Started"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"
    ERROR = "Error"
    TIMEOUT = "Timeout"

    @property
    def terminal(self) -> bool:
        """Whether the run is over."""
        return self not in (RunStatus.QUEUED, RunStatus.STARTED, RunStatus.RUNNING)


class Run(Struct, frozen=True):
    """A run of a registry.

    Attributes:
        run_id: Its id, unique in the registry.
        task: The task's name; None for quick runs.
        status: Its status.
        platform: The operating system, as ARM spells it.
        trigger: What started it in ARM's eyes: the event type of a source trigger, Timer,
            Image Update or Manual (what `az acr task list-runs` shows).
        created: When it was queued.
        started: When it began.
        finished: When it ended.
        output_images: What it pushed, with digests.
        token: The update trigger token that it carries.
        error: Why it failed, in ACR's words.
        moved: The base images whose change started it, with tag and digest; see IMAGE_UPDATE.
    """

    run_id: str
    task: str | None
    status: RunStatus
    platform: str
    trigger: str
    created: datetime | None
    started: datetime | None
    finished: datetime | None
    output_images: tuple[str, ...]
    token: str | None
    error: str | None
    moved: tuple[str, ...] = ()
