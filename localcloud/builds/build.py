"""A build that a builder is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.builds.images import Image
from localcloud.builds.job import HERE


@dataclass(frozen=True, slots=True)
class Build:
    """A Dockerfile to build for one platform.

    Attributes:
        context: The folder.
        dockerfile: The Dockerfile.
        arguments: Build arguments.
        target: The stage to build; empty for the last.
        platform: What it is built for.
        labels: What the image gets besides the Dockerfile's labels.
        kit: Whether BuildKit builds, and not docker's classic builder.
        stamped: Whether the image says that it is for the platform, whatever its base is for.
        contexts: What stands for an image or a stage of that name.
    """

    context: Path
    dockerfile: Path
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platform: str = HERE
    labels: Mapping[str, str] = field(default_factory=dict)
    kit: bool = False
    stamped: bool = False
    contexts: Mapping[str, Image] = field(default_factory=dict)
