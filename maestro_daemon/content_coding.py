"""Decoding of bodies, of requests and answers: bytes in, bytes out, never more at once than one piece.

Every decoder is fed piece by piece and gives pieces of at most `PIECE` bytes, so that a body which grows a
thousandfold is noticed while it grows. No decoder here reads or waits.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from maestro_daemon.errors import RequestInvalid

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE = 64 * 1024
"""The most bytes that a decoder gives at once."""

SERVED = "gzip, deflate and zstd"

_MOST_CODINGS = 3
_MOST_MEMBERS = 4096
"""How many gzip members or zstd frames one body may have: an empty one costs work and yields nothing."""
_ZSTD_WINDOW_LOG = 23  # 8 MiB: what RFC 9659 allows in HTTP, and what bounds a decoder's own memory


class CodingInvalid(RequestInvalid):
    """The body is not what its Content-Encoding says: corrupt, cut short, or followed by something else."""

    default_code = "invalid_content_encoding"


class Decoder(Protocol):
    """One coding of one body."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take the next bytes, give what they decode to. To be exhausted before the next call."""
        ...

    def finish(self) -> None:
        """Raise `CodingInvalid` unless the body ended where the coding says it ends."""
        ...


class _Inflate:
    """gzip (with any number of members) and deflate, the latter with a zlib header or without one."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._head = b""
        self._members = 0
        self._stream = self._new() if coding == "gzip" else None
        self._begun = False

    def _new(self) -> zlib._Decompress:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise _corrupt(self._coding)
        return zlib.decompressobj(wbits=31)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        stream = self._stream
        if stream is None:
            self._head += piece
            if len(self._head) < 2:
                return
            stream = self._stream = zlib.decompressobj(wbits=15 if _is_zlib(self._head) else -15)
            piece, self._head = self._head, b""
        while piece:
            if stream.eof:
                if self._coding == "deflate":
                    raise _corrupt(self._coding)
                stream = self._stream = self._new()
            self._begun = True
            try:
                decoded = stream.decompress(piece, PIECE)
            except zlib.error:
                raise _corrupt(self._coding) from None
            piece = stream.unused_data if stream.eof else stream.unconsumed_tail
            if decoded:
                yield decoded
            if not piece and len(decoded) == PIECE and not stream.eof:
                yield from self._rest(stream)

    def _rest(self, stream: zlib._Decompress) -> Iterator[bytes]:
        """What zlib still holds after it took all input: at most a window of it."""
        while True:
            try:
                decoded = stream.decompress(b"", PIECE)
            except zlib.error:
                raise _corrupt(self._coding) from None
            if not decoded:
                return
            yield decoded

    def finish(self) -> None:
        if not self._begun or self._stream is None or not self._stream.eof:
            raise _cut(self._coding)


class _Zstandard:
    """zstd, with any number of frames and a window of at most 8 MiB."""

    def __init__(self) -> None:
        self._frames = 0
        self._frame = self._new()
        self._begun = False

    def _new(self) -> zstd.ZstdDecompressor:
        self._frames += 1
        if self._frames > _MOST_MEMBERS:
            raise _corrupt("zstd")
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})

    def feed(self, piece: bytes) -> Iterator[bytes]:
        while True:
            if self._frame.eof:
                if not piece:
                    return
                self._frame = self._new()
            self._begun = self._begun or bool(piece)
            try:
                decoded = self._frame.decompress(piece, PIECE)
            except zstd.ZstdError:
                raise _corrupt("zstd") from None
            piece = self._frame.unused_data if self._frame.eof else b""
            if decoded:
                yield decoded
            if not self._frame.eof and self._frame.needs_input:
                return

    def finish(self) -> None:
        if not self._begun or not self._frame.eof:
            raise _cut("zstd")


def codings(headers: Iterable[str]) -> list[str]:
    """The codings of a body in the order in which they were applied, from its Content-Encoding headers.

    ``identity`` counts for nothing. Raises `RequestInvalid` (415) for a coding that is not served, or for
    more than three.
    """
    found = []
    for header in headers:
        for token in header.split(","):
            coding = token.strip().lower()
            if coding in ("", "identity"):
                continue
            if coding == "x-gzip":
                coding = "gzip"
            if coding not in ("gzip", "deflate", "zstd"):
                raise _not_served(
                    f"Content-Encoding {coding[:32]!r} is not served; {SERVED} are, and no coding at all."
                )
            found.append(coding)
    if len(found) > _MOST_CODINGS:
        raise _not_served(f"More than {_MOST_CODINGS} stacked content codings are not served.")
    return found


def decoders(applied: Sequence[str]) -> list[Decoder]:
    """The decoders for codings applied in this order: the first to use stands first."""
    return [_Zstandard() if coding == "zstd" else _Inflate(coding) for coding in reversed(applied)]


def _is_zlib(head: bytes) -> bool:
    return head[0] & 0x0F == 8 and (head[0] << 8 | head[1]) % 31 == 0


def _corrupt(coding: str) -> CodingInvalid:
    return CodingInvalid(f"The request body is not valid {coding}, as its Content-Encoding says it is.")


def _cut(coding: str) -> CodingInvalid:
    return CodingInvalid(f"The request body ends before its {coding} stream does.")


def _not_served(message: str) -> RequestInvalid:
    return RequestInvalid(message, status=415, code="unsupported_content_encoding")
