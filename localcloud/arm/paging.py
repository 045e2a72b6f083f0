"""Lists in pages, each with the address of the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.arm.errors import ArmError
from localcloud.state import Json


def page[T](
    request: Request, items: Iterable[tuple[str, T]], size: int, wire: Callable[[T], Json]
) -> Response:
    """Answer with the page of a list that a request's $skiptoken names.

    Args:
        request: The request.
        items: Every item, in the order of its key. A page begins after a key and not at a number,
            so that items which come or go between two pages neither shift nor repeat the others.
        size: How many items a page holds at most.
        wire: Returns an item as ARM writes it.
    """
    token = request.query_params.get("$skiptoken", "")
    rest = [(key, item) for key, item in items if key > token]
    answer: Json = {"value": [wire(item) for _, item in rest[:size]]}
    if len(rest) > size:
        following = {"$skiptoken": rest[size - 1][0]}
        # TLS ends before the app, so the app's own idea of the scheme is not the client's.
        answer["nextLink"] = str(
            request.url.replace(scheme="https").include_query_params(**following)
        )
    return JSONResponse(answer)


def top(request: Request, default: int) -> int:
    """Return how many items a request wants on a page: $top, and never more than `default`.

    Raises:
        ArmError: $top is not a positive number.
    """
    text = request.query_params.get("$top", str(default))
    if not text.isdecimal() or int(text) == 0:
        raise ArmError(400, "InvalidQueryParameter", f"$top must be a positive number: '{text}'.")
    return min(int(text), default)
