"""A template's parameters: what was given, defaults, and what ARM refuses.

Source of the words: ARM's errors as users report them; "Parameters in ARM templates".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.templates.evaluation import Scope, Unknown, evaluate, show
from localcloud.templates.expressions import TemplateError

type Value = Any
type Json = dict[str, Any]

_KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "securestring": str,
    "int": int,
    "bool": bool,
    "object": dict,
    "secureobject": dict,
    "array": list,
}


def kind_of(schema: Json, definitions: Json) -> Json:
    """Return a schema with what it refers to laid under it.

    Raises:
        TemplateError: It refers to nothing.
    """
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in definitions:
            raise TemplateError(f"The template has no definition '{name}'.")
        schema = {**definitions[name], **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def is_secure(schema: Json, definitions: Json) -> bool:
    """Tell whether a value may never be shown."""
    return str(kind_of(schema, definitions).get("type", "")).lower().startswith("secure")


def resolve(template: Json, given: Json, scope: Scope) -> dict[str, Value]:
    """Return the value of every parameter, by name in lower case.

    Args:
        template: The template.
        given: What the deployment gives, each `{"value": ...}`.
        scope: For the defaults; a default may name parameters before or after it.

    Raises:
        TemplateError: One is missing, not the template's, or of a wrong value.
    """
    schemas: Json = template.get("parameters") or {}
    definitions: Json = template.get("definitions") or {}
    known = {name.lower(): name for name in schemas}
    strange = [name for name in given if name.lower() not in known]
    if strange:
        raise TemplateError(
            f"The template parameters '{', '.join(strange)}' in the parameters file are not valid;"
            " they are not present in the original template and can therefore not be provided at"
            " deployment time. The only supported parameters for this template are"
            f" '{', '.join(schemas)}'. Please see https://aka.ms/arm-pass-parameter-values for"
            " usage details."
        )
    found = {name.lower(): _given(name, entry) for name, entry in given.items()}
    values: dict[str, Value] = {}

    def value_of(name: str) -> Value:
        key = name.lower()
        if key not in values:
            if key not in known:
                raise TemplateError(f"The template parameter '{name}' is not found.")
            values[key] = _value(known[key], kind_of(schemas[known[key]], definitions))
        return values[key]

    inner = Scope({**scope.names, "parameters": value_of}, scope.own)

    def _value(name: str, schema: Json) -> Value:
        if found.get(name.lower()) is not None:
            return found[name.lower()]
        if schema.get("defaultValue") is not None:
            return evaluate(schema["defaultValue"], inner)
        if schema.get("nullable") or "defaultValue" in schema:
            return None
        raise TemplateError(
            f"The value for the template parameter '{name}' at line '1' and column '1' is not"
            " provided. Please see https://aka.ms/arm-create-parameter-file for usage details."
        )

    for name, schema in schemas.items():
        value = value_of(name)
        if not isinstance(value, Unknown) and value is not None:
            check(name, value, kind_of(schema, definitions), definitions)
    return values


def _given(name: str, entry: Value) -> Value:
    if not isinstance(entry, Mapping) or "value" not in entry:
        raise TemplateError(
            f"The local cloud takes the template parameter '{name}' by its value only."
        )
    return entry["value"]


def check(name: str, value: Value, schema: Json, definitions: Json) -> None:
    """Refuse a value that a schema does not allow.

    Raises:
        TemplateError: In ARM's words, naming the parameter or the property below it.
    """
    wrong = f"The provided value for the template parameter '{name}' is not valid."
    kind = str(schema.get("type", "")).lower()
    fits = isinstance(value, _KINDS.get(kind, object))
    if not fits or (kind == "int" and isinstance(value, bool)):
        raise TemplateError(f"{wrong} Expected a value of type '{schema['type']}'.")
    allowed = schema.get("allowedValues")
    chosen = value if isinstance(value, list) else [value]
    if allowed is not None and value not in allowed and any(v not in allowed for v in chosen):
        shown = "" if kind.startswith("secure") else f" The value '{show(value)}' is"
        names = ",".join(map(show, allowed))
        raise TemplateError(f"{wrong}{shown} not part of the allowed value(s): '{names}'.")
    size = value if kind == "int" else len(value) if isinstance(value, str | list) else None
    least = schema.get("minValue", schema.get("minLength"))
    most = schema.get("maxValue", schema.get("maxLength"))
    if size is not None and least is not None and size < least:
        raise TemplateError(f"{wrong} The least value or length is '{least}', and it is '{size}'.")
    if size is not None and most is not None and size > most:
        raise TemplateError(
            f"{wrong} The greatest value or length is '{most}', and it is '{size}'."
        )
    if isinstance(value, dict):
        _check_properties(name, value, schema, definitions)
    if isinstance(value, list) and schema.get("items"):
        for index, entry in enumerate(value):
            check(f"{name}[{index}]", entry, kind_of(schema["items"], definitions), definitions)


def _check_properties(name: str, value: Json, schema: Json, definitions: Json) -> None:
    properties: Json = schema.get("properties") or {}
    for key, below in properties.items():
        kind = kind_of(below, definitions)
        if value.get(key) is not None:
            check(f"{name}.{key}", value[key], kind, definitions)
        elif not kind.get("nullable"):
            raise TemplateError(
                f"The provided value for the template parameter '{name}' is not valid. It lacks the"
                f" property '{key}'."
            )
    more = schema.get("additionalProperties")
    for key in value:
        if key in properties:
            continue
        if more is False:
            raise TemplateError(
                f"The provided value for the template parameter '{name}' is not valid. The property"
                f" '{key}' is not allowed."
            )
        if isinstance(more, dict):
            check(f"{name}.{key}", value[key], kind_of(more, definitions), definitions)
