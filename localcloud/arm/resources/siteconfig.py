"""A site's configuration: app settings, web, who is let in, publishing credentials."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import versions
from localcloud.arm.errors import ArmError
from localcloud.arm.kept import wire
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources.sites import (
    SITE,
    SITE_TYPE,
    apply,
    check_site_config,
    set_settings,
    settings_id,
    settings_of,
    site_of,
)
from localcloud.arm.schemas import web as schemas
from localcloud.state import Json, Resource

_POLICY = rf"{SITE}/basicPublishingCredentialsPolicies/(?P<k>scm|ftp)"


def _put_settings(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    site = site_of(arm, params)
    set_settings(arm, site, dict(body.get("properties") or {}))
    apply(arm, site)
    return JSONResponse(_settings_wire(site, settings_of(arm, site)))


def _list_settings(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    site = site_of(arm, params)
    return JSONResponse(_settings_wire(site, settings_of(arm, site)))


def _no_settings(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    """Refuse to show app settings to whoever may read: they are listed by POST.

    Source: Microsoft.Web sites, "List Application Settings", the REST reference.
    """
    site_of(arm, params)
    raise ArmError(
        405, "MethodNotAllowed", "The requested resource does not support http method 'GET'."
    )


def _get_web(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    site = site_of(arm, params)
    return JSONResponse(
        {
            "id": f"{site.id}/config/web",
            "name": site.name,
            "type": f"{SITE_TYPE}/config",
            "location": site.location,
            "properties": {"numberOfWorkers": 1, **(site.properties.get("siteConfig") or {})},
        }
    )


def _put_web(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    """Change a site's configuration; access restrictions are what people change of it."""
    site = site_of(arm, params)
    given = dict(body.get("properties") or {})
    check_site_config(given)
    site.properties["siteConfig"] = {**(site.properties.get("siteConfig") or {}), **given}
    arm.state.put(site)
    return _get_web(arm, request, params, {})


def sign_in_of(arm: Arm, site: Resource) -> Json:
    """Return who is let in to a site, as `authsettingsV2` has it; empty if nobody said."""
    found = arm.state.resource(f"{site.id}/config/authsettingsV2")
    return found.properties if found else {}


def _put_sign_in(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    site = site_of(arm, params)
    place, given = f"{site.id}/config/authsettingsV2", dict(body.get("properties") or {})
    arm.state.put(Resource(place, f"{SITE_TYPE}/config", "", given, {}))
    return _get_sign_in(arm, request, params, {})


def _get_sign_in(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    site = site_of(arm, params)
    return JSONResponse(
        {
            "id": f"{site.id}/config/authsettingsV2",
            "name": "authsettingsV2",
            "type": f"{SITE_TYPE}/config",
            "location": site.location,
            "properties": sign_in_of(arm, site),
        }
    )


def _slot_names(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    site = site_of(arm, params)
    return JSONResponse(
        {
            "id": f"{site.id}/config/slotConfigNames",
            "name": site.name,
            "type": SITE_TYPE,
            "properties": {"appSettingNames": None, "connectionStringNames": None},
        }
    )


def _policy(site: Resource, kind: str) -> Resource:
    place = f"{site.id}/basicPublishingCredentialsPolicies/{kind}"
    # Flex Consumption publishes with Entra's tokens alone.
    properties = {"allow": False}
    return Resource(place, f"{SITE_TYPE}/basicPublishingCredentialsPolicies", "", properties, {})


def _put_policy(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    made = _policy(site_of(arm, params), params["k"].lower())
    made.properties.update(body.get("properties") or {})
    arm.state.put(made)
    return _answer_policy(made)


def _get_policy(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    default = _policy(site_of(arm, params), params["k"].lower())
    return _answer_policy(arm.state.resource(default.id) or default)


def _answer_policy(policy: Resource) -> Response:
    told = wire(policy)
    del told["location"], told["tags"]
    return JSONResponse(told)


def _settings_wire(site: Resource, settings: Json) -> Json:
    return {
        "id": settings_id(site),
        "name": "appsettings",
        "type": f"{SITE_TYPE}/config",
        "location": site.location,
        "properties": settings,
    }


ROUTES: tuple[Route, ...] = (
    Route("PUT", rf"{SITE}/config/appsettings", versions.WEB, _put_settings, schemas.SETTINGS),
    Route("GET", rf"{SITE}/config/appsettings", versions.WEB, _no_settings),
    Route("POST", rf"{SITE}/config/appsettings/list", versions.WEB, _list_settings),
    Route("GET", rf"{SITE}/config/web", versions.WEB, _get_web),
    Route("PUT", rf"{SITE}/config/web", versions.WEB, _put_web, schemas.CONFIG),
    Route("PATCH", rf"{SITE}/config/web", versions.WEB, _put_web, schemas.CONFIG),
    Route("GET", rf"{SITE}/config/authsettingsV2", versions.WEB, _get_sign_in),
    Route("PUT", rf"{SITE}/config/authsettingsV2", versions.WEB, _put_sign_in, schemas.SIGN_IN),
    Route("GET", rf"{SITE}/config/slotConfigNames", versions.WEB, _slot_names),
    Route("GET", _POLICY, versions.WEB, _get_policy),
    Route("PUT", _POLICY, versions.WEB, _put_policy, schemas.POLICY),
)
