"""Checkov has nothing to say but what infra/checkov.json argues."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.infra.templates import ROOT, read

_KEPT = (
    "type", "apiVersion", "name", "location", "kind", "sku", "identity", "tags", "properties"
)  # fmt: skip


@pytest.mark.timeout(1800)  # two starts of a large program
def test_every_finding_is_argued(tmp_path: Path) -> None:
    """What fails is what is argued, no less and no more; resources of modules are seen, too."""
    failed: set[str] = set()
    for form in ("typical", "locked-down"):
        # Checkov does not look into nested deployments: it is given them flat.
        found = read(f"{form}.snapshot.json")["predictedResources"]
        template = {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "resources": [{key: entry[key] for key in _KEPT if key in entry} for entry in found],
        }
        file = tmp_path / f"{form}.json"
        file.write_text(json.dumps(template), "utf-8")
        command = [str(ROOT / ".tools" / "checkov" / "bin" / "checkov"), "--file", str(file)]
        command += ["--framework", "arm", "--output", "json", "--compact", "--skip-download"]
        # It asks nobody for updates or guidelines.
        env = {**os.environ, "HOME": str(tmp_path), "BC_SKIP_MAPPING": "TRUE"}
        env |= {"CHECKOV_RUN_SCA_PACKAGE_SCAN_V2": "false", "LOG_LEVEL": "ERROR"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        report = json.loads(done.stdout)
        assert report["summary"]["resource_count"] == len(found)
        assert report["summary"]["passed"] > 20
        failed |= {check["check_id"] for check in report["results"]["failed_checks"]}

    argued = read("checkov.json")
    assert failed == set(argued)
    assert all(len(reason) > 15 for reason in argued.values())
