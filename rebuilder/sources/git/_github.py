"""Files of repositories on GitHub and GitHub Enterprise Server, by their API.

Source of the rules: docs.github.com, REST API: commits, repository contents, rate limits.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote

from rebuilder._net.deadlines import Deadline
from rebuilder._net.http import Answer
from rebuilder.core.dependencies.contexts import GitContext
from rebuilder.core.foreign_json import read_json
from rebuilder.errors import InvalidJson, SourceUnavailable
from rebuilder.sources._answers import commit_id, problem
from rebuilder.sources._cache import Recent
from rebuilder.sources._tools import Found, Tools
from rebuilder.telemetry import metrics, signals

GITHUB = "github.com"
_VERSION = {"X-GitHub-Api-Version": "2022-11-28"}
_EXPIRATION = "github-authentication-token-expiration"
_COMMIT = 200
_KNOWN_COMMITS = 4096
# A file comes as JSON in Base64, which is a third longer, with line breaks and what is told of it.
_WRAPPING = 16 * 1024


class GitHub:
    """Reads files of repositories.

    Args:
        tools: What every kind of source is given.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._commits: Recent[str, tuple[str, str]] = Recent(_KNOWN_COMMITS)

    def revision(self, context: GitContext, deadline: Deadline) -> str:
        """Return the commit that a context names now.

        A full commit is not asked for. For everything else the host is asked each time, with the
        tag of its last answer: an unchanged one does not count against the rate limit.

        Raises:
            SourceUnavailable, TransientError: See BuildSources.
        """
        if context.commit:
            return context.commit
        # The API takes `heads/NAME` and `tags/NAME`.
        ref = context.ref.removeprefix("refs/") or "HEAD"
        url = f"{self._repository(context)}/commits/{quote(ref, safe='/')}"
        known = self._commits.get(url)
        headers = {"Accept": "application/vnd.github.sha", **_VERSION}
        if known is not None:
            headers["If-None-Match"] = known[0]
        with self._ask(context, url, headers, deadline) as answer:
            if known is not None and answer.status == HTTPStatus.NOT_MODIFIED:
                return known[1]
            what = f"the branch {ref} of {context.url}"
            if answer.status in (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.CONFLICT):
                # No such ref; an empty repository.
                raise SourceUnavailable(f"{what}: there is no such branch, tag or commit")
            self._check(context, answer, what)
            commit = commit_id(answer.body(_COMMIT).decode("ascii", "replace").strip(), what)
            if answer.etag:
                self._commits.put(url, (answer.etag, commit))
            return commit

    def read(self, context: GitContext, commit: str, path: str, deadline: Deadline) -> Found:
        """Read a file as it is in a commit.

        Raises:
            SourceUnavailable, TransientError: See BuildSources.
        """
        limit = self._tools.limits.file
        what = f"{path} of {context.url} at {commit[:12]}"
        url = f"{self._repository(context)}/contents/{quote(path, safe='/')}?ref={commit}"
        headers = {"Accept": "application/vnd.github.object+json", **_VERSION}
        with self._ask(context, url, headers, deadline) as answer:
            self._check(context, answer, what)
            body = answer.body(limit * 2 + _WRAPPING)
        try:
            found = read_json(body)
        except InvalidJson as error:
            raise SourceUnavailable(f"{what}: is this GitHub? its answer is {error}") from None
        if not isinstance(found, dict) or found.get("type") != "file":
            raise SourceUnavailable(f"{what}: it is no file")
        size = found.get("size")
        if not isinstance(size, int) or size > limit or found.get("encoding") != "base64":
            raise SourceUnavailable(f"{what}: longer than {limit} bytes")
        try:
            content = base64.b64decode("".join(str(found.get("content")).split()), validate=True)
        except (binascii.Error, ValueError):
            raise SourceUnavailable(f"{what}: the content is not Base64") from None
        if len(content) > limit:
            raise SourceUnavailable(f"{what}: longer than {limit} bytes")
        return Found(content, commit)

    def expires(self, host: str, deadline: Deadline) -> datetime | None:
        """Return when the token ends that a host is shown; None if it does not tell.

        What is asked for does not count against the rate limit.

        Raises:
            SourceUnavailable, TransientError: See BuildSources.
        """
        place = GitContext(f"https://{host}/", host)
        with self._ask(place, f"https://{_api(place)}/rate_limit", _VERSION, deadline) as answer:
            # A server may have no limits, and says so with 404, but tells of the token.
            if answer.status != HTTPStatus.NOT_FOUND:
                self._check(place, answer, f"ask {host} when its token ends")
            return expiry(answer.headers)

    def _repository(self, context: GitContext) -> str:
        owner, slash, name = context.path.partition("/")
        if not slash or not owner or not name or "/" in name:
            raise SourceUnavailable(f"{context.url} is not https://{context.host}/OWNER/REPOSITORY")
        return f"https://{_api(context)}/repos/{quote(owner)}/{quote(name)}"

    def _ask(
        self, context: GitContext, url: str, headers: Mapping[str, str], deadline: Deadline
    ) -> Answer:
        authorization = self._tools.authorization(context.host)
        answer = self._tools.http.ask(
            url,
            deadline,
            f"read {context.url}",
            headers=headers,
            authorization=authorization,
            also=(f"api.{context.host}",) if _in_the_cloud(context) else (),
        )
        if authorization and (expires := expiry(answer.headers)):
            left = expires - datetime.now(UTC)
            signals.tell(metrics.TOKEN_LEFT, left, by={"server.address": context.host})
        return answer

    def _check(self, context: GitContext, answer: Answer, what: str) -> None:
        if answer.status != HTTPStatus.OK:
            shown = self._tools.credentials.get(context.host) is not None
            raise problem(answer, what, context.host, shown=shown)


def expiry(headers: Mapping[str, str]) -> datetime | None:
    """Return when the token ends that was shown; None if GitHub does not tell, or in other words.

    It writes `2026-12-31 09:00:00 UTC`, or an offset in place of the zone's name.
    """
    told = headers.get(_EXPIRATION, "").strip()
    if told.endswith(" UTC"):
        told = f"{told.removesuffix(' UTC')} +0000"
    try:
        return datetime.strptime(told, "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return None


def _api(context: GitContext) -> str:
    """Return where a host's API is."""
    return f"api.{context.host}" if _in_the_cloud(context) else f"{context.host}/api/v3"


def _in_the_cloud(context: GitContext) -> bool:
    """Tell whether it is GitHub itself, with or without data residency, and no server."""
    return context.host == GITHUB or context.host.endswith(".ghe.com")
