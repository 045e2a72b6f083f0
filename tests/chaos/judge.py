"""The judge: what ARM's runs and the images that they made say, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A run as ARM tells it.

    Attributes:
        task: The task, as REGISTRY/NAME.
        status: How it is, or how it ended.
        base: What its image says of the base image that it stands on; "" if it made none.
    """

    task: str
    status: str
    base: str

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status not in ("Queued", "Started", "Running")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, one line each.

    Attributes:
        lost: Tasks that nothing will rebuild any more.
        doubled: Runs too many: a second one on the same base image, or one of a task that is none
            of the product's business.
        stuck: Tasks that are not rebuilt while something still waits for it, runs without an end.
    """

    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether every task was rebuilt exactly once and nothing else ran."""
        return not (self.lost or self.doubled or self.stuck)


def judge(newest: Mapping[str, str], runs: Iterable[SeenRun], waiting: int) -> Verdict:
    """Tell whether each task has exactly one successful run on the newest of its base image.

    Args:
        newest: What the image that each task is to stand on says of itself; tasks that are not
            there are to have no run at all.
        runs: Every run.
        waiting: How many messages wait in the store: what is not rebuilt while some do is stuck,
            not lost.
    """
    seen = list(runs)
    going = sorted(f"{run.task}: a run is {run.status}" for run in seen if not run.over)
    made = Counter((run.task, run.base) for run in seen if run.status == "Succeeded")
    doubled = [f"{task}: {n} runs on {base}" for (task, base), n in made.items() if n > 1]
    strays = Counter(run.task for run in seen if run.task not in newest)
    doubled += [f"{task}: {n} run(s), and there should be none" for task, n in strays.items()]
    missing = [f"{task}: no run on {base}" for task, base in newest.items() if not made[task, base]]
    alive = bool(waiting or going)
    return Verdict(
        () if alive else tuple(sorted(missing)),
        tuple(sorted(doubled)),
        (*going, *(sorted(missing) if alive else ()), *_left(waiting)),
    )


def _left(waiting: int) -> tuple[str, ...]:
    return (f"{waiting} message(s) still wait",) if waiting else ()
