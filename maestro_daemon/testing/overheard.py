"""Whatever is logged while a check runs, by structlog or by the standard library."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog.testing

_WORTH_READING = ("info", "warning", "error", "critical", "exception")


@dataclass(frozen=True)
class Line:
    """One line: its `level` in lower case, and all that it says."""

    level: str
    said: str


class Overheard(logging.Handler):
    """The lines so far."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._plain: list[Line] = []
        self._structured: Sequence[Any] = ()

    def emit(self, record: logging.LogRecord) -> None:
        """Note a line of the standard library's."""
        said = self.format(record) + "".join(f" {each!r}" for each in _arguments(record))
        self._plain.append(Line(record.levelname.lower(), said))

    @property
    def lines(self) -> list[Line]:
        """Every line, of whatever level."""
        structured = [Line(str(line.get("log_level")), _said(line)) for line in self._structured]
        return [*self._plain, *structured]

    def reported(self, word: str) -> bool:
        """Whether a line that an operator gets to see holds the word."""
        return any(line.level in _WORTH_READING and word in line.said for line in self.lines)


@contextmanager
def overheard() -> Iterator[Overheard]:
    """Hear everything that is logged within the block, from the level ``DEBUG`` on."""
    root = logging.getLogger()
    level = root.level
    heard = Overheard()
    with structlog.testing.capture_logs() as lines:
        heard._structured = lines
        root.addHandler(heard)
        root.setLevel(logging.DEBUG)
        try:
            yield heard
        finally:
            root.setLevel(level)
            root.removeHandler(heard)


def _arguments(record: logging.LogRecord) -> Sequence[Any]:
    args = record.args
    return args if isinstance(args, tuple) else (args,)


def _said(line: Any) -> str:
    error = line.get("exc_info")
    told = [f"{name}={value!s} {value!r}" for name, value in line.items()]
    if isinstance(error, BaseException):
        told.append(str(error))
    return " ".join(told)
