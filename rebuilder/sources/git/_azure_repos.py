"""Files of repositories of Azure Repos, by its API.

Source of the rules: learn.microsoft.com, Azure DevOps REST API 7.1: git refs, repositories, items.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote, urlencode

from rebuilder._net.deadlines import Deadline
from rebuilder._net.http import Answer
from rebuilder.core.dependencies.contexts import AzureReposContext, ref_names
from rebuilder.core.foreign_json import read_object
from rebuilder.errors import InvalidJson, SourceUnavailable
from rebuilder.settings.table import SOURCE_CREDENTIALS
from rebuilder.sources._answers import commit_id, problem
from rebuilder.sources._tools import Found, Tools, basic

_VERSION = "7.1"
_LIST = 1024 * 1024
# The list begins with what is asked for and goes on with every longer name.
_TOP = "1000"


class AzureRepos:
    """Reads files of repositories.

    Args:
        tools: What every kind of source is given.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def revision(self, context: AzureReposContext, deadline: Deadline) -> str:
        """Return the commit that a context names now.

        Raises:
            SourceUnavailable, TransientError: See BuildSources.
        """
        if context.commit:
            return context.commit
        if context.ref:
            names = ref_names(context.ref)
        else:
            found = self._json(context, "", {}, deadline)
            names = [str(found.get("defaultBranch", ""))]
        for name in names:
            query = {"filter": name.removeprefix("refs/"), "peelTags": "true", "$top": _TOP}
            listed = self._json(context, "/refs", query, deadline).get("value")
            for ref in listed if isinstance(listed, list) else []:
                if isinstance(ref, dict) and ref.get("name") == name:
                    commit = ref.get("peeledObjectId") or ref.get("objectId")
                    return commit_id(str(commit), context.url)
        ref = context.ref or "the default branch"
        raise SourceUnavailable(f"{context.url}: there is no branch or tag {ref}")

    def read(self, context: AzureReposContext, commit: str, path: str, deadline: Deadline) -> Found:
        """Read a file as it is in a commit.

        Raises:
            SourceUnavailable, TransientError: See BuildSources.
        """
        query = {
            "path": f"/{path}",
            "versionDescriptor.version": commit,
            "versionDescriptor.versionType": "commit",
        }
        what = f"{path} of {context.url} at {commit[:12]}"
        item = self._json(context, "/items", {**query, "$format": "json"}, deadline)
        if item.get("isFolder") or item.get("gitObjectType", "blob") != "blob":
            raise SourceUnavailable(f"{what}: it is no file")
        if item.get("isSymLink"):
            raise SourceUnavailable(f"{what}: it is a link, and Azure Repos follows none")
        query["$format"] = "octetStream"
        with self._ask(context, "/items", query, "application/octet-stream", deadline) as answer:
            self._check(context, answer, what)
            return Found(answer.body(self._tools.limits.file), commit)

    def _json(
        self, context: AzureReposContext, part: str, query: dict[str, str], deadline: Deadline
    ) -> dict[str, object]:
        with self._ask(context, part, query, "application/json", deadline) as answer:
            self._check(context, answer, f"read {context.url}")
            body = answer.body(_LIST)
        try:
            return read_object(body)
        except InvalidJson as error:
            what = f"{context.url}: the answer is not that of Azure Repos"
            raise SourceUnavailable(f"{what}: {error}") from None

    def _ask(
        self,
        context: AzureReposContext,
        part: str,
        query: dict[str, str],
        accept: str,
        deadline: Deadline,
    ) -> Answer:
        repository = f"{quote(context.project, safe='')}/_apis/git/repositories/"
        repository += quote(context.repository, safe="")
        url = f"{context.root}/{repository}{part}?"
        shown = self._tools.credentials.get(context.host)
        return self._tools.http.ask(
            url + urlencode({**query, "api-version": _VERSION}),
            deadline,
            f"read {context.url}",
            headers={"Accept": accept},
            # A personal access token is the password of a user without a name.
            authorization=basic(shown.username, shown.secret) if shown else "",
            redirects=False,
        )

    def _check(self, context: AzureReposContext, answer: Answer, what: str) -> None:
        shown = self._tools.credentials.get(context.host) is not None
        # Who may not read is sent to a page to sign in, or is shown it.
        sign_in = answer.status == HTTPStatus.NON_AUTHORITATIVE_INFORMATION
        if sign_in or HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
            entry = f"the entry {context.host!r} of {SOURCE_CREDENTIALS}"
            raise SourceUnavailable(
                f"{what}: {context.host} refuses the credential; look at {entry}"
                if shown
                else f"{what}: {context.host} asks for a credential; add {entry}"
            )
        if answer.status != HTTPStatus.OK:
            raise problem(answer, what, context.host, shown=shown)
