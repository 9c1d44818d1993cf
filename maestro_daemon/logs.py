"""Logs: one line per event, written by a thread of its own, so that logging neither blocks nor raises.

A line passes: bound context, level, time, `Redaction`, rendering (JSON, or text for people), and a bounded
queue. When stderr does not take the lines fast enough they are dropped, counted, and the count is said.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson
import structlog

from maestro_daemon.providers.secret import Secret
from maestro_daemon.redaction import Redaction

LEVELS: Final = ("debug", "info", "warning", "error")
_NUMBERS: Final = {level: logging.getLevelNamesMapping()[level.upper()] for level in LEVELS}
_QUEUE_LINES: Final = 2000
_LONGEST_LINE: Final = 16 * 1024
_GATHER: Final = 0.02  # seconds
_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31"}
_LIBRARY_LEVEL: Final = logging.WARNING


class LineWriter:
    """Writes lines to a file descriptor from its own thread. `put` returns at once, whatever happens.

    `report` makes the line that says how many were dropped.
    """

    def __init__(self, descriptor: int, report: Callable[[int], bytes]) -> None:
        self._descriptor = descriptor
        self._report = report
        # Appending takes no lock that another thread could hold on to, and wakes nobody: the thread is
        # woken once for all lines of `_GATHER` seconds, since each switch of threads costs the loop more
        # than a line does.
        self._lines: collections.deque[bytes] = collections.deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._dropped = 0
        self._said = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="log writer", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Queue one line (without its end), or count it as dropped."""
        if self._closed or len(self._lines) >= _QUEUE_LINES:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout: float = 2.0) -> None:
        """Write what is queued, for at most `timeout` seconds."""
        if not self._closed:
            self._closed = True
            self._closing.set()
            self._wake.set()
            self._thread.join(timeout)

    def _work(self) -> None:
        while not self._closed or self._lines:
            self._wake.wait()
            self._closing.wait(_GATHER)
            self._wake.clear()
            lines = []
            while self._lines:
                lines.append(self._lines.popleft())
            if dropped := self._dropped - self._said:
                self._said += dropped
                lines.insert(0, self._report(dropped))
            with contextlib.suppress(OSError):  # nobody is left to be told
                self._write(b"".join(line + b"\n" for line in lines))

    def _write(self, text: bytes) -> None:
        while text:
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])


class Logs:
    """The configured logs of the process; `close` writes what is left and gives the standard library back."""

    def __init__(
        self,
        writer: LineWriter,
        redaction: Redaction,
        bridge: logging.Handler,
        finish: Callable[[Any, str, MutableMapping[str, Any]], bytes],
        number: int,
    ) -> None:
        self._writer = writer
        self._finish = finish
        self._number = number
        self._redaction = redaction
        self._bridge = bridge
        self._root_level = logging.getLogger().level

    def write(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """One line without structlog's way to it, for what is logged on every request: half the cost.

        Bound context is not added. Never raises.
        """
        if _NUMBERS[level] >= self._number:
            self._writer.put(self._finish(None, level, {**fields, "event": event}))

    def keep_out(self, secrets: Iterable[Secret]) -> None:
        """Never let the values of these secrets into a line again, wherever they turn up."""
        self._redaction.keep_out(secret.reveal() for secret in secrets)

    def close(self) -> None:
        """Write the lines that are queued (2 s at most) and end the thread."""
        root = logging.getLogger()
        root.removeHandler(self._bridge)
        root.setLevel(self._root_level)
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
        self._writer.close()


def configure(
    *, level: str = "info", json: bool | None = None, descriptor: int = 2, for_good: bool = False
) -> Logs:
    """Make structlog and the standard library's logging write to `descriptor` (stderr).

    `level` is one of `LEVELS`; libraries are heard from `warning` up, unless it is `debug`. `json` chooses
    the form; None means text on a terminal and JSON elsewhere. `for_good` lets every logger keep what it is
    made of at its first line, for a process that configures its logs once.
    """
    number = _NUMBERS[level]
    terminal = os.isatty(descriptor)
    redaction = Redaction()
    colours = terminal and "NO_COLOR" not in os.environ
    render = _render_json if json or (json is None and not terminal) else _text_renderer(colours)

    def finish(_logger: Any, method: str, event: MutableMapping[str, Any]) -> bytes:
        try:
            fields = redaction.of_fields(_complete(event, method))
            line = render(fields)
            if len(line) > _LONGEST_LINE:
                line = render({**dict(list(fields.items())[:3]), "left_out": len(line)})
            return line
        except Exception as error:  # noqa: BLE001  (a log line must never cost a request)
            return b'{"level":"error","event":"a log line could not be made","error":"%b"}' % (
                type(error).__name__.encode()
            )

    def report(count: int) -> bytes:
        return finish(None, "warning", {"event": "log lines dropped", "count": count})

    writer = LineWriter(descriptor, report)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, finish],
        wrapper_class=_unraising(number),
        logger_factory=lambda *_: _Sink(writer),
        cache_logger_on_first_use=for_good,
    )
    bridge = _Bridge(writer, finish)
    logs = Logs(writer, redaction, bridge, finish, number)
    root = logging.getLogger()
    root.addHandler(bridge)
    root.setLevel(logging.DEBUG if number <= logging.DEBUG else max(number, _LIBRARY_LEVEL))
    logging.captureWarnings(capture=True)
    return logs


class _Sink:
    """What structlog calls last: every level's method queues the line."""

    def __init__(self, writer: LineWriter) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = writer.put
        self.warn = self.fatal = self.failure = self.exception = self.err = self.log = writer.put


class _Bridge(logging.Handler):
    """Records of the standard library's loggers, as lines like all others."""

    def __init__(self, writer: LineWriter, finish: Any) -> None:
        super().__init__()
        self._writer = writer
        self._finish = finish

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  (a library's format string may not fit its arguments)
            text = str(record.msg)
        event = {"event": text, "logger": record.name, "exc_info": record.exc_info}
        self._writer.put(self._finish(None, record.levelname.lower(), event))

    def handle(self, record: logging.LogRecord) -> bool:
        # No lock: a line is one put into a queue that needs none.
        self.emit(record)
        return True


def _unraising(number: int) -> type[Any]:
    """structlog's bound logger from level `number` up, whose methods swallow what goes wrong in them."""
    bound = structlog.make_filtering_bound_logger(number)

    def guarded(name: str) -> Any:
        method = getattr(bound, name)

        def log(self: Any, event: Any = "", *arguments: Any, **fields: Any) -> None:
            try:
                method(self, event, *arguments, **fields)
            except Exception:  # noqa: BLE001  (a log line must never cost a request)
                with contextlib.suppress(Exception):
                    method(self, "a log line could not be made", failed=str(event)[:200])

        return log

    names = ("debug", "info", "warning", "warn", "error", "exception", "critical", "fatal")
    return type("UnraisingLogger", (bound,), {name: guarded(name) for name in names})


def _complete(event: MutableMapping[str, Any], method: str) -> dict[str, Any]:
    """Time, level and event first, an exception's traceback as text, then the fields."""
    line: dict[str, Any] = {
        "time": _now(),
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


def _now() -> str:
    """The time in UTC, ISO 8601 with milliseconds."""
    now = time.time()
    whole = int(now)
    return f"{_second(whole)}.{int((now - whole) * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _render_json(line: Mapping[str, Any]) -> bytes:
    return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS)


def _text_renderer(colours: bool) -> Callable[[Mapping[str, Any]], bytes]:
    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colours else text

    def render(line: Mapping[str, Any]) -> bytes:
        fields = dict(line)
        time, level = fields.pop("time"), fields.pop("level")
        event, trace = str(fields.pop("event")), fields.pop("traceback", "")
        words = [time[11:19], paint(f"{level:<7}", _COLOURS.get(level, "0")), _plain(event, quote=False)]
        words += [f"{paint(name, '36')}={_plain(value)}" for name, value in fields.items()]
        # A traceback keeps its lines, and nothing else that moves a terminal's cursor.
        body = "".join("\n" + _plain(each, quote=False) for each in trace.split("\n")) if trace else ""
        return (" ".join(words) + body).encode(errors="replace")

    return render


def _plain(value: Any, *, quote: bool = True) -> str:
    """A value as one line of printable text: what came from outside must not write lines of its own."""
    if isinstance(value, str):
        if value.isprintable() and (not quote or (value and not set(value) & set(" \"'="))):
            return value
        return repr(value) if quote else "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)
    if isinstance(value, float):
        return f"{value:.3f}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))
