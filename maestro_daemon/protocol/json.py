"""One way to read and write JSON that came from outside.

orjson is fast and strict; what it refuses for no fault of the sender (unpaired surrogates) or changes in
silence (integers from 2**64 become floats) goes through the standard library.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from maestro_daemon.errors import MaestroError

_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else 0x20 for byte in range(256))
_LONG_INTEGER = b"0" * 20
_SURROGATE = re.compile("[\ud800-\udfff]")


class JSONInvalid(MaestroError, ValueError):
    """The text is not JSON, or is nested too deeply to be read."""

    default_status = 400
    default_code = "invalid_json"
    default_type = "invalid_request_error"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


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


def _loads_slowly(text: bytes, *, keep_surrogates: bool) -> Any:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        return value if keep_surrogates else _paired(value)
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
    if len(text) >= len(_LONG_INTEGER) and _LONG_INTEGER in text.translate(_DIGITS):
        return _loads_slowly(text, keep_surrogates=keep_surrogates)
    return value


def dumps(value: Any) -> bytes:
    """Write compact JSON as UTF-8 bytes. Integers of any size; unpaired surrogates become U+FFFD."""
    try:
        return orjson.dumps(value)
    except TypeError:
        try:
            return json.dumps(
                _paired(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False
            ).encode()
        except RecursionError:
            raise JSONInvalid("The JSON is nested too deeply.") from None
