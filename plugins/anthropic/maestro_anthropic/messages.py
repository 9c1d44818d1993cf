"""Turns → messages: words and calls in order, outputs right behind their calls, system turns in place."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final

from maestro_anthropic.blocks import Block, BlockWriter, text_block
from maestro_anthropic.thinking import thinking_blocks
from maestro_daemon.plugin import AssistantTurn, Called, SystemTurn, TextPart, Thought, Turn, Words

_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_-]")
_NO_OUTPUT: Final = "[This call was not run: there is no output.]"
_GO_ON: Final = "[Go on.]"
_INSTRUCTION: Final = "<system_message>\n{text}\n</system_message>"
_THINKING: Final = ("thinking", "redacted_thinking")


class Conversation:
    """The messages of one request.

    `system` are the blocks of what leads, `messages` what follows: a user's message last, since the API would
    go on with the text of an assistant's. `called` names the tools that were called. `thoughts` False leaves
    earlier thinking out.
    """

    def __init__(self, writer: BlockWriter, *, thoughts: bool) -> None:
        self.system: list[Block] = []
        self.messages: list[Block] = []
        self.called: dict[str, None] = {}
        self._writer = writer
        self._thoughts = thoughts
        self._ids: dict[str, str] = {}

    def tell(self, turns: Iterable[Turn]) -> None:
        """Add all turns. Raises `RequestInvalid` for a part that has no form."""
        for turn in turns:
            if isinstance(turn, SystemTurn):
                self._instruct(turn)
            elif isinstance(turn, AssistantTurn):
                self._answer(turn)
            else:
                self._add("user", self._writer.blocks(turn.parts))
        if not self.messages or self.messages[-1]["role"] != "user":
            self._add("user", [{"type": "text", "text": _GO_ON}])

    def remark(self, text: str) -> None:
        """Say something at the very end, in the user's turn."""
        self._add("user", [{"type": "text", "text": _INSTRUCTION.format(text=text)}])

    def loop_without_thinking(self) -> bool:
        """Whether the tool loop that is under way began without thinking: a budget is refused for it then."""
        if len(self.messages) < 2 or self.messages[-1]["content"][0]["type"] != "tool_result":
            return False
        return self.messages[-2]["content"][0]["type"] not in _THINKING

    def _instruct(self, turn: SystemTurn) -> None:
        blocks = self._writer.blocks(turn.parts)
        if not self.messages:
            self.system += [block for block in blocks if block["type"] == "text"]
            rest = [block for block in blocks if block["type"] != "text"]
            self._add("user", rest)
            return
        # In its place: moved to the front it would invalidate the prompt's cache, and all thinking after it.
        self._add("user", [_instruction(block) if block["type"] == "text" else block for block in blocks])

    def _answer(self, turn: AssistantTurn) -> None:
        blocks: list[Block] = []
        results: list[Block] = []
        for said in turn.said:
            match said:
                case Words(text):
                    block = text_block(text)
                    blocks += [] if block is None else [block]
                case Thought():
                    blocks += self._thinking(said)
                case Called():
                    id = self._unique(said.id)
                    self.called[said.name] = None
                    blocks.append({"type": "tool_use", "id": id, "name": said.name, "input": said.arguments})
                    results.append(self._result(id, said))
        if all(block["type"] in _THINKING for block in blocks):
            # Alone it would be a message that ends in thinking, which the API refuses.
            blocks = []
        self._add("assistant", blocks)
        self._add("user", results)

    def _thinking(self, thought: Thought) -> list[Block]:
        if not self._thoughts:
            return []
        blocks = thinking_blocks(thought.text, thought.opaque) if thought.opaque is not None else None
        if blocks is None:
            self._writer.dropped.append(f"{thought.place}: reasoning")
            return []
        return blocks

    def _result(self, id: str, call: Called) -> Block:
        result: Block = {"type": "tool_result", "tool_use_id": id}
        if call.output is None:
            return {**result, "content": _NO_OUTPUT, "is_error": True}
        match call.output:
            case (TextPart(text),):
                return {**result, "content": text} if text.strip() else result
        blocks = self._writer.blocks(call.output, from_tool=True)
        return {**result, "content": blocks} if blocks else result

    def _unique(self, id: str) -> str:
        """The call's id in the API's alphabet, told apart from every other of the conversation."""
        legal = _ILLEGAL.sub("_", id) or "call"
        count = 0
        unique = legal
        while unique in self._ids or (unique == legal and legal != id and count == 0):
            count += 1
            digest = hashlib.sha256(f"{id}\0{count}".encode("utf-8", "replace")).hexdigest()[:8]
            unique = f"{legal[:50]}_{digest}"
        self._ids[unique] = id
        return unique

    def _add(self, role: str, blocks: list[Block]) -> None:
        if not blocks:
            return
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": list(blocks)})


def _instruction(block: dict[str, Any]) -> Block:
    return {"type": "text", "text": _INSTRUCTION.format(text=block["text"])}
