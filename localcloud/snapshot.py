"""A Bicep snapshot, carried out: every resource that the compiler predicted is asked of ARM.

`bicep snapshot` evaluates a template but for what only a deployment knows: `reference()` and the
cloud's own addresses. Those are resolved here, in the order of the snapshot; another expression is
refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localcloud.cloud import LocalCloud
from localcloud.directory import Principal
from localcloud.state import Json, Resource
from localcloud.tokens import Credential

_ARM = "https://management.azure.com"
_ENVIRONMENT = {
    "environment().suffixes.storage": "core.windows.net",
    "environment().resourceManager": f"{_ARM}/",
}
_REFERENCE = re.compile(r"reference\('([^']+)', '[^']+'(, 'full')?\)((?:\.\w+)+)")
_STRING = re.compile(r"'((?:[^']|'')*)'")
_READ_ONLY = frozenset({"id", "name", "type", "apiVersion"})


class SnapshotError(Exception):
    """A snapshot could not be carried out; names the resource or the expression."""


class Deployer:
    """Creates what snapshots predict.

    Args:
        cloud: Where.
        principal: As whom; ARM asks for its roles.
    """

    def __init__(self, cloud: LocalCloud, principal: Principal) -> None:
        self._cloud = cloud
        self._token = Credential(cloud.tokens, principal).get_token(f"{_ARM}/.default").token
        self._http = cloud.network.client(base_url=_ARM, timeout=120)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def deploy(self, snapshot: Path) -> list[str]:
        """Create every resource of a snapshot; return their ids.

        Raises:
            SnapshotError: ARM refused one, or an expression is not known here.
        """
        given: Json = json.loads(snapshot.read_text("utf-8"))
        return [self._put(resource) for resource in given["predictedResources"]]

    def _put(self, resource: Json) -> str:
        body = {k: self._resolve(v) for k, v in resource.items() if k not in _READ_ONLY}
        place, version = str(resource["id"]), resource["apiVersion"]
        # Registries have versions of their own in the local ARM; what a template may use is there.
        answer = self._ask("PUT", place, version, body)
        if answer.get("error", {}).get("code") == "InvalidResourceType":
            self._keep(place, str(resource["type"]), body)
        elif "error" in answer:
            raise SnapshotError(f"{place}: {answer['error']['code']}: {answer['error']['message']}")
        return place

    def _keep(self, place: str, kind: str, body: Json) -> None:
        """Keep what the local cloud does not imitate as it was sent."""
        properties = {**(body.get("properties") or {}), "provisioningState": "Succeeded"}
        if kind.lower() == "microsoft.insights/components":
            key = "00000000-0000-0000-0000-000000000000"  # it leads nowhere
            properties["ConnectionString"] = f"InstrumentationKey={key}"
        tags = body.get("tags") or {}
        kept = Resource(place, kind, str(body.get("location") or ""), properties, tags)
        self._cloud.state.put(kept)

    def _ask(self, method: str, place: str, version: str, body: Json | None = None) -> Json:
        answer = self._http.request(
            method,
            place,
            params={"api-version": version},
            json=body,
            headers={"Authorization": f"Bearer {self._token}"},
        )
        told: Json = answer.json() if answer.content else {}
        return told

    def _resolve(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, dict):
            return {self._resolve(key): self._resolve(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self._resolve(entry) for entry in value]
        if isinstance(value, str) and value.startswith("[") and not value.startswith("[["):
            return self._evaluate(value[1:-1])
        return value

    def _evaluate(self, expression: str) -> str:
        if match := _REFERENCE.fullmatch(expression):
            return self._reference(match[1], full=bool(match[2]), path=match[3])
        if expression in _ENVIRONMENT:
            return _ENVIRONMENT[expression]
        if expression.startswith("format(") and expression.endswith(")"):
            first, *rest = [self._argument(part) for part in _arguments(expression[7:-1])]
            return first.format(*rest)
        raise SnapshotError(f"the expression [{expression}] is not known here")

    def _argument(self, text: str) -> str:
        match = _STRING.fullmatch(text)
        return match[1].replace("''", "'") if match else self._evaluate(text)

    def _reference(self, place: str, *, full: bool, path: str) -> str:
        kept = self._cloud.state.resource(place)
        if kept is None:
            raise SnapshotError(f"reference('{place}') comes before the resource")
        found: Any = {"properties": kept.properties, **kept.more} if full else kept.properties
        for name in path.strip(".").split("."):
            if not isinstance(found, dict) or name not in found:
                raise SnapshotError(f"reference('{place}') has no {path}")
            found = found[name]
        return str(found)


def _arguments(text: str) -> Iterator[str]:
    """Split a call's arguments at the commas between them."""
    depth, quoted, start = 0, False, 0
    for position, letter in enumerate(text):
        if letter == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == "," and depth == 0:
            yield text[start:position].strip()
            start = position + 1
    yield text[start:].strip()
