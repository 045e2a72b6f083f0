"""Build with buildah: every step really runs."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading

from localcloud.builds.job import BuildError, Job, Log
from localcloud.network import Network


def usable() -> bool:
    """Tell whether buildah can run steps here: it is installed, and root may chroot."""
    return shutil.which("buildah") is not None and os.geteuid() == 0


class BuildahBuilder:
    """Runs buildah with storage of its own for each job, so that no base comes from a cache."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def build(self, job: Job, log: Log) -> dict[str, str]:
        """Build and push; see Builder."""
        auth = job.work / "auth.json"
        policy = job.work / "policy.json"
        registries = job.work / "registries.conf"
        entries = {
            host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
            for host, (user, password) in job.credentials.items()
        }
        auth.write_text(json.dumps({"auths": entries}))
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        registries.write_text('unqualified-search-registries = ["docker.io"]\n')
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(job.work),
            "TMPDIR": str(job.work),
            "CONTAINERS_REGISTRIES_CONF": str(registries),
            **self._network.environment(),
        }
        buildah = [
            "buildah",
            *("--storage-driver", "vfs"),
            *("--root", str(job.work / "root")),
            *("--runroot", str(job.work / "run")),
        ]
        own = ["--signature-policy", str(policy), "--authfile", str(auth)]
        command = [*buildah, "bud", *own, "--isolation", "chroot", "--format", "docker"]
        # The proxy is for pulling and pushing; the steps must not see it.
        command += ["--http-proxy=false", "--file", str(job.context / job.dockerfile)]
        for name, value in job.arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        if job.target:
            command += ["--target", job.target]
        for image in job.images:
            command += ["--tag", image]
        self._run([*command, str(job.context)], environment, log)
        digests = {}
        for image in job.images if job.push else ():
            log(f"Pushing image: {image}")
            file = job.work / "digest"
            push = [*buildah, "push", *own, "--digestfile", str(file), image, f"docker://{image}"]
            self._run(push, environment, log)
            digests[image] = file.read_text().strip()
        return digests

    def _run(self, command: list[str], environment: dict[str, str], log: Log) -> None:
        with self._lock:
            if self._stopped:
                raise BuildError("the local cloud is stopping")
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            self._running.add(process)
        last = ""
        try:
            with process:
                try:
                    for line in process.stdout or ():
                        last = line.rstrip() or last
                        log(line.rstrip())
                except BuildError:
                    process.kill()  # before the context waits for its end
                    raise
        finally:
            with self._lock:
                self._running.discard(process)
        if process.returncode != 0:
            raise BuildError(last or f"buildah ended with {process.returncode}")

    def stop(self) -> None:
        """Kill what still builds."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()
