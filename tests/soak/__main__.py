"""`python -m tests.soak [--rounds R] [--steps S] [--seed N] [--round M] [-v]`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from pathlib import Path

from tests.soak.faults import FAULTS
from tests.soak.plain import STORIES, many_events, stories, story
from tests.soak.rounds import Round
from tests.soak.steered import SteeredRound


def main() -> int:
    """Play rounds; tell which failed and how to play them again."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--round", type=int, help="play this one only")
    parser.add_argument("--events", type=int, help="instead, so many pushes, each told three times")
    parser.add_argument("--stories", action="store_true", help="instead, those without chance")
    parser.add_argument("--story", choices=STORIES, help="instead, one of them")
    parser.add_argument("--steered", action="store_true", help="with operators who decide")
    parser.add_argument("--often", default="", help="a kind of step to take more often, as `back`")
    parser.add_argument("--fault", choices=FAULTS, help="put a fault of old back into the product")
    parser.add_argument("-v", action="store_true", help="print the history")
    parser.add_argument("--keep", type=Path, help="a folder for the histories of rounds that fail")
    options = parser.parse_args()
    if options.fault:
        FAULTS[options.fault]()
    logging.disable(logging.NOTSET if os.environ.get("SOAK_LOG") else logging.CRITICAL)
    if os.environ.get("SOAK_LOG"):
        logging.basicConfig(level=logging.INFO, format="    %(message)s", stream=sys.stdout)
    began = time.monotonic()
    if options.story:
        problems = story(options.story)
        print(json.dumps({"problems": problems}))
        return 1 if problems else 0
    if options.events or options.stories:
        told = many_events(options.events, options.seed) if options.events else stories()
        wrong = [
            name
            for name in ("not_once", "stale", "not_succeeded", "unrest", "problems")
            if told.get(name)
        ]
        print(json.dumps({**told, "seconds": round(time.monotonic() - began, 1)}))
        return 1 if wrong else 0
    numbers = range(options.rounds) if options.round is None else [options.round]
    total = dict.fromkeys(("pushes", "runs", "calls", "crashes", "lost_events"), 0)
    failed = []
    for number in numbers:
        kind = SteeredRound if options.steered else Round
        one = kind(options.seed, number, print if options.v else None)
        one.often = options.often
        found = one.play(options.steps)
        for name in total:
            total[name] += getattr(found, name)
        if found.problems:
            failed.append(number)
            print(f"round {number} failed: python -m tests.soak --seed {options.seed}", end="")
            often = f" --often {options.often}" if options.often else ""
            steered = " --steered" * options.steered
            print(f" --round {number} --steps {options.steps}{steered}{often} -v")
            for problem in found.problems:
                print(f"  {problem}", flush=True)
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                kept = options.keep / f"{options.seed}-{number}.log"
                kept.write_text("\n".join(found.history))
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"rounds": len(numbers), "failed": failed, **total, "seconds": seconds}))
    return 1 if failed else 0


if __name__ == "__main__":
    # The order of sets must not depend on chance, or a seed would not replay exactly.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.soak", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
