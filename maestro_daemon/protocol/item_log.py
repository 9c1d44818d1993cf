"""What a stream has said of its output items so far: enough to keep their ids stable, and to end them well.

A native upstream's events pass as bytes; the log remembers of each item only what its deltas add up to, so
that an item which the upstream never finishes can still be closed, and is not lost from the final output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from maestro_daemon.ids import new_id
from maestro_daemon.protocol.delta_run import DELTA_OVERHEAD, DeltaRun
from maestro_daemon.protocol.missing_text import ITEM_DONE, missing_text
from maestro_daemon.protocol.open_item import BEARS_ITEM_ID, OpenItem

PREFIXES: Final[Mapping[str, str]] = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "tool_search_call": "tsc",
    "local_shell_call": "lsh",
    "shell_call": "sh",
    "apply_patch_call": "apc",
    "compaction": "cmp",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
}
"""What the ids of an item's type begin with."""

_LARGEST_OUTPUT: Final = 64 * 1024 * 1024


def new_item_id(type: str) -> str:
    """An unguessable id with the prefix of the item's type."""
    return new_id(PREFIXES.get(type, type.removesuffix("_call")[:24]))


class OutputTooLarge(ValueError):
    """The answer outgrew what one response may hold."""


class ItemLog:
    """The output items of one stream, by `output_index`.

    `size` is what an event weighs in bytes; all that is kept weighs no more than a fixed sum, beyond which
    `OutputTooLarge` is raised.
    """

    def __init__(self) -> None:
        self._open: dict[int, OpenItem] = {}
        self._done: dict[int, dict[str, Any]] = {}
        self._ids: dict[int, str] = {}
        self._types: dict[int, Any] = {}
        self._announcements = 0
        self._size = 0
        self._run: DeltaRun | None = None

    def stable_id(self, index: int) -> str | None:
        """The id under which the item at `index` was announced."""
        return self._ids.get(index)

    def added(self, index: int, item: Mapping[str, Any], size: int) -> str:
        """An item was announced; returns its id for the rest of the stream (minted if it came without)."""
        self.grow(size)
        id = self._identify(index, item)
        self._open[index] = OpenItem(index, item, id)
        return id

    def done(self, index: int, item: Mapping[str, Any], size: int) -> str:
        """The item at `index` is complete as `item`; returns its id."""
        self.grow(size)
        self._open.pop(index, None)
        id = self._ids.get(index) or self._identify(index, item)
        self._done[index] = {**item, "id": id}
        return id

    def note(self, type: str, index: int, event: Mapping[str, Any], size: int) -> bool:
        """Remember what an event within an item adds; True for a delta whose part nobody told of."""
        open_item = self._open.get(index)
        if open_item is None or type not in BEARS_ITEM_ID:
            return False
        delta = event.get("delta")
        if isinstance(delta, str) and not event.get("logprobs"):
            size = len(delta) + DELTA_OVERHEAD  # only the text is kept
        self.grow(size)
        return open_item.note(type, event)

    def missing(self, type: str, index: int, event: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """What has to be told before `event`, which ends a text of the item: see `missing_text`."""
        open_item = self._open.get(index)
        told = [] if open_item is None else list(missing_text(open_item, type, event))
        for _, fields in told:
            delta = fields.get("delta")
            self.grow(len(delta) if isinstance(delta, str) else 0)
        return told

    def run(
        self, type: str, index: int, event: Mapping[str, Any], payload: bytes, number: int
    ) -> DeltaRun | None:
        """What takes the deltas that go on where `event`, just noted, ended; None if none can.

        `payload` is the event's, `number` its sequence number.
        """
        open_item = self._open.get(index)
        texts = open_item.texts(type, event) if open_item is not None else None
        if self._run is not None:
            self._size += self._run.size
        self._run = (
            None if texts is None else DeltaRun.after(payload, number, texts, _LARGEST_OUTPUT - self._size)
        )
        return self._run

    def close_all(
        self, status: str = "incomplete", final: Sequence[Any] = ()
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """End every open item, with `status`: (event type, fields) in the right order.

        Where `final`, the output of the upstream's own final Response, holds the item, it ends as that, and
        what was not told of its texts is. Raises `OutputTooLarge`.
        """
        for index in sorted(self._open):
            open_item = self._open[index]
            told = final[index] if 0 <= index < len(final) else None
            whole = told if isinstance(told, dict) and told.get("type") == self._types[index] else None
            if whole is not None:
                for type, fields in self.missing(ITEM_DONE, index, {"item": whole}):
                    open_item.note(type, fields)
                    yield type, fields
            yield from open_item.closing()
            item = open_item.finished(status) if whole is None else {**whole, "id": open_item.id}
            del self._open[index]
            self._done[index] = item
            yield ITEM_DONE, {"output_index": index, "item": item}

    def output(self) -> list[dict[str, Any]]:
        """The items that are complete, in order."""
        return [self._done[index] for index in sorted(self._done)]

    def settled(self, output: Any) -> list[Any]:
        """The output of the final Response, `output` being what the upstream says it is.

        Its items get the ids that the stream gave them; where items of the stream are missing in it, it is
        the stream's.
        """
        if not isinstance(output, list):
            return self.output()
        settled = list(output)
        said = {item["id"] for item in output if isinstance(item, dict) and isinstance(item.get("id"), str)}
        for index, id in self._ids.items():
            if id in said:
                continue
            item = output[index] if 0 <= index < len(output) else None
            if not isinstance(item, dict) or item.get("type") != self._types[index]:
                return self.output()
            settled[index] = {**item, "id": id}
        return settled

    def untold(self, output: Sequence[Any]) -> list[tuple[int, dict[str, Any]]]:
        """The items of the final Response, with their places, of which the stream told nothing.

        None of them where its places and those of the stream do not agree.
        """
        if self._announcements != len(self._ids):
            return []
        for index, type in self._types.items():
            item = output[index] if 0 <= index < len(output) else None
            if not isinstance(item, dict) or item.get("type") != type:
                return []
        said = set(self._ids.values())
        return [
            (index, item)
            for index, item in enumerate(output)
            if isinstance(item, dict) and index not in self._ids and str(item.get("id")) not in said
        ]

    def grow(self, size: int) -> None:
        """So many bytes more are kept. Raises `OutputTooLarge`."""
        self._size += size
        if self._size + (0 if self._run is None else self._run.size) > _LARGEST_OUTPUT:
            raise OutputTooLarge(f"the answer holds more than {_LARGEST_OUTPUT} bytes")

    def _identify(self, index: int, item: Mapping[str, Any]) -> str:
        said = item.get("id")
        kind = item.get("type")
        id = (
            said if isinstance(said, str) and said else new_item_id(kind if isinstance(kind, str) else "item")
        )
        self._ids[index] = id
        self._types[index] = kind
        self._announcements += 1
        return id
