"""What infra/ holds, read for the tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
INFRA = ROOT / "infra"
FORMS = ("minimal", "typical", "locked-down")


def read(name: str) -> Any:  # noqa: ANN401 - JSON
    """Return a JSON file of infra/."""
    return json.loads((INFRA / name).read_text("utf-8"))


def predicted(form: str, kind: str) -> list[dict[str, Any]]:
    """Return the resources of a type that a form would make."""
    resources = read(f"{form}.snapshot.json")["predictedResources"]
    return [found for found in resources if found["type"].lower() == kind.lower()]


def resources(template: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Give every resource of a template and of the templates in it."""
    if isinstance(template, dict):
        if "apiVersion" in template and "type" in template:
            yield template
        for value in template.values():
            yield from resources(value)
    elif isinstance(template, list):
        for value in template:
            yield from resources(value)
