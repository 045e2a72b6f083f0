"""A Log Analytics workspace, as far as the queries of alerts and workbook ask it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import duckdb_kql

_ROOT = Path(__file__).resolve().parent.parent
_TYPES = {
    "bool": "boolean",
    "datetime": "timestamp",
    "dynamic": "json",
    "int": "integer",
    "real": "double",
    "string": "varchar",
}
_KINDS = {"MetricData": "AppMetrics", "MessageData": "AppTraces", "RequestData": "AppRequests"}


class Workspace:
    """Tables with the columns of tools/kusto/tables.json, filled from what exporters sent.

    Args:
        component: The Application Insights component's resource id that rows are of.
    """

    def __init__(self, component: str) -> None:
        text = (_ROOT / "tools" / "kusto" / "tables.json").read_text("utf-8")
        self._tables: dict[str, dict[str, str]] = json.loads(text)
        self._component = component
        self._database = duckdb.connect()
        for name, columns in self._tables.items():
            made = ", ".join(f'"{column}" {_TYPES[kind]}' for column, kind in columns.items())
            self._database.execute(f'CREATE TABLE "{name}" ({made})')

    def take(self, envelopes: Iterable[dict[str, Any]], ago: timedelta = timedelta()) -> None:
        """Keep what a component was sent, as ingestion does.

        Args:
            envelopes: What was sent.
            ago: How much longer ago it is to be.
        """
        for envelope in envelopes:
            data = envelope["data"]["baseData"]
            row: dict[str, Any] = {
                "TimeGenerated": datetime.fromisoformat(envelope["time"]).replace(tzinfo=None)
                - ago,
                "AppRoleName": envelope["tags"]["ai.cloud.role"],
                "Properties": json.dumps(data.get("properties") or {}),
            }
            match envelope["data"]["baseType"]:
                case "MetricData":
                    (metric,) = data["metrics"]
                    row |= {"Name": metric["name"], "ItemCount": metric.get("count")}
                    row |= {"Sum": metric["value"], "Min": metric.get("min")}
                    row |= {"Max": metric.get("max")}
                case "MessageData":
                    row |= {"Message": data["message"], "SeverityLevel": data["severityLevel"]}
                case _:
                    row |= {"Name": data["name"], "Success": data["success"]}
            self.add(_KINDS[envelope["data"]["baseType"]], **row)

    def add(self, table: str, **row: object) -> None:
        """Add a row."""
        told = {"_ResourceId": self._component, **row}
        names = ", ".join(f'"{name}"' for name in told)
        marks = ", ".join("?" for _ in told)
        text = f'INSERT INTO "{table}" ({names}) VALUES ({marks})'  # noqa: S608 - names of ours
        self._database.execute(text, list(told.values()))

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query of Kusto's finds."""
        return self._database.execute(str(duckdb_kql.to_sql(query))).fetchall()
