"""One way to read and write JSON that came from outside.

orjson is fast and strict; what it refuses for no fault of the sender (unpaired surrogates) or changes in
silence (integers that do not fit 64 bits become floats) goes through the standard library.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

from maestro_daemon.errors import RequestInvalid

_DEEPEST = 1000
"""Levels of nesting that are read and written: what an interpreter could manage differs with its version."""

_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else 0x20 for byte in range(256))
_LONG_INTEGER = b"0" * 19
_LONG_INTEGER_VALUE = re.compile(rb"(?:-[0-9]{19,}|(?:^|[:,\[\s])[0-9]{20,})(?:[\s,\]}]|$)")
_DIGIT_RUN = re.compile(rb"0+")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class JSONInvalid(RequestInvalid, ValueError):
    """The text is not JSON, or a value is nested too deeply to be read or written."""

    default_code = "invalid_json"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (math.inf, -math.inf):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def _paired(value: Any) -> Any:
    """The same value with each unpaired surrogate replaced by U+FFFD, in keys as well."""
    if isinstance(value, str):
        if _SURROGATE.search(value) is None:
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_paired(each) for each in value]
    if isinstance(value, dict):
        return {_paired(key): _paired(each) for key, each in value.items()}
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [
            inner
            for each in level
            if isinstance(each, list | tuple | dict)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise JSONInvalid("The JSON is nested too deeply.")


def holds_long_integer(text: bytes) -> bool:
    """Whether an integer of more than 64 bits may stand in `text`; one inside a string can look like it."""
    if len(text) < len(_LONG_INTEGER):
        return False
    # Searching the expression in the whole text would take ten times as long.
    digits = text.translate(_DIGITS)
    at = digits.find(_LONG_INTEGER)
    while at >= 0:
        if _LONG_INTEGER_VALUE.match(text, max(0, at - 1)):
            return True
        end = _DIGIT_RUN.match(digits, at)
        at = digits.find(_LONG_INTEGER, end.end() if end is not None else at + 1)
    return False


def _loads_slowly(text: bytes, *, keep_surrogates: bool) -> Any:
    try:
        # Decoded here: the library would guess UTF-16, and let unpaired surrogates through as bytes.
        decoded = text.decode("utf-8-sig")
        value = json.loads(decoded, parse_constant=_refuse_constant, parse_float=_finite)
        _check_depth(value)
        if keep_surrogates or _ESCAPED_SURROGATE.search(text) is None:
            return value
        return _paired(value)
    except RecursionError:
        raise JSONInvalid("The JSON is nested too deeply.") from None
    except UnicodeDecodeError as error:
        raise JSONInvalid(f"The text is not UTF-8 (at byte {error.start}).") from None
    except ValueError as error:
        raise JSONInvalid(f"The text is not valid JSON: {error}.") from None


def loads(text: bytes, *, keep_surrogates: bool = False) -> Any:
    """Read JSON (UTF-8 bytes). Unpaired surrogates become U+FFFD unless `keep_surrogates`.

    Raises `JSONInvalid`.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _loads_slowly(text, keep_surrogates=keep_surrogates)
    if holds_long_integer(text):
        return _loads_slowly(text, keep_surrogates=keep_surrogates)
    return value


def loads_faithfully(text: bytes) -> tuple[Any, bool]:
    """As `loads`, and whether `text` says the same to other readers: False where it had to be mended.

    Where it does, integers from 2**64 may be floats in the value: `holds_long_integer` tells, and whoever
    writes the value anew asks. To look for them takes as long as the reading itself.
    """
    try:
        return orjson.loads(text), True
    except orjson.JSONDecodeError:
        return _loads_slowly(text, keep_surrogates=False), False


def dumps(value: Any) -> bytes:
    """Write compact JSON as UTF-8 bytes. Integers of any size; unpaired surrogates become U+FFFD.

    Raises `JSONInvalid` for what is nested too deeply, and TypeError or ValueError for what JSON cannot say.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        pass
    _check_depth(value)
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise JSONInvalid("The JSON is nested too deeply.") from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
