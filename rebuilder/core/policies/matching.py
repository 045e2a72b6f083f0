"""Which tasks, and which images that moved, rules are for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.globs import Patterns, fits


class Moved(Struct, frozen=True):
    """An image whose tag moved.

    Attributes:
        reference: The tag, with its registry.
        kinds: What the task uses it for.
    """

    reference: str
    kinds: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """What patterns are compared with: the tag, with the registry's host and its name alone."""
        host, _, rest = self.reference.partition("/")
        return self.reference, f"{host.partition('.')[0]}/{rest}"


class Match(Struct, frozen=True):
    """Which tasks, and which moves, something is for; what is empty fits everything.

    Attributes:
        base: Patterns of images.
        task: Patterns of tasks, as `REGISTRY/TASK`.
        registry: Patterns of the tasks' registries.
        tags: Patterns by the names of tags.
        kinds: What the task uses the image for.
    """

    base: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    registry: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    kinds: frozenset[str] = frozenset()


class Subject(Struct, frozen=True):
    """What rules are asked about.

    Attributes:
        task: The task, as `REGISTRY/TASK`.
        registry: Its registry.
        images: The names of the image that moved.
        kinds: What the task uses it for.
        tags: The task's tags, by their names in lower case.
    """

    task: str
    registry: str
    images: tuple[str, ...]
    kinds: frozenset[str]
    tags: Mapping[str, str]

    @classmethod
    def of(cls, task: TaskId, moved: Moved, tags: Iterable[tuple[str, str]]) -> Subject:
        """What rules are asked about a task and an image that moved."""
        return cls(
            task.short,
            task.registry.name,
            moved.names,
            moved.kinds,
            {name.lower(): value for name, value in tags},
        )


class Matching:
    """Which of many matches fit a task and an image, found at once.

    Args:
        matches: The matches.
    """

    def __init__(self, matches: Iterable[Match]) -> None:
        self._matches = tuple(matches)
        numbered = list(enumerate(self._matches))
        self._base = _Part((pattern, n) for n, match in numbered for pattern in match.base)
        self._task = _Part((p.lower(), n) for n, match in numbered for p in match.task)
        self._registry = _Part((p.lower(), n) for n, match in numbered for p in match.registry)

    def of(self, subject: Subject) -> list[int]:
        """Return the numbers of those that fit, in order."""
        left = set(range(len(self._matches)))
        for part, names in (
            (self._base, subject.images),
            (self._task, (subject.task,)),
            (self._registry, (subject.registry,)),
        ):
            left -= part.asking - part.patterns.of(names)
        return sorted(n for n in left if self._fits(self._matches[n], subject))

    def _fits(self, match: Match, subject: Subject) -> bool:
        if match.kinds and not match.kinds & subject.kinds:
            return False
        tags = subject.tags
        return all(n in tags and fits(p, (tags[n],)) for n, p in match.tags)


class _Part:
    """One kind of patterns of many matches."""

    def __init__(self, given: Iterable[tuple[str, int]]) -> None:
        kept = list(given)
        self.patterns: Patterns[int] = Patterns(kept)
        self.asking = frozenset(number for _, number in kept)
