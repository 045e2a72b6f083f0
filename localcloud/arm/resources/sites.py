"""Sites: function apps on Flex Consumption.

Source of the shapes: Microsoft.Web serverfarms and sites, the REST reference, and azure-cli 2.91
`appservice/custom.py`; of the settings that Flex refuses: learn.microsoft.com, "App settings
reference for Azure Functions", Flex Consumption plan deprecations.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.access import filtered
from localcloud.arm.errors import ArmError
from localcloud.arm.identities import assigned, forget_identity, identities_of
from localcloud.arm.kept import (
    GROUP,
    SUBSCRIPTION,
    group_id,
    group_of,
    location_of,
    missing,
    wire,
)
from localcloud.arm.model import Arm, Route
from localcloud.arm.schemas import web as schemas
from localcloud.functionapps import Deployment
from localcloud.state import Json, Resource

SITE_TYPE = "Microsoft.Web/sites"
_SITES = r"/providers/Microsoft\.Web/sites"
SITE = rf"{GROUP}{_SITES}/(?P<w>[^/]+)"

_REFUSED_OF_SITES = frozenset(
    {
        *("ftpsstate", "linuxfxversion", "netframeworkversion", "use32bitworkerprocess"),
        *("functionappscalelimit", "prewarmedinstancecount"),
        "functionsruntimescalemonitoringenabled",
    }
)
_REFUSED_ON_FLEX = frozenset(
    {
        *("ENABLE_ORYX_BUILD", "SCM_DO_BUILD_DURING_DEPLOYMENT", "FUNCTIONS_EXTENSION_VERSION"),
        *("FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_WORKER_RUNTIME_VERSION"),
        *("FUNCTIONS_MAX_HTTP_CONCURRENCY", "FUNCTIONS_WORKER_PROCESS_COUNT"),
        *("WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_CONTENTSHARE", "WEBSITE_CONTENTOVERVNET"),
        *("WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_VNET_ROUTE_ALL"),
    }
)
VERSIONS = ("3.13",)
"""Of Python: the worker code is in this process, so one is all there is."""


def site_of(arm: Arm, params: Mapping[str, str]) -> Resource:
    """Return the site of a path.

    Raises:
        ArmError: There is none.
    """
    found = arm.state.resource(f"{group_id(params)}/providers/{SITE_TYPE}/{params['w']}")
    if found is None:
        raise missing(SITE_TYPE, params["w"], params["g"])
    return found


def site_named(arm: Arm, name: str) -> Resource | None:
    """Return the site of a name; names are unique in Azure."""
    found = arm.state.resources(SITE_TYPE)
    return next((site for site in found if site.name.lower() == name.lower()), None)


def settings_id(site: Resource) -> str:
    """Return the id of a site's app settings."""
    return f"{site.id}/config/appsettings"


def settings_of(arm: Arm, site: Resource) -> dict[str, str]:
    """Return a site's app settings."""
    found = arm.state.resource(settings_id(site))
    return {name: str(value) for name, value in found.properties.items()} if found else {}


def check_site_config(config: Json) -> None:
    """Refuse what Flex Consumption has no use for.

    Source: Azure/terraform-azurerm-avm-res-web-site pull requests 345, 353 and 360,
    microsoft/azure-pipelines-tasks issue 21032.
    """
    refused = sorted(name for name in config if name.lower() in _REFUSED_OF_SITES)
    if refused:
        named = [f"Site.SiteConfig.{name[0].upper()}{name[1:]}" for name in refused]
        raise _refused("site configuration property", named)


def _refused(what: str, names: list[str]) -> ArmError:
    """Return Azure's answer to what Flex Consumption refuses: code 51021."""
    named = ", ".join(names)
    message = (
        f"The following {what} ({named}) for Flex Consumption sites is invalid. Please remove or"
        " rename it before retrying."
    )
    error = ArmError(400, "BadRequest", message)
    entity = {"ExtendedCode": "51021", "Parameters": [what, named], "Message": message}
    error.details = [{"Message": message}, {"Code": "BadRequest"}, {"ErrorEntity": entity}]
    return error


def set_settings(arm: Arm, site: Resource, settings: Json) -> None:
    """Set a site's app settings.

    Raises:
        ArmError: Flex Consumption refuses one.
    """
    refused = sorted(_REFUSED_ON_FLEX & settings.keys())
    if refused:
        raise _refused("app setting", [f"Site.SiteConfig.AppSettings.{name}" for name in refused])
    arm.state.put(Resource(settings_id(site), f"{SITE_TYPE}/config", "", settings, {}))


def apply(arm: Arm, site: Resource) -> None:
    """Start an app anew if its settings or identities have changed."""
    arm.apps.configure(site, settings_of(arm, site), identities_of(arm, site))


def _check_config(config: Json) -> None:
    runtime = config.get("runtime") or {}
    if (runtime.get("name"), runtime.get("version")) not in {("python", v) for v in VERSIONS}:
        raise ArmError(
            400,
            "BadRequest",
            f"functionAppConfig.runtime is {runtime}: the local cloud runs python"
            f" {', '.join(VERSIONS)}.",
        )


def _put_site(arm: Arm, request: Request, params: dict[str, str], body: Json) -> Response:
    group_of(arm, params)
    site_id = f"{group_id(params)}/providers/{SITE_TYPE}/{params['w']}"
    known, given = arm.state.resource(site_id), dict(body.get("properties") or {})
    name = params["w"].lower()
    if known is None and request.method == "PATCH":
        raise missing(SITE_TYPE, params["w"], params["g"])
    if known is None and site_named(arm, name) is not None:
        raise ArmError(409, "Conflict", f"Website with given name {params['w']} already exists.")
    properties = {**(known.properties if known else {}), **given}
    plan = arm.state.resource(str(properties.get("serverFarmId") or ""))
    if plan is None:
        raise ArmError(
            404, "NotFound", f"Cannot find ServerFarm with name {properties.get('serverFarmId')}."
        )
    _check_config(properties.get("functionAppConfig") or {})
    site_config = dict(properties.pop("siteConfig", None) or {})
    check_site_config(site_config)
    settings = site_config.pop("appSettings", None)
    hosts = (f"{name}.azurewebsites.net", f"{name}.scm.azurewebsites.net")
    site = Resource(
        known.id if known else site_id,
        SITE_TYPE,
        known.location if known else location_of(body),
        {
            **properties,
            "siteConfig": site_config,
            "state": "Running",
            "enabled": True,
            "hostNames": [hosts[0]],
            "enabledHostNames": list(hosts),
            "defaultHostName": hosts[0],
            "hostNameSslStates": [
                {"name": host, "sslState": "Disabled", "hostType": kind}
                for host, kind in zip(hosts, ("Standard", "Repository"), strict=True)
            ],
            "reserved": True,
            "sku": "FlexConsumption",
            "resourceGroup": params["g"],
            "availabilityState": "Normal",
            "provisioningState": "Succeeded",
        },
        body.get("tags") or (known.tags if known else {}),
        {
            "kind": body.get("kind") or (known.more["kind"] if known else "functionapp,linux"),
            **assigned(arm, known, site_id, body),
        },
    )
    if settings is not None:
        set_settings(arm, site, {entry["name"]: entry.get("value") for entry in settings})
    arm.state.put(site)
    apply(arm, site)
    return JSONResponse(wire(site))


def _get_site(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(wire(site_of(arm, params)))


@filtered
def _sites(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    start = group_id(params) if "g" in params else f"/subscriptions/{params['s']}"
    seen = [
        wire(site)
        for site in arm.state.resources(SITE_TYPE)
        if site.id.lower().startswith(f"{start}/".lower())
        and arm.may(request, f"{SITE_TYPE}/read", site.id)
    ]
    return paging.listed(arm, request, seen)


def _delete_site(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    try:
        site = site_of(arm, params)
    except ArmError:
        return Response(status_code=204)
    forget_site(arm, site)
    return Response(status_code=200)


def forget_site(arm: Arm, site: Resource) -> None:
    """End an app and delete its site."""
    arm.apps.delete(site.id)
    for child in arm.state.under(site.id):
        arm.state.remove(child.id)
    forget_identity(arm, site)
    arm.state.remove(site.id)
    arm.roles.forget_scope(site.id)


def publish(arm: Arm, site: Resource, package: bytes) -> Deployment:
    """Publish a package to a site; see FunctionApps.publish."""
    return arm.apps.publish(site, settings_of(arm, site), identities_of(arm, site), package)


ROUTES: tuple[Route, ...] = (
    Route("GET", rf"{SUBSCRIPTION}{_SITES}", versions.WEB, _sites),
    Route("GET", rf"{GROUP}{_SITES}", versions.WEB, _sites),
    Route("GET", SITE, versions.WEB, _get_site),
    Route("PUT", SITE, versions.WEB, _put_site, schemas.SITE),
    Route("PATCH", SITE, versions.WEB, _put_site, schemas.SITE),
    Route("DELETE", SITE, versions.WEB, _delete_site),
)
