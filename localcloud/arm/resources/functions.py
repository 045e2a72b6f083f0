"""The functions of an app, its keys, and what App Service runs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm import paging, versions
from localcloud.arm.access import filtered
from localcloud.arm.errors import ArmError
from localcloud.arm.model import Arm, Route
from localcloud.arm.resources.sites import SITE, SITE_TYPE, VERSIONS, site_of
from localcloud.state import Json, Resource


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


def _functions(arm: Arm, request: Request, params: dict[str, str], _: Json) -> Response:
    site = site_of(arm, params)
    found = arm.apps.functions(site.id)
    return paging.listed(arm, request, [_function(site, name, found[name]) for name in found])


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
def _stacks(arm: Arm, request: Request, _: dict[str, str], __: Json) -> Response:
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
        for version in VERSIONS
    ]
    stack = {"displayText": "Python 3", "value": "3", "minorVersions": versions}
    properties = {"displayText": "Python", "value": "python", "majorVersions": [stack]}
    return paging.listed(arm, request, [{"name": "python", "properties": properties}])


ROUTES: tuple[Route, ...] = (
    Route("GET", rf"{SITE}/functions", versions.WEB, _functions),
    Route("GET", rf"{SITE}/functions/(?P<f>[^/]+)", versions.WEB, _one_function),
    Route("POST", rf"{SITE}/host/default/listKeys", versions.WEB, _keys),
    Route("POST", rf"{SITE}/host/default/sync", versions.WEB, _sync),
    Route(
        "GET", r"/providers/Microsoft\.Web/locations/[^/]+/functionAppStacks", versions.WEB, _stacks
    ),
)
