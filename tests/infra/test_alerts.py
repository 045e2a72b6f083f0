"""Alerts and workbook: their queries are Kusto's, and ask for what the product tells."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from rebuilder.core.rebuilds.rebuild import Check, State
from rebuilder.telemetry import dimensions, metrics
from tests.infra.templates import ROOT, predicted, read

PARSER = ROOT / ".tools" / "kusto"
OWN_NODE = ROOT / ".tools" / "node" / "bin"
"""Where tools/azurite.py puts Node.js on a machine that has none."""
ATTRIBUTES = {
    *dimensions.NAMES,
    metrics.STATE,
    metrics.CHECK,
    "messaging.destination.name",
    "server.address",
    "http.request.method",
    "http.response.status_code",
}


def alerts() -> dict[str, dict[str, str]]:
    """Return the query and the description of each alert, by its name."""
    found = predicted("typical", "Microsoft.Insights/scheduledQueryRules")
    return {
        re.sub(r"^rebuilder-[a-z0-9]+-", "", rule["name"]): {
            "query": rule["properties"]["criteria"]["allOf"][0]["query"],
            "description": rule["properties"]["description"],
        }
        for rule in found
    }


def queries() -> dict[str, str]:
    """Return every query, by what it is of."""
    shown = [item for item in read("workbook.json")["items"] if "query" in item["content"]]
    return {
        **{name: alert["query"] for name, alert in alerts().items()},
        **{f"workbook: {item['name']}": item["content"]["query"] for item in shown},
    }


def problems(asked: dict[str, str]) -> dict[str, list[str]]:
    """Return what Kusto's own parser finds wrong with queries."""
    if not (PARSER / "done").exists():
        pytest.fail("Kusto's parser is missing: make .tools/kusto/done")
    given = [{"name": name, "query": query} for name, query in asked.items()]
    done = subprocess.run(
        ["node", str(ROOT / "tools" / "kusto" / "check.js"), str(PARSER)],
        input=json.dumps(given),
        env={**os.environ, "PATH": os.pathsep.join([os.environ["PATH"], str(OWN_NODE)])},
        capture_output=True,
        text=True,
        check=True,
    )
    return {found["name"]: found["problems"] for found in json.loads(done.stdout)}


def test_the_parser_finds_what_is_wrong() -> None:
    """A column that no table has, an escape in an ordinary string, a word that is no operator."""
    found = problems(
        {
            "right": 'AppTraces | where Message has @"a\\S" | take 1',
            "column": "AppTraces | where Massage == 'a'",
            "escape": 'AppTraces | where Message has "a\\S"',
            "word": "AppTraces | were Message == 'a'",
        }
    )
    assert found.pop("right") == []
    assert all(found.values())
    assert "'Massage' does not refer to any known column" in found["column"][0]


def test_every_query_is_kustos() -> None:
    """Its grammar, its functions, and the columns of Log Analytics' tables."""
    asked = queries()

    assert len(asked) >= 20
    assert {name: found for name, found in problems(asked).items() if found} == {}


@pytest.mark.parametrize("name", sorted(queries()))
def test_queries_ask_for_what_is_told(name: str) -> None:
    """Metrics and attributes that the product has; never for words of a message."""
    query = queries()[name]
    asked = set(re.findall(r'"(rebuilder\.[a-z_.]+)"', re.sub(r'Properties\["[^"]+"\]', "", query)))

    assert asked <= {metric.name for metric in metrics.METRICS}
    assert set(re.findall(r'Properties\["([^"]+)"\]', query)) <= ATTRIBUTES
    assert not re.search(r"Message\s+(has|contains|startswith|matches|==)", query)
    for value in re.findall(r'rebuilder\.state"\]\) == "([^"]+)"', query):
        assert value in set(State)
    for value in re.findall(r'rebuilder\.check"\]\) == "([^"]+)"', query):
        assert value in set(Check)


@pytest.mark.parametrize("name", sorted(alerts()))
def test_an_alert_names_the_command_that_explains_it(name: str) -> None:
    """One that there is, or one of az's."""
    described = alerts()[name]["description"]
    commands = re.findall(r"`((?:rebuilder|az) [^`]+)`", described)
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")

    assert commands
    for command in commands:
        word = command.split()[1]
        assert command.startswith("az ") or re.search(rf"^#+ .*`?{word}`?", page, re.MULTILINE)


def test_alerts_of_others_in_the_workspace_are_theirs() -> None:
    """A shared workspace holds the telemetry of many apps."""
    component = "/providers/Microsoft.Insights/components/"
    shared = {name for name, query in queries().items() if query.startswith("App")}

    assert shared
    for name in shared:
        query = queries()[name]
        assert component in query or 'AppRoleName == "acr-rebuilder"' in query, name


def test_what_matters_is_an_alert() -> None:
    """Each metric that means trouble is asked for by one; silence by the heartbeat of sweeps."""
    asked = " ".join(alert["query"] for alert in alerts().values())
    trouble = (
        metrics.REBUILDS,
        metrics.STALE_LATE,
        metrics.STALE_HOURS,
        metrics.WITHOUT_AGENT,
        metrics.UNREADABLE,
        metrics.DEAD_LETTERS,
        metrics.QUEUED,
        metrics.QUEUED_OLDEST,
        metrics.TOKEN_LEFT,
        metrics.PROBLEMS,
    )
    assert [metric.name for metric in trouble if f'"{metric.name}"' not in asked] == []
    kinds = {
        rule["name"].rpartition("-")[2]
        for rule in predicted("typical", "Microsoft.Insights/metricAlerts")
    }
    assert kinds == {"DeadLetteredCount", "DroppedEventCount", "DeliveryAttemptFailCount"}


def test_only_silence_looks_back_two_days() -> None:
    """Whatever looks back so far may be told of for so long; the others end within the hour."""
    rules = [
        r["properties"] for r in predicted("typical", "Microsoft.Insights/scheduledQueryRules")
    ]
    looking = [r["displayName"].rpartition("-")[2] for r in rules if "overrideQueryTimeRange" in r]

    assert looking == ["silence"]
    assert all(rule["autoMitigate"] for rule in rules)


def test_the_parsers_tables_are_log_analytics() -> None:
    """Every table that a query reads is one whose columns are written down."""
    tables = json.loads(Path(ROOT / "tools" / "kusto" / "tables.json").read_text("utf-8"))

    assert {query.split()[0] for query in queries().values()} <= set(tables)
