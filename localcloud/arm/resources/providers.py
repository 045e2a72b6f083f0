"""Resource providers, which a subscription has to be registered for; here it always is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.kept import ANY, SUBSCRIPTION
from localcloud.arm.model import Arm, Route
from localcloud.state import Json

# What the Azure CLI asks for where nobody names an API version: `az resource update`.
_TYPES = {
    "microsoft.containerregistry": [
        {"resourceType": "registries", "apiVersions": ["2025-11-01"], "locations": []}
    ]
}
_PROVIDER = rf"{SUBSCRIPTION}/providers/(?P<n>[^/]+)"


def _answer(_: Arm, __: Request, params: dict[str, str], ___: Json) -> Response:
    place = f"/subscriptions/{params['s']}/providers/{params['n']}"
    told = {
        "id": place,
        "namespace": params["n"],
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": _TYPES.get(params["n"].lower(), []),
    }
    return JSONResponse(told)


ROUTES: tuple[Route, ...] = (
    Route("GET", _PROVIDER, ANY, _answer),
    Route("POST", rf"{_PROVIDER}/register", ANY, _answer),
)
