"""Files of archives on web servers."""

from __future__ import annotations

import tempfile
from http import HTTPStatus
from typing import IO

from rebuilder._net.deadlines import Deadline
from rebuilder._net.http import Answer
from rebuilder.core.dependencies.contexts import TarballContext, public_address
from rebuilder.sources._answers import problem
from rebuilder.sources._archives import read_member
from rebuilder.sources._tools import Found, Tools

_IN_MEMORY = 4 * 1024 * 1024
# Where GitHub sends who asks for an archive or a release.
_GITHUB = ("codeload.github.com", "*.githubusercontent.com")


class Tarballs:
    """Reads files of archives.

    Args:
        tools: What every kind of source is given.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def read(self, context: TarballContext, path: str, deadline: Deadline) -> Found:
        """Read a file of an archive.

        An archive has no revision but what its server calls its state.

        Raises:
            SourceUnavailable, TransientError: See BuildSources.
        """
        what = f"download {public_address(context)}"
        authorization = self._tools.authorization(context.host)
        also = _GITHUB if context.host == "github.com" else ()
        answer = self._tools.http.ask(
            context.url, deadline, what, authorization=authorization, also=also
        )
        with answer, tempfile.SpooledTemporaryFile(_IN_MEMORY) as archive:
            if answer.status != HTTPStatus.OK:
                raise problem(answer, what, context.host, shown=bool(authorization))
            save(answer, archive, self._tools.limits.download)
            content = read_member(archive, path, self._tools.limits, deadline.remaining)
            return Found(content, answer.etag.removeprefix("W/").strip('"'))


def save(answer: Answer, file: IO[bytes], limit: int) -> None:
    """Write an answer's body into a file.

    Raises:
        SourceUnavailable, TransientError: See Answer.chunks.
    """
    for chunk in answer.chunks(limit):
        file.write(chunk)
