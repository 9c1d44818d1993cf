"""`/responses` as Copilot serves it: what it refuses, and streams in which nothing keeps its id."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support import native
from tests.support.copilot.refusing import Refused
from tests.support.copilot.turns import Call, Say, Think, Turn

Event = dict[str, Any]


def rotating_id() -> str:
    """An id as Copilot's: about 400 characters, another each time."""
    return secrets.token_urlsafe(300)


class NativeHalf:
    """What Copilot knows of the answers that it gave.

    `text_in_deltas` False leaves text to the done events, `text_in_done_events` False leaves it to the
    finished item; `summaries_stream` False leaves summaries to it. `terminal` is the last event's name, and
    `status` what the Response in it says. `foreign` sends events and fields of Copilot's own.
    """

    def __init__(self) -> None:
        self.text_in_deltas = True
        self.text_in_done_events = True
        self.summaries_stream = True
        self.terminal = ""
        self.status = "completed"
        self.foreign = True
        self.snapshots: dict[str, Any] = {"premium_interactions": {"percent_remaining": 41.5}}
        self.ids_of_ciphertexts: dict[str, str] = {}
        self.namespaces: dict[str, str] = {}
        self.connections: dict[str, int] = {}
        self.ciphertexts_seen: list[str] = []

    def forget_keys(self) -> None:
        """From now on no ciphertext can be read: the account changed."""
        self.ids_of_ciphertexts.clear()

    def check(self, body: Mapping[str, Any], peer: int, model: Mapping[str, Any]) -> None:
        """Raise `Refused` for what `/responses` does not take."""
        if body.get("store") is not False:
            raise Refused(400, "store must be false", code="unsupported_value", param="store")
        for field in ("temperature", "client_metadata"):
            if field in body:
                raise Refused(400, f"Unsupported parameter: '{field}'", code="unsupported_parameter")
        if body.get("previous_response_id") is not None:
            raise Refused(400, "Previous response not found", code="previous_response_not_found")
        if "reasoning.encrypted_content" not in body.get("include", ()):
            raise Refused(400, "the fake wants what VS Code always sends", code="invalid_request_body")
        limit = model["capabilities"]["limits"]["max_output_tokens"]
        if body.get("max_output_tokens", 0) > limit:
            raise Refused(400, "max_output_tokens is too large", code="invalid_request_body")
        effort = (body.get("reasoning") or {}).get("effort")
        if effort is not None and effort not in model["capabilities"]["supports"]["reasoning_effort"]:
            raise Refused(400, f"effort {effort} is not supported", code="invalid_reasoning_effort")
        for tool in body.get("tools", ()):
            self._check_tool(tool)
        given = body["input"]
        for item in given if isinstance(given, list) else ():
            self._check_item(item, peer)

    def _check_tool(self, tool: Mapping[str, Any]) -> None:
        if tool["type"].startswith(("web_search", "code_interpreter")):
            raise Refused(400, f"tool type {tool['type']} is not supported", code="invalid_request_body")
        if tool["type"] == "namespace":
            if not tool.get("tools"):
                raise Refused(400, "namespace without tools", code="invalid_request_body")
            if not (tool.get("description") or "").strip():
                raise Refused(400, "namespace with a blank description", code="invalid_request_body")

    def _check_item(self, item: Mapping[str, Any], peer: int) -> None:
        kind = item.get("type", "message")
        if kind in ("additional_tools", "web_search_call", "item_reference"):
            raise Refused(400, f"input item {kind} is not supported", code="invalid_request_body")
        if kind in ("reasoning", "compaction"):
            self._check_ciphertext(item)
            return
        if "id" in item and self.connections.get(item["id"]) != peer:
            raise Refused(401, "input item ID does not belong to this connection")
        if kind == "function_call":
            wanted = self.namespaces.get(item["call_id"])
            if item.get("namespace") != wanted:
                raise Refused(400, "Missing namespace for function_call", code="invalid_request_body")

    def _check_ciphertext(self, item: Mapping[str, Any]) -> None:
        ciphertext = item.get("encrypted_content")
        if not ciphertext:
            raise Refused(400, "reasoning without encrypted_content", code="invalid_request_body")
        minted_with = self.ids_of_ciphertexts.get(ciphertext)
        if minted_with is None:
            raise Refused(
                400,
                "The encrypted content could not be decrypted or parsed.",
                code="invalid_encrypted_content",
            )
        if item.get("id") != minted_with:
            raise Refused(
                400,
                "Encrypted content item_id did not match the target item id",
                code="invalid_encrypted_content",
            )
        self.ciphertexts_seen.append(ciphertext)

    def events(self, turn: Turn, peer: int) -> list[Event]:
        """The stream of one answer."""
        output: list[Event] = []
        events = [
            {"type": "response.created", "response": native.response(rotating_id(), store=False)},
            {"type": "response.in_progress", "response": native.response(rotating_id(), store=False)},
        ]
        for index, doing in enumerate(turn):
            told = list(self._item_events(doing, index))
            for event in told:
                self._rotate(event, peer)
            done = told[-1]["item"]
            if "encrypted_content" in done:
                self.ids_of_ciphertexts[done["encrypted_content"]] = done["id"]
            final = {**done, "id": rotating_id()}
            final.pop("namespace", None)
            output.append(final)
            events += told
            if self.foreign:
                events.append({"type": "copilot_usage", "total_nano_aiu": 17})
        events.append(self._last(output))
        return native.numbered(events)

    def whole(self, turn: Turn, peer: int) -> Event:
        """The answer as one JSON object: its ids stand in it once."""
        events = self.events(turn, peer)
        output = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        response = native.response(rotating_id(), self.status, output, store=False)
        return self._with_foreign(response)

    def _with_foreign(self, response: Event) -> Event:
        if not self.foreign:
            return response
        return {
            **response,
            "copilot_usage": {"total_nano_aiu": 17},
            "copilot_quota_snapshots": self.snapshots,
        }

    def _last(self, output: list[Event]) -> Event:
        status = self.status
        response = native.response(rotating_id(), status, output, store=False)
        if status == "failed":
            response["error"] = {"code": "rate_limited:global", "message": "Slow down."}
        foreign = {"copilot_quota_snapshots": self.snapshots} if self.foreign else {}
        return {"type": self.terminal or f"response.{status}", "response": response, **foreign}

    def _item_events(self, doing: Think | Say | Call, index: int) -> Iterator[Event]:
        match doing:
            case Think(text):
                yield from self._thinking(text, index)
            case Say():
                yield from self._saying(doing, index)
            case Call(name, arguments, namespace, call_id):
                more: dict[str, Any] = {}
                if namespace is not None:
                    more["namespace"] = namespace
                    self.namespaces[call_id] = namespace
                pieces = (arguments[:1], arguments[1:])
                told = native.call_events(name, pieces, index, call_id=call_id, **more)
                told[0]["item"].pop("namespace", None)
                yield from told

    def _thinking(self, text: str, index: int) -> Iterator[Event]:
        told = native.thought_events(text, index)
        told[0]["item"]["encrypted_content"] = "unfinished"
        told[-1]["item"]["encrypted_content"] = f"cipher-{secrets.token_hex(20)}"
        yield from (told if self.summaries_stream else (told[0], told[-1]))

    def _saying(self, doing: Say, index: int) -> Iterator[Event]:
        for event in native.message_events(doing.pieces, index):
            type = event["type"]
            if type.endswith(".delta") and not self.text_in_deltas:
                continue
            in_between = type != "response.output_item.added" and type != "response.output_item.done"
            if in_between and not type.endswith(".delta") and not self.text_in_done_events:
                continue
            yield event

    def _rotate(self, event: Event, peer: int) -> None:
        """Give the event an item id that no other event has."""
        id = rotating_id()
        self.connections[id] = peer
        if "item" in event:
            event["item"] = {**event["item"], "id": id}
        else:
            event["item_id"] = id
