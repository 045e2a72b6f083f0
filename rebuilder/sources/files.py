"""The files of build contexts."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Self

from rebuilder._net.deadlines import Deadline
from rebuilder._net.guard import Guard, Resolver
from rebuilder._net.http import Http
from rebuilder.core.dependencies.contexts import (
    AzureReposContext,
    Context,
    GitContext,
    NoContext,
    OciContext,
    TarballContext,
    UploadedContext,
    file_path,
    parse_context,
    public_address,
)
from rebuilder.errors import SourceUnavailable
from rebuilder.ports.sources import SourceFile
from rebuilder.settings import Settings
from rebuilder.settings.table import SOURCE_CREDENTIALS
from rebuilder.source_credentials import SourceCredential
from rebuilder.sources._cache import Recent
from rebuilder.sources._oci import Artifacts, RegistryToken
from rebuilder.sources._tarball import Tarballs
from rebuilder.sources._tools import Credentials, Found, Limits, Tools
from rebuilder.sources.git._azure_repos import AzureRepos
from rebuilder.sources.git._github import GITHUB, GitHub

if TYPE_CHECKING:
    from rebuilder.sources.git._git import GitHosts

log = logging.getLogger(__name__)

_CACHE = 32 * 1024 * 1024
_LIMITS = Limits()


def _nobody(_: str) -> None:
    return None


class HostedSources:
    """A BuildSources; see rebuilder.ports.

    A file is kept in memory by its repository, commit and path; which commit a branch names is
    asked each time. Objects of this class may be used by several threads.

    Args:
        hosts: Hosts that may be asked, as in the settings.
        private_hosts: More of them, whose addresses may be private.
        github_hosts: Those of either that are GitHub Enterprise, besides github.com.
        credentials: What they are shown.
        unread: Why nobody knows what to show them; "" if it is known.
        registry_token: An identity's tokens for registries of artifacts.
        limits: How much is read, and for how long.
        ca_bundle: The certificates to trust; "" for those of REQUESTS_CA_BUNDLE, else certifi's.
        resolve: Resolves names.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        *,
        private_hosts: Iterable[str] = (),
        github_hosts: Iterable[str] = (),
        credentials: Iterable[SourceCredential] = (),
        unread: str = "",
        registry_token: RegistryToken = _nobody,
        limits: Limits = _LIMITS,
        ca_bundle: str = "",
        resolve: Resolver = socket.getaddrinfo,
    ) -> None:
        self._guard = Guard(hosts, private_hosts, resolve)
        http = Http(self._guard, ca_bundle)
        self._tools = Tools(http, limits, Credentials(credentials, unread))
        self._github_hosts = frozenset({GITHUB, *github_hosts})
        self._github = GitHub(self._tools)
        self._azure_repos = AzureRepos(self._tools)
        self._tarballs = Tarballs(self._tools)
        self._artifacts = Artifacts(self._tools, registry_token)
        self._git_hosts: GitHosts | None = None
        self._files: Recent[tuple[str, str, str], bytes] = Recent(_CACHE)

    @classmethod
    def from_settings(cls, settings: Settings, registry_token: RegistryToken = _nobody) -> Self:
        """Return the sources that the settings allow."""
        return cls(
            settings.source_hosts,
            private_hosts=settings.private_source_hosts,
            github_hosts=settings.github_hosts,
            credentials=settings.source_credentials,
            unread=settings.without(SOURCE_CREDENTIALS),
            registry_token=registry_token,
        )

    def close(self) -> None:
        """Close the connections."""
        self._tools.http.close()

    def read(self, context: str, path: str) -> SourceFile:
        """Read a file of a context; see BuildSources."""
        parsed = parse_context(context)
        address = public_address(parsed)
        with Deadline(self._tools.limits.seconds, f"read {path} of {address}") as deadline:
            found = self._read(parsed, path, deadline)
        log.debug("read %s of %s at %s", path, address, found.revision)
        return SourceFile(found.content, found.revision, address)

    def expires(self, host: str) -> datetime | None:
        """Return when the token ends that a host is shown; see BuildSources."""
        if host not in self._github_hosts:
            return None  # no other host tells it to who shows the token
        self._guard.check_host(host)
        with Deadline(self._tools.limits.seconds, f"ask {host} for its token's end") as deadline:
            return self._github.expires(host, deadline)

    def _read(self, context: Context, path: str, deadline: Deadline) -> Found:
        match context:
            case GitContext():
                name = file_path(context.folder, path)
                return self._of_git(context, name, deadline)
            case AzureReposContext():
                name = file_path(context.folder, path)
                commit = self._azure_repos.revision(context, deadline)
                if (kept := self._files.get((context.url, commit, name))) is not None:
                    return Found(kept, commit)
                found = self._azure_repos.read(context, commit, name, deadline)
                return self._keep(context.url, name, found)
            case TarballContext():
                return self._tarballs.read(context, file_path("", path), deadline)
            case OciContext():
                return self._of_artifact(context, file_path("", path), deadline)
            case UploadedContext():
                raise SourceUnavailable(
                    "the context was uploaded to ACR's own store, which hands nothing out; a git"
                    " repository as context can be read"
                )
            case NoContext():
                raise SourceUnavailable("the task has no context, so it has no files")

    def _of_git(self, context: GitContext, path: str, deadline: Deadline) -> Found:
        # Of GitHub another host is asked, which is nobody's to list.
        self._guard.check_host(context.host)
        host = self._github if context.host in self._github_hosts else self._git()
        commit = host.revision(context, deadline)
        if (kept := self._files.get((context.url, commit, path))) is not None:
            return Found(kept, commit)
        return self._keep(context.url, path, host.read(context, commit, path, deadline))

    def _of_artifact(self, context: OciContext, path: str, deadline: Deadline) -> Found:
        manifest, authorization = self._artifacts.manifest(context, deadline)
        repository = f"{context.registry}/{context.repository}"
        if (kept := self._files.get((repository, manifest.digest, path))) is not None:
            return Found(kept, manifest.digest)
        found = self._artifacts.read(context, manifest, authorization, path, deadline)
        return self._keep(repository, path, found)

    def _keep(self, where: str, path: str, found: Found) -> Found:
        self._files.put((where, found.revision, path), found.content, len(found.content))
        return found

    def _git(self) -> GitHosts:
        if self._git_hosts is None:
            # Imported late: few tasks need it, and it is a whole git.
            from rebuilder.sources.git._git import GitHosts  # noqa: PLC0415

            self._git_hosts = GitHosts(self._tools)
        return self._git_hosts
