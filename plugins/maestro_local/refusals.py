"""What local servers refuse, and what the house needs to know about it."""

from __future__ import annotations

import re
from typing import Final

from maestro_daemon.plugin import UpstreamRefused

_LOADING_RETRY: Final = 1.0
_LACK: Final = re.compile(
    r"does not support (tools|chat|completions?|images|vision|thinking)\b", re.IGNORECASE
)
_NO_MEDIA: Final = re.compile(r"(audio|image|video) input is not supported", re.IGNORECASE)
"""llama.cpp's words, with a 500, for media that its model cannot read."""

_EFFORT: Final = re.compile(r"does not support thinking|think value .{0,40}is not supported", re.IGNORECASE)
"""Ollama's words for a request with a reasoning effort, of a model that has none or no such one."""


def refuses_effort(refusal: UpstreamRefused) -> bool:
    """Whether the request might be served without its reasoning effort."""
    return refusal.status == 400 and _EFFORT.search(refusal.message) is not None


def explain(refusal: UpstreamRefused) -> None:
    """Complete status, code and retry_after, in place, where a local server leaves them out.

    Overflow is a 400 whatever status it came with; a model being loaded is worth a second try soon; a lack
    of the model is no fault of the client's, so that another target may be asked.
    """
    if refusal.code == "context_length_exceeded":
        refusal.status = 400
    elif media := _NO_MEDIA.search(refusal.message):
        refusal.status = 400
        refusal.code = f"unsupported_{media[1].lower()}"
    elif refusal.status == 503:
        refusal.retry_after = refusal.retry_after or _LOADING_RETRY
    elif refusal.status == 400 and refusal.code is None and (lack := _LACK.search(refusal.message)):
        refusal.code = f"unsupported_{lack[1].lower()}"
