"""What the real Messages API refuses, in its own words as far as they are known."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import pydantic
from anthropic.types import message_create_params

_TOP_LEVEL: Final = frozenset(
    {
        *("model", "max_tokens", "messages", "system", "tools", "tool_choice", "stream", "thinking"),
        *("output_config", "metadata", "service_tier", "stop_sequences", "cache_control", "container"),
        *("inference_geo", "speed", "diagnostics"),
    }
)
_SAMPLING: Final = frozenset({"temperature", "top_p", "top_k"})
_SHAPE: Final = pydantic.TypeAdapter(message_create_params.MessageCreateParamsStreaming)
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_MEDIA: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_THINKING: Final = ("thinking", "redacted_thinking")
_MOST_BREAKPOINTS: Final = 4
_UNENFORCEABLE: Final = frozenset(
    {"minimum", "maximum", "minLength", "maxLength", "pattern", "oneOf", "maxItems", "uniqueItems"}
)


class Refusal(Exception):
    """An error answer; its text is the message."""

    def __init__(self, message: str, *, status: int = 400, type: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.type = type


def check_request(
    body: Any,
    *,
    version: str,
    facts: Mapping[str, Any] | None,
    signature_of: Callable[[str], str],
) -> None:
    """Raise `Refusal` unless the API would take the request. `facts` is the model's entry in the list."""
    _check_fields(body, version)
    if facts is None:
        raise Refusal(f"model: {body['model']}", status=404, type="not_found_error")
    if body["max_tokens"] > facts["max_tokens"]:
        raise Refusal(
            f"max_tokens: {body['max_tokens']} > {facts['max_tokens']}, which is the maximum allowed"
        )
    _check_shape(body)
    _check_tools(body)
    _check_thinking(body, facts["capabilities"])
    _check_output(body, facts["capabilities"])
    _check_messages(body, signature_of)
    _check_breakpoints(body)


def _check_fields(body: Any, version: str) -> None:
    if not isinstance(body, dict):
        raise Refusal("The request body is not a JSON object")
    known = _TOP_LEVEL | (_SAMPLING if version == "2023-06-01" else frozenset())
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            raise Refusal(f"{name}: Field required")
    for name in body:
        if name not in known:
            raise Refusal(f"{name}: Extra inputs are not permitted")
    if type(body["max_tokens"]) is not int or body["max_tokens"] < 1:
        raise Refusal("max_tokens: Input should be greater than or equal to 1")
    if "temperature" in body and "top_p" in body:
        raise Refusal("`temperature` and `top_p` cannot both be specified for this model.")
    if not 0 <= body.get("temperature", 1) <= 1:
        raise Refusal("temperature: range: 0..1")


def _check_shape(body: dict[str, Any]) -> None:
    """The official package's own types."""
    try:
        _read_through(_SHAPE.validate_python({**body, "stream": True}))
    except pydantic.ValidationError as error:
        place = error.errors()[0]
        raise Refusal(f"{'.'.join(map(str, place['loc']))}: {place['msg']}") from None


def _read_through(value: Any) -> None:
    """Pydantic looks into an iterable only while it is read."""
    if isinstance(value, Mapping):
        value = value.values()
    if not isinstance(value, str | bytes) and isinstance(value, Iterable):
        for each in value:
            _read_through(each)


def _check_tools(body: dict[str, Any]) -> None:
    names = [tool["name"] for tool in body.get("tools", [])]
    if len(set(names)) != len(names):
        raise Refusal("tools: Tool names must be unique.")
    for index, tool in enumerate(body.get("tools", [])):
        if not _TOOL_NAME.fullmatch(tool["name"]):
            raise Refusal(
                f"tools.{index}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
            )
        schema = tool["input_schema"]
        if schema.get("type") != "object":
            raise Refusal(f"tools.{index}.custom.input_schema.type: Field required")
        if schema.keys() & {"oneOf", "allOf", "anyOf"}:
            raise Refusal(
                f"tools.{index}.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf "
                "at the top level"
            )
        if tool.get("strict"):
            _check_schema(schema, f"tools.{index}.custom.input_schema")
    choice = body.get("tool_choice")
    if choice is not None and not names:
        raise Refusal("tool_choice: may only be specified while providing tools")
    if choice is not None and choice["type"] == "tool" and choice["name"] not in names:
        raise Refusal(f"Tool '{choice['name']}' not found in provided tools")


def _check_thinking(body: dict[str, Any], able: Mapping[str, Any]) -> None:
    thinking = body.get("thinking")
    types = able["thinking"]["types"]
    always = types["adaptive"]["supported"] and not types["disabled"]["supported"]
    on = always or (thinking is not None and thinking["type"] in ("adaptive", "enabled"))
    if thinking is not None and not types[thinking["type"]]["supported"]:
        raise Refusal(
            f'"thinking.type.{thinking["type"]}" is not supported for this model. Use '
            '"thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        )
    if thinking is not None and thinking["type"] == "enabled":
        if thinking["budget_tokens"] < 1024:
            raise Refusal("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if thinking["budget_tokens"] >= body["max_tokens"]:
            raise Refusal("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if on and body.get("tool_choice", {}).get("type") in ("any", "tool"):
        raise Refusal("Thinking may not be enabled when tool_choice forces tool use.")
    if on and body.get("temperature", 1) != 1:
        raise Refusal("`temperature` may only be set to 1 when thinking is enabled.")


def _check_output(body: dict[str, Any], able: Mapping[str, Any]) -> None:
    output = body.get("output_config", {})
    effort = output.get("effort")
    if effort is not None and not able["effort"].get(effort, {}).get("supported"):
        raise Refusal(f"output_config.effort: '{effort}' is not supported by this model")
    if "format" in output:
        if not able["structured_outputs"]["supported"]:
            raise Refusal("output_config.format: structured outputs are not supported by this model")
        _check_schema(output["format"]["schema"], "output_config.format.schema")


def _check_schema(schema: Any, where: str) -> None:
    if not isinstance(schema, dict):
        return
    for name in schema.keys() & _UNENFORCEABLE:
        raise Refusal(f"{where}: For '{schema.get('type')}' type, property '{name}' is not supported")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise Refusal(f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    for name in ("properties", "$defs"):
        for key, each in schema.get(name, {}).items():
            _check_schema(each, f"{where}.{name}.{key}")
    _check_schema(schema.get("items"), f"{where}.items")
    for each in schema.get("anyOf", []):
        _check_schema(each, f"{where}.anyOf")


def _check_messages(body: dict[str, Any], signature_of: Callable[[str], str]) -> None:
    messages = body["messages"]
    if not messages:
        raise Refusal("messages: at least one message is required")
    if messages[-1]["role"] == "assistant":
        raise Refusal(
            "This model does not support assistant message prefill. The conversation must end with a user "
            "message."
        )
    for index, block in enumerate(body.get("system", []) if isinstance(body.get("system"), list) else []):
        _check_text(block, f"system.{index}")
    seen: set[str] = set()
    waiting: list[str] = []
    for index, message in enumerate(messages):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not blocks:
            raise Refusal(f"messages.{index}: all messages must have non-empty content")
        waiting = _check_pairs(index, message["role"], blocks, waiting, seen)
        for number, block in enumerate(blocks):
            _check_block(block, message["role"], f"messages.{index}.content.{number}", signature_of)
    if waiting:
        raise _unanswered(len(messages), waiting)
    has_calls = bool(seen)
    if has_calls and not body.get("tools"):
        raise Refusal("Requests which have `tool_use` or `tool_result` blocks in messages must define tools")
    _check_loop(body, messages)


def _check_pairs(
    index: int, role: str, blocks: list[dict[str, Any]], waiting: list[str], seen: set[str]
) -> list[str]:
    answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    for id in answered:
        if id not in waiting:
            raise Refusal(
                f"messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {id}. "
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
    missing = [id for id in waiting if id not in answered]
    if missing:
        raise _unanswered(index, missing)
    if len(set(answered)) != len(answered):
        raise Refusal("each tool_use must have a single result. Found multiple `tool_result` blocks")
    first_other = next((n for n, block in enumerate(blocks) if block["type"] != "tool_result"), len(blocks))
    if any(block["type"] == "tool_result" for block in blocks[first_other:]):
        raise Refusal(f"messages.{index}: `tool_result` blocks must come first in the content")
    called = [block["id"] for block in blocks if block["type"] == "tool_use"]
    if called and role != "assistant":
        raise Refusal(f"messages.{index}: `tool_use` blocks can only be in `assistant` messages")
    for id in called:
        if id in seen:
            raise Refusal("messages: `tool_use` ids must be unique")
        if not _CALL_ID.fullmatch(id):
            raise Refusal(f"messages.{index}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        seen.add(id)
    return called


def _unanswered(index: int, ids: list[str]) -> Refusal:
    return Refusal(
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(ids)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
        "next message."
    )


def _check_block(block: dict[str, Any], role: str, where: str, signature_of: Callable[[str], str]) -> None:
    match block["type"]:
        case "text":
            _check_text(block, where)
        case "thinking":
            if role != "assistant" or block["signature"] != signature_of(block["thinking"]):
                raise Refusal(f"{where}: Invalid `signature` in `thinking` block")
        case "redacted_thinking":
            if block["data"] != "opaque==":
                raise Refusal(f"{where}: Invalid `data` in `redacted_thinking` block")
        case "image" | "document":
            if role != "user":
                raise Refusal(f"{where}: `{block['type']}` blocks are only permitted in user messages")
            _check_source(block["source"], where)
        case "tool_result":
            content = block.get("content", [])
            for number, each in enumerate(content if isinstance(content, list) else []):
                _check_block(each, "user", f"{where}.content.{number}", signature_of)
    if block["type"] in _THINKING and "cache_control" in block:
        raise Refusal(f"{where}: cache_control cannot be set for thinking blocks")


def _check_text(block: dict[str, Any], where: str) -> None:
    if not block["text"]:
        raise Refusal(f"{where}: text content blocks must be non-empty")
    if block["text"].isspace():
        raise Refusal(f"{where}: text content blocks must contain non-whitespace text")


def _check_source(source: dict[str, Any], where: str) -> None:
    if source["type"] == "base64":
        try:
            raw = base64.b64decode(source["data"], validate=True)
        except (binascii.Error, ValueError):
            raise Refusal(f"{where}.source.base64: invalid base64 data") from None
        if source["media_type"] == "application/pdf" and not raw.startswith(b"%PDF-"):
            raise Refusal(f"{where}.source.base64.data: The PDF specified was not valid.")
        if source["media_type"] not in (*_MEDIA, "application/pdf"):
            raise Refusal(f"{where}.source.base64.media_type: Input should be 'image/jpeg', 'image/png' …")


def _check_loop(body: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """In a tool loop thinking is all or nothing."""
    last = messages[-1]["content"]
    if isinstance(last, str) or last[0]["type"] != "tool_result":
        return
    thinking = body.get("thinking", {"type": "disabled"})["type"]
    first = messages[-2]["content"][0]["type"]
    where = f"messages.{len(messages) - 2}.content.0"
    if thinking == "enabled" and first not in _THINKING:
        raise Refusal(
            f"{where}.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. When `thinking` "
            "is enabled, a final `assistant` message must start with a thinking block (preceeding the "
            "lastmost set of `tool_use` and `tool_result` blocks)."
        )
    if thinking == "disabled" and first in _THINKING:
        raise Refusal(
            f"{where}: When thinking is disabled, an `assistant` message in the final position cannot "
            "contain `thinking`. To use thinking blocks, enable `thinking` in your request."
        )


def _check_breakpoints(body: dict[str, Any]) -> None:
    places = [*body.get("tools", [])]
    if isinstance(body.get("system"), list):
        places += body["system"]
    for message in body["messages"]:
        if isinstance(message["content"], list):
            places += message["content"]
    marked = sum("cache_control" in place for place in places)
    if marked > _MOST_BREAKPOINTS:
        raise Refusal(f"A maximum of 4 blocks with cache_control may be provided. Found {marked}.")
