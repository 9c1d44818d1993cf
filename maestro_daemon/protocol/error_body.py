"""What upstreams say when they refuse: any body or event in, the fields of OpenAI's envelope out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from maestro_daemon.errors import (
    NO_HEADERS,
    CredentialsRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
)
from maestro_daemon.protocol import json

_LONGEST_MESSAGE: Final = 4000

_CODES: Final[Mapping[str, str]] = {
    # llama.cpp's type, observed at b11549
    "exceed_context_size_error": "context_length_exceeded",
    # spellings of other servers and gateways
    "context_window_exceeded": "context_length_exceeded",
    "context_length_exceeded_error": "context_length_exceeded",
    "string_above_max_length": "context_length_exceeded",
    "overloaded_error": "server_is_overloaded",
    "billing_hard_limit_reached": "insufficient_quota",
    "billing_not_active": "insufficient_quota",
}

_OVERFLOW: Final = re.compile(
    r"maximum context length|context length (is |was )?exceeded|prompt is too long"
    r"|exceeds? the (available |maximum |model'?s? )*context (size|length|window)"
    r"|context (window|size|length) ((has been )?exceeded|overflow|is too small)"
    r"|input (length|is) (\(\d+ tokens\) )?(exceeds|too long)|larger than the (maximum )?context"
    r"|context length (of|is) only \d|n_keep \(\d+\) >= n_ctx"
    r"|longer than the (model'?s? )?(maximum )?context|not enough context"
    r"|greater than the context length|exceeds the model'?s? (maximum )?(length|tokens)",
    re.IGNORECASE,
)
"""Overflow as servers without a code for it tell it (vLLM, Ollama, LM Studio, SGLang, LocalAI)."""

STATUS_OF_CODE: Final[Mapping[str, int]] = {
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
    "invalid_image": 400,
    "invalid_encrypted_content": 400,
    "cyber_policy": 400,
    "bio_policy": 400,
    "content_policy_violation": 400,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "usage_not_included": 429,
    "usage_limit_reached": 429,
    "server_is_overloaded": 503,
    "slow_down": 503,
}
"""The HTTP status that an error inside a stream stands for."""


class ErrorFields(NamedTuple):
    """The four fields of OpenAI's error envelope; `message` is "" when nothing was said.

    `status` is the HTTP status that stands in the error itself, as the number that many servers write for
    `code`; None where there is none.
    """

    message: str
    type: str | None
    param: str | None
    code: str | None
    status: int | None = None


def _status(*values: Any) -> int | None:
    """The first that is an HTTP status of a refusal, as a number or in digits."""
    for value in values:
        number = int(value) if isinstance(value, str) and len(value) == 3 and value.isdecimal() else value
        if type(number) is int and 400 <= number <= 599:
            return number
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _fields_of(error: Mapping[str, Any]) -> ErrorFields:
    message = error.get("message")
    if not isinstance(message, str):
        message = _text(error.get("detail")) or _text(error.get("error")) or _text(error.get("title")) or ""
    kind = _text(error.get("type"))
    code = _text(error.get("code"))
    known = _CODES.get(code or "") or _CODES.get(kind or "")
    if known is not None:
        code = known
    elif code is None and _OVERFLOW.search(message):
        code = "context_length_exceeded"
    status = _status(error.get("code"), error.get("status"))
    return ErrorFields(message[:_LONGEST_MESSAGE], kind, _text(error.get("param")), code, status)


def _details(details: list[Any]) -> str:
    """FastAPI's ``{"detail": [{"loc": [...], "msg": "..."}]}`` as one sentence."""
    said = []
    for each in details:
        if isinstance(each, dict) and isinstance(each.get("msg"), str):
            place = ".".join(str(part) for part in each.get("loc", ()) if part != "body")
            said.append(f"{place}: {each['msg']}" if place else each["msg"])
    return "; ".join(said)


def error_fields(payload: Any) -> ErrorFields:
    """Read a parsed error body, an ``error`` event, a chat chunk with ``error``, or a failed Response."""
    if isinstance(payload, str):
        return _fields_of({"message": payload})
    if isinstance(payload, list) and payload:
        return error_fields(payload[0])
    if not isinstance(payload, dict):
        return ErrorFields("", None, None, None)
    error = payload.get("error")
    if isinstance(error, dict):
        return _fields_of(error)
    if isinstance(error, str):
        return _fields_of({**payload, "message": _text(payload.get("message")) or error})
    if isinstance(payload.get("errors"), list):
        return error_fields(payload["errors"])
    if isinstance(payload.get("detail"), list):
        return _fields_of({"message": _details(payload["detail"])})
    if isinstance(payload.get("detail"), dict):
        return error_fields(payload["detail"])
    fields = _fields_of(payload)
    if fields.type == "error":
        return fields._replace(type=None)
    return fields


def body_fields(body: bytes) -> ErrorFields:
    """Read an error answer's body: JSON of any shape, or a short plain text. A page of HTML says nothing."""
    try:
        return error_fields(json.loads(body))
    except json.JSONInvalid:
        text = body.decode("utf-8", "replace").strip()
        if not text or text.startswith("<") or len(text) > _LONGEST_MESSAGE:
            return ErrorFields("", None, None, None)
        return error_fields(text)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds from ``retry-after-ms`` or ``retry-after`` (delta form; a date is left to the client)."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if 0 <= seconds < 1e9:
            return seconds
    return None


def refusal(
    status: int, body: bytes, *, provider: str, headers: Mapping[str, str] = NO_HEADERS
) -> UpstreamRefused:
    """The error for an upstream's answer of `status` (>= 300); 401 and 403 are its credentials'."""
    fields = body_fields(body)
    message = fields.message or f"{provider} answered HTTP {status} without saying why."
    return _kind(status)(
        message,
        status=status,
        type=fields.type,
        param=fields.param,
        code=fields.code,
        headers=headers,
        retry_after=retry_after_seconds(headers),
    )


def stream_failure(payload: Any, *, provider: str) -> UpstreamError:
    """The error for an ``error`` event, a failed Response or an error chunk inside a 2xx stream.

    A code that stands for a refusal gives `UpstreamRefused` with that status, as does a status that is said
    instead of one (`CredentialsRefused` for 401 and 403); all else is `UpstreamBroken`.
    """
    if isinstance(payload, dict) and isinstance(payload.get("response"), dict):
        payload = {"error": payload["response"].get("error")}
    fields = error_fields(payload)
    message = fields.message or f"{provider} reported an error in its stream without saying which."
    status = STATUS_OF_CODE.get(fields.code or "") or fields.status
    if status is None or status == 502:
        return UpstreamBroken(message, type=fields.type, param=fields.param, code=fields.code)
    return _kind(status)(message, status=status, type=fields.type, param=fields.param, code=fields.code)


def _kind(status: int) -> type[UpstreamRefused]:
    return CredentialsRefused if status in (401, 403) else UpstreamRefused
