"""What lines of the log are about: push, task, registry, rebuild and run of the work in hand.

One line is about the worker's versions instead.

They are attributes of every record that the product logs, by the names that spans have them under:
alerts and workbooks ask for them and never for words of a message. Whoever works on something says
so once; threads that `isolation.together` begins know it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from types import MappingProxyType

from rebuilder.core.acr.registries import TaskId

PUSH = "rebuilder.push"
TASK = "rebuilder.task"
REGISTRY = "rebuilder.registry"
REBUILD = "rebuilder.rebuild"
RUN = "rebuilder.run"

PYTHON = "process.runtime.version"
FUNCTIONS_WORKER = "rebuilder.functions_worker"
FUNCTIONS_RUNTIME = "rebuilder.azure_functions_runtime"
AZURE_FUNCTIONS = "rebuilder.azure_functions"

NAMES = (
    *(PUSH, TASK, REGISTRY, REBUILD, RUN),
    *(PYTHON, FUNCTIONS_WORKER, FUNCTIONS_RUNTIME, AZURE_FUNCTIONS),
)
"""Those that lines have; a span may have more."""

type Value = str | int | float | bool
type About = Mapping[str, Value | None]

NOTHING: About = MappingProxyType({})
LONGEST = 512
"""Characters of a text; a push's key may have hundreds, and each is paid for."""

_in_hand: ContextVar[Mapping[str, Value] | None] = ContextVar("_in_hand", default=None)


def of_task(task: TaskId, push: str | None = None) -> About:
    """Return what work on a task is about.

    Args:
        task: The task.
        push: The key of the push that the work is for.
    """
    return {TASK: str(task), REGISTRY: task.registry.name, PUSH: push}


def current() -> Mapping[str, Value]:
    """Return what a line is about that is logged now."""
    return _in_hand.get() or {}


def note(about: About) -> None:
    """Say more of the work in hand; without a block that ends, there is none to say it of."""
    held = _in_hand.get()
    told = cut({name: value for name, value in about.items() if name in NAMES})
    if told and held is not None:
        _in_hand.set({**held, **told})


@contextmanager
def lines_about(about: About, *, afresh: bool = False) -> Iterator[None]:
    """Say what lines are about until the block is left; what was said in it is forgotten then.

    Args:
        about: What they are about.
        afresh: Whether they are about nothing that was said before.
    """
    held = _in_hand.set({} if afresh else current())
    try:
        note(about)
        yield
    finally:
        _in_hand.reset(held)


def lines_of_its_own[**Given, Got](work: Callable[Given, Got]) -> Callable[Given, Got]:
    """Have what a function says of its work be forgotten when it returns."""

    @wraps(work)
    def alone(*args: Given.args, **more: Given.kwargs) -> Got:
        with lines_about(NOTHING):
            return work(*args, **more)

    return alone


def cut(about: About) -> dict[str, Value]:
    """Return what is known, and no more of a text than is worth its price."""
    return {
        name: value[:LONGEST] if isinstance(value, str) else value
        for name, value in about.items()
        if value is not None
    }
