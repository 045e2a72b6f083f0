"""Build with buildah: every step really runs."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from localcloud.builds.job import Build, BuildError, Command, Log
from localcloud.network import Network


def usable() -> bool:
    """Tell whether buildah can run steps here: it is installed, and root may chroot."""
    return shutil.which("buildah") is not None and os.geteuid() == 0


class BuildahBuilder:
    """Runs buildah with storage of its own for each run, so that no base comes from a cache."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def open(
        self, work: Path, credentials: Mapping[str, tuple[str, str]], log: Log
    ) -> _BuildahSession:
        """Return a session; see Builder."""
        auth = work / "auth.json"
        entries = {
            host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
            for host, (user, password) in credentials.items()
        }
        auth.write_text(json.dumps({"auths": entries}))
        (work / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        registries = work / "registries.conf"
        registries.write_text('unqualified-search-registries = ["docker.io"]\n')
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(work),
            "TMPDIR": str(work),
            "CONTAINERS_REGISTRIES_CONF": str(registries),
            **self._network.environment(),
        }
        return _BuildahSession(work, environment, log)


class _BuildahSession:
    def __init__(self, work: Path, environment: Mapping[str, str], log: Log) -> None:
        self._work = work
        self._environment = environment
        self._log = log
        self._buildah = [
            "buildah",
            *("--storage-driver", "vfs"),
            *("--root", str(work / "root")),
            *("--runroot", str(work / "run")),
        ]
        policy, auth = str(work / "policy.json"), str(work / "auth.json")
        self._own = ["--signature-policy", policy, "--authfile", auth]
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._stopped = self._interrupted = False

    def build(self, build: Build) -> None:
        """Build; see Session."""
        self._begin()
        command = [*self._buildah, "bud", *self._own, "--isolation", "chroot"]
        # The proxy is for pulling and pushing; the steps must not see it.
        command += ["--format", "docker", "--http-proxy=false"]
        command += ["--file", str(build.dockerfile)]
        for name, value in build.arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        if build.target:
            command += ["--target", build.target]
        for image in build.images:
            command += ["--tag", image]
        self._run([*command, str(build.context)])

    def run(self, command: Command) -> None:
        """Run; see Session."""
        self._begin()
        start = [*self._buildah, "from", "--quiet", *self._own]
        container = self._run([*start, command.image])
        config = json.loads(self._ask([*self._buildah, "inspect", container]))["OCIv1"]["config"]
        entry = list(command.entry_point) or config.get("Entrypoint") or []
        words = list(command.arguments)
        if not words and not command.entry_point:
            words = config.get("Cmd") or []
        run = [*self._buildah, "run", "--isolation", "chroot"]
        run += ["--volume", f"{command.folder}:/workspace"]
        for name, value in command.environment.items():
            run += ["--env", f"{name}={value}"]
        if command.directory:
            run += ["--workingdir", command.directory]
        try:
            self._run([*run, container, "--", *entry, *words])
        finally:
            self._ask([*self._buildah, "rm", container])

    def push(self, image: str) -> str:
        """Push; see Session."""
        self._begin()
        self._log(f"Pushing image: {image}")
        file = self._work / "digest"
        push = [*self._buildah, "push", *self._own, "--digestfile", str(file)]
        self._run([*push, image, f"docker://{image}"])
        return file.read_text().strip()

    def interrupt(self) -> None:
        """Kill what goes on; see Session."""
        with self._lock:
            self._interrupted = True
            if self._running is not None:
                _kill(self._running)

    def stop(self) -> None:
        """Kill what goes on, and start nothing more; see Session."""
        with self._lock:
            self._stopped = True
        self.interrupt()

    def _begin(self) -> None:
        with self._lock:
            self._interrupted = False

    def _ask(self, command: list[str]) -> str:
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False
        )
        return done.stdout

    def _run(self, command: list[str]) -> str:
        """Run a command in sight of the log; return its last line."""
        with self._lock:
            # Between two programs of one step there is none to kill.
            if self._stopped or self._interrupted:
                raise BuildError("the run was stopped")
            process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # so that a step ends with all that it started
            )
            self._running = process
        last = ""
        try:
            with process:
                for line in process.stdout or ():
                    last = line.rstrip() or last
                    self._log(line.rstrip())
        finally:
            with self._lock:
                self._running = None
        if process.returncode != 0:
            raise BuildError(last or f"exit status {process.returncode}")
        return last


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
