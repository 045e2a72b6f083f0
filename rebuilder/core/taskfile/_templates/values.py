"""The values of a task file: given, empty, or not given.

A task gives values in a values file and by `--set`, which wins. The agent takes a value that
nobody gives for nothing (templating/engine.go, missingkey=zero), which is what conditions and
`default` are written for. Where such a value would stand in the text itself, no run of the task
can be meant to work without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import yaml
from msgspec import Struct, field

from rebuilder.core.taskfile import _yaml
from rebuilder.core.taskfile._steps import RunContext
from rebuilder.errors import InvalidBuildFile


class Unknown(Struct, frozen=True):
    """What a template is worth, where that is not known.

    Attributes:
        reason: What would have to be known.
        may_be_empty: Whether it may be nothing at all.
        value: The value that nobody gives, if that is why.
        later: Whether every run knows it.
        host: Whether it is the name of a registry.
    """

    reason: str
    may_be_empty: bool = True
    value: str = ""
    later: bool = False
    host: bool = False


def not_given(name: str) -> Unknown:
    """What a value is worth that nobody gives."""
    reason = (
        f"value {name} is given by no `--set` of the task; runs of it need"
        f" `az acr task run --set {name}=...`"
    )
    return Unknown(reason, value=name)


_LATER = {
    "ID": "the id of a run",
    "Date": "the date of a run",
    "SharedVolume": "the volume of a run",
    "Commit": "the commit of a run",
    "Branch": "the branch of a run",
    "GitTag": "the git tag of a run",
    "Repository": "the repository of a run",
    "TriggeredBy": "what triggered a run",
    "OSVersion": "the agent's version of its operating system",
    "OS": "the agent's operating system",
    "Architecture": "the agent's processor",
    "TaskName": "the task's name",
    "Registry": "the registry of a run",
    "RegistryName": "the registry of a run",
}
_NEVER_EMPTY = frozenset({"ID", "Date", "SharedVolume", "Registry", "RegistryName"})


class Values(Struct, frozen=True):
    """What templates may name.

    Attributes:
        run: `.Run`, as far as it is known.
        file: The values of the values file.
        given: The values of the task, which win.
        hidden: Names of values that are secret.
        secrets: Whether the file has secrets of its own; without, every one is nothing.
    """

    run: RunContext
    file: Mapping[str, yaml.Node] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    hidden: Collection[str] = ()
    secrets: bool = True

    def __contains__(self, name: str) -> bool:
        """Tell whether a value is given, be it as nothing."""
        return name in self.hidden or name in self.given or name in self.file

    def value(self, name: str) -> object:
        """Return `.Values.NAME`; None where it is given as nothing."""
        if name in self.hidden:
            return Unknown(f"the value {name} is secret")
        if name in self.given:
            return self.given[name]
        node = self.file.get(name)
        return not_given(name) if node is None else _yaml.value(node)

    def of_run(self, name: str) -> object:
        """Return `.Run.NAME`; None if runs have nothing of that name."""
        run = self.run
        known = {
            "Registry": run.registry,
            "RegistryName": run.registry.partition(".")[0],
            "OS": run.os,
            "Architecture": run.architecture,
            "TaskName": run.task,
        }
        if name not in _LATER:
            return None
        if known.get(name):
            return known[name]
        reason = f"{_LATER[name]} is known only when it starts"
        host = name == "Registry"
        return Unknown(reason, name not in _NEVER_EMPTY, later=True, host=host)

    def secret(self) -> object:
        """Return any of `.Secrets`; None if the file has none."""
        return Unknown("secrets are not read") if self.secrets else None


def read_values(text: str) -> Mapping[str, yaml.Node]:
    """Return the values of a values file.

    Raises:
        InvalidBuildFile: The agent refuses it; the line is told in the words, for it is one of
            another file.
    """
    try:
        root = _yaml.compose(text, line_of_values)
        found = _yaml.fields(root, line_of_values, "the values file")
        _yaml.check_values(root, line_of_values)
    except InvalidBuildFile as error:
        where = f"line {error.line} of " if error.line else ""
        raise InvalidBuildFile(0, f"{where}the values file: {error.problem}") from None
    return found


def line_of_values(index: int) -> int:
    """Return a line of the values file, which templates do not change."""
    return index + 1
