"""Keeping secrets out of log lines: by the names of fields, by known values, and by the look of a key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from pydantic import BaseModel

from maestro_daemon.providers.secret import MASK, Secret

_SECRET_NAME: Final = re.compile(
    r"(?:^|[_.-])(?:(?:proxy[_-]?)?authorization|api[_-]?keys?|token|secrets?|passwords?|passwd|"
    r"credentials?|(?:set[_-]?)?cookies?|private[_-]?key|bearer)$",
    re.IGNORECASE,
)
_SECRET_LOOK: Final = re.compile(
    r"(?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{6,}"
    r"|\b[ms]k-[A-Za-z0-9_-]{8,}"
    r"|\b(?:gh[a-z]|github_pat|hf|xox[a-z]|glpat)[_-][A-Za-z0-9_-]{16,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
)
_HINTS: Final = ("sk-", "mk-", "bearer", "gh", "hf", "xox", "glpat", "eyj")
"""What a text in lower case must hold for `_SECRET_LOOK` to match; a search for these costs far less."""
_HARMLESS: Final = frozenset({str, float, bool, type(None), int})
"""What may stand in a line as it is once its texts are known to be plain."""
_SHORTEST: Final = 6
_DEEPEST: Final = 6
_WIDEST: Final = 100
_LONGEST: Final = 2048
_LONGEST_READ: Final = 64 * 1024
_LONGEST_TRACEBACK: Final = 8192


class Redaction:
    """Replaces secrets by ``***``. Values given to `keep_out` never pass, in whichever field they stand."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._known: re.Pattern[str] | None = None

    def keep_out(self, values: Iterable[str]) -> None:
        """Know these secrets from now on. Those under 6 characters cannot be told from words and are left."""
        for value in values:
            if len(value) >= _SHORTEST:
                # As they look inside JSON and inside a Python repr, too.
                inside_json = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
                self._values.update((value, *inside_json, repr(value)[1:-1]))
        longest_first = sorted(self._values, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def of_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a line, as JSON can hold them.

        What is named like a secret, is one, or looks like one is masked, at any depth; what is long is cut,
        what is very deep is left out.
        """
        # Most lines hold a few short words: one look at them all together costs less than one at each.
        if {*map(type, fields.values())} <= _HARMLESS and not _holds_secret_name(tuple(fields)):
            values = fields.values()
            long = [value for value in values if value.__class__ is int and not -(2**63) <= value < 2**63]
            if not long and self._is_plain("\n".join([value for value in values if value.__class__ is str])):
                return dict(fields)
        return {name: self._value(name, value, 0) for name, value in fields.items()}

    def of_text(self, text: str) -> str:
        """The text, with known secrets and what looks like one masked."""
        if len(text) < _SHORTEST:
            return text
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _SECRET_LOOK.sub(MASK, text) if _hints_at_secret(text) else text

    def _is_plain(self, text: str) -> bool:
        """Whether all of the text may stand in a line as it is."""
        return (
            len(text) <= _LONGEST
            and text.isascii()
            and not _hints_at_secret(text)
            and not [value for value in self._values if value in text]
        )

    def _value(self, name: str, value: Any, depth: int) -> Any:
        if value is None:
            return None
        if isinstance(value, Secret) or _is_secret_name(name):
            return MASK
        if isinstance(value, str):
            return self._short(value, _LONGEST_TRACEBACK if name == "traceback" else _LONGEST)
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**63 else str(value)
        if isinstance(value, float):
            return value
        if depth >= _DEEPEST:
            return "…"
        if isinstance(value, BaseModel):
            return self._short(repr(value), _LONGEST)
        if isinstance(value, Mapping):
            some = list(value.items())[:_WIDEST]
            return {self._short(str(key), 200): self._value(str(key), each, depth + 1) for key, each in some}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value("", each, depth + 1) for each in list(value)[:_WIDEST]]
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(value)} bytes>"
        try:
            return self._short(str(value), _LONGEST)
        except Exception:  # noqa: BLE001  (anybody's __str__)
            return f"<{type(value).__name__}>"

    def _short(self, text: str, longest: int) -> str:
        """The text without secrets and without unpaired surrogates, at most so many characters.

        Of a long text more is kept of its end: in a traceback it says most.
        """
        if len(text) > _LONGEST_READ:
            text = text[: _LONGEST_READ // 2] + text[-_LONGEST_READ // 2 :]
        text = self.of_text(text)
        if len(text) > longest:
            text = f"{text[: longest // 4]} … {text[-longest * 3 // 4 :]}"
        return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _hints_at_secret(text: str) -> bool:
    lower = text.lower()
    return bool([hint for hint in _HINTS if hint in lower])


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


@lru_cache(maxsize=256)
def _holds_secret_name(names: tuple[str, ...]) -> bool:
    return any(map(_is_secret_name, names))
