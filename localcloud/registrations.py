"""App registrations of Entra, as Microsoft Graph has them: what docs/dashboard.md makes of them.

Source: Microsoft Graph v1.0, "application", "appRole", "federatedIdentityCredential", and
"servicePrincipal: create".
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localcloud.state import Json

_FILTERS = (
    (re.compile(r"appId eq '([^']*)'"), lambda app, text: app["appId"] == text.lower()),
    (
        re.compile(r"startswith\(displayName,\s*'([^']*)'\)"),
        lambda app, text: app["displayName"].startswith(text),
    ),
    (
        re.compile(r"identifierUris/any\(s:\s*s eq '([^']*)'\)"),
        lambda app, text: text in app["identifierUris"],
    ),
)
_CREDENTIAL = ("name", "issuer", "subject", "audiences")


class GraphError(Exception):
    """Graph refuses; the status, the code, and the words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Registrations:
    """Applications, their service principals, and who vouches for them.

    Attributes:
        applications: By object id, in Graph's wire form.
        principals: Service principals, by object id.
        credentials: Federated credentials, by the object id of their application.
    """

    def __init__(self) -> None:
        self.applications: dict[str, Json] = {}
        self.principals: dict[str, Json] = {}
        self.credentials: dict[str, list[Json]] = {}
        self._lock = threading.Lock()

    def routes(self, refused: Callable[[Request], Response | None]) -> list[Route]:
        """Return Graph's routes.

        Args:
            refused: Tells why somebody may not ask; None if he may.
        """

        def route(path: str, method: str, work: Callable[[Request, Json], Response]) -> Route:
            async def answer(request: Request) -> Response:
                if (refusal := refused(request)) is not None:
                    return refusal
                body = await request.json() if method != "GET" else {}
                try:
                    with self._lock:
                        return work(request, body)
                except GraphError as error:
                    told = {"code": error.code, "message": str(error)}
                    return JSONResponse({"error": told}, error.status)

            return Route(path, answer, methods=[method])

        app = "/v1.0/applications/{id}"
        federated = f"{app}/federatedIdentityCredentials"
        return [
            route("/v1.0/applications", "GET", self._list),
            route("/v1.0/applications", "POST", self._register),
            route(app, "GET", lambda request, _: JSONResponse(self._application(request))),
            route(app, "PATCH", self._change),
            route(federated, "GET", self._vouching),
            route(federated, "POST", self._vouch),
            route("/v1.0/servicePrincipals", "POST", self._instantiate),
            route("/v1.0/servicePrincipals/{id}", "PATCH", self._change_principal),
        ]

    def named(self, text: str) -> list[Json]:
        """Return the service principals that a name or client id names."""
        return [p for p in self.principals.values() if text in p["servicePrincipalNames"]]

    def _application(self, request: Request) -> Json:
        key = request.path_params["id"]
        if key not in self.applications:
            raise _missing(key)
        return self.applications[key]

    def _list(self, request: Request, _: Json) -> Response:
        found = list(self.applications.values())
        for part in filter(None, request.query_params.get("$filter", "").split(" and ")):
            known = [(m, fits) for shape, fits in _FILTERS if (m := shape.fullmatch(part))]
            if not known:
                raise GraphError(400, "Request_UnsupportedQuery", f"Unsupported filter {part}.")
            ((match, fits),) = known
            found = [app for app in found if fits(app, match[1])]
        return JSONResponse({"value": found})

    def _register(self, _: Request, body: Json) -> Response:
        if not body.get("displayName"):
            raise _bad("A value is required for property 'displayName' of resource 'Application'.")
        app: Json = {
            "identifierUris": [],
            "appRoles": [],
            "web": {"redirectUris": []},
            "id": str(uuid.uuid4()),
            "appId": str(uuid.uuid4()),
        }
        _take(app, body)
        self.applications[app["id"]] = app
        return JSONResponse(app, 201)

    def _change(self, request: Request, body: Json) -> Response:
        _take(self._application(request), body)
        return Response(status_code=204)

    def _instantiate(self, _: Request, body: Json) -> Response:
        wanted = str(body.get("appId"))
        apps = [app for app in self.applications.values() if app["appId"] == wanted]
        if not apps:
            raise _bad(
                f"The appId '{wanted}' of the service principal does not reference a valid"
                " application object."
            )
        if self.named(wanted):
            words = f"The service principal cannot be created: {wanted} is already in use."
            raise GraphError(409, "Request_MultipleObjectsWithSameKeyValue", words)
        principal = {
            "id": str(uuid.uuid4()),
            "appId": wanted,
            "displayName": apps[0]["displayName"],
            "appRoleAssignmentRequired": False,
            "servicePrincipalType": "Application",
            "servicePrincipalNames": [wanted, *apps[0]["identifierUris"]],
            **{name: value for name, value in body.items() if name != "appId"},
        }
        self.principals[principal["id"]] = principal
        return JSONResponse(principal, 201)

    def _change_principal(self, request: Request, body: Json) -> Response:
        key = request.path_params["id"]
        if key not in self.principals:
            raise _missing(key)
        self.principals[key].update(body)
        return Response(status_code=204)

    def _vouching(self, request: Request, _: Json) -> Response:
        app = self._application(request)
        return JSONResponse({"value": self.credentials.get(app["id"], [])})

    def _vouch(self, request: Request, body: Json) -> Response:
        app = self._application(request)
        if lacking := [name for name in _CREDENTIAL if not body.get(name)]:
            raise _bad(f"Federated identity credentials need {', '.join(lacking)}.")
        held = self.credentials.setdefault(app["id"], [])
        same = [
            c
            for c in held
            if c["name"] == body["name"]
            or (c["issuer"], c["subject"]) == (body["issuer"], body["subject"])
        ]
        if same:
            words = "FederatedIdentityCredential with this name, or issuer and subject, exists."
            raise GraphError(409, "Request_MultipleObjectsWithSameKeyValue", words)
        made = {**body, "id": str(uuid.uuid4())}
        held.append(made)
        return JSONResponse(made, 201)


def _take(app: Json, body: Json) -> None:
    """Change an application.

    Raises:
        GraphError: The body has what Entra refuses.
    """
    for uri in body.get("identifierUris") or ():
        # Anything else has to hold a verified domain of the tenant.
        if uri != f"api://{app['appId']}":
            raise _bad(f"Values of identifierUris property must use a verified domain: {uri}")
    roles = body.get("appRoles") or []
    for role in roles:
        if not all(role.get(name) for name in ("id", "displayName", "description", "value")):
            raise _bad("One or more properties of an app role are missing.")
        uuid.UUID(str(role["id"]))
    if len({role["id"] for role in roles} | {role["value"] for role in roles}) != 2 * len(roles):
        raise _bad("App roles have the same id or value.")
    held = app.get("web") or {}
    app.update(body)
    if "web" in body:
        app["web"] = {**held, **body["web"]}


def _bad(message: str) -> GraphError:
    return GraphError(400, "Request_BadRequest", message)


def _missing(key: str) -> GraphError:
    words = f"Resource '{key}' does not exist or one of its queried reference-property objects are"
    return GraphError(404, "Request_ResourceNotFound", f"{words} not present.")
