"""Server-sent events: any split of bytes in, whole records out; and frames for the way back.

The grammar is the HTML standard's (§9.2.6): LF, CR and CRLF end lines, an empty line ends a record, several
``data:`` lines are joined by LF, a leading BOM and comments are skipped. A record without its closing empty
line is handed out by `close`, since some servers leave it away.
"""

from __future__ import annotations

import re
from typing import Final

_BOM: Final = b"\xef\xbb\xbf"
_MOST_NAMES: Final = 256
_LONGEST_NAME: Final = 128
_COMMON: Final = re.compile(rb"event: (.+)\ndata: (.*)\n\n")
"""Nearly every record: one event line, one data line. A read of such alone is taken apart in one go."""
_COMMON_FRAME: Final = len(b"event: \ndata: \n\n")


Record = tuple[str, bytes]
"""One SSE record: the ``event:`` name ("" if none was sent) and the joined ``data:`` lines."""


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
        if chunk.endswith(b"\n\n") and self._begun and not self._rest and not self._after_cr:
            record = self._single(chunk)
            if record is not None:
                return [record]
        if not self._begun:
            chunk = bytes(self._rest) + chunk
            self._rest.clear()
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._rest += chunk
                return []
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
            return self._records(chunk, chunk.rfind(b"\n\n"))
        # A record's end may straddle the last read: look again from one byte before.
        seen = len(rest)
        rest += chunk
        end = rest.rfind(b"\n\n", seen - 1)
        if end < 0:
            self._check(len(rest))
            return []
        self._rest = bytearray()
        return self._records(bytes(rest), end)

    def _single(self, chunk: bytes) -> Record | None:
        """The record that `chunk`, which ends with an empty line, is; None where it is not just one."""
        lines = chunk.count(b"\n")
        if lines > 3 or b"\r" in chunk:
            return None
        if lines == 3 and chunk.startswith(b"event: "):
            line, found, data = chunk.partition(b"\ndata: ")
            return (_NAMES[line[7:]], data[:-2]) if found else None
        if lines == 2 and chunk.startswith(b"data: "):
            return "", chunk[6:-2]
        return None

    def close(self) -> list[Record]:
        """The stream ended: hand out a last record that lacks its empty line."""
        text = bytes(self._rest)
        self._rest = bytearray()
        record = self._record(text)
        return [] if record is None else [record]

    def _records(self, text: bytes, end: int) -> list[Record]:
        """The records of `text` up to its last empty line, which is at `end` (-1: none); the rest is kept."""
        if end < 0:
            self._check(len(text))
            self._rest += text
            return []
        if end + 2 < len(text):
            self._check(len(text) - end - 2)
            self._rest += text[end + 2 :]
        whole = text[: end + 2]
        found = _COMMON.findall(whole)
        if sum([len(line) + len(data) for line, data in found]) + _COMMON_FRAME * len(found) == end + 2:
            return [(_NAMES[line], data) for line, data in found]
        return [record for block in whole.split(b"\n\n") if (record := self._record(block)) is not None]

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
