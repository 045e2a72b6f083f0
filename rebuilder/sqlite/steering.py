"""What operators decided, beside a SQLite file: the policy file is one, with its versions."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rebuilder.core.bookmarks import Bookmark
from rebuilder.core.policies.acts import PLACE
from rebuilder.core.policies.versions import PolicyVersion
from rebuilder.errors import Conflict, StoreUnavailable
from rebuilder.sqlite.bookmarks import SqliteBookmarks

_NAME = re.compile(r"([0-9]{6,9})\.yaml")
_APPLIED = "# rebuilder: "
"""What the last line of a version begins with: who applied it, when and why."""


class FileSteering:
    """A Steering; see rebuilder.ports.steering.

    Each version is a file of its own, which is there whole or not at all; the highest number is in
    force.

    Args:
        path: The SQLite file. The policy's versions are in the folder of this name and `.policy`.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path.with_name(f"{path.name}.policy")
        self._bookmarks = SqliteBookmarks(path)

    def close(self) -> None:
        """Close the connections."""
        self._bookmarks.close()

    def token(self) -> str:
        """Return the token of the policy file; see Steering."""
        newest = next(iter(self._numbers()), None)
        return "" if newest is None else str(newest)

    def policy(self) -> PolicyVersion | None:
        """Return the policy file; see Steering."""
        return next(iter(self.versions(1)), None)

    def versions(self, limit: int) -> list[PolicyVersion]:
        """Return the newest versions; see Steering."""
        numbers = self._numbers()[:limit]
        with self._told():
            return [_version(n, self._file(n).read_text("utf-8", "replace")) for n in numbers]

    def apply(
        self, text: str, *, who: str, at: datetime, because: str, before: str
    ) -> PolicyVersion:
        """Store a policy file; see Steering."""
        if self.token() != before:
            raise Conflict("the policy file was changed by another")
        number = int(before or 0) + 1
        applied = json.dumps({"who": who, "at": at.isoformat(), "because": because})
        end = "" if text.endswith("\n") else "\n"
        with self._told():
            self._folder.mkdir(parents=True, exist_ok=True)
            file, name = tempfile.mkstemp(dir=self._folder, prefix=".new-")
            try:
                with os.fdopen(file, "w", encoding="utf-8") as new:
                    new.write(f"{text}{end}{_APPLIED}{applied}\n")
                # Fails if the name is taken: of any number of processes one makes this version.
                self._file(number).hardlink_to(name)
            except FileExistsError as error:
                raise Conflict("the policy file was changed by another") from error
            finally:
                Path(name).unlink()
        return PolicyVersion(number, str(number), f"{text}{end}", who, at, because)

    def acts(self, page: int | None = None) -> Bookmark:
        """Return what operators did; see Steering."""
        return self._bookmarks.read(PLACE if page is None else f"{PLACE}/{page}")

    def save_acts(self, acts: Bookmark) -> Bookmark:
        """Store what operators did; see Steering."""
        return self._bookmarks.save(acts)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06}.yaml"

    def _numbers(self) -> list[int]:
        """Return the numbers of the versions, newest first."""
        try:
            names = [_NAME.fullmatch(entry.name) for entry in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreUnavailable(f"{self._folder} cannot be read: {error.strerror}") from error
        return sorted((int(match[1]) for match in names if match), reverse=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(
                f"{self._folder} cannot be read or written: {error.strerror}"
            ) from error


def _version(number: int, content: str) -> PolicyVersion:
    text, _, last = content.rstrip("\n").rpartition("\n")
    if last.startswith(_APPLIED):
        try:
            applied = json.loads(last.removeprefix(_APPLIED))
            at = datetime.fromisoformat(applied["at"])
            who, because = str(applied["who"]), str(applied["because"])
            return PolicyVersion(number, str(number), f"{text}\n", who, at, because)
        except (ValueError, KeyError, TypeError):
            pass  # somebody wrote into the file, and it is one all the same
    return PolicyVersion(number, str(number), content)
