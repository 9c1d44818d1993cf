"""A Responses request → a chat-completions request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol.chat_dialect import ChatDialect
from maestro_daemon.protocol.chat_messages import chat_messages
from maestro_daemon.protocol.chat_tools import Toolbox
from maestro_daemon.protocol.compaction import INSTRUCTION, TRIGGER, is_trigger
from maestro_daemon.protocol.field_checks import invalid_type, invalid_value, missing, quoted
from maestro_daemon.protocol.input_items import input_items
from maestro_daemon.protocol.json import dumps
from maestro_daemon.protocol.tool_names import ToolNames
from maestro_daemon.request import ResponseRequest

__all__ = ["CHARACTERS_OF_AN_IMAGE", "ChatCall", "ChatDialect", "chat_call"]

CHARACTERS_OF_AN_IMAGE: Final = 4000
"""What an image, a file or a sound adds to `ChatCall.input_characters`: about a thousand tokens' worth."""

_SAME_NAME: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_OPENAI_FIELDS: Final = (
    "store",
    "metadata",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
)
_DONE_ELSEWHERE: Final = frozenset(
    {
        *(
            "model",
            "input",
            "instructions",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "text",
            "reasoning",
        ),
        *("stream", "stream_options", "include", "top_logprobs", "max_output_tokens", "client_metadata"),
        *("truncation", "max_tool_calls", "previous_response_id", "conversation", "background", "prompt"),
        *_SAME_NAME,
        *_OPENAI_FIELDS,
    }
)
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LOGPROBS: Final = "message.output_text.logprobs"
_MOST_DROPPED: Final = 32
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A translated request.

    `body` is the chat request, always streamed. `names` lead the answer's calls back to the client's tools.
    `dropped` names what could not be said (``tools[3]: web_search``), for one log line. `input_characters`
    is the length of all that the model is to read, for an estimate where the upstream never counts.
    `compacts` is True where the answer is to become a compaction item.
    """

    body: dict[str, Any]
    names: ToolNames
    dropped: tuple[str, ...]
    input_characters: int
    compacts: bool = False


def chat_call(request: ResponseRequest, dialect: ChatDialect) -> ChatCall:
    """Translate `request` for a chat server of this `dialect`. The request stays as it is; the chat body
    shares parts of it, so neither may be changed in place.

    Raises `RequestInvalid`, with `param`, for what cannot be served faithfully.
    """
    given = request.body
    if given.get("prompt") is not None:
        raise RequestInvalid(
            "'prompt' cannot be honoured by this model's upstream: it keeps no stored prompts; send the "
            "prompt's text in 'instructions' or 'input'.",
            param="prompt",
            code="unsupported_parameter",
        )
    dropped: list[str] = []
    names = ToolNames()
    items = input_items(given.get("input"))
    if compacts := len(items) > 0 and is_trigger(items[-1]):
        items = _asking_for_summary(items)
    toolbox = Toolbox(names, dialect, dropped)
    toolbox.declare(given.get("tools"), "tools")
    settings = _Settings(given)
    for index, item in enumerate(items):
        kind = item.get("type")
        if kind in ("additional_tools", "tool_search_output"):
            toolbox.declare(item.get("tools"), f"input[{index}].tools")
        elif kind == "configuration_update":
            settings.update(item, f"input[{index}]")
    choice = None if compacts else toolbox.choose(given.get("tool_choice"))
    messages = chat_messages(_instructions(given), items, names, dialect, dropped)
    if not messages:
        raise missing("input")

    body: dict[str, Any] = {"model": request.model, "messages": messages}
    if toolbox.tools and not compacts:
        body["tools"] = list(toolbox.tools.values())
        if choice is not None:
            body["tool_choice"] = choice
        if isinstance(given.get("parallel_tool_calls"), bool):
            body["parallel_tool_calls"] = given["parallel_tool_calls"]
    body["stream"] = True
    if dialect.include_usage:
        body["stream_options"] = {"include_usage": True}
    _set_fields(body, given, dialect, dropped)
    settings.apply(body, dialect, dropped)
    if compacts:
        body.pop("response_format", None)  # that of the conversation's answers, not of its summary
    for field, value in dialect.extra_body.items():
        ours = body.get(field)
        body[field] = {**ours, **value} if isinstance(ours, dict) and isinstance(value, Mapping) else value
    size = _characters(messages) + _size(body.get("tools"))
    return ChatCall(body, names, _bounded(dropped), size, compacts)


def _asking_for_summary(items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    if len(items) == 1:
        raise invalid_value("input", f"there is nothing before the {TRIGGER}.")
    return [*items[:-1], {"role": "user", "content": INSTRUCTION}]


def _instructions(given: Mapping[str, Any]) -> str | None:
    instructions = given.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise invalid_type("instructions", "a string", instructions)
    return instructions


def _set_fields(
    body: dict[str, Any], given: Mapping[str, Any], dialect: ChatDialect, dropped: list[str]
) -> None:
    for field in _SAME_NAME:
        if (value := given.get(field)) is not None:
            body[field] = value
    if given.get("max_output_tokens") is not None:
        body[dialect.max_tokens_field] = given["max_output_tokens"]
    include = given.get("include")
    top_logprobs = given.get("top_logprobs")
    if top_logprobs or (isinstance(include, list) and _LOGPROBS in include):
        body["logprobs"] = True
        if top_logprobs is not None:
            body["top_logprobs"] = top_logprobs
    if dialect.forwards_openai_fields:
        for field in _OPENAI_FIELDS:
            if (value := given.get(field)) is not None:
                body[field] = value
    elif given.get("service_tier") not in (None, "auto", "default"):
        dropped.append("service_tier")
    if given.get("truncation") == "auto":
        dropped.append("truncation")
    for field, value in given.items():
        if field not in _DONE_ELSEWHERE and value is not None:
            dropped.append(field[:_LONGEST_NAME])


class _Settings:
    """``reasoning`` and ``text`` of the request, as the conversation's configuration updates left them."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._effort: Any = None
        self._format: Any = None
        self._where = ""
        self._verbosity: Any = None
        self.update(given, "")

    def update(self, given: Mapping[str, Any], where: str) -> None:
        """Take what `given` sets; `where` is its path in the request, "" for the request itself."""
        path = f"{where}." if where else ""
        for name in ("reasoning", "text"):
            said = given.get(name)
            if said is None:
                continue
            if not isinstance(said, dict):
                raise invalid_type(f"{path}{name}", "an object", said)
            if said.get("effort") is not None and name == "reasoning":
                self._effort = said["effort"]
            if name == "text":
                self._verbosity = said.get("verbosity") or self._verbosity
                if said.get("format") is not None:
                    self._format = said["format"]
                    self._where = f"{path}text.format"

    def apply(self, body: dict[str, Any], dialect: ChatDialect, dropped: list[str]) -> None:
        """Set the chat fields for them."""
        if self._format is not None and (form := _response_format(self._format, self._where)) is not None:
            body["response_format"] = form
        if self._verbosity is not None:
            if dialect.forwards_openai_fields:
                body["verbosity"] = self._verbosity
            else:
                dropped.append("text.verbosity")
        if self._effort is not None:
            if (effort := _known_effort(self._effort, dialect.efforts)) is not None:
                body["reasoning_effort"] = effort
            elif self._effort not in _EFFORTS or not dialect.thinking_switch:
                dropped.append("reasoning.effort")
            if dialect.thinking_switch:
                body["chat_template_kwargs"] = {"enable_thinking": self._effort != "none"}


def _known_effort(wanted: Any, known: tuple[str, ...] | None) -> str | None:
    """The nearest effort that the server knows: the same, else the next lower, else its lowest.

    None where it has to be left out: no thinking is not a little of it.
    """
    if not isinstance(wanted, str):
        raise invalid_type("reasoning.effort", "a string", wanted)
    if known is None or wanted in known:
        return wanted
    if wanted not in _EFFORTS or wanted == "none":
        return None
    ranked = [effort for effort in _EFFORTS if effort in known and effort != "none"]
    lower = [effort for effort in ranked if _EFFORTS.index(effort) < _EFFORTS.index(wanted)]
    return lower[-1] if lower else next(iter(ranked), None)


def _response_format(given: Any, where: str) -> dict[str, Any] | None:
    if not isinstance(given, dict):
        raise invalid_type(where, "an object", given)
    match given.get("type"):
        case "text":
            return None
        case "json_object":
            return {"type": "json_object"}
        case "json_schema":
            for field, kind in (("name", str), ("schema", dict)):
                if given.get(field) is None:
                    raise missing(f"{where}.{field}")
                if not isinstance(given[field], kind):
                    expected = "a string" if kind is str else "an object"
                    raise invalid_type(f"{where}.{field}", expected, given[field])
            fields = ("name", "description", "schema", "strict")
            schema = {field: given[field] for field in fields if given.get(field) is not None}
            return {"type": "json_schema", "json_schema": schema}
        case None:
            raise missing(f"{where}.type")
        case str(kind):
            raise invalid_value(
                f"{where}.type", f"{quoted(kind)}. Supported values are: text, json_object, json_schema."
            )
        case kind:
            raise invalid_type(f"{where}.type", "a string", kind)


def _bounded(dropped: list[str]) -> tuple[str, ...]:
    if len(dropped) <= _MOST_DROPPED:
        return tuple(dropped)
    return (*dropped[: _MOST_DROPPED - 1], f"and {len(dropped) - _MOST_DROPPED + 1} more")


def _characters(messages: Sequence[Mapping[str, Any]]) -> int:
    total = 0
    for message in messages:
        for field, value in message.items():
            if field in ("role", "tool_call_id"):
                continue
            if isinstance(value, str):
                total += len(value)
            elif field == "tool_calls":
                for call in value:
                    said = call[call["type"]]
                    total += len(said["name"]) + len(
                        said["arguments"] if "arguments" in said else said["input"]
                    )
            elif isinstance(value, list):
                for part in value:
                    total += len(part["text"]) if part["type"] == "text" else CHARACTERS_OF_AN_IMAGE
    return total


def _size(tools: Any) -> int:
    return len(dumps(tools)) if tools else 0
