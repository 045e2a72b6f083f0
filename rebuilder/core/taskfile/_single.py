"""A task that builds one Dockerfile, as a task file with one step."""

from __future__ import annotations

from rebuilder.core.taskfile._steps import BuildStep, RunContext, TaskFile
from rebuilder.core.taskfile._template import Values, render
from rebuilder.core.taskfile._text import Hidden, Mapped, Unknowns
from rebuilder.core.tasks import DockerStep


def single_build(step: DockerStep, run: RunContext) -> TaskFile:
    """Return a Docker step as a task file, with stand-ins for what only a run or nobody tells.

    Args:
        step: The step.
        run: What is known of the task's runs.

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
            value = unknowns.word(f"${argument.name}", reason, may_be_empty=True)
        else:
            value = filled(argument.value)
        arguments[argument.name] = value
        if reasons := unknowns.reasons(value):
            unknown[argument.name] = "; ".join(reasons)
    build = BuildStep(
        1,
        step.dockerfile,
        build_args=arguments,
        target=step.target,
        tags=tuple(map(filled, step.images)),
        pushed=True,
        unknown_args=unknown,
    )
    return TaskFile((build,), (), unknowns.all())
