"""The served model's name in the headers that an upstream repeats inside its events.

Codex reads it there as it does in the answer's own headers, and takes one that differs from what it asked for
as a sign that the account was flagged: so a name that the client did not ask for stays here.
"""

from __future__ import annotations

from typing import Any, Final

_NAMES: Final = frozenset({"openai-model", "x-openai-model"})


def hide_other_model(event: dict[str, Any], asked_model: str) -> bool:
    """Take every model but `asked_model` out of the ``headers`` of `event` and of its response.

    `event` is changed in place; True if it was.
    """
    hidden = False
    for holder in (event, event.get("response")):
        headers = holder.get("headers") if isinstance(holder, dict) else None
        if isinstance(headers, dict):
            for name in [each for each in headers if each.lower() in _NAMES]:
                value = headers[name]
                if (value[0] if isinstance(value, list) and value else value) != asked_model:
                    del headers[name]
                    hidden = True
    return hidden
