"""A webhook that records what Event Grid sends."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.patience import SECONDS


@dataclass(slots=True)
class Call:
    """A request that came."""

    method: str
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class Webhook:
    """An endpoint that answers what it is told to."""

    statuses: list[int] = field(default_factory=list)  # of the next notifications; then 200
    allow: str | None = "*"
    validate: bool = True
    calls: list[Call] = field(default_factory=list)
    handshakes: list[Call] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    slow: bool = False
    url: str = ""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        raw = await request.body()
        call = Call(request.method, dict(request.headers), json.loads(raw) if raw else None)
        if request.method == "OPTIONS":
            self.handshakes.append(call)
            headers = {"WebHook-Allowed-Origin": self.allow} if self.allow else {}
            return Response(headers=headers)
        if request.headers["aeg-event-type"] == "SubscriptionValidation":
            self.handshakes.append(call)
            code = call.body[0]["data"]["validationCode"] if self.validate else "wrong"
            return JSONResponse({"validationResponse": code})
        with self._changed:
            self.calls.append(call)
            status = self.statuses.pop(0) if self.statuses else 200
            self._changed.notify_all()
        if self.slow:
            await asyncio.to_thread(self.gate.wait, SECONDS)
        return Response(status_code=status)

    def wait(self, count: int) -> list[Call]:
        """Wait for so many notifications."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, SECONDS)
            return list(self.calls)
