"""What BuildKit checks of an instruction when it carries it out, as far as the file alone tells.

Source of the rules: BuildKit, `dockerfile2llb/convert.go` (the functions dispatch*),
`convert_copy.go`, `convert_expose.go`, `convert_runmount.go`, `convert_norundevice.go`.

Each check looks at what is known of the variables at its instruction. What depends on anything else
(the base image, the files of the context) is not refused.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from msgspec import Struct

from rebuilder.core.acr.references import digest_problem
from rebuilder.core.dockerfile._instructions.git import GitSource, git_source, is_web, may_be_remote
from rebuilder.core.dockerfile._instructions.mounts import Mount, known_mount
from rebuilder.core.dockerfile._instructions.values import (
    check_mode,
    check_port,
    check_signal,
    without_drive,
)
from rebuilder.core.dockerfile._shell.environment import Environment
from rebuilder.core.dockerfile._shell.lexer import Lexer, asks
from rebuilder.core.dockerfile._shell.variables import NOTHING
from rebuilder.core.dockerfile._text import quoted

WINDOWS = "windows"


class Scope(Struct):
    """Where an instruction stands.

    Attributes:
        lexer: Expands words.
        system: The operating system that the stage is for.
        environment: What is known of variables and the folder; None if that was not looked at,
            because nothing depends on it.
        lacking: The variables without a value that the words so far needed.
    """

    lexer: Lexer
    system: str
    environment: Environment | None
    lacking: list[str]

    def known(self, word: str, *, quotes: bool = True) -> str | None:
        """What is sure to come of a word; None if it depends on what is not known.

        Args:
            word: The word.
            quotes: Whether quotes mean anything.

        Raises:
            WordError: For what BuildKit refuses.
        """
        lexer = self.lexer
        if "$" not in word and "'" not in word and '"' not in word and lexer.escape not in word:
            return word
        try:
            return lexer.known(word, self.environment or NOTHING, quotes=quotes)
        finally:
            self.lacking += self.lexer.lacking

    def known_words(self, text: str) -> list[str] | None:
        """The words that are sure to come of a text; None if they depend on what is not known.

        Raises:
            WordError: For what BuildKit refuses.
        """
        if text.isalnum():
            return [text]
        try:
            return self.lexer.known_words(text, self.environment or NOTHING)
        finally:
            self.lacking += self.lexer.lacking

    @property
    def folder(self) -> str | None:
        """The folder in which relative paths begin; None if that is not known."""
        return self.environment.folder if self.environment is not None else None


class Check(Protocol):
    """What BuildKit checks of an instruction when it carries it out."""

    def varies(self) -> bool:
        """Whether it depends on what stands before it in the file."""
        ...

    def run(self, scope: Scope) -> None:
        """Look at it.

        Raises:
            WordError: For a word that BuildKit refuses.
            ValueError: For anything else that it refuses.
        """
        ...


class _Seen(Struct):
    """What the flags of an ADD and the sources so far say; each holds for the next ones, too."""

    keeps: bool | None
    checksum: str | None

    def add(self, git: GitSource) -> None:
        if None not in (self.keeps, git.keeps) and self.keeps != git.keeps:
            raise ValueError("inconsistent keep-git-dir configuration")
        if self.checksum and git.checksum not in ("", self.checksum):
            raise ValueError(f"checksum mismatch {quoted(self.checksum)} != {quoted(git.checksum)}")
        self.keeps = self.keeps if git.keeps is None else git.keeps
        self.checksum = git.checksum or self.checksum


class Files(NamedTuple):
    """COPY and ADD.

    Attributes:
        sources: The files, folders and addresses, without heredocs.
        names: The names of the heredocs.
        target: Where they are copied to.
        owner: The value of --chown.
        mode: The value of --chmod.
        checksum: The value of --checksum.
        adds: Whether it is ADD, which takes more than files.
        keeps: The value of --keep-git-dir, if it is given.
        parents: Whether --parents is given.
    """

    sources: tuple[str, ...]
    names: tuple[str, ...]
    target: str
    owner: str = ""
    mode: str = ""
    checksum: str = ""
    adds: bool = False
    keeps: bool | None = None
    parents: bool = False

    def varies(self) -> bool:
        """Whether it depends on what stands before it in the file."""
        return (
            "$" in self.mode
            or "$" in self.checksum
            or asks(self.owner, self.target, *self.sources)
            or any("$" in source and may_be_remote(source) for source in self.sources)
        )

    def run(self, scope: Scope) -> None:
        """Look at it.

        Raises:
            WordError: For a word that BuildKit refuses.
            ValueError: For anything else that it refuses.
        """
        scope.known(self.owner)
        mode = scope.known(self.mode)
        checksum = scope.known(self.checksum)
        sources = [scope.known(source) for source in self.sources]
        target = scope.known(self.target)
        windows = scope.system == WINDOWS
        queries = scope.lexer.frontend.git_queries
        if windows and target is not None:
            without_drive(without_drive(target, keep_slash=True), keep_slash=True)
        if mode:
            check_mode(mode)
        if checksum:
            self._check_checksum(sources, queries=queries)
        seen = _Seen(self.keeps, checksum)
        for source in sources:
            if source is not None:
                self._check_source(source, seen, windows=windows, queries=queries)
        for name in self.names if windows else ():
            without_drive(name)

    def _check_checksum(self, sources: list[str | None], *, queries: bool) -> None:
        if len(sources) != 1:
            raise ValueError("checksum can't be specified for multiple sources")
        source = sources[0]
        if source is None or is_web(source):
            return
        try:
            remote = git_source(source, queries=queries) is not None
        except ValueError:
            remote = False  # as BuildKit has it
        if not remote:
            raise ValueError("checksum requires HTTP(S) or Git sources")

    def _check_source(self, source: str, seen: _Seen, *, windows: bool, queries: bool) -> None:
        git = git_source(source, queries=queries)
        if git is not None and not git.local:
            if not self.adds:
                raise ValueError("source can't be a git ref for COPY")
            seen.add(git)
        elif is_web(source):
            if not self.adds:
                raise ValueError("source can't be a URL for COPY")
            if seen.checksum and digest_problem(seen.checksum):
                raise ValueError(f"invalid checksum digest: {seen.checksum}")
        elif windows:
            self._check_path(source)

    def _check_path(self, path: str) -> None:
        if self.parents:
            pivot, found, pattern = path.partition("/./")
            without_drive(pattern if found else path)
            path = pivot if found else "/"
        without_drive(path)


class Ports(NamedTuple):
    """EXPOSE.

    Attributes:
        texts: What it takes, before variables are replaced.
    """

    texts: tuple[str, ...]

    def varies(self) -> bool:
        """Whether it depends on what stands before it in the file."""
        return any("$" in text for text in self.texts)

    def run(self, scope: Scope) -> None:
        """Look at it.

        Raises:
            WordError: For a word that BuildKit refuses.
            ValueError: For anything else that it refuses.
        """
        found = [scope.known_words(text) for text in self.texts]
        for words in found:
            for word in words or ():
                check_port(word)


class Signal(NamedTuple):
    """STOPSIGNAL.

    Attributes:
        text: The signal, before variables are replaced.
    """

    text: str

    def varies(self) -> bool:
        """Whether it depends on what stands before it in the file."""
        return "$" in self.text

    def run(self, scope: Scope) -> None:
        """Look at it.

        Raises:
            WordError: For a word that BuildKit refuses.
            ValueError: For anything else that it refuses.
        """
        signal = scope.known(self.text)
        if signal is not None:
            check_signal(signal)


class Volumes(NamedTuple):
    """VOLUME.

    Attributes:
        paths: The folders, before variables are replaced.
    """

    paths: tuple[str, ...]

    def varies(self) -> bool:
        """Whether it depends on what stands before it in the file."""
        return any("$" in path for path in self.paths)

    def run(self, scope: Scope) -> None:
        """Look at it.

        Raises:
            WordError: For a word that BuildKit refuses.
            ValueError: For anything else that it refuses.
        """
        if "" in [scope.known(path) for path in self.paths]:
            raise ValueError("VOLUME specified can not be an empty string")


class Folder(NamedTuple):
    """WORKDIR.

    Attributes:
        path: The folder, before variables are replaced.
    """

    path: str

    def varies(self) -> bool:
        """Whether it depends on what stands before it in the file."""
        return asks(self.path)

    def run(self, scope: Scope) -> None:
        """Look at it, and go into it.

        Raises:
            WordError: For a word that BuildKit refuses.
            ValueError: For anything else that it refuses.
        """
        path = scope.known(self.path)
        if scope.system == WINDOWS:
            if path is not None:
                try:
                    without_drive(path)
                except ValueError as error:
                    problem = f"normalizing workdir: normalizing working directory: {error}"
                    raise ValueError(problem) from None
            path = None
        if scope.environment is not None:
            scope.environment.enter(path)


class Run(NamedTuple):
    """RUN.

    Attributes:
        mounts: The values of --mount.
        device: Whether --device is given.
        empty: Whether there is nothing to run.
        bad_bytes: Whether what is run holds bytes that are no text.
    """

    mounts: tuple[Mount, ...] = ()
    device: bool = False
    empty: bool = False
    bad_bytes: bool = False

    def varies(self) -> bool:
        """Whether it depends on what stands before it in the file."""
        return any(not mount.plain and mount.varies for mount in self.mounts)

    def run(self, scope: Scope) -> None:
        """Look at it.

        Raises:
            WordError: For a word that BuildKit refuses.
            ValueError: For anything else that it refuses.
        """
        mounts = [known_mount(mount, scope.known) for mount in self.mounts if not mount.plain]
        for mount in mounts:
            mount.check_target(scope.folder)
        if self.device and not scope.lexer.frontend.devices:
            raise ValueError(
                "device feature is only supported in Dockerfile frontend 1.14.0-labs or later"
            )
        if self.empty:
            raise ValueError("failed to marshal LLB definition: arguments are required")
        if self.bad_bytes:
            raise ValueError(
                "failed to marshal LLB definition: string field contains invalid UTF-8"
            )
