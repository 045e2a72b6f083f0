"""A task that builds one Dockerfile, as a task file with one step."""

from __future__ import annotations

from rebuilder.core.acr.tasks import DockerStep
from rebuilder.core.taskfile._steps import Build, RunContext, Step, TaskFile
from rebuilder.core.taskfile._templates.evaluate import render
from rebuilder.core.taskfile._templates.values import Values
from rebuilder.core.taskfile._text import Hidden, Mapped, Unknowns

_ID = "build"


def single_build(step: DockerStep, run: RunContext) -> tuple[TaskFile, Unknowns, dict[str, Build]]:
    """Return a Docker step as a task file, with placeholders for what only a run or nobody tells.

    Args:
        step: The step.
        run: What is known of the task's runs.

    Returns:
        The file, its placeholders, and the build of its only step.

    Raises:
        InvalidBuildFile: A template in a name or in an argument is none.
    """
    texts = (*step.images, *(argument.value or "" for argument in step.arguments))
    unknowns = Unknowns(step.context, step.dockerfile, step.target, run.registry, run.task, *texts)
    known = Values(run)

    def filled(text: str) -> str:
        lines = tuple(range(1, text.count("\n") + 2))
        try:
            return render(Mapped(text, lines), known, unknowns).text
        except Hidden as found:
            return unknowns.word(found.text, found.reason, may_be_empty=True)

    arguments: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for argument in step.arguments:
        unknown.pop(argument.name, None)
        if argument.value is None:
            reason = f"ARM does not tell the value of the secret argument {argument.name}"
            if not argument.given:
                reason = (
                    f"whether the task gives {argument.name} as a secret argument is not shown;"
                    " `Microsoft.ContainerRegistry/registries/tasks/listDetails/action` would tell,"
                    " as would a run of it"
                )
            value = unknowns.word(f"${argument.name}", reason, may_be_empty=True)
        else:
            value = filled(argument.value)
        arguments[argument.name] = value
        if reasons := unknowns.reasons(value):
            unknown[argument.name] = "; ".join(reasons)
    build = Build(
        step.dockerfile,
        build_args=arguments,
        target=step.target,
        tags=tuple(_prefixed(filled(image), run.registry) for image in step.images),
        pushed=step.pushes,
        unknown_args=unknown,
    )
    return TaskFile((Step(1, _ID, "build"),)), unknowns, {_ID: build}


def _prefixed(image: str, registry: str) -> str:
    """Return the name of an image as the agent has it, with a registry (util/prefixes.go)."""
    if not registry or image.startswith((registry, "library/")):
        return image
    return f"{registry}/{image}"
