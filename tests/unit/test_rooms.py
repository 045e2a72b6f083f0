"""Each feature is where docs/architecture.md says that it is, in a room that one can look over."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = _ROOT / "docs" / "architecture.md"
_ROW = re.compile(r"^\| [^|]+ \| `(rebuilder[\w.]+)` \|$", re.MULTILINE)
_MOST_LINES, _MOST_MODULES = 400, 12
PLACES = _ROW.findall(_PAGE.read_text(encoding="utf-8"))


def test_there_are_places() -> None:
    """Of twenty features at least."""
    assert len(PLACES) >= 20
    assert len(set(PLACES)) == len(PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_a_feature_is_where_the_page_says(place: str) -> None:
    """Its module can be imported, and has what is named."""
    module, _, name = place.rpartition(".")
    owner = import_module(module)
    if not hasattr(owner, name):
        import_module(place)


def test_the_tree_names_every_room() -> None:
    """Each folder two levels deep, as often as there are folders of its name."""
    tree = _PAGE.read_text(encoding="utf-8").partition("```\n")[2].partition("```\n")[0]
    told = Counter(re.findall(r"(\w+)/", tree))
    folders = {path.parent for path in (_ROOT / "rebuilder").glob("*/**/__init__.py")}
    rooms = Counter(f.name for f in folders if len(f.relative_to(_ROOT).parts) <= 3)

    assert rooms
    assert rooms - told == Counter()


def modules(package: str = "rebuilder") -> dict[str, Path]:
    """Return the modules of a package by their names, packages among them."""
    found = {}
    for path in sorted((_ROOT / package).rglob("*.py")):
        parts = path.relative_to(_ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(source: str, known: dict[str, Path]) -> Iterator[str]:
    """Return the modules that a module's text imports: anywhere in it, for types alone, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import that does not name its package"
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in known else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def cycle(known: dict[str, Path]) -> list[str]:
    """Return modules that import each other in a cycle; none if there are none."""
    graph = {
        name: {other for other in imported(path.read_text("utf-8"), known) if other in known}
        for name, path in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [*error.args[1]]
    return []


def test_no_module_is_too_long() -> None:
    """Who opens one can read it to the end."""
    long = {
        name: lines
        for name, path in modules().items()
        if (lines := len(path.read_text("utf-8").splitlines())) > _MOST_LINES
    }
    assert long == {}


def test_no_folder_has_too_many_modules() -> None:
    """Who opens one sees at a glance what there is."""
    folders: dict[str, int] = {}
    for path in modules().values():
        folder = str(path.parent.relative_to(_ROOT))
        folders[folder] = folders.get(folder, 0) + 1
    full = {name: count for name, count in folders.items() if count > _MOST_MODULES}
    assert full == {}


def test_no_modules_import_each_other() -> None:
    """Not over others, and not for types alone."""
    assert cycle(modules()) == []


def test_a_cycle_is_found(tmp_path: Path) -> None:
    """Imports inside functions and for types count."""
    (tmp_path / "a.py").write_text("def f() -> None:\n    from package import b\n")
    (tmp_path / "b.py").write_text("if TYPE_CHECKING:\n    from package.c import C\n")
    (tmp_path / "c.py").write_text("import package.a\n")
    known = {f"package.{name}": tmp_path / f"{name}.py" for name in "abc"}

    assert set(cycle(known)) == set(known)

    (tmp_path / "c.py").write_text("import json\n")
    assert cycle(known) == []
