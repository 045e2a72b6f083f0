"""How ARM behaves: its switches, the faults that it is to have, and what it let in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from localcloud.switches import AtLeast

type Method = Literal["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]


@dataclass(slots=True)
class Behaviour:
    """What is not known of ARM, or differs from day to day.

    Attributes:
        list_has_dependencies: Whether the list of tasks carries baseImageDependencies.
        put_keeps_dependencies: Whether a PUT of a task keeps what was recorded.
        put_keeps_creation: Whether a PUT of a task that is there keeps its creationDate.
        shows_update_token: Whether runs show their updateTriggerToken.
        filters_mind_case: Whether a $filter compares text with its case.
        shows_secret_arguments: Whether tasks show that they give a secret argument; if not, only
            listDetails tells.
        page_size: How many items a page of any list holds at most.
        links_name_a_port: Whether links to next pages name the host with its port and in another
            case, as ARM's sometimes do (VictoriaMetrics pull request 6915).
        polls: How often a client that asks is told that an operation still goes on.
        tasks_not_allowed: The resource ids, in any case, of the registries whose runs Azure refuses
            with TasksOperationsNotAllowed, as it does on free credits; `*` for all.
    """

    list_has_dependencies: bool = True
    put_keeps_dependencies: bool = False
    put_keeps_creation: bool = False
    shows_update_token: bool = True
    filters_mind_case: bool = False
    shows_secret_arguments: bool = True
    page_size: Annotated[int, AtLeast(1)] = 100
    links_name_a_port: bool = False
    polls: int = 0
    tasks_not_allowed: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ImportBehaviour:
    """What is not known of imports.

    Attributes:
        sends_events: Whether an import is an ImagePushed event, as a push is.
        triggers_tasks: Whether ACR's own base image trigger sees it; users say that it does not
            (Azure/acr issue 459).
    """

    sends_events: bool = True
    triggers_tasks: bool = False


@dataclass(slots=True)
class Fault:
    """Requests that are to fail, or to be slow.

    Attributes:
        method: Of which method.
        path: A regular expression that the path holds, in any case.
        status: What to answer; 0 cuts the connection instead, null gives the true answer.
        code: ARM's error code.
        message: ARM's words.
        headers: More headers.
        after: Whether the request has its effect first.
        times: For how many requests; null for all.
        seconds: How much cloud time passes before the answer: after the effect, or before it.
    """

    method: Method
    path: str
    status: int | None
    code: str = "InternalServerError"
    message: str = "Encountered internal server error."
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    times: int | None = 1
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Action:
    """A request that ARM let in.

    Attributes:
        method: Its method.
        action: What it was allowed as: Microsoft.ContainerRegistry/registries/read.
        scope: On what.
        principal_id: Who sent it, by object id.
    """

    method: str
    action: str
    scope: str
    principal_id: str
