"""Platforms such as `linux/arm64`, and the ARGs that are predefined by them.

Source of the rules: github.com/containerd/platforms, `platforms.go`, `database.go`; BuildKit,
`dockerfile2llb/platform.go`.
"""

from __future__ import annotations

import re
from copy import replace

from msgspec import Struct

_OS = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?")
_ENCODED = re.compile("%([0-9A-Fa-f]{2})")
_BADLY_ENCODED = re.compile("%(?![0-9A-Fa-f]{2})")
_ENCODE = str.maketrans({"%": "%25", "+": "%2B", "(": "%28", ")": "%29", "/": "%2F"})
_PART = re.compile(r"[A-Za-z0-9_.-]+")
_OSES = frozenset({
    "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux",
    "nacl", "netbsd", "openbsd", "plan9", "solaris", "windows", "zos",
})  # fmt: skip
_ARCHITECTURES = frozenset({
    "386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "ppc64", "ppc64le", "loong64",
    "mips", "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le", "ppc", "riscv", "riscv64",
    "s390", "s390x", "sparc", "sparc64", "wasm",
})  # fmt: skip
_OS_PART, _WITH_ARCHITECTURE, _WITH_VARIANT = 1, 2, 3


class Platform(Struct, frozen=True):
    """What an image runs on.

    Attributes:
        os: The operating system.
        architecture: The architecture of the processor.
        variant: Its variant, such as v7; "" if it is the usual one.
        os_version: The version of the operating system; "" if it does not matter.
        os_features: What it must have besides.
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        features = "".join(f"+{feature.translate(_ENCODE)}" for feature in self.os_features)
        details = self.os_version.translate(_ENCODE) + features
        system = f"{self.os}({details})" if details else self.os
        return "/".join(part for part in (system, self.architecture, self.variant) if part)


def parse_platform(text: str) -> Platform:
    """Read a platform as people write it.

    One word is an operating system or an architecture; the other half is that of the machine
    that builds, which is taken to be linux/amd64.

    Raises:
        ValueError: With what is wrong.
    """
    system, *parts = text.split("/", 3)
    match = _OS.fullmatch(system)
    if match is None:
        raise ValueError(f'"{system}" is an invalid OS component of "{text}"')
    for part in parts:
        if not _PART.fullmatch(part):
            raise ValueError(f'"{part}" is an invalid component of "{text}"')
    name = match[1].lower()
    name = "darwin" if name == "macos" else name
    if _BADLY_ENCODED.search(system):
        raise ValueError(f'"{text}" has an invalid OS version or feature')
    version = _decoded(match[2] or "")
    features = tuple(sorted({_decoded(f) for f in (match[3] or "").split("+")} - {""}))
    count = 1 + len(parts)
    if count == _OS_PART:
        if name in _OSES:
            return Platform(name, "amd64", "", version, features)
        architecture, variant = _normalised(system, "")
        if architecture not in _ARCHITECTURES:
            raise ValueError(f'"{text}": unknown operating system or architecture')
        return Platform("linux", architecture, _usual(architecture, variant), version, features)
    if count == _WITH_ARCHITECTURE:
        architecture, variant = _normalised(parts[0], "")
        return Platform(name, architecture, _usual(architecture, variant), version, features)
    if count == _WITH_VARIANT:
        return Platform(name, *_normalised(parts[0], parts[1]), version, features)
    raise ValueError(f'"{text}": cannot parse platform specifier')


def _decoded(text: str) -> str:
    return _ENCODED.sub(lambda byte: chr(int(byte[1], 16)), text)


def _usual(architecture: str, variant: str) -> str:
    return "" if (architecture, variant) == ("arm", "v7") else variant


def _normalised(architecture: str, variant: str) -> tuple[str, str]:
    architecture, variant = architecture.lower(), variant.lower()
    match architecture:
        case "i386":
            return "386", ""
        case "x86_64" | "x86-64" | "amd64":
            return "amd64", "" if variant == "v1" else variant
        case "aarch64" | "arm64":
            named = {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"}
            return "arm64", named.get(variant, variant)
        case "armhf":
            return "arm", "v7"
        case "armel":
            return "arm", "v6"
        case "arm":
            named = {"": "v7", "7": "v7", "5": "v5", "6": "v6", "8": "v8"}
            return "arm", named.get(variant, variant)
    return architecture, variant


def predefined(platform: str) -> dict[str, str]:
    """The ARGs that every build for a platform has, but TARGETSTAGE.

    Builds for Linux run on linux/amd64, those for Windows on windows/amd64: ACR has no others.

    Raises:
        ValueError: If it is no platform.
    """
    target = parse_platform(platform)
    # dockerui normalises once more what it has parsed.
    architecture, variant = _normalised(target.architecture, target.variant)
    target = replace(target, architecture=architecture, variant=variant)
    build = Platform("windows" if target.os == "windows" else "linux", "amd64")
    return {
        "BUILDPLATFORM": str(build),
        "BUILDOS": build.os,
        "BUILDOSVERSION": build.os_version,
        "BUILDARCH": build.architecture,
        "BUILDVARIANT": build.variant,
        "TARGETPLATFORM": str(target),
        "TARGETOS": target.os,
        "TARGETOSVERSION": target.os_version,
        "TARGETARCH": target.architecture,
        "TARGETVARIANT": target.variant,
    }
