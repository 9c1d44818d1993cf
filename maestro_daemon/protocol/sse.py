"""Server-sent events: any split of bytes in, whole records out; and frames for the way back.

The grammar is the HTML standard's (§9.2.6): LF, CR and CRLF end lines, an empty line ends a record, several
``data:`` lines are joined by LF, a leading BOM and comments are skipped. A record without its closing empty
line is handed out by `close`, since some servers leave it away.
"""

from __future__ import annotations

import re
from itertools import groupby
from operator import itemgetter
from typing import Final

_BOM: Final = b"\xef\xbb\xbf"
_MOST_NAMES: Final = 256
_LONGEST_NAME: Final = 128
_LONGEST_SINGLE: Final = 4096
_COMMON: Final = re.compile(rb"event: (\S+)\ndata: (.*)\n\n")
"""Nearly every record: one event line, one data line. A read of such alone is taken apart in one go.

A name ends at a space: data may say ``event:`` very often, and to look each time for the end of a name would
take the square of its length.
"""
_EVENT: Final = b"event: "
_DATA: Final = b"\ndata: "
_DELTA: Final = b".delta" + _DATA
_NAME: Final = itemgetter(0)
_COMMON_FRAME: Final = len(_EVENT + _DATA) + 2


Record = tuple[str, bytes]
"""One SSE record: the ``event:`` name ("" if none was sent) and the joined ``data:`` lines."""


Run = tuple[str, list[bytes]]
"""Records that follow each other under one name: the name, and the data of those that have any."""


class RecordTooLarge(ValueError):
    """More bytes than `limit` came without a record's end."""


class _Names(dict[bytes, str]):
    """Event names by their bytes, each decoded once for all streams."""

    def __missing__(self, raw: bytes) -> str:
        name = raw.decode("utf-8", "replace")
        if len(self) < _MOST_NAMES and len(raw) <= _LONGEST_NAME:
            self[raw] = name
        return name


_NAMES: Final = _Names()


class Decoder:
    """An incremental SSE decoder. `limit` bounds one record, in bytes."""

    def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._begun = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[Record]:
        """Take the bytes of one read; return the records that they completed."""
        record = self._single(chunk)
        return [record] if record is not None else self._records(self._whole(chunk))

    def runs(self, chunk: bytes) -> list[Run]:
        """As `feed`, but deltas that follow each other come together."""
        record = self._single(chunk)
        if record is not None:
            return [(record[0], [record[1]])] if record[1] else []
        return self._runs(self._whole(chunk))

    def _whole(self, chunk: bytes) -> bytes:
        """What `chunk` makes complete, up to the last empty line and with LF alone; the rest is kept."""
        if not self._begun:
            chunk = bytes(self._rest) + chunk
            self._rest.clear()
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._rest += chunk
                return b""
            self._begun = True
            chunk = chunk.removeprefix(_BOM)
        if self._after_cr and chunk:
            # A CR ends its line at once; an LF right behind it belongs to the same line end.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        rest = self._rest
        if not rest:
            end = chunk.rfind(b"\n\n") + 2
            if end < 2:
                end = 0
        else:
            # A record's end may straddle the last read: look again from one byte before.
            seen = len(rest)
            rest += chunk
            end = rest.rfind(b"\n\n", seen - 1) + 2
            if end < 2:
                self._check(len(rest))
                return b""
            chunk = bytes(rest)
            self._rest = bytearray()
        if end < len(chunk):
            self._check(len(chunk) - end)
            self._rest += chunk[end:]
        return chunk[:end]

    def _single(self, chunk: bytes) -> Record | None:
        """The record that a short `chunk` is, no less and no more, in its usual form; else None."""
        if len(chunk) > _LONGEST_SINGLE or not chunk.endswith(b"\n\n"):
            return None
        if self._rest or self._after_cr or not self._begun:
            return None
        lines = chunk.count(b"\n")
        if lines > 3 or b"\r" in chunk:
            return None
        if lines == 3 and chunk.startswith(_EVENT):
            line, found, data = chunk.partition(_DATA)
            return (_NAMES[line.removeprefix(_EVENT)], data[:-2]) if found else None
        if lines == 2 and chunk.startswith(b"data: "):
            return "", chunk[6:-2]
        return None

    def close(self) -> list[Record]:
        """The stream ended: hand out a last record that lacks its empty line."""
        text = bytes(self._rest)
        self._rest = bytearray()
        record = self._record(text)
        return [] if record is None else [record]

    def _records(self, whole: bytes) -> list[Record]:
        found = _COMMON.findall(whole)
        if sum([len(line) + len(data) for line, data in found]) + _COMMON_FRAME * len(found) == len(whole):
            return [(_NAMES[line], data) for line, data in found]
        return [record for block in whole.split(b"\n\n") if (record := self._record(block)) is not None]

    def _runs(self, whole: bytes) -> list[Run]:
        # Nearly all of a stream are deltas of one text: cut at one go, they need no expression.
        named = whole.find(_DELTA)
        start = whole.rfind(b"\n", 0, named) + 1 if named >= 0 else -1
        if whole.startswith(_EVENT if start == 0 else b"\n\n" + _EVENT, max(0, start - 2)):
            head = whole[start : named + len(_DELTA)]
            between = b"\n\n" + head
            end = whole.find(b"\n\n", max(start, whole.rfind(between) + 2) + len(head))
            deltas = whole[start + len(head) : end].split(between)
            # A line more would be something else between two of them.
            if b"\n" not in b"".join(deltas) and all(deltas):
                run = _NAMES[head[len(_EVENT) : -len(_DATA)]], deltas
                return [*self._grouped(whole[:start]), run, *self._grouped(whole[end + 2 :])]
        return self._grouped(whole)

    def _grouped(self, whole: bytes) -> list[Run]:
        runs = groupby(self._records(whole), _NAME) if whole else ()
        return [(name, data) for name, run in runs if (data := [each for _, each in run if each])]

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise RecordTooLarge(f"one record of the stream is larger than {self._limit} bytes")

    def _record(self, block: bytes) -> Record | None:
        if block.startswith(b"data: ") and block.find(b"\n") < 0:
            return "", block[6:]
        event = ""
        data: list[bytes] = []
        for line in block.split(b"\n"):
            name, colon, value = line.partition(b":")
            if colon:
                value = value.removeprefix(b" ")
            if name == b"data":
                data.append(value)
            elif name == b"event":
                event = _NAMES[value]
        if not data:
            return None
        return event, b"\n".join(data)


HEADS: dict[str, bytes] = {}
"""Frame heads that `frame_head` has made, for those who cannot afford a call for each."""


def frame_head(type: str) -> bytes:
    """The bytes of a frame before its payload: ``event: TYPE`` and ``data:``."""
    head = HEADS.get(type)
    if head is None:
        head = b"event: %b\ndata: " % type.encode("utf-8", "replace").replace(b"\n", b"").replace(b"\r", b"")
        if len(HEADS) < 512:
            HEADS[type] = head
    return head


def frame(type: str, payload: bytes) -> bytes:
    """One whole frame: event name, payload, empty line; LF only."""
    return b"%b%b\n\n" % (frame_head(type), payload)


def comment(text: str) -> bytes:
    """A comment record. Line breaks in `text` become spaces."""
    return b": %b\n\n" % " ".join(text.split()).encode("utf-8", "replace")


DONE: Final = b"data: [DONE]\n\n"
"""What ends a stream over HTTP (Open Responses demands it, the SDKs stop at it or skip it)."""
