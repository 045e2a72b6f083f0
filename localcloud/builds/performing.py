"""The commands of a step, carried out one after the other as a shell does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from localcloud.builds import azcli
from localcloud.builds.acrcli import Purge, Purger
from localcloud.builds.azcli import AzCli
from localcloud.builds.commands import Action, Echo, Exit, Script, Strict
from localcloud.builds.docker import Docker, Place
from localcloud.builds.job import BuildError, Log
from localcloud.clock import Clock


class Performer:
    """Carries out the commands of one run.

    Args:
        docker: Docker.
        az: The Azure CLI.
        host: The run's own registry.
        clock: Cloud time.
        log: The run's log; it raises BuildError where the step is to end.
        ends: Tells whether the step is to end, whatever its shell would do next.
    """

    def __init__(
        self,
        docker: Docker,
        az: AzCli,
        host: str,
        clock: Clock,
        log: Log,
        ends: Callable[[], bool],
    ) -> None:
        self._docker = docker
        self._az = az
        self._host = host
        self._clock = clock
        self._log = log
        self._ends = ends

    def perform(self, script: Script, folder: Path) -> None:
        """Carry out a script.

        Args:
            script: What is to be done.
            folder: The folder that containers see as /workspace.

        Raises:
            BuildError: The last command failed, or one after which nothing goes on.
        """
        failure: BuildError | None = None
        strict = script.strict
        for part, following in zip(script.parts, [*script.parts[1:], None], strict=True):
            if (part.joiner == "&&" and failure) or (part.joiner == "||" and not failure):
                continue
            failure = self._tried(part.action, Place(folder, script.directory))
            if isinstance(part.action, Strict) and part.action.on is not None:
                strict = part.action.on
            if isinstance(part.action, Exit) and part.action.ends:
                break
            if failure is None or following is None:
                continue
            if strict and following.joiner == ";":
                raise failure
            self._log(str(failure))
        if failure is not None:
            raise failure

    def _tried(self, action: Action, place: Place) -> BuildError | None:
        """Carry out a command; return why it failed, if it did."""
        try:
            self._act(action, place)
        except BuildError as error:
            if self._ends():
                raise
            return error
        return None

    def _act(self, action: Action, place: Place) -> None:
        match action:
            case Script():
                self.perform(action, place.folder)
            case Echo(text):
                self._log(text)
            case Exit(status):
                if status:
                    raise BuildError(f"exit status {status}")
            case Strict():
                pass
            case Purge():
                self._purge(action)
            case azcli.Login() | azcli.Account() | azcli.Import() | azcli.AcrLogin():
                self._az.run(action)
            case _:
                self._docker.run(action, place)

    def _purge(self, purge: Purge) -> None:
        host = purge.registry or self._host
        host = host if "." in host else f"{host}.azurecr.io"
        with self._docker.client() as client:
            Purger(client, host, self._clock.now(), self._log).run(purge)
