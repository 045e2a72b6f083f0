"""Locks that keep something from being deleted, on a resource, a group or a subscription.

Source of the words: learn.microsoft.com, "Lock your Azure resources to protect your
infrastructure", and the error ScopeLocked as users report it (azure-cli issue 24370).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.errors import ArmError
from localcloud.arm.kept import ANY
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources import anything
from localcloud.state import Json

_LOCKS = "/providers/microsoft.authorization/locks"
_PATH = r"(?P<scope>/subscriptions/(?P<s>[^/]+).*)/providers/Microsoft\.Authorization/locks"


def check(arm: Arm, path: str) -> None:
    """Refuse to delete what a lock holds: the locked, what is below it, and what it is in.

    Raises:
        ArmError: It is locked.
    """
    target = path.rstrip("/").lower()
    if _LOCKS in target:
        return
    held = sorted(
        str(lock["id"])[: key.index(_LOCKS)]
        for key, lock in arm.plain.items()
        if _LOCKS in key and _reaches(key[: key.index(_LOCKS)], target)
    )
    if held:
        raise ArmError(
            409,
            "ScopeLocked",
            f"The scope '{path}' cannot perform delete operation because following scope(s) are"
            f" locked: '{', '.join(held)}'. Please remove the lock and try again.",
        )


def _reaches(scope: str, target: str) -> bool:
    return f"{target}/".startswith(f"{scope}/") or f"{scope}/".startswith(f"{target}/")


def _list(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    scope = f"{params['scope'].rstrip('/')}/".lower()
    found = [lock for key, lock in arm.plain.items() if _LOCKS in key and key.startswith(scope)]
    return JSONResponse({"value": found})


def _put(arm: Arm, request: Request, _: dict[str, str], body: Json) -> Response:
    status, kept = anything.keep(arm, request.url.path, body)
    return JSONResponse(kept, status)


ROUTES: tuple[Route, ...] = (
    Route("GET", _PATH, ANY, _list),
    Route("PUT", rf"{_PATH}/(?P<l>[^/]+)", ANY, _put),
)
