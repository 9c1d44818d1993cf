from __future__ import annotations

import contextlib
import gzip
import itertools
import sys
import zlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.content_coding import PIECE, CodingInvalid, codings, decoders
from maestro_daemon.errors import RequestInvalid

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def raw_deflate(plain: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(plain) + compressor.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate with a zlib header": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "zstd": ("zstd", zstd.compress),
}
encoders = pytest.mark.parametrize(("coding", "encode"), ENCODERS.values(), ids=ENCODERS.keys())


def decode(coding: str, pieces: Sequence[bytes]) -> bytes:
    [decoder] = decoders([coding])
    plain = b""
    for piece in pieces:
        for decoded in decoder.feed(piece):
            assert 0 < len(decoded) <= PIECE
            plain += decoded
    decoder.finish()
    return plain


def split(whole: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    return [whole[start:end] for start, end in itertools.pairwise(edges)]


plains = st.binary(max_size=300) | st.builds(
    lambda unit, times: unit * times, st.binary(min_size=1, max_size=3), st.integers(0, 3 * PIECE)
)


@given(
    st.sampled_from(sorted(ENCODERS)),
    st.lists(plains, min_size=1, max_size=3),
    st.lists(st.integers(0), max_size=5),
)
def test_any_split_decodes_to_the_same_bytes(name: str, plain: list[bytes], cuts: list[int]) -> None:
    coding, encode = ENCODERS[name]
    if coding == "deflate":
        plain = plain[:1]
    encoded = b"".join(encode(each) for each in plain)
    assert decode(coding, split(encoded, cuts)) == b"".join(plain)


@encoders
def test_a_cut_body_is_refused_wherever_it_is_cut(coding: str, encode: Callable[[bytes], bytes]) -> None:
    encoded = encode(b"some text, some more text, some more text")
    for end in range(len(encoded)):
        with pytest.raises(CodingInvalid):
            decode(coding, [encoded[:end]])


@encoders
def test_garbage_after_the_end_is_refused(coding: str, encode: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CodingInvalid):
        decode(coding, [encode(b"text") + b"garbage"])
    with pytest.raises(CodingInvalid):
        decode(coding, [encode(b"text"), b"garbage"])


@given(st.sampled_from(["gzip", "deflate", "zstd"]), st.lists(st.binary(max_size=50), max_size=4))
def test_any_bytes_decode_or_are_refused(coding: str, pieces: list[bytes]) -> None:
    with contextlib.suppress(CodingInvalid):
        decode(coding, pieces)


@given(st.data())
def test_a_flipped_byte_never_raises_anything_else(data: st.DataObject) -> None:
    coding, encode = ENCODERS[data.draw(st.sampled_from(sorted(ENCODERS)))]
    encoded = bytearray(encode(b"text " * 100))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(CodingInvalid):
        decode(coding, [bytes(encoded)])


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_endless_empty_members_are_refused(coding: str) -> None:
    empty = gzip.compress(b"") if coding == "gzip" else zstd.compress(b"")
    with pytest.raises(CodingInvalid):
        decode(coding, [empty * 5000])


def test_a_zstd_window_over_8_mib_is_refused() -> None:
    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    compressor = zstd.ZstdCompressor(options=options)
    encoded = compressor.compress(b"x" * 100) + compressor.flush()
    with pytest.raises(CodingInvalid):
        decode("zstd", [encoded])


def test_codings_are_read_from_every_header_in_their_order() -> None:
    assert codings(["GZIP, identity", " zstd "]) == ["gzip", "zstd"]
    assert codings(["x-gzip"]) == ["gzip"]
    assert codings([]) == codings([""]) == codings(["identity"]) == []


@pytest.mark.parametrize("header", ["br", "compress", "gzip, br", "gzip;q=1", "gzip,gzip,gzip,gzip"])
def test_a_coding_that_is_not_served_is_a_415(header: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        codings([header])
    assert caught.value.status == 415


def test_the_415_names_what_is_served() -> None:
    with pytest.raises(RequestInvalid, match="gzip, deflate and zstd"):
        codings(["br"])
