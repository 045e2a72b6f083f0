"""No test looks at a clock or has a limit of its own; tests.patience waits for all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
# Azure itself is timed and waited for there; the other tells how long its rounds took.
APART = {"patience.py", "live/azure.py", "live/test_live_checks.py", "soak/__main__.py"}
CLOCKS = {"sleep", "time", "monotonic", "perf_counter", "process_time", "thread_time"}
# They wait for five seconds only, unless they are told.
HASTY = {"Client", "AsyncClient", "get", "post", "put", "patch", "delete", "head", "request"}
WAITS = {"wait", "wait_for", "wait_idle", "wait_empty", "join", "result", "communicate", "acquire"}
# Their `wait` takes how many things are to come.
COUNTS = {"probe", "webhook", "world"}


def hurries(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line and name in a module that depends on how quick the machine is.

    A short wait may stand under `not`: that something has not come yet is true on any machine.
    """
    tree = ast.parse(text)
    denied = {id(n.operand) for n in ast.walk(tree) if isinstance(n, ast.UnaryOp)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "httpx"):
            yield node.lineno, f"from {node.module}"
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, of = node.func.attr, node.func.value
        owner = of.id if isinstance(of, ast.Name) else ""
        limits = [n.value for n in node.keywords if n.arg == "timeout"]
        if (owner == "time" and name in CLOCKS) or (
            owner == "httpx" and name in HASTY and not limits
        ):
            yield node.lineno, f"{owner}.{name}"
        if name in WAITS and owner not in COUNTS and id(node) not in denied:
            given = [n for n in (*node.args, *limits) if isinstance(n, ast.Constant)]
            if any(isinstance(n.value, int | float) and n.value for n in given):
                yield node.lineno, f"{name} with a limit of its own"


def test_no_test_depends_on_how_quick_the_machine_is() -> None:
    """Every module of the tests waits without a limit of its own, and measures nothing."""
    found = [
        f"{path.relative_to(TESTS)}:{line}: {what}; see tests/patience.py"
        for path in sorted(TESTS.rglob("*.py"))
        if str(path.relative_to(TESTS)) not in APART
        for line, what in hurries(path.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "time.sleep(1)",
        "x = time.monotonic() + 20",
        "from time import sleep",
        "httpx.get('u')",
        "with httpx.Client(base_url=u) as c: pass",
        "assert event.wait(5)",
        "assert cloud.wait_idle(60)",
        "changed.wait_for(lambda: x, 20)",
        "demo.communicate(timeout=110)",
        "thread.join(timeout=0.5)",
    ],
)
def test_what_hurries_is_found(text: str) -> None:
    """A clock, a client that soon gives up, a number of seconds."""
    assert list(hurries(text))


@pytest.mark.parametrize(
    "text",
    [
        "assert event.wait(SECONDS)",
        "thread.join()",
        "','.join(names)",
        "assert not cloud.wait_idle(0.1)",
        "assert grid.wait_idle(0)",
        "probe.wait(2)",
        "httpx.Client(timeout=SECONDS)",
        "def of(client: httpx.Client) -> None: ...",
    ],
)
def test_what_waits_is_not(text: str) -> None:
    """The common limit, none at all, or that something has not come yet."""
    assert list(hurries(text)) == []
