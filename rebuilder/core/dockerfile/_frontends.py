"""What the releases of BuildKit's Dockerfile frontend read differently.

Source: the tags `dockerfile/*` of github.com/moby/buildkit, each difference by the commit that made
it. Only what changes which images are read, or whether a file is one at all, is kept apart; in all
else, a release is taken for the newest.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from rebuilder.core.acr.references import ImageReference

# The frontends that read Dockerfiles, wherever they are mirrored to.
_NAMES = frozenset({"dockerfile", "dockerfile-upstream"})
_VERSION = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})(?:\.[0-9]+)?(?:-.*)?")


class Frontend(NamedTuple):
    """How a release of the frontend reads.

    Attributes:
        spaced_heredocs: Blanks and tabs may stand between `<<` and the word. Since 1.16.
        escaped_flags: The escape character escapes in flags, not always a backslash. Since 1.15.
        forgetful_words: Where words are split, `${a:-b}` takes what stands before it off the word
            that it is in. Since 1.9.
        dates: SOURCE_DATE_EPOCH may also name a context or stage, or be an ARG, and is brought into
            its usual form. Since 1.24.
        git_queries: What follows a `?` in the address of a git repository is looked at. Since 1.18.
        devices: RUN --device is carried out. In the channel `labs`.
        own: Whether it is BuildKit's own.
    """

    spaced_heredocs: bool = True
    escaped_flags: bool = True
    forgetful_words: bool = True
    dates: bool = True
    git_queries: bool = True
    devices: bool = False
    own: bool = True


NEWEST = Frontend()


@lru_cache(maxsize=256)
def frontend_of(image: ImageReference) -> Frontend:
    """How the frontend in an image reads.

    What is not BuildKit's own is read as its newest, and so is what names no release: `1` and
    `latest` move along. With a digest, the tag beside it tells; without one, nothing does.
    """
    if image.path.rpartition("/")[2] not in _NAMES:
        return NEWEST._replace(own=False, devices=True)
    tag = image.tag or ""
    # A digest alone does not tell the channel.
    labs = not tag or "labs" in tag
    match = _VERSION.fullmatch(tag)
    if match is None:
        return NEWEST._replace(devices=labs)
    version = int(match[1]), int(match[2])
    return Frontend(
        spaced_heredocs=version >= (1, 16),
        escaped_flags=version >= (1, 15),
        forgetful_words=version >= (1, 9),
        dates=version >= (1, 24),
        git_queries=version >= (1, 18),
        devices=labs,
    )
