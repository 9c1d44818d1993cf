"""The example file: every key of every table once, commented out, with what the models say about it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from maestro_daemon.config import toml_text
from maestro_daemon.config.shape import default_of, example_of, tables_in
from maestro_daemon.config.tables import ConfigFile, ProviderTable
from maestro_daemon.providers.registry import Kind

_WIDTH = 100
_HEAD = """\
# The configuration of maestro-daemon: every key there is, with its default or an example.
# Remove the # in front of what you want to say, its [table] included.
#
# It is looked for as --config, $MAESTRO_CONFIG, ./maestro.toml,
# $XDG_CONFIG_HOME/maestro-daemon/config.toml and /etc/maestro-daemon/config.toml, in this order. Without
# any, and while no [providers] are named, the daemon serves what it finds on this machine.
#
# Durations are written "250ms", "15s", "2m" or "1h", sizes "256KiB" or "64MiB".
# A secret is { env = "NAME" }, { file = "path" }, { credential = "name" } (systemd's), or the string
# itself in a file that nobody but its owner can read.
"""
_NAMES = {"clients": "alice", "routes": "coder"}
_HOUSE = {name: field for name, field in ProviderTable.model_fields.items() if name != "kind"}


def example(kinds: Mapping[str, Kind]) -> str:
    """The text of ``config.example.toml`` for these provider kinds."""
    parts = [_HEAD]
    for name, field in ConfigFile.model_fields.items():
        (model,) = tables_in(field.annotation)
        if model is ProviderTable:
            for kind in sorted(kinds.values(), key=lambda each: each.name):
                lead = {"kind": kind.name}
                parts += _table(("providers", kind.name), kind.options_model, lead, more=_HOUSE)
        elif get_origin(field.annotation) is dict:
            parts += _table((name, _NAMES[name]), model, {})
        else:
            parts += _table((name,), model, {})
    return "\n".join(parts)


def _table(
    names: tuple[str, ...],
    model: type[BaseModel],
    lead: Mapping[str, Any],
    *,
    more: Mapping[str, FieldInfo] = MappingProxyType({}),
) -> Iterator[str]:
    lines = [*_prose(inspect.cleandoc(model.__doc__ or "")), f"#[{toml_text.key(*names)}]"]
    lines += [f"#{toml_text.key(name)} = {toml_text.value(each)}" for name, each in lead.items()]
    inner: list[str] = []
    for name, field in {**model.model_fields, **more}.items():
        key = field.alias or name
        if tables := tables_in(field.annotation):
            deeper = (*names, key, "name") if get_origin(field.annotation) is dict else (*names, key)
            inner += _table(deeper, tables[0], {})
        else:
            lines += ["", *_prose(field.description), f"#{toml_text.key(key)} = {_shown(key, field)}"]
    yield "\n".join(lines) + "\n"
    yield from inner


def _shown(key: str, field: FieldInfo) -> str:
    default = default_of(field)
    return toml_text.value(example_of(key, field) if default in (None, [], {}) else default)


def _prose(text: str | None) -> list[str]:
    return [
        f"# {line}" if line else "#"
        for paragraph in (text or "").replace("``", "`").splitlines()
        for line in textwrap.wrap(paragraph, _WIDTH) or [""]
    ]
