"""Whether a request shows an image to the model, wherever in its input."""

from __future__ import annotations

from typing import Any, Final

from maestro_daemon.plugin import ResponseRequest

_KINDS: Final = frozenset({"input_image", "image_url", "computer_screenshot"})
_NAMES: Final = tuple(f'"{kind}"'.encode() for kind in _KINDS)
_SCHEMAS: Final = frozenset({"tools", "parameters", "schema"})


def has_image(request: ResponseRequest) -> bool:
    """True for an image in a message, in a tool's output, or anywhere deeper in the input."""
    if request.text is not None and not any(map(request.text.count, _NAMES)):
        return False
    given = request.body.get("input")
    pending: list[Any] = list(given) if isinstance(given, list) else []
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            kind = value.get("type")
            if isinstance(kind, str) and kind in _KINDS:
                return True
            # What a schema describes is not shown.
            pending += [each for key, each in value.items() if key not in _SCHEMAS and _may_hold(each)]
        elif isinstance(value, list):
            pending += filter(_may_hold, value)
    return False


def _may_hold(value: Any) -> bool:
    return value.__class__ is dict or value.__class__ is list
