"""Ciphertext of upstreams on its round trip through clients, marked with the account that minted it.

Only the account that minted an ``encrypted_content`` can read it again; any other refuses the request. So
what leaves for a client begins with a mark that names the account by a hash, ``maestro1.<hash>.``, and loses
the mark on the way back to that account, byte for byte what it was. Nothing is kept here: the mark says it
all, also after a restart.

For any other account the mark stays and the ciphertext behind it goes (see `unsealed_items`): what passes
requests on or translates them leaves out what is marked so (`unsealed_input`, `chat_messages`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from maestro_daemon.events import DELTAS, TERMINAL, ResponseEvent
from maestro_daemon.protocol import json
from maestro_daemon.protocol.sealed_reasoning import COMPACTION, is_sealed, unseal
from maestro_daemon.protocol.sealed_reasoning import PREFIX as TRANSLATED
from maestro_daemon.request import CIPHERTEXT as FIELD
from maestro_daemon.request import PARTS, PARTS_IN_CLEAR, ResponseRequest

MARK: Final = "maestro1."
"""Begins every mark; nothing that OpenAI or Copilot mints begins so."""

ACCOUNT_DIGITS: Final = 12
"""How many hex digits an account's hash has."""

_KEY: Final = b'"encrypted_content"'
_STRING_FOLLOWS: Final = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*"')
_STRING: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*')
_MARKED: Final = re.compile(rf"{re.escape(MARK)}([0-9a-f]{{{ACCOUNT_DIGITS}}})\.")
_BACKSLASH: Final = 0x5C
_NO_ACCOUNT: Final = "0" * ACCOUNT_DIGITS

_READABLE_BY_ONE: Final = (MARK, TRANSLATED)


def marked_by(blob: str) -> str | None:
    """The hash of the account that minted `blob`, None where no mark of ours says it."""
    mark = _MARKED.match(blob) if blob.startswith(MARK) else None
    return None if mark is None else mark[1]


def sealed_origins(request: ResponseRequest) -> Iterator[str]:
    """The accounts whose ciphertext stands in the request's input, by their hashes, the latest first.

    The latest, since a conversation that had to move stays where it went.
    """
    seen: set[str] = set()
    for blob in reversed(request.ciphertexts()):
        account = marked_by(blob)
        if account is not None and account not in seen:
            seen.add(account)
            yield account


def holds_marks(request: ResponseRequest) -> bool:
    """Whether any ciphertext of the input is known to be readable by one account, or one provider, alone."""
    history = request.history()
    if history.marked is None:
        history.marked = bool([blob for blob in history.ciphertexts if blob.startswith(_READABLE_BY_ONE)])
    return history.marked


def holds_ciphertext(body: bytes) -> bool:
    """Whether there may be ciphertext in JSON."""
    return _KEY in body


class Seal:
    """Marks what one answer of one account holds. `account` is its hash; "" marks nothing."""

    __slots__ = ("_known", "_mark")

    def __init__(self, account: str) -> None:
        self._mark = f"{MARK}{account}." if account else ""
        self._known: set[int] = set()  # hashes of the ciphertexts, as UTF-8, that items held

    def event(self, event: ResponseEvent) -> ResponseEvent:
        """The event with the ciphertext of its items marked; itself where it holds none.

        All other bytes stay wherever it can be told by bytes what is ciphertext. Deltas are not looked at.
        """
        payload = event.payload
        if event.type in DELTAS or _KEY not in payload or not self._mark:
            return event
        # A final Response is long, and holds again what its items held.
        sealed = self._inserted(payload) if event.type in TERMINAL else None
        if sealed is None:
            try:
                data = json.loads(payload)
            except json.JSONInvalid:
                return event  # the guard says what it is
            if not isinstance(data, dict):
                return event
            response = data.get("response")
            items = response.get("output") if isinstance(response, dict) else [data.get("item")]
            sealed = self._sealed(payload, data, items)
        return event if sealed is payload else ResponseEvent(event.type, sealed)

    def answer(self, body: bytes, response: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """A whole Response, `body`, and the same parsed, with the ciphertext of its items marked.

        Where there is none, both come back as they are; `response` is not changed.
        """
        if not self._mark:
            return body, response
        read = json.loads(body)
        sealed = self._sealed(body, read, read["output"])
        return (body, response) if sealed is body else (sealed, read)

    def _sealed(self, payload: bytes, data: dict[str, Any], items: Any) -> bytes:
        """`payload`, and `data`, the same read, with the ciphertext of `items`, a part of it, marked."""
        if not isinstance(items, list):
            return payload
        places = [place for item in items for place in _places(item) if not _is_for_all(place[FIELD])]
        if not places:
            return payload
        self._known.update(hash(place[FIELD].encode("utf-8", "replace")) for place in places)
        for place in places:
            place[FIELD] = self._mark + place[FIELD]
        sealed = self._inserted(payload)
        return json.dumps(data) if sealed is None else sealed

    def _inserted(self, payload: bytes) -> bytes | None:
        """`payload` with the mark put in by bytes; None if a string of that name is not known for ciphertext.

        A Response echoes what a client says of tools and metadata, which may have a field of that name. The
        key cannot be part of a text: a quote within one has a backslash before it.
        """
        mark = self._mark.encode()
        pieces: list[bytes] = []
        done = 0
        at = payload.find(_KEY)
        while at >= 0:
            after = at + len(_KEY)
            follows = _STRING_FOLLOWS.match(payload, after)
            if follows is not None:
                start = follows.end()
                value = _string(payload, start)
                if payload[at - 1] == _BACKSLASH or (value and hash(value) not in self._known):
                    return None
                if value:
                    pieces += (payload[done:start], mark)
                    done = start
            at = payload.find(_KEY, after)
        if not pieces:
            return payload
        pieces.append(payload[done:])
        return b"".join(pieces)


class Unsealed(NamedTuple):
    """Items for one account: `items` are what it gets.

    `own` counts marks of its own that were taken off, `foreign` the ciphertexts that were left out, and
    `kept` those that go along, marked before or not.
    """

    items: list[Any]
    own: int
    foreign: int
    kept: int


def unsealed_items(items: Sequence[Any], account: str, *, ciphertext: bool = True) -> Unsealed:
    """The items as the account of that hash is to get them; `items` themselves are not changed.

    Its own ciphertext loses the mark, another's is replaced by the mark alone. What bears no mark stays: its
    origin is not known. With `ciphertext` False all of it goes, whoever minted it.
    """
    own = foreign = kept = 0
    told = list(items)

    def open_(blob: str) -> str:
        nonlocal own, foreign, kept
        minted_by = marked_by(blob)
        bare = blob if minted_by is None else blob[len(MARK) + ACCOUNT_DIGITS + 1 :]
        if minted_by is None and is_sealed(bare):
            return blob  # for the translation to judge
        if (minted_by is not None and minted_by != account) or (not ciphertext and not is_sealed(bare)):
            foreign += 1
            return f"{MARK}{minted_by or _NO_ACCOUNT}."
        own += minted_by is not None
        kept += not is_sealed(bare)
        return bare

    for index, item in enumerate(items):
        if item.__class__ is not dict:
            continue
        if FIELD in item and item[FIELD].__class__ is str and item[FIELD]:
            told[index] = {**item, FIELD: open_(item[FIELD])}
        if item.get("type") not in PARTS_IN_CLEAR:
            for field in PARTS:
                parts = item.get(field)
                if parts.__class__ is list and any(map(_is_place, parts)):
                    told[index] = {
                        **told[index],
                        field: [
                            {**part, FIELD: open_(part[FIELD])} if _is_place(part) else part for part in parts
                        ],
                    }
    return Unsealed(told, own, foreign, kept)


def unmarked_text(text: bytes, account: str, count: int) -> bytes | None:
    """The JSON `text` of a request without the `count` marks of `account` on its ciphertexts.

    None if they cannot be told from other bytes that look so.
    """
    mark = f"{MARK}{account}.".encode()
    for spelt in (b'"encrypted_content":"', b'"encrypted_content": "'):
        bare = text.replace(spelt + mark, spelt)
        if len(text) - len(bare) == count * len(mark):
            return bare
    return None


def _string(text: bytes, start: int) -> bytes:
    """The JSON string that begins at `start`, behind its quote, as UTF-8."""
    said = text[start : text.find(b'"', start)]
    if b"\\" not in said:
        return said
    whole = _STRING.match(text, start)
    try:
        value: str = json.loads(b'"%b"' % (whole[0] if whole is not None else b""))
    except json.JSONInvalid:
        return said
    return value.encode("utf-8", "replace")


def _is_for_all(blob: str) -> bool:
    """Whether `blob` is a summary of ours, which every account may read."""
    return blob.startswith(TRANSLATED) and unseal(blob, provider=COMPACTION) is not None


def _is_place(value: Any) -> bool:
    return value.__class__ is dict and value.get(FIELD).__class__ is str and bool(value[FIELD])


def _places(item: Any) -> Iterator[dict[str, Any]]:
    """The objects of an item that hold ciphertext: itself, or parts of it."""
    if not isinstance(item, dict):
        return
    if _is_place(item):
        yield item
    kind = item.get("type")
    # An upstream may have put anything there, which need not be hashable.
    if isinstance(kind, dict | list) or kind not in PARTS_IN_CLEAR:
        for field in PARTS:
            parts = item.get(field)
            if isinstance(parts, list):
                yield from filter(_is_place, parts)
