"""What instructions take for ports, signals, modes, durations and paths of Windows.

Source of the rules: BuildKit, `dockerfile2llb/convert_expose.go`, `convert_copy.go`,
`util/system/path.go`; github.com/moby/sys/signal; github.com/tonistiigi/dchapes-mode; Go's
time.ParseDuration.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re

from rebuilder.core.dockerfile._text import integer, quoted

_PROTOCOLS = frozenset({"", "tcp", "udp", "sctp"})
_MOST_PORT = 65535
_WITH_HOST_PORT, _WITH_ADDRESS = 2, 3

_SIGNALS = frozenset({
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
    *(f"RTMIN+{number}" for number in range(1, 16)),
    *(f"RTMAX-{number}" for number in range(1, 15)),
})  # fmt: skip

_OCTAL = re.compile("[0-7]+")
_MOST_MODE = 0o7777
_CLAUSE = "[augo]*+(?:[-+=][rstwXxugo]*+)++"
_SYMBOLIC = re.compile(f"{_CLAUSE}(?:,{_CLAUSE})*+")

_UNITS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
    "h": 3600 * 10**9,
}  # fmt: skip
_DURATION = re.compile(
    r"([-+]?)(0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII
)
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DIGITS = 19  # as many as fit into what Go keeps them in


def check_port(text: str) -> None:
    """See whether EXPOSE takes a port: `[[ADDRESS:]HOST:]PORT[-PORT][/PROTOCOL]`.

    Raises:
        ValueError: With what BuildKit refuses.
    """
    address, host, container = _split_port(text)
    container, _, protocol = container.partition("/")
    if not container:
        raise ValueError(f"invalid port: {quoted(text)}: no port specified")
    if protocol.lower() not in _PROTOCOLS:
        raise ValueError(f"invalid port: {quoted(text)}: invalid proto: {protocol}")
    _check_address(address)
    width = _port_range(container)
    if width is None:
        raise ValueError(f"invalid containerPort: {container}")
    if host:
        host_width = _port_range(host)
        if host_width is None:
            raise ValueError(f"invalid hostPort: {host}")
        if width not in (0, host_width):
            raise ValueError(
                f"invalid ranges specified for container and host Ports: {container} and {host}"
            )


def _split_port(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    if len(parts) == 1:
        return "", "", text
    if len(parts) == _WITH_HOST_PORT:
        return "", parts[0], parts[1]
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def _check_address(text: str) -> None:
    address = text
    if text.startswith("["):
        address = text[1:-1]
        if not text.endswith("]") or "[" in address or "]" in address:
            raise ValueError(f"invalid IP address {text}")
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ValueError(f"invalid IP address: {address}") from None
        if "%" in address:
            raise ValueError(f"invalid IP address: {address}")


def _port_range(text: str) -> int | None:
    """By how much the last port is above the first; None if it is no range."""
    start, dash, end = text.partition("-")
    try:
        first = integer(start)
        last = integer(end) if dash and end != start else first
    except ValueError:
        return None
    return last - first if 0 <= first <= last <= _MOST_PORT else None


def check_signal(text: str) -> None:
    """See whether STOPSIGNAL takes a signal, by its name or number.

    Raises:
        ValueError: With what BuildKit refuses.
    """
    try:
        known = integer(text) != 0
    except ValueError:
        known = text.upper().removeprefix("SIG") in _SIGNALS
    if not known:
        raise ValueError(f"invalid signal: {text}")


def check_mode(text: str) -> None:
    """See whether --chmod takes a mode, in octal digits or as chmod(1) has it.

    Raises:
        ValueError: With what BuildKit refuses.
    """
    if _OCTAL.fullmatch(text):
        fits = int(text.lstrip("0")[:5] or "0", 8) <= _MOST_MODE
    else:
        fits = _SYMBOLIC.fullmatch(text) is not None
        if not fits and not text[:1].isdecimal():
            raise ValueError(f"invalid chmod parameter: '{text}': invalid syntax")
    if not fits:
        raise ValueError(
            f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
        )


def without_drive(path: str, *, keep_slash: bool = False) -> str:
    r"""A path of Windows without `C:`, with slashes.

    Args:
        path: The path.
        keep_slash: Whether a slash at its end stays.

    Raises:
        ValueError: With what BuildKit refuses: other drives, `C:` alone, and `\\host\share`.
    """
    if len(path) == 2 and path[1] == ":":  # noqa: PLR2004 - a letter and a colon
        raise ValueError(f"removing drive letter: No relative path specified in {quoted(path)}")
    slashed = path.replace("\\", "/")
    if slashed.startswith("//"):
        raise ValueError("removing drive letter: UNC paths are not supported")
    drive, colon, rest = slashed.partition(":")
    if colon and drive.lower() != "c":
        raise ValueError(
            "removing drive letter: The specified path is not on the system drive (C:)"
        )
    cleaned = _clean(rest if colon else slashed)
    return f"{cleaned}/" if keep_slash and slashed.endswith("/") and len(cleaned) > 1 else cleaned


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path) if path else "."
    # Python keeps two slashes at the beginning, Go does not.
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


def duration(text: str) -> int:
    """A duration as Go's time.ParseDuration reads it, in nanoseconds.

    Raises:
        ValueError: With Go's words, if it is none or does not fit.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"time: invalid duration {quoted(text)}")
    total = 0
    for whole, fraction, unit in _PART.findall(match[2]):
        digits = whole.lstrip("0")
        part = (int(digits or 0) if len(digits) <= _DIGITS else 1 << 64) * _UNITS[unit]
        kept = fraction[:_DIGITS]
        if kept:
            part += int(float(int(kept)) * (float(_UNITS[unit]) / float(10 ** len(kept))))
        total += part
        if total > 1 << 63:
            raise ValueError(f"time: invalid duration {quoted(text)}")
    if match[1] == "-":
        return -total
    if total == 1 << 63:
        raise ValueError(f"time: invalid duration {quoted(text)}")
    return total
