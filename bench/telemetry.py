"""How many bytes of telemetry a rebuild costs, and how many lines.

    python -m bench.telemetry [--rebuilds 20]

One push of an image with so many dependents, worked off by the product in the local Functions host,
which sends to the local cloud's Application Insights as it would to Azure's. Counted is what would
be paid for: the envelopes, before compression.

`before` is the same work as the Functions host told it in its older mode: a request and two lines
for each invocation, and each of our lines without dimensions but with the host's own properties.
The host is Azure's, so these envelopes are modelled after its source (azure-functions-host,
ApplicationInsightsLogger), of the same messages. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from bench._cloud import SUBSCRIPTION, BenchCloud
from bench.latency import environment
from localcloud.functionshost import FunctionsHost, Invocation
from localcloud.insights import connection_string
from localcloud.state import Json
from rebuilder.composition import compose, release
from rebuilder.core.acr.registries import RegistryId, TaskId
from rebuilder.core.rebuilds.rebuild import State
from rebuilder.telemetry.azure_monitor import ASKED, CONNECTION

ROOT = Path(__file__).resolve().parent.parent
COMPONENT = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-mybase/providers"
    "/Microsoft.Insights/components/appi"
)
_TAG = "9"
_PATIENCE_SECONDS = 600
_LOOK = "process rebuilder-runs"
_ID = "0af7651916cd43dd8448eb211c80319c"


def _size(envelope: Json) -> int:
    return len(json.dumps(envelope))


def _as_the_host_told(kind: str, data: Json, function: str) -> Json:
    """Return an envelope of the host's older mode."""
    return {
        "name": f"Microsoft.ApplicationInsights.{_ID}.{kind.removesuffix('Data')}",
        "time": "2026-11-24T01:02:03.0000000Z",
        "iKey": "00000000-0000-0000-0000-000000000000",
        "tags": {
            "ai.application.ver": "",
            "ai.cloud.roleInstance": f"0--{_ID}",
            "ai.cloud.roleName": "func-rebuilder-holnx2flfq4lc",
            "ai.internal.nodeName": f"0--{_ID}",
            "ai.internal.sdkVersion": "azurefunctions: 4.1037.0.0",
            "ai.operation.id": _ID,
            "ai.operation.name": function,
            "ai.operation.parentId": _ID[:16],
        },
        "data": {"baseType": kind, "baseData": data},
    }


def _line(text: str, function: str, category: str) -> Json:
    properties = {
        "Category": category,
        "HostInstanceId": "5121470-c5a1-4596-84fb-72879f1e9185",
        "InvocationId": "25e10fbc-0683-480e-b32c-717815d3a9ab",
        "LogLevel": "Information",
        "ProcessId": "61",
        "prop__{OriginalFormat}": text,
    }
    data = {"ver": 2, "message": text, "severityLevel": 1, "properties": properties}
    return _as_the_host_told("MessageData", data, function)


def _before(invocations: Sequence[Invocation], lines: Sequence[str]) -> int:
    """Return how many bytes the host's older mode would have told the same work in."""
    found = 0
    for invocation in invocations:
        name = invocation.function
        category = f"Function.{name}"
        reason = f"New queue message detected on '{name}'."
        begun = f"Executing 'Functions.{name}' (Reason='{reason}', Id={invocation.invocation_id})"
        ended = f"Executed 'Functions.{name}' (Succeeded, Id={_ID}, Duration=123ms)"
        found += sum(_size(_line(text, name, category)) for text in (begun, ended))
        properties = {
            "Category": "Host.Results",
            "FullName": f"Functions.{name}",
            "HostInstanceId": "5121470-c5a1-4596-84fb-72879f1e9185",
            "InvocationId": invocation.invocation_id,
            "LogLevel": "Information",
            "TriggerReason": reason,
            "FunctionExecutionTimeMs": "123.4567",
        }
        request = {"ver": 2, "id": _ID[:16], "name": name, "duration": "00:00:00.1234567"}
        request |= {"success": True, "responseCode": "0", "properties": properties}
        found += _size(_as_the_host_told("RequestData", request, name))
    return found + sum(
        _size(_line(text, "start_build", "Function.start_build.User")) for text in lines
    )


class _Lines(logging.Handler):
    """Keeps what the product logs."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.texts.append(record.getMessage())


def measure(rebuilds: int) -> dict[str, Any]:
    """Push once; return what was told of it."""
    names = {f"build-app-{number:03}": _TAG for number in range(rebuilds)}
    lines, invocations = _Lines(), list[Invocation]()
    loggers = [logging.getLogger(name) for name in ("rebuilder", "functions")]
    with (
        tempfile.TemporaryDirectory(prefix="bench-telemetry-") as made,
        BenchCloud(Path(made) / "cloud", names) as bench,
    ):
        cloud = bench.cloud
        cloud.insights.know(COMPONENT)
        cloud.roles.assign("Monitoring Metrics Publisher", cloud.function_app.object_id, COMPONENT)
        settings = {
            **bench.settings,
            "AzureWebJobsStorage": f"sqlite:{Path(made) / 'rebuilder.db'}",
            "REBUILDER_TRACK_SECONDS": "1",
            "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.1",
        }
        told = {CONNECTION: connection_string(COMPONENT), ASKED: "true"}
        with environment({**cloud.environment(), **told}):
            host = FunctionsHost(ROOT, settings, data=Path(made), on_invocation=invocations.append)
            for logger in loggers:
                logger.setLevel(logging.INFO)
                logger.addHandler(lines)
            host.start()
            try:
                bench.move(_TAG, "new")
                with httpx.Client(timeout=60, trust_env=False) as http:
                    http.post(
                        host.eventgrid_url("image_pushed"),
                        json=[bench.event(_TAG)],
                        headers={"aeg-event-type": "Notification"},
                    ).raise_for_status()
                _wait(settings, [TaskId(RegistryId.parse(bench.apps[0].id), n) for n in names])
            finally:
                host.stop()
                release()
                for logger in loggers:
                    logger.removeHandler(lines)
        envelopes = cloud.insights.kept(COMPONENT)
    kinds: Counter[str] = Counter()
    looks = []
    for envelope in envelopes:
        kinds[envelope["data"]["baseType"]] += _size(envelope)
        if envelope["data"]["baseData"].get("name") == _LOOK:
            looks.append(_size(envelope))
    told_lines = [e for e in envelopes if e["data"]["baseType"] == "MessageData"]
    return {
        "rebuilds": rebuilds,
        "lines_per_rebuild": round(len(told_lines) / rebuilds, 1),
        "bytes_per_rebuild": round(sum(kinds.values()) / rebuilds),
        "bytes_per_rebuild_by_kind": {k: round(n / rebuilds) for k, n in sorted(kinds.items())},
        "looks_per_rebuild": round(len(looks) / rebuilds, 1),
        "bytes_per_look": round(sum(looks) / max(len(looks), 1)),
        "before_bytes_per_rebuild": round(_before(invocations, lines.texts) / rebuilds),
        "invocations_per_rebuild": round(len(invocations) / rebuilds, 1),
    }


def _wait(settings: dict[str, str], tasks: Sequence[TaskId]) -> None:
    """Wait until every task's newest rebuild has succeeded."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    left = set(tasks)
    while left:
        heads = compose(settings).ledger.heads(left)
        left -= {task for task, head in heads.items() if head.state is State.SUCCEEDED}
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(left)} rebuilds have not succeeded")
        time.sleep(0.2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the last line is what a program reads."""
    parser = argparse.ArgumentParser(prog="python -m bench.telemetry", description=__doc__)
    parser.add_argument("--rebuilds", type=int, default=20)
    chosen = parser.parse_args(arguments)
    print(json.dumps(measure(chosen.rebuilds)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
