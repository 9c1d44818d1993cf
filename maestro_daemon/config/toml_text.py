"""Writing TOML: values, and keys that may need quotes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def key(*names: str) -> str:
    """A dotted key."""
    return ".".join(name if _BARE.fullmatch(name) else value(name) for name in names)


def value(written: Any) -> str:
    """A value on one line: string, number, boolean, array, or table. Raises `TypeError` for others."""
    if isinstance(written, bool):
        return "true" if written else "false"
    if isinstance(written, str):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
        return json.dumps(written, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(written, int | float):
        return repr(written)
    if isinstance(written, list | tuple):
        return f"[{', '.join(map(value, written))}]"
    if isinstance(written, dict):
        inside = ", ".join(f"{key(name)} = {value(each)}" for name, each in written.items())
        return f"{{ {inside} }}" if inside else "{}"
    raise TypeError(f"TOML has no {type(written).__name__}")


def table(names: Iterable[str], values: dict[str, Any]) -> str:
    """A table with its header."""
    lines = [f"[{key(*names)}]", *(f"{key(name)} = {value(each)}" for name, each in values.items())]
    return "\n".join(lines) + "\n"
