"""Deltas of one text that follow each other: nearly every event of a stream, so the way of least work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

DELTA_OVERHEAD: Final = 64
"""What keeping one delta costs beside its characters, in bytes."""

_PLACE: Final = (b'"type":', b'"item_id":', b'"output_index":')
_PLACE_OF_PART: Final = (b'"content_index":', b'"summary_index":')
_NUMBER: Final = b'"sequence_number":'
_DELTA: Final = b'"delta":'
_PLAIN: Final = frozenset({"delta", "logprobs", "obfuscation"})
"""What a delta may hold behind its place and be read with others."""


class DeltaRun:
    """The text that a delta with this `payload` and `number` belonged to.

    An upstream writes each delta of a text alike, up to the delta itself: what begins with the same bytes
    has the same place. `texts` is the list that further deltas are appended to, `room` the bytes that may be
    added; `size` is what was.
    """

    __slots__ = ("_before", "_behind", "_room", "_texts", "size")

    def __init__(self, before: bytes, behind: bytes, texts: list[str], room: int) -> None:
        self._before = before
        self._behind = behind
        self._texts = texts
        self._room = room
        self.size = 0

    @classmethod
    def after(cls, payload: bytes, number: int, texts: list[str], room: int) -> DeltaRun | None:
        """The run that a delta begins; None where its place does not stand in front of its text."""
        head, found, tail = payload.partition(_DELTA)
        said = b"%b%d," % (_NUMBER, number)
        before, numbered, behind = head.partition(said)
        if not found or not numbered or not all(field in head for field in _PLACE):
            return None
        if any(field in tail for field in _PLACE_OF_PART):
            return None
        return cls(before + _NUMBER, b"," + behind + _DELTA, texts, room)

    def takes_all(self, payloads: Sequence[bytes], number: int) -> bool:
        """Append the deltas of `payloads`, numbered from `number`, if all go on with this text; else none.

        They are read together: what stands behind the place of each is one member of an array.
        """
        tails = self._tails(payloads, number)
        if tails is None:
            return False
        joined = b"[{" + _DELTA + (b",{" + _DELTA).join(tails) + b"]"
        if b"\n" in joined or b"\r" in joined:
            return False
        try:
            events = orjson.loads(joined)
        except orjson.JSONDecodeError:
            return False
        # Other members could hold what is no whole object by itself.
        if len(events) != len(payloads):
            return False
        texts = []
        for event in events:
            text = event["delta"]
            if text.__class__ is not str or event.get("logprobs") or not event.keys() <= _PLAIN:
                return False
            texts.append(text)
        size = sum(map(len, texts)) + DELTA_OVERHEAD * len(texts)
        if self.size + size > self._room:
            return False
        self.size += size
        self._texts += texts
        return True

    def _tails(self, payloads: Sequence[bytes], number: int) -> list[bytes] | None:
        """What stands behind the place of each; None unless each has this place, and the next number."""
        before, behind = self._before, self._behind
        count = len(payloads)
        heads: list[bytes] = []
        tails: list[bytes] = []
        while len(tails) < count:
            # Up to the next power of ten all heads have the same length.
            digits = len(b"%d" % (number + len(tails)))
            same = payloads[len(tails) : 10**digits - number]
            end = len(before) + digits + len(behind)
            heads += [payload[:end] for payload in same]
            tails += [payload[end:] for payload in same]
        # Compared at one go: a comparison for each takes three times as long.
        numbers = orjson.dumps(list(range(number, number + count)))[1:-1]
        expected = before + numbers.replace(b",", behind + before) + behind
        return tails if b"".join(heads) == expected else None

    def takes(self, payload: bytes, event: Mapping[str, Any], number: int) -> bool:
        """Append the delta of `event`, which `payload` says, if it goes on with this text and number."""
        if not payload.startswith(b"%b%d%b" % (self._before, number, self._behind)):
            return False
        text: Any = event.get("delta")
        # The bytes may hold another number, in an object before the event's own.
        if event.get("sequence_number") != number:
            return False
        if text.__class__ is not str or event.get("logprobs") or b"\n" in payload or b"\r" in payload:
            return False
        self.size += len(text) + DELTA_OVERHEAD
        if self.size > self._room:
            return False
        self._texts.append(text)
        return True
