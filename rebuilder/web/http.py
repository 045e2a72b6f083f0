"""Requests and answers, whoever brings them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from msgspec import Struct, field

from rebuilder.usecases.views._values import Value

SECURITY: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every answer tells browsers: nothing of others, and nothing in others' pages."""


class Request(Struct, frozen=True):
    """A request.

    Attributes:
        method: The method, in capitals.
        path: The path, decoded, without the query.
        query: The query; of a name that comes twice, the last.
        headers: The headers, by their names in lower case.
        body: The body.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return a header; "" if it is not there."""
        return self.headers.get(name, "")


class Answer(Struct, frozen=True):
    """An answer.

    Attributes:
        status: The status.
        body: The body.
        headers: The headers.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Problem(Value, frozen=True):
    """Why there is no answer.

    Attributes:
        code: Which problem.
        problem: What is wrong, for a person, and what would be right.
    """

    code: str
    problem: str


class Refusal(Exception):
    """Somebody may not do this, or not so.

    Args:
        status: The status of the answer.
        code: Which problem.
        problem: What is wrong, for a person.
    """

    def __init__(self, status: HTTPStatus, code: str, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.code = code
        self.problem = problem

    def answer(self) -> Answer:
        """Return what is answered."""
        return in_json(Problem(self.code, self.problem), self.status)


def in_json(value: object, status: int = HTTPStatus.OK) -> Answer:
    """Return an answer in JSON."""
    body = msgspec.json.encode(value)
    headers = {"Content-Type": "application/json", "Cache-Control": "no-cache"}
    return Answer(status, body, {**headers, "Vary": "Accept-Encoding"})
