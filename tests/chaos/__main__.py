"""`python -m tests.chaos [PART ...] [--store sqlite|azurite] [--seed N] [--jobs N]`."""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import sys
import tempfile
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.judge import Verdict
from tests.chaos.parts import PARTS, LeftOut
from tests.chaos.world import World

STORES = ("sqlite", "azurite")
_WORLDS: list[World] = []
"""All that were begun, to be ended whatever happens."""

_HEAD = ("what", "how many", "lost", "doubled", "stuck", "audit's answer")


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a part.

    Attributes:
        what: The part and the store.
        many: How often it did its worst, of what.
        verdict: The judge's.
        audit: The product's own answer.
        problems: What else went wrong.
        notes: What was seen.
        left_out: Why it was not played; "" if it was.
    """

    what: str
    many: str
    verdict: Verdict = field(default_factory=Verdict)
    audit: str = ""
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing at all was wrong; what was not played proves nothing, and is shown."""
        return bool(self.left_out) or (
            self.verdict.clean and not self.problems and self.audit == "Clean"
        )


def play(name: str, store: str, folder: Path, seed: int) -> Played:
    """Play a part in a world of its own."""
    part, what = PARTS[name], f"{name}, {store}"
    try:
        with World(store, folder, seed) as world:
            _WORLDS.append(world)
            try:
                many = part.play(world)
            except LeftOut as reason:
                return Played(what, "0", left_out=str(reason))
            except Exception:  # noqa: BLE001 - a part that breaks is not clean; the others go on
                world.problems.append(traceback.format_exc())
                many = 0
            audit = world.audit()  # which may wait, and what it waits for is judged
            return Played(
                what,
                f"{many} {part.what}",
                world.verdict(),
                audit,
                tuple(world.problems),
                tuple(world.notes),
            )
    except Exception:  # noqa: BLE001 - the same
        return Played(what, "0", problems=(traceback.format_exc(),))


def told(played: Played) -> str:
    """Return what is to be read of a part, line by line."""
    lines = [f"{played.what}: {'clean' if played.clean else 'NOT clean'}"]
    lines += [f"  left out: {played.left_out}"] if played.left_out else []
    for word in ("lost", "doubled", "stuck"):
        lines += [f"  {word}: {line}" for line in getattr(played.verdict, word)]
    lines += [f"  problem: {line}" for line in played.problems]
    lines += [f"  {line}" for line in played.notes]
    return "\n".join(lines)


def table(results: list[Played]) -> str:
    """Return the results as a table."""
    rows: list[tuple[str, ...]] = [_HEAD]
    for played in results:
        verdict = played.verdict
        numbers = (len(verdict.lost), len(verdict.doubled), len(verdict.stuck))
        answer = played.left_out and f"left out: {played.left_out}"
        rows.append((played.what, played.many, *map(str, numbers), answer or _short(played)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _short(played: Played) -> str:
    answer = played.audit or "none"
    return f"{answer}; {len(played.problems)} problem(s)" if played.problems else answer


def main() -> int:
    """Play parts; tell what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--store", choices=STORES, help="on this store only")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=4, help="how many parts are played at once")
    parser.add_argument("--keep", type=Path, help="keep the logs of every process in this folder")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    # What was started is ended, whoever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder: Path = options.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    chosen = [
        (name, store)
        for name in options.parts or PARTS
        for store in ([options.store] if options.store else STORES)
        if store in PARTS[name].stores
    ]
    try:
        with ThreadPoolExecutor(options.jobs) as pool:
            waiting: list[Future[Played]] = [
                pool.submit(_played, name, store, folder / f"{name}-{store}", options.seed)
                for name, store in chosen
            ]
            try:
                results = [future.result() for future in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for world in _WORLDS:
                    world.end()
                raise
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print()
    print(table(results))
    return 0 if all(played.clean for played in results) else 1


def _played(name: str, store: str, folder: Path, seed: int) -> Played:
    played = play(name, store, folder, seed)
    print(told(played), flush=True)
    return played


if __name__ == "__main__":
    sys.exit(main())
