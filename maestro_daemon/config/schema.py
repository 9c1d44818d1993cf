"""The configuration as JSON Schema, for editors and scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from maestro_daemon.config.shape import default_of, every_table
from maestro_daemon.config.tables import ConfigFile, ProviderTable
from maestro_daemon.providers.registry import Kind

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The schema of the TOML file, with the options of each provider kind. Values are as TOML has them."""
    tables = list(every_table(ConfigFile))
    for kind in kinds.values():
        tables += [table for table in every_table(kind.options_model) if table not in tables]
    places, whole = models_json_schema([(table, "validation") for table in tables])
    definitions: dict[str, dict[str, Any]] = whole["$defs"]

    def definition(table: Any) -> dict[str, Any]:
        return definitions[places[table, "validation"]["$ref"].rpartition("/")[2]]

    for table in tables:
        properties = definition(table).get("properties", {})
        for name, field in table.model_fields.items():
            key = field.alias or name
            if "default" in properties.get(key, {}):
                properties[key]["default"] = default_of(field)
    house = definition(ProviderTable)["properties"]
    branches = []
    for kind in kinds.values():
        name = f"provider of kind {kind.name}"
        definitions[name] = _with_house_keys(definition(kind.options_model), kind.name, house)
        branches.append({"$ref": f"#/$defs/{name.replace(' ', '%20')}"})
    root = definition(ConfigFile)
    root["properties"]["providers"]["additionalProperties"] = {"oneOf": branches} if branches else False
    root_name = places[ConfigFile, "validation"]["$ref"].rpartition("/")[2]
    del definitions[root_name], definitions["ProviderTable"]
    return {"$schema": _DIALECT, **root, "$defs": definitions}


def _with_house_keys(options: Mapping[str, Any], kind: str, house: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "additionalProperties": False,
        **options,
        "title": f"A provider of kind {kind}",
        "properties": {**house, "kind": {"const": kind}, **options.get("properties", {})},
        "required": ["kind", *options.get("required", [])],
    }
