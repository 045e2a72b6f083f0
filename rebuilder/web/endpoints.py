"""Every endpoint: its path, who may, what it takes, what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from msgspec import Struct

from rebuilder.core.acr.registries import RegistryId
from rebuilder.core.structs import prepared
from rebuilder.errors import Denied
from rebuilder.usecases.context import Context
from rebuilder.usecases.reports.run_log import find_run, read_log
from rebuilder.usecases.views import acted, graph, health, overview, policies, pushes, tasks
from rebuilder.usecases.views._values import Value
from rebuilder.usecases.views.report import Report, Reports
from rebuilder.web.acts import ACTS, Asked, Taken, carry_on
from rebuilder.web.http import Refusal
from rebuilder.web.principals import APPROVERS, EVERYBODY, OPERATORS, Principal, Role

_MOST_DAYS = 90
_MOST_MINUTES = 60 * 24 * 30


class Parameter(NamedTuple):
    """A part of a query.

    Attributes:
        name: Its name.
        means: What it means.
        needed: Whether it has to be there.
        most: The largest number; None if it is text.
        least: The smallest number.
    """

    name: str
    means: str
    needed: bool = False
    most: int | None = None
    least: int = 0


class Call(Struct, frozen=True):
    """A request that may be answered.

    Attributes:
        context: The ports.
        principal: Who asks.
        texts: The query's texts; "" where one is not there.
        numbers: The query's numbers; those that are there.
        body: The body, as `Endpoint.takes` says.
        reports: What works reports out.
    """

    context: Context
    principal: Principal
    texts: Mapping[str, str]
    numbers: Mapping[str, int]
    body: Any
    reports: Reports


class Endpoint(NamedTuple):
    """An endpoint.

    Attributes:
        name: Its name.
        path: Its path.
        means: What it answers, in a sentence.
        answers: The type of the answer.
        ask: Answers.
        parameters: What its query may hold.
        method: GET, or POST.
        roles: Who may; any of these.
        takes: The type of the body; None if it takes none.
        status: The status of the answer.
    """

    name: str
    path: str
    means: str
    answers: type[Value]
    ask: Callable[[Call], Value]
    parameters: tuple[Parameter, ...] = ()
    method: str = "GET"
    roles: frozenset[Role] = EVERYBODY
    takes: type[Value] | None = None
    status: HTTPStatus = HTTPStatus.OK


class Me(Value, frozen=True):
    """Who asks.

    Attributes:
        id: The name that acts carry.
        name: Their name.
        roles: What they may.
        acts: What they can ask for.
    """

    id: str
    name: str
    roles: tuple[Role, ...]
    acts: tuple[str, ...]


@prepared
class TryOut(Value, frozen=True):
    """A policy file to be tried out.

    Attributes:
        text: The file.
        task: REGISTRY/TASK that it is asked about; "" for none.
    """

    text: str
    task: str = ""


class LogShown(Value, frozen=True):
    """Some lines of a run's log.

    Attributes:
        lines: The lines, without what looks like a secret.
        place: What gives those after them.
        more: Whether there are more to be read at once.
        over: Whether none will come after them.
        left_out: How many bytes before them were left out.
    """

    lines: tuple[str, ...]
    place: str
    more: bool
    over: bool
    left_out: int


def _me(call: Call) -> Me:
    who = call.principal
    may = tuple(what.value for what, row in ACTS.items() if row.roles & who.roles)
    return Me(who.id, who.name, tuple(sorted(who.roles)), may)


def _tasks(call: Call) -> tasks.TaskPage:
    def several(name: str) -> tuple[str, ...]:
        return tuple(filter(None, call.texts[name].split(",")))

    wanted = tasks.Wanted(
        tuple(call.texts["q"].split()), several("registry"), several("standing"), call.texts["base"]
    )
    limit = call.numbers.get("limit", tasks.MOST)
    return tasks.tasks(call.context, wanted, call.texts["after"], limit)


def _log(call: Call) -> LogShown:
    registries = [r for r in call.context.settings.task_registries if _is(r, call)]
    try:
        registry, _ = find_run(call.context, registries, call.texts["run"])
        found = read_log(call.context, registry, call.texts["run"], call.texts["place"])
    except Denied as error:
        problem = (
            "this page has no right at registries: `rebuilder logs"
            f" {call.texts['run']:.50}` reads the log with your own"
        )
        raise Refusal(HTTPStatus.CONFLICT, "log-not-here", problem) from error
    return LogShown(found.lines, found.place, found.more, found.over, found.left_out)


def _is(registry: RegistryId, call: Call) -> bool:
    return registry.name == call.texts["registry"].lower()


def _report(call: Call) -> Report:
    days = call.numbers.get("days", 7)
    return call.reports.report(call.context, days, call.numbers.get("objective", 0))


_AFTER = Parameter("after", "The `next` of the page before; without it, the first page")
_LIMIT = Parameter("limit", "How many at most", most=tasks.MOST, least=1)

ENDPOINTS = (
    Endpoint("me", "/api/me", "Who asks, and what they may", Me, _me),
    Endpoint(
        "changes",
        "/api/changes",
        "Whether anything has changed: 304 if nothing has since `since`",
        overview.Changes,
        lambda call: overview.changes(call.context),
        (Parameter("since", "The `state` that is known"),),
    ),
    Endpoint(
        "now",
        "/api/now",
        "What is under way, what waits and for what",
        overview.Overview,
        lambda call: overview.overview(call.context),
    ),
    Endpoint(
        "tasks",
        "/api/tasks",
        "Tasks, page by page; several words of a filter are separated by commas",
        tasks.TaskPage,
        _tasks,
        (
            Parameter("q", "Words of the name or of a base, all of them"),
            Parameter("registry", "Names of registries, any of them"),
            Parameter("standing", "How the task is, any of them"),
            Parameter("base", "An image that it reads, in full"),
            _AFTER,
            _LIMIT,
        ),
    ),
    Endpoint(
        "task",
        "/api/task",
        "All that is known of a task",
        tasks.TaskDetail,
        lambda call: tasks.task(call.context, call.texts["name"], call.numbers.get("before")),
        (
            Parameter("name", "REGISTRY/TASK", needed=True),
            Parameter("before", "Only attempts of a lower sequence", most=2**53),
        ),
    ),
    Endpoint(
        "log",
        "/api/log",
        "Some lines of a run's log, asked of ARM",
        LogShown,
        _log,
        (
            Parameter("registry", "The registry's name", needed=True),
            Parameter("run", "The run's id", needed=True),
            Parameter("place", "The `place` of the lines before"),
        ),
    ),
    Endpoint(
        "pushes",
        "/api/pushes",
        "The pushes of a day, newest first",
        pushes.PushPage,
        lambda call: pushes.pushes(
            call.context,
            call.texts["day"],
            call.texts["after"],
            call.numbers.get("limit", pushes.MOST),
        ),
        (Parameter("day", "As 2026-12-31, in UTC; without it, today"), _AFTER, _LIMIT),
    ),
    Endpoint(
        "push",
        "/api/push",
        "What came of a push",
        pushes.PushDetail,
        lambda call: pushes.push(call.context, call.texts["key"], call.texts["after"]),
        (Parameter("key", "The push's key", needed=True), _AFTER),
    ),
    Endpoint(
        "graph",
        "/api/graph",
        "What is around an image or a task",
        graph.Around,
        lambda call: graph.around(call.context, call.texts["focus"], call.numbers.get("depth", 2)),
        (
            Parameter("focus", "An image, or REGISTRY/TASK", needed=True),
            Parameter("depth", "How many steps away at most", most=graph.DEEPEST),
        ),
    ),
    Endpoint(
        "policies",
        "/api/policies",
        "The policy file, its versions, windows and freezes",
        policies.PoliciesShown,
        lambda call: policies.policies(call.context),
    ),
    Endpoint(
        "policy_of",
        "/api/policies/task",
        "What applies to a task, and which rule says so",
        policies.TaskPolicies,
        lambda call: policies.applies_to(call.context, call.texts["name"]),
        (Parameter("name", "REGISTRY/TASK", needed=True),),
    ),
    Endpoint(
        "policy_try",
        "/api/policies/try",
        "What a changed policy file would mean; nothing is changed",
        policies.Tried,
        lambda call: policies.try_out(call.context, call.body.text, call.body.task),
        method="POST",
        takes=TryOut,
    ),
    Endpoint(
        "report",
        "/api/report",
        "How quickly images come to stand on new bases; worked out once a minute",
        Report,
        _report,
        (
            Parameter("days", "How many days back", most=_MOST_DAYS, least=1),
            Parameter("objective", "The objective, in minutes", most=_MOST_MINUTES, least=1),
        ),
    ),
    Endpoint(
        "health",
        "/api/health",
        "What is wrong, with what fixes it, and what was given up",
        health.Health,
        lambda call: health.health(call.context),
    ),
    Endpoint(
        "acts",
        "/api/acts",
        "What operators did, newest first",
        acted.ActPage,
        lambda call: acted.acts(
            call.context, call.texts["after"], call.numbers.get("limit", acted.MOST)
        ),
        (_AFTER, _LIMIT),
    ),
    Endpoint(
        "act",
        "/api/acts",
        "Ask for something: it becomes a message, which the first app carries out",
        Taken,
        lambda call: carry_on(call.context, call.body, call.principal),
        method="POST",
        roles=OPERATORS | APPROVERS,
        takes=Asked,
        status=HTTPStatus.ACCEPTED,
    ),
)
"""Every endpoint. What an act takes besides stands in `acts.ACTS`."""


def arguments(
    endpoint: Endpoint, query: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, int]]:
    """Return what a query gives an endpoint: its texts and its numbers.

    Raises:
        Refusal: Something is missing, or wrong.
    """
    texts: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for parameter in endpoint.parameters:
        given = query.get(parameter.name, "")
        if parameter.needed and not given:
            problem = f"`{parameter.name}` is missing: {parameter.means}"
            raise Refusal(HTTPStatus.BAD_REQUEST, "parameter-missing", problem)
        if parameter.most is None:
            texts[parameter.name] = given
        elif given:
            numbers[parameter.name] = _number(parameter, given)
    unknown = sorted(query.keys() - {parameter.name for parameter in endpoint.parameters})
    if unknown:
        raise Refusal(
            HTTPStatus.BAD_REQUEST, "parameter-unknown", f"`{unknown[0]:.50}` is not asked for"
        )
    return texts, numbers


def _number(parameter: Parameter, given: str) -> int:
    right = f"a whole number from {parameter.least} to {parameter.most}"
    longest = len(str(parameter.most))
    if given.isdecimal() and given.isascii() and len(given) <= longest:
        found = int(given)
        if parameter.least <= found <= (parameter.most or 0):
            return found
    raise Refusal(HTTPStatus.BAD_REQUEST, "parameter-wrong", f"`{parameter.name}` is not {right}")
