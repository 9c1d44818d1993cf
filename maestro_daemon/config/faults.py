"""What is wrong with a configuration, in sentences: pydantic's findings, named and placed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from maestro_daemon.config.positions import Positions
from maestro_daemon.config.shape import Step, keys_at
from maestro_daemon.errors import ConfigInvalid

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "list_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


class Fault(NamedTuple):
    """One thing that is wrong, at the key `path` (names, and indexes of arrays)."""

    path: tuple[Step, ...]
    message: str


def key_text(path: Iterable[Step]) -> str:
    """The path as one writes it: ``routes.coder.targets[0]``; names that need quotes get them."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _BARE.fullmatch(step) else json.dumps(step))
    return text


def nearest(word: str, known: Collection[str]) -> str:
    """``; did you mean 'x'?``, or nothing when no known word is near."""
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def of_validation(
    error: ValidationError,
    model: type[BaseModel],
    table: Any,
    at: tuple[Step, ...],
    *,
    also: Collection[str] = (),
) -> list[Fault]:
    """pydantic's findings about `table` (the raw TOML values) as faults below the key `at`.

    `also` are keys that the table may have beside those of `model`.
    """
    faults: dict[tuple[Step, ...], Fault] = {}
    for finding in error.errors(include_url=False, include_input=False):
        path, value = _walk(table, finding["loc"], is_missing=finding["type"] == "missing")
        known = [*keys_at(model, path[:-1]), *(sorted(also) if len(path) == 1 else ())]
        message = _sentence(finding["type"], finding["msg"], finding.get("ctx", {}), known, path, value)
        # Each branch of a union has its own complaint about one value; the first is the expected form's.
        faults.setdefault((*at, *path), Fault((*at, *path), message))
    return list(faults.values())


def refuse(faults: Collection[Fault], source: Path | None, text: str) -> None:
    """Raise `ConfigInvalid` with a line per fault, in the file's order; do nothing when there is none."""
    if not faults:
        return
    if source is None:
        lines = [f"{key_text(fault.path)}: {fault.message}" for fault in faults]
        raise ConfigInvalid("\n".join(lines))
    positions = Positions(text)
    placed = sorted((positions.of(fault.path), number, fault) for number, fault in enumerate(faults))
    lines = []
    for (line, column), _, fault in placed:
        where = f"{source}:{line}:{column}: "
        lines.append(where + (f"{key_text(fault.path)}: " if fault.path else "") + fault.message)
    raise ConfigInvalid("\n".join(lines))


def _walk(table: Any, location: tuple[Step, ...], *, is_missing: bool) -> tuple[tuple[Step, ...], Any]:
    """The part of pydantic's location that is TOML (it also names branches of unions), and its value."""
    path: list[Step] = []
    for number, step in enumerate(location):
        if isinstance(table, Mapping) and step in table:  # noqa: SIM114  (two types, two ways of indexing)
            table = table[step]
        elif isinstance(table, list) and isinstance(step, int) and step < len(table):
            table = table[step]
        elif is_missing and number == len(location) - 1:
            table = None
        else:
            continue
        path.append(step)
    return tuple(path), table


def _sentence(
    kind: str,
    message: str,
    context: Mapping[str, Any],
    keys: Sequence[str],
    path: tuple[Step, ...],
    value: Any,
) -> str:
    match kind:
        case "extra_forbidden":
            guess = nearest(str(path[-1]), keys)
            return "unknown key" + (guess or f"; known here: {', '.join(keys) or 'none'}")
        case "missing":
            return "is required and missing"
        case "too_short" if context.get("min_length") == 1:
            return "must not be empty"
        case "literal_error" if isinstance(value, str):
            known = re.findall(r"'([^']*)'", context.get("expected", ""))
            return f"must be {context.get('expected')}{nearest(value, known)}"
    if kind in _TYPES:
        return f"must be {_TYPES[kind]}"
    message = re.sub(r"^(Value error|Assertion failed), ", "", message)
    message = re.sub(r"^(Input|String|List|Dictionary) should ", "must ", message)
    return message[:1].lower() + message[1:] if message.startswith("Must") else message
