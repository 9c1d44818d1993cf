"""What Copilot's API does otherwise than OpenAI's, as tables; nothing of it stands anywhere else.

GitHub publishes no contract, so each row says who saw it and when. Sources: ``V`` vscode-copilot-chat, ``Z``
zed, ``N`` CopilotChat.nvim, ``E`` ericc-ch/copilot-api, ``C`` caozhiyuan/copilot-api, ``L`` LiteLLM, ``O``
opencode, ``R`` router-maestro, ``A`` aider, ``I:…`` an issue. A source's own date or version stands behind
its tag where it is known; `noted` is the day on which the row was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

_NOTED: Final = "2026-11-20"

Dialect = Literal["responses", "chat"]


@dataclass(frozen=True, slots=True)
class Quirk:
    """One observation: what it is about, who saw it, for which models (a pattern for their ids) it holds."""

    about: str
    source: str
    models: re.Pattern[str] | None = None
    noted: str = _NOTED

    def holds_for(self, model: str) -> bool:
        """Whether it is so with the model of this id."""
        return self.models is None or self.models.match(model) is not None


def among(quirks: Iterable[Quirk], model: str) -> frozenset[str]:
    """What the quirks that hold for `model` are about."""
    return frozenset([quirk.about for quirk in quirks if quirk.holds_for(model)])


_FIRST_GPT_5: Final = re.compile(r"gpt-5(\.[12])?($|-)")
_GPT_5_AND_O: Final = re.compile(r"gpt-5|o[1-9]($|-)")
_O1: Final = re.compile(r"o1($|-)")

# ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────

REFUSED_FIELDS: Final = (
    Quirk("temperature", "R 0.7.10: taken as always refused, by reasoning models surely"),
    Quirk("context_management", "V 2026-03: not for gpt-5, 5.1, 5.2", _FIRST_GPT_5),
    Quirk("client_metadata", "Codex's own ids, which OpenAI alone reads"),
)
"""Fields of a Responses request that `/responses` refuses; more can be set as `refused_fields`."""

REFUSED_CHAT_FIELDS: Final = (
    Quirk("temperature", "R 0.7.10: reasoning models refuse it", _GPT_5_AND_O),
    Quirk("stop", "R 0.7.10: gpt-5 refuses it", re.compile(r"gpt-5")),
)
"""Fields of a chat request that `/chat/completions` refuses."""

REFUSED_TOOLS: Final = (
    Quirk("web_search", "R 0.7.10 (I:Floway sees web search items: it may change)"),
    Quirk("web_search_preview", "R 0.7.10"),
    Quirk("code_interpreter", "R 0.7.10"),
)
"""Types of tools that `/responses` refuses, versions of them (`web_search_2025_08_26`) too; the default of
the option `refused_tools`."""

REFUSED_ITEMS: Final = (
    Quirk("web_search_call", "follows from the refused tools: the item of a tool that it does not have"),
    Quirk("code_interpreter_call", "follows from the refused tools"),
)
"""Types of input items that only a refused tool can have made; they are left out."""

CONNECTION_BOUND_IDS: Final = (
    Quirk("message", "R 0.7.10: 401 'input item ID does not belong to this connection'"),
    Quirk("function_call", "R 0.7.10: the same"),
    Quirk("function_call_output", "as its call"),
    Quirk("custom_tool_call", "as function_call"),
    Quirk("custom_tool_call_output", "as its call"),
    Quirk("tool_search_call", "as function_call"),
    Quirk("tool_search_output", "as its call"),
    Quirk("local_shell_call", "as function_call"),
    Quirk("local_shell_call_output", "as its call"),
    Quirk("shell_call", "as function_call"),
    Quirk("shell_call_output", "as its call"),
    Quirk("apply_patch_call", "as function_call"),
    Quirk("apply_patch_call_output", "as its call"),
)
"""Types of input items whose `id` is left out: ids are bound to the connection that they came over."""

ID_BOUND_CIPHERTEXT: Final = (
    Quirk("reasoning", "R 0.7.10: 400 'item_id did not match', unless the id is that of output_item.done"),
    Quirk("compaction", "V 2026-03: it has an id and encrypted_content as well"),
)
"""Types of items whose `encrypted_content` is taken only under the very id that it was minted with."""

ALWAYS_STATELESS: Final = Quirk("store", "V 2026-03 always sends false; true is 400 unsupported_value")
ALWAYS_INCLUDED: Final = Quirk(
    "reasoning.encrypted_content", "V 2026-03 always asks for it: nothing is stored"
)

BLANK_NAMESPACE: Final = Quirk(
    "namespace", "a namespace without tools, or with a blank description, is refused: its name serves as one"
)
HOISTED_TOOLS: Final = Quirk(
    "additional_tools", "I:codex-lb#1157, codex#31894: refused or lost unless in `tools`"
)

MAX_COMPLETION_TOKENS: Final = Quirk(
    "max_completion_tokens", "I:llm-gateway#1849: max_tokens is 400 invalid_request_body", _GPT_5_AND_O
)
NO_SYSTEM_ROLE: Final = Quirk("system", "V 2026-03: o1 has no system role", _O1)

REASONS_UNSAID: Final = Quirk(
    "reasoning",
    "R 0.7.10, V 2026-03: gpt-5 and the o-series reason, though every field of the catalogue may be missing",
    re.compile(r"gpt-[5-9]|o[1-9]($|-)"),
)
"""Of other models that name neither thinking nor efforts among what they support, none is asked."""

CAPPED_OUTPUT: Final = Quirk(
    "max_output_tokens",
    "O: one beyond the catalogue's limit with a long prompt is a 400; it is lowered to it",
)

# ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────────

FOREIGN: Final = Quirk("copilot", "R 0.7.10, V 2026-03: events and fields of its own, not for clients")
"""What Copilot adds for its own clients bears this in its name, like `copilot_usage`."""

QUOTA_SNAPSHOTS: Final = Quirk("copilot_quota_snapshots", "V 2026-03: in the terminal event")

DONE_ONLY_FIELDS: Final = (
    Quirk("namespace", "R 0.7.10: of an MCP call, on output_item.done only, and wanted back with it"),
    Quirk("encrypted_content", "R 0.7.10: that of output_item.done counts; before, it may be unfinished"),
)
"""Fields of an output item that are carried from its done event into the final Response."""

OLDER_REASONING: Final = (
    ("cot_summary", "reasoning_text", Quirk("cot_summary", "R 0.7.10: the older name")),
    ("thinking", "reasoning_text", Quirk("thinking", "R 0.7.10: an older name")),
    ("cot_id", "reasoning_opaque", Quirk("cot_id", "R 0.7.10: the older name")),
    ("signature", "reasoning_opaque", Quirk("signature", "R 0.7.10: an older name")),
)
"""Older names of a chat delta's reasoning: (older, newer, quirk)."""

THOUGHT_SIGNATURE: Final = Quirk("thought_signature", "Z: on Gemini's calls, to be replayed with them")

CUT_BY_LENGTH: Final = Quirk(
    "choices", "R 0.7.10: on Claude, no choices with completion_tokens at the cap is thinking cut by length"
)

# ── Errors ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code of Copilot's means in the house's words: `code`, and the `status` that it stands for."""

    code: str
    status: int
    source: str
    noted: str = _NOTED


_LIMIT: Final = Meaning("rate_limit_exceeded", 429, "V 2026-03")
_QUOTA: Final = Meaning("insufficient_quota", 429, "V 2026-03")

CODES: Final = {
    **dict.fromkeys(
        (
            "rate_limited",
            "user_model_rate_limited",
            "user_global_rate_limited",
            "integration_rate_limited",
            "model_overloaded",
            "agent_mode_limit_exceeded",
            "extension_blocked",
        ),
        _LIMIT,
    ),
    **dict.fromkeys(
        ("quota_exceeded", "free_quota_exceeded", "overage_limit_reached", "billing_not_configured"), _QUOTA
    ),
    "insufficient_quota": Meaning("insufficient_quota", 429, "OpenAI's own word, with any status"),
    "model_max_prompt_tokens_exceeded": Meaning("context_length_exceeded", 400, "V 2026-03"),
    "request_too_large": Meaning("context_length_exceeded", 400, "V 2026-03"),
    "content_filter": Meaning("content_filter", 422, "V 2026-03"),
    "not_found": Meaning("model_not_found", 404, "V 2026-03"),
    "service_unavailable": Meaning("server_is_overloaded", 503, "V 2026-03"),
}
"""Copilot's codes; what stands behind a ``:`` in one is left off before."""

STATUSES: Final = {
    402: Meaning("insufficient_quota", 429, "V 2026-03: quota exceeded"),
    404: Meaning("model_not_found", 404, "V 2026-03: the model is gone"),
    422: Meaning("content_filter", 422, "V 2026-03: content filter"),
    424: Meaning("agent_dependency_failed", 424, "V 2026-03: something that Copilot depends on"),
    429: Meaning("rate_limit_exceeded", 429, "V 2026-03: rate limit"),
    466: Meaning("client_too_old", 466, "V 2026-03: client too old"),
    503: Meaning("server_is_overloaded", 503, "V 2026-03: the provider behind Copilot is rate limited"),
}
"""Statuses whose meaning is Copilot's own; one's code counts for an answer without a known one."""

WRONG_DIALECT: Final = Quirk("unsupported_api_for_model", "V 2026-03: 400, the other endpoint is the model's")

UNREADABLE_CIPHERTEXT: Final = re.compile(
    r"could not be decrypted|item_id did not match|does not belong to this connection", re.IGNORECASE
)
"""I:C#346, R 0.7.10: words, with 400 or 401, for reasoning that this account or connection cannot read.
The code is invalid_encrypted_content or only bad_request. Noted 2026-11-20."""

UNREADABLE_CODE: Final = "invalid_encrypted_content"

UNKNOWN_EDITOR: Final = re.compile(r"editor-version header", re.IGNORECASE)
"""I:litellm#13256, #18475: 400 'missing/unknown Editor-Version header for IDE auth'. Noted 2026-11-20."""

REQUEST_IDS: Final = ("x-request-id", "x-github-request-id", "apim-request-id")
"""V 2026-03: the headers of an answer that GitHub's support asks for. Noted 2026-11-20."""

LIMIT_HEADER: Final = Quirk("x-ratelimit-exceeded", "V 2026-03: which limit it was")
