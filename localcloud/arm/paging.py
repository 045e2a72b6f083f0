"""Pages of lists: the next page begins after the last item of this one, whatever came since."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse

from localcloud.arm.errors import ArmError
from localcloud.arm.model import Arm
from localcloud.state import Json

_TOKEN = "$skiptoken"


def number(request: Request, name: str, default: int) -> int:
    """Return a number of the query.

    Raises:
        ArmError: It is something else.
    """
    text = request.query_params.get(name) or str(default)
    if not text.isdecimal():
        raise ArmError(400, "InvalidQueryParameter", f"{name} is {text!r}, not a number.")
    return int(text)


def after(request: Request) -> str | None:
    """Return the key after which a page begins; None for the first page.

    Raises:
        ArmError: The page's token was not made here.
    """
    text = request.query_params.get(_TOKEN)
    if text is None:
        return None
    try:
        return base64.b64decode(text, b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise bad_token(text) from error


def bad_token(text: str) -> ArmError:
    """Return ARM's answer to a page's token that it does not know."""
    return ArmError(400, "InvalidQueryParameter", f"{_TOKEN} is {text!r}, not a page's token.")


def listed(arm: Arm, request: Request, items: Sequence[Json]) -> JSONResponse:
    """Return a page of a list as ARM sends it.

    A page begins after the last item of the one before. If that is gone, it begins where it was.

    Args:
        arm: For the size of pages.
        request: What asked for the list.
        items: All of it, in an order that stays.
    """
    size, start = arm.behaviour.page_size, 0
    token = after(request)
    if token is not None:
        index, _, last = token.partition(":")
        if not index.isdecimal() or not last:
            raise bad_token(token)
        keys = [_key(item) for item in items]
        start = keys.index(last) + 1 if last in keys else int(index)
    page = items[start : start + size]
    more = len(items) > start + size
    following = f"{start + size - 1}:{_key(page[-1])}" if more else None
    return JSONResponse(answer(arm, request, page, following))


def _key(item: Json) -> str:
    return str(item.get("id") or item.get("name") or json.dumps(item, sort_keys=True))


def answer(
    arm: Arm, request: Request, page: Sequence[Json], last: str | None, top: int | None = None
) -> Json:
    """Return a page as ARM sends it.

    Args:
        arm: For how ARM writes its own address.
        request: What asked for it.
        page: Its items.
        last: The key of the last item, if there are more pages.
        top: How many items `$top` still allows after this page, if it was asked for.
    """
    if last is None:
        return {"value": page}
    more = {_TOKEN: base64.urlsafe_b64encode(last.encode()).decode()}
    if top is not None:
        more["$top"] = str(top)
    link = request.url.replace(scheme="https").include_query_params(**more)
    if arm.behaviour.links_name_a_port:
        link = link.replace(netloc=f"{str(link.hostname).title()}:443")
    return {"value": page, "nextLink": str(link)}
