"""Judges exchanges with ARM by the documents' facts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from localcloud.arm.app import ROUTES
from localcloud.arm.model import Exchange, Route
from localcloud.arm.schema import Anything, Kind, Use
from localcloud.arm.schemas import common, events, registries, roles, storage, tasks, web


class Operation(NamedTuple):
    """What a document says of requests.

    Attributes:
        pattern: Of which paths, below a scope.
        statuses: By method, the statuses of success.
        answer: What each answer is; a list holds such items.
    """

    pattern: str
    statuses: dict[str, set[int]]
    answer: Kind


_REGISTRY = r"/Microsoft\.ContainerRegistry/registries"
_ONE = r"/[^/]+"
_READ = {"GET": {200}}
_ALL: Kind = Anything()


def _kept(put: set[int], delete: set[int]) -> dict[str, set[int]]:
    return {**_READ, "PUT": put, "PATCH": {200, 201, 202}, "DELETE": delete}


_SUBSCRIPTIONS = _kept({201}, {200, 202, 204}) | {"PATCH": {201}}
OPERATIONS = (
    Operation(f"{_REGISTRY}{_ONE}/tasks(?:{_ONE})?", _kept({200, 201}, {200, 204}), tasks.TASK),
    Operation(f"{_REGISTRY}{_ONE}/tasks{_ONE}/listDetails", {"POST": {200}}, _ALL),
    Operation(f"{_REGISTRY}{_ONE}/runs(?:{_ONE})?", {**_READ, "PATCH": {200, 201}}, tasks.RUN),
    Operation(f"{_REGISTRY}{_ONE}/runs{_ONE}/cancel", {"POST": {200, 202}}, _ALL),
    Operation(f"{_REGISTRY}{_ONE}/runs{_ONE}/listLogSasUrl", {"POST": {200}}, tasks.LOG),
    Operation(f"{_REGISTRY}{_ONE}/scheduleRun", {"POST": {200, 202}}, tasks.RUN),
    Operation(f"{_REGISTRY}{_ONE}/listBuildSourceUploadUrl", {"POST": {200}}, tasks.UPLOAD),
    Operation(
        f"{_REGISTRY}{_ONE}/taskRuns(?:{_ONE})?", _kept({200, 201}, {200, 202, 204}), tasks.TASK_RUN
    ),
    Operation(f"{_REGISTRY}(?:{_ONE})?", _kept({200, 201}, {200, 202, 204}), registries.REGISTRY),
    Operation(
        f"{_REGISTRY}{_ONE}/replications(?:{_ONE})?",
        _kept({200, 201}, {200, 202, 204}),
        registries.REPLICATION,
    ),
    Operation(f"{_REGISTRY}{_ONE}/importImage", {"POST": {200, 202}}, _ALL),
    Operation(f"{_REGISTRY}{_ONE}/listCredentials", {"POST": {200}}, registries.CREDENTIALS),
    Operation(
        rf"/Microsoft\.EventGrid/systemTopics(?:{_ONE})?",
        _kept({200, 201}, {200, 202, 204}),
        events.TOPIC,
    ),
    Operation(
        rf"/Microsoft\.EventGrid/(?:systemTopics{_ONE}/)?eventSubscriptions(?:{_ONE})?",
        _SUBSCRIPTIONS,
        events.SUBSCRIPTION,
    ),
    Operation(
        rf"/Microsoft\.Authorization/roleAssignments(?:{_ONE})?",
        _kept({200, 201}, {200, 204}),
        roles.ASSIGNMENT,
    ),
    Operation(
        rf"/Microsoft\.Authorization/roleDefinitions(?:{_ONE})?",
        _kept({201}, {200, 204}),
        roles.DEFINITION,
    ),
    Operation(r"/Microsoft\.Authorization/permissions", _READ, roles.PERMISSION),
    Operation(
        rf"/Microsoft\.Storage/storageAccounts(?:{_ONE})?",
        _kept({200, 202}, {200, 204}),
        storage.ACCOUNT,
    ),
    Operation(
        rf"/Microsoft\.Storage/storageAccounts{_ONE}/\w+Services/default",
        _kept({200}, set()),
        storage.SERVICE,
    ),
    Operation(
        rf"/Microsoft\.Storage/storageAccounts{_ONE}/blobServices/default/containers(?:{_ONE})?",
        _kept({200, 201}, {200, 204}),
        storage.CHILD,
    ),
    Operation(
        rf"/Microsoft\.Storage/storageAccounts{_ONE}/(?:queueServices/default/queues"
        rf"|tableServices/default/tables)(?:{_ONE})?",
        _kept({200}, {204}),
        storage.CHILD,
    ),
    Operation(rf"/Microsoft\.Web/serverfarms(?:{_ONE})?", _kept({200, 202}, {200, 204}), web.PLAN),
    Operation(
        rf"/Microsoft\.Web/sites(?:{_ONE})?", _kept({200, 202}, {200, 202, 204, 404}), web.SITE
    ),
    Operation(
        rf"/Microsoft\.Web/sites{_ONE}/config/appsettings(?:/list)?",
        {"PUT": {200}, "POST": {200}},
        web.SETTINGS,
    ),
    Operation(
        rf"/Microsoft\.Web/sites{_ONE}/basicPublishingCredentialsPolicies{_ONE}",
        {**_READ, "PUT": {200}},
        web.POLICY,
    ),
    Operation(
        rf"/Microsoft\.ManagedIdentity/userAssignedIdentities(?:{_ONE})?",
        _kept({200, 201}, {200, 204}),
        common.USER_ASSIGNED,
    ),
    Operation(
        rf"/Microsoft\.Resources/deployments(?:{_ONE})?",
        {**_READ, "HEAD": {204}, "PUT": {200, 201}, "DELETE": {202, 204}},
        _ALL,
    ),
)
_COMPILED = [(re.compile(f".*/providers{o.pattern}/?", re.IGNORECASE), o) for o in OPERATIONS]
_GROUP = re.compile(r"/subscriptions/[^/]+/resourceGroups(?:/[^/]+)?", re.IGNORECASE)
_GROUPS = Operation("", _kept({200, 201}, {200, 202}) | {"HEAD": {204, 404}}, common.GROUP)
_STATUS = re.compile(r".*/operationStatuses/[^/]+", re.IGNORECASE)

KNOWN: tuple[tuple[str, str], ...] = ()
"""What stays different: a regular expression of a difference's line, and why."""


def operation_of(path: str) -> Operation | None:
    """Return what the documents say of a path; None where they were not read."""
    for pattern, operation in _COMPILED:
        if pattern.fullmatch(path):
            return operation
    return _GROUPS if _GROUP.fullmatch(path) else None


def differences(exchanges: Iterable[Exchange]) -> list[str]:
    """Return where exchanges are not as the documents say, without what is known.

    A line tells method, path, and the place in the body.
    """
    found = {line for exchange in exchanges for line in _lines(exchange)}
    return sorted(line for line in found if not any(re.search(known, line) for known, _ in KNOWN))


def recorded(path: Path) -> list[Exchange]:
    """Return the exchanges of a recorded file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Exchange(**json.loads(line)) for line in lines]


_BODIES: dict[tuple[str, str], Route] = {(route.method, route.pattern): route for route in ROUTES}


def _lines(exchange: Exchange) -> Iterator[str]:
    start = f"{exchange.method} {exchange.path}"
    if exchange.status >= 400:
        if exchange.method != "HEAD":
            yield from _told(start, common.ERROR, exchange.answer)
        return
    route = _BODIES[exchange.method, exchange.pattern]
    if route.body is not None and exchange.body is not None:
        use: Use = "patch" if exchange.method == "PATCH" else "put"
        for difference in route.body.differences(exchange.body, "", use):
            yield f"{start} sent {difference.path}: {difference.words}"
    if _STATUS.fullmatch(exchange.path):
        yield from _told(start, common.OPERATION, exchange.answer)
    operation = operation_of(exchange.path)
    if operation is None:
        return
    if exchange.status not in operation.statuses.get(exchange.method, set()):
        yield f"{start}: status {exchange.status}"
    long_running = {"azure-asyncoperation", "location"} & exchange.headers.keys()
    if exchange.status == 202 and not long_running:
        yield f"{start}: 202 without a place to ask"
    if exchange.answer is None:
        return
    if exchange.method == "GET" and "value" in exchange.answer:
        for item in exchange.answer["value"]:
            yield from _told(start, operation.answer, item)
        for name in exchange.answer.keys() - {"value", "nextLink"}:
            yield f"{start}: {name} beside a list"
    else:
        yield from _told(start, operation.answer, exchange.answer)


def _told(start: str, kind: Kind, answer: object) -> Iterator[str]:
    for difference in kind.differences(answer, "", "answer"):
        yield f"{start} told {difference.path}: {difference.words}"
