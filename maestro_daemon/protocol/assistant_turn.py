"""One assistant message with its calls, and the messages that have to follow it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from maestro_daemon.protocol.chat_dialect import ChatDialect
from maestro_daemon.protocol.chat_parts import Part, joined_text

NO_OUTPUT: Final = "[This call was not run: there is no output.]"
_OUTPUT_FOLLOWS: Final = "[The output follows in the next message.]"


@dataclass(slots=True)
class Call:
    """One tool call: its id, its flat name, and how the chat message says it. `output` None: unanswered."""

    id: str
    name: str
    said: dict[str, Any]
    output: list[Part] | None = None


@dataclass(slots=True)
class AssistantTurn:
    """What the assistant said and called without being interrupted, in the order of the input.

    `answered` is True from the first output on: what the assistant says then is another turn. `place` is
    where in the input its last reasoning stands.
    """

    texts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    opaque: str | None = None
    calls: list[Call] = field(default_factory=list)
    answered: bool = False
    place: int = 0

    def thinks_only(self) -> bool:
        """True when there is reasoning and nothing else."""
        return bool(self.reasoning or self.opaque) and not (self.texts or self.refusals or self.calls)

    def messages(self, dialect: ChatDialect) -> list[dict[str, Any]]:
        """The assistant message, a tool message for each call, and a user message for what these cannot hold.

        Empty when there is nothing that `dialect` can say.
        """
        thought = "\n\n".join(self.reasoning) if dialect.reasoning_field else ""
        opaque = self.opaque if dialect.opaque_field else None
        if not (self.texts or self.refusals or self.calls or thought or opaque):
            return []
        assistant: dict[str, Any] = {"role": "assistant", "content": self._content(dialect)}
        if self.refusals and dialect.refusal_field:
            assistant["refusal"] = "\n\n".join(self.refusals)
        if thought and dialect.reasoning_field:
            assistant[dialect.reasoning_field] = thought
        if opaque and dialect.opaque_field:
            assistant[dialect.opaque_field] = opaque
        messages = [assistant]
        if self.calls:
            self._name_apart()
            assistant["tool_calls"] = [{"id": call.id, **call.said} for call in self.calls]
            messages += [_tool_message(call) for call in self.calls]
            media = [part for call in self.calls for part in _media(call)]
            if media:
                messages.append({"role": "user", "content": media})
        return messages

    def _content(self, dialect: ChatDialect) -> str:
        texts = self.texts if dialect.refusal_field else [*self.texts, *self.refusals]
        return texts[0] if len(texts) == 1 else "\n\n".join(texts)

    def _name_apart(self) -> None:
        taken = {call.id for call in self.calls}
        if len(taken) == len(self.calls):
            return
        seen: dict[str, int] = {}
        for call in self.calls:
            wanted = call.id
            seen[wanted] = count = seen.get(wanted, 0) + 1
            while count > 1 and (call.id == wanted or call.id in taken):
                call.id = f"{wanted}_{count}"
                count += 1
            seen[wanted] = max(seen[wanted], count - 1)
            taken.add(call.id)


def _tool_message(call: Call) -> dict[str, Any]:
    if call.output is None:
        text = NO_OUTPUT
    else:
        text = joined_text(call.output, "\n")
        if not text and any(part["type"] != "text" for part in call.output):
            text = _OUTPUT_FOLLOWS
    return {"role": "tool", "tool_call_id": call.id, "content": text}


def _media(call: Call) -> list[Part]:
    media = [part for part in call.output or () if part["type"] not in ("text", "refusal")]
    if not media:
        return []
    return [{"type": "text", "text": f"From the output of {call.name} (call {call.id}):"}, *media]
