"""ADD and COPY.

Source of the rules: BuildKit, `instructions/parse.go`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rebuilder.core.dockerfile._frontends import Frontend
from rebuilder.core.dockerfile._instructions.checks import Files
from rebuilder.core.dockerfile._instructions.commands import Bad, Command
from rebuilder.core.dockerfile._instructions.flags import flags_of, one
from rebuilder.core.dockerfile._instructions.git import git_source, may_be_remote
from rebuilder.core.dockerfile._parser.heredocs import heredoc_word
from rebuilder.core.dockerfile._parser.nodes import Node
from rebuilder.core.dockerfile._shell.lexer import asks
from rebuilder.core.dockerfile._shell.variables import WordError

SPECIAL = re.compile(r"[$'\"]")
# An error of `${v?}`, or one of Windows' paths, or more than a path.
_NOTABLE = re.compile(r"[$'\":\\]|(?:^| )//|github\.com/")
# Those of COPY that the classic builder knows as well.
_FLAGS_OF_BOTH = frozenset({"chown", "from"})


def files(node: Node, frontend: Frontend) -> Command | None:
    """ADD and COPY."""
    keyword = node.keyword.upper()
    if len(node.args) < 2:  # noqa: PLR2004 - a source and a destination
        raise Bad(
            f"{keyword} requires at least two arguments, but only one was provided."
            " Destination could not be determined"
        )
    flags = flags_of(node)
    copies_from = one(flags, "from")
    paths: tuple[str, ...] = node.args[:-1]
    names: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    if "<<" in node.text:
        if _heredoc(node.args[-1], frontend) is not None:
            raise Bad(f"{keyword} cannot accept a heredoc as a destination")
        found = [(path, _heredoc(path, frontend)) for path in paths]
        paths = tuple(path for path, name in found if name is None)
        names = tuple(name for _, name in found if name is not None)
        texts = tuple(h.content for h in node.heredocs if h.expands and "$" in h.content)
    check = _files_check(node, flags, paths, names)
    # Most have nothing but what both builders know.
    plain = keyword == "COPY" and not names and flags.keys() <= _FLAGS_OF_BOTH
    buildkit = () if plain else _files_of_buildkit(keyword, flags, paths, names)
    if not (copies_from or texts or check or buildkit):
        return None
    return Command(
        node.line,
        text=f"{keyword} --from={copies_from}",
        copies_from=copies_from,
        texts=texts,
        check=check,
        buildkit=buildkit,
        varies=("$" in node.text and check is not None and check.varies())
        or (bool(texts) and asks(*texts)),
    )


def _files_check(
    node: Node,
    flags: Mapping[str, Sequence[str]],
    paths: tuple[str, ...],
    names: tuple[str, ...],
) -> Files | None:
    """What is checked when an ADD or COPY is carried out; None if there is nothing to check."""
    owner = one(flags, "chown")
    notable = "chmod" in flags or "checksum" in flags or (owner and SPECIAL.search(owner))
    if not notable and not _NOTABLE.search(" ".join(node.args)):
        return None
    if flags.keys() <= _FLAGS_OF_BOTH:
        return Files(paths, names, node.args[-1], owner, adds=node.keyword == "add")
    return Files(
        sources=paths,
        names=names,
        target=node.args[-1],
        owner=owner,
        mode=one(flags, "chmod"),
        checksum=one(flags, "checksum"),
        adds=node.keyword == "add",
        keeps=one(flags, "keep-git-dir").lower() != "false" if "keep-git-dir" in flags else None,
        parents="parents" in flags and one(flags, "parents").lower() != "false",
    )


def _heredoc(word: str, frontend: Frontend) -> str | None:
    """The name of the heredoc that a word opens; None if it opens none."""
    try:
        found = heredoc_word(word, frontend) if "<<" in word else None
    except WordError:
        return None
    return found[0] if found is not None else None


def _files_of_buildkit(
    keyword: str,
    flags: Mapping[str, Sequence[str]],
    paths: Sequence[str],
    names: Sequence[str],
) -> tuple[tuple[str, bool], ...]:
    """What of an ADD or COPY the classic builder refuses, or leaves out without a word."""
    found: list[tuple[str, bool]] = []
    for name, values in flags.items():
        if name == "chmod":
            # Since Docker 20.10 it is refused by name, unless it turns out to be empty.
            found.append((f"{keyword} --{name}", bool(values[0]) and "$" not in values[0]))
        elif name not in _FLAGS_OF_BOTH:
            found.append((f"{keyword} --{name}", False))
    if names:
        # Nothing is left to copy if it is the only source.
        found.append((f"{keyword} with a heredoc", not paths))
    if keyword == "ADD" and any(map(_is_git, paths)):
        found.append(("ADD of a git repository", False))
    return tuple(found)


def _is_git(path: str) -> bool:
    if "$" in path or not may_be_remote(path):
        return False
    try:
        git = git_source(path)
    except ValueError:
        return True
    return git is not None and not git.local
