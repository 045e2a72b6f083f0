"""RUN.

Source of the rules: BuildKit, `instructions/commands_run*.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rebuilder.core.dockerfile._frontends import Frontend
from rebuilder.core.dockerfile._instructions.checks import Run
from rebuilder.core.dockerfile._instructions.commands import Bad, Command
from rebuilder.core.dockerfile._instructions.flags import flags_of, one
from rebuilder.core.dockerfile._instructions.mounts import (
    CACHE_MOUNT,
    PLAIN_CACHE_MOUNT,
    Mount,
    csv_fields,
    read_mount,
)
from rebuilder.core.dockerfile._parser.nodes import Node
from rebuilder.core.dockerfile._text import boolean, quoted


def run(node: Node, _frontend: Frontend) -> Command | None:
    empty = node.json and not node.args
    if not node.flags and not empty and not node.bad_bytes:
        return Command(node.line, buildkit=_HEREDOC_RUN) if node.heredocs else None
    flags = flags_of(node)
    mounts = tuple(map(_mount, flags["mount"])) if "mount" in flags else ()
    buildkit, device = _MOUNTING_RUN, False
    if not mounts or len(flags) > 1:
        device = _check_run(flags)
        # The classic builder knows no flag of RUN; old ones do not know the word either.
        buildkit = tuple((f"RUN --{name}", True) for name in flags)
    if node.heredocs:
        buildkit += _HEREDOC_RUN
    run = Run(mounts, device, empty, node.bad_bytes)
    if not any(run[1:]) and all(mount.plain for mount in mounts):
        return Command(node.line, mounts=mounts, buildkit=buildkit)
    return Command(node.line, mounts=mounts, check=run, buildkit=buildkit, varies=run.varies())


_MOUNTING_RUN: tuple[tuple[str, bool], ...] = (("RUN --mount", True),)
_HEREDOC_RUN: tuple[tuple[str, bool], ...] = (("RUN with a heredoc", False),)


def _mount(value: str) -> Mount:
    if PLAIN_CACHE_MOUNT(value):
        return CACHE_MOUNT
    fields = _fields(value, "mounts")
    try:
        return read_mount(value, fields)
    except ValueError as error:
        raise Bad(str(error)) from None


def _check_run(flags: Mapping[str, Sequence[str]]) -> bool:
    """See whether the flags of a RUN but its mounts are right; return whether one is a device."""
    for device in flags.get("device", ()):
        _check_device(_fields(device, "devices"))
    network, security = one(flags, "network"), one(flags, "security")
    if "network" in flags and network not in ("default", "none", "host"):
        raise Bad(f"invalid network mode {quoted(network)}")
    if "security" in flags and security not in ("insecure", "sandbox"):
        raise Bad(f"security {quoted(security)} is not valid")
    return "device" in flags


def _fields(value: str, what: str) -> list[str]:
    try:
        return csv_fields(value)
    except ValueError as error:
        raise Bad(f"failed to parse csv {what}: {error}") from None


def _check_device(fields: Sequence[str]) -> None:
    name = ""
    for text in fields:
        key, equals, value = text.partition("=")
        key = key.lower()
        if key == "required":
            if equals and boolean(value) is None:
                raise Bad(f"invalid value for {key}: {value}")
        elif key == "name" and equals:
            if name:
                raise Bad(f"device name already set to {name}")
            name = value
        elif not name:
            name = text
        elif not equals:
            raise Bad(f"invalid field '{text}' must be a key=value pair")
        else:
            raise Bad(f"unexpected key '{key}' in '{text}'")
