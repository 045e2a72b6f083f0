"""The task files of ACR Tasks: multi-step YAML with templates and aliases.

Source of the rules: learn.microsoft.com, "ACR Tasks reference: YAML", and what carries it out, the
agent, github.com/Azure/acr-builder: cmd/acb/commands/exec (the order), graph/preprocessor.go
(aliases), templating (templates, values), graph/task.go and graph/step.go (properties), builder
(the command lines, which a shell takes apart).

What only a run knows, and every construct that is not understood, is reported with its reason and
not guessed; but only where it may change which images are read.
"""

from __future__ import annotations

from rebuilder.core.taskfile._images import DockerfileReader, images_of
from rebuilder.core.taskfile._read import fill_in, read_task_file
from rebuilder.core.taskfile._single import single_build
from rebuilder.core.taskfile._steps import BuildStep, CommandStep, RunContext, TaskFile

__all__ = [
    "BuildStep",
    "CommandStep",
    "DockerfileReader",
    "RunContext",
    "TaskFile",
    "fill_in",
    "images_of",
    "read_task_file",
    "single_build",
]
