"""Function apps that were deployed: published code, run with the template's settings and identity.

Each app is a Functions host in a process of its own. It sees its app settings, the variables that
Azure sets, and the identity endpoint of the identity that it was given; nothing else.
"""

from __future__ import annotations

import io
import json
import logging
import os
import secrets
import subprocess
import sys
import threading
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from localcloud.identity import Identities
from localcloud.network import Network
from localcloud.state import Json, Resource
from localcloud.tokens import Tokens

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGE = "released-package.zip"
_STOP_SECONDS = 15
_STORAGE = "https://storage.azure.com"

type Enrol = Callable[[str, Identities], tuple[str, str]]
"""Gives a resource its identities; returns the identity endpoint's address and secret."""


class PublishError(Exception):
    """A package could not be published; says why."""


@dataclass(slots=True)
class Deployment:
    """A publication, as Kudu tells of it.

    Attributes:
        id: Its id.
        status: 2 while it goes on, 3 when it has failed, 4 when it has succeeded.
        text: What there is to say.
    """

    id: str
    status: int = 2
    text: str = ""


@dataclass(slots=True)
class _App:
    """An app's process, and what stays when it is started anew."""

    keys: dict[str, str] = field(
        default_factory=lambda: {
            name: secrets.token_urlsafe(32) for name in ("master", "function", "eventgrid")
        }
    )
    code: Path | None = None
    process: subprocess.Popen[str] | None = None
    told: Json = field(default_factory=dict)  # what the host said when it was ready
    started_with: Json = field(default_factory=dict)
    deployments: list[Deployment] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)


class FunctionApps:
    """The function apps' processes.

    Args:
        network: How a process sees the cloud.
        tokens: For the app's own access to its package.
        enrol: See Enrol.
        folder: For the code, the logs and the timers' memory.
    """

    def __init__(self, network: Network, tokens: Tokens, enrol: Enrol, folder: Path) -> None:
        self._network = network
        self._tokens = tokens
        self._enrol = enrol
        self._folder = folder
        self._apps: dict[str, _App] = {}
        self._lock = threading.Lock()

    def _app(self, site_id: str) -> _App:
        with self._lock:
            return self._apps.setdefault(site_id.lower(), _App())

    def functions(self, site_id: str) -> dict[str, list[Json]]:
        """Return an app's functions by name, each with its bindings; none before it runs."""
        found: dict[str, list[Json]] = self._app(site_id).told.get("functions", {})
        return found

    def keys(self, site_id: str) -> Mapping[str, str]:
        """Return an app's keys: master, function, eventgrid."""
        return self._app(site_id).keys

    def address(self, site_id: str) -> str:
        """Return where an app listens; empty if it does not run."""
        app = self._app(site_id)
        running = app.process is not None and app.process.poll() is None
        return str(app.told.get("url", "")) if running else ""

    def event_address(self, function_id: str) -> str:
        """Return the webhook of a function by its resource id; empty if it does not run."""
        site_id, _, name = function_id.partition("/functions/")
        address = self.address(site_id)
        if not address or name not in self.functions(site_id):
            return ""
        code = self.keys(site_id)["eventgrid"]
        return f"{address}/runtime/webhooks/eventgrid?functionName={name}&code={code}"

    def log(self, site_id: str) -> str:
        """Return what an app has logged."""
        path = self._place(site_id) / "log.txt"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def deployments(self, site_id: str) -> list[Deployment]:
        """Return an app's publications, oldest first."""
        return list(self._app(site_id).deployments)

    def publish(
        self, site: Resource, settings: Mapping[str, str], identities: Identities, package: bytes
    ) -> Deployment:
        """Publish a package and start the app with it; returns at once.

        Args:
            site: The app.
            settings: Its app settings.
            identities: Whom it may be.
            package: A zip archive of the app's folder.
        """
        app, deployment = self._app(site.id), Deployment(str(uuid.uuid4()))
        app.deployments.append(deployment)

        def work() -> None:
            try:
                with app.lock:
                    fetched = self._through_container(site, identities, package)
                    app.code = self._unpack(site.id, deployment.id, fetched)
                    self._restart(app, site, settings, identities)
                deployment.text = (
                    f"{len(self.functions(site.id))} functions; the packages of requirements.txt"
                    " are this machine's, without a remote build"
                )
                deployment.status = 4
            except (PublishError, OSError) as error:
                log.error("site %s: %s", site.name, error)  # noqa: TRY400 - it says it all
                deployment.text, deployment.status = str(error), 3

        threading.Thread(target=work, name=f"publish-{site.name}", daemon=True).start()
        return deployment

    def configure(
        self, site: Resource, settings: Mapping[str, str], identities: Identities
    ) -> None:
        """Start an app anew if it runs with other settings or identities than these."""
        app = self._app(site.id)
        with app.lock:
            wanted = _started_with(settings, identities)
            if app.code is not None and app.started_with != wanted:
                self._restart(app, site, settings, identities)

    def delete(self, site_id: str) -> None:
        """End an app and forget it."""
        with self._lock:
            app = self._apps.pop(site_id.lower(), None)
        if app is not None:
            with app.lock:
                _end(app)

    def stop(self) -> None:
        """End every app."""
        with self._lock:
            apps = list(self._apps.values())
        for app in apps:
            with app.lock:
                _end(app)

    def _place(self, site_id: str) -> Path:
        return self._folder / site_id.rpartition("/")[2].lower()

    def _through_container(self, site: Resource, identities: Identities, package: bytes) -> bytes:
        """Store the package where the template says, and fetch it from there, as the app does."""
        config: Json = site.properties.get("functionAppConfig") or {}
        storage: Json = (config.get("deployment") or {}).get("storage") or {}
        address = str(storage.get("value") or "")
        if not address:
            raise PublishError("functionAppConfig.deployment.storage.value names no container")
        how: Json = storage.get("authentication") or {}
        wanted = str(how.get("userAssignedIdentityResourceId") or "").lower()
        known = [p for p in identities.user_assigned if p.resource_id.lower() == wanted]
        principal = known[0] if known else None
        if how.get("type") == "SystemAssignedIdentity":
            principal = identities.system
        if principal is None:
            raise PublishError(
                "functionAppConfig.deployment.storage.authentication names no identity of the app"
            )
        token = self._tokens.issue(principal, _STORAGE, timedelta(hours=1))
        headers = {"Authorization": f"Bearer {token}", "x-ms-version": "2023-11-03"}
        blob = f"{address.rstrip('/')}/{_PACKAGE}"
        with self._network.client(timeout=60) as http:
            put = http.put(
                blob, content=package, headers={**headers, "x-ms-blob-type": "BlockBlob"}
            )
            answer = http.get(blob, headers=headers) if put.is_success else put
        if not answer.is_success:
            code = answer.headers.get("x-ms-error-code", "")
            raise PublishError(
                "InaccessibleStorageException: Failed to access storage account for deployment:"
                f" {answer.status_code} {code} at {address}"
            )
        return answer.content

    def _unpack(self, site_id: str, name: str, package: bytes) -> Path:
        folder = self._place(site_id) / name
        try:
            with zipfile.ZipFile(io.BytesIO(package)) as archive:
                archive.extractall(folder)
        except (zipfile.BadZipFile, ValueError) as error:
            raise PublishError(f"the package is no zip archive: {error}") from error
        if not (folder / "host.json").exists():
            raise PublishError("the package holds no host.json at its root")
        return folder

    def _restart(
        self, app: _App, site: Resource, settings: Mapping[str, str], identities: Identities
    ) -> None:
        _end(app)
        place = self._place(site.id)
        (place / "home").mkdir(parents=True, exist_ok=True)
        endpoint, header = self._enrol(site.id, identities)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "LANG": "C.UTF-8",
            "HOME": str(place / "home"),
            "PYTHONPATH": str(_ROOT),
            **self._network.environment(),
            **_azure(site),
            **({"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": header} if endpoint else {}),
            **settings,
        }
        command = [sys.executable, "-m", "localcloud.functionshost", str(app.code)]
        command += ["--data", str(place / "home")]
        with (place / "log.txt").open("a", encoding="utf-8") as file:
            app.process = subprocess.Popen(
                command,
                cwd=app.code,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                start_new_session=True,  # Ctrl-C is for the cloud, which ends it
            )
        if app.process.stdin is None or app.process.stdout is None:
            raise PublishError("the host has no pipes")
        app.process.stdin.write(json.dumps(app.keys) + "\n")
        app.process.stdin.flush()
        line = app.process.stdout.readline()
        if not line:
            _end(app)
            raise PublishError(f"the host did not start: {self.log(site.id)[-2000:]}")
        app.told = json.loads(line)
        app.started_with = _started_with(settings, identities)
        for problem in app.told["errors"]:
            log.error("site %s: %s", site.name, problem)


def _end(app: _App) -> None:
    process, app.process = app.process, None
    if process is None:
        return
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _started_with(settings: Mapping[str, str], identities: Identities) -> Json:
    return {"settings": dict(settings), "identities": identities}


def _azure(site: Resource) -> dict[str, str]:
    """Return what App Service sets for every function app on Linux, as far as code can use it.

    Source: learn.microsoft.com, "Environment variables and app settings in App Service".
    """
    _, _, subscription, _, group, *_ = site.id.split("/")
    runtime: Any = (site.properties.get("functionAppConfig") or {}).get("runtime") or {}
    return {
        "WEBSITE_SITE_NAME": site.name,
        "WEBSITE_HOSTNAME": str(site.properties["defaultHostName"]),
        "WEBSITE_INSTANCE_ID": uuid.uuid5(uuid.NAMESPACE_URL, site.id).hex,
        "WEBSITE_OWNER_NAME": f"{subscription}+{group}-{site.location}webspace-Linux",
        "WEBSITE_RESOURCE_GROUP": group,
        "WEBSITE_SKU": "FlexConsumption",
        "REGION_NAME": site.location,
        "AZURE_FUNCTIONS_ENVIRONMENT": "Production",
        "FUNCTIONS_EXTENSION_VERSION": "~4",
        "FUNCTIONS_WORKER_RUNTIME": str(runtime.get("name") or "python"),
        "FUNCTIONS_WORKER_RUNTIME_VERSION": str(runtime.get("version") or ""),
    }
