"""Mistakes with the function app."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rebuilder.core.doctor._finding import Finding, az, short
from rebuilder.core.doctor.setup import FUNCTIONS, Site, part


class SiteNotThere(Finding, frozen=True):
    """The function app does not exist.

    Attributes:
        site: Its resource id.
    """

    code = "app-not-there"
    wrong = "there is no function app {self.site}"
    matters = "events are sent to it, and nobody works them off"
    site: str

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return ("azd up",)


class SiteStopped(Finding, frozen=True):
    """The function app does not run.

    Attributes:
        site: The app.
    """

    code = "app-stopped"
    matters = "nothing is delivered to it, and nothing works off its queues"
    site: Site

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"the function app {short(self.site.id)} is {self.site.state}"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (az("functionapp", "start", "--ids", self.site.id),)


class FunctionsMissing(Finding, frozen=True):
    """Functions are not in the app.

    Attributes:
        site: The app's resource id.
        names: The functions.
    """

    code = "functions-missing"
    matters = "the code was not published, or the host could not load it: see the app's log"
    site: str
    names: tuple[str, ...]

    def what(self) -> str:
        """What is wrong, with the names of the resources."""
        return f"the function app {short(self.site)} has no {', '.join(self.names)}"

    def commands(self) -> tuple[str, ...]:
        """The commands that fix it, in this order."""
        return (
            az(
                *("functionapp", "deployment", "source", "config-zip", "--src", "app.zip"),
                *("--subscription", part(self.site, "subscriptions")),
                *("--resource-group", part(self.site, "resourcegroups")),
                *("--name", short(self.site)),
            ),
        )


def judge_functions(site: Site, names: Iterable[str]) -> Iterator[Finding]:
    """Tell whether a function app runs and has every function."""
    if site.state.lower() != "running":
        yield SiteStopped(site)
        return
    absent = FUNCTIONS - {name.lower() for name in names}
    if absent:
        yield FunctionsMissing(site.id, tuple(sorted(absent)))
