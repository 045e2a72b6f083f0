"""Azure's names: guid() and uniqueString(), with the values that Azure gives.

Source: guid() is UUID version 5 in a namespace of ARM's own; uniqueString() is a 64-bit Murmur hash
in base 32. Both were compared with the Bicep compiler's evaluation; see the tests.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_LENGTH = 13
_MASK = 0xFFFFFFFF
_ONE, _TWO = 0x239B961B, 0xAB0E9789


def guid(parts: Sequence[str]) -> str:
    """Return the GUID of some texts."""
    return str(uuid.uuid5(_NAMESPACE, "-".join(parts)))


def unique_string(parts: Sequence[str]) -> str:
    """Return the 13 letters and digits that stand for some texts."""
    number = _murmur("-".join(parts).encode())
    top = 64 - 5
    return "".join(_DIGITS[(number << 5 * i & (1 << 64) - 1) >> top] for i in range(_LENGTH))


def _murmur(data: bytes) -> int:
    first = second = 0
    whole = len(data) - len(data) % 8
    for start in range(0, whole, 8):
        first ^= _scramble(data[start : start + 4], _ONE, 15, _TWO)
        first = (_rotate(first, 19) + second) * 5 + 0x561CCD1B & _MASK
        second ^= _scramble(data[start + 4 : start + 8], _TWO, 17, _ONE)
        second = (_rotate(second, 13) + first) * 5 + 0x0BCAA747 & _MASK
    rest = data[whole:]
    first ^= _scramble(rest[:4], _ONE, 15, _TWO) ^ len(data)
    second ^= _scramble(rest[4:], _TWO, 17, _ONE) ^ len(data)
    first = first + second & _MASK
    second = second + first & _MASK
    first, second = _finish(first), _finish(second)
    first = first + second & _MASK
    return (second + first & _MASK) << 32 | first


def _scramble(data: bytes, before: int, turn: int, after: int) -> int:
    number = int.from_bytes(data, "little") * before & _MASK
    return _rotate(number, turn) * after & _MASK


def _rotate(number: int, by: int) -> int:
    number &= _MASK
    return (number << by | number >> 32 - by) & _MASK


def _finish(number: int) -> int:
    number = (number ^ number >> 16) * 0x85EBCA6B & _MASK
    number = (number ^ number >> 13) * 0xC2B2AE35 & _MASK
    return number ^ number >> 16
