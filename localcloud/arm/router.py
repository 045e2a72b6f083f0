"""What answers a request: the route of its path, at an API version that it has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from starlette.requests import Request
from starlette.responses import Response

from localcloud.arm.access import action_of, linked_to, require, require_linked
from localcloud.arm.errors import ArmError, wire_error
from localcloud.arm.model import Arm, Exchange, Route
from localcloud.arm.schema import check
from localcloud.directory import Principal
from localcloud.state import Json

type Keep = Callable[[Arm, str, Json], tuple[int, Json]]

_DATED = re.compile(r"\d{4}-\d\d-\d\d(?:-[a-z]+)?")


class Router:
    """Finds what answers, for clients and for ARM itself.

    Args:
        arm: The cloud; it is told of its router.
        routes: What answers, in this order.
        keep: What puts a resource of a type for which there is no route.
    """

    def __init__(self, arm: Arm, routes: Sequence[Route], keep: Keep) -> None:
        self._arm = arm
        self._keep = keep
        self._routes = [(re.compile(r.pattern + "/?", re.IGNORECASE), r) for r in routes]
        arm.router = self

    def matches(self, method: str, path: str) -> Iterator[tuple[Route, dict[str, str]]]:
        """Yield the routes of a request, the best one first, with what their patterns found."""
        for pattern, route in self._routes:
            if route.method == method and (match := pattern.fullmatch(path)):
                yield route, match.groupdict()

    def answer(
        self, route: Route, request: Request, params: dict[str, str], body: Json
    ) -> Response:
        """Let a route answer; in a thread of its own, for some wait for others."""
        status, answered, headers = 500, None, {}
        try:
            response = route.handler(self._arm, request, params, body)
        except ArmError as error:
            status, answered = error.status, {"error": wire_error(error)}
            raise
        else:
            status, headers = response.status_code, dict(response.headers)
            if self._arm.witnesses and response.body:
                answered = json.loads(bytes(response.body))
            return response
        finally:
            for witness in self._arm.witnesses:
                witness(
                    Exchange(
                        request.method,
                        request.url.path,
                        request.query_params.get("api-version", ""),
                        route.pattern,
                        body or None,
                        status,
                        headers,
                        answered,
                    )
                )

    def preflight(self, principal: Principal, resource_id: str, api_version: str) -> bool:
        """Check that somebody may put a resource; tell whether the local cloud has its type.

        Raises:
            ArmError: No role allows it, or the type has no such version.
        """
        require(self._arm.roles, principal, *action_of("PUT", resource_id))
        for route, _ in self.matches("PUT", resource_id):
            check_version(inner(principal, "PUT", resource_id, api_version), route)
            return True
        return False

    def call(
        self, principal: Principal, method: str, path: str, api_version: str, body: Json
    ) -> tuple[int, Json]:
        """Ask this ARM something as somebody; return the status and the answer.

        For what ARM does itself for a client, as in deployments; only for a thread of its own. What
        goes on after ARM has answered is waited for.

        Raises:
            ArmError: As a client would be answered.
        """
        request = inner(principal, method, path, api_version)
        for route, params in self.matches(method, path):
            check_version(request, route)
            check_subscription(self._arm, params)
            needed = action_of(method, path)
            require(self._arm.roles, principal, *needed)
            check_body(route, body)
            for linked in linked_to(body):
                require_linked(self._arm.roles, principal, needed, linked)
            response = self.answer(route, request, params, body)
            answer = json.loads(bytes(response.body)) if response.body else {}
            if response.status_code >= 400:  # noqa: PLR2004 - HTTP
                error = answer.get("error") or {}
                code, message = str(error.get("code")), str(error.get("message"))
                raise ArmError(response.status_code, code, message)
            if method == "PUT" and "azure-asyncoperation" in response.headers:
                answer = self.call(principal, "GET", path, api_version, {})[1]
            return response.status_code, answer
        if method == "PUT":
            require(self._arm.roles, principal, *action_of(method, path))
            for linked in linked_to(body):
                require_linked(self._arm.roles, principal, action_of(method, path), linked)
            return self._keep(self._arm, path, body)
        raise no_such(method, path)


def no_such(method: str, path: str) -> ArmError:
    """Return ARM's answer to a path that nothing answers."""
    return ArmError(404, "InvalidResourceType", f"No {method} at {path} here.")


def check_version(request: Request, route: Route) -> None:
    """Refuse an API version that a route does not answer.

    Raises:
        ArmError: It is missing or unknown.
    """
    version = request.query_params.get("api-version")
    if not version:
        raise ArmError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    supported = route.versions
    if (supported and version in supported) or (not supported and _DATED.fullmatch(version)):
        return
    known = f" The supported versions are '{','.join(sorted(supported))}'." if supported else ""
    raise ArmError(
        400, "InvalidApiVersionParameter", f"The api-version '{version}' is invalid.{known}"
    )


def check_subscription(arm: Arm, params: dict[str, str]) -> None:
    """Refuse a path below a subscription that is not there.

    Raises:
        ArmError: It is not.
    """
    subscription = params.get("s")
    if subscription is not None and subscription.lower() not in arm.state.subscriptions:
        raise ArmError(
            404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found."
        )


def check_body(route: Route, body: Json) -> None:
    """Refuse a body that is not what a route takes.

    Raises:
        ArmError: In ARM's words.
    """
    if route.body is not None:
        check(route.body, body, "patch" if route.method == "PATCH" else "put")


def inner(principal: Principal, method: str, path: str, api_version: str) -> Request:
    """Return a request that ARM sends itself, as somebody."""
    return Request(
        {
            "type": "http",
            "method": method,
            "scheme": "https",
            "server": ("management.azure.com", 443),
            "path": path,
            "query_string": f"api-version={api_version}".encode(),
            "headers": [],
            "state": {"principal": principal},
        }
    )
