"""What the caller may do somewhere.

Source of the shape: Microsoft.Authorization permissions 2022-04-01, the REST reference: one entry
per role that the caller has at the scope or above it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from localcloud.arm import paging, versions
from localcloud.arm.access import filtered
from localcloud.arm.model import Arm, Route
from localcloud.state import Json


# Whoever has any token may ask, for it tells only of themselves.
@filtered
def _list(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    held = arm.roles.permissions(arm.principal(request).object_id, params["scope"])
    return paging.listed(
        arm,
        request,
        [
            {
                "actions": list(permission.actions),
                "notActions": list(permission.not_actions),
                "dataActions": list(permission.data_actions),
                "notDataActions": list(permission.not_data_actions),
            }
            for permission in held
        ],
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        r"(?P<scope>/.+)/providers/Microsoft\.Authorization/permissions",
        versions.ROLES,
        _list,
    ),
)
