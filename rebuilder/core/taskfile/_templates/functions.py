"""The functions of templates: Go's own, and those of sprig that task files have a use for.

Source: pkg.go.dev/text/template (functions) and github.com/Masterminds/sprig v2, which the agent
brings. A function that is known by name only gives what is not known.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Mapping

from rebuilder.core.taskfile._templates import texts
from rebuilder.core.taskfile._templates.arguments import (
    NotUnderstood,
    Refused,
    as_fields,
    as_items,
    as_number,
    as_text,
    compared_by,
    is_empty,
    shown,
    to_int,
)
from rebuilder.core.taskfile._templates.values import Unknown
from rebuilder.core.taskfile._text import LIMIT, names

_GO = "and call eq ge gt html index js le len lt ne not or print printf println slice urlquery"
_SPRIG = """
hello date date_in_zone date_modify now htmlDate htmlDateInZone dateInZone dateModify ago toDate
unixEpoch abbrev abbrevboth trunc trim upper lower title untitle substr repeat trimall trimAll
trimSuffix trimPrefix nospace initials randAlphaNum randAlpha randAscii randNumeric swapcase shuffle
snakecase camelcase kebabcase wrap wrapWith contains hasPrefix hasSuffix quote squote cat indent
nindent replace plural sha1sum sha256sum adler32sum toString atoi int64 int float64 toDecimal split
splitList splitn toStrings until untilStep add1 add sub div mod mul biggest max min ceil floor round
join sortAlpha default empty coalesce compact deepCopy toJson toPrettyJson ternary typeOf typeIs
typeIsLike kindOf kindIs deepEqual env expandenv getHostByName base dir clean ext isAbs b64enc
b64dec b32enc b32dec tuple list dict set unset hasKey pluck keys pick omit merge mergeOverwrite
values append push prepend first rest last initial reverse uniq without has slice concat
genPrivateKey derivePassword buildCustomCert genCA genSelfSignedCert genSignedCert encryptAES
decryptAES uuidv4 semver semverCompare fail regexMatch regexFindAll regexFind regexReplaceAll
regexReplaceAllLiteral regexSplit urlParse urlJoin
"""
NAMES = frozenset((_GO + _SPRIG).split())
"""Every function that the agent's templates may name; any other is refused."""

_NOT_FOLLOWED = "the template function {} is not understood"


def call(name: str, arguments: list[object]) -> object:
    """Return what a function makes of its arguments; Unknown where that is not worked out.

    Raises:
        Refused: Go fails the template: too few arguments, or of the wrong kind.
    """
    function = _FUNCTIONS.get(name)
    if function is None:
        return Unknown(_NOT_FOLLOWED.format(name))
    nothing_is_fine = name in _TAKE_NOTHING
    given: list[object] = []
    for argument in arguments:
        if isinstance(argument, Unknown) and argument.value and nothing_is_fine:
            # What nobody gives is nothing, and this function is written for it.
            given.append(None)
        elif isinstance(argument, Unknown):
            return argument
        elif not isinstance(argument, str | int | float | bool | list | dict | None):
            return Unknown(_NOT_FOLLOWED.format(name))
        else:
            given.append(argument)
    try:
        found = function(*given)
    except NotUnderstood:
        return Unknown(f"what the template function {name} is given is not understood")
    except TypeError as error:
        raise Refused("wrong number of arguments, or of the wrong kind") from error
    if isinstance(found, str) and len(found) > LIMIT:
        raise Refused(f"it makes more than {LIMIT} characters")
    return found


# Comparisons.


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise TypeError
    return any(_same(first, other) for other in others)


def _same(first: object, other: object) -> bool:
    if first is None or other is None:
        return first is other
    if isinstance(first, list | dict) or type(first) is not type(other):
        raise Refused("incompatible types for comparison")
    return first == other


def _less(first: object, other: object) -> bool:
    if isinstance(first, bool) or type(first) is not type(other):
        raise Refused("incompatible types for comparison")
    if isinstance(first, str) and isinstance(other, str):
        return first.encode() < other.encode()
    if isinstance(first, int | float) and isinstance(other, int | float):
        return first < other
    raise Refused("invalid type for comparison")


def _and(first: object, *others: object) -> object:
    given = (first, *others)
    return next((found for found in given if is_empty(found)), given[-1])


def _or(first: object, *others: object) -> object:
    given = (first, *others)
    return next((found for found in given if not is_empty(found)), given[-1])


_NUMBERS = 10_000
"""How many numbers a function may make."""


def _counted(start: object, stop: object, step: object) -> list[object]:
    by = as_number(step)
    found = range(as_number(start), as_number(stop), by) if by else range(0)
    if len(found) > _NUMBERS:
        raise Refused(f"it makes more than {_NUMBERS} numbers")
    return [*found]


def _until(count: object) -> list[object]:
    return _counted(0, count, 1 if as_number(count) >= 0 else -1)


def _dict(*given: object) -> dict[str, object]:
    names = [shown(name) for name in given[::2]]
    values = [*given[1::2], ""][: len(names)]  # the last one may lack its value
    return dict(zip(names, values, strict=True))


def _slice(found: object, *bounds: object) -> object:
    values = [as_number(bound) for bound in bounds]
    of = as_items(found)  # sprig's, which is for lists only
    first, last = [*values, len(of)][:2] if values else (0, len(of))
    if not 0 <= first <= last <= len(of):
        raise Refused("slice index out of range")
    return of[first:last]


def _length(found: object) -> int:
    if isinstance(found, str):
        return len(found.encode())
    if isinstance(found, dict):
        return len(found)
    return len(as_items(found))


def _at(place: int) -> Callable[[object], object]:
    def get(found: object) -> object:
        items = as_items(found)
        return items[place] if items else None

    return get


def _uniq(found: object) -> list[object]:
    first: dict[object, object] = {}
    for item in as_items(found):
        first.setdefault(compared_by(item), item)
    return [*first.values()]


def _ternary(yes: object, no: object, decides: object) -> object:
    if not isinstance(decides, bool):
        raise TypeError
    return yes if decides else no


def _default(instead: object, *found: object) -> object:
    return instead if not found or is_empty(found[0]) else found[0]


def _fail(message: object) -> object:
    raise Refused(as_text(message))


def _sum(*given: object) -> int:
    return _wrapped(sum(map(to_int, given)))


def _wrapped(number: int) -> int:
    """Return a number as Go's int64 has it: what does not fit begins again at the other end."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "and": _and,
    "or": _or,
    "not": is_empty,
    "eq": _equal,
    "ne": lambda first, other: not _same(first, other),
    "lt": _less,
    "le": lambda first, other: _less(first, other) or _same(first, other),
    "gt": lambda first, other: _less(other, first),
    "ge": lambda first, other: not _less(first, other),
    "len": _length,
    "slice": _slice,
    "print": texts.printed_together,
    "println": lambda *given: " ".join(map(shown, given)) + "\n",
    "printf": texts.printf,
    "default": _default,
    "coalesce": lambda *given: next((found for found in given if not is_empty(found)), None),
    "empty": is_empty,
    "ternary": _ternary,
    "quote": texts.quoted,
    "squote": lambda *given: " ".join(f"'{shown(f)}'" for f in given if f is not None),
    "toString": shown,
    "lower": texts.of_ascii(str.lower),
    "upper": texts.of_ascii(str.upper),
    "trim": lambda found: as_text(found).strip(),
    "trimPrefix": lambda prefix, found: as_text(found).removeprefix(as_text(prefix)),
    "trimSuffix": lambda suffix, found: as_text(found).removesuffix(as_text(suffix)),
    "trimAll": texts.trim_all,
    "trimall": texts.trim_all,
    "nospace": lambda found: "".join(as_text(found).split()),
    "replace": texts.replace,
    "repeat": texts.repeat,
    "trunc": texts.trunc,
    "substr": texts.substring,
    "contains": lambda part, found: as_text(part) in as_text(found),
    "hasPrefix": lambda prefix, found: as_text(found).startswith(as_text(prefix)),
    "hasSuffix": lambda suffix, found: as_text(found).endswith(as_text(suffix)),
    "cat": lambda *given: " ".join(shown(found) for found in given if found is not None),
    "indent": texts.indent,
    "nindent": lambda count, found: "\n" + texts.indent(count, found),
    "join": texts.joined,
    "splitList": texts.split_list,
    "split": texts.split,
    "splitn": texts.splitn,
    "until": _until,
    "untilStep": _counted,
    "dict": _dict,
    "hasKey": lambda found, name: as_text(name) in as_fields(found),
    "regexMatch": texts.matches,
    "regexFind": texts.first_match,
    "regexReplaceAll": texts.replace_matches,
    "regexReplaceAllLiteral": texts.replace_matches_literally,
    "list": lambda *given: [*given],
    "tuple": lambda *given: [*given],
    "first": _at(0),
    "last": _at(-1),
    "rest": lambda found: as_items(found)[1:],
    "initial": lambda found: as_items(found)[:-1],
    "reverse": lambda found: as_items(found)[::-1],
    "has": lambda wanted, found: (
        compared_by(wanted) in map(compared_by, [] if found is None else as_items(found))
    ),
    "uniq": _uniq,
    "int": to_int,
    "int64": to_int,
    "atoi": lambda found: to_int(as_text(found)),
    "add": _sum,
    "add1": lambda found: _wrapped(to_int(found) + 1),
    "sub": lambda first, other: _wrapped(to_int(first) - to_int(other)),
    "b64enc": texts.b64enc,
    "b64dec": texts.b64dec,
    "sha256sum": lambda found: hashlib.sha256(as_text(found).encode()).hexdigest(),
    "base": texts.of_path(posixpath.basename),
    "dir": texts.of_path(lambda text: posixpath.dirname(text) or "."),
    "ext": texts.of_path(lambda text: texts.extension(posixpath.basename(text))),
    "fail": _fail,
}

_TAKE_NOTHING = names("and or not eq ne default coalesce empty ternary")
"""What is asked whether there is a value at all."""
