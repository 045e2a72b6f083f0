"""Deploy the product, in the order that works; running it again changes nothing.

    python3 tools/deploy.py --environment ENV --location LOCATION --parameters FILE

FILE is a .bicepparam of infra/ or a .parameters.json. The steps, each of which may be asked for by
itself (`--steps`): check (that nothing of another environment would be taken over), provision
(infra/main.bicep), publish (the code), page (the same code to the app of the operators' page, where
there is one), wait (for its functions), subscribe (infra/event-subscriptions.bicep), doctor
(`rebuilder doctor`, where it is installed), and, only where it is asked for, probe (`rebuilder
probe`: a scratch image is pushed and seen; with `--sample` a task that is built on it is rebuilt).
What Azure needs minutes for, new roles above all, is tried again until `--minutes` are over. azd
does the first two itself and then runs this with `--azd`.
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
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azcli import FailedCommandError, az

ROOT = Path(__file__).resolve().parent.parent
INFRA = ROOT / "infra"
OUTPUT = "EVENT_SUBSCRIPTION_PARAMETERS"
PAGE_APP = "DASHBOARD_APP_NAME"
PUBLISHED = ("function_app.py", "functions", "rebuilder", "host.json", "requirements.txt")
STEPS = ("check", "provision", "publish", "page", "wait", "subscribe", "doctor")
PROBE = "probe"
AZD_STEPS = ("page", "wait", "subscribe", "doctor")
# What azd's environment asks for: `true` or a base registry's name, and a task registry's name.
AZD_PROBE, AZD_SAMPLE = "ACR_REBUILDER_PROBE", "ACR_REBUILDER_SAMPLE"
FOUND_ERRORS = 1

# Roles and identities need minutes to be known everywhere.
NEW_ROLES = ("roledefinitiondoesnotexist", "principalnotfound")
# The same on the first publishing: Azure/azure-dev issue 8026.
NEW_STORAGE_ROLES = ("inaccessiblestorageexception", "403", "forbidden", "authorizationfailure")
# Event Grid looks for the function itself, and may be later than the list of functions.
NEW_FUNCTIONS = ("endpoint not found", "endpoint validation", "not found", "eventgrid trigger type")
_LONGEST_WAIT = 60.0
_MADE_FOR = "rebuilder-token"

type Values = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class Chosen:
    """What was asked for.

    Attributes:
        environment: The name of the environment.
        location: The region, in which deployments at the subscription are kept, too.
        parameters: The file of parameters; "" if nothing is provisioned.
        subscription: The subscription; "" for the one that the Azure CLI is set to.
        steps: What is done.
        until: When waiting is over, by the monotonic clock.
        base: The base registry that a probe pushes to; "" for the only one.
        sample: The task registry that a probe's sample is in; "" for none.
    """

    environment: str
    location: str
    parameters: str
    subscription: str
    steps: Sequence[str]
    until: float
    base: str = ""
    sample: str = ""

    @property
    def deployment(self) -> str:
        """The name of the deployment: each environment has its own."""
        return f"acr-rebuilder-{self.environment}"

    @property
    def place(self) -> tuple[str, ...]:
        """The argument that names the subscription."""
        return ("--subscription", self.subscription) if self.subscription else ()


def say(text: str) -> None:
    """Tell a person how it goes."""
    print(text, flush=True)


def patiently(work: Callable[[], object], excused: Sequence[str], until: float) -> None:
    """Do something, again while it fails for what time heals.

    Raises:
        FailedCommandError: It failed for something else, or for too long.
    """
    wait = 5.0
    while True:
        try:
            work()
        except FailedCommandError as error:
            left = until - time.monotonic()
            if left <= 0 or not any(text in str(error).lower() for text in excused):
                raise
            wait = min(wait * 2, _LONGEST_WAIT, left)
            say(f"  not yet: {_first_line(error)}; again in {wait:.0f} s")
            time.sleep(wait)
        else:
            return


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else "no reason was given")[:300]


def _waiting(what: str) -> Callable[[float], None]:
    return lambda seconds: say(f"  {what}: {seconds:.0f} s")


def check(chosen: Chosen) -> None:
    """Ask what would change, and refuse to take over what somebody else has made.

    The name of a registry's topic is the same for every environment, so that the second one would
    go on with the topic of the first, and change its tags, its lock and where its logs go.

    Raises:
        FailedCommandError: Something is another's.
    """
    given, environment = _template(chosen)
    show = ("--no-prompt", "--no-pretty-print", "--exclude-change-types", "Create", "NoChange")
    what_if = ("deployment", "sub", "what-if", "--name", chosen.deployment)
    try:
        told = az(
            *(*what_if, "--location", chosen.location, *given, *show, *chosen.place),
            waiting=_waiting("Azure looks what would change"),
            environment=environment,
        )
    except FailedCommandError as error:
        # Whether it can be deployed is for the deployment itself to say.
        say(f"  what would change is not known: {_first_line(error)}")
        return
    changes = (told.get("changes") or []) if isinstance(told, dict) else []
    if taken := [text for change in changes if (text := _anothers(change, chosen.environment))]:
        raise FailedCommandError("\n".join(taken))
    say(f"  {len(changes)} resources are there already, and none is another's")


def _anothers(change: Mapping[str, Any], environment: str) -> str:
    """Tell whose a resource is that a deployment would change; "" if it is this environment's."""
    before, after = ((change.get(side) or {}).get("tags") or {} for side in ("before", "after"))
    if not after.get(_MADE_FOR) or before.get(_MADE_FOR) == after[_MADE_FOR]:
        return ""
    owner = before.get("azd-env-name")
    place = str(change["resourceId"])
    topic = "/microsoft.eventgrid/systemtopics/" in place.lower()
    # An older version put no token on what it made; and whoever names a group or an account that
    # is there, and has no tags of ours, wants it.
    if not before.get(_MADE_FOR) and (owner == environment or not topic):
        return ""
    whose = f"is of the environment {owner}" if owner else "is there already, and not ours"
    remedy = "write its name as topicName of the registry" if topic else "choose another name"
    return f"{place} {whose}: {remedy} (docs/deploy.md)"


def _template(chosen: Chosen) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return the arguments that name template and parameters, and the variables for both."""
    file = chosen.parameters
    # A .bicepparam reads these; a .parameters.json is given them.
    environment = {
        **os.environ,
        "AZURE_ENV_NAME": chosen.environment,
        "AZURE_LOCATION": chosen.location,
    }
    if file.endswith(".bicepparam"):
        return ("--parameters", file), environment
    names = (f"environmentName={chosen.environment}", f"location={chosen.location}")
    template = ("--template-file", str(INFRA / "main.json"))
    return (*template, "--parameters", f"@{file}", *names), environment


def provision(chosen: Chosen) -> None:
    """Deploy infra/main.bicep with the parameters that were chosen."""
    create = ("deployment", "sub", "create", "--name", chosen.deployment)
    given, environment = _template(chosen)
    query = ("--query", "properties.provisioningState")

    def work() -> None:
        az(
            *(*create, "--location", chosen.location, *given, *query, *chosen.place),
            waiting=_waiting("Azure makes resources"),
            environment=environment,
        )

    patiently(work, NEW_ROLES, chosen.until)


def outputs(chosen: Chosen) -> Values:
    """Return the parameters of the event subscriptions, from azd's environment or the deployment.

    Raises:
        FailedCommandError: Neither has them.
    """
    told = json.loads(os.environ.get(OUTPUT) or "null")
    if not isinstance(told, dict):
        properties = _deployed(chosen)
        told = ((properties.get("outputs") or {}).get(OUTPUT) or {}).get("value")
        if not isinstance(told, dict):
            state = properties.get("provisioningState")
            raise FailedCommandError(
                f"the deployment {chosen.deployment} has no outputs, its state is {state}: deploy"
                " infra/main.bicep to its end first (--steps provision)"
            )
    return told


def _deployed(chosen: Chosen) -> dict[str, Any]:
    show = ("deployment", "sub", "show", "--name", chosen.deployment)
    found = az(*show, "--query", "properties", *chosen.place)
    return found if isinstance(found, dict) else {}


def page_app(chosen: Chosen) -> str:
    """Return the name of the app of the operators' page; "" if there is none."""
    if OUTPUT in os.environ:
        return os.environ.get(PAGE_APP, "")
    outputs = _deployed(chosen).get("outputs") or {}
    return str((outputs.get(PAGE_APP) or {}).get("value") or "")


def package(file: Path) -> None:
    """Write the package: what the function app needs, the same bytes for the same files."""
    paths = [path for name in PUBLISHED for path in (ROOT / name, *(ROOT / name).rglob("*"))]
    wanted = [path for path in sorted(paths) if path.is_file() and "__pycache__" not in path.parts]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in wanted:
            entry = zipfile.ZipInfo(path.relative_to(ROOT).as_posix())
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())


def publish(chosen: Chosen, given: Values, app: str = "") -> None:
    """Publish the code; Azure installs what it needs.

    Args:
        chosen: What was asked for.
        given: The parameters of the event subscriptions.
        app: The name of another app than the one that rebuilds.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "app.zip"
        package(file)
        say(f"  {file.stat().st_size // 1024} KiB")
        where = ("--resource-group", group_of(given), "--name", app or app_of(given))
        config = ("functionapp", "deployment", "source", "config-zip", *where)

        def work() -> None:
            az(
                *(*config, "--src", str(file), "--build-remote", "true", *chosen.place),
                waiting=_waiting("Azure builds the package"),
            )

        patiently(work, NEW_STORAGE_ROLES, chosen.until)


def _publish_page(chosen: Chosen, given: Values) -> None:
    app = page_app(chosen)
    if app:
        publish(chosen, given, app)
    else:
        say("  there is none")


def app_of(given: Values) -> str:
    """Return the name of the function app."""
    return str(given["functionAppName"]["value"])


def group_of(given: Values) -> str:
    """Return the resource group of the function app."""
    return str(given["functionAppResourceGroupName"]["value"])


def wanted_functions(given: Values) -> frozenset[str]:
    """Return the functions that events are for."""
    by_queue = (given.get("eventQueueName") or {}).get("value")
    return frozenset({"event_queued"} if by_queue else {"image_pushed", "task_changed"})


def wait(chosen: Chosen, given: Values) -> None:
    """Wait until the app has the functions.

    Raises:
        FailedCommandError: It has not in time.
    """
    app = app_of(given)
    listing = ("functionapp", "function", "list", "--name", app, "--resource-group")
    while True:
        sync_triggers(chosen, given)
        try:
            listed = az(*listing, group_of(given), "--query", "[].name", *chosen.place)
            names = listed if isinstance(listed, list) else []
            # ARM names a function APP/FUNCTION.
            there = {str(name).rpartition("/")[2] for name in names}
            missing = wanted_functions(given) - there
            if not missing:
                say(f"  {len(there)} functions")
                return
            problem = f"not there yet: {', '.join(sorted(missing))}"
        except FailedCommandError as error:
            problem = str(error)
        if time.monotonic() >= chosen.until:
            raise FailedCommandError(f"the functions of {app} did not come: {problem}")
        say(f"  {_first_line(FailedCommandError(problem))}")
        time.sleep(10)


def sync_triggers(chosen: Chosen, given: Values) -> None:
    """Have the platform read the app's functions anew; without it the list may stay as it was.

    Source: Azure/azure-functions-host issue 10169. Whoever may not do it waits for the platform.
    """
    subscription = chosen.subscription or "{subscriptionId}"
    place = f"/subscriptions/{subscription}/resourceGroups/{group_of(given)}"
    site = f"{place}/providers/Microsoft.Web/sites/{app_of(given)}"
    url = f"{site}/host/default/sync?api-version=2024-11-01"
    try:
        az("rest", "--method", "post", "--url", url)
    except FailedCommandError as error:
        say(f"  triggers were not synced: {_first_line(error)}")


def subscribe(chosen: Chosen, given: Values) -> None:
    """Deploy the event subscriptions."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "parameters.json"
        file.write_text(json.dumps(given), "utf-8")
        create = ("deployment", "sub", "create", "--name", f"{chosen.deployment}-events")
        template = ("--template-file", str(INFRA / "event-subscriptions.json"))
        what = (*template, "--parameters", f"@{file}", "--query", "properties.provisioningState")

        def work() -> None:
            az(*create, "--location", chosen.location, *what, *chosen.place)

        patiently(work, NEW_FUNCTIONS, chosen.until)


def doctor(chosen: Chosen, given: Values) -> bool:
    """Run `rebuilder doctor` with the app's settings and this person's rights.

    Returns:
        Whether it found no error; also where it is not installed.
    """
    program = _program()
    if not program:
        say("  rebuilder is not installed here (make env), so the set-up was not examined")
        return True
    done = subprocess.run([*program, "--function-app", _site(chosen, given), "doctor"], check=False)
    return done.returncode == 0


def probe(chosen: Chosen, given: Values) -> bool:
    """Run `rebuilder probe` in the same way.

    Returns:
        Whether the push was seen, and the sample rebuilt if it was asked for.

    Raises:
        FailedCommandError: It is not installed.
    """
    program = _program()
    if not program:
        raise FailedCommandError("rebuilder is not installed here (make env), so nothing is pushed")
    minutes = max(1.0, (chosen.until - time.monotonic()) / 60)
    more = ["--base", chosen.base] if chosen.base else []
    more += ["--sample", chosen.sample] if chosen.sample else []
    words = ("--function-app", _site(chosen, given), PROBE, "--minutes", f"{minutes:.1f}", *more)
    # What it tells is seen when it tells it, by a log, too.
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.run([*program, *words], env=env, check=False).returncode == 0


def _program() -> list[str]:
    """Return the command `rebuilder`; nothing if it is not installed."""
    program = shutil.which("rebuilder") or str(ROOT / ".venv" / "bin" / "rebuilder")
    return [program] if Path(program).exists() else []


def _site(chosen: Chosen, given: Values) -> str:
    where = ("--resource-group", group_of(given), "--name", app_of(given), *chosen.place)
    return str(az("functionapp", "show", "--query", "id", *where))


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the steps; the exit code says whether all is well, as far as they tell."""
    chosen = _chosen(arguments)
    clean = True
    try:
        for number, step in enumerate(chosen.steps, 1):
            say(f"[{number}/{len(chosen.steps)}] {step}")
            began = time.monotonic()
            if step == "check":
                check(chosen)
            elif step == "provision":
                provision(chosen)
            else:
                given = outputs(chosen)
                if step == "publish":
                    publish(chosen, given)
                elif step == "page":
                    _publish_page(chosen, given)
                elif step == "wait":
                    wait(chosen, given)
                elif step == "subscribe":
                    subscribe(chosen, given)
                elif step == "doctor":
                    clean = doctor(chosen, given)
                else:
                    clean = probe(chosen, given) and clean
            say(f"  done in {time.monotonic() - began:.0f} s")
    except FailedCommandError as error:
        print(error, file=sys.stderr)
        return 1
    if "subscribe" in chosen.steps:
        say("Events of pushes and of changed tasks are delivered to the function app.")
    return 0 if clean else FOUND_ERRORS


def _chosen(arguments: Sequence[str] | None) -> Chosen:
    env = os.environ
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--environment", default=env.get("AZURE_ENV_NAME", ""), metavar="ENV")
    parser.add_argument("--location", default=env.get("AZURE_LOCATION", ""))
    parser.add_argument("--parameters", default="", metavar="FILE")
    parser.add_argument("--subscription", default=env.get("AZURE_SUBSCRIPTION_ID", ""))
    every = f"of {', '.join((*STEPS, PROBE))}; all but the last"
    parser.add_argument("--steps", default=",".join(STEPS), help=every)
    parser.add_argument(
        "--probe",
        nargs="?",
        const="true",
        default="",
        metavar="BASE",
        help="at the end: push a scratch image into a base registry, and see that it is noticed",
    )
    parser.add_argument(
        "--sample",
        default="",
        metavar="REGISTRY",
        help="the same, and see a sample task in this task registry rebuilt; it is made once",
    )
    parser.add_argument("--package", type=Path, help="write the package there, and do nothing else")
    parser.add_argument("--azd", action="store_true", help="the steps that azd leaves")
    parser.add_argument("--minutes", type=float, default=15, help="how long to wait at most")
    given = parser.parse_args(arguments)
    if given.package:
        package(given.package)
        sys.exit(0)
    asked = set(AZD_STEPS if given.azd else given.steps.split(","))
    if given.azd:
        given.probe = given.probe or env.get(AZD_PROBE, "")
        given.sample = given.sample or env.get(AZD_SAMPLE, "")
    if given.probe or given.sample:
        asked.add(PROBE)
    if strange := asked - {*STEPS, PROBE}:
        parser.error(f"there is no step {', '.join(sorted(strange))}")
    for name in ("environment", "location"):
        if not getattr(given, name):
            parser.error(f"say --{name}")
    if asked & {"check", "provision"} and not Path(given.parameters).is_file():
        parser.error(f"--parameters: there is no file {given.parameters!r}")
    return Chosen(
        given.environment,
        given.location,
        given.parameters,
        given.subscription,
        [step for step in (*STEPS, PROBE) if step in asked],
        time.monotonic() + given.minutes * 60,
        "" if given.probe.lower() == "true" else given.probe,
        given.sample,
    )


if __name__ == "__main__":
    sys.exit(main())
