"""The functions of templates: Go's own, and those of sprig that task files have a use for.

Source: pkg.go.dev/text/template (functions) and github.com/Masterminds/sprig v2, which the agent
brings. A function that is known by name only gives what is not known.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from collections.abc import Callable, Mapping

from rebuilder.core.taskfile import _yaml
from rebuilder.core.taskfile._templates.expressions import plain_expression
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

_NO_QUOTES_NEEDED = re.compile(r"[ -!#-\[\]-~]*")
_NOT_FOLLOWED = "the template function {} is not understood"


class Refused(Exception):
    """Go fails the template."""


class _NotUnderstood(Exception):
    """The arguments are of a kind that is not followed."""


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
    except _NotUnderstood:
        return Unknown(f"what the template function {name} is given is not understood")
    except TypeError as error:
        raise Refused("wrong number of arguments, or of the wrong kind") from error
    if isinstance(found, str) and len(found) > LIMIT:
        raise Refused(f"it makes more than {LIMIT} characters")
    return found


def is_empty(found: object) -> bool:
    """Tell whether a value counts as nothing: no, zero, no text, no items."""
    return isinstance(found, str | int | float | bool | list | dict | None) and not found


def printed(found: object) -> str | None:
    """Return a value as Go prints it; None if that is not worked out."""
    if found is None:
        return ""
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, float):
        return _yaml.go_float(found)
    if isinstance(found, str | int):
        return str(found)
    if isinstance(found, list):
        texts = ["<nil>" if item is None else printed(item) for item in found]
        if all(text is not None for text in texts):
            return f"[{' '.join(map(str, texts))}]"
    return None


def _text(found: object) -> str:
    if not isinstance(found, str):
        raise TypeError
    return found


def _print(found: object) -> str:
    # Only where it is the whole of an action's output, nothing is left out.
    text = "<nil>" if found is None else printed(found)
    if text is None:
        raise _NotUnderstood
    return text


def _number(found: object) -> int:
    if isinstance(found, bool) or not isinstance(found, int):
        raise TypeError
    return found


def _to_int(found: object) -> int:
    if isinstance(found, bool):
        return int(found)
    if isinstance(found, int):
        return found
    if isinstance(found, str):
        return int(found) if re.fullmatch(r"[-+]?[0-9]{1,18}", found) else 0
    raise _NotUnderstood


def _items(found: object) -> list[object]:
    if not isinstance(found, list):
        raise TypeError
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


# Texts.


def _quoted(*given: object) -> str:
    texts = [_print(found) for found in given if found is not None]
    if not all(map(_NO_QUOTES_NEEDED.fullmatch, texts)):
        raise _NotUnderstood
    return " ".join(f'"{text}"' for text in texts)


def _printf(form: object, *given: object) -> str:
    texts = iter(given)

    def filled(match: re.Match[str]) -> str:
        verb = match[0]
        if verb == "%%":
            return "%"
        try:
            found = next(texts)
        except StopIteration:
            raise _NotUnderstood from None
        if verb == "%v" or (verb == "%s" and isinstance(found, str)):
            return _print(found)
        if verb == "%d":
            return str(_number(found))
        if verb == "%q" and isinstance(found, str):
            return _quoted(found)
        raise _NotUnderstood

    text = re.sub(r"%.?", filled, _text(form))
    if next(texts, texts) is not texts:
        raise _NotUnderstood
    return text


def _printed_together(*given: object) -> str:
    parts: list[str] = []
    before: object = ""
    for found in given:
        # fmt.Print puts a space between two of which neither is a text.
        if parts and not isinstance(found, str) and not isinstance(before, str):
            parts.append(" ")
        parts.append(_print(found) if found is not None else "<nil>")
        before = found
    return "".join(parts)


def _replace(old: object, new: object, found: object) -> str:
    text, before, after = _text(found), _text(old), _text(new)
    if not before or len(text) * max(1, len(after)) > LIMIT:
        raise _NotUnderstood
    return text.replace(before, after)


def _repeat(count: object, found: object) -> str:
    number, text = _number(count), _text(found)
    if number < 0 or number * len(text) > LIMIT:
        raise Refused("it makes too much text")
    return text * number


def _trunc(count: object, found: object) -> str:
    number, text = _number(count), _ascii(found)
    if number < 0:
        raise _NotUnderstood
    return text[:number]


def _substring(start: object, end: object, found: object) -> str:
    first, last, text = _number(start), _number(end), _ascii(found)
    if first < 0:
        return text[: max(0, last)]
    if last < 0 or last > len(text):
        return text[first:]
    if first > last:
        raise _NotUnderstood
    return text[first:last]


def _ascii(found: object) -> str:
    # Go counts bytes.
    text = _text(found)
    if not text.isascii():
        raise _NotUnderstood
    return text


def _trim_all(cut: object, found: object) -> str:
    return _text(found).strip(_text(cut)) if _text(cut) else _text(found)


def _indent(count: object, found: object) -> str:
    pad = _repeat(count, " ")
    text = _text(found)
    if (text.count("\n") + 1) * len(pad) > LIMIT:
        raise Refused("it makes too much text")
    return pad + text.replace("\n", f"\n{pad}")


def _joined(separator: object, found: object) -> str:
    items = found if isinstance(found, list) else [found]
    return _text(separator).join(_print(item) for item in items if item is not None)


def _split_list(separator: object, found: object) -> list[object]:
    text, between = _text(found), _text(separator)
    return [*(text.split(between) if between else text)]


def _split(separator: object, found: object, limit: int = -1) -> dict[str, object]:
    between = _text(separator)
    if not between:
        raise _NotUnderstood
    parts = _text(found).split(between, limit)
    return {f"_{number}": part for number, part in enumerate(parts)}


def _splitn(separator: object, count: object, found: object) -> dict[str, object]:
    number = _number(count)
    if number < 1:
        raise _NotUnderstood
    return _split(separator, found, number - 1)


_NUMBERS = 10_000
"""How many numbers a function may make."""


def _counted(start: object, stop: object, step: object) -> list[object]:
    by = _number(step)
    found = range(_number(start), _number(stop), by) if by else range(0)
    if len(found) > _NUMBERS:
        raise Refused(f"it makes more than {_NUMBERS} numbers")
    return [*found]


def _until(count: object) -> list[object]:
    return _counted(0, count, 1 if _number(count) >= 0 else -1)


def _expression(pattern: object, found: object) -> re.Pattern[str]:
    plain = plain_expression(_text(pattern), _text(found))
    if plain is None:
        raise _NotUnderstood
    return plain


def _matches(pattern: object, found: object) -> bool:
    return _expression(pattern, found).search(_text(found)) is not None


def _first_match(pattern: object, found: object) -> str:
    match = _expression(pattern, found).search(_text(found))
    return match[0] if match else ""


def _replace_matches(pattern: object, found: object, instead: object) -> str:
    if "$" in _text(instead):
        raise _NotUnderstood  # it names groups, of which there are none
    return _replace_matches_literally(pattern, found, instead)


def _replace_matches_literally(pattern: object, found: object, instead: object) -> str:
    plain, text = _expression(pattern, found), _text(instead)
    if plain.match("") is not None:
        raise _NotUnderstood  # where nothing matches, Go and Python count differently
    return plain.sub(lambda _: text, _text(found))


def _dict(*given: object) -> dict[str, object]:
    names = [_print(name) for name in given[::2]]
    values = [*given[1::2], ""][: len(names)]  # the last one may lack its value
    return dict(zip(names, values, strict=True))


def _fields(found: object) -> dict[str, object]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise TypeError
    return found


def _slice(found: object, *bounds: object) -> object:
    values = [_number(bound) for bound in bounds]
    of = _items(found)  # sprig's, which is for lists only
    first, last = [*values, len(of)][:2] if values else (0, len(of))
    if not 0 <= first <= last <= len(of):
        raise Refused("slice index out of range")
    return of[first:last]


def _length(found: object) -> int:
    if isinstance(found, str):
        return len(found.encode())
    if isinstance(found, dict):
        return len(found)
    return len(_items(found))


def _at(place: int) -> Callable[[object], object]:
    def get(found: object) -> object:
        items = _items(found)
        return items[place] if items else None

    return get


def _path(function: Callable[[str], str]) -> Callable[[object], str]:
    def of(found: object) -> str:
        text = _text(found)
        # Go's path functions say "." of nothing; where else they differ is not followed.
        if not text or text.endswith("/") or "//" in text:
            raise _NotUnderstood
        return function(text)

    return of


def _unicode_same(function: Callable[[str], str]) -> Callable[[object], str]:
    def of(found: object) -> str:
        return function(_ascii(found))

    return of


def _uniq(found: object) -> list[object]:
    first: dict[object, object] = {}
    for item in _items(found):
        first.setdefault(_key(item), item)
    return [*first.values()]


def _key(found: object) -> tuple[type, object]:
    """Return what two values are compared by: to Go, 1 is not true."""
    if isinstance(found, list | dict):
        raise _NotUnderstood
    return type(found), found


def _ternary(yes: object, no: object, decides: object) -> object:
    if not isinstance(decides, bool):
        raise TypeError
    return yes if decides else no


def _default(instead: object, *found: object) -> object:
    return instead if not found or is_empty(found[0]) else found[0]


def _b64enc(found: object) -> str:
    """The agent's own, which takes anything (templating/engine.go)."""
    if found is None:
        return ""
    kind = {bool: "bool", int: "int", float: "float64"}.get(type(found), "[]interface {}")
    if isinstance(found, dict):
        raise _NotUnderstood
    text = found if isinstance(found, str) else f"<{kind} Value>"
    return base64.b64encode(text.encode()).decode()


def _b64dec(found: object) -> str:
    try:
        return base64.b64decode(_text(found), validate=True).decode()
    except ValueError:
        raise _NotUnderstood from None


def _fail(message: object) -> object:
    raise Refused(_text(message))


def _sum(*given: object) -> int:
    return _wrapped(sum(map(_to_int, given)))


def _wrapped(number: int) -> int:
    """Return a number as Go's int64 has it: what does not fit begins anew at the other end."""
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
    "print": _printed_together,
    "println": lambda *given: " ".join(map(_print, given)) + "\n",
    "printf": _printf,
    "default": _default,
    "coalesce": lambda *given: next((found for found in given if not is_empty(found)), None),
    "empty": is_empty,
    "ternary": _ternary,
    "quote": _quoted,
    "squote": lambda *given: " ".join(f"'{_print(f)}'" for f in given if f is not None),
    "toString": _print,
    "lower": _unicode_same(str.lower),
    "upper": _unicode_same(str.upper),
    "trim": lambda found: _text(found).strip(),
    "trimPrefix": lambda prefix, found: _text(found).removeprefix(_text(prefix)),
    "trimSuffix": lambda suffix, found: _text(found).removesuffix(_text(suffix)),
    "trimAll": _trim_all,
    "trimall": _trim_all,
    "nospace": lambda found: "".join(_text(found).split()),
    "replace": _replace,
    "repeat": _repeat,
    "trunc": _trunc,
    "substr": _substring,
    "contains": lambda part, found: _text(part) in _text(found),
    "hasPrefix": lambda prefix, found: _text(found).startswith(_text(prefix)),
    "hasSuffix": lambda suffix, found: _text(found).endswith(_text(suffix)),
    "cat": lambda *given: " ".join(_print(found) for found in given if found is not None),
    "indent": _indent,
    "nindent": lambda count, found: "\n" + _indent(count, found),
    "join": _joined,
    "splitList": _split_list,
    "split": _split,
    "splitn": _splitn,
    "until": _until,
    "untilStep": _counted,
    "dict": _dict,
    "hasKey": lambda found, name: _text(name) in _fields(found),
    "regexMatch": _matches,
    "regexFind": _first_match,
    "regexReplaceAll": _replace_matches,
    "regexReplaceAllLiteral": _replace_matches_literally,
    "list": lambda *given: [*given],
    "tuple": lambda *given: [*given],
    "first": _at(0),
    "last": _at(-1),
    "rest": lambda found: _items(found)[1:],
    "initial": lambda found: _items(found)[:-1],
    "reverse": lambda found: _items(found)[::-1],
    "has": lambda wanted, found: _key(wanted) in map(_key, [] if found is None else _items(found)),
    "uniq": _uniq,
    "int": _to_int,
    "int64": _to_int,
    "atoi": lambda found: _to_int(_text(found)),
    "add": _sum,
    "add1": lambda found: _wrapped(_to_int(found) + 1),
    "sub": lambda first, other: _wrapped(_to_int(first) - _to_int(other)),
    "b64enc": _b64enc,
    "b64dec": _b64dec,
    "sha256sum": lambda found: hashlib.sha256(_text(found).encode()).hexdigest(),
    "base": _path(posixpath.basename),
    "dir": _path(lambda text: posixpath.dirname(text) or "."),
    "ext": _path(lambda text: _extension(posixpath.basename(text))),
    "fail": _fail,
}

_TAKE_NOTHING = names("and or not eq ne default coalesce empty ternary")
"""What is asked whether there is a value at all."""


def _extension(name: str) -> str:
    return name[name.rindex(".") :] if "." in name else ""
