"""The API as OpenAPI tells it, made of the table of endpoints: `make docs` writes it down."""

from __future__ import annotations

from typing import Any

import msgspec

from rebuilder.web.endpoints import ENDPOINTS, Endpoint, Parameter
from rebuilder.web.http import Problem

_REFERENCE = "#/components/schemas/{name}"
_PROBLEMS = {
    "400": "Something that is asked is missing, or wrong",
    "401": "Nobody is signed in",
    "403": "The role is missing, or another site asks",
    "404": "It is not known",
    "413": "The body, or the policy file in it, is too large",
    "503": "The store cannot be read now, or not by this app",
}


def document() -> dict[str, Any]:
    """Return the description of every endpoint."""
    types: list[type] = [Problem, *(endpoint.answers for endpoint in ENDPOINTS)]
    types += [endpoint.takes for endpoint in ENDPOINTS if endpoint.takes is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    known = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, known)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ACR Rebuilder",
            "version": "1",
            "description": "What operators look at and ask for; see docs/dashboard.md.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(endpoint: Endpoint, known: dict[type, Any]) -> dict[str, Any]:
    answer = {"application/json": {"schema": known[endpoint.answers]}}
    problem = {"application/json": {"schema": known[Problem]}}
    answers: dict[str, Any] = {
        str(int(endpoint.status)): {"description": endpoint.means, "content": answer}
    }
    if endpoint.method == "GET":
        answers["304"] = {"description": "It is as it was"}
    for status, means in _PROBLEMS.items():
        answers[status] = {"description": means, "content": problem}
    found: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.means,
        "description": f"For {', '.join(sorted(endpoint.roles))}.",
        "parameters": [_parameter(parameter) for parameter in endpoint.parameters],
        "responses": answers,
    }
    if endpoint.method == "POST":
        found["parameters"].append(
            {
                "name": "X-Rebuilder",
                "in": "header",
                "required": True,
                "description": "`1`: no page of another site can send it",
                "schema": {"const": "1"},
            }
        )
    if endpoint.takes is not None:
        content = {"application/json": {"schema": known[endpoint.takes]}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if parameter.most is not None:
        schema = {"type": "integer", "minimum": parameter.least, "maximum": parameter.most}
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.needed,
        "description": parameter.means,
        "schema": schema,
    }
