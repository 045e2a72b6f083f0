"""Files of git repositories on any host, by git's own protocol over HTTPS.

`dulwich`, a git client in Python, speaks the protocol; the requests are this package's own, with
its limits. Only the newest state is fetched, into a folder that is gone afterwards.
"""

from __future__ import annotations

import logging
import posixpath
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Self

from dulwich.client import AbstractHttpGitClient
from dulwich.errors import GitProtocolError, HangupException
from dulwich.object_format import SHA1, ObjectFormat
from dulwich.object_store import DiskObjectStore, ObjectStoreGraphWalker
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tag, Tree

from rebuilder._net.addresses import authority
from rebuilder._net.deadlines import Deadline
from rebuilder._net.http import Answer
from rebuilder.core.dependencies.contexts import GitContext, ref_names
from rebuilder.errors import RebuilderError, SourceUnavailable, TransientError
from rebuilder.sources._answers import commit_id, problem
from rebuilder.sources._tools import Found, Tools, basic
from rebuilder.sources.git._packs import check_pack

log = logging.getLogger(__name__)

_LINKS = 40
_PATH = 4096  # characters, as everywhere
_SINGLE = 4
# A list of branches, of old hosts that send it whole.
_REFS = 8 * 1024 * 1024
_PEELED = b"^{}"
# A packet begins with four digits, its length.
_ERROR_AT, _ERROR = 4, b"ERR "
_WORDS = 200
# Any name will do for a token; this one is what GitHub and Azure Repos use in their examples.
_TOKEN_USER = "x-access-token"  # noqa: S105 - a user's name


class GitHosts:
    """Reads files of repositories.

    Args:
        tools: What every kind of source is given.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def revision(self, context: GitContext, deadline: Deadline) -> str:
        """Return the commit that a context names now.

        Raises:
            SourceUnavailable, TransientError: See BuildSources.
        """
        if context.commit:
            return context.commit
        names = ref_names(context.ref) if context.ref else ["HEAD"]
        wanted = [name.encode() for name in names]
        with _translated(context), _Client(self._tools, context, deadline, _REFS) as client:
            found = client.get_refs(b"", ref_prefix=wanted).refs
        for name in wanted:
            # What an annotated tag is a tag of.
            for candidate in (name + _PEELED, name):
                commit = found.get(candidate)  # type: ignore[call-overload] # names are bytes
                if commit:
                    return commit_id(commit.decode("ascii", "replace"), context.url)
        ref = context.ref or "HEAD"
        raise SourceUnavailable(f"{context.url}: there is no branch or tag {ref}")

    def read(self, context: GitContext, commit: str, path: str, deadline: Deadline) -> Found:
        """Read a file as it is in a commit.

        Raises:
            SourceUnavailable, TransientError: See BuildSources.
        """
        wanted = ObjectID(commit.encode("ascii"))
        with _translated(context), tempfile.TemporaryDirectory(prefix="rebuilder-") as folder:
            store = DiskObjectStore.init(Path(folder) / "objects", object_format=_clocked(deadline))
            try:
                content = self._through(context, store, wanted, path, deadline)
            finally:
                store.close()
        return Found(content, commit)

    def _through(
        self,
        context: GitContext,
        store: DiskObjectStore,
        commit: ObjectID,
        path: str,
        deadline: Deadline,
    ) -> bytes:
        """Fetch folders first and then what is needed of their files, where a host can do that."""
        limit = self._tools.limits.file
        self._fetch(context, store, commit, deadline, depth=1, leave_out="blob:none")
        # The file, and a link or two on the way to it.
        for _ in range(_SINGLE):
            try:
                return _file(store, commit, path, limit, deadline)
            except _Absent as absent:
                if not self._fetch_single(context, store, absent.blob, deadline):
                    break
        self._fetch(context, store, commit, deadline, depth=1, leave_out=f"blob:limit={limit + 1}")
        try:
            return _file(store, commit, path, limit, deadline)
        except _Absent:
            # Left out by the host, which was asked to.
            raise SourceUnavailable(f"{path} is longer than {limit} bytes") from None

    def _fetch_single(
        self, context: GitContext, store: DiskObjectStore, wanted: ObjectID, deadline: Deadline
    ) -> bool:
        """Fetch one file; tell whether the host gave it, and in a size that is read."""
        try:
            self._fetch(context, store, wanted, deadline)
        except SourceUnavailable as error:
            log.debug("%s gives out no single file: %s", context.url, error)
            return False
        return True

    def _fetch(
        self,
        context: GitContext,
        store: DiskObjectStore,
        wanted: ObjectID,
        deadline: Deadline,
        *,
        depth: int | None = None,
        leave_out: str = "",
    ) -> None:
        """Fetch an object, and all that it consists of, into a store."""
        file, finish, _ = store.add_pack()
        # Whatever fails, the file is closed; it lies in the folder, which goes then.
        with file:
            limit = self._tools.limits.download
            with _translated(context), _Client(self._tools, context, deadline, limit) as client:
                client.fetch_pack(
                    b"",
                    lambda _refs, depth=None: [wanted],  # noqa: ARG005 - its name is fixed
                    ObjectStoreGraphWalker([], lambda _: [], set()),
                    file.write,
                    depth=depth,
                    # No list of branches: what is wanted is known.
                    ref_prefix=[b"HEAD"],
                    filter_spec=leave_out.encode("ascii") or None,
                )
            file.flush()
            _check(file, self._tools, deadline)
            finish()


class _Absent(Exception):
    """A file is not in the store."""

    def __init__(self, blob: ObjectID) -> None:
        super().__init__(blob)
        self.blob = blob


def _clocked(deadline: Deadline) -> ObjectFormat:
    """Return git's format of names, which are asked for with each object that is unpacked."""

    def sha1() -> Any:  # noqa: ANN401 - hashlib's own
        deadline.remaining()
        return SHA1.hash_func()

    return ObjectFormat(SHA1.name, SHA1.type_num, SHA1.oid_length, SHA1.hex_length, sha1)


def _check(file: IO[bytes], tools: Tools, deadline: Deadline) -> None:
    limits = tools.limits
    check_pack(
        file,
        # A tree may be longer than a build file.
        object_limit=limits.file * 16,
        unpacked_limit=limits.unpacked,
        entries=limits.entries,
        check=deadline.remaining,
    )


class _Client(AbstractHttpGitClient):
    """dulwich's client over this package's requests.

    Args:
        tools: What every kind of source is given.
        context: The repository.
        deadline: For everything.
        limit: The most bytes of what it is asked for.
    """

    def __init__(self, tools: Tools, context: GitContext, deadline: Deadline, limit: int) -> None:
        super().__init__(context.url, quiet=True)
        self._limit = limit
        self._tools = tools
        self._context = context
        self._deadline = deadline
        self._answers: list[Answer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for answer in self._answers:
            answer.close()

    @staticmethod
    def _warn_filter_objects() -> None:
        # A host that leaves nothing out sends more; the limits hold.
        return

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,  # noqa: FBT001, FBT002 - as it is
    ) -> tuple[Any, Callable[[int], bytes]]:
        del raise_for_status
        shown = self._tools.credentials.get(self._context.host)
        own = authority(url) == self._context.host
        authorization = ""
        if shown is not None and own:
            authorization = basic(shown.username or _TOKEN_USER, shown.secret)
        body = data if data is None or isinstance(data, bytes) else b"".join(data)
        # The length is requests' own business.
        sent = {name: value for name, value in (headers or {}).items() if name != "Content-Length"}
        what = f"fetch {self._context.url}"
        answer = self._tools.http.ask(
            url, self._deadline, what, headers=sent, authorization=authorization, data=body
        )
        self._answers.append(answer)
        if answer.status != HTTPStatus.OK:
            raise problem(answer, what, self._context.host, shown=bool(authorization))
        kind = answer.headers.get("Content-Type", "")
        if not kind.startswith("application/x-git-upload-pack-"):
            raise SourceUnavailable(f"{what}: the host does not answer as a git repository")
        read = _bounded(answer, min(self._limit, _REFS) if data is None else self._limit)
        head = read(_ERROR_AT + len(_ERROR))
        if head[_ERROR_AT:] == _ERROR:
            # A refusal of protocol 2, which dulwich takes for an answer that breaks off.
            words = read(_WORDS).decode("utf-8", "replace").strip()
            raise SourceUnavailable(f"{what}: the git host says: {words}")
        return _Response(answer, kind, url), _after(head, read)


class _Response:
    """What dulwich asks of an answer."""

    def __init__(self, answer: Answer, content_type: str, url: str) -> None:
        self.content_type = content_type
        self.redirect_location = answer.url if answer.url != url else ""
        self.close = answer.close


def _after(head: bytes, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Return a read that begins with what was read already."""
    left = head

    def again(amount: int) -> bytes:
        nonlocal left
        piece, left = left[:amount], left[amount:]
        # A packet is asked for as a whole and taken as it comes.
        return piece + read(amount - len(piece)) if len(piece) < amount else piece

    return again


def _bounded(answer: Answer, limit: int) -> Callable[[int], bytes]:
    left = limit

    def read(amount: int) -> bytes:
        nonlocal left
        piece = answer.read_some(amount)
        left -= len(piece)
        if left < 0:
            raise SourceUnavailable(f"the git host sends more than {limit} bytes")
        return piece

    return read


@contextmanager
def _translated(context: GitContext) -> Iterator[None]:
    """Turn what dulwich raises into the product's errors.

    It reads what a host sends, and answers garbage with errors of many kinds: of its own, of zlib
    and struct, of whatever first meets a value that cannot be. All of them are about this answer.
    """
    try:
        yield
    except RebuilderError:
        raise
    except HangupException:
        raise TransientError(f"fetch {context.url}: the answer breaks off") from None
    except GitProtocolError as error:
        words = " ".join(str(error).split())[:200]
        raise SourceUnavailable(f"fetch {context.url}: {words}") from None
    except OSError as error:
        # A full disk, say: not the host's doing.
        name = type(error).__name__
        raise TransientError(f"fetch {context.url}: it could not be kept ({name})") from None
    except Exception as error:
        name = type(error).__name__
        log.debug("fetch %s: no git repository", context.url, exc_info=True)
        raise SourceUnavailable(f"fetch {context.url}: no git repository ({name})") from None


def _file(
    store: DiskObjectStore, commit: ObjectID, path: str, limit: int, deadline: Deadline
) -> bytes:
    """Return a file of a commit, through links of files and of folders."""
    root = store[commit]
    while isinstance(root, Tag):
        deadline.remaining()
        root = store[root.object[1]]
    if not isinstance(root, Commit):
        raise SourceUnavailable("the context's commit is none")
    parts = path.split("/")
    for _ in range(_LINKS):
        mode, found, depth = _walk(store, root.tree, parts, deadline)
        if found is None:
            raise SourceUnavailable(f"there is no file {'/'.join(parts)} in the repository")
        if not stat.S_ISLNK(mode):
            break
        link = _object(store, found).as_raw_string()[: _PATH + 1]
        parts = _target(parts[: depth - 1], link.decode("utf-8", "surrogateescape"), parts[depth:])
    else:
        raise SourceUnavailable(f"{path}: too many links")
    if depth < len(parts) or not stat.S_ISREG(mode):
        raise SourceUnavailable(f"{'/'.join(parts)} is no file of the repository")
    blob = _object(store, found)
    if not isinstance(blob, Blob) or blob.raw_length() > limit:
        raise SourceUnavailable(f"{path} is longer than {limit} bytes")
    return blob.as_raw_string()


def _object(store: DiskObjectStore, wanted: ObjectID) -> ShaFile:
    try:
        return store[wanted]
    except KeyError:
        raise _Absent(wanted) from None


def _walk(
    store: DiskObjectStore, tree: ObjectID, parts: list[str], deadline: Deadline
) -> tuple[int, ObjectID | None, int]:
    """Go down as far as folders lead; return what is there and how many parts led to it."""
    mode, found = stat.S_IFDIR, tree
    for depth, part in enumerate(parts):
        if not stat.S_ISDIR(mode):
            return mode, found, depth
        deadline.remaining()
        entries = store[found]
        name = part.encode("utf-8", "surrogateescape")
        if not isinstance(entries, Tree) or name not in entries:
            return 0, None, depth
        mode, found = entries[name]
    return mode, found, len(parts)


def _target(folder: list[str], link: str, rest: list[str]) -> list[str]:
    path = posixpath.normpath(posixpath.join(*folder, link, *rest))
    if len(path) > _PATH:
        raise SourceUnavailable("a link of the repository leads to a path that is none")
    if posixpath.isabs(link) or path.split("/")[0] == "..":
        raise SourceUnavailable("a link of the repository leads outside of it")
    return path.split("/")
