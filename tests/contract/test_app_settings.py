"""How a function app's settings are read, by requests to the local cloud's ARM."""

from __future__ import annotations

import pytest

from localcloud.cloud import LocalCloud
from rebuilder.composition import app_environment
from rebuilder.errors import Denied, InvalidResourceId, NotFound
from tests import images

GROUP = f"/subscriptions/{images.SUBSCRIPTIONS[0]}/resourceGroups/rg-mybase"
SITE = f"{GROUP}/providers/Microsoft.Web/sites/func-rebuilder"


@pytest.fixture(name="cloud")
def _cloud(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """Let this process be the developer, who owns a resource group."""
    for name, value in cloud.environment(cloud.developer).items():
        monkeypatch.setenv(name, value)
    images.registry(cloud, "mybase")
    return cloud


@pytest.mark.usefixtures("cloud")
def test_an_app_that_is_not_there() -> None:
    """It is named."""
    with pytest.raises(NotFound, match=r"read the settings of /subscriptions/.*func-rebuilder"):
        app_environment(SITE)


def test_who_has_no_right_to_the_settings(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal is told as ARM words it, with the app."""
    for name, value in cloud.environment(cloud.function_app).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Denied, match=r"func-rebuilder: .*config/list/action"):
        app_environment(SITE, "https://management.azure.com/")


@pytest.mark.parametrize(
    "site",
    [
        "func-rebuilder",
        GROUP,
        f"{SITE}/functions/sweep",
        f"{SITE}?x",
        "https://management.azure.com" + SITE,
        SITE.replace("sites", "plans"),
    ],
)
def test_what_is_no_function_app(site: str) -> None:
    """Nothing is asked for it."""
    with pytest.raises(InvalidResourceId, match="write /subscriptions/ID/resourceGroups/NAME"):
        app_environment(site)
