"""The task files of ACR Tasks: multi-step YAML with templates and aliases, and what they do.

Source of the rules: learn.microsoft.com, "ACR Tasks reference: YAML", and what carries it out, the
agent, github.com/Azure/acr-builder: cmd/acb/commands/exec (the order), graph/preprocessor.go
(aliases), templating (templates, values), graph/task.go and graph/step.go (properties), builder
(the command lines, which a shell takes apart).

What only a run knows, what no value of the task gives, and every construct that is not understood
is reported with its line and reason, and not guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rebuilder.core.acr.tasks import DockerStep
from rebuilder.core.dependencies.effects import Effects
from rebuilder.core.taskfile._account import effects_of
from rebuilder.core.taskfile._document import fill_in, read_document
from rebuilder.core.taskfile._files import ReadFile
from rebuilder.core.taskfile._single import single_build
from rebuilder.core.taskfile._steps import RunContext

__all__ = ["ReadFile", "RunContext", "fill_in", "read_docker_step", "read_task_file"]

_NOWHERE = RunContext()


def read_task_file(
    content: bytes,
    read_file: ReadFile,
    *,
    values_content: bytes = b"",
    values: Mapping[str, str] | None = None,
    hidden: Collection[str] = (),
    run: RunContext = _NOWHERE,
    platform: str = "linux/amd64",
    folder: str = "",
) -> Effects:
    """Read a task file as the agent does, and tell what its steps do.

    Args:
        content: The task file.
        read_file: Gives the Dockerfiles of its builds. What it raises that is no SourceUnavailable
            comes through.
        values_content: The values file, if the task has one.
        values: The values that the task itself gives; they win over the file's.
        hidden: The names of values that the task gives and does not tell, because they are secret.
        run: What is known of the task's runs.
        platform: What the agent builds for, as BuildKit writes it.
        folder: Where the context's root is in its repository; "" if it is the root.

    Raises:
        InvalidBuildFile: The agent would refuse the file, with the line and the reason.
    """
    task_file, unknowns = read_document(
        content, values_content=values_content, values=values or {}, hidden=hidden, run=run
    )
    return effects_of(task_file, unknowns, read_file, run, platform, folder)


def read_docker_step(
    step: DockerStep,
    read_file: ReadFile,
    *,
    run: RunContext = _NOWHERE,
    platform: str = "linux/amd64",
    folder: str = "",
) -> Effects:
    """Tell what a task does that builds one Dockerfile; see `read_task_file`.

    Raises:
        InvalidBuildFile: A template in a name or in an argument is none.
    """
    task_file, unknowns, builds = single_build(step, run)
    return effects_of(task_file, unknowns, read_file, run, platform, folder, builds)
