"""App Service as far as a function app on Flex Consumption needs it: plans, sites, settings, keys.

Source of the shapes: Microsoft.Web serverfarms and sites, the REST reference, and azure-cli 2.91
`appservice/custom.py`; of the settings that Flex refuses: learn.microsoft.com, "App settings
reference for Azure Functions", Flex Consumption plan deprecations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.access import filtered
from localcloud.arm.errors import ArmError
from localcloud.arm.identities import assigned, forget_identity, identities_of
from localcloud.arm.resources import ANY, GROUP, SUBSCRIPTION, group_of, location_of, wire
from localcloud.functionapps import Deployment
from localcloud.state import Json, Resource

if TYPE_CHECKING:
    from localcloud.arm.app import Arm, Handler

SITE_TYPE = "Microsoft.Web/sites"
PLAN_TYPE = "Microsoft.Web/serverfarms"
_PLANS = r"/providers/Microsoft\.Web/serverfarms"
_SITES = r"/providers/Microsoft\.Web/sites"
_PLAN = rf"{GROUP}{_PLANS}/(?P<p>[^/]+)"
_SITE = rf"{GROUP}{_SITES}/(?P<w>[^/]+)"
_POLICY = rf"{_SITE}/basicPublishingCredentialsPolicies/(?P<k>scm|ftp)"

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
# The worker code is in this process; one Python is all there is.
_VERSIONS = ("3.13",)


def _missing(kind: str, name: str, group: str) -> ArmError:
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{name}' under resource group '{group}' was not found. For more"
        " details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def _group(params: Mapping[str, str]) -> str:
    return f"/subscriptions/{params['s']}/resourceGroups/{params['g']}"


def _put_plan(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    group_of(arm, params)
    plan_id = f"{_group(params)}/providers/{PLAN_TYPE}/{params['p']}"
    known = arm.state.resource(plan_id)
    sku = body.get("sku") or (known.more["sku"] if known else None)
    if not sku or sku.get("name") != "FC1":
        raise ArmError(
            400, "BadRequest", "The local cloud has Flex Consumption alone: sku.name is FC1."
        )
    plan = Resource(
        known.id if known else plan_id,
        PLAN_TYPE,
        known.location if known else location_of(body),
        {**(body.get("properties") or {}), "status": "Ready", "provisioningState": "Succeeded"},
        body.get("tags") or {},
        {
            "kind": body.get("kind") or "functionapp",
            "sku": {"name": "FC1", "tier": "FlexConsumption", "size": "FC1", "family": "FC"},
        },
    )
    arm.state.put(plan)
    return JSONResponse(wire(plan))


def _get_plan(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    found = arm.state.resource(f"{_group(params)}/providers/{PLAN_TYPE}/{params['p']}")
    if found is None:
        raise _missing(PLAN_TYPE, params["p"], params["g"])
    return JSONResponse(wire(found))


def _delete_plan(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    gone = arm.state.remove(f"{_group(params)}/providers/{PLAN_TYPE}/{params['p']}")
    return Response(status_code=200 if gone else 204)


def site_of(arm: Arm, params: Mapping[str, str]) -> Resource:
    """Return the site of a path.

    Raises:
        ArmError: There is none.
    """
    found = arm.state.resource(f"{_group(params)}/providers/{SITE_TYPE}/{params['w']}")
    if found is None:
        raise _missing(SITE_TYPE, params["w"], params["g"])
    return found


def site_named(arm: Arm, name: str) -> Resource | None:
    """Return the site of a name; names are unique in Azure."""
    found = arm.state.resources(SITE_TYPE)
    return next((site for site in found if site.name.lower() == name.lower()), None)


def _settings_id(site: Resource) -> str:
    return f"{site.id}/config/appsettings"


def settings_of(arm: Arm, site: Resource) -> dict[str, str]:
    """Return a site's app settings."""
    found = arm.state.resource(_settings_id(site))
    return {name: str(value) for name, value in found.properties.items()} if found else {}


def _check_site_config(config: Json) -> None:
    """Refuse what Flex Consumption has no use for.

    Source: Azure/terraform-azurerm-avm-res-web-site pull requests 345, 353 and 360,
    microsoft/azure-pipelines-tasks issue 21032.
    """
    refused = sorted(name for name in config if name.lower() in _REFUSED_OF_SITES)
    if refused:
        named = ", ".join(f"Site.SiteConfig.{name[0].upper()}{name[1:]}" for name in refused)
        message = (
            f"The following site configuration property ({named}) for Flex Consumption sites is"
            " invalid. Please remove or rename it before retrying."
        )
        error = ArmError(400, "BadRequest", message)
        entity = {"ExtendedCode": "51021", "Parameters": [named], "Message": message}
        error.details = [{"Message": message}, {"Code": "BadRequest"}, {"ErrorEntity": entity}]
        raise error


def _set_settings(arm: Arm, site: Resource, settings: Json) -> None:
    refused = sorted(_REFUSED_ON_FLEX & settings.keys())
    if refused:
        named = ", ".join(f"Site.SiteConfig.AppSettings.{name}" for name in refused)
        raise ArmError(
            400,
            "BadRequest",
            f"The following app setting ({named}) for Flex Consumption sites is invalid. Please"
            " remove or rename it before retrying.",
        )
    arm.state.put(Resource(_settings_id(site), f"{SITE_TYPE}/config", "", settings, {}))


def _apply(arm: Arm, site: Resource) -> None:
    arm.apps.configure(site, settings_of(arm, site), identities_of(arm, site))


def _check_config(config: Json) -> None:
    runtime = config.get("runtime") or {}
    if (runtime.get("name"), runtime.get("version")) not in {("python", v) for v in _VERSIONS}:
        raise ArmError(
            400,
            "BadRequest",
            f"functionAppConfig.runtime is {runtime}: the local cloud runs python"
            f" {', '.join(_VERSIONS)}.",
        )


def _put_site(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    group_of(arm, params)
    site_id = f"{_group(params)}/providers/{SITE_TYPE}/{params['w']}"
    known, given = arm.state.resource(site_id), dict(body.get("properties") or {})
    name = params["w"].lower()
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
    _check_site_config(site_config)
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
        _set_settings(arm, site, {entry["name"]: entry.get("value") for entry in settings})
    arm.state.put(site)
    _apply(arm, site)
    return JSONResponse(wire(site))


def _get_site(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    return JSONResponse(wire(site_of(arm, params)))


@filtered
def _sites(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    start = _group(params) if "g" in params else f"/subscriptions/{params['s']}"
    seen = [
        wire(site)
        for site in arm.state.resources(SITE_TYPE)
        if site.id.lower().startswith(f"{start}/".lower())
        and arm.may(request, f"{SITE_TYPE}/read", site.id)
    ]
    return JSONResponse({"value": seen})


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


def _settings_wire(site: Resource, settings: Json) -> Json:
    return {
        "id": _settings_id(site),
        "name": "appsettings",
        "type": f"{SITE_TYPE}/config",
        "location": site.location,
        "properties": settings,
    }


def _put_settings(arm: Arm, _: Request, params: dict[str, str], body: Json) -> Response:
    site = site_of(arm, params)
    _set_settings(arm, site, dict(body.get("properties") or {}))
    _apply(arm, site)
    return JSONResponse(_settings_wire(site, settings_of(arm, site)))


def _list_settings(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    site = site_of(arm, params)
    return JSONResponse(_settings_wire(site, settings_of(arm, site)))


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


def _function(site: Resource, name: str, bindings: list[Json]) -> Json:
    host = site.properties["defaultHostName"]
    return {
        "id": f"{site.id}/functions/{name}",
        "name": f"{site.name}/{name}",
        "type": f"{SITE_TYPE}/functions",
        "location": site.location,
        "properties": {
            "name": name,
            "function_app_id": None,
            "script_href": f"https://{host}/admin/vfs/home/site/wwwroot/function_app.py",
            "href": f"https://{host}/admin/functions/{name}",
            "config": {
                "name": name,
                "entryPoint": name,
                "scriptFile": "function_app.py",
                "language": "python",
                "functionDirectory": "/home/site/wwwroot",
                "bindings": bindings,
            },
            "language": "python",
            "isDisabled": False,
        },
    }


def _functions(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    site = site_of(arm, params)
    found = arm.apps.functions(site.id)
    return JSONResponse({"value": [_function(site, name, found[name]) for name in found]})


def _one_function(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    site = site_of(arm, params)
    found = arm.apps.functions(site.id)
    name = next((name for name in found if name.lower() == params["f"].lower()), None)
    if name is None:
        raise ArmError(404, "NotFound", f"The function '{params['f']}' was not found.")
    return JSONResponse(_function(site, name, found[name]))


def _sync(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    """Sync triggers: the functions here are known as soon as they are published."""
    site_of(arm, params)
    return Response(status_code=204)


def _keys(arm: Arm, _: Request, params: dict[str, str], __: Json) -> Response:
    keys = arm.apps.keys(site_of(arm, params).id)
    return JSONResponse(
        {
            "masterKey": keys["master"],
            "functionKeys": {"default": keys["function"]},
            "systemKeys": {"eventgrid_extension": keys["eventgrid"]},
        }
    )


@filtered
def _stacks(_: Arm, __: Request, ___: dict[str, str], ____: Json) -> Response:
    versions = [
        {
            "displayText": f"Python {version}",
            "value": version,
            "stackSettings": {
                "linuxRuntimeSettings": {
                    "runtimeVersion": f"Python|{version}",
                    "appInsightsSettings": {"isSupported": True},
                    "gitHubActionSettings": {"isSupported": True, "supportedVersion": version},
                    "appSettingsDictionary": {"FUNCTIONS_WORKER_RUNTIME": "python"},
                    "siteConfigPropertiesDictionary": {"linuxFxVersion": f"Python|{version}"},
                    "supportedFunctionsExtensionVersions": ["~4"],
                    "isDefault": True,
                    "Sku": [
                        {
                            "skuCode": "FC1",
                            "instanceMemoryMB": [{"size": 2048, "isDefault": True}],
                            "maximumInstanceCount": {
                                "lowestMaximumInstanceCount": 40,
                                "highestMaximumInstanceCount": 1000,
                                "defaultValue": 100,
                            },
                            "functionAppConfigProperties": {
                                "runtime": {"name": "python", "version": version}
                            },
                        }
                    ],
                }
            },
        }
        for version in _VERSIONS
    ]
    stack = {"displayText": "Python 3", "value": "3", "minorVersions": versions}
    properties = {"displayText": "Python", "value": "python", "majorVersions": [stack]}
    return JSONResponse({"value": [{"name": "python", "properties": properties}]})


def publish(arm: Arm, site: Resource, package: bytes) -> Deployment:
    """Publish a package to a site; see FunctionApps.publish."""
    return arm.apps.publish(site, settings_of(arm, site), identities_of(arm, site), package)


ROUTES: tuple[tuple[str, str, frozenset[str], Handler], ...] = (
    ("GET", _PLAN, ANY, _get_plan),
    ("PUT", _PLAN, ANY, _put_plan),
    ("DELETE", _PLAN, ANY, _delete_plan),
    ("GET", rf"{SUBSCRIPTION}{_SITES}", ANY, _sites),
    ("GET", rf"{GROUP}{_SITES}", ANY, _sites),
    ("GET", _SITE, ANY, _get_site),
    ("PUT", _SITE, ANY, _put_site),
    ("PATCH", _SITE, ANY, _put_site),
    ("DELETE", _SITE, ANY, _delete_site),
    ("PUT", rf"{_SITE}/config/appsettings", ANY, _put_settings),
    ("GET", rf"{_SITE}/config/appsettings", ANY, _list_settings),
    ("POST", rf"{_SITE}/config/appsettings/list", ANY, _list_settings),
    ("GET", rf"{_SITE}/config/web", ANY, _get_web),
    ("GET", rf"{_SITE}/config/slotConfigNames", ANY, _slot_names),
    ("GET", _POLICY, ANY, _get_policy),
    ("PUT", _POLICY, ANY, _put_policy),
    ("GET", rf"{_SITE}/functions", ANY, _functions),
    ("GET", rf"{_SITE}/functions/(?P<f>[^/]+)", ANY, _one_function),
    ("POST", rf"{_SITE}/host/default/listKeys", ANY, _keys),
    ("POST", rf"{_SITE}/host/default/sync", ANY, _sync),
    ("GET", r"/providers/Microsoft\.Web/locations/[^/]+/functionAppStacks", ANY, _stacks),
)
