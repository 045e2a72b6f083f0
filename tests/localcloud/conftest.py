"""Here, the process that talks to the cloud is the developer, who may do everything."""

from __future__ import annotations

import pytest

from localcloud.cloud import LocalCloud


@pytest.fixture(name="cloud")
def _developers_cloud(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    for name, value in cloud.environment(cloud.developer).items():
        monkeypatch.setenv(name, value)
    return cloud
