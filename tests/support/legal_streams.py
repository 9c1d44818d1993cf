"""Native streams as the Responses grammar allows them, drawn by hypothesis; and ways to break their form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from tests.support import native
from tests.support.native import Event

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6)
CIPHERTEXTS = st.sampled_from(
    [
        "gAAAA",
        "gAAAAABo+/w==",
        'é"encrypted_content":"\\',
        "maestro1.000000000000.gAAAA",
        "maestro-sealed-1.x",
    ]
)
PIECES = st.lists(TEXT, min_size=1, max_size=4)
_LOGPROB = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
_CITATION = {
    "type": "url_citation",
    "url": "https://example.com",
    "title": "t",
    "start_index": 0,
    "end_index": 1,
}


def part_events(
    place: Mapping[str, Any],
    kind: str,
    pieces: list[str],
    *,
    annotations: int = 0,
    logprobs: bool = False,
) -> tuple[list[Event], Event]:
    """The events of one content part, and the part."""
    field = "refusal" if kind == "refusal" else "text"
    text = "".join(pieces)
    more: dict[str, Any] = {}
    deltas: list[Event] = []
    probs: list[Any] = []
    for piece in pieces:
        delta: Event = {"type": f"response.{kind}.delta", **place, "delta": piece, "obfuscation": "x" * 5}
        if kind == "output_text":
            delta["logprobs"] = [_LOGPROB] if logprobs else []
            probs += delta["logprobs"]
        deltas.append(delta)
    done: Event = {"type": f"response.{kind}.done", **place, field: text}
    if kind == "output_text":
        done["logprobs"] = probs
        more = {"annotations": [], "logprobs": []}
    cited = [_CITATION] * annotations if kind == "output_text" else []
    whole = {"type": kind, field: text, **more}
    if kind == "output_text":
        whole |= {"annotations": cited, "logprobs": probs}
    notes = [
        {
            "type": "response.output_text.annotation.added",
            **place,
            "annotation_index": number,
            "annotation": annotation,
        }
        for number, annotation in enumerate(cited)
    ]
    empty = {"type": kind, field: "", **more}
    return [
        {"type": "response.content_part.added", **place, "part": empty},
        *deltas,
        *notes,
        done,
        {"type": "response.content_part.done", **place, "part": whole},
    ], whole


def item_events(index: int, empty: Event, within: list[Event], whole: Event) -> list[Event]:
    """An item's events between added and done."""
    return [
        {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**empty, "status": "in_progress"},
        },
        *within,
        {"type": "response.output_item.done", "output_index": index, "item": whole},
    ]


@st.composite
def messages(draw: st.DrawFn, index: int, status: str) -> list[Event]:
    """A message of any parts."""
    id = f"msg_{index:020d}"
    within: list[Event] = []
    content = []
    for number in range(draw(st.integers(0, 3))):
        events, part = part_events(
            {"item_id": id, "output_index": index, "content_index": number},
            draw(st.sampled_from(["output_text", "output_text", "refusal"])),
            draw(PIECES),
            annotations=draw(st.integers(0, 2)),
            logprobs=draw(st.booleans()),
        )
        within += events
        content.append(part)
    head = {"id": id, "type": "message", "role": "assistant"}
    return item_events(index, {**head, "content": []}, within, {**head, "content": content, "status": status})


@st.composite
def reasonings(draw: st.DrawFn, index: int, status: str) -> list[Event]:
    """Reasoning with summaries, text, or neither."""
    id = f"rs_{index:020d}"
    within: list[Event] = []
    summary = []
    content = []
    for number in range(draw(st.integers(0, 2))):
        place = {"item_id": id, "output_index": index, "summary_index": number}
        pieces = draw(PIECES)
        part = {"type": "summary_text", "text": "".join(pieces)}
        summary.append(part)
        stem = "response.reasoning_summary"
        within.append({"type": f"{stem}_part.added", **place, "part": {**part, "text": ""}})
        within += [{"type": f"{stem}_text.delta", **place, "delta": piece} for piece in pieces]
        within.append({"type": f"{stem}_text.done", **place, "text": part["text"]})
        within.append({"type": f"{stem}_part.done", **place, "part": part})
    for number in range(draw(st.integers(0, 2))):
        place = {"item_id": id, "output_index": index, "content_index": number}
        events, part = part_events(place, "reasoning_text", draw(PIECES))
        within += events
        content.append(part)
    head: dict[str, Any] = {"id": id, "type": "reasoning", "summary": []}
    ciphertext = draw(CIPHERTEXTS)
    whole = {**head, "summary": summary, "encrypted_content": ciphertext, "status": status}
    if draw(st.booleans()):
        head["encrypted_content"] = draw(st.sampled_from(["", ciphertext[:4], ciphertext]))
    if content:
        whole["content"] = content
    return item_events(index, head, within, whole)


@st.composite
def calls(draw: st.DrawFn, index: int, status: str) -> list[Event]:
    """A function or custom tool call."""
    custom = draw(st.booleans())
    kind, field, stem = (
        ("custom_tool_call", "input", "custom_tool_call_input")
        if custom
        else ("function_call", "arguments", "function_call_arguments")
    )
    id = f"{'ctc' if custom else 'fc'}_{index:020d}"
    pieces = draw(PIECES)
    head = {"id": id, "type": kind, "call_id": f"call_{index}", "name": "run", field: ""}
    place = {"item_id": id, "output_index": index}
    text = "".join(pieces)
    name = {} if custom else {"name": "run"}
    within: list[Event] = [
        *({"type": f"response.{stem}.delta", **place, "delta": piece} for piece in pieces),
        {"type": f"response.{stem}.done", **place, field: text, **name},
    ]
    return item_events(index, head, within, {**head, field: text, "status": status})


@st.composite
def searches(draw: st.DrawFn, index: int, status: str) -> list[Event]:
    """A hosted tool's call."""
    id = f"ws_{index:020d}"
    place = {"item_id": id, "output_index": index}
    head = {"id": id, "type": "web_search_call", "action": {"type": "search", "query": draw(TEXT)}}
    whole = {**head, "status": status}
    phases = ("in_progress", "searching", "completed")
    within: list[Event] = [{"type": f"response.web_search_call.{phase}", **place} for phase in phases]
    return item_events(index, head, within, whole)


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """A whole numbered stream, completed or incomplete."""
    status = draw(st.sampled_from(["completed", "completed", "incomplete"]))
    kinds = draw(st.lists(st.sampled_from([messages, messages, reasonings, calls, searches]), max_size=4))
    items = []
    for index, kind in enumerate(kinds):
        cut = status == "incomplete" and index == len(kinds) - 1
        make: Callable[[int, str], st.SearchStrategy[list[Event]]] = messages if cut else kind
        items.append(draw(make(index, "incomplete" if cut else "completed")))
    more = {"incomplete_details": {"reason": "max_output_tokens"}} if status == "incomplete" else {}
    return native.numbered(
        [
            {"type": "response.created", "response": native.response()},
            {"type": "response.in_progress", "response": native.response()},
            *(event for item in items for event in item),
            {
                "type": f"response.{status}",
                "response": native.response(
                    status=status, output=[item[-1]["item"] for item in items], **more
                ),
            },
        ]
    )


def with_rotating_ids(events: list[Event]) -> list[Event]:
    """The same stream from an upstream that gives an item another id at each mention."""
    changed: list[Event] = json.loads(json.dumps(events))
    for number, event in enumerate(changed):
        if event["type"] == "response.output_item.added":
            continue  # the first mention counts
        if "item_id" in event:
            event["item_id"] = f"{event['item_id']}x{number}"
        if "item" in event:
            event["item"]["id"] += f"y{number}"
        for item in event.get("response", {}).get("output", ()):
            item["id"] += f"z{number}"
    return changed


def without_ids(events: list[Event]) -> list[Event]:
    """The same stream from an upstream that has no item ids."""
    changed: list[Event] = json.loads(json.dumps(events))
    for event in changed:
        # events of hosted tools are not the house's to complete
        if "item_id" in event and "web_search" not in event["type"]:
            del event["item_id"]
        if "item" in event:
            del event["item"]["id"]
        for item in event.get("response", {}).get("output", ()):
            del item["id"]
    return changed
