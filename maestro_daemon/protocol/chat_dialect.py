"""What one kind of chat-completions server wants and understands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ChatDialect:
    """One chat server's ways; each default suits a local server of which nothing is known.

    `provider` is the name under which the server's reasoning is sealed and unsealed.

    Messages: `one_system_message` joins the instructions and every system and developer message into one
    that leads; else each stands in its place, as ``developer`` where it was one and `developer_role` is
    True, as ``system`` where not. `flatten_text` makes one string of several text parts. `images` False
    puts a note where an image was (None: not known, images are sent). `files` sends files as they are; else
    text files become text and others are refused. `refusal_field` sends a refusal under its own name, else
    as text. `reasoning_field` and `opaque_field` name the assistant message's fields for reasoning in clear
    and for what the upstream wants back unread; None leaves them out. `object_arguments` makes sure that a
    call's arguments are the text of a JSON object, since templates fail on any other.

    Tools: `tools` False leaves them all out, and refuses a request that forces a call (None: not known, tools
    are sent). `custom_tools` and `allowed_tools` say that the server knows these forms of OpenAI's.

    Fields: `max_tokens_field` is the name for ``max_output_tokens``. `efforts` are the words that
    ``reasoning_effort`` may have (the next lower one stands in for another; None: any word), and
    `thinking_switch` sends ``chat_template_kwargs.enable_thinking`` with them. `forwards_openai_fields`
    sends ``store``, ``metadata``, ``user`` and the like. `include_usage` asks for usage in the stream.
    `extra_body` is sent with every request and wins, objects being merged one level deep.
    """

    provider: str = ""
    one_system_message: bool = True
    developer_role: bool = False
    flatten_text: bool = True
    images: bool | None = None
    files: bool = False
    refusal_field: bool = False
    reasoning_field: str | None = "reasoning_content"
    opaque_field: str | None = None
    object_arguments: bool = True
    tools: bool | None = None
    custom_tools: bool = False
    allowed_tools: bool = False
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    efforts: tuple[str, ...] | None = ("low", "medium", "high")
    thinking_switch: bool = True
    forwards_openai_fields: bool = False
    include_usage: bool = True
    extra_body: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
