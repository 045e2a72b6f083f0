"""Requests become answers: who asks, from where, whether they may, and what they are told."""

from __future__ import annotations

import gzip
import hashlib
import logging
import threading
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import msgspec

from rebuilder.core.policies.acts import Target, What
from rebuilder.core.shown import shown
from rebuilder.errors import Denied, NotFound, PermanentError, RebuilderError, TransientError
from rebuilder.isolation import attempt
from rebuilder.usecases.context import Context
from rebuilder.usecases.steering.acts import ask
from rebuilder.usecases.views._values import Value
from rebuilder.usecases.views.overview import Changes
from rebuilder.usecases.views.report import Reports
from rebuilder.web.endpoints import ENDPOINTS, Call, Endpoint, arguments
from rebuilder.web.http import SECURITY, Answer, Refusal, Request, in_json
from rebuilder.web.principals import Principal
from rebuilder.web.static import static_answer

log = logging.getLogger(__name__)

LARGEST = 300 * 1024
"""How many bytes a body may have: a policy file, in JSON."""

_AGAIN = timedelta(minutes=10)
_SMALL = 2000  # bytes that are sent as they are
_PACKING = 5  # of 9: what the levels above save is not worth their time
_MOST_KINDS = 20
_NOBODY = "somebody who is not signed in"


class App:
    """Answers requests.

    Args:
        context: The ports.
        who: Tells who asks; raises Refusal if nobody may.
        hosts: What the address may be called, with its port; None if whoever passes a request on
            sees to that.
        known_as: What browsers may call it besides what a request says.
    """

    def __init__(
        self,
        context: Callable[[], Context],
        who: Callable[[Request], Principal],
        hosts: Collection[str] | None = None,
        known_as: Collection[str] = (),
    ) -> None:
        self._context = context
        self._who = who
        self._hosts = hosts
        self._known_as = {name.lower() for name in known_as}
        self._reports = Reports()
        self._refusals = _Refusals()
        self._routes = {(each.method, each.path): each for each in ENDPOINTS}
        self._paths = {each.path for each in ENDPOINTS}

    def answer(self, request: Request) -> Answer:
        """Answer a request; whatever goes wrong is an answer, too."""
        told = _NOBODY
        try:
            self._see_from_where(request)
            principal = self._who(request)
            told = principal.id
            found = self._found(request, principal)
        except Refusal as refusal:
            if refusal.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                self._record(request, refusal, told)
            found = refusal.answer()
        headers = {**SECURITY, **found.headers}
        packs = _packs(request, found)
        if found.status == HTTPStatus.OK and request.method == "GET":
            tag = hashlib.sha256(found.body).hexdigest()[:20]
            etag = headers.setdefault("ETag", f'"{tag}-gz"' if packs else f'"{tag}"')
            if etag in request.header("if-none-match"):
                return Answer(HTTPStatus.NOT_MODIFIED, b"", headers)
        if packs:
            body = gzip.compress(found.body, _PACKING, mtime=0)
            return Answer(found.status, body, {**headers, "Content-Encoding": "gzip"})
        return Answer(found.status, found.body, headers)

    def _see_from_where(self, request: Request) -> None:
        """See that a browser asks for this page itself, and not for another's.

        Raises:
            Refusal: It does not, or nobody can tell.
        """
        host = request.header("host").lower()
        if self._hosts is not None and host not in self._hosts:
            problem = f"this is not {shown(host, 100)}"
            raise Refusal(HTTPStatus.FORBIDDEN, "foreign-host", problem)
        origin = request.header("origin").lower()
        if origin and origin.partition("://")[2] not in {host, *self._known_as}:
            problem = f"{shown(origin, 100)} may not ask here"
            raise Refusal(HTTPStatus.FORBIDDEN, "foreign-origin", problem)
        site = request.header("sec-fetch-site").lower()
        asks = request.path.startswith("/api/") or request.method != "GET"
        if asks and site not in ("", "same-origin", "none"):
            raise Refusal(HTTPStatus.FORBIDDEN, "cross-site", "another site may not ask here")
        if request.method == "POST":
            kind = request.header("content-type").partition(";")[0].strip().lower()
            # No form of another site can send either.
            if kind != "application/json" or request.header("x-rebuilder") != "1":
                problem = "send application/json with the header X-Rebuilder: 1"
                raise Refusal(HTTPStatus.FORBIDDEN, "cross-site", problem)

    def _found(self, request: Request, principal: Principal) -> Answer:
        endpoint = self._routes.get((request.method, request.path))
        if endpoint is not None:
            return self._asked(endpoint, request, principal)
        if request.path in self._paths:
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "method", "it is not asked for like this")
        if request.method != "GET" or request.path.startswith("/api/"):
            raise Refusal(HTTPStatus.NOT_FOUND, "not-found", "there is nothing here")
        _see_role(principal)
        return static_answer(request)

    def _asked(self, endpoint: Endpoint, request: Request, principal: Principal) -> Answer:
        _see_role(principal)
        if not endpoint.roles & principal.roles:
            wanted = " or ".join(sorted(endpoint.roles))
            problem = f"this takes the role {wanted}"
            raise Refusal(HTTPStatus.FORBIDDEN, "role-missing", problem)
        texts, numbers = arguments(endpoint, request.query)
        body = _body(endpoint, request)
        context = self._context()
        call = Call(context, principal, texts, numbers, body, self._reports)

        def ask_it(call: Call) -> Value | Refusal:
            try:
                return endpoint.ask(call)
            except Refusal as refusal:
                return refusal

        value = attempt(ask_it, call)
        if isinstance(value, Refusal):
            raise value
        if isinstance(value, RebuilderError):
            raise _refusal(value)
        if isinstance(value, Changes) and value.state == texts["since"]:
            return Answer(HTTPStatus.NOT_MODIFIED, b"", {"ETag": f'"{value.state}"'})
        return in_json(value, endpoint.status)

    def _record(self, request: Request, refusal: Refusal, who: str) -> None:
        """Log a refusal, and have it remembered where acts are."""
        what = f"{request.method} {shown(request.path, 100)}"
        log.warning("refused %s by %s: %s: %s", what, shown(who, 100), refusal.code, refusal)
        if who == _NOBODY and refusal.status == HTTPStatus.UNAUTHORIZED:
            return  # everybody's first request
        because = f"{what}: {refusal.code}: {refusal.problem}"

        def tell(context: Context) -> None:
            if self._refusals.new(f"{who} {what} {refusal.code}", context.now()):
                ask(context, What.REFUSED, Target(), who=who, because=because)

        error = attempt(lambda source: tell(source()), self._context)
        if isinstance(error, RebuilderError):
            log.warning("a refusal is logged only: %s", error)


class _Refusals:
    """Which refusals were told lately: a flood of them is no flood of messages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, datetime] = {}

    def new(self, kind: str, now: datetime) -> bool:
        """Tell whether a refusal is to be told."""
        with self._lock:
            fresh = {k: at for k, at in self._known.items() if at <= now < at + _AGAIN}
            self._known = fresh
            if kind in fresh or len(fresh) >= _MOST_KINDS:
                return False
            fresh[kind] = now
            return True


def _packs(request: Request, found: Answer) -> bool:
    """Whether an answer is to be packed: it is large, and the browser takes it."""
    taken = "gzip" in request.header("accept-encoding")
    return taken and len(found.body) > _SMALL and "Content-Encoding" not in found.headers


def _see_role(principal: Principal) -> None:
    if not principal.roles:
        problem = "you have none of the app's roles: ask for Reader"
        raise Refusal(HTTPStatus.FORBIDDEN, "role-missing", problem)


def _body(endpoint: Endpoint, request: Request) -> Any:  # noqa: ANN401 - as the endpoint says
    if endpoint.takes is None:
        return None
    if len(request.body) > LARGEST:
        problem = f"the body has more than {LARGEST} bytes"
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", problem)
    try:
        return msgspec.json.decode(request.body, type=endpoint.takes)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        problem = f"the body cannot be read: {shown(str(error), 300)}"
        raise Refusal(HTTPStatus.BAD_REQUEST, "body-wrong", problem) from error


def _refusal(error: RebuilderError) -> Refusal:
    if isinstance(error, NotFound):
        return Refusal(HTTPStatus.NOT_FOUND, "not-found", str(error))
    if isinstance(error, Denied):
        # The app may not: what whoever asks may was looked at before.
        problem = f"it cannot be read here: {error}"
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "not-readable", problem)
    if isinstance(error, TransientError):
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "try-again", str(error))
    if isinstance(error, PermanentError):
        log.warning("an answer cannot be given: %s", error)
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "not-possible", str(error))
