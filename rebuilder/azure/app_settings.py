"""The settings of a function app, as ARM gives them to who may read them."""

from __future__ import annotations

import re

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.rest import HttpRequest, HttpResponse

from rebuilder.azure._clients import TIMEOUTS
from rebuilder.azure._errors import answered
from rebuilder.azure.throttle import ReadRetryPolicy
from rebuilder.errors import InvalidResourceId

_VERSION = "2025-03-01"
_SITE = re.compile(
    r"/subscriptions/[^/?#]+/resourceGroups/[^/?#]+/providers/Microsoft\.Web/sites/[^/?#]+"
    r"(/slots/[^/?#]+)?",
    re.IGNORECASE,
)


def app_settings(identity: TokenCredential, arm_endpoint: str, site: str) -> dict[str, str]:
    """Read a function app's settings; the right is Microsoft.Web/sites/config/list/action.

    Args:
        identity: Who asks.
        arm_endpoint: ARM's address.
        site: The app's resource id.

    Returns:
        The values by their names. A reference to Key Vault is returned as it is.

    Raises:
        InvalidResourceId: `site` is none of a function app.
        NotFound, Denied, TransientError: They cannot be had.
    """
    if not _SITE.fullmatch(site):
        raise InvalidResourceId(
            f"{site!r} is no function app's resource id: write /subscriptions/ID/resourceGroups/"
            "NAME/providers/Microsoft.Web/sites/NAME"
        )
    client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
        arm_endpoint,
        policies=[
            ReadRetryPolicy(),
            BearerTokenCredentialPolicy(identity, f"{arm_endpoint}/.default"),
        ],
        **TIMEOUTS,
    )
    place = f"{arm_endpoint}{site}/config/appsettings/list?api-version={_VERSION}"
    with client, answered(f"read the settings of {site}"):
        answer = client.send_request(HttpRequest("POST", place))
        answer.raise_for_status()
        found = answer.json().get("properties") or {}
        return {str(name): str(value) for name, value in found.items()}
