"""A client's request: the few fields that the house reads, and the whole body that it carries."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, Self

import orjson

from maestro_daemon.errors import NO_HEADERS
from maestro_daemon.ids import new_id

CIPHERTEXT: Final = "encrypted_content"
"""The field of an item, or of a part of it, that only its maker can read."""

PARTS: Final = ("content", "output")
"""The fields of an item whose parts may hold ciphertext of their own."""

PARTS_IN_CLEAR: Final = frozenset(
    {None, "message", "reasoning", "function_call", "custom_tool_call", "item_reference", "compaction"}
)
"""Types of items whose parts hold none: histories are full of them."""

_MODEL_FIRST_COMPACT: Final = b'{"model":'
_MODEL_FIRST: Final = re.compile(rb'\s*\{\s*"model"\s*:\s*')


def new_response_id() -> str:
    """An id that nobody can guess: ``resp_`` and 48 hex digits."""
    return new_id("resp")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds of one connection to an upstream, in seconds; None is the provider's own setting.

    `connect` until the connection stands, `first_byte` until the answer's headers, `idle` between two
    pieces of the answer.
    """

    connect: float | None = None
    first_byte: float | None = None
    idle: float | None = None


@dataclass(slots=True)
class History:
    """What the items of an input hold.

    `types` are theirs, None for items without a usable one; `ciphertexts` every ``encrypted_content`` that
    says something, in order; `bare_reasoning` whether there is reasoning without. `marked` is what
    `sealing.holds_marks` found, None until it was asked.
    """

    types: frozenset[Any]
    ciphertexts: tuple[str, ...]
    bare_reasoning: bool
    marked: bool | None = None


_NO_HISTORY: Final = History(frozenset(), (), bare_reasoning=False)
_NAMES: Final = frozenset({str, type(None)})
_TYPE: Final = itemgetter("type")


@dataclass(slots=True)  # not frozen: that costs a microsecond for each of its many makings
class ResponseRequest:
    """One call of ``POST /v1/responses``.

    `body` is the whole JSON object as the client sent it; nobody changes it in place. `model` is the name
    that the receiver of this object knows: what the client asked for at the edge, the upstream's own id
    inside a provider (``body["model"]`` always agrees). `asked_model` stays what the client asked for.
    `headers` holds those of the client's headers that may mean something to an upstream (lower-case
    names), never credentials. `client` is the name of the client's key, "" where no keys are configured.
    `response_id` and `created_at` (unix seconds) are the identity of the answer: every upstream's own is
    replaced by it. `timeouts` are what the route says of the connections made for it, None where it says
    nothing. `deadline` is the client's own patience in seconds (``x-stainless-timeout``), None if it did not
    say; the router heeds it. `text` is the JSON that `body` was read from, None where the two differ; where
    it is given, an integer of 2**64 or more may be a float in `body`, and `exact` brings it back.
    """

    body: Mapping[str, Any]
    model: str
    asked_model: str
    stream: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    client: str = ""
    request_id: str = ""
    response_id: str = field(default_factory=new_response_id)
    created_at: int = field(default_factory=lambda: int(time.time()))
    text: bytes | None = field(default=None, repr=False)
    timeouts: Timeouts | None = None
    deadline: float | None = None
    _history: History | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def previous_response_id(self) -> str | None:
        """The response that this one continues, by the id that the receiver of this object knows."""
        return self.body.get("previous_response_id")

    def history(self) -> History:
        """What the input holds; several look for something of their own in it, and it is found once."""
        history = self._history
        if history is None:
            items = self.body.get("input")
            history = self._history = _history(items) if isinstance(items, list) else _NO_HISTORY
        return history

    def item_types(self) -> frozenset[Any]:
        """The types of the input's items, None for those without a usable one; empty for a text as input."""
        return self.history().types

    def ciphertexts(self) -> tuple[str, ...]:
        """Every ``encrypted_content`` of the input that says something, in order."""
        return self.history().ciphertexts

    def aimed_at(self, model: str, **changes: Any) -> Self:
        """The same request for one target: `model` is the upstream's id, `changes` replace body fields."""
        body = {**self.body, "model": model, **changes}
        aimed = self.__class__(
            body,
            model,
            self.asked_model,
            self.stream,
            self.headers,
            self.client,
            self.request_id,
            self.response_id,
            self.created_at,
            None if changes else self._text_for(model),
            self.timeouts,
            self.deadline,
        )
        if "input" not in changes:
            aimed._history = self._history
        return aimed

    def _text_for(self, model: str) -> bytes | None:
        """`text` with the model's name replaced, if it begins with it, as most do; else None.

        So the client's numbers, escapes and order reach a native upstream as they were sent, and nothing is
        written anew.
        """
        if self.text is None:
            return None
        asked = orjson.dumps(self.model)
        if self.text.startswith(_MODEL_FIRST_COMPACT + asked):
            start = len(_MODEL_FIRST_COMPACT)
        else:
            head = _MODEL_FIRST.match(self.text)
            if head is None or not self.text.startswith(asked, head.end()):
                return None
            start = head.end()
        # A view: of a long text each copy counts.
        rest = memoryview(self.text)[start + len(asked) :]
        return b"".join((self.text[:start], orjson.dumps(model), rest))


def _history(items: list[Any]) -> History:
    # Histories are long, and hardly any item is of interest: they are passed over as fast as can be.
    given = _types(items)
    if given is None:
        items = [item if item.__class__ is dict else {} for item in items]
        given = [kind if (kind := item.get("type")).__class__ is str else None for item in items]
    types = frozenset(given)
    holders = [item for item in items if CIPHERTEXT in item]
    found: list[Any] = [item[CIPHERTEXT] for item in holders]
    bare = "reasoning" in types and given.count("reasoning") > sum(
        [item.get("type") == "reasoning" and bool(item[CIPHERTEXT]) for item in holders]
    )
    others = types - PARTS_IN_CLEAR
    if others and [
        True
        for item, type in zip(items, given, strict=True)
        if type in others and (item.get("output").__class__ is list or item.get("content").__class__ is list)
    ]:
        found = [blob for item, type in zip(items, given, strict=True) for blob in _blobs(item, type)]
    return History(types, tuple([each for each in found if each.__class__ is str and each]), bare)


def _types(items: list[Any]) -> list[Any] | None:
    """The items' types; None where any is no object or has no usable type."""
    try:
        given = list(map(_TYPE, items))
    except (KeyError, TypeError):
        return None
    return given if {*map(type, given)} <= _NAMES else None


def _blobs(item: Mapping[str, Any], type: str | None) -> Iterator[Any]:
    yield item.get(CIPHERTEXT)
    if type not in PARTS_IN_CLEAR:
        for name in PARTS:
            if (parts := item.get(name)).__class__ is list:
                yield from [part.get(CIPHERTEXT) for part in parts if part.__class__ is dict]
