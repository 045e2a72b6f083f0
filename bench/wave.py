"""How busy a limit keeps the agents while a wave is larger than it.

    python -m bench.wave [--dependents 2000] [--most 50] [--speed 4]

As bench.fanout, with a policy of `maxConcurrent`. Every half second it is looked how many rebuilds
are under way, from when as many as may be are, until each of the wave has begun. `busy` is how many
that were on average, `least` at the worst look. `agents` is how many runs went on at ARM, on
average from when so many had begun as may be until the last one did: a place whose run is over is
none until that is noticed and the next run begins. `ratio` is the time to the last scheduleRun over
what a limit that is always used up allows, when a run's end is noticed at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from bench.fanout import RUN_SECONDS, measure


def wave(dependents: int, most: int, speed: float, *, verbose: bool = False) -> dict[str, Any]:
    """Push once, under a limit; return what came of it."""
    found = measure(dependents, speed, 10, most, verbose=verbose, most=most)
    looks = found.pop("looks_at_busy")
    began = sorted(found.pop("scheduled_at"))
    allowed = (dependents / most - 1) * RUN_SECONDS
    return {
        "dependents": dependents,
        "most": most,
        "busy": round(fmean(looks), 2) if looks else 0.0,
        "least": min(looks, default=0),
        "agents": round(_on_average(began, began[most - 1], began[-1]), 2),
        "over": max(looks, default=0) > most,
        "ratio": round(found["push_to_last_seconds"] / allowed, 3),
        **{name: found[name] for name in ("doubled", "lost", "seconds", "failures", "speed")},
        "cpu_ms_per_rebuild": found["cpu_ms_per_rebuild"],
    }


def _on_average(began: Sequence[float], first: float, last: float) -> float:
    """Return how many runs went on at once, on average, between two times."""
    each = (min(at + RUN_SECONDS, last) - max(at, first) for at in began)
    return sum(max(seconds, 0) for seconds in each) / (last - first)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print what came of it, and last one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dependents", type=int, default=2000, help="tasks built on the image")
    parser.add_argument("--most", type=int, default=50, help="how many may be under way at once")
    parser.add_argument("--speed", type=float, default=4.0, help="cloud seconds per second")
    parser.add_argument("--verbose", action="store_true", help="show the product's log")
    options = parser.parse_args(arguments)
    if options.dependents <= options.most:
        parser.error(f"measure more than the {options.most} that may be under way at once")
    found = wave(options.dependents, options.most, options.speed, verbose=options.verbose)
    print(
        f"{found['dependents']} tasks, {found['most']} at once: {found['busy']} under way on"
        f" average, {found['least']} at the worst look; {found['agents']} agents at work;"
        f" {found['lost']} lost, {found['doubled']} doubled; {found['ratio']} times what the limit"
        " allows"
    )
    print(json.dumps(found))
    return 1 if found["lost"] or found["doubled"] or found["over"] else 0


if __name__ == "__main__":
    sys.exit(main())
