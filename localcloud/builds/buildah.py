"""Build with buildah: every step really runs."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import dockerfile

from localcloud.builds.build import Build
from localcloud.builds.builder import Command
from localcloud.builds.client import Client
from localcloud.builds.dockerfiles import SCRATCH, Plan, Stage, flags_of
from localcloud.builds.hub import static_busybox
from localcloud.builds.images import Image, Layer, assemble, digest_of, stamped
from localcloud.builds.job import HERE, BuildError, Log
from localcloud.network import Network

_LINK = re.compile(r"\s--link(=\w+)?(?=\s)")
_SHELL = ["/bin/sh", "-c"]
# Where a container has the shell that watches over its program, and what that shell does. It would
# take a bare name for one of its own programs, so it looks the name up first; what it calls its own
# variables no program is given.
_WATCH = "/.watch"
_WATCHED = """\
__seen=$1 __found= __name=$2
shift 2
unset SHLVL PWD OLDPWD
case $__name in
*/*) __found=$__name ;;
*)
    IFS=:
    for __folder in $PATH; do
        if [ -f "$__folder/$__name" ] && [ -x "$__folder/$__name" ]; then
            __found=$__folder/$__name
            break
        fi
    done
    unset IFS
    ;;
esac
if [ -n "$__found" ]; then
    "$__found" "$@"
    __status=$?
else
    echo "executable file not found in \\$PATH: $__name" >&2
    __status=127
fi
echo "$0"
until [ -e "$__seen-1" ]; do sleep 0.01; done
echo "$0" >&2
until [ -e "$__seen-2" ]; do sleep 0.01; done
exit $__status
"""


def usable() -> bool:
    """Tell whether buildah can run steps here: it is installed, and root may chroot."""
    return shutil.which("buildah") is not None and os.geteuid() == 0


class _Watch:
    """Sees to it that all that a program has printed was read before buildah notices its end.

    buildah ends with the program, whatever it still has to pass on (its issue 1928). So a shell of
    ours runs the program; it ends when the mark has been read that it prints after it, first to the
    one output and then to the other: both at once would be mixed.
    """

    def __init__(self, folder: Path) -> None:
        token = secrets.token_hex(8)
        self.folder = folder
        self.mark = f"[over {token}]"
        self._seen, self._marks = str(folder / token), 0
        shell = [f"{_WATCH}/busybox", "sh", "-c", _WATCHED]
        self.words = [*shell, self.mark, f"{_WATCH}/{token}"]

    def see(self, line: str) -> str:
        """Take note of a mark, and return what stood before it in its line."""
        self._marks += 1
        Path(f"{self._seen}-{self._marks}").touch()
        return line.removesuffix(self.mark)


class BuildahBuilder:
    """Runs buildah with storage of its own for each run, so that no base comes from a cache."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def open(
        self, work: Path, credentials: Mapping[str, tuple[str, str]], log: Log
    ) -> _BuildahSession:
        """Return a session; see Builder."""
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
        return _BuildahSession(work, environment, credentials, log)


class _BuildahSession:
    def __init__(
        self,
        work: Path,
        environment: Mapping[str, str],
        credentials: Mapping[str, tuple[str, str]],
        log: Log,
    ) -> None:
        self._work = work
        self._environment = environment
        self._credentials = credentials
        self._log = log
        self._buildah = [
            "buildah",
            *("--storage-driver", "vfs"),
            *("--root", str(work / "root")),
            *("--runroot", str(work / "run")),
        ]
        policy, self._auth = str(work / "policy.json"), work / "auth.json"
        self._own = ["--signature-policy", policy, "--authfile", str(self._auth)]
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._stopped = self._interrupted = False
        # What buildah's storage holds: images by docker's id, layers as a registry has them.
        self._ids: dict[str, str] = {}
        self._layers: dict[str, Layer] = {}
        self._built: dict[str, Image] = {}

    def build(self, build: Build, plan: Plan, images: Mapping[tuple[str, str], Image]) -> Image:
        """Build; see Session."""
        self._begin()
        ids = {key: self._hold(image) for key, image in images.items()}
        number = len(self._ids)
        file, identity = self._work / f"Dockerfile-{number}", self._work / f"id-{number}"
        file.write_text(_rewritten(plan, ids), encoding="utf-8")
        command = [*self._buildah, "bud", *self._own, "--isolation", "chroot"]
        # The proxy is for pulling and pushing; the steps must not see it.
        command += ["--format", "docker", "--http-proxy=false", "--pull=false"]
        command += ["--identity-label=false"]
        command += [f"--skip-unused-stages={str(build.kit).lower()}"]
        command += ["--file", str(file), "--iidfile", str(identity)]
        if build.platform != HERE:
            command += ["--platform", build.platform]
        for name, value in {**_declared(plan), **build.arguments}.items():
            command += ["--build-arg", f"{name}={value}"]
        for name, value in build.labels.items():
            command += ["--label", f"{name}={value}"]
        if build.target:
            command += ["--target", build.target]
        names = {found: reference for (reference, _), found in ids.items()}
        self._run([*command, str(build.context)], names)
        found = identity.read_text().strip().removeprefix("sha256:")
        image = self._exported(found)
        if build.stamped and image.platform != build.platform:
            # buildah leaves a base as it is if nothing is added to it.
            image = stamped(image, build.platform)
            self._ids[image.id] = found
        return image

    def check_runs(self, name: str) -> None:
        """Let it pass; see Session."""

    def run(self, command: Command) -> None:
        """Run; see Session."""
        self._begin()
        start = [*self._buildah, "from", "--quiet", "--pull=never", *self._own]
        container = self._run([*start, self._hold(command.image)])
        config = json.loads(command.image.config).get("config") or {}
        entry = [command.entry_point] if command.entry_point else config.get("Entrypoint") or []
        words = list(command.arguments)
        if not words and not command.entry_point:
            words = config.get("Cmd") or []
        watch = self._watch()
        run = [*self._buildah, "run", "--isolation", "chroot"]
        run += ["--volume", f"{command.folder}:/workspace"]
        run += ["--volume", f"{watch.folder}:{_WATCH}:ro"]
        for name, value in command.environment.items():
            run += ["--env", f"{name}={value}"]
        if command.directory:
            run += ["--workingdir", command.directory]
        try:
            self._run([*run, container, "--", *watch.words, *entry, *words], watch=watch)
        finally:
            self._ask([*self._buildah, "rm", container])

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

    def _watch(self) -> _Watch:
        folder = self._work / "watch"
        if not folder.exists():
            folder.mkdir()
            (folder / "busybox").write_bytes(static_busybox() or b"")
            (folder / "busybox").chmod(0o755)
        return _Watch(folder)

    def _begin(self) -> None:
        with self._lock:
            self._interrupted = False
        entries = {
            host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
            for host, (user, password) in self._credentials.items()
        }
        self._auth.write_text(json.dumps({"auths": entries}))

    def _hold(self, image: Image) -> str:
        """Have an image in buildah's storage; return its id there."""
        if image.id not in self._ids:
            self._run([*self._buildah, "pull", "--quiet", *self._own, f"docker://{image.source}"])
            self._ids[image.id] = image.id.removeprefix("sha256:")
            differences = (json.loads(image.config).get("rootfs") or {}).get("diff_ids") or []
            self._layers |= dict(zip(differences, image.layers, strict=False))
        return self._ids[image.id]

    def _exported(self, found: str) -> Image:
        """Return an image of buildah's storage; layers that were pulled stay as they came."""
        if found in self._built:
            return self._built[found]
        folder = self._work / f"image-{found}"
        push = [*self._buildah, "push", "--quiet", "--disable-compression", *self._own]
        self._run([*push, found, f"dir:{folder}"], {found: "the image"})
        manifest = json.loads((folder / "manifest.json").read_bytes())
        layers = []
        for descriptor in manifest["layers"]:
            difference = str(descriptor["digest"])
            if difference not in self._layers:
                self._layers[difference] = _packed(folder / difference.removeprefix("sha256:"))
            layers.append(self._layers[difference])
        config = (folder / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes()
        image = self._built[found] = assemble(config, layers)
        self._ids[image.id] = found
        return image

    def _ask(self, command: list[str]) -> str:
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False
        )
        return done.stdout

    def _run(
        self,
        command: list[str],
        names: Mapping[str, str] | None = None,
        watch: _Watch | None = None,
    ) -> str:
        """Run a command in sight of the log, which calls images by name; return its last line."""
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
                    told = line.rstrip()
                    if watch is not None and told.endswith(watch.mark):
                        told = watch.see(told)
                        if not told:
                            continue
                    for found, name in (names or {}).items():
                        told = told.replace(found, name)
                    last = told or last
                    self._log(told)
        finally:
            with self._lock:
                self._running = None
        if process.returncode != 0:
            raise BuildError(last or f"exit status {process.returncode}")
        return last


def _packed(file: Path) -> Layer:
    """Return a new layer, packed as a registry wants it."""
    data = gzip.compress(file.read_bytes(), 1, mtime=0)
    packed = file.with_suffix(".gz")
    packed.write_bytes(data)
    file.unlink()

    def read(_: Client) -> bytes:
        return packed.read_bytes()

    return Layer({"digest": digest_of(data), "size": len(data)}, read)


def _declared(plan: Plan) -> dict[str, str]:
    """Return what BuildKit gives by itself, of what the stages declare."""
    names = {
        word.partition("=")[0]
        for number in plan.built
        for command in plan.stages[number].commands
        if command.cmd.upper() == "ARG"
        for word in command.value
    }
    return {name: value for name, value in plan.automatic.items() if name in names}


def _rewritten(plan: Plan, ids: Mapping[tuple[str, str], str]) -> str:
    """Return a Dockerfile as buildah is to read it: images by id, without what it does not know."""
    lines: list[str | None] = list(plan.text.split("\n"))
    for stage in plan.stages:
        changes = [(stage.opening, _opening(stage, ids)), *_changes(plan, stage, ids)]
        for command, text in changes:
            lines[command.start_line - 1] = text
            for number in range(command.start_line, command.end_line):
                lines[number] = None
    return "\n".join(line for line in lines if line is not None)


def _opening(stage: Stage, ids: Mapping[tuple[str, str], str]) -> str:
    base = stage.base
    if stage.parent is None and base != SCRATCH:
        base = ids.get((base, stage.platform), base)
    platform = f"--platform={stage.platform} " if flags_of(stage.opening) else ""
    return f"FROM {platform}{base}" + (f" AS {stage.name}" if stage.name else "")


def _changes(
    plan: Plan, stage: Stage, ids: Mapping[tuple[str, str], str]
) -> Iterator[tuple[dockerfile.Command, str]]:
    shell = list(_SHELL)
    for command in stage.commands:
        name = command.cmd.upper()
        text = str(command.original)
        if name == "SHELL":
            shell = list(command.value)
        elif name == "RUN" and command.heredocs:
            text = _run_of(command, shell, kit=bool(plan.automatic))
        elif name in ("COPY", "ADD"):
            if command.heredocs and plan.automatic:
                raise BuildError(f"buildah does not do {name} with a heredoc: {command.original}")
            text = _LINK.sub("", text)
        if name in ("RUN", "COPY", "ADD"):
            for image in stage.images:
                found = ids.get((image, stage.platform), image)
                text = re.sub(rf"\bfrom=\"?{re.escape(image)}\"?(?=[\s,]|$)", f"from={found}", text)
        if text != command.original:
            yield command, text


def _run_of(command: dockerfile.Command, shell: list[str], *, kit: bool) -> str:
    """Return a RUN with a heredoc as one without: its shell gets all of it, or the first line."""
    first = str(command.value[0])
    text = first
    if kit:
        whole = len(command.heredocs) == 1 and re.fullmatch(r"<<-?\s*\S+", first.strip())
        bodies = "".join(f"\n{part.content}{part.name}" for part in command.heredocs)
        text = command.heredocs[0].content if whole else first + bodies
    return " ".join(["RUN", *command.flags, json.dumps([*shell, text])])


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
