"""The request as the edge accepts it: what the house itself reads is checked, whatever the target.

Everything else (ranges, enums, the insides of items and tools) is judged by whoever consumes it: a native
upstream by itself, the translation by `maestro_daemon.protocol.translatable.check_translated`. What the
house does not know, fields, item types or tool types, is never a reason to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maestro_daemon.errors import NO_HEADERS, RequestInvalid
from maestro_daemon.protocol import json
from maestro_daemon.protocol.field_checks import (
    Check,
    boolean,
    check_fields,
    invalid_type,
    invalid_value,
    missing,
    name,
    objects,
)
from maestro_daemon.request import ResponseRequest

_LONGEST_MODEL = 512

_CHECKS: Mapping[str, Check] = {
    "stream": boolean,
    "store": boolean,
    "background": boolean,
    "previous_response_id": name,
    "tools": objects,
}


def parse_request(
    raw: bytes, *, headers: Mapping[str, str] = NO_HEADERS, client: str = "", request_id: str = ""
) -> ResponseRequest:
    """Read the decoded body of ``POST /v1/responses``.

    `headers`, `client` and `request_id` go into the request as they are. Raises `RequestInvalid` with
    `param` and `code`, or `JSONInvalid` (a 400 as well) for what is no JSON.
    """
    if not raw:
        raise RequestInvalid(
            "The request body is empty; send a JSON object with 'model' and 'input'.", code="invalid_json"
        )
    body, faithful = json.loads_faithfully(raw)
    if not isinstance(body, dict):
        raise invalid_type(None, "an object", body)
    model = _model(body)
    check_fields("", body, _CHECKS)
    _check_state(body)
    request = ResponseRequest(
        body=body,
        model=model,
        asked_model=model,
        stream=body.get("stream") is True,
        headers=headers,
        client=client,
        request_id=request_id,
        text=raw if faithful else None,
    )
    _check_input(body.get("input"), request.item_types())
    return request


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if model is None:
        raise missing("model")
    if not isinstance(model, str):
        raise invalid_type("model", "a string", model)
    if not model.strip():
        raise invalid_value("model", "it is empty.")
    if len(model) > _LONGEST_MODEL:
        raise RequestInvalid(
            f"Invalid 'model': string too long. Expected at most {_LONGEST_MODEL} characters, "
            f"but got {len(model)} instead.",
            param="model",
            code="string_above_max_length",
        )
    # The name goes into answer headers and log lines.
    if not model.isprintable():
        raise invalid_value("model", "it holds control characters.")
    return model


def _check_state(body: Mapping[str, Any]) -> None:
    conversation = body.get("conversation")
    if conversation is not None:
        if not isinstance(conversation, str | dict):
            raise invalid_type("conversation", "a string or an object", conversation)
        if body.get("previous_response_id") is not None:
            raise RequestInvalid(
                "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. "
                "Ensure you are only providing one of them.",
                param="conversation",
                code="mutually_exclusive_parameters",
            )
        raise RequestInvalid(
            "'conversation' is not served yet: send the earlier items in 'input', "
            "or name a native upstream's response with 'previous_response_id'.",
            param="conversation",
            code="unsupported_parameter",
        )
    if body.get("background") is True:
        raise RequestInvalid(
            "'background: true' is not served yet: leave it out, and use 'stream: true' for long answers.",
            param="background",
            code="unsupported_value",
        )


def _check_input(given: Any, types: frozenset[Any]) -> None:
    if given is None or isinstance(given, str):
        return
    if not isinstance(given, list):
        raise invalid_type("input", "a string or an array of input items", given)
    if None not in types and "" not in types:
        return
    for index, item in enumerate(given):
        if not isinstance(item, dict):
            raise invalid_type(f"input[{index}]", "an object", item)
        kind = item.get("type")
        if kind is None:
            _check_untyped(index, item)
        elif not isinstance(kind, str):
            raise invalid_type(f"input[{index}].type", "a string", kind)
        elif not kind:
            raise invalid_value(f"input[{index}].type", "it is empty.")


def _check_untyped(index: int, item: Mapping[str, Any]) -> None:
    role = item.get("role")
    if role is not None:
        if not isinstance(role, str):
            raise invalid_type(f"input[{index}].role", "a string", role)
        return
    said = [field for field, value in item.items() if value is not None]
    if said == ["id"]:
        if not isinstance(item["id"], str):
            raise invalid_type(f"input[{index}].id", "a string", item["id"])
        return
    raise RequestInvalid(
        f"Invalid value for 'input[{index}]': an item needs a 'type', a message at least a 'role'.",
        param=f"input[{index}]",
        code="invalid_value",
    )
