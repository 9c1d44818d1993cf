"""Server-sent events: any split of bytes in, whole records out; and frames for the way back.

The grammar is the HTML standard's (§9.2.6): LF, CR and CRLF end lines, an empty line ends a record, several
``data:`` lines are joined by LF, a leading BOM and comments are skipped. A record without its closing empty
line is handed out by `close`, since some servers leave it away.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_BOM: Final = b"\xef\xbb\xbf"


class Record(NamedTuple):
    """One SSE record: the ``event:`` name ("" if none was sent) and the joined ``data:`` lines."""

    event: str
    data: bytes


class RecordTooLarge(ValueError):
    """More bytes than `limit` came without a record's end."""


class Decoder:
    """An incremental SSE decoder. `limit` bounds one record, in bytes."""

    def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
        self._limit = limit
        self._rest = b""
        self._scanned = 0
        self._begun = False
        self._names: dict[bytes, str] = {}

    def feed(self, chunk: bytes) -> list[Record]:
        """Take the bytes of one read; return the records that they completed."""
        if not self._begun:
            chunk = self._rest + chunk
            self._rest = b""
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._rest = chunk
                return []
            self._begun = True
            chunk = chunk.removeprefix(_BOM)
        text = self._rest + chunk if self._rest else chunk
        if b"\r" in text:
            return self._feed_any_line_ends(text)
        # A record's end may straddle the last read: look again from one byte before.
        end = text.rfind(b"\n\n", max(0, self._scanned - 1))
        if end < 0:
            self._keep(text)
            return []
        whole, rest = text[:end], text[end + 2 :]
        self._scanned = 0
        self._keep(rest)
        return [record for block in whole.split(b"\n\n") if (record := self._record(block)) is not None]

    def _feed_any_line_ends(self, text: bytes) -> list[Record]:
        # A final CR may be half of a CRLF, so it stays until more is known.
        held = b"\r" if text.endswith(b"\r") else b""
        normal = _LINE_END.sub(b"\n", text[:-1] if held else text)
        end = normal.rfind(b"\n\n")
        self._scanned = 0
        if end < 0:
            self._keep(normal + held)
            return []
        self._keep(normal[end + 2 :] + held)
        blocks = normal[:end].split(b"\n\n")
        return [record for block in blocks if (record := self._record(block)) is not None]

    def close(self) -> list[Record]:
        """The stream ended: hand out a last record that lacks its empty line."""
        text = _LINE_END.sub(b"\n", self._rest)
        self._rest = b""
        self._scanned = 0
        record = self._record(text)
        return [] if record is None else [record]

    def _keep(self, rest: bytes) -> None:
        if len(rest) > self._limit:
            raise RecordTooLarge(f"one record of the stream is larger than {self._limit} bytes")
        self._rest = rest
        self._scanned = len(rest)

    def _name(self, raw: bytes) -> str:
        name = self._names.get(raw)
        if name is None:
            name = raw.decode("utf-8", "replace")
            if len(self._names) < 256:
                self._names[raw] = name
        return name

    def _record(self, block: bytes) -> Record | None:
        # The common shape first: one event line, one data line.
        if block.startswith(b"event: "):
            middle = block.find(b"\ndata: ", 7)
            if middle > 0 and block.find(b"\n", 7) == middle and block.find(b"\n", middle + 1) < 0:
                return Record(self._name(block[7:middle]), block[middle + 7 :])
        elif block.startswith(b"data: ") and block.find(b"\n") < 0:
            return Record("", block[6:])
        return self._record_slowly(block)

    def _record_slowly(self, block: bytes) -> Record | None:
        event = ""
        data: list[bytes] = []
        for line in block.split(b"\n"):
            name, colon, value = line.partition(b":")
            if colon:
                value = value.removeprefix(b" ")
            if name == b"data":
                data.append(value)
            elif name == b"event":
                event = self._name(value)
        if not data:
            return None
        return Record(event, b"\n".join(data))


_HEADS: dict[str, bytes] = {}


def frame_head(type: str) -> bytes:
    """The bytes of a frame before its payload: ``event: TYPE`` and ``data:``."""
    head = _HEADS.get(type)
    if head is None:
        head = b"event: %b\ndata: " % type.encode("utf-8", "replace").replace(b"\n", b"").replace(b"\r", b"")
        if len(_HEADS) < 512:
            _HEADS[type] = head
    return head


def frame(type: str, payload: bytes) -> bytes:
    """One whole frame: event name, payload, empty line; LF only."""
    return b"%b%b\n\n" % (frame_head(type), payload)


def comment(text: str) -> bytes:
    """A comment record. Line breaks in `text` become spaces."""
    return b": %b\n\n" % " ".join(text.split()).encode("utf-8", "replace")


DONE: Final = b"data: [DONE]\n\n"
"""What ends a stream over HTTP (Open Responses demands it, the SDKs stop at it or skip it)."""
