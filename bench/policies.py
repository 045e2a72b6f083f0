"""What a decision costs with a policy file of 1,000 rules: `python -m bench.policies`.

The last line is JSON: rules, seconds to read the file, milliseconds of the processor that a
decision takes (median, and the slowest of a hundred), and the milliseconds that are allowed.
"""

from __future__ import annotations

import json
import statistics
import time
from datetime import UTC, datetime

from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.policies.gate import Asked, InForce, gate
from rebuilder.core.policies.matching import Moved
from rebuilder.core.policies.reading import read_policies

RULES = 1000
DECISIONS = 300
ALLOWED = 1.0
_KINDS = (
    'task: "registry{0}/team-{0}-*"',
    'base: "baseimages/team{0}/*:*-alpine"',
    'task: "*/service-{0}"',
    'base: "*/node-{0}:*", registry: "prod*"',
    'task: "prod*/web-?{0}", tags: {{team: "t{0}"}}',
)


def file(rules: int) -> str:
    """Return a policy file of so many rules of every kind, some of which fit."""
    lines = [
        "version: 1",
        "policies:",
        "  default: {cooldown: 1h, maxWait: 3h}",
        "  nights:",
        '    windows: [{from: "22:00", to: "04:00", timezone: Europe/Berlin}]',
        "rules:",
    ]
    for number in range(rules):
        match = _KINDS[number % len(_KINDS)].format(number)
        lines.append(f"  - {{match: {{{match}}}, policy: {('default', 'nights')[number % 2]}}}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    policies = read_policies(file(RULES))
    read = time.perf_counter() - began
    registry, now = RegistryId("s", "g", "prodregistry"), datetime(2026, 11, 26, 12, tzinfo=UTC)
    spent = []
    for number in range(DECISIONS):
        moved = Moved(f"baseimages.azurecr.io/images/node-{number}:20", frozenset({"runtime"}))
        task = TaskId(registry, f"service-{number}")
        tags = (("team", f"t{number}"),)
        asked = Asked(task, (moved,), (), tags, now, now)
        # Of this thread alone: what else a machine does is no cost of a decision.
        began = time.thread_time()
        gate(asked, InForce(policies), now)
        spent.append((time.thread_time() - began) * 1000)
    spent.sort()
    result = {
        "rules": RULES,
        "read_seconds": round(read, 3),
        "median_ms": round(statistics.median(spent), 3),
        "slowest_of_a_hundred_ms": round(spent[len(spent) * 99 // 100], 3),
        "allowed_ms": ALLOWED,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
