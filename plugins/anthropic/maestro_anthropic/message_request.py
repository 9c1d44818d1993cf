"""A retold Responses request → the body of ``POST /messages``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from maestro_anthropic.blocks import BlockWriter
from maestro_anthropic.caching import set_breakpoints
from maestro_anthropic.facts import ModelFacts
from maestro_anthropic.messages import Conversation
from maestro_anthropic.options import AnthropicOptions
from maestro_anthropic.schemas import enforceable, tool_schema
from maestro_anthropic.thinking import plan_thinking
from maestro_daemon.plugin import AssistantTurn, FunctionTool, JsonFormat, Retelling, Thought, ToolChoice

SAMPLING_VERSION: Final = "2023-06-01"
"""The API version whose requests may say how the model samples."""

_ANSWER_TOOL: Final = "give_answer"
_ANY_JSON: Final = "Answer with one JSON object and nothing else: no prose, no code fence."
_MUST_CALL: Final = "Call the tool `{name}` now; do not answer in words."
_MUST_CALL_ANY: Final = "Call one of the tools now; do not answer in words."
_HIGHEST_TEMPERATURE: Final = 1.0
_TIERS: Final[Mapping[str, str]] = {
    "auto": "auto",
    "priority": "auto",
    "fast": "auto",
    "default": "standard_only",
    "flex": "standard_only",
}
_SAID: Final = frozenset(
    {
        *("max_output_tokens", "temperature", "top_p", "service_tier", "safety_identifier", "user"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "metadata"),
    }
)
_LONGEST_USER_ID: Final = 256


@dataclass(frozen=True, slots=True)
class MessageCall:
    """A translated request.

    `answer_tool` is the tool whose input is the answer, None where words are. `thinks_back` is True where
    earlier thinking goes along. `dropped` names what could not be said.
    """

    body: dict[str, Any]
    answer_tool: str | None
    thinks_back: bool
    dropped: list[str]


def message_call(
    retelling: Retelling, facts: ModelFacts, options: AnthropicOptions, *, thoughts: bool = True
) -> MessageCall:
    """Translate; `thoughts` False leaves earlier thinking out, for an upstream that cannot verify it.

    Raises `RequestInvalid` for what has no form.
    """
    dropped = retelling.left_out().copy()
    fields = retelling.fields
    max_tokens = _max_tokens(fields.get("max_output_tokens"), facts, options)
    tools = [_tool(tool, options) for tool in retelling.tools]
    choice = retelling.choice
    form = retelling.format
    answer_tool = None
    if form is not None and form.schema is not None and _by_tool(facts, options):
        answer_tool = _free_name(retelling.tools)
        tools.append(_answering(answer_tool, form))
        choice = _choice_with_answer(choice, answer_tool)
    plan = plan_thinking(
        retelling.effort,
        facts,
        options,
        max_tokens=max_tokens,
        forced=choice is not None and choice.mode == "required",
        goes_on=thoughts and _holds_thinking(retelling),
    )
    writer = BlockWriter(facts, dropped)
    conversation = _told(retelling, writer, thoughts=thoughts and plan.on)
    if (
        plan.thinking is not None
        and "budget_tokens" in plan.thinking
        and conversation.loop_without_thinking()
    ):
        dropped.append("reasoning.effort")
        plan = replace(plan, thinking=None)
        conversation = _told(retelling, writer, thoughts=False)
    if choice is not None and choice.mode == "required" and facts.always_thinks:
        # Such models refuse to be forced; asked, they comply.
        must = _MUST_CALL_ANY if choice.name is None else _MUST_CALL.format(name=choice.name)
        conversation.remark(must)
        choice = ToolChoice("auto")
    if form is not None and form.schema is None:
        conversation.system.append({"type": "text", "text": _ANY_JSON})

    body: dict[str, Any] = {"model": retelling.request.model, "max_tokens": max_tokens}
    if not tools and conversation.called:
        # A conversation with calls is only taken with tools.
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in conversation.called]
        choice = ToolChoice("none")
    if tools:
        body["tools"] = tools
        if (said := _choice(choice, parallel=retelling.parallel)) is not None:
            body["tool_choice"] = said
    if conversation.system:
        body["system"] = conversation.system
    body["messages"] = conversation.messages
    body["stream"] = True
    if plan.thinking is not None:
        body["thinking"] = plan.thinking
    output: dict[str, Any] = {}
    if plan.effort is not None:
        output["effort"] = plan.effort
    elif retelling.effort not in (None, "none") and not plan.on:
        dropped.append("reasoning.effort")
    if form is not None and form.schema is not None and answer_tool is None:
        output["format"] = {"type": "json_schema", "schema": enforceable(form.schema)}
    if output:
        body["output_config"] = output
    _set_sampling(body, fields, options, thinks=plan.on, dropped=dropped)
    _set_fields(body, fields, dropped)
    if retelling.verbosity is not None:
        dropped.append("text.verbosity")
    set_breakpoints(body, options.cache)
    for field, value in options.extra_body.items():
        ours = body.get(field)
        body[field] = {**ours, **value} if isinstance(ours, dict) and isinstance(value, dict) else value
    return MessageCall(body, answer_tool, thoughts and plan.on and _holds_thinking(retelling), dropped)


def _told(retelling: Retelling, writer: BlockWriter, *, thoughts: bool) -> Conversation:
    conversation = Conversation(writer, thoughts=thoughts)
    conversation.tell(retelling.turns)
    return conversation


def _max_tokens(wanted: Any, facts: ModelFacts, options: AnthropicOptions) -> int:
    asked: int = options.max_tokens if wanted is None else wanted
    return asked if facts.max_tokens is None else min(asked, facts.max_tokens)


def _holds_thinking(retelling: Retelling) -> bool:
    return any(
        isinstance(said, Thought) and said.opaque is not None
        for turn in retelling.turns
        if isinstance(turn, AssistantTurn)
        for said in turn.said
    )


def _tool(tool: FunctionTool, options: AnthropicOptions) -> dict[str, Any]:
    said: dict[str, Any] = {"name": tool.name}
    if tool.description:
        said["description"] = tool.description
    strict = tool.strict and options.strict_tools
    said["input_schema"] = enforceable(tool.parameters) if strict else tool_schema(tool.parameters)
    if strict:
        said["strict"] = True
    return said


def _choice(choice: ToolChoice | None, *, parallel: bool) -> dict[str, Any] | None:
    """``tool_choice``, None where it would say what the API does by itself."""
    if choice is None or (choice.mode == "auto" and parallel):
        return None
    if choice.mode == "none":
        return {"type": "none"}
    said: dict[str, Any]
    if choice.name is not None:
        said = {"type": "tool", "name": choice.name}
    elif choice.mode == "required":
        said = {"type": "any"}
    else:
        said = {"type": "auto"}
    if not parallel:
        said["disable_parallel_tool_use"] = True
    return said


def _by_tool(facts: ModelFacts, options: AnthropicOptions) -> bool:
    if facts.always_thinks:
        return False  # it cannot be made to call one
    if options.structured_output == "auto":
        return facts.schemas is False
    return options.structured_output == "tool"


def _free_name(tools: tuple[FunctionTool, ...]) -> str:
    taken = {tool.name for tool in tools}
    name = _ANSWER_TOOL
    while name in taken:
        name += "_"
    return name


def _answering(name: str, form: JsonFormat) -> dict[str, Any]:
    description = "Gives the final answer. Its input is the whole answer."
    if form.description:
        description = f"{description} {form.description}"
    return {"name": name, "description": description, "input_schema": tool_schema(form.schema or {})}


def _choice_with_answer(choice: ToolChoice | None, answer: str) -> ToolChoice:
    """With other tools at hand the model may call those first; else the answer is all that it can give."""
    if choice is None or choice.mode == "none":
        return ToolChoice("required", answer)
    return choice if choice.name is not None else ToolChoice("required")


def _set_sampling(
    body: dict[str, Any],
    fields: Mapping[str, Any],
    options: AnthropicOptions,
    *,
    thinks: bool,
    dropped: list[str],
) -> None:
    temperature, top_p = fields.get("temperature"), fields.get("top_p")
    if options.version != SAMPLING_VERSION or thinks:
        # 1 is what the model does by itself.
        dropped += [
            name for name, value in (("temperature", temperature), ("top_p", top_p)) if value not in (None, 1)
        ]
    elif temperature is not None:
        body["temperature"] = min(temperature, _HIGHEST_TEMPERATURE)
        if top_p not in (None, 1):
            dropped.append("top_p")  # the API takes one of the two
    elif top_p is not None:
        body["top_p"] = top_p


def _set_fields(body: dict[str, Any], fields: Mapping[str, Any], dropped: list[str]) -> None:
    user = fields.get("safety_identifier") or fields.get("user")
    if user:
        body["metadata"] = {"user_id": user[:_LONGEST_USER_ID]}
    tier = fields.get("service_tier")
    if isinstance(tier, str):
        if (said := _TIERS.get(tier)) is not None:
            body["service_tier"] = said
        else:
            dropped.append("service_tier")
    if fields.get("metadata"):
        dropped.append("metadata")
    dropped += [name for name, value in fields.items() if name not in _SAID and value != 0]
