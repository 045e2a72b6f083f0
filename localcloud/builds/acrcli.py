"""Microsoft's acr-cli in a run, as far as it purges.

Source: github.com/Azure/acr-cli, cmd/acr/purge.go, cmd/acr/root.go,
cmd/repository/image_functions.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from localcloud.builds import flags
from localcloud.builds.client import Client
from localcloud.builds.flags import Known
from localcloud.builds.job import BuildError, Log
from localcloud.state import Json

_PURGE = Known(
    {
        "-r": "registry",
        "--registry": "registry",
        "-f": "filter",
        "--filter": "filter",
        "--ago": "ago",
        "--keep": "keep",
        "--concurrency": "",
        "--repository-page-size": "",
        "--filter-timeout-seconds": "",
    },
    {"--untagged": "untagged", "--dry-run": "dry"},
)
_INDEXES = ("index", "manifest.list")
_DAYS = re.compile(r"(\d+)d(.*)")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PLAIN = re.compile(r"[A-Za-z0-9_/-]+")
# A colon that separates, and is none of a group or of a class of characters.
_SEPARATOR = re.compile(r"(?<!\(\?)(?<!\(\?[a-zA-Z-])(?<!\[)(?<!\[\^):(?!\])")


@dataclass(frozen=True, slots=True)
class Purge:
    """`acr purge`.

    Attributes:
        filters: Repositories and the tags in them, each as a regular expression.
        ago: What is younger is kept.
        keep: How many of what would be deleted are kept, the newest first.
        untagged: Whether manifests without a tag are deleted, too.
        dry: Whether it only tells.
        registry: The registry's name or host; empty for the run's own.
    """

    filters: tuple[tuple[str, str], ...]
    ago: timedelta
    keep: int = 0
    untagged: bool = False
    dry: bool = False
    registry: str = ""


def parse(words: Sequence[str]) -> Purge:
    """Return what an `acr` command asks for.

    Args:
        words: Its words, without `acr`.

    Raises:
        BuildError: It is wrong, or not done here.
    """
    if not words or words[0] != "purge":
        raise BuildError(f"the local cloud does not do `{' '.join(('acr', *words[:1]))}`")
    given = flags.read("acr purge", words[1:], _PURGE)
    missing = [f'"{name}"' for name in ("ago", "filter") if not given.all(name)]
    if missing:
        raise BuildError(f"Error: required flag(s) {', '.join(missing)} not set")
    keep = given.last("keep", "0")
    if not keep.isdecimal():
        raise BuildError(f'Error: invalid argument "{keep}" for "--keep" flag')
    return Purge(
        tuple(_filter(text) for text in given.all("filter")),
        duration(given.last("ago")),
        int(keep),
        given.on("untagged"),
        given.on("dry"),
        given.last("registry"),
    )


def _filter(text: str) -> tuple[str, str]:
    parts = _SEPARATOR.split(text)
    if len(parts) != 2:  # noqa: PLR2004 - repository and tag
        raise BuildError("Error: unable to correctly parse filter flag")
    for part, what in zip(parts, ("repository name", "tag name"), strict=True):
        if not part:
            raise BuildError(f"Error: missing {what}/expression")
        try:
            re.compile(part)
        except re.error as error:
            raise BuildError(f"Error: {what}: error parsing regexp: {error}") from error
    return parts[0], parts[1]


def duration(text: str) -> timedelta:
    """Return a time span as acr-cli reads it: days, then what Go calls a duration.

    Raises:
        BuildError: It is none.
    """
    days, rest = 0, text
    if match := _DAYS.fullmatch(text):
        days, rest = int(match[1]), match[2]
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(rest))
    if _PART.sub("", rest) not in ("", "0") or not text:
        raise BuildError(f'Error: time: invalid duration "{text}"')
    return timedelta(days=days, seconds=seconds)


class Purger:
    """Purges a registry.

    Args:
        client: A client of the registry.
        host: The registry.
        now: The time.
        log: The run's log.
    """

    def __init__(self, client: Client, host: str, now: datetime, log: Log) -> None:
        self._client = client
        self._host = host
        self._now = now
        self._log = log

    def run(self, purge: Purge) -> None:
        """Delete what is to be deleted, and tell how much.

        Raises:
            BuildError: The registry refuses.
        """
        if purge.dry:
            self._log(
                "DRY RUN: The following output shows what WOULD be deleted if the purge command was"
                " executed. Nothing is deleted."
            )
        oldest = self._now - purge.ago
        tags = manifests = 0
        for repository, wanted in self._repositories(purge).items():
            found, gone = self._tags(repository, wanted, purge, oldest)
            tags += found
            if purge.untagged:
                manifests += self._manifests(repository, purge, oldest, gone)
        if purge.dry:
            self._log(f"Number of tags to be deleted: {tags}")
            self._log(f"Number of manifests to be deleted: {manifests}")
        else:
            self._log(f"Number of deleted tags: {tags}")
            self._log(f"Number of deleted manifests: {manifests}")

    def _repositories(self, purge: Purge) -> dict[str, str]:
        """Return what of the tags is purged, by repository."""
        found: dict[str, str] = {}
        known: list[str] | None = None
        for repository, tag in purge.filters:
            names = [repository]
            if not _PLAIN.fullmatch(repository):
                if known is None:
                    known = self._names()
                names = [name for name in known if re.search(f"^{repository}$", name)]
            for name in names:
                found[name] = f"{found[name]}|{tag}" if name in found else tag
        return found

    def _tags(
        self, repository: str, wanted: str, purge: Purge, oldest: datetime
    ) -> tuple[int, dict[str, int]]:
        """Delete tags; return how many, and how many of each manifest."""
        verb = "Would delete" if purge.dry else "Deleting"
        self._log(f"{verb} tags for repository: {repository}")
        due = [
            tag
            for tag in self._listed(repository, "_tags?orderby=timedesc", "tags")
            if re.search(wanted, tag["name"]) and _old(tag, oldest) and _may_go(tag)
        ][purge.keep :]
        gone: dict[str, int] = {}
        for tag in due:
            gone[tag["digest"]] = gone.get(tag["digest"], 0) + 1
            name = f"{self._host}/{repository}:{tag['name']}"
            self._log(f"Would delete: {name}" if purge.dry else name)
            if not purge.dry:
                self._delete(f"acr/v1/{repository}/_tags/{tag['name']}", repository)
        return len(due), gone

    def _manifests(
        self, repository: str, purge: Purge, oldest: datetime, gone: Mapping[str, int]
    ) -> int:
        """Delete manifests that no tag names, directly or by an index; return how many."""
        verb = "Would delete" if purge.dry else "Deleting"
        self._log(f"{verb} manifests for repository: {repository}")
        due, kept = [], set()
        for manifest in self._listed(repository, "_manifests", "manifests"):
            digest = str(manifest["digest"])
            left = len(manifest["tags"]) - (gone.get(digest, 0) if purge.dry else 0)
            if not _may_go(manifest):
                continue
            if left > 0 or not _old(manifest, oldest):
                if any(kind in manifest["mediaType"] for kind in _INDEXES):
                    kept |= self._children(repository, digest)
            elif not self._content(repository, digest).get("subject"):
                due.append(digest)
        due = [digest for digest in due if digest not in kept]
        for digest in due:
            name = f"{self._host}/{repository}@{digest}"
            self._log(f"Would delete: {name}" if purge.dry else name)
            if not purge.dry:
                self._delete(f"v2/{repository}/manifests/{digest}", repository)
        return len(due)

    def _children(self, repository: str, digest: str) -> set[str]:
        entries = self._content(repository, digest).get("manifests") or []
        return {str(entry["digest"]) for entry in entries}

    def _content(self, repository: str, digest: str) -> Json:
        content: Json = json.loads(self._client.manifest(self._host, repository, digest).data)
        return content

    def _names(self) -> list[str]:
        url = f"https://{self._host}/acr/v1/_catalog"
        return self._client.pages(url, "repositories", "registry:catalog:*") or []

    def _listed(self, repository: str, what: str, key: str) -> list[Json]:
        url = f"https://{self._host}/acr/v1/{repository}/{what}"
        found = self._client.pages(url, key, f"repository:{repository}:metadata_read")
        if found is None:
            self._log(f"{repository} repository not found")
        return found or []

    def _delete(self, path: str, repository: str) -> None:
        self._client.delete(f"https://{self._host}/{path}", f"repository:{repository}:delete")


def _old(item: Json, oldest: datetime) -> bool:
    written = str(item["lastUpdateTime"]).removesuffix("Z")[:26]
    return datetime.fromisoformat(written).replace(tzinfo=UTC) < oldest


def _may_go(item: Json) -> bool:
    allowed = item["changeableAttributes"]
    return bool(allowed["deleteEnabled"] and allowed["writeEnabled"])
