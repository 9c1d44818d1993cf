"""What the models say about tables: their keys, defaults and examples."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from maestro_daemon.providers.secret import Secret

Step = str | int


def tables_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value of this type may be, looking into optionals, arrays and tables of tables."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in {Union, types.UnionType, list, tuple, dict, Annotated}:
        return [model for inner in get_args(annotation) for model in tables_in(inner)]
    return []


def every_table(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model itself and all models inside it, each once."""
    seen: list[type[BaseModel]] = []
    waiting = [model]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.append(one)
            yield one
            for field in one.model_fields.values():
                waiting += tables_in(field.annotation)


def keys_at(model: type[BaseModel], path: tuple[Step, ...]) -> list[str]:
    """The keys that a table may hold, `path` steps below a table of `model`."""
    tables = [model]
    for step in path:
        tables = [
            inner
            for table in tables
            for inner in (
                tables_in(table.model_fields[step].annotation)
                if isinstance(step, str) and step in table.model_fields
                else [table]
            )
        ]
    return [field.alias or name for table in tables for name, field in table.model_fields.items()]


def default_of(field: FieldInfo) -> Any:
    """The default as TOML writes it (a duration is ``"15s"``); None where there is none."""
    if field.is_required():
        return None
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None:
        return None
    whole: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return TypeAdapter(whole).dump_python(default, mode="json")


def example_of(name: str, field: FieldInfo) -> Any:
    """A value that the field `name` could have: the first of its examples, else one made from its type."""
    if field.examples:
        return field.examples[0]
    leaves = list(_leaves(field.annotation))
    for leaf in leaves:
        if isinstance(leaf, FieldInfo) and leaf.examples:
            return leaf.examples[0]
    types_ = [leaf for leaf in leaves if isinstance(leaf, type)]
    if Secret in types_:
        return {"env": name.upper()}
    if bool in types_:
        return True
    return 1 if int in types_ or float in types_ else "…"


def _leaves(annotation: Any) -> Iterator[Any]:
    """The types of an annotation and what annotates them, outermost first."""
    if get_origin(annotation) is None:
        yield annotation
    for inner in get_args(annotation):
        yield from _leaves(inner)
