"""What is known of the variables of a stage, and of where its paths begin.

Source of the rules: BuildKit, `dockerfile2llb/convert.go` (dispatchEnv, dispatchArg,
dispatchWorkdir). What a base image brings along stands in that image, so of a stage that is built
on one only what the file sets is known; of one that is built on `scratch`, everything is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field

from rebuilder.core.dockerfile._shell.variables import UNKNOWN, Variable
from rebuilder.core.dockerfile._text import cleaned

COPIES_LIMIT = 100_000
"""How many variables all stages of a file may take over from their bases together. BuildKit has no
limit. What comes after is not known."""

GIVEN_EMPTY = "is given as empty"
EMPTY_DEFAULT = "has an empty default and no --build-arg gives it"
NOT_GIVEN = "has no default and no --build-arg gives it"
"""Why an ARG has no value, or an empty one."""

_PATH = Variable("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "BuildKit")
# What stages do not see of their own arguments.
_HIDDEN = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})


class Environment(Struct):
    """What is known of the variables of a stage at one of its instructions.

    Attributes:
        values: The variables that are known to be set; `UNKNOWN` for those set to what is not
            known.
        whole: Whether no other variable is set.
        folder: The folder in which relative paths begin; None if that is not known.
        open: The ARGs that have no value, or an empty one, each with the reason: those that a build
            argument may settle.
    """

    values: dict[str, Variable] = field(default_factory=dict)
    whole: bool = False
    folder: str | None = None
    open: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_scratch(cls, system: str) -> Environment:
        """That of a stage built on `scratch`, for an operating system."""
        values = {} if system == "windows" else {_PATH.name: _PATH}
        return cls(values, whole=True, folder="/")

    def copy(self) -> Environment:
        """That of a stage built on this one."""
        return Environment(dict(self.values), self.whole, self.folder, dict(self.open))

    def get(self, name: str, /) -> Variable | None:
        """A variable; None if it is not set, and `UNKNOWN` if that is not known."""
        return self.values.get(name, None if self.whole else UNKNOWN)

    def set_all(self, pairs: Sequence[str | None]) -> None:
        """Carry out an ENV, of names and values in turn; None is not known."""
        for name, value in zip(pairs[::2], pairs[1::2], strict=True):
            if name is None:
                # Any variable may have been set.
                self.values.clear()
                self.whole = False
            else:
                self._set(name, value, "ENV")
                self.open.pop(name, None)

    def declare(
        self,
        name: str,
        default: str | None,
        expand: Callable[[str], str | None],
        build_args: Mapping[str, str],
        outer: Mapping[str, Variable],
    ) -> None:
        """Carry out an ARG.

        Args:
            name: Its name.
            default: Its default; None if it has none.
            expand: Expands a word; None if what comes of it is not known. Raises what it likes.
            build_args: The build arguments.
            outer: The ARGs before the first FROM.
        """
        value: str | None
        if outer.get(name) is UNKNOWN:
            value = None
        elif name in build_args:
            value = build_args[name]
        elif default is not None:
            value = expand(default)
        elif name in outer:
            value = outer[name].value
        else:
            self.open[name] = NOT_GIVEN
            return
        if value == "":
            self.open[name] = GIVEN_EMPTY if name in build_args else EMPTY_DEFAULT
        if name not in _HIDDEN:
            self._set(name, value, "ARG")

    def _set(self, name: str, value: str | None, origin: str) -> None:
        self.values[name] = UNKNOWN if value is None else Variable(name, value, origin)

    def enter(self, path: str | None) -> None:
        """Carry out a WORKDIR; of Windows, None is known of it."""
        if path is not None and path.startswith("/"):
            self.folder = cleaned(path)
        elif path is None or self.folder is None:
            self.folder = None
        else:
            self.folder = cleaned(f"{self.folder}/{path}")
