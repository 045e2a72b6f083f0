"""Wait for the published functions, then deploy the event subscriptions, with the Azure CLI.

azd runs it after `deploy`; by hand: `python3 infra/hooks/subscribe.py --deployment NAME`, where
NAME is the deployment of main.bicep. Running it again changes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent / "event-subscriptions.json"
WANTED = frozenset({"image_pushed", "task_changed"})
OUTPUT = "EVENT_SUBSCRIPTION_PARAMETERS"
# Event Grid looks for the function itself, and may be later than the list of functions.
NOT_YET = ("endpoint not found", "endpoint validation", "not found", "eventgrid trigger type")


class FailedCommandError(Exception):
    """The Azure CLI refused; the message is what it said."""


def az(*arguments: str) -> object:
    """Run the Azure CLI; return what it answers.

    Raises:
        FailedCommandError: It ended with an error.
    """
    command = [shutil.which("az") or "az", *arguments, "--output", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise FailedCommandError(f"the Azure CLI cannot be started: {error}") from error
    if done.returncode != 0:
        raise FailedCommandError(done.stderr.strip())
    return json.loads(done.stdout or "null")


def parameters(deployment: str, subscription: Sequence[str]) -> dict[str, dict[str, object]]:
    """Return the parameters of the template, from azd's environment or from a deployment.

    Raises:
        FailedCommandError: Neither has them.
    """
    given: object
    if deployment:
        query = f"properties.outputs.{OUTPUT}.value"
        show = ("deployment", "sub", "show", "--name", deployment, "--query", query)
        given = az(*show, *subscription)
    else:
        given = json.loads(os.environ.get(OUTPUT, "null"))
    if not isinstance(given, dict):
        place = f"the deployment {deployment}" if deployment else "the environment"
        raise FailedCommandError(f"{place} has no {OUTPUT}: deploy infra/main.bicep first")
    return given


def wait(given: Mapping[str, dict[str, object]], subscription: Sequence[str], until: float) -> None:
    """Wait until the app has the functions.

    Raises:
        FailedCommandError: It has not in time.
    """
    app, group = given["functionAppName"]["value"], given["functionAppResourceGroupName"]["value"]
    listing = ("functionapp", "function", "list", "--name", str(app), "--resource-group")
    problem = ""
    while True:
        sync_triggers(str(app), str(group), subscription)
        try:
            listed = az(*listing, str(group), "--query", "[].name", *subscription)
            names = listed if isinstance(listed, list) else []
            # ARM names a function APP/FUNCTION.
            missing = WANTED - {str(name).rpartition("/")[2] for name in names}
            problem = f"not there yet: {', '.join(sorted(missing))}"
            if not missing:
                return
        except FailedCommandError as error:
            problem = str(error)
        if time.monotonic() >= until:
            raise FailedCommandError(f"the functions of {app} did not come: {problem}")
        print(f"waiting for the functions of {app} ({problem})", file=sys.stderr)
        time.sleep(10)


def sync_triggers(app: str, group: str, subscription: Sequence[str]) -> None:
    """Have the platform read the app's functions anew; without it the list may stay as it was.

    Source: Azure/azure-functions-host issue 10169. Whoever may not do it waits for the platform.
    """
    place = f"/subscriptions/{subscription[1] if subscription else '{subscriptionId}'}"
    site = f"{place}/resourceGroups/{group}/providers/Microsoft.Web/sites/{app}"
    url = f"{site}/host/default/sync?api-version=2024-11-01"
    try:
        az("rest", "--method", "post", "--url", url)
    except FailedCommandError as error:
        print(f"triggers were not synced: {error}", file=sys.stderr)


def subscribe(
    given: Mapping[str, dict[str, object]], location: str, subscription: Sequence[str], until: float
) -> None:
    """Deploy the event subscriptions.

    Raises:
        FailedCommandError: They were refused, and not because the functions are too new.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "parameters.json"
        file.write_text(json.dumps(given), "utf-8")
        create = ("deployment", "sub", "create", "--name", "rebuilder-event-subscriptions")
        what = ("--template-file", str(TEMPLATE), "--parameters", f"@{file}")
        while True:
            try:
                az(*create, "--location", location, *what, *subscription)
            except FailedCommandError as error:
                late = time.monotonic() >= until
                if late or not any(text in str(error).lower() for text in NOT_YET):
                    raise
                print(f"Event Grid does not see the functions yet: {error}", file=sys.stderr)
                time.sleep(20)
            else:
                return


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait and deploy; the exit code says whether events will come."""
    env = os.environ
    parser = argparse.ArgumentParser(description="Deploy the event subscriptions.")
    parser.add_argument("--deployment", default="", help="the deployment of infra/main.bicep")
    parser.add_argument("--location", default=env.get("AZURE_LOCATION", ""), help="its region")
    parser.add_argument("--subscription", default=env.get("AZURE_SUBSCRIPTION_ID", ""))
    parser.add_argument("--minutes", type=float, default=15, help="how long to wait at most")
    chosen = parser.parse_args(arguments)
    if not chosen.location:
        parser.error("say --location, the region that the deployment is kept in")
    subscription = ("--subscription", chosen.subscription) if chosen.subscription else ()
    until = time.monotonic() + chosen.minutes * 60
    try:
        given = parameters(chosen.deployment, subscription)
        wait(given, subscription, until)
        subscribe(given, chosen.location, subscription, until)
    except FailedCommandError as error:
        print(error, file=sys.stderr)
        return 1
    print("Events of pushes and of changed tasks are delivered to the function app.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
