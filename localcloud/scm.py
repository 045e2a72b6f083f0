"""The sites of a function app: the app itself, and Kudu's, to which a package is published.

Source: what azure-cli 2.91 `functionapp deployment source config-zip` and `functionapp deploy`
send (`appservice/custom.py`): a zip archive with a bearer token to `/api/publish`, then
`/api/deployments/latest` until it says that it is over.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from localcloud.arm import Arm
from localcloud.arm.access import AUDIENCES
from localcloud.arm.resources.siteconfig import sign_in_of
from localcloud.arm.resources.sites import publish, site_named
from localcloud.easyauth import let_in
from localcloud.functionapps import Deployment
from localcloud.network import ASGIApp
from localcloud.state import Resource
from localcloud.tokens import InvalidToken

HOST = "*.scm.azurewebsites.net"
SITE_HOST = "*.azurewebsites.net"

_AUDIENCES = (*AUDIENCES, "https://appservice.azure.com")
_ACTION = "Microsoft.Web/sites/publish/Action"
_ALL = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
_FROM = ip_address("127.0.0.1")  # where everybody comes from here
_SECONDS = 230.0  # what App Service's load balancer allows


def scm_app(arm: Arm) -> ASGIApp:
    """Return the publishing sites of every function app."""

    def site(request: Request) -> Resource | Response:
        found = site_named(arm, str(request.url.hostname).partition(".")[0])
        if found is None:
            return Response(status_code=404)
        if _shut_out(found):
            return PlainTextResponse("Ip Forbidden", 403)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        # Basic credentials are off: basicPublishingCredentialsPolicies.
        if kind.lower() != "bearer":
            return Response(status_code=401)
        try:
            principal = arm.tokens.check(token, _AUDIENCES)
        except InvalidToken:
            return Response(status_code=401)
        allowed = arm.roles.allows(principal.object_id, _ACTION, found.id)
        return found if allowed else Response(status_code=403)

    async def take(request: Request) -> Response:
        found = site(request)
        if isinstance(found, Response):
            return found
        deployment = publish(arm, found, await request.body())
        return JSONResponse(deployment.id, 202)

    def latest(request: Request) -> Response:
        found = site(request)
        if isinstance(found, Response):
            return found
        known = arm.apps.deployments(found.id)
        wanted = request.path_params.get("id", "latest")
        chosen = [d for d in known if wanted in ("latest", d.id)]
        if not chosen:
            return JSONResponse({"Message": f"No deployment '{wanted}' found."}, 404)
        return JSONResponse(_wire(chosen[-1]))

    def every(request: Request) -> Response:
        found = site(request)
        if isinstance(found, Response):
            return found
        return JSONResponse([_wire(d) for d in reversed(arm.apps.deployments(found.id))])

    def log(request: Request) -> Response:
        found = site(request)
        if isinstance(found, Response):
            return found
        wanted = request.path_params["id"]
        told = [d.text for d in arm.apps.deployments(found.id) if wanted in ("latest", d.id)]
        return JSONResponse([{"message": text, "details_url": None} for text in told[-1:]])

    return Starlette(
        routes=[
            Route("/api/publish", take, methods=["POST"]),
            Route("/api/deployments", every),
            Route("/api/deployments/{id}", latest),
            Route("/api/deployments/{id}/log", log),
        ]
    )


def _shut_out(site: Resource) -> bool:
    """Tell whether the access restrictions of a site let nobody publish from this machine."""
    config = site.properties.get("siteConfig") or {}
    kind = "ipSecurity" if config.get("scmIpSecurityRestrictionsUseMain") else "scmIpSecurity"
    rules = sorted(config.get(f"{kind}Restrictions") or (), key=lambda r: r.get("priority") or 0)
    for rule in rules:
        place = str(rule.get("ipAddress") or "")
        # A service tag or a subnet is not this machine.
        if "/" in place and _FROM in ip_network(place):
            return str(rule.get("action")).lower() == "deny"
    return str(config.get(f"{kind}RestrictionsDefaultAction")).lower() == "deny"


def _wire(deployment: Deployment) -> dict[str, object]:
    return {
        "id": deployment.id,
        "status": deployment.status,
        "status_text": deployment.text,
        "progress": "" if deployment.status > 2 else "Starting the app",  # noqa: PLR2004 - Kudu's
        "complete": deployment.status > 2,  # noqa: PLR2004 - the same
        "active": deployment.status == 4,  # noqa: PLR2004 - the same
        "deployer": "OneDeploy",
    }


def sites_app(arm: Arm) -> ASGIApp:
    """Return the function apps' own sites: what is asked of one goes to its process."""

    def ask(request: Request, body: bytes) -> Response:
        site = site_named(arm, str(request.url.hostname).partition(".")[0])
        if site is None:
            return Response(status_code=404)
        address = arm.apps.address(site.id)
        if not address:
            return PlainTextResponse("Function host is not running.", 503)
        told = let_in(arm.tokens, sign_in_of(arm, site), request)
        if isinstance(told, Response):
            return told
        headers = {k: v for k, v in told.items() if k != "content-length"}
        question = f"?{request.url.query}" if request.url.query else ""
        try:
            answer = httpx.request(
                request.method,
                f"{address}{request.url.path}{question}",
                headers=headers,
                content=body,
                timeout=_SECONDS,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            return PlainTextResponse(type(error).__name__, 502)
        # It was unpacked on the way.
        packed = ("content-length", "content-encoding", "transfer-encoding")
        kept = {k: v for k, v in answer.headers.items() if k not in packed}
        return Response(answer.content, answer.status_code, kept)

    async def every(request: Request) -> Response:
        return await run_in_threadpool(ask, request, await request.body())

    return Starlette(routes=[Route("/{path:path}", every, methods=_ALL)])
