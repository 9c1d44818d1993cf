"""What a log line looks like: its fields in order, as JSON, as text, or as an entry of the journal."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from maestro_daemon.service import journal

Render = Callable[[Mapping[str, Any]], bytes]
_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31"}
_IDENTIFIER: Final = b"maestro-daemon"
_ONLY_FIELDS: Final = frozenset({"event", "body"})
"""What the text of an entry does not repeat."""


def complete(event: MutableMapping[str, Any], method: str) -> dict[str, Any]:
    """Time, level and event first, an exception's traceback as text, then the fields."""
    line: dict[str, Any] = {
        "time": now(),
        "level": "error" if method == "exception" else method,
        "event": event.get("event", ""),
        **event,
    }
    exc_info = line.pop("exc_info", None)
    line.pop("stack_info", None)
    if exc_info is True:
        exc_info = sys.exc_info()
    elif isinstance(exc_info, BaseException):
        exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
    if isinstance(exc_info, tuple) and exc_info[0] is not None:
        line["traceback"] = "".join(traceback.format_exception(*exc_info, limit=-20)).rstrip()
    return line


def now() -> str:
    """The time in UTC, ISO 8601 with milliseconds."""
    unix = time.time()
    whole = int(unix)
    return f"{_second(whole)}.{int((unix - whole) * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def render_json(line: Mapping[str, Any]) -> bytes:
    # A copy of its own: hundreds may wait to be written, and what orjson gives keeps 4 KiB.
    return bytes(memoryview(orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS)))


def text_renderer(colours: bool) -> Render:
    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colours else text

    def render(line: Mapping[str, Any]) -> bytes:
        fields = dict(line)
        time, level = fields.pop("time"), fields.pop("level")
        event, trace = str(fields.pop("event")), fields.pop("traceback", "")
        words = [time[11:19], paint(f"{level:<7}", _COLOURS.get(level, "0")), _plain(event, quote=False)]
        words += [f"{paint(name, '36')}={_plain(value)}" for name, value in fields.items()]
        return (" ".join(words) + _plain_lines(trace)).encode(errors="replace")

    return render


def render_entry(line: Mapping[str, Any]) -> bytes:
    """An entry of the journal. Its text has the fields again: they are what people see of it."""
    fields = dict(line)
    del fields["time"]
    level, trace = fields.pop("level"), fields.pop("traceback", "")
    words = [_plain(str(fields["event"]), quote=False)]
    words += [
        f"{name}={_plain(value)}"
        for name, value in fields.items()
        if value is not None and name not in _ONLY_FIELDS
    ]
    return journal.entry(level, " ".join(words) + _plain_lines(trace), fields, _IDENTIFIER)


def _plain_lines(trace: str) -> str:
    """A traceback keeps its lines, and nothing else that moves a terminal's cursor."""
    return "".join("\n" + _plain(each, quote=False) for each in trace.split("\n")) if trace else ""


def _plain(value: Any, *, quote: bool = True) -> str:
    """A value as one line of printable text: what came from outside must not write lines of its own."""
    if isinstance(value, str):
        if value.isprintable() and (not quote or (value and not set(value) & set(" \"'="))):
            return value
        return repr(value) if quote else "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)
    if isinstance(value, float):
        return f"{value:.3f}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))
