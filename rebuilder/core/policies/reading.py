"""The policy file: from text to policies, or every fault with its place and what would be right.

The bounded YAML reader of task files gives nodes with their places; a JSON Schema, which editors
use as well, says what may stand where; what a schema cannot say is checked here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import replace
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from rebuilder.core.lines.rooms import Room
from rebuilder.core.messages.reading import read_messages
from rebuilder.core.policies.approval import Approval
from rebuilder.core.policies.matching import Match
from rebuilder.core.policies.policy import Policies, Policy, Rule, Values
from rebuilder.core.policies.windows import DAYS, AnyOf, Freeze, Window, moment, zone
from rebuilder.core.taskfile import _yaml
from rebuilder.core.waves.canary import Canary
from rebuilder.errors import Fault, InvalidBuildFile, InvalidPolicy

MOST_BYTES = 256 * 1024
"""How large a policy file may be."""

_KINDS = "write a rule with `match: {kinds: [...]}` and `ignore: true` for those that do not count"
OTHERWISE = {
    "rebuildFor": _KINDS,
    "rebuild-for": _KINDS,
    "countTags": "write a rule with `match: {base: ...}` and `ignore: true` for tags that do not",
    "tools": "REBUILDER_TOOLS names the tools that are a reason, each for one task",
}
"""What is said in another way, and how."""

_MOST_FAULTS = 100
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MOST_DAYS = 366
_LEAST_AGE = timedelta(hours=1)

type Path = tuple[str | int, ...]
type Mark = tuple[int, int]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the policy file."""
    text = files("rebuilder.core.policies").joinpath("schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def read_policies(text: str, file: str = "policy.yaml") -> Policies:
    """Read a policy file.

    Args:
        text: The file.
        file: Its name, for faults.

    Raises:
        InvalidPolicy: With every fault, each with its line and column.
    """
    read = _Reader(file)
    values = read.document(text)
    read.stop_at_faults()
    read.against_schema(values)
    read.stop_at_faults()
    found = read.policies(values)
    read.stop_at_faults()
    return found


@cache
def _validator() -> Any:  # noqa: ANN401 - the library comes without types
    # Imported when a policy is read, and not before: most set-ups have none.
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    return Draft202012Validator(schema())


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._marks: dict[Path, Mark] = {}
        self._keys: dict[Path, Mark] = {}
        self._faults: dict[Fault, None] = {}

    def fault(self, path: Path, problem: str, *, key: bool = False) -> None:
        """Note what is wrong with a value, or with its key."""
        marks = self._keys if key else self._marks
        line, column = marks.get(path, (1, 1))
        self._faults[Fault(self._file, line, column, problem)] = None

    def stop_at_faults(self) -> None:
        """Raise what was found so far."""
        if self._faults:
            order = sorted(self._faults, key=lambda fault: (fault.line, fault.column))
            raise InvalidPolicy(order[:_MOST_FAULTS])

    # From text to values.

    def document(self, text: str) -> object:
        """Return the values of a text, and note where each stands."""
        if len(text.encode(errors="replace")) > MOST_BYTES:
            self.fault((), f"it is larger than {MOST_BYTES // 1024} KiB: write fewer rules")
            return None
        try:
            node = _yaml.compose(text, lambda index: index + 1)
            return None if node is None else self._value(node, (), set())
        except InvalidBuildFile as error:
            # What the reader was told by YAML's own has the column, too.
            mark = getattr(error.__context__, "problem_mark", None)
            column = mark.column + 1 if mark is not None and error.line else 1
            self._marks[()] = (max(error.line, 1), column)
            self.fault((), f"{error.problem}: write YAML, as docs/policies.md shows")
            return None

    def _value(self, node: yaml.Node, path: Path, seen: set[int]) -> object:
        self._marks.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if not isinstance(node, yaml.CollectionNode):
            return _scalar(_yaml.value(node))
        if id(node) in seen:
            # A few lines of aliases can mean billions of values.
            self.fault(path, "an alias of a list or a mapping: write it out")
            return None
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, at), seen) for at, item in enumerate(node.value)]
        found: dict[str, object] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            inner = (*path, name)
            self._keys[inner] = (key.start_mark.line + 1, key.start_mark.column + 1)
            if not isinstance(key, yaml.ScalarNode) or name == "<<":
                self.fault(inner, "a key that is no plain name: write a name", key=True)
            elif name in found:
                self.fault(inner, f"{name:.80} is there twice: write it once", key=True)
            else:
                found[name] = self._value(value, inner, seen)
        return found

    # From values to policies.

    def against_schema(self, values: object) -> None:
        """Note what the schema does not allow."""
        for error in _validator().iter_errors(values):
            self._schema_fault(error)

    def _schema_fault(self, error: Any) -> None:  # noqa: ANN401 - the library comes without types
        path: Path = tuple(error.absolute_path)
        right = error.schema["description"]
        match error.validator:
            case "additionalProperties":
                known = sorted(error.schema.get("properties", ()))
                for name in sorted(set(error.instance) - set(known)):
                    inner = (*path, name)
                    if name in OTHERWISE:
                        self.fault(inner, f"there is no {name}: {OTHERWISE[name]}", key=True)
                    else:
                        unknown = f"unknown key {name!r:.80}: write {', '.join(known)}"
                        self.fault(inner, unknown, key=True)
            case "required":
                missing = [n for n in error.validator_value if n not in error.instance]
                self.fault(path, f"{', '.join(missing)} is missing: write {right}")
            case "minProperties" | "minItems":
                self.fault(path, f"it is empty, or half: write {right}")
            case _:
                self.fault(path, f"{_named(error.instance)}: write {right}")

    def policies(self, values: Any) -> Policies:  # noqa: ANN401 - checked by the schema
        """Return the policies of a file that the schema allows."""
        named = {
            name: Policy(
                self._values(given, ("policies", name), name), bool(given.get("selectable"))
            )
            for name, given in (values.get("policies") or {}).items()
        }
        rules = [
            self._rule(number, given, named) for number, given in enumerate(values.get("rules", ()))
        ]
        freezes = [
            self._freeze(number, given) for number, given in enumerate(values.get("freezes", ()))
        ]
        limits = values.get("limits", {})
        kept = [freeze for freeze in freezes if freeze is not None]
        messages = read_messages(self, values.get("messages", ()), self._match)
        objective = self.duration(values, "objective", ())
        if objective is not None and not objective:
            self.fault(("objective",), "nothing can be built in no time: write 4h, say")
        registries, pools = limits.get("registries"), limits.get("agentPools")
        return Policies(named, rules, kept, registries, pools, messages, objective)

    def _values(self, given: Mapping[str, Any], path: Path, name: str) -> Values:
        cooldown = self.duration(given, "cooldown", path)
        longest = self.duration(given, "maxWait", path)
        if cooldown is not None and longest is not None and longest < cooldown:
            self.fault(
                (*path, "maxWait"), "maxWait is shorter than cooldown: write one that is not"
            )
        windows: AnyOf | None = None
        if "windows" in given:
            listed = given["windows"] if given["windows"] != "always" else ()
            windows = tuple(
                self.window(window, (*path, "windows", number))
                for number, window in enumerate(listed)
            )
        return Values(
            cooldown=cooldown,
            max_wait=longest,
            windows=windows,
            approval=self._approval(given.get("approval"), (*path, "approval")),
            rooms=_rooms(given.get("maxConcurrent"), name),
            priority=given.get("priority"),
            attempts=given.get("attempts"),
            max_age=self._max_age(given, path),
            canary=self._canary(given.get("canary"), (*path, "canary")),
            breaker=given.get("breaker", {}).get("failures"),
        )

    def _max_age(self, given: Mapping[str, Any], path: Path) -> timedelta | None:
        found = self.duration(given, "maxAge", path)
        if found is not None and found < _LEAST_AGE:
            self.fault((*path, "maxAge"), "it would be built all the time: write 1h at least")
        return found

    def _approval(self, given: Mapping[str, Any] | None, path: Path) -> Approval | None:
        if given is None:
            return None
        expires = self.duration(given, "expires", path)
        if expires is not None and not expires:
            self.fault((*path, "expires"), "no vote would ever count: write a longer one")
        by_oneself = bool(given.get("byOneself"))
        return Approval(given["votes"], expires or Approval().expires, by_oneself)

    def _canary(self, given: Mapping[str, Any] | None, path: Path) -> Canary | None:
        if given is None:
            return None
        soak = self.duration(given, "soak", path)
        return Canary(_listed(given["tasks"]), soak or timedelta())

    def duration(self, given: Mapping[str, Any], name: str, path: Path) -> timedelta | None:
        """Return a duration; None if there is none."""
        text = given.get(name)
        if text is None:
            return None
        span = timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        if span > timedelta(days=_MOST_DAYS):
            self.fault((*path, name), f"{text} is longer than a year: write {_MOST_DAYS}d at most")
        return span

    def window(self, given: Mapping[str, Any], path: Path) -> Window:
        """Return a window."""
        self._zone(given, path)
        start, end = _minute(given["from"]), _minute(given["to"])
        if start == end:
            self.fault((*path, "to"), "from and to are the same: write 00:00 and 24:00 for a day")
        days = tuple(sorted({DAYS.index(day) for day in given.get("days", DAYS)}))
        return Window(days, start, end, given["timezone"])

    def _zone(self, given: Mapping[str, Any], path: Path) -> bool:
        try:
            zone(given["timezone"])
        except ValueError:
            name = given["timezone"]
            right = "write an IANA time zone, as Europe/Berlin or UTC"
            self.fault((*path, "timezone"), f"there is no time zone {name!r:.80}: {right}")
            return False
        return True

    def _freeze(self, number: int, given: Mapping[str, Any]) -> tuple[Freeze, Match] | None:
        path: Path = ("freezes", number)
        if not self._zone(given, path):
            return None
        times = []
        for name in ("from", "to"):
            try:
                times.append(moment(given[name], given["timezone"], end=name == "to"))
            except (ValueError, OverflowError):
                self.fault((*path, name), f"there is no day {given[name]}: write a date that is")
                return None
        begins, ends = times
        if begins >= ends:
            self.fault((*path, "to"), "it ends before it begins: write a later date")
        return Freeze(given["name"], begins, ends), self._match(given.get("match", {}))

    def _match(self, given: Mapping[str, Any]) -> Match:
        return Match(
            _listed(given.get("base")),
            _listed(given.get("task")),
            _listed(given.get("registry")),
            tuple((name.lower(), p) for name, p in (given.get("tags") or {}).items()),
            frozenset(given.get("kinds") or ()),
        )

    def _rule(self, number: int, given: Mapping[str, Any], named: Mapping[str, Policy]) -> Rule:
        path: Path = ("rules", number)
        match, chosen = self._match(given["match"]), given.get("policy")
        values = Values()
        source = f"rule {number + 1} (line {self._marks[path][0]})"
        if chosen is not None and chosen not in named:
            known = ", ".join(named) or "one that is defined under `policies`"
            self.fault((*path, "policy"), f"there is no policy {chosen!r:.80}: write {known}")
        elif chosen is not None:
            values = named[chosen].values
            source += f", policy {chosen}"
        ignore = given.get("ignore")
        if match.tags and ignore is False:
            self.fault(
                (*path, "ignore"),
                "a rule that asks for tags can only tighten: leave `ignore: false` out",
            )
        return Rule(source, match, replace(values, ignore=ignore))


def _rooms(most: int | None, name: str) -> tuple[Room, ...] | None:
    return None if most is None else (Room(f"policy {name}", most),)


def _scalar(found: object) -> object:
    # A date without quotes is a text to this reader; what is neither is shown as "?".
    return found if isinstance(found, str | int | float | bool | None) else "?"


def _named(instance: object) -> str:
    if isinstance(instance, Mapping):
        return "a mapping"
    if isinstance(instance, Sequence) and not isinstance(instance, str):
        return "a list"
    return f"{instance!r:.80}"


def _listed(given: str | Sequence[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def _minute(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)
