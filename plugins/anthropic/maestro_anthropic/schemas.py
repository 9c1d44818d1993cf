"""JSON Schemas as the API takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

Schema = dict[str, Any]

_KEPT: Final = frozenset({"type", "enum", "const", "description", "title", "$ref"})
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_NESTED: Final = frozenset({"properties", "$defs", "definitions"})
_VARIANTS: Final = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}


def enforceable(schema: Mapping[str, Any]) -> Schema:
    """The schema as ``output_config.format`` and strict tools take it.

    Objects are closed, ``oneOf`` becomes ``anyOf``, and what cannot be enforced is told in the description,
    so that the model may heed it all the same.
    """
    kept: Schema = {}
    told: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _KEPT:
            kept[name] = value
        elif name in _NESTED and isinstance(value, dict):
            kept[name] = {key: _inner(each) for key, each in value.items()}
        elif name in _VARIANTS and isinstance(value, list):
            kept[_VARIANTS[name]] = [_inner(each) for each in value]
        elif name == "items" and isinstance(value, dict):
            kept[name] = enforceable(value)
        elif _is_enforced(name, value):
            kept[name] = value
        elif name not in ("additionalProperties", "$schema", "$id"):
            told[name] = value
    if _is_object(schema):
        kept.setdefault("properties", {})
        kept["additionalProperties"] = False
    return _with_told(kept, told)


def tool_schema(schema: Mapping[str, Any]) -> Schema:
    """The schema of a tool's input: an object, without choices between whole schemas at its top."""
    kept = {name: value for name, value in schema.items() if name not in _VARIANTS}
    told = {name: schema[name] for name in schema if name in _VARIANTS}
    if "properties" not in schema or not schema["properties"]:
        # The choices' own fields are all that the model would learn of the input.
        merged: Schema = {}
        for variants in told.values():
            for each in variants if isinstance(variants, list) else ():
                if isinstance(each, dict) and isinstance(each.get("properties"), dict):
                    merged.update(each["properties"])
        kept["properties"] = merged
    kept["type"] = "object"
    return _with_told(kept, told)


def _inner(value: Any) -> Any:
    return enforceable(value) if isinstance(value, dict) else value


def _is_enforced(name: str, value: Any) -> bool:
    match name:
        case "required":
            return isinstance(value, list)
        case "format":
            return isinstance(value, str) and value in _FORMATS
        case "minItems":
            return value in (0, 1)
    return False


def _is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema


def _with_told(schema: Schema, told: Mapping[str, Any]) -> Schema:
    if not told:
        return schema
    said = json.dumps(told, ensure_ascii=False, separators=(", ", ": "))
    description = schema.get("description")
    schema["description"] = f"{description}\n\n{said}" if isinstance(description, str) else said
    return schema
