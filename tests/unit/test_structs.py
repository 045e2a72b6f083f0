"""What is read into is looked into when its module is imported: not by several threads at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# In a process of its own, in which nothing was read yet. The hook sees msgspec look into a type.
_SCRIPT = """
import importlib, sys
import msgspec
from rebuilder.web.endpoints import ENDPOINTS

looked = []
def hook(frame, event, arg):
    if event == "call" and frame.f_code.co_name == "get_class_annotations":
        looked.append(frame.f_locals["obj"].__qualname__)

def read_into(kind):
    sys.setprofile(hook)
    msgspec.json.Decoder(kind)
    sys.setprofile(None)

for line in sys.stdin.read().splitlines():
    module, expression = line.split(" ", 1)
    names = vars(importlib.import_module(module))
    read_into(eval(expression, {**names, "cls": names.get("Controls")}))
for endpoint in ENDPOINTS:
    if endpoint.takes is not None:
        read_into(endpoint.takes)
class Unprepared(msgspec.Struct):
    a: int
read_into(Unprepared)
print(*looked)
"""
_RACE = """
import sys, threading
from datetime import UTC, datetime
sys.setswitchinterval(1e-6)
from rebuilder.core.policies.acts import Act, Controls, Target, What

act = Act("a", What.PAUSE, Target(), "ann", "why", datetime.now(UTC))
text = Controls(pauses=(act,), acts=(act,)).write()
begin = threading.Barrier(8)
def read():
    begin.wait()
    Controls.read(text)
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def read_into() -> Iterator[str]:
    """Yield each module of the product with a type that it reads into."""
    for path in sorted(ROOT.glob("rebuilder/**/*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called == "msgspec.convert":
                yield f"{module} {ast.unparse(node.args[1])}"
            elif called == "msgspec.json.decode":
                kinds = [ast.unparse(k.value) for k in node.keywords if k.arg == "type"]
                yield from (f"{module} {kind}" for kind in kinds if kind != "endpoint.takes")


def test_every_type_that_is_read_into_is_prepared() -> None:
    """Msgspec looks into none of them when something is read; the hook would have seen it."""
    found = list(read_into())
    assert "rebuilder.core.policies.acts cls" in found
    assert len(found) > 10
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=ROOT,
        input="\n".join(found),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["Unprepared"], done.stdout + done.stderr


@pytest.mark.parametrize("_time", range(3))
def test_threads_that_read_the_same_for_the_first_time(_time: int) -> None:
    """Each reads it; the process lives."""
    done = subprocess.run([sys.executable, "-c", _RACE], cwd=ROOT, check=False)
    assert done.returncode == 0
