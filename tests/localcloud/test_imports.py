"""The local cloud's modules build on each other in one direction."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, modules: set[str]) -> set[str]:
    """Return the modules that a file imports anywhere: in functions and for types, too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                named = f"{node.module}.{alias.name}"
                found.add(named if named in modules else node.module)
    return found & modules


def _graph(folder: Path, root: Path = _ROOT) -> dict[str, set[str]]:
    files = {_module(path, root): path for path in sorted(folder.rglob("*.py"))}
    return {name: _imports(path, set(files)) - {name} for name, path in files.items()}


def test_no_cycle_of_imports() -> None:
    """No module of the local cloud needs one that needs it."""
    graph = _graph(_ROOT / "localcloud")
    assert graph["localcloud.arm.app"] > {"localcloud.arm.router", "localcloud.arm.model"}
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


def test_a_cycle_for_types_is_found(tmp_path: Path) -> None:
    """An import under TYPE_CHECKING, or in a function, counts as every other."""
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("if TYPE_CHECKING:\n    from other import Thing\n", encoding="utf-8")
    other.write_text("def work():\n    import one\n", encoding="utf-8")
    with pytest.raises(CycleError):
        TopologicalSorter(_graph(tmp_path, tmp_path)).prepare()


def test_the_model_and_the_router_know_no_resource() -> None:
    """ARM reads as model, router, one file per resource type."""
    graph = _graph(_ROOT / "localcloud")
    for name in ("localcloud.arm.model", "localcloud.arm.router"):
        assert not [used for used in graph[name] if ".arm.resources" in used], name
