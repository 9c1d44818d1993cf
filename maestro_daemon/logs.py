"""Logs: one line per event, written by a thread of its own, so that logging neither blocks nor raises.

A line passes: bound context, level, time, `Redaction`, rendering (JSON, or text for people), and a bounded
queue. When stderr does not take the lines fast enough they are dropped, counted, and the count is said.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

import structlog

from maestro_daemon.log_lines import Render, complete, now, render_entry, render_json, text_renderer
from maestro_daemon.log_writer import JournalWriter, LineWriter, QueuedWriter
from maestro_daemon.providers.secret import Secret
from maestro_daemon.redaction import Redaction
from maestro_daemon.service.journal import Journal, is_journal

LEVELS: Final = ("debug", "info", "warning", "error")
_NUMBERS: Final = {level: logging.getLevelNamesMapping()[level.upper()] for level in LEVELS}
_LONGEST_LINE: Final = 16 * 1024
_LIBRARY_LEVEL: Final = logging.WARNING


class Logs:
    """The configured logs of the process; `close` writes what is left and gives the standard library back."""

    def __init__(
        self,
        writer: QueuedWriter,
        redaction: Redaction,
        bridge: logging.Handler,
        made: Callable[[dict[str, Any]], bytes],
        render: Render,
        number: int,
    ) -> None:
        self._writer = writer
        self._render = render
        self._made = made
        self._number = number
        self._redaction = redaction
        self._bridge = bridge
        self._root_level = logging.getLogger().level

    def write(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """One line without structlog's way to it, for what is logged on every request: half the cost.

        Bound context is not added. Never raises.
        """
        if _NUMBERS[level] >= self._number:
            self._writer.put(self._made({"time": now(), "level": level, "event": event, **fields}))

    def write_body(self, event: str, fields: Mapping[str, Any], body: bytes) -> None:
        """One line at info with a `body` of any length, made by the writer's thread. Never raises."""
        if self._number > logging.INFO:
            return
        line = complete({**fields, "event": event}, "info")

        def made() -> bytes:
            text = self._redaction.of_text(body.decode("utf-8", "replace"))
            return self._render({**self._redaction.of_fields(line), "body": text})

        self._writer.put(made)

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
    the form; None means entries of the journal where the descriptor leads there, text on a terminal, and
    JSON elsewhere. `for_good` lets every logger keep what it is made of at its first line, for a process
    that configures its logs once.
    """
    number = _NUMBERS[level]
    redaction = Redaction()
    journal = _journal(descriptor) if json is None else None
    render = _renderer(descriptor, json) if journal is None else render_entry

    def unmade(error: Exception) -> bytes:
        failed = "a log line could not be made"
        return render({"time": "", "level": "error", "event": failed, "error": type(error).__name__})

    def made(said: dict[str, Any]) -> bytes:
        try:
            fields = redaction.of_fields(said)
            line = render(fields)
            if len(line) > _LONGEST_LINE:
                line = render({**dict(list(fields.items())[:3]), "left_out": len(line)})
            return line
        except Exception as error:  # noqa: BLE001  (a log line must never cost a request)
            return unmade(error)

    def finish(_logger: Any, method: str, event: MutableMapping[str, Any]) -> bytes:
        try:
            said = complete(event, method)
        except Exception as error:  # noqa: BLE001  (as above)
            return unmade(error)
        return made(said)

    def report(count: int) -> bytes:
        return finish(None, "warning", {"event": "log lines dropped", "count": count})

    writer = LineWriter(descriptor, report) if journal is None else JournalWriter(journal, report)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, finish],
        wrapper_class=_unraising(number),
        logger_factory=lambda *_: _Sink(writer),
        cache_logger_on_first_use=for_good,
    )
    bridge = _Bridge(writer, finish)
    logs = Logs(writer, redaction, bridge, made, render, number)
    root = logging.getLogger()
    root.addHandler(bridge)
    root.setLevel(logging.DEBUG if number <= logging.DEBUG else max(number, _LIBRARY_LEVEL))
    logging.captureWarnings(capture=True)
    return logs


def _journal(descriptor: int) -> Journal | None:
    if is_journal(descriptor):
        with contextlib.suppress(OSError):  # what is written there still gets into it, as lines
            return Journal()
    return None


def _renderer(descriptor: int, json: bool | None) -> Render:
    terminal = os.isatty(descriptor)
    if json or (json is None and not terminal):
        return render_json
    return text_renderer(terminal and "NO_COLOR" not in os.environ)


class _Sink:
    """What structlog calls last: every level's method queues the line."""

    def __init__(self, writer: QueuedWriter) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = writer.put
        self.warn = self.fatal = self.failure = self.exception = self.err = self.log = writer.put


class _Bridge(logging.Handler):
    """Records of the standard library's loggers, as lines like all others."""

    def __init__(self, writer: QueuedWriter, finish: Any) -> None:
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
