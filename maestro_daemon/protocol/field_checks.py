"""Checks on values that came from a client, each failing as `RequestInvalid` with OpenAI's codes.

A check takes the value's path as clients write it (``input[2].content``) and the value, which is never
None: in a request null means absent. What a client sent is echoed only where it is short and a name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from maestro_daemon.errors import RequestInvalid

Check = Callable[[str, Any], None]

_ECHO_LIMIT = 64
_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    type(None): "null",
}


def kind_of(value: Any) -> str:
    """What JSON calls this value, with its article: ``an array``."""
    return _KINDS.get(type(value), "something else")


def quoted(text: str, longest: int = _ECHO_LIMIT) -> str:
    """The text between quotes, printable, cut to `longest` characters."""
    return repr(text if len(text) <= longest else text[: longest - 1] + "…")


def invalid_type(param: str | None, expected: str, value: Any) -> RequestInvalid:
    """The error for a value of the wrong type; `expected` comes with its article."""
    what = "the request body" if param is None else f"'{param}'"
    return RequestInvalid(
        f"Invalid type for {what}: expected {expected}, but got {kind_of(value)} instead.",
        param=param,
        code="invalid_type",
    )


def invalid_value(param: str, problem: str) -> RequestInvalid:
    """The error for a value of the right type that cannot be meant; `problem` is a sentence."""
    return RequestInvalid(f"Invalid value for '{param}': {problem}", param=param, code="invalid_value")


def missing(param: str) -> RequestInvalid:
    """The error for a field that has to be there."""
    return RequestInvalid(
        f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def boolean(param: str, value: Any) -> None:
    """True or false."""
    if value is not True and value is not False:
        raise invalid_type(param, "a boolean", value)


def string(param: str, value: Any) -> None:
    """Any string."""
    if not isinstance(value, str):
        raise invalid_type(param, "a string", value)


def name(param: str, value: Any) -> None:
    """A string that is not empty."""
    string(param, value)
    if not value:
        raise invalid_value(param, "it is empty.")


def mapping(param: str, value: Any) -> None:
    """A JSON object."""
    if not isinstance(value, dict):
        raise invalid_type(param, "an object", value)


def objects(param: str, value: Any) -> None:
    """A list of JSON objects."""
    if not isinstance(value, list):
        raise invalid_type(param, "an array of objects", value)
    for index, each in enumerate(value):
        if not isinstance(each, dict):
            raise invalid_type(f"{param}[{index}]", "an object", each)


def strings(param: str, value: Any) -> None:
    """A list of strings."""
    if not isinstance(value, list):
        raise invalid_type(param, "an array of strings", value)
    for index, each in enumerate(value):
        string(f"{param}[{index}]", each)


def integer(*, least: int, most: int | None = None) -> Check:
    """A check for an integer from `least` to `most`, both included."""

    def check(param: str, value: Any) -> None:
        if type(value) is not int:
            raise invalid_type(param, "an integer", value)
        _check_range(param, value, least, most, "integer")

    return check


def number(*, least: float, most: float) -> Check:
    """A check for a number from `least` to `most`, both included."""

    def check(param: str, value: Any) -> None:
        if type(value) is not float and type(value) is not int:
            raise invalid_type(param, "a number", value)
        _check_range(param, value, least, most, "decimal")

    return check


def _check_range(param: str, value: float, least: float, most: float | None, word: str) -> None:
    said = f"{value}"[:_ECHO_LIMIT] if -1e15 < value < 1e15 else "a number out of all range"
    if value < least:
        raise RequestInvalid(
            f"Invalid '{param}': {word} below minimum value. "
            f"Expected a value >= {least}, but got {said} instead.",
            param=param,
            code=f"{word}_below_min_value",
        )
    if most is not None and value > most:
        raise RequestInvalid(
            f"Invalid '{param}': {word} above maximum value. "
            f"Expected a value <= {most}, but got {said} instead.",
            param=param,
            code=f"{word}_above_max_value",
        )


def one_of(allowed: Collection[str]) -> Check:
    """A check for one of a closed set of strings."""
    listed = ", ".join(f"'{each}'" for each in allowed)

    def check(param: str, value: Any) -> None:
        string(param, value)
        if value not in allowed:
            raise invalid_value(param, f"{quoted(value)}. Supported values are: {listed}.")

    return check


def short_string(most: int) -> Check:
    """A check for a string of at most `most` characters."""

    def check(param: str, value: Any) -> None:
        string(param, value)
        if len(value) > most:
            raise RequestInvalid(
                f"Invalid '{param}': string too long. Expected at most {most} characters, "
                f"but got {len(value)} instead.",
                param=param,
                code="string_above_max_length",
            )

    return check


def check_fields(where: str, container: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Run each check on the field of its name; absent and null fields pass.

    `where` is the path of `container`, "" for the request itself.
    """
    for field, check in checks.items():
        value = container.get(field)
        if value is not None:
            check(f"{where}.{field}" if where else field, value)


def require(where: str, container: Mapping[str, Any], *fields: str) -> None:
    """Raise unless each of `fields` is there and not null."""
    for field in fields:
        if container.get(field) is None:
            raise missing(f"{where}.{field}" if where else field)
