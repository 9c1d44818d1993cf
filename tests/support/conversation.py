"""A client that holds a conversation with sealed reasoning, and judges what it gets of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.house import House, parse_stream


@dataclass
class Conversation:
    """A client that sends its whole history with each turn, and keeps what came as it came."""

    at: House
    stream: bool
    model: str = "coder"
    history: list[Any] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def turn(self, said: str = "Go on", **fields: Any) -> list[Any]:
        """Say something; the items of the answer, alike in all that the answer says of them."""
        self.history.append({"type": "message", "role": "user", "content": said})
        asked = {
            "model": self.model,
            "input": self.history,
            "stream": self.stream,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            **fields,
        }
        status, self.headers, self.body = await self.at.post(asked)
        assert status == 200, self.body
        if self.stream:
            events = parse_stream(self.body)
            assert events[-1]["type"] == "response.completed"
            output = events[-1]["response"]["output"]
            done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
            assert done == output
            for event in events:
                if event["type"] == "response.output_item.added" and event["item"].get("encrypted_content"):
                    blob = event["item"]["encrypted_content"]
                    assert blob == output[event["output_index"]]["encrypted_content"]
        else:
            output = json.loads(self.body)["output"]
        self.history += output
        return list(output)

    @property
    def target(self) -> str:
        return self.headers["x-maestro-target"]

    @property
    def degraded(self) -> str | None:
        return self.headers.get("x-maestro-degraded")

    def thoughts(self) -> list[str]:
        return [item["encrypted_content"] for item in self.history if "encrypted_content" in item]
