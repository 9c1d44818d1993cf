"""Requests as `message_call` makes them, each held against the API's rules, and what they are made of."""

from __future__ import annotations

import base64
import json
from typing import Any

from maestro_anthropic.facts import ModelFacts, facts_of
from maestro_anthropic.message_request import MessageCall, message_call
from maestro_daemon.plugin import ResponseRequest, retell
from maestro_daemon.protocol.sealed_reasoning import seal
from messages_api import model_entry, thinking_of
from request_rules import check_request
from scripted_answers import signature_of
from serving_claude import options

ENTRY = model_entry("claude-test")
ADAPTIVE = facts_of(ENTRY)
BUDGET_ENTRY = model_entry(
    "claude-test", **thinking_of(adaptive=False, enabled=True, disabled=True), effort={"supported": False}
)
ALWAYS_ENTRY = model_entry("claude-test", **thinking_of(adaptive=True, enabled=False, disabled=False))
PLAIN_ENTRY = model_entry("claude-test", **thinking_of(adaptive=False, enabled=False, disabled=True))
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n rest").decode()
PDF = base64.b64encode(b"%PDF-1.7 rest").decode()
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
CALL = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 3}},
    "required": ["n"],
    "additionalProperties": False,
}
FORMAT = {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def sealed(*blocks: Any) -> dict[str, Any]:
    """A reasoning item as a client sends it back; a block is a text of thinking."""
    opaque = json.dumps([[len(each), signature_of(each)] for each in blocks])
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": None,
        "encrypted_content": seal("".join(blocks), provider="claude", opaque=opaque),
    }


def told(
    *items: Any,
    facts: ModelFacts | None = None,
    entry: dict[str, Any] = ENTRY,
    settings: dict[str, Any] | None = None,
    thoughts: bool = True,
    **fields: Any,
) -> MessageCall:
    """The translation, checked by the rules of the API for the model of `entry`."""
    body = {"model": "claude-test", "input": list(items) or "Hi", **fields}
    request = ResponseRequest(body=body, model="claude-test", asked_model="claude-test")
    configured = options(**(settings or {}))
    call = message_call(
        retell(request, provider="claude"),
        facts_of(entry) if facts is None else facts,
        configured,
        thoughts=thoughts,
    )
    check_request(call.body, version=configured.version, facts=entry, signature_of=signature_of)
    return call


def messages(*items: Any, **more: Any) -> list[Any]:
    """The messages without their cache breakpoints."""
    return list(told(*items, settings={"cache": "off"}, **more).body["messages"])
