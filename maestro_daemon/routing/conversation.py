"""By what a conversation is known again: a key of the client's, else what its first turn said.

A client that names its conversations is believed. Else two requests belong together if the same stands
before the first thing that a model made, and that thing begins alike. Equal first turns are still
conversations of their own, which is why a first turn is never looked up: only what follows it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple

import orjson

from maestro_daemon.protocol import json
from maestro_daemon.request import ResponseRequest

Kind = Literal["key", "header", "history"]
Key = tuple[str, ...]
"""Client, route, and what tells the conversation from the client's others there."""

_HEADERS: Final = (
    "thread-id",  # Codex: one conversation; its session-id is shared with those of sub-agents
    "session-id",
    "session_id",  # Codex as it was
    "x-claude-code-session-id",
    "x-session-affinity",  # opencode
    "x-session-id",
)
_LONGEST: Final = 200
"""Characters of a name that are kept as they are; a longer one is kept as its hash."""

_MADE_BY_MODELS: Final = frozenset(
    {"reasoning", "compaction", "item_reference", "mcp_list_tools", "mcp_approval_request"}
    | {"mcp_approval_response"}  # which answers one
)
_CHANGING: Final = frozenset({"id", "status"})
_MARKS: Final = frozenset({"cache_control", "prompt_cache_breakpoint"})
_TEXTS: Final = frozenset({"input_text", "text", "output_text"})
_FEW: Final = 16
"""Items that are read at either end of what stands before the first answer, and parts of one of them."""
_PIECE: Final = 1024
"""Characters that are read at either end of a long text."""


class Conversation(NamedTuple):
    """`known_as` are the keys to look for, best first; `keys` those to remember it by, once it was served."""

    kind: Kind
    known_as: tuple[Key, ...]
    keys: tuple[Key, ...]


def conversation_of(request: ResponseRequest, route: str) -> Conversation | None:
    """What tells this conversation from others on the route named `route`; None if nothing does."""
    named = request.body.get("prompt_cache_key")
    if named.__class__ is str and named:
        key = (request.client, route, "key", _short(named))
        return Conversation("key", (key,), (key,))
    for header in _HEADERS:
        value = request.headers.get(header)
        if value:
            # Every header in a namespace of its own: a session may bear the name of another's thread.
            key = (request.client, route, header, _short(value))
            return Conversation("header", (key,), (key,))
    if request.previous_response_id is not None:
        return None  # the history is elsewhere, and the input says nothing of its beginning
    items: Any = request.body.get("input")
    first = _first_made(items) if isinstance(items, list) else None
    begun = (request.client, route, "history", _digest(_beginning(request, items, first)))
    if first is None:
        return Conversation("history", (), (begun,))
    going = (*begun, _fingerprint(items, first))
    return Conversation("history", (going, begun), (going,))


def continued(conversation: Conversation, output: Sequence[Any]) -> tuple[Key, ...]:
    """The keys by which the turn after a first one is known, given the first answer's output items.

    None where the conversation is known by more already.
    """
    if conversation.kind != "history" or conversation.known_as:
        return ()
    (begun,) = conversation.keys
    told = (*begun, _fingerprint(output))
    first = output[0] if output else None
    id = first.get("id") if first.__class__ is dict else None
    # Some clients send a reference instead of the item.
    return (told, (*begun, _short(id))) if isinstance(id, str) else (told,)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else _digest(name)


def _digest(value: Any) -> str:
    try:
        written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        written = json.dumps(value)
    return blake2b(written, digest_size=16).hexdigest()


def _first_made(items: Sequence[Any]) -> int | None:
    """The index of the first item that a model made, or that answers one; None in a first turn."""
    for index, item in enumerate(items):
        if item.__class__ is not dict:
            continue
        kind = item.get("type")
        if kind is None or kind == "message":
            if item.get("role") == "assistant" or ("role" not in item and "content" not in item):
                return index
        elif kind in _MADE_BY_MODELS or kind.endswith(("_call", "_output")):
            return index
    return None


def _beginning(request: ResponseRequest, items: Any, first: int | None) -> list[Any]:
    """What stands before the first item that a model made, in a form that stays from turn to turn."""
    said: list[Any] = [_told(request.body.get("instructions"))]
    if not isinstance(items, list):
        return [*said, 1, _message("user", items)]
    count = len(items) if first is None else first
    said.append(count)
    said += [_item(items[place]) for place in _places(count)]
    return said


def _places(count: int) -> Iterable[int]:
    """All places of a short list, those at either end of a long one."""
    return range(count) if count <= 2 * _FEW else (*range(_FEW), *range(count - _FEW, count))


def _item(item: Any) -> Any:
    if item.__class__ is not dict:
        return None
    kind = item.get("type")
    if kind is None or kind == "message":
        return _message(item.get("role"), item.get("content"))
    if kind == "additional_tools":
        return kind  # as with `tools`, which may grow while a conversation goes on
    return _told({name: value for name, value in item.items() if name not in _CHANGING})


def _message(role: Any, content: Any) -> list[Any]:
    if not isinstance(content, list):
        return [role, 1, _text(content)]
    return [role, len(content), *[_part(content[place]) for place in _places(len(content))]]


def _part(part: Any) -> Any:
    kind = part.get("type") if part.__class__ is dict else None
    if kind.__class__ is str and kind in _TEXTS:
        return _text(part.get("text"))  # marks beside it, as for caching, move with the turns
    return _told(part)


def _told(value: Any, depth: int = 4) -> Any:
    """The value without nulls, and no more of it than tells it from others."""
    if value.__class__ is str:
        return _text(value)
    if depth and isinstance(value, dict):
        return {
            name: _told(each, depth - 1)
            for name, each in itertools.islice(value.items(), 2 * _FEW)
            if each is not None and name not in _MARKS
        }
    if depth and isinstance(value, list):
        return [len(value), *[_told(value[place], depth - 1) for place in _places(len(value))]]
    return None if isinstance(value, dict | list) else value


def _text(text: Any) -> Any:
    if text.__class__ is not str or len(text) <= 2 * _PIECE:
        return text
    return [len(text), text[:_PIECE], text[-_PIECE:]]


def _fingerprint(items: Sequence[Any], start: int = 0) -> str:
    """How the first answer begins, in what every client sends back of it; reasoning is often left out."""
    for place in range(start, min(len(items), start + _FEW)):
        item = items[place]
        if item.__class__ is not dict or item.get("type") == "reasoning":
            continue
        call = item.get("call_id")
        if isinstance(call, str):
            return _short(call)
        if item.get("role") == "assistant":
            return _digest(_said(item.get("content")))
        kind = item.get("type")
        return _short(str(item.get("id") if kind in (None, "item_reference") else kind))
    return ""


def _said(content: Any) -> Any:
    """The text of an answer, as one piece or in parts."""
    if not isinstance(content, list):
        return _text(content)
    texts = [
        text
        for part in content[:_FEW]
        if part.__class__ is dict and isinstance(text := part.get("text", part.get("refusal")), str)
    ]
    return _text("".join(texts))
